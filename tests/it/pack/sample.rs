//! A report made by hand: every status, every shape of value, and texts that a format could choke on.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use trailkeeper::report::{
    criteria::criteria,
    model::{
        Chart, ChartKind, Control, DISCLAIMER, GuideStatus, Measure, Obtained, Organization,
        Origin, Period, Provenance, REPORT_TYPE, REPORT_VERSION, Report, Series, Status, Summary,
        Table, Window,
    },
};

pub(super) const REPORT_ID: &str = "0198f3c2-7d11-7e53-9a60-3b1f6f0c2a44";

pub(super) fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn measure(name: &str, value: Value, unit: Option<&str>) -> Measure {
    Measure {
        name: name.to_owned(),
        label: format!("What is called {name}"),
        value,
        unit: unit.map(str::to_owned),
    }
}

fn control(id: &str, status: Status, reason: &str) -> Control {
    Control {
        id: id.to_owned(),
        title: format!("The control *{id}*\nis <shown>"),
        evidence_for: criteria(&["CC7.2", "PI1.5"]),
        requirement: "Something has to be as it was.".to_owned(),
        status,
        reason: reason.to_owned(),
        remedy: String::new(),
        limits: "It shows nothing of what was never written.".to_owned(),
        measured: Vec::new(),
        tables: Vec::new(),
        charts: Vec::new(),
        obtained: Vec::new(),
    }
}

fn table(name: &str, rows: Vec<Vec<Value>>, rows_total: u64) -> Table {
    Table {
        name: name.to_owned(),
        title: format!("All of {name}"),
        columns: vec!["id".to_owned(), "what".to_owned(), "share".to_owned()],
        rows,
        rows_total,
    }
}

/// A report about an organisation whose trail was found like that.
pub(super) fn report(organization: i64, origin: &str, verdict: &str, entries: u64) -> Report {
    let (start, end) = (time("2026-05-01T00:00:00Z"), time("2026-08-01T00:00:00Z"));
    let status = match verdict {
        "intact" => Status::Pass,
        _ => Status::Fail,
    };
    let mut trail = control(
        "trail_integrity",
        status,
        "Every entry is as it was written.",
    );
    trail.measured = vec![
        measure("verdict", json!(verdict), None),
        measure("entries_checked", json!(entries), Some("entries")),
        measure("gaps", Value::Null, None),
        measure("share", json!(0.1 + 0.2), Some("% of all")),
    ];
    trail.tables = vec![table(
        "runs",
        vec![
            vec![json!(1), json!("=cmd|' /C calc'!A0"), json!(0.5)],
            vec![json!(2), json!("two\nlines, \"quoted\""), Value::Null],
            vec![json!(3), json!(""), json!(true)],
        ],
        7,
    )];
    trail.charts = vec![Chart {
        name: "weeks".to_owned(),
        title: "Entries by week".to_owned(),
        kind: ChartKind::StackedBars,
        unit: "entries".to_owned(),
        labels: vec!["2026-05-04".to_owned()],
        series: vec![Series {
            name: "valid".to_owned(),
            values: vec![1.1],
        }],
    }];
    trail.obtained = vec![
        Obtained {
            origin: Origin::Verification,
            query: "all entries, read and hashed".to_owned(),
            parameters: Vec::new(),
            window: None,
            rows: entries,
            at: time("2026-08-01T04:00:00.123456Z"),
        },
        Obtained {
            origin: Origin::Qwed,
            query: "SELECT * FROM verificationlog WHERE a_b < $1 AND c = '[x]'".to_owned(),
            parameters: vec![json!(7), json!("text\nwith line"), Value::Null],
            window: Some(Window {
                from: start,
                to: end,
            }),
            rows: 0,
            at: time("2026-08-01T03:59:00Z"),
        },
    ];
    let mut keys = control(
        "api_keys",
        Status::Fail,
        "Two keys are too old; `key_1` and _key 2_.",
    );
    keys.remedy = "Rotate them: trailkeeper enqueue check_api_keys.".to_owned();
    keys.tables = vec![
        table("overdue", Vec::new(), 0),
        table("dormant", vec![vec![json!(9), json!("x"), json!(-1)]], 1),
    ];
    keys.measured = vec![measure("overdue keys!", json!(2), Some("keys"))];
    let mut drill = control("restore_drill", Status::Unknown, "No drill is on record.");
    drill.evidence_for = criteria(&["A1.3", "X9"]);
    drill.limits = String::new();
    let probe = control("rate_limiting", Status::NotApplicable, " ");
    let controls = vec![trail, keys, drill, probe];
    let statuses = [
        ("audit_trail_complete", status),
        ("access_logs_retained", Status::Unknown),
    ];
    let statuses = statuses.map(|(name, status)| (name.to_owned(), GuideStatus::from(status)));
    Report {
        id: REPORT_ID.to_owned(),
        report_type: REPORT_TYPE.to_owned(),
        report_version: REPORT_VERSION.to_owned(),
        disclaimer: DISCLAIMER.to_owned(),
        organization: Organization {
            id: organization,
            name: Some("Organisation \"One\" \u{1f}\u{2014} <b>".to_owned()),
            tier: Some("pro".to_owned()),
            is_active: Some(true),
        },
        period: Period {
            start,
            end,
            days: 92,
        },
        generated_at: time("2026-08-01T04:00:01.5Z"),
        compliance_status: BTreeMap::from(statuses),
        summary: Summary::of(&controls),
        controls,
        provenance: Provenance {
            program: "trailkeeper".to_owned(),
            version: "0.1.0".to_owned(),
            configuration_sha256: "00".repeat(32),
            qwed_database: "sqlite:///qwed.db".to_owned(),
            qwed_dialect: "sqlite".to_owned(),
            qwed_server: None,
            state_database: "sqlite://state.db".to_owned(),
            anchor_origin: origin.to_owned(),
            anchor_key: None,
        },
    }
}
