//! `trailkeeper export evidence`, and the job of the same.

use std::fs;

use serde_json::json;

use crate::support::{
    program::Program,
    store::block_on,
    trails::{FIXTURE_KEY, KEY, fixture, generate, sqlite_url},
    worker::Worker,
};

fn export(directory: &std::path::Path, database: &str, arguments: &[&str]) -> Program {
    Program::bare()
        .env("TRAILKEEPER__DATA_DIR", directory.join("data"))
        .env("QWED_AUDIT_SECRET_KEY", FIXTURE_KEY)
        .args(["export", "evidence", "--database", database])
        .args(arguments)
}

#[test]
fn the_program_says_what_it_wrote() {
    let directory = tempfile::tempdir().expect("make a directory");
    let directory = directory.path();
    let database = sqlite_url(&fixture("t_query_edited"));
    let out = directory.join("log.csv");
    let out_text = out.display().to_string();
    let arguments = ["--org", "1", "--out", &out_text];
    let (run, manifest) = export(directory, &database, &arguments).json();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(manifest["verdicts"]["failed"], json!(1), "{manifest}");
    assert_eq!(manifest["content"], json!("verification_log"));
    let golden = fs::read_to_string(&out).expect("read it");
    insta::assert_snapshot!("full", golden.replace("\r\n", "\n"));
    let (code, line) = {
        let run = export(directory, &database, &arguments).run();
        (run.code, run.stderr)
    };
    assert_eq!(code, Some(2));
    assert!(line.contains("nothing is overwritten"), "{line}");
    for (arguments, code, part) in [
        (
            &["--org", "77", "--out", "x"][..],
            2,
            "there is no organisation 77",
        ),
        (
            &["--org", "1", "--from", "soon", "--out", "x"],
            2,
            "is not a time",
        ),
        (
            &[
                "--org",
                "1",
                "--from",
                "2026-02-01",
                "--to",
                "2026-01-01",
                "--out",
                "x",
            ],
            2,
            "--from is after --to",
        ),
    ] {
        let run = export(directory, &database, arguments)
            .directory(directory)
            .run();
        let (found, line) = run.failure();
        assert_eq!(found, Some(code), "{line}");
        assert!(line.contains(part), "{line}");
    }
    assert!(!directory.join("x").exists() && !directory.join("data").exists());
    // QWED's own looks back thirty days, and says nothing of formulas.
    let out = directory.join("qwed.csv").display().to_string();
    let arguments = ["--org", "1", "--profile", "qwed", "--out", &out];
    let (run, manifest) = export(directory, &database, &arguments).json();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(manifest["formulas_defused"], json!(false));
    assert!(manifest["from"].is_string() && manifest["to"].is_string());
}

/// Twice as many entries take no more memory, sorted or not.
#[test]
fn memory_is_bounded_whatever_there_is() {
    let directory = tempfile::tempdir().expect("make a directory");
    let directory = directory.path();
    let path = directory.join("qwed.db");
    generate(&path, 1, 1, 200_000);
    for profile in ["full", "qwed"] {
        let out = directory.join(profile).display().to_string();
        let arguments = [
            "--org",
            "1",
            "--profile",
            profile,
            "--from",
            "1970-01-01",
            "--out",
            &out,
        ];
        let command = export(directory, &sqlite_url(&path), &arguments);
        let command = command.env("QWED_AUDIT_SECRET_KEY", KEY).into_command();
        let (answer, peak) = crate::limits::run_watched(command);
        assert_eq!(answer.code, Some(0), "{answer:?}");
        eprintln!("{profile}: peak memory {} MB", peak / 1_000_000);
        assert!(peak < 100_000_000, "{profile}: {} MB", peak / 1_000_000);
        let mut reader = csv::Reader::from_path(&out).expect("open it");
        let (mut first, mut last, mut rows, mut verified) = (0_i64, 0_i64, 0, 0);
        for record in reader.records() {
            let record = record.expect("a record");
            last = record[0].parse().expect("an id");
            first = if rows == 0 { last } else { first };
            rows += 1;
            verified += u32::from(record.get(15) == Some("verified"));
        }
        let all = 200_000;
        assert_eq!(
            (rows, verified),
            (all, if profile == "full" { all } else { 0 })
        );
        assert_eq!(first > last, profile == "qwed");
    }
}

#[test]
fn a_job_puts_files_and_manifests_into_the_store() {
    block_on(async {
        let mut scene = crate::worker::Scene::on_sqlite().await;
        let key = scene.setting.directory.join("anchor.key");
        let made = Program::bare().args(["keygen", "--out"]).arg(&key).run();
        assert_eq!(made.code, Some(0), "{made:?}");
        scene.setting = scene.setting.with(
            "anchors",
            format!("key_file = {:?}", key.display().to_string()),
        );
        let worker = Worker::start(&scene.setting, "worker");
        let mut job = crate::support::store::job("evidence");
        job.kind = "export_evidence".to_owned();
        job.payload = json!({"organization_id": 1});
        let id = job.id.clone();
        scene.state.store.enqueue(&[job]).await.expect("queue");
        scene.settle().await;
        let job = scene.state.store.job(&id).await.expect("look").expect("it");
        let outcome = job
            .outcome
            .unwrap_or_else(|| panic!("{:?}\n{}", job.error, worker.log()));
        let files = outcome["files"].as_array().expect("files");
        let contents: Vec<_> = files.iter().map(|file| &file["content"]).collect();
        assert_eq!(contents, ["verification_log", "security_events"]);
        let objects = scene.setting.data_dir.join("objects");
        for file in files {
            let object = file["object"].as_str().expect("a name");
            assert!(
                object.starts_with("exports/evidence/organization-1/"),
                "{object}"
            );
            let text = fs::read(objects.join(object)).expect("the object");
            assert_eq!(file["size_bytes"], json!(text.len()));
            let manifest = fs::read(objects.join(format!("{object}.json"))).expect("a manifest");
            let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
            assert_eq!(manifest["sha256"], file["sha256"]);
        }
        let entries = "SELECT count(*) FROM ledger WHERE act = 'evidence.export'";
        assert_eq!(scene.state.number(entries).await, 1);
        let scratch = fs::read_dir(scene.setting.data_dir.join("exports"));
        assert_eq!(scratch.expect("list").count(), 0);
    });
}
