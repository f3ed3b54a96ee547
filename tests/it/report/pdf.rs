//! PDF of reports, as other programs read it.

use std::io::Write;
use std::process::{Command, Stdio};

use trailkeeper::report::{model::Report, render};

use super::sample;

struct Pdf {
    file: tempfile::NamedTempFile,
}

impl Pdf {
    fn of(report: &Report) -> Self {
        let mut file = tempfile::NamedTempFile::new().expect("make a file");
        let pdf = render::pdf(report).expect("a PDF");
        file.write_all(&pdf).expect("write");
        Self { file }
    }

    /// What a program says of it.
    #[track_caller]
    fn told(&self, program: &str, before: &[&str], after: &[&str]) -> String {
        let output = Command::new(program)
            .args(before)
            .arg(self.file.path())
            .args(after)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}; scripts/setup installs it"));
        assert!(output.status.success(), "{program}: {output:?}");
        // Poppler takes "false" for a wrong type there, although ISO 32000-1, 14.7.1 has a boolean.
        let complaints = String::from_utf8_lossy(&output.stderr);
        let mut complaints = complaints
            .lines()
            .filter(|line| !line.contains("Suspects object"));
        assert_eq!(complaints.next(), None, "{program}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

/// Without how lines were broken.
fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn pdf_says_what_it_is() {
    let pdf = Pdf::of(&sample::report());
    let told = pdf.told("pdfinfo", &["-isodates"], &[]);
    for line in [
        "Title:           SOC 2 evidence: Acme Verification GmbH, 2026-08-25 to 2026-11-23",
        "Creator:         trailkeeper 0.1.0",
        "CreationDate:    2026-11-23T12:00:03Z",
        "Tagged:          yes",
        "Page size:       595.28 x 841.89 pts (A4)",
        "JavaScript:      no",
    ] {
        // Newer versions align differently.
        assert!(joined(&told).contains(&joined(line)), "{line}\n{told}");
    }
    let metadata = pdf.told("pdfinfo", &["-meta"], &[]);
    for standard in ["pdfaid:part", "pdfaid:conformance", "pdfuaid:part"] {
        assert!(metadata.contains(standard), "{standard}\n{metadata}");
    }
}

#[test]
fn pdf_is_sound() {
    for report in [sample::plain(), sample::report()] {
        let told = Pdf::of(&report).told("qpdf", &["--check"], &[]);
        assert!(
            told.contains("No syntax or stream encoding errors found"),
            "{told}"
        );
    }
}

#[test]
fn every_page_is_numbered_and_every_control_is_there() {
    let report = sample::plain();
    let pdf = Pdf::of(&report);
    let text = pdf.told("pdftotext", &["-layout"], &["-"]);
    let pages: Vec<_> = text.split('\u{c}').filter(|it| !it.is_empty()).collect();
    assert!(pages.len() > 3, "{}", pages.len());
    for (index, page) in pages.iter().enumerate() {
        let number = format!("{} of {}", index + 1, pages.len());
        assert!(page.trim_end().ends_with(&number), "{number}\n{page}");
    }
    let text = joined(&text);
    for control in &report.controls {
        for said in [
            &control.title,
            &control.requirement,
            &control.reason,
            &control.remedy,
            &control.limits,
        ] {
            // A page's foot may stand in between.
            let start: String = said.chars().take(60).collect();
            assert!(text.contains(&joined(&start)), "{start}");
        }
        for table in &control.tables {
            assert!(text.contains(&table.title), "{}", table.title);
        }
    }
    assert!(text.contains("2 of 1\u{202f}345 rows") || text.contains("2 of 1 345 rows"));
    // The head of a long table is on each of its pages.
    let heads = text.matches("at schedule outcome entries seconds").count();
    assert!(heads >= 2, "{heads}");
}

#[test]
fn pdf_has_the_structure_that_assistive_programs_read() {
    let report = sample::plain();
    let pdf = Pdf::of(&report);
    let structure = pdf.told("pdfinfo", &["-struct-text"], &[]);
    let count = |name: &str| {
        structure
            .lines()
            .filter(|it| it.trim().split([' ', '(']).next() == Some(name))
            .count()
    };
    assert_eq!(count("H1"), 1, "{structure}");
    assert_eq!(count("H2"), 3 + report.controls.len());
    // What is measured, the guide's table, the index, and each chart's values.
    let tables: usize = report
        .controls
        .iter()
        .map(|it| it.tables.len() + it.charts.len() + usize::from(!it.measured.is_empty()))
        .sum();
    assert_eq!(count("Table"), 2 + tables);
    assert_eq!(count("Caption"), 2 + tables);
    assert_eq!(count("THead"), 2 + tables);
    assert_eq!(count("Figure"), 2);
    assert_eq!(count("Link"), report.controls.len());
}

#[test]
fn hostile_text_is_written_or_named() {
    let text = Pdf::of(&sample::report()).told("pdftotext", &["-raw"], &["-"]);
    let text = joined(&text);
    assert!(text.contains("</script><script>alert(1)</script>"));
    assert!(text.contains("\\u{202e}drawkcab\\u{202c} and"), "{text}");
    assert!(text.contains("Ωμέγα Привет"));
    // What no font of ours has a shape for.
    assert!(text.contains("[U+65E5][U+672C][U+8A9E]"));
    assert!(text.contains('م') && text.contains('ש'));
}

#[test]
fn the_same_report_gives_the_same_bytes() {
    let report = sample::report();
    let pdf = render::pdf(&report).expect("a PDF");
    assert_eq!(pdf, render::pdf(&report).expect("a PDF"));
    let told: Report =
        serde_json::from_slice(&serde_json::to_vec(&report).expect("JSON")).expect("a report");
    assert_eq!(pdf, render::pdf(&told).expect("a PDF"));
    assert_eq!(render::html(&report), render::html(&told));
}
