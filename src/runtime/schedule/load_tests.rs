use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::*;
use crate::runtime::job::{Context, Done, Job, JobError, Outcome, Uniqueness};

/// A job of the kind that schedules start.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Report {
    since_days: Option<u32>,
}

/// One that only other jobs ask for.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Piece {}

impl Job<()> for Report {
    const KIND: &'static str = "write_report";
    const TIMEOUT: Duration = Duration::from_secs(1);
    const UNIQUENESS: Uniqueness = Uniqueness::None;

    async fn run(&self, _: &Context<()>) -> Result<Outcome, JobError> {
        Ok(Outcome::Done(Done::default()))
    }
}

impl Job<()> for Piece {
    const KIND: &'static str = "piece";
    const TIMEOUT: Duration = Duration::from_secs(1);
    const UNIQUENESS: Uniqueness = Uniqueness::None;
    const INTERNAL: bool = true;

    async fn run(&self, _: &Context<()>) -> Result<Outcome, JobError> {
        Ok(Outcome::Done(Done::default()))
    }
}

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn file(name: &str, kind: &str, rest: &str) -> String {
    format!("name = {name:?}\ndescription = \"d\"\nkind = {kind:?}\ncron = \"@daily\"\n{rest}\n")
}

fn told(directory: &Path, problems: Vec<Problem>) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let directory = format!("{}/", directory.display());
    lines.join("\n").replace(&directory, "")
}

#[test]
fn the_files_of_a_directory_are_read_by_name_and_nothing_else() {
    let (a, b) = (file("a", "k", ""), file("b", "k", ""));
    let directory = directory(&[
        ("b.toml", &b),
        ("a.toml", &a),
        (".a.toml", "no schedule"),
        ("a.toml.bak", "no schedule"),
        ("README.md", "no schedule"),
        ("schemas/verify_trail.toml", "no schedule"),
        ("directory.toml/c.toml", "no schedule"),
    ]);
    let schedules = load(Some(directory.path())).unwrap();
    let names: Vec<_> = schedules.iter().map(|schedule| &schedule.name).collect();
    assert_eq!(names, ["a", "b"]);
    let empty = tempfile::tempdir().unwrap();
    assert!(load(Some(empty.path())).unwrap().is_empty());
    assert_eq!(load(None).unwrap().len(), SHIPPED.len());
}

#[test]
fn what_is_wrong_with_any_file_is_told() {
    let twin = file("a", "k", "");
    let directory = directory(&[
        ("a.toml", &twin),
        ("twin-of-a.toml", &twin),
        ("typo.toml", "nmae = \"typo\"\n\n[misfire]\nwindow = 3\n"),
        (
            "zone.toml",
            &file("zone", "k", "timezone = \"Berlin\"\nmisfire.max = 3"),
        ),
        ("no.toml", "name ="),
        ("large.toml", &"#".repeat(2 << 20)),
    ]);
    std::os::unix::fs::symlink("/no/such/file", directory.path().join("gone.toml")).unwrap();
    let problems = load(Some(directory.path())).unwrap_err();
    insta::assert_snapshot!(told(directory.path(), problems), @r###"
    gone.toml: cannot be read: No such file or directory (os error 2)
    large.toml: cannot be read: it is larger than 1048576 bytes
    no.toml:1: no valid TOML: string values must be quoted, expected literal string
    twin-of-a.toml:1: name = "a" must be that of its file, "twin-of-a.toml": rename one of them (a schedule with a new name starts anew)
    typo.toml:1: unknown key nmae; did you mean name?
    typo.toml:4: unknown key misfire.window; did you mean misfire.window_hours?
    zone.toml:5: timezone = "Berlin" is no time zone of the IANA database: write a name such as "Europe/Berlin" or "UTC"; did you mean "Europe/Berlin"?
    zone.toml:6: misfire.max is for policy = "all": remove it, or change the policy
    "###);
    let problems = load(Some(&directory.path().join("none"))).unwrap_err();
    insta::assert_snapshot!(told(directory.path(), problems), @"none: cannot be read: No such file or directory (os error 2)");
}

#[test]
fn a_schedule_fits_the_kind_of_its_jobs() {
    let directory = directory(&[
        (
            "fits.toml",
            &file("fits", "write_report", "payload.since_days = 3"),
        ),
        ("inside.toml", &file("inside", "piece", "")),
        (
            "more.toml",
            &file(
                "more",
                "write_report",
                "[payload]\nsince_days = -1\nuntil = 2026-01-01",
            ),
        ),
        ("typo.toml", &file("typo", "write_reprot", "")),
    ]);
    let registry = Registry::new(3).with::<Report>().with::<Piece>();
    let schedules = load(Some(directory.path())).unwrap();
    let problems = check(&schedules, &registry).unwrap_err();
    insta::assert_snapshot!(told(directory.path(), problems), @r###"
    inside.toml:3: kind = "piece" is no job kind
    more.toml:5: payload does not fit write_report: at /since_days: value is less than the minimum of 0; Additional properties are not allowed ('until' was unexpected); trailkeeper schema write_report shows what does
    typo.toml:3: kind = "write_reprot" is no job kind; did you mean "write_report"?
    "###);
    assert_eq!(check(&schedules[..1], &registry), Ok(()));
}
