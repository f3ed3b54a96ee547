//! HTML and CSV of reports.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};
use trailkeeper::report::{
    model::{Report, Status},
    render,
};

use super::{
    dom::Element,
    sample::{self, HOSTILE},
};
use crate::support::program::Program;

fn both() -> [(Report, String); 2] {
    [sample::plain(), sample::report()].map(|report| {
        let html = render::html(&report);
        (report, html)
    })
}

#[test]
fn html_is_as_it_was() {
    let html = render::html(&sample::plain());
    let body = &html[html.find("<body>").expect("a body")..];
    insta::assert_snapshot!("html", body);
}

#[test]
fn html_asks_for_nothing_and_runs_nothing() {
    for (_, html) in both() {
        let page = Element::parse(&html);
        for element in page.all() {
            assert!(
                ![
                    "script", "link", "img", "iframe", "object", "embed", "base", "form", "image",
                    "use"
                ]
                .contains(&element.name.as_str()),
                "{element:?}"
            );
            for (name, value) in &element.attributes {
                assert!(
                    ![
                        "src",
                        "style",
                        "srcset",
                        "action",
                        "data",
                        "background",
                        "xlink:href",
                        "srcdoc"
                    ]
                    .contains(&name.as_str())
                        && !name.starts_with("on"),
                    "{name}={value}"
                );
                assert!(name != "href" || value.starts_with('#'), "{name}={value}");
            }
        }
        let policy = page.named("meta").into_iter().find_map(|it| {
            let is_policy = it.attribute("http-equiv") == Some("Content-Security-Policy");
            is_policy.then(|| it.attribute("content")).flatten()
        });
        let policy = policy.expect("a policy");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'sha256-"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}

#[test]
fn the_browser_applies_the_style_that_is_there() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use sha2::{Digest, Sha256};
    let html = render::html(&sample::plain());
    let (_, rest) = html.split_once("<style>").expect("a style");
    let (style, _) = rest.split_once("</style>").expect("its end");
    let hash = format!("'sha256-{}'", STANDARD.encode(Sha256::digest(style)));
    assert!(html.contains(&hash), "{hash}");
}

#[test]
fn html_can_be_read_without_seeing_it() {
    for (report, html) in both() {
        let page = Element::parse(&html);
        assert_eq!(page.named("html")[0].attribute("lang"), Some("en"));
        assert_eq!(page.named("main").len(), 1);
        assert_eq!(page.named("h1").len(), 1);
        let mut depth = 0;
        for element in page.all() {
            if let Some(level) = element
                .name
                .strip_prefix('h')
                .and_then(|it| it.parse::<u8>().ok())
            {
                assert!(
                    level <= depth + 1,
                    "h{level} after h{depth}: {}",
                    element.text
                );
                assert!(!element.text.trim().is_empty());
                depth = level;
            }
        }
        for table in page.named("table") {
            assert_eq!(table.children[0].name, "caption", "{}", table.text);
            for head in table.named("th") {
                let scope = head.attribute("scope").expect("a scope");
                assert!(["row", "col"].contains(&scope));
            }
            let columns = table.named("thead")[0].named("th").len();
            for row in table.named("tbody")[0].named("tr") {
                let cells = &row.children;
                let is_empty = cells.len() == 1 && cells[0].attribute("colspan").is_some();
                assert!(is_empty || cells.len() == columns, "{}", row.text);
            }
        }
        let mut ids = BTreeSet::new();
        for element in page.all() {
            if let Some(id) = element.attribute("id") {
                assert!(ids.insert(id), "{id} is there twice");
                assert!(!id.contains(char::is_whitespace), "{id:?}");
            }
        }
        for element in page.all() {
            let referred = element.attribute("aria-labelledby").unwrap_or_default();
            let target = element
                .attribute("href")
                .and_then(|it| it.strip_prefix('#'));
            for id in referred.split_whitespace().chain(target) {
                assert!(ids.contains(id), "nothing has the id {id}");
            }
        }
        let first = page.named("body")[0].children.first().expect("something");
        assert_eq!(first.attribute("href"), Some("#content"));
        let drawings = page.named("svg");
        let drawings = drawings
            .iter()
            .filter(|it| it.attribute("role") == Some("img"));
        for drawing in drawings {
            assert_eq!(drawing.children[0].name, "title");
            assert_eq!(drawing.children[1].name, "desc");
        }
        // Every chart has its values as a table, also where nothing was drawn.
        let charts: usize = report.controls.iter().map(|it| it.charts.len()).sum();
        let figures = page.named("figure");
        assert_eq!(figures.len(), charts);
        for figure in figures {
            assert_eq!(figure.named("table").len(), 1);
        }
    }
}

#[test]
fn html_says_everything_that_the_report_says() {
    for (report, html) in both() {
        let page = Element::parse(&html);
        let sections = page.named("section");
        let sections: Vec<_> = sections
            .iter()
            .filter(|it| {
                it.attribute("class")
                    .is_some_and(|it| it.starts_with("control "))
            })
            .collect();
        assert_eq!(sections.len(), report.controls.len());
        for (control, section) in report.controls.iter().zip(sections) {
            let word = match control.status {
                Status::Pass => "✓ Pass",
                Status::Fail => "✕ Fail",
                Status::Unknown => "? Unknown",
                Status::NotApplicable => "– Not applicable",
            };
            let badges = section.named("span");
            let badge = badges.iter().find(|it| {
                it.attribute("class")
                    .is_some_and(|it| it.starts_with("badge"))
            });
            assert_eq!(badge.expect("a badge").text, word);
            let captions = section.named("caption");
            for table in &control.tables {
                let total = table.rows_total;
                let listed = table.rows.len() as u64;
                let is_said = captions.iter().any(|it| {
                    let is_cut = it.text.contains(" of ") && it.text.contains("not listed");
                    it.text.contains(&table.title) && is_cut == (listed < total)
                });
                assert!(is_said || control.title == HOSTILE[0], "{}", table.title);
            }
            for obtained in &control.obtained {
                let is_said = section.text.contains(&obtained.query);
                assert!(is_said || control.title == HOSTILE[0], "{}", obtained.query);
            }
            for criterion in &control.evidence_for {
                assert!(section.text.contains(&criterion.about));
            }
        }
        assert!(page.text.contains(&report.disclaimer));
        assert!(page.text.contains(&report.provenance.configuration_sha256));
    }
    let html = render::html(&sample::plain());
    assert!(html.contains("2 of 1\u{202f}345 rows"));
}

#[test]
fn hostile_text_comes_out_as_text() {
    let html = render::html(&sample::report());
    let page = Element::parse(&html);
    for text in &HOSTILE[..5] {
        assert!(page.text.contains(text), "{text}");
    }
    assert!(
        page.text
            .contains("\\u{202e}drawkcab\\u{202c} and \\u{200b}hidden\\u{feff}")
    );
    assert!(
        page.text
            .contains("nul \\u{0} escape \\u{1b}[31m bell \\u{7} delete \\u{7f} next \\u{85}")
    );
    assert!(!html.contains(|it: char| it.is_control() && it != '\n'));
    assert!(!html.contains(['\u{202e}', '\u{200b}', '\u{feff}']));
    // Text of either direction keeps to itself.
    assert!(page.named("bdi").iter().any(|it| it.text == HOSTILE[7]));
    assert!(page.text.contains("… and 9\u{202f}600 more characters"));
}

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("make a directory");
    let json = serde_json::to_vec(&sample::report()).expect("JSON");
    std::fs::write(directory.path().join("report.json"), json).expect("write");
    directory
}

fn render(directory: &std::path::Path, format: &str, output: &str) -> crate::support::program::Run {
    Program::bare()
        .directory(directory)
        .args([
            "report",
            "render",
            "--input",
            "report.json",
            "--format",
            format,
            "--output",
            output,
        ])
        .run()
}

#[test]
fn a_command_renders_what_was_kept() {
    let directory = directory();
    let path = directory.path();
    let report = sample::report();
    for (format, file) in [("html", "r.html"), ("pdf", "r.pdf"), ("csv", "tables")] {
        let run = render(path, format, file);
        assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{run:?}");
    }
    let read = |name: &str| std::fs::read(path.join(name)).expect("it is there");
    assert_eq!(read("r.html"), render::html(&report).into_bytes());
    assert_eq!(read("r.pdf"), render::pdf(&report).expect("a PDF"));
    let files = render::csv_files(&report);
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "trail_integrity-runs.csv",
            "trail_integrity-gaps.csv",
            "security_events-unreviewed.csv",
            "---img-src-x-onerror-alert-1---control-hostile.csv",
            "---img-src-x-onerror-alert-1---control-hostile-2.csv",
            "---img-src-x-onerror-alert-1---.csv"
        ]
    );
    for (name, table) in files {
        let mut csv = Vec::new();
        render::csv(table, &mut csv).expect("memory takes all");
        assert_eq!(read(&format!("tables/{name}")), csv, "{name}");
    }
    let unreviewed =
        String::from_utf8(read("tables/security_events-unreviewed.csv")).expect("UTF-8");
    insta::assert_snapshot!("csv", unreviewed.replace("\r\n", "\n"));
}

#[test]
fn a_command_overwrites_nothing_and_says_what_is_no_report() {
    let directory = directory();
    let path = directory.path();
    std::fs::write(path.join("there"), "mine").expect("write");
    let run = render(path, "html", "there");
    assert_eq!(run.failure().0, Some(2));
    assert_eq!(std::fs::read(path.join("there")).expect("read"), b"mine");
    std::fs::write(path.join("report.json"), "{}").expect("write");
    let run = render(path, "html", "new");
    let (code, line) = run.failure();
    assert_eq!(code, Some(2));
    assert!(line.contains("report.json is no report"), "{line}");
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|it| json!(it)),
        any::<String>().prop_map(Value::from),
        "[\\x00-\\x20<>&\"'=+@\u{590}-\u{7ff}\u{2000}-\u{206f}\u{e000}-\u{e010}]{0,40}"
            .prop_map(Value::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_database_holds_can_be_rendered(
        rows in prop::collection::vec(prop::collection::vec(any_value(), 0..5), 0..8),
        columns in prop::collection::vec(any::<String>(), 0..5),
        text in any::<String>(),
        values in prop::collection::vec(any::<f64>(), 0..9),
    ) {
        let mut report = sample::plain();
        let control = &mut report.controls[1];
        control.title.clone_from(&text);
        control.id.clone_from(&text);
        control.reason.clone_from(&text);
        control.obtained[0].query = text;
        control.tables[0].rows = rows;
        control.tables[0].columns = columns;
        control.charts[0].series[0].values = values;
        let html = render::html(&report);
        Element::parse(&html);
        render::pdf(&report).expect("a PDF");
        render::csv(&report.controls[1].tables[0], Vec::new()).expect("memory takes all");
    }
}
