//! The JSON Schemas of payloads: in `jobs/schemas`, and as the program prints them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use trailkeeper::{config::Config, jobs::registry};

use crate::support::program::Program;

/// What each file has to hold, by its name.
type Files = BTreeMap<String, String>;

/// Schemas of the kinds that somebody outside can ask for.
fn expected(is_listed: impl Fn(&str) -> bool) -> Files {
    let registry = registry(&Config::default());
    let kinds = registry
        .kinds()
        .filter(|kind| !kind.is_internal && is_listed(kind.name));
    kinds
        .map(|kind| {
            (
                format!("{}.json", kind.name),
                format!("{:#}\n", kind.schema),
            )
        })
        .collect()
}

fn found(directory: &Path) -> Files {
    // Git keeps no empty directory.
    let Ok(files) = fs::read_dir(directory) else {
        return Files::new();
    };
    files
        .map(|file| {
            let file = file.expect("a file");
            let name = file.file_name().to_string_lossy().into_owned();
            (
                name,
                fs::read_to_string(file.path()).expect("read a schema"),
            )
        })
        .collect()
}

/// Makes the directory hold these files and no others.
fn write(directory: &Path, files: &Files) {
    fs::create_dir_all(directory).expect("make the directory");
    for name in found(directory).into_keys() {
        fs::remove_file(directory.join(name)).expect("remove a schema");
    }
    for (name, text) in files {
        fs::write(directory.join(name), text).expect("write a schema");
    }
}

#[test]
fn the_schemas_in_the_tree_are_those_of_the_program() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/schemas");
    let expected = expected(|kind| kind != "probe");
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        write(&directory, &expected);
    }
    assert_eq!(
        found(&directory),
        expected,
        "jobs/schemas is out of date; UPDATE_SCHEMAS=1 scripts/test schemas writes it anew"
    );
}

/// The test above, with a kind that is there for tests.
#[test]
fn files_of_kinds_that_went_away_go_as_well() {
    let directory = tempfile::tempdir().expect("make a directory");
    let old = Files::from([("gone.json".to_owned(), "{}".to_owned())]);
    write(directory.path(), &old);
    let expected = expected(|kind| kind == "probe");
    assert_eq!(expected.len(), 1);
    write(directory.path(), &expected);
    assert_eq!(found(directory.path()), expected);
}

#[test]
fn schemas_are_printed() {
    let run = Program::bare().arg("schema").run();
    // Other kinds come and go; this one is for tests.
    let lines: Vec<&str> = run.stdout.lines().collect();
    let row = lines.iter().find(|line| line.starts_with("probe "));
    let cells: Vec<&str> = row.expect("the kind is listed").split("  ").collect();
    let cells: Vec<&str> = cells
        .into_iter()
        .filter(|cell| !cell.is_empty())
        .map(str::trim)
        .collect();
    assert_eq!(
        cells,
        [
            "probe",
            "default",
            "1 min",
            "no limit",
            "each runs",
            "What to do. Without anything it does nothing and succeeds."
        ]
    );
    let (_, listed) = Program::bare().arg("schema").json();
    let kinds = listed["kinds"].as_array().expect("a list");
    let probe = kinds.iter().find(|kind| kind["kind"] == "probe");
    assert_eq!(probe.expect("it is listed")["timeout_seconds"], 60);
    // The configuration's word counts.
    let (_, listed) = Program::bare()
        .env("TRAILKEEPER__JOBS__KINDS__PROBE__CONCURRENCY", "2")
        .arg("schema")
        .json();
    let kinds = listed["kinds"].as_array().expect("a list");
    assert!(kinds.iter().any(|kind| kind["concurrency"] == 2));
    let run = Program::bare().args(["schema", "probe"]).run();
    let schema: Value = serde_json::from_str(&run.stdout).expect("a document");
    assert_eq!(schema["properties"]["sleep_ms"]["type"], "integer");
    assert!(run.stdout.lines().count() > 10, "for people");
}
