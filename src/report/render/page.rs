//! A report as it is laid out: which parts in which order, in which words. HTML and PDF are written of this alone.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    chart::{self, Drawing},
    text::{Cell, Shown, count, day, is_name, time},
};
use crate::report::model::{
    self, Chart, Control, GuideStatus, Measure, Obtained, Origin, Report, Status,
};

/// A report.
pub(super) struct Page {
    pub(super) title: Shown,
    pub(super) kind: Shown,
    pub(super) organization: Shown,
    pub(super) about: Vec<Fact>,
    pub(super) disclaimer: Shown,
    pub(super) counts: Vec<(Badge, String)>,
    pub(super) guide: Table,
    pub(super) sections: Vec<Section>,
    pub(super) provenance: Vec<Fact>,
}

/// Something with a name.
pub(super) struct Fact {
    pub(super) label: &'static str,
    pub(super) shown: Shown,
    /// Whether each character of it counts.
    pub(super) is_code: bool,
}

/// A status, in words, with a sign and a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Badge {
    pub(super) status: Status,
    pub(super) word: &'static str,
    pub(super) sign: &'static str,
}

impl From<Status> for Badge {
    fn from(status: Status) -> Self {
        let (word, sign) = match status {
            Status::Fail => ("Fail", "✕"),
            Status::Unknown => ("Unknown", "?"),
            Status::Pass => ("Pass", "✓"),
            Status::NotApplicable => ("Not applicable", "–"),
        };
        Self { status, word, sign }
    }
}

impl From<GuideStatus> for Badge {
    fn from(status: GuideStatus) -> Self {
        match status {
            GuideStatus::Fail => Status::Fail,
            GuideStatus::Unknown => Status::Unknown,
            GuideStatus::Pass => Status::Pass,
            GuideStatus::NotApplicable => Status::NotApplicable,
        }
        .into()
    }
}

/// A control.
pub(super) struct Section {
    /// Its id in the document.
    pub(super) anchor: String,
    pub(super) number: usize,
    pub(super) title: Shown,
    pub(super) badge: Badge,
    /// Numbers and words of criteria.
    pub(super) criteria: Vec<(Shown, Shown)>,
    /// What is said of it, in the order to say it; what is empty is left out.
    pub(super) said: Vec<Fact>,
    pub(super) measured: Option<Table>,
    pub(super) figures: Vec<Figure>,
    pub(super) tables: Vec<Table>,
    pub(super) obtained: Vec<Source>,
}

/// A chart with the table of its values.
pub(super) struct Figure {
    pub(super) anchor: String,
    pub(super) title: Shown,
    /// What is seen in it, in words.
    pub(super) description: Shown,
    /// Absent where there is nothing to draw.
    pub(super) drawing: Option<Drawing>,
    pub(super) legend: Vec<(usize, Shown)>,
    pub(super) table: Table,
}

/// A table.
pub(super) struct Table {
    pub(super) anchor: String,
    pub(super) title: Shown,
    /// How many rows it has, and of how many.
    pub(super) extent: String,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<TableCell>>,
}

/// A column's heading.
pub(super) struct Column {
    pub(super) name: Shown,
    pub(super) is_number: bool,
}

/// What stands in a table.
pub(super) enum TableCell {
    Value(Cell),
    Status(Badge),
}

/// How values were obtained.
pub(super) struct Source {
    pub(super) origin: &'static str,
    pub(super) query: Shown,
    pub(super) facts: Vec<Fact>,
}

impl Page {
    pub(super) fn of(report: &Report) -> Self {
        let mut anchors = Anchors::default();
        let organization = &report.organization;
        let name = match &organization.name {
            Some(name) => Shown::text(name),
            None => Shown::text(&format!("Organisation {}", organization.id)),
        };
        let period = &report.period;
        let title = format!(
            "{}: {name}, {} to {}",
            report.report_type,
            day(period.start),
            day(period.end)
        );
        let sections = report.controls.iter().enumerate();
        let sections: Vec<_> = sections
            .map(|(index, it)| section(index + 1, it, &mut anchors))
            .collect();
        let summary = &report.summary;
        let counts = Status::ALL.map(|status| {
            let counted = match status {
                Status::Fail => summary.fail,
                Status::Unknown => summary.unknown,
                Status::Pass => summary.pass,
                Status::NotApplicable => summary.not_applicable,
            };
            (status.into(), count(counted))
        });
        Self {
            title: Shown::text(&title),
            kind: Shown::text(&report.report_type),
            organization: name,
            about: about(report),
            disclaimer: Shown::text(&report.disclaimer),
            counts: counts.into(),
            guide: guide(report, &mut anchors),
            sections,
            provenance: provenance(report),
        }
    }
}

fn about(report: &Report) -> Vec<Fact> {
    let organization = &report.organization;
    let mut who = format!("id {}", organization.id);
    if let Some(tier) = &organization.tier {
        who += &format!(", tier {tier}");
    }
    who += match organization.is_active {
        Some(true) => ", active",
        Some(false) => ", not active",
        None => ", not in QWED's database",
    };
    let period = &report.period;
    let covered = format!(
        "{} to {} ({} days; the end is not part of it)",
        time(period.start),
        time(period.end),
        period.days
    );
    vec![
        fact("Organisation", &who),
        fact("Period", &covered),
        fact("Generated", time(report.generated_at).as_str()),
        code("Report", &report.id),
    ]
}

fn provenance(report: &Report) -> Vec<Fact> {
    let it = &report.provenance;
    let qwed = match &it.qwed_server {
        Some(server) => format!("{} ({}: {server})", it.qwed_database, it.qwed_dialect),
        None => format!("{} ({})", it.qwed_database, it.qwed_dialect),
    };
    let key = it.anchor_key.as_deref().unwrap_or("none is configured");
    vec![
        fact("Program", &format!("{} {}", it.program, it.version)),
        fact("Report format", &report.report_version),
        code("Configuration, SHA-256", &it.configuration_sha256),
        code("QWED's database", &qwed),
        code("trailkeeper's database", &it.state_database),
        code("Origin of anchors", &it.anchor_origin),
        code("Public key of anchors", key),
    ]
}

fn guide(report: &Report, anchors: &mut Anchors) -> Table {
    let cells = |(name, status): (&String, &GuideStatus)| {
        let name = TableCell::Value(Cell::of(&Value::from(name.as_str())));
        vec![name, TableCell::Status((*status).into())]
    };
    Table {
        anchor: anchors.take("compliance-status"),
        title: Shown::text("Compliance status, in the terms of QWED's guide"),
        extent: String::new(),
        columns: vec![column("Item"), column("Status")],
        rows: report.compliance_status.iter().map(cells).collect(),
    }
}

fn section(number: usize, control: &Control, anchors: &mut Anchors) -> Section {
    let anchor = anchors.take(&format!("control-{}", control.id));
    let said = [
        fact("Requirement", &control.requirement),
        fact("Finding", &control.reason),
        fact("What to do", &control.remedy),
        fact("What it does not show", &control.limits),
    ];
    let criteria = control.evidence_for.iter();
    let criteria = criteria.map(|it| (Shown::text(&it.id), Shown::text(&it.about)));
    let figures = control.charts.iter();
    let tables = control.tables.iter();
    Section {
        number,
        title: Shown::text(&control.title),
        badge: control.status.into(),
        criteria: criteria.collect(),
        said: said.into_iter().filter(|it| !it.shown.is_empty()).collect(),
        measured: measured(&control.measured, &anchor, anchors),
        figures: figures.map(|it| figure(it, &anchor, anchors)).collect(),
        tables: tables.map(|it| table(it, &anchor, anchors)).collect(),
        obtained: control.obtained.iter().map(source).collect(),
        anchor,
    }
}

fn measured(measures: &[Measure], parent: &str, anchors: &mut Anchors) -> Option<Table> {
    let cells = |it: &Measure| {
        let value = match (&it.value, &it.unit) {
            (Value::Null, _) => Cell::of(&Value::from("not known")),
            (value, None) => Cell::of(value),
            (value, Some(unit)) => Cell::of(value).in_unit(unit),
        };
        let label = Cell::of(&Value::from(it.label.as_str()));
        vec![TableCell::Value(label), TableCell::Value(value)]
    };
    let table = || Table {
        anchor: anchors.take(&format!("{parent}-measured")),
        title: Shown::text("Measured"),
        extent: String::new(),
        columns: vec![column("What"), column("Value")],
        rows: measures.iter().map(cells).collect(),
    };
    (!measures.is_empty()).then(table)
}

fn table(table: &model::Table, parent: &str, anchors: &mut Anchors) -> Table {
    let width = table.rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = width.max(table.columns.len());
    let name = |index: usize| table.columns.get(index).map_or("", String::as_str);
    let cell = |row: &[Value], index: usize| match row.get(index) {
        Some(value) if is_name(name(index)) => Cell::name(value),
        Some(value) => Cell::of(value),
        None => Cell::nothing(),
    };
    let rows: Vec<Vec<Cell>> = table
        .rows
        .iter()
        .map(|row| (0..width).map(|index| cell(row, index)).collect())
        .collect();
    let columns = (0..width).map(|index| Column {
        name: Shown::heading(name(index)),
        is_number: is_number(&rows, index),
    });
    let listed = table.rows.len() as u64;
    let extent = match (listed, table.rows_total) {
        (1, 1) => "1 row".to_owned(),
        (listed, total) if listed == total => format!("{} rows", count(total)),
        (listed, total) => format!(
            "{} of {} rows; the others are counted and not listed",
            count(listed),
            count(total)
        ),
    };
    Table {
        anchor: anchors.take(&format!("{parent}-{}", table.name)),
        title: Shown::text(&table.title),
        extent,
        columns: columns.collect(),
        rows: rows
            .into_iter()
            .map(|row| row.into_iter().map(TableCell::Value).collect())
            .collect(),
    }
}

/// Whether a column has numbers and nothing else.
fn is_number(rows: &[Vec<Cell>], index: usize) -> bool {
    let mut cells = rows.iter().map(|row| &row[index]);
    cells.clone().any(Cell::is_number) && cells.all(|it| it.is_number() || *it == Cell::nothing())
}

fn figure(chart: &Chart, parent: &str, anchors: &mut Anchors) -> Figure {
    let anchor = anchors.take(&format!("{parent}-{}", chart.name));
    let mut columns = vec![String::from("Label")];
    columns.extend(chart.series.iter().map(|it| it.name.clone()));
    let rows = chart.labels.iter().enumerate().map(|(index, label)| {
        let mut row = vec![Value::from(label.as_str())];
        let values = chart.series.iter().map(|it| it.values.get(index));
        row.extend(values.map(|it| it.map_or(Value::Null, |it| Value::from(*it))));
        row
    });
    let values = model::Table {
        name: format!("{}-values", chart.name),
        title: format!("Values: {}", chart.title),
        columns,
        rows: rows.collect(),
        rows_total: chart.labels.len() as u64,
    };
    let mut shown = table(&values, parent, anchors);
    shown.extent = format!("in {}", Shown::text(&chart.unit));
    let legend = chart.series.iter().enumerate();
    Figure {
        title: Shown::text(&chart.title),
        description: chart::description(chart),
        drawing: chart::draw(chart),
        legend: legend
            .map(|(index, it)| (index % chart::COLOURS, Shown::heading(&it.name)))
            .collect(),
        table: shown,
        anchor,
    }
}

fn source(obtained: &Obtained) -> Source {
    let origin = match obtained.origin {
        Origin::Qwed => "QWED's database",
        Origin::State => "trailkeeper's database",
        Origin::Configuration => "Configuration",
        Origin::Verification => "Verification of the trail",
        Origin::Archive => "Archive",
    };
    let mut facts = Vec::new();
    if !obtained.parameters.is_empty() {
        let parameters: Vec<_> = obtained.parameters.iter().map(Value::to_string).collect();
        facts.push(code("Parameters", &parameters.join(", ")));
    }
    if let Some(window) = &obtained.window {
        let window = format!(
            "{} to {} (the end is not part of it)",
            time(window.from),
            time(window.to)
        );
        facts.push(fact("Window", &window));
    }
    facts.push(fact("Rows", &count(obtained.rows)));
    facts.push(fact("Asked", time(obtained.at).as_str()));
    Source {
        origin,
        query: Shown::text(&obtained.query),
        facts,
    }
}

fn column(name: &str) -> Column {
    Column {
        name: Shown::text(name),
        is_number: false,
    }
}

fn fact(label: &'static str, text: &str) -> Fact {
    Fact {
        label,
        shown: Shown::text(text),
        is_code: false,
    }
}

fn code(label: &'static str, text: &str) -> Fact {
    Fact {
        is_code: true,
        ..fact(label, text)
    }
}

/// Names of places in a document, or of files: each once, of characters that need no escape.
#[derive(Default)]
pub(super) struct Anchors(BTreeSet<String>);

impl Anchors {
    pub(super) fn take(&mut self, wanted: &str) -> String {
        let safe = |it: char| match it {
            'a'..='z' | '0'..='9' | '_' => it,
            'A'..='Z' => it.to_ascii_lowercase(),
            _ => '-',
        };
        let mut name: String = wanted.chars().take(80).map(safe).collect();
        let base = name.clone();
        let mut next = 2;
        while !self.0.insert(name.clone()) {
            name = format!("{base}-{next}");
            next += 1;
        }
        name
    }
}
