//! A report made by hand: every status, every kind of value, tables whole and cut, charts, and text that wants to be more than text.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trailkeeper::report::{
    criteria::criteria,
    model::{
        Chart, ChartKind, Control, DISCLAIMER, GuideStatus, Measure, Obtained, Organization,
        Origin, Period, Provenance, REPORT_TYPE, REPORT_VERSION, Report, Series, Status, Summary,
        Table, Window,
    },
};

/// Text that must come out as text, each in a way of its own.
pub(crate) const HOSTILE: [&str; 10] = [
    "</script><script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "</style><style>*{display:none}</style>",
    "{{ 7*7 }} {% include \"x\" %} ${7*7}",
    "--> ]]> <!-- &amp; &#x3c;",
    "\u{202e}drawkcab\u{202c} and \u{200b}hidden\u{feff}",
    "nul \u{0} escape \u{1b}[31m bell \u{7} delete \u{7f} next \u{85}",
    "مرحبا بالعالم שלום עולם",
    "=HYPERLINK(\"http://evil.example\",\"x\")",
    "日本語 👩‍💻 Ωμέγα Привет ﷽",
];

fn at(text: &str) -> jiff::Timestamp {
    text.parse().expect("a time")
}

fn row(values: Value) -> Vec<Value> {
    values.as_array().expect("an array").clone()
}

fn measure(name: &str, label: &str, value: Value, unit: Option<&str>) -> Measure {
    Measure {
        name: name.into(),
        label: label.into(),
        value,
        unit: unit.map(Into::into),
    }
}

fn table(name: &str, title: &str, columns: &[&str], rows: Vec<Value>, total: u64) -> Table {
    Table {
        name: name.into(),
        title: title.into(),
        columns: columns.iter().map(|it| (*it).to_owned()).collect(),
        rows: rows.into_iter().map(row).collect(),
        rows_total: total,
    }
}

fn obtained(origin: Origin, query: &str, parameters: Value, rows: u64) -> Obtained {
    let is_windowed = parameters.as_array().is_some_and(|it| it.len() > 1);
    Obtained {
        origin,
        query: query.into(),
        parameters: row(parameters),
        window: is_windowed.then(|| Window {
            from: at("2026-08-25T00:00:00Z"),
            to: at("2026-11-23T00:00:00Z"),
        }),
        rows,
        at: at("2026-11-23T12:00:01Z"),
    }
}

fn control(id: &str, title: &str, evidence_for: &[&str], status: Status) -> Control {
    Control {
        id: id.into(),
        title: title.into(),
        evidence_for: criteria(evidence_for),
        requirement: String::new(),
        status,
        reason: String::new(),
        remedy: String::new(),
        limits: String::new(),
        measured: Vec::new(),
        tables: Vec::new(),
        charts: Vec::new(),
        obtained: Vec::new(),
    }
}

fn weeks() -> Vec<String> {
    let first = jiff::civil::date(2026, 8, 24);
    (0..13)
        .map(|week| (first + jiff::Span::new().weeks(week)).to_string())
        .collect()
}

fn series(name: &str, values: &[u8]) -> Series {
    Series {
        name: name.into(),
        values: values.iter().copied().map(f64::from).collect(),
    }
}

fn trail_integrity() -> Control {
    let runs = (0..90).map(|day| {
        let date = jiff::civil::date(2026, 8, 25) + jiff::Span::new().days(day);
        json!([
            format!("{date}T02:00:0{}Z", day % 7),
            "verify_trail",
            if day == 41 { "missed" } else { "intact" },
            1_204_331 + day * 8_117,
            if day == 41 {
                json!(null)
            } else {
                json!(4.25 + day as f64 / 8.0)
            },
        ])
    });
    Control {
        requirement: "Every entry of the organisation is found, its hash is what its content gives, its signature is right, and each refers to the one before."
            .into(),
        reason: "All 1934861 entries were read and verified; 2 gaps of ids are explained by other organisations' entries. The head is the one that was anchored last."
            .into(),
        limits: "It does not show that what QWED logged is what happened, nor that nothing was left out before it was logged.".into(),
        measured: vec![
            measure("entries", "Entries of the organisation", json!(1_934_861), Some("entries")),
            measure("entries_in_period", "Entries in the period", json!(730_530), Some("entries")),
            measure("bytes", "Read", json!(2_147_483_648u64), Some("bytes")),
            measure("share", "Share that is anchored", json!(99.98765), Some("%")),
            measure("head", "Hash of the newest entry", json!("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"), None),
            measure("newest", "Newest entry", json!("2026-11-22T23:59:58.120+00:00"), None),
            measure("is_anchored", "The head is anchored", json!(true), None),
            measure("drift", "Difference from the count before", json!(-1200), Some("entries")),
        ],
        tables: vec![
            table("runs", "Scheduled verifications", &["at", "schedule", "outcome", "entries", "seconds"], runs.collect(), 90),
            table("gaps", "Gaps of ids", &["first missing id", "last missing id", "reason"], vec![
                json!([1_000_117, 1_000_980, "entries of organisation 2"]),
                json!([1_204_000, 1_204_001, "entries of organisation 3"]),
            ], 1_345),
        ],
        obtained: vec![
            obtained(Origin::Verification, "read and verify every entry of the organisation up to id 1934861", json!([]), 1_934_861),
            obtained(Origin::Qwed, "SELECT count(*), min(id), max(id)\n  FROM verificationlog\n WHERE organization_id = ?1\n   AND timestamp >= ?2 AND timestamp < ?3", json!([1, "2026-08-25 00:00:00", "2026-11-23 00:00:00"]), 1),
        ],
        ..control("trail_integrity", "The audit trail is complete and unaltered", &["CC7.2", "PI1.4", "PI1.5"], Status::Pass)
    }
}

fn security_events() -> Control {
    Control {
        requirement: "Every event of severity high or critical in the period was reviewed within 7 days.".into(),
        reason: "3 critical events of the period were not reviewed.".into(),
        remedy: "Look at them, then record it: trailkeeper events review --org 1 --until 2026-11-23T00:00:00Z --by NAME --note TEXT".into(),
        limits: "That an event was reviewed does not show that the right thing was done about it.".into(),
        measured: vec![
            measure("events", "Events in the period", json!(812), Some("events")),
            measure("unreviewed", "Unreviewed, high or critical", json!(3), Some("events")),
            measure("last_review", "Last review", json!(null), None),
        ],
        charts: vec![
            Chart {
                name: "by_week".into(),
                title: "Security events by week and severity".into(),
                kind: ChartKind::StackedBars,
                unit: "events".into(),
                labels: weeks(),
                series: vec![
                    series("critical", &[0, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0]),
                    series("high", &[4, 6, 2, 9, 12, 3, 0, 1, 7, 5, 3, 8, 2]),
                    series("medium", &[12, 20, 14, 18, 31, 22, 0, 9, 17, 21, 16, 25, 11]),
                    series("low", &[30, 41, 38, 29, 52, 47, 3, 22, 39, 44, 33, 50, 24]),
                ],
            },
            Chart {
                name: "by_layer".into(),
                title: "Blocked and allowed by layer".into(),
                kind: ChartKind::Bars,
                unit: "events".into(),
                labels: ["input validation", "prompt injection", "sandbox", "output", "rate limit", HOSTILE[0]].map(Into::into).into(),
                series: vec![series("blocked", &[120, 44, 3, 17, 90, 1]), series("allowed", &[3, 2, 0, 1, 0, 0])],
            },
            Chart {
                name: "nothing".into(),
                title: "Anomalies by week".into(),
                kind: ChartKind::Bars,
                unit: "anomalies".into(),
                labels: weeks(),
                series: vec![series("anomalies", &[0; 13])],
            },
        ],
        tables: vec![table("unreviewed", "Unreviewed events of severity high or critical", &["id", "at", "type", "severity", "layer", "reason", "user_id"],
            HOSTILE.iter().enumerate().map(|(index, text)| json!([90_001 + index, "2026-09-29T08:15:00Z", "prompt_injection", "critical", "input", text, if index % 2 == 0 { json!(17) } else { json!(null) }])).collect(), 10)],
        obtained: vec![obtained(Origin::Qwed, "SELECT event_type, severity, security_layer, count(*) FROM securityevent WHERE organization_id = $1 AND timestamp >= $2 AND timestamp < $3 GROUP BY 1, 2, 3", json!([1, "2026-08-25 00:00:00", "2026-11-23 00:00:00"]), 31)],
        ..control("security_events", "Security events are reviewed", &["CC7.2", "CC7.3"], Status::Fail)
    }
}

fn hostile() -> Control {
    let all = HOSTILE.join("\n");
    let long = "very ".repeat(2_000);
    Control {
        requirement: all.clone(),
        reason: format!("{long}long"),
        remedy: all.clone(),
        limits: "x".repeat(10_000),
        measured: HOSTILE
            .iter()
            .map(|it| measure(it, it, json!(it), Some(it)))
            .collect(),
        tables: vec![
            table(
                "control-hostile",
                HOSTILE[1],
                &HOSTILE,
                vec![
                    json!(HOSTILE),
                    json!([1]),
                    json!(["y".repeat(10_000), {"a": ["<b>"]}]),
                ],
                3,
            ),
            table("control-hostile", "No rows", &["id", HOSTILE[4]], vec![], 0),
            table("", "", &[], vec![], 0),
        ],
        charts: vec![Chart {
            name: HOSTILE[3].into(),
            title: HOSTILE[0].into(),
            kind: ChartKind::StackedBars,
            unit: HOSTILE[1].into(),
            labels: HOSTILE.map(Into::into).into(),
            series: HOSTILE
                .iter()
                .map(|it| series(it, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]))
                .collect(),
        }],
        obtained: vec![obtained(Origin::State, &all, json!([all, 1e300, true]), 1)],
        ..control(HOSTILE[1], HOSTILE[0], &["CC6.1", "<CC>"], Status::Unknown)
    }
}

/// The report.
pub(crate) fn report() -> Report {
    let quotas = Control {
        requirement: "Every active organisation has a quota.".into(),
        reason: "QWED's database has no table resourcequota.".into(),
        ..control(
            "rate_limiting",
            "Rate limiting is active",
            &["CC6.1"],
            Status::NotApplicable,
        )
    };
    let drill = Control {
        requirement: "An archive was restored and compared within 90 days.".into(),
        reason: "The state database could not be read: connection refused.".into(),
        remedy: "Make it reachable and make the report again.".into(),
        obtained: vec![obtained(
            Origin::Archive,
            "list manifests and read each lock back",
            json!([]),
            0,
        )],
        ..control(
            "restore_drill",
            "Restoring is tested",
            &["A1.2", "A1.3"],
            Status::Unknown,
        )
    };
    let controls = vec![
        trail_integrity(),
        security_events(),
        quotas,
        drill,
        hostile(),
    ];
    let mut compliance_status = BTreeMap::from(
        [
            ("audit_trail_complete", GuideStatus::Pass),
            ("access_logs_retained", GuideStatus::Unknown),
            ("security_events_reviewed", GuideStatus::Fail),
            ("rate_limiting_active", GuideStatus::NotApplicable),
        ]
        .map(|(name, status)| (name.to_owned(), status)),
    );
    compliance_status.insert(HOSTILE[0].into(), GuideStatus::Unknown);
    Report {
        id: "01934f5c-8f00-7c3a-9b1e-5d2f1c0a7e42".into(),
        report_type: REPORT_TYPE.into(),
        report_version: REPORT_VERSION.into(),
        disclaimer: DISCLAIMER.into(),
        organization: Organization {
            id: 1,
            name: Some("Acme Verification GmbH".into()),
            tier: Some("enterprise".into()),
            is_active: Some(true),
        },
        period: Period {
            start: at("2026-08-25T00:00:00Z"),
            end: at("2026-11-23T00:00:00Z"),
            days: 90,
        },
        generated_at: at("2026-11-23T12:00:03.250Z"),
        compliance_status,
        summary: Summary::of(&controls),
        controls,
        provenance: Provenance {
            program: "trailkeeper".into(),
            version: "0.1.0".into(),
            configuration_sha256:
                "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into(),
            qwed_database: "postgresql://qwed_reader@db.internal:5432/qwed".into(),
            qwed_dialect: "postgresql".into(),
            qwed_server: Some("PostgreSQL 15.14".into()),
            state_database: "postgresql://trailkeeper@db.internal:5432/trailkeeper".into(),
            anchor_origin: "trailkeeper.example/acme".into(),
            anchor_key: Some(
                "trailkeeper.example/acme+c0ffee42+AXq0Zk9t5m2pRk1u7bq8JYVw3nGd6o4s1xLc5yTz0hEe"
                    .into(),
            ),
        },
    }
}

/// The same without what only attackers write: to look at.
pub(crate) fn plain() -> Report {
    let mut report = report();
    report.controls.pop();
    report.compliance_status.remove(HOSTILE[0]);
    report.summary = Summary::of(&report.controls);
    report
}
