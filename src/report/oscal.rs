//! A report as NIST's OSCAL assessment results, for tools of governance.
//!
//! Source: OSCAL 1.2.3 (<https://pages.nist.gov/OSCAL/reference/>). One result a report; an observation for each control, with
//! what was measured and how; a finding for each control that asks about something.
//!
//! | ours | the finding's `target.status` |
//! |---|---|
//! | pass | `satisfied`, reason `pass` |
//! | fail | `not-satisfied`, reason `fail` |
//! | unknown | `not-satisfied`, reason `other`: OSCAL has no third state, and its `other` is "not a pass or fail" |
//! | not applicable | no finding; the observation says it |
//!
//! Controls are ours (`trail_integrity`), and their objectives are defined in the document. Trust Services Criteria are
//! properties (`evidence-for`), not controls: a report says nothing of whether they are met.

use serde_json::{Value, json};

use super::{
    model::{Control, Measure, Obtained, Origin, Report, Status, Table},
    names::{finding_id, id, name_space},
};

/// The release of OSCAL that documents conform to.
pub const VERSION: &str = "1.2.3";
/// The longest text of a property.
const MAX_PROPERTY_CHARS: usize = 2000;

/// The document, with a newline behind it.
#[must_use]
pub fn document(report: &Report) -> Vec<u8> {
    let mut text = value(report).to_string().into_bytes();
    text.push(b'\n');
    text
}

/// The document.
#[must_use]
pub fn value(report: &Report) -> Value {
    let plan = id(report, &["plan"]);
    let made = report.generated_at.to_string();
    let mut results = json!({
        "uuid": id(report, &["assessment-results"]),
        "metadata": {
            "title": heading(&format!("{}, organization {}", report.report_type, report.organization.id)),
            "last-modified": made,
            "version": line(&report.report_version),
            "oscal-version": VERSION,
            "document-ids": [{ "identifier": line(&report.id) }],
            "remarks": prose(&report.disclaimer),
        },
        "import-ap": { "href": format!("#{plan}") },
        "results": [result(report)],
        "back-matter": {
            "resources": [{
                "uuid": plan,
                "title": "Controls of the report",
                "description": "There is no assessment plan as a document: the program asks the same questions each time, \
                                which are the objectives defined here.",
            }],
        },
    });
    if !report.controls.is_empty() {
        let objectives: Vec<Value> = report.controls.iter().map(objective).collect();
        results["local-definitions"] = json!({ "objectives-and-methods": objectives });
    }
    json!({ "assessment-results": results })
}

fn result(report: &Report) -> Value {
    let (organization, provenance) = (&report.organization, &report.provenance);
    let mut result = json!({
        "uuid": id(report, &["result"]),
        "title": heading(&report.report_type),
        "description": prose(&report.disclaimer),
        "start": report.period.start.to_string(),
        "end": report.period.end.to_string(),
        "props": [
            property("organization", &organization.id.to_string()),
            property("configuration-sha256", &provenance.configuration_sha256),
            property("anchor-origin", &provenance.anchor_origin),
        ],
        "local-definitions": { "components": components(report) },
        "reviewed-controls": reviewed(report),
    });
    let observations: Vec<Value> = report
        .controls
        .iter()
        .map(|it| observation(report, it))
        .collect();
    if !observations.is_empty() {
        result["observations"] = observations.into();
    }
    let findings: Vec<Value> = report
        .controls
        .iter()
        .filter_map(|it| finding(report, it))
        .collect();
    if !findings.is_empty() {
        result["findings"] = findings.into();
    }
    result
}

fn components(report: &Report) -> Value {
    let provenance = &report.provenance;
    let operational = json!({ "state": "operational" });
    json!([
        {
            "uuid": id(report, &["component", "program"]),
            "type": "software",
            "title": heading(&provenance.program),
            "description": "Measured, and wrote this document.",
            "props": [{ "name": "version", "value": line(&provenance.version) }],
            "status": operational,
        },
        {
            "uuid": id(report, &["component", "qwed"]),
            "type": "software",
            "title": "QWED",
            "description": "What the report is about, as its database shows it.",
            "props": [
                property("database", &provenance.qwed_database),
                property("dialect", &provenance.qwed_dialect),
            ],
            "status": operational,
        },
    ])
}

fn reviewed(report: &Report) -> Value {
    let controls = report.controls.iter();
    let controls: Vec<Value> = controls
        .map(|it| json!({ "control-id": token(&it.id) }))
        .collect();
    let objectives = report.controls.iter();
    let objectives: Vec<Value> = objectives
        .map(|it| json!({ "objective-id": objective_id(it) }))
        .collect();
    if controls.is_empty() {
        return json!({ "control-selections": [{ "include-all": {} }] });
    }
    json!({
        "control-selections": [{ "include-controls": controls }],
        "control-objective-selections": [{ "include-objectives": objectives }],
    })
}

fn objective_id(control: &Control) -> String {
    format!("{}_obj", token(&control.id))
}

fn objective(control: &Control) -> Value {
    json!({
        "control-id": token(&control.id),
        "description": prose(&control.title),
        "props": evidence_for(control),
        "parts": [{
            "id": objective_id(control),
            "name": "assessment-objective",
            "prose": prose(&control.requirement),
        }],
    })
    .without_empty("props")
}

fn observation(report: &Report, control: &Control) -> Value {
    let mut properties = vec![property("status", control.status.name())];
    properties.extend(control.measured.iter().map(measured));
    let collected = control.obtained.iter().map(|it| it.at).max();
    let collected = collected.unwrap_or(report.generated_at);
    let mut evidence: Vec<Value> = control.obtained.iter().map(obtained).collect();
    evidence.extend(
        control
            .tables
            .iter()
            .map(|table| population(control, table)),
    );
    json!({
        "uuid": id(report, &["observation", &control.id]),
        "title": heading(&control.title),
        "description": prose(&control.reason),
        "props": properties,
        "methods": [method(control)],
        "types": ["control-objective"],
        "origins": [{
            "actors": [{ "type": "tool", "actor-uuid": id(report, &["component", "program"]) }],
        }],
        "subjects": [{ "subject-uuid": id(report, &["component", "qwed"]), "type": "component" }],
        "relevant-evidence": evidence,
        "collected": collected.to_string(),
        "remarks": prose(&control.limits),
    })
    .without_empty("relevant-evidence")
    .without_empty("remarks")
}

/// A verification computes anew what it checks; all else is looked up.
fn method(control: &Control) -> &'static str {
    let is_test = |obtained: &Obtained| matches!(obtained.origin, Origin::Verification);
    if control.obtained.iter().any(is_test) {
        "TEST"
    } else {
        "EXAMINE"
    }
}

fn measured(measure: &Measure) -> Value {
    let value = match &measure.value {
        Value::Null => "unknown".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut property = property(&measure.name, &value);
    property["class"] = json!(match &measure.unit {
        Some(unit) => token(unit),
        None => "measure".to_owned(),
    });
    property["remarks"] = json!(prose(&measure.label));
    property
}

fn obtained(obtained: &Obtained) -> Value {
    let mut properties = vec![
        property(
            "origin",
            json!(obtained.origin).as_str().unwrap_or_default(),
        ),
        property("rows", &obtained.rows.to_string()),
        property("asked-at", &obtained.at.to_string()),
    ];
    for parameter in &obtained.parameters {
        properties.push(property("parameter", &parameter.to_string()));
    }
    if let Some(window) = &obtained.window {
        properties.push(property("window-from", &window.from.to_string()));
        properties.push(property("window-to", &window.to.to_string()));
    }
    json!({ "description": prose(&obtained.query), "props": properties })
}

fn population(control: &Control, table: &Table) -> Value {
    json!({
        "href": super::table_file(control, table),
        "description": prose(&table.title),
        "props": [property("rows", &table.rows_total.to_string())],
    })
}

fn finding(report: &Report, control: &Control) -> Option<Value> {
    let (state, reason) = match control.status {
        Status::Pass => ("satisfied", "pass"),
        Status::Fail => ("not-satisfied", "fail"),
        Status::Unknown => ("not-satisfied", "other"),
        Status::NotApplicable => return None,
    };
    let mut status = json!({ "state": state, "reason": reason });
    if control.status == Status::Unknown {
        status["remarks"] = json!(
            "It is not known whether the objective is satisfied: it could not be measured, or not all of it."
        );
    }
    let finding = json!({
        "uuid": finding_id(report, control),
        "title": heading(&control.title),
        "description": prose(&control.reason),
        "props": evidence_for(control),
        "target": { "type": "objective-id", "target-id": objective_id(control), "status": status },
        "related-observations": [{ "observation-uuid": id(report, &["observation", &control.id]) }],
        "remarks": prose(&control.remedy),
    });
    Some(finding.without_empty("props").without_empty("remarks"))
}

fn evidence_for(control: &Control) -> Vec<Value> {
    let criteria = control.evidence_for.iter();
    criteria
        .map(|criterion| property("evidence-for", &criterion.id))
        .collect()
}

fn property(name: &str, value: &str) -> Value {
    json!({ "name": token(name), "ns": name_space(), "value": line(value) })
}

/// OSCAL's tokens are XML names without a colon.
fn token(name: &str) -> String {
    let is_first = |first: char| first.is_alphabetic() || first == '_';
    let mut token = String::with_capacity(name.len());
    for character in name.chars() {
        let may_stand = character.is_alphanumeric() || "._-".contains(character);
        token.push(if may_stand { character } else { '_' });
    }
    if !token.starts_with(is_first) {
        token.insert(0, '_');
    }
    token
}

/// OSCAL's strings are one line, not empty, without blanks around.
fn line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words.join(" ").chars().take(MAX_PROPERTY_CHARS).collect();
    match line.trim() {
        "" => "-".to_owned(),
        line => line.to_owned(),
    }
}

/// Titles are prose of one line.
fn heading(text: &str) -> String {
    prose(&line(text))
}

/// OSCAL's prose is Markdown: what would be read as such is escaped.
fn prose(text: &str) -> String {
    let mut prose = String::with_capacity(text.len());
    for character in text.chars() {
        if "\\`*_[]<>^~{}".contains(character) {
            prose.push('\\');
        }
        prose.push(character);
    }
    prose
}

/// OSCAL has no empty lists and texts.
trait WithoutEmpty {
    fn without_empty(self, member: &str) -> Self;
}

impl WithoutEmpty for Value {
    fn without_empty(mut self, member: &str) -> Self {
        let is_empty = match &self[member] {
            Self::Array(list) => list.is_empty(),
            Self::String(text) => text.is_empty(),
            _ => false,
        };
        if is_empty && let Some(object) = self.as_object_mut() {
            object.remove(member);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_what_oscal_takes() {
        assert_eq!(token("CC6.1"), "CC6.1");
        assert_eq!(token("90 days"), "_90_days");
        assert_eq!(token(""), "_");
        assert_eq!(line("  a\n b\t"), "a b");
        assert_eq!(line(" \n"), "-");
        assert_eq!(prose("a_b *c* <d>"), "a\\_b \\*c\\* \\<d\\>");
    }
}
