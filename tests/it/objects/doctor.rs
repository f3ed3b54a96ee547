//! `trailkeeper archive doctor`.

use serde_json::Value;

use crate::support::{
    ceph::Ceph,
    program::{Program, Run},
    s3::Server,
    store::block_on,
};

fn program(variables: &[(&'static str, String)]) -> Program {
    let program = Program::bare().args(["archive", "doctor"]);
    variables
        .iter()
        .fold(program, |program, (name, value)| program.env(name, value))
}

/// Its exit code, and each check with its status.
#[track_caller]
fn examine(server: &Server, bucket: &str, more: &[(&'static str, &str)]) -> (Run, Vec<String>) {
    let mut variables = server.variables(bucket);
    variables.extend(
        more.iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    let (run, report) = program(&variables).json();
    assert!(
        !run.stdout.contains("hunter") && run.stderr.is_empty(),
        "{run:?}"
    );
    let checks = report["checks"].as_array().expect("checks");
    let told = checks.iter().map(|check| {
        let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
        assert!(!text("detail").is_empty(), "{check}");
        let has_remedy = check["remedy"] != Value::Null;
        assert_eq!(has_remedy, text("status") == "failed", "{check}");
        format!("{} {}", text("name"), text("status"))
    });
    let told = told.collect();
    (run, told)
}

#[test]
fn ceph_is_examined() {
    let ceph = Ceph::start();
    let server = &ceph.server;
    block_on(async {
        server.make_bucket("locked", true).await;
        server.make_bucket("plain", false).await;
    });
    let lock_mode = "TRAILKEEPER__OBJECTS__LOCK_MODE";

    for mode in ["COMPLIANCE", "GOVERNANCE"] {
        let (run, checks) = examine(server, "locked", &[(lock_mode, mode)]);
        assert_eq!(run.code, Some(0), "{run:?}");
        assert_eq!(
            checks,
            [
                "reachable ok",
                "clock ok",
                "versioning ok",
                "object_lock ok",
                "put ok",
                "lock ok",
                "get ok",
                "versions ok",
                "delete_refused ok",
                "recovery not_applicable"
            ]
        );
    }
    let text = program(&server.variables("locked")).run();
    assert_eq!((text.code, text.stderr.as_str()), (Some(0), ""), "{text:?}");
    assert!(
        text.stdout.contains("objects are protected as configured"),
        "{text:?}"
    );

    let (run, checks) = examine(server, "plain", &[]);
    assert_eq!(run.code, Some(1), "{run:?}");
    for check in ["reachable ok", "versioning failed", "object_lock failed"] {
        assert!(checks.contains(&check.to_owned()), "{checks:?}");
    }
    let text = program(&server.variables("plain")).run();
    assert!(text.stdout.contains("NOT protected"), "{text:?}");
    assert!(
        text.stdout
            .contains("make a bucket with Object Lock enabled"),
        "{text:?}"
    );

    let (run, checks) = examine(server, "plain", &[(lock_mode, "none")]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        checks.contains(&"delete_refused not_applicable".to_owned()),
        "{checks:?}"
    );

    let wrong = [("TRAILKEEPER__OBJECTS__SECRET_ACCESS_KEY", "hunter3")];
    let (run, checks) = examine(server, "locked", &wrong);
    assert_eq!(
        (run.code, checks[0].as_str()),
        (Some(3), "reachable unknown"),
        "{run:?}"
    );
    assert!(
        run.stdout.contains("check objects.access_key_id"),
        "{run:?}"
    );
    let (run, checks) = examine(server, "no-such-bucket", &[]);
    assert_eq!(
        (run.code, checks[0].as_str()),
        (Some(3), "reachable unknown"),
        "{run:?}"
    );
    let nowhere = [("TRAILKEEPER__OBJECTS__ENDPOINT", "http://127.0.0.1:9")];
    let (run, checks) = examine(server, "locked", &nowhere);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert_eq!(checks, ["reachable unknown", "recovery not_applicable"]);
}

#[test]
fn files_are_examined() {
    let directory = tempfile::tempdir().expect("make a directory");
    let data = (
        "TRAILKEEPER__DATA_DIR",
        directory.path().display().to_string(),
    );
    let show = |run: &Run| {
        let text = run.stdout.replace(&data.1, "[DATA]");
        let name = text
            .split("canary/")
            .nth(1)
            .map(|rest| rest[..25].to_owned());
        text.replace(&name.expect("the canary's name"), "[TIME]")
    };
    let run = program(std::slice::from_ref(&data)).run();
    assert_eq!((run.code, run.stderr.as_str()), (Some(1), ""), "{run:?}");
    insta::assert_snapshot!("doctor_files", show(&run));
    let none = ("TRAILKEEPER__OBJECTS__LOCK_MODE", "none".to_owned());
    let run = program(&[data.clone(), none]).run();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    insta::assert_snapshot!("doctor_files_without_lock", show(&run));
    let left = std::fs::read_dir(directory.path().join("objects/canary")).unwrap();
    assert_eq!(left.count(), 0, "no canary is left where none has to stay");
}

#[test]
fn a_wrong_configuration_is_wrong_usage() {
    let url = ("TRAILKEEPER__OBJECTS__URL", "https://bucket".to_owned());
    let run = program(&[url]).run();
    assert_eq!(run.code, Some(2), "{run:?}");
}
