//! Trails written by the real QWED releases: equal to QWED 8.0.0's own verdicts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::program::{Copy, Program, fixtures};

/// What we say of a fixture beyond what QWED says.
struct Expected {
    name: &'static str,
    verdict: &'static str,
    /// Organisation, kind and entry of each finding.
    findings: &'static [(i64, &'static str, i64)],
}

const fn intact(name: &'static str) -> Expected {
    Expected {
        name,
        verdict: "intact",
        findings: &[],
    }
}

const fn tampered(name: &'static str, findings: &'static [(i64, &'static str, i64)]) -> Expected {
    Expected {
        name,
        verdict: "tampered",
        findings,
    }
}

const EXPECTED: [Expected; 25] = [
    intact("g1_one_process"),
    Expected {
        name: "g1_restarted",
        verdict: "incomplete",
        // The restart leaves the same doubt in both: entries of either may have been the last before it.
        findings: &[
            (1, "chain_restarted", 41),
            (1, "global_chain", 43),
            (2, "chain_restarted", 41),
            (2, "global_chain", 42),
        ],
    },
    Expected {
        name: "g1_two_orgs",
        verdict: "intact",
        findings: &[(1, "global_chain", 3), (2, "global_chain", 2)],
    },
    intact("g2_two_orgs"),
    intact("g3_two_orgs"),
    intact("g4_admission"),
    intact("g4_two_orgs"),
    tampered("t_admission_set_on_old_row", &[(2, "content_changed", 50)]),
    tampered("t_caller_set_on_old_row", &[(2, "content_changed", 4)]),
    tampered("t_hash_blanked", &[(1, "hash_missing", 17)]),
    // Nothing can show that the newest entries are gone.
    intact("t_head_rows_deleted"),
    tampered(
        "t_ids_swapped",
        &[(1, "reordered", 19), (1, "reordered", 21)],
    ),
    tampered("t_malformed_result", &[(2, "result_malformed", 14)]),
    tampered("t_middle_row_deleted", &[(1, "predecessor_missing", 17)]),
    tampered("t_query_edited", &[(1, "content_changed", 9)]),
    tampered("t_raw_output_edited", &[(2, "content_changed", 6)]),
    tampered("t_result_edited", &[(1, "content_changed", 11)]),
    tampered("t_signature_missing", &[(2, "signature_missing", 16)]),
    tampered("t_timestamp_moved", &[(1, "content_changed", 13)]),
    tampered("t_unsigned_row_inserted", &[(1, "hash_missing", 31)]),
    tampered("t_verified_flipped", &[(2, "content_changed", 12)]),
    // Nor that a whole organisation's entries are.
    intact("t_whole_org_deleted"),
    Expected {
        name: "upgraded",
        verdict: "incomplete",
        findings: &[(1, "legacy", 1), (2, "legacy", 2)],
    },
    intact("upgraded_chain"),
    intact("weird_results"),
];

fn names_with(extension: &str) -> BTreeSet<String> {
    let files = fs::read_dir(fixtures()).expect("list the fixtures");
    files
        .map(|file| file.expect("list the fixtures").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| {
            let stem = path.file_stem().expect("a file has a name");
            stem.to_str().expect("fixtures have plain names").to_owned()
        })
        .collect()
}

fn answers(name: &str) -> Value {
    let path = fixtures().join(name).with_extension("json");
    let text = fs::read_to_string(&path).expect("read QWED's answers");
    serde_json::from_str(&text).expect("QWED's answers are JSON")
}

/// `value` without the fields that the document names elsewhere.
fn without(mut value: Value, fields: &[&str]) -> Value {
    let object = value.as_object_mut().expect("an object");
    for field in fields {
        object.remove(*field);
    }
    value
}

fn findings(document: &Value) -> Vec<(i64, String, i64)> {
    let mut findings = Vec::new();
    for organization in document["organizations"].as_array().expect("a list") {
        let of_it = organization["findings"].as_array().expect("a list");
        assert_eq!(organization["findings_total"], of_it.len(), "{document}");
        for finding in of_it {
            findings.push((
                organization["organization_id"].as_i64().expect("an id"),
                finding["kind"].as_str().expect("a kind").to_owned(),
                finding["entry_id"].as_i64().expect("an id"),
            ));
        }
    }
    findings
}

/// The name and content of every file beside the database.
fn state(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(directory).expect("list the directory");
    files
        .map(|file| {
            let file = file.expect("list the directory");
            let name = file.file_name().to_string_lossy().into_owned();
            (name, fs::read(file.path()).expect("read the file"))
        })
        .collect()
}

#[test]
fn every_fixture_has_expectations() {
    let expected: BTreeSet<String> = EXPECTED.iter().map(|e| e.name.to_owned()).collect();
    assert_eq!(expected.len(), EXPECTED.len(), "each once");
    assert_eq!(names_with("db"), expected);
    let mut answered = expected;
    answered.insert("periods".to_owned());
    assert_eq!(names_with("json"), answered);
}

#[test]
fn trails_equal_qweds_answers() {
    for Expected { name, .. } in &EXPECTED {
        let copy = Copy::of(name);
        let (_, document) = Program::verify(&copy.path).json();
        let answers = answers(name);
        let trails = answers["trails"].as_object().expect("trails by id");
        let organizations = document["organizations"].as_array().expect("a list");
        let ids: Vec<String> = organizations
            .iter()
            .map(|organization| organization["organization_id"].to_string())
            .collect();
        assert_eq!(ids, trails.keys().cloned().collect::<Vec<_>>(), "{name}");
        for organization in organizations {
            let id = organization["organization_id"].to_string();
            let said = &trails[&id];
            let expected = if said.get("raises").is_some() {
                // QWED stops at entry 14; going on, it would have found nothing else.
                assert_eq!((*name, id.as_str()), ("t_malformed_result", "2"));
                json!({
                    "valid": false, "total_entries": 15, "verified_entries": 14, "failed_entries": [14],
                    "legacy_entries": [], "first_entry_id": 2, "last_entry_id": 30,
                    "head_hash": "f374a2433519d03072c75b65f226aa1fb3659b5756d7382a0765fe598b36b1fb",
                })
            } else {
                without(said.clone(), &["organization_id", "errors"])
            };
            assert_eq!(organization["qwed"], expected, "{name}, organisation {id}");
            let failed = expected["failed_entries"].as_array().map(Vec::len);
            let legacy = expected["legacy_entries"].as_array().map(Vec::len);
            assert_eq!(organization["failed_count"], json!(failed), "{name}");
            assert_eq!(organization["legacy_count"], json!(legacy), "{name}");
        }
    }
}

#[test]
fn entries_equal_qweds_answers() {
    for Expected { name, .. } in &EXPECTED {
        let copy = Copy::of(name);
        let answers = answers(name);
        let said = answers["entries"].as_object().expect("entries by id");
        assert!(!said.is_empty(), "{name}");
        let ids = said.keys().flat_map(|id| ["--entry", id]);
        let (run, document) = Program::verify(&copy.path).args(ids).json();
        let entries = document["entries"].as_array().expect("a list");
        assert_eq!(entries.len(), said.len(), "{name}");
        let mut all_valid = true;
        for (entry, (id, said)) in entries.iter().zip(said) {
            assert_eq!(
                entry["log_id"].to_string(),
                *id,
                "{name}: in the order given"
            );
            let expected = if let Some(raised) = said.get("raises") {
                let words = raised.as_str().and_then(|text| text.split_once(": "));
                // What QWED's own endpoint makes of the exception is an error; the other checks hold.
                json!({
                    "valid": false, "legacy": false, "errors": [words.expect("an exception").1],
                    "checks": {"hash_valid": false, "signature_valid": true, "chain_valid": true},
                })
            } else {
                json!({
                    "valid": said["valid"], "legacy": said["legacy"], "errors": said["errors"],
                    "checks": {
                        "hash_valid": said["hash_valid"], "signature_valid": said["signature_valid"],
                        "chain_valid": said["chain_valid"],
                    },
                })
            };
            let found = without(entry.clone(), &["log_id", "timestamp", "organization_id"]);
            assert_eq!(found, expected, "{name}, entry {id}");
            assert!(entry["organization_id"].is_i64(), "{name}, entry {id}");
            let time = entry["timestamp"]
                .as_str()
                .expect("every fixture's entries have times");
            assert!(
                time.starts_with("2026-") && time.ends_with("+00:00"),
                "{time}"
            );
            all_valid &= entry["valid"] == true;
        }
        assert_eq!(run.code, Some(if all_valid { 0 } else { 1 }), "{name}");
    }
}

#[test]
fn periods_equal_qweds_answers() {
    let answers = answers("periods");
    let periods = answers.as_array().expect("a list");
    assert!(!periods.is_empty());
    for period in periods {
        let database = period["database"].as_str().expect("a name");
        let copy = Copy::of(database.strip_suffix(".db").expect("a database"));
        let organization = period["organization_id"].to_string();
        let mut program = Program::verify(&copy.path).args(["--org", &organization]);
        for option in ["from", "to"] {
            if let Some(time) = period[option].as_str() {
                program = program.args([&format!("--{option}"), time]);
            }
        }
        let (_, document) = program.json();
        let organizations = document["organizations"].as_array().expect("a list");
        assert_eq!(organizations.len(), 1, "{period}");
        assert_eq!(
            organizations[0]["organization_id"],
            period["organization_id"]
        );
        let expected = without(period["qwed"].clone(), &["organization_id", "errors"]);
        assert_eq!(organizations[0]["qwed"], expected, "{period}");
    }
}

#[test]
fn verdicts_findings_and_exit_codes() {
    for Expected {
        name,
        verdict,
        findings: expected,
    } in &EXPECTED
    {
        let copy = Copy::of(name);
        let (run, document) = Program::verify(&copy.path).json();
        let (lenient, _) = Program::verify(&copy.path).arg("--allow-incomplete").json();
        let codes = match *verdict {
            "intact" => (0, 0),
            "incomplete" => (4, 0),
            _ => (1, 1),
        };
        assert_eq!(document["verdict"], *verdict, "{name}: {document}");
        let expected: Vec<_> = expected
            .iter()
            .map(|&(organization, kind, entry)| (organization, kind.to_owned(), entry))
            .collect();
        assert_eq!(findings(&document), expected, "{name}: {document}");
        assert_eq!(
            (run.code, lenient.code),
            (Some(codes.0), Some(codes.1)),
            "{name}"
        );
        assert_eq!(run.stderr, "", "{name}");
    }
}

#[test]
fn the_document_has_what_was_promised() {
    let copy = Copy::of("t_query_edited");
    let (_, document) = Program::verify(&copy.path).json();
    let keys = |value: &Value| -> BTreeSet<String> {
        value
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect()
    };
    let set = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    for name in [
        "verdict",
        "database",
        "started_at",
        "duration_seconds",
        "entries",
        "entries_per_second",
        "keys",
        "organizations",
    ] {
        assert!(keys(&document).contains(name), "{name}: {document}");
    }
    assert_eq!(document["database"], "sqlite");
    assert_eq!(document["entries"], 30);
    // Entry 9's signature still is the key's; what it does not fit is the content.
    assert_eq!(document["keys"], json!([{"id": "default", "entries": 30}]));
    assert!(
        document["started_at"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z'))
    );
    assert!(
        document["duration_seconds"]
            .as_f64()
            .is_some_and(|seconds| seconds > 0.0)
    );
    let finding = &document["organizations"][0]["findings"][0];
    assert_eq!(
        keys(finding),
        set(&["entry_id", "kind", "severity", "detail"])
    );
    assert_eq!(finding["severity"], "tampered");
    assert_eq!(
        keys(&document["organizations"][0]["qwed"]),
        set(&[
            "valid",
            "total_entries",
            "verified_entries",
            "failed_entries",
            "legacy_entries",
            "first_entry_id",
            "last_entry_id",
            "head_hash"
        ])
    );
}

#[test]
fn nothing_is_written() {
    for Expected { name, .. } in &EXPECTED {
        let copy = Copy::of(name);
        let before = state(copy.directory.path());
        assert_eq!(before.len(), 1);
        for options in [
            &[][..],
            &["--org", "1"],
            &["--from", "2026-01-01"],
            &["--entry", "1"],
        ] {
            let run = Program::verify(&copy.path).args(options).run();
            assert!(
                matches!(run.code, Some(0 | 1 | 4)),
                "{name} {options:?}: {run:?}"
            );
            assert!(
                state(copy.directory.path()) == before,
                "{name} {options:?} left a trace"
            );
        }
    }
}
