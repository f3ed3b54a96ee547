//! The controls: each a pure function of the facts.

mod access;
mod api_keys;
mod checklist;
mod drill;
mod erasures;
mod events;
mod exceptions;
mod ledger;
mod limits;
mod retention;
mod secrets;
mod trail;
mod verification;

use serde_json::Value;

use super::{
    criteria::criteria,
    facts::{Answer, Facts},
    model::{Chart, Control, Measure, Obtained, Status, Table},
};

/// All controls, in the order in which reports show them.
#[must_use]
pub(super) fn all(facts: &Facts) -> Vec<Control> {
    [
        trail::control,
        verification::control,
        retention::control,
        drill::control,
        ledger::control,
        access::control,
        api_keys::control,
        events::control,
        limits::control,
        secrets::control,
        erasures::control,
        exceptions::control,
        checklist::control,
    ]
    .iter()
    .map(|control| control(facts))
    .collect()
}

/// A control in the making. It passes unless something fails it or keeps it from being known.
struct Draft {
    control: Control,
    failures: Vec<String>,
    unknowns: Vec<String>,
}

impl Draft {
    fn new(id: &str, title: &str, evidence_for: &[&str], requirement: &str) -> Self {
        Self {
            control: Control {
                id: id.to_owned(),
                title: title.to_owned(),
                evidence_for: criteria(evidence_for),
                requirement: requirement.to_owned(),
                status: Status::Unknown,
                reason: String::new(),
                remedy: String::new(),
                limits: String::new(),
                measured: Vec::new(),
                tables: Vec::new(),
                charts: Vec::new(),
                obtained: Vec::new(),
            },
            failures: Vec::new(),
            unknowns: Vec::new(),
        }
    }

    fn fails(&mut self, why: impl Into<String>) {
        self.failures.push(why.into());
    }

    fn is_unknown(&mut self, why: impl Into<String>) {
        self.unknowns.push(why.into());
    }

    fn measure(&mut self, name: &str, label: &str, value: impl Into<Value>, unit: Option<&str>) {
        self.control.measured.push(Measure {
            name: name.to_owned(),
            label: label.to_owned(),
            value: value.into(),
            unit: unit.map(str::to_owned),
        });
    }

    fn obtained(&mut self, obtained: &Obtained) {
        self.control.obtained.push(obtained.clone());
    }

    /// The answer if there is one, its question noted; what is missing makes the control unknown.
    fn take<'a>(&mut self, answer: &'a Result<Answer, String>) -> Option<&'a Answer> {
        match answer {
            Ok(answer) => {
                self.obtained(&answer.obtained);
                Some(answer)
            }
            Err(problem) => {
                self.is_unknown(problem.clone());
                None
            }
        }
    }

    fn known<'a, T>(&mut self, known: &'a Result<T, String>) -> Option<&'a T> {
        match known {
            Ok(known) => Some(known),
            Err(problem) => {
                self.is_unknown(problem.clone());
                None
            }
        }
    }

    fn table(
        &mut self,
        name: &str,
        title: &str,
        columns: &[&str],
        rows: Vec<Vec<Value>>,
        max: usize,
    ) {
        let rows_total = rows.len() as u64;
        let mut rows = rows;
        rows.truncate(max);
        self.control.tables.push(Table {
            name: name.to_owned(),
            title: title.to_owned(),
            columns: columns.iter().map(|it| (*it).to_owned()).collect(),
            rows,
            rows_total,
        });
    }

    fn chart(&mut self, chart: Chart) {
        self.control.charts.push(chart);
    }

    /// There is nothing that it asks about.
    fn not_applicable(mut self, why: &str) -> Control {
        self.control.status = Status::NotApplicable;
        why.clone_into(&mut self.control.reason);
        self.control
    }

    /// Judges. What failed outweighs what is not known; both are said.
    fn judge(mut self, passes: &str, remedy: &str, limits: &str) -> Control {
        let status = match (self.failures.is_empty(), self.unknowns.is_empty()) {
            (false, _) => Status::Fail,
            (true, false) => Status::Unknown,
            (true, true) => Status::Pass,
        };
        let mut sentences = self.failures;
        for unknown in self.unknowns {
            if !sentences.contains(&unknown) {
                sentences.push(unknown);
            }
        }
        self.control.status = status;
        self.control.reason = if sentences.is_empty() {
            passes.to_owned()
        } else {
            sentences.join(" ")
        };
        if status != Status::Pass {
            remedy.clone_into(&mut self.control.remedy);
        }
        limits.clone_into(&mut self.control.limits);
        self.control
    }
}

/// `1 key`, `2 keys`.
fn count(number: u64, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

fn integer(value: Option<&Value>) -> i64 {
    value.and_then(Value::as_i64).unwrap_or(0)
}
