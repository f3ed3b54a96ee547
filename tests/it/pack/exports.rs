//! Exports against the schemas that their publishers publish.

use std::fs;
use std::path::Path;

use serde_json::Value;
use trailkeeper::report::{model::Status, ocsf, oscal};

use super::sample;

fn schema(name: &str) -> jsonschema::Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/schemas");
    let text = fs::read_to_string(path.join(name)).expect("read the schema");
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    let options = jsonschema::options().should_validate_formats(true);
    options.build(&schema).expect("a schema")
}

#[track_caller]
fn holds(schema: &jsonschema::Validator, document: &Value) {
    let errors = schema.iter_errors(document);
    let errors: Vec<String> = errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}\n{document:#}");
}

#[test]
fn ocsf_findings_are_as_the_schema_wants_them() {
    let schema = schema("ocsf-compliance-finding-1.8.0.json");
    let report = sample::report(1, "audit.example.org", "intact", 600);
    let findings = ocsf::findings(&report);
    assert_eq!(findings.len(), report.controls.len());
    let mut uids = Vec::new();
    for (finding, control) in findings.iter().zip(&report.controls) {
        holds(&schema, finding);
        assert_eq!(finding["time"], 1_785_556_801_500_i64, "milliseconds");
        assert_eq!(
            finding["start_time"],
            report.period.start.as_second() * 1000
        );
        assert_eq!(finding["type_uid"], 200_301);
        let status = match control.status {
            Status::Pass => 1,
            Status::Unknown => 2,
            Status::Fail => 3,
            Status::NotApplicable => 99,
        };
        assert_eq!(finding["compliance"]["status_id"], status);
        assert_eq!(finding["unmapped"]["limits"], control.limits);
        uids.push(finding["finding_info"]["uid"].to_string());
    }
    uids.sort();
    uids.dedup();
    assert_eq!(uids.len(), findings.len());
    let array: Value = serde_json::from_slice(&ocsf::array(&report)).expect("JSON");
    assert_eq!(array.as_array(), Some(&findings));
    let lines = String::from_utf8(ocsf::lines(&report)).expect("UTF-8");
    let lines = lines.lines().map(serde_json::from_str::<Value>);
    let lines: Vec<Value> = lines.collect::<Result<_, _>>().expect("JSON lines");
    assert_eq!(lines, findings);
    // The schema is one that refuses.
    let mut wrong = findings[0].clone();
    wrong["timestamp"] = wrong["time"].take();
    assert!(!schema.is_valid(&wrong));
}

#[test]
fn oscal_results_are_as_the_schema_wants_them() {
    let schema = schema("oscal-assessment-results-1.2.3.json");
    let mut report = sample::report(1, "audit.example.org", "intact", 600);
    let document = oscal::value(&report);
    holds(&schema, &document);
    let result = &document["assessment-results"]["results"][0];
    let findings = result["findings"].as_array().expect("findings");
    let of = |finding: &Value| {
        let target = &finding["target"];
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        [
            text(&target["target-id"]),
            text(&target["status"]["state"]),
            text(&target["status"]["reason"]),
        ]
    };
    let found: Vec<_> = findings.iter().map(of).collect();
    let expected = [
        ["trail_integrity_obj", "satisfied", "pass"],
        ["api_keys_obj", "not-satisfied", "fail"],
        ["restore_drill_obj", "not-satisfied", "other"],
    ];
    assert_eq!(found, expected.map(|row| row.map(str::to_owned)));
    let observations = result["observations"].as_array().expect("observations");
    assert_eq!(observations.len(), 4, "also of what has no finding");
    assert_eq!(observations[0]["collected"], "2026-08-01T04:00:00.123456Z");
    assert_eq!(observations[0]["methods"][0], "TEST");
    assert_eq!(observations[1]["methods"][0], "EXAMINE");
    // Each reference leads somewhere.
    let text = document.to_string();
    for observation in observations {
        let uuid = observation["uuid"].as_str().expect("text");
        let references = text.matches(uuid).count();
        let is_found = observation["props"][0]["value"] != "not_applicable";
        assert_eq!(references, 1 + usize::from(is_found));
    }
    // The same report is the same document, another is another.
    assert_eq!(oscal::document(&report), oscal::document(&report));
    report.id = "another".to_owned();
    let other = oscal::value(&report);
    holds(&schema, &other);
    assert_ne!(
        other["assessment-results"]["uuid"],
        document["assessment-results"]["uuid"]
    );
    report.controls.clear();
    holds(&schema, &oscal::value(&report));
}
