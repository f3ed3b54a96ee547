//! The archive outside of this process: in a store with real locks, read without the program, and through the program.

use std::fs;

use serde_json::{Value, json};
use trailkeeper::{
    config::LockMode,
    objects::{Deletion, Vault},
};

use super::{AGENTS, FindingKind, Site, keys, kinds_of};
use crate::support::{
    ceph::Ceph,
    program::Program,
    store::{TestStore, block_on},
    tamper::Trail,
    tools::tool,
    trails::{FIXTURE_KEY, fixture},
};

#[test]
fn ceph_locks_a_backup_and_gives_it_back() {
    let ceph = Ceph::start();
    let server = &ceph.server;
    block_on(async {
        server.make_bucket("locked", true).await;
        server.make_bucket("plain", false).await;
        let test = TestStore::sqlite().await;
        let store = &test.store;
        let (mut site, generator) = Site::generated(2, 200);
        site.vault = Vault::open(&server.config("locked", LockMode::Compliance)).unwrap();
        site.options.max_segment_bytes = 150_000;
        let first = site.backup(store).await;
        assert_eq!(first.not_locked, []);
        site.anchor(store).await;
        site.append(generator, 30);
        site.backup(store).await;
        site.assert_sound(store).await;
        let drilled = site.drill(&test).await;
        assert_eq!((drilled.passed, &drilled.problems), (true, &vec![]));
        assert_eq!((drilled.same_as_live, drilled.anchors), (230, 1));
        let name = first.manifest.as_str();
        let head = site.vault.head(name, None).await.unwrap();
        let deleted = site.vault.delete_version(name, head.version.as_deref());
        let deleted = deleted.await.unwrap();
        assert!(matches!(deleted, Deletion::Refused { .. }), "{deleted:?}");
        // A delete marker hides a manifest, and no more: it is missed.
        let target = format!("locked/trail/a/{name}");
        server.send(http::Method::DELETE, &target, &[], b"").await;
        let report = site.verify(store).await;
        assert_eq!(kinds_of(&report.findings), [FindingKind::ManifestMissing]);

        // A bucket that locks nothing: each object is told of.
        let test = TestStore::sqlite().await;
        let bare = Site::of_fixture("g4_two_orgs");
        let bare = Site {
            vault: Vault::open(&server.config("plain", LockMode::Compliance)).unwrap(),
            ..bare
        };
        match bare.try_backup(&test.store).await {
            Ok(made) => assert_eq!(made.not_locked.len() as u64, made.objects + 1),
            // This server refuses locks where there can be none.
            Err(error) => assert!(!error.is_transient(), "{error}"),
        }
    });
}

#[test]
fn python_reads_an_archive() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let (site, generator) = Site::generated(2, 150);
        site.trail().run(AGENTS).run(
            "INSERT INTO verificationlog (id, organization_id, user_id, query, result, is_verified, domain, timestamp) VALUES \
             (9001, 'nobody', 1, CAST(x'ff61' AS TEXT), 'line' || char(0x2028) || char(10) || 'two', -0.0, x'00', 9e999)",
        );
        site.backup(&test.store).await;
        site.anchor(&test.store).await;
        site.append(generator, 50);
        let made = site.backup(&test.store).await;
        let state = test.directory.path().join("state/trailkeeper.db");
        let output = tool("read_archive.py")
            .arg(site.directory.path().join("objects"))
            .arg(keys().signer.verifier().to_string())
            .arg("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=")
            .arg(state)
            .arg(site.path())
            .output()
            .expect("run read_archive.py");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let counts: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(counts["manifests"], json!(made.number));
        assert!(
            counts["rows"].as_i64().expect("a number") >= 201,
            "{counts}"
        );
        assert!(counts["decrypted"].as_i64().expect("a number") > 400);
    });
}

#[test]
fn an_operator_archives_and_restores() {
    let directory = tempfile::tempdir().expect("make a directory");
    let at = directory.path();
    fs::copy(fixture("g4_two_orgs"), at.join("qwed.db")).expect("copy");
    let program = |arguments: &[&str]| {
        Program::bare()
            .env("TRAILKEEPER__DATA_DIR", at.join("data"))
            .env("TRAILKEEPER__OBJECTS__LOCK_MODE", "none")
            .env(
                "DATABASE_URL",
                format!("sqlite:///{}", at.join("qwed.db").display()),
            )
            .env("QWED_AUDIT_SECRET_KEY", FIXTURE_KEY)
            .env("USER", "ada")
            .args(arguments)
    };
    let succeeds = |arguments: &[&str]| {
        let (run, document) = program(arguments).json();
        assert_eq!(run.code, Some(0), "{run:?}");
        document
    };
    assert_eq!(succeeds(&["archive", "list"])["manifests"], json!([]));
    let made = succeeds(&["archive", "create"]);
    assert_eq!(
        (&made["number"], &made["not_locked"]),
        (&json!(1), &json!([]))
    );
    let kek = at.join("data/backup.kek");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&kek).expect("a key").permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        succeeds(&["archive", "list"])["manifests"][0]["entries"],
        made["entries"]
    );
    let report = succeeds(&["archive", "verify"]);
    assert_eq!(
        (&report["manifests"], &report["findings"]),
        (&json!(1), &json!([]))
    );
    let to = format!("sqlite:///{}", at.join("restored.db").display());
    let restored = succeeds(&["archive", "restore", "--to", &to]);
    assert_eq!(restored["rows"], made["rows"]);
    assert_eq!(
        super::dump(&at.join("restored.db")),
        super::dump(&at.join("qwed.db"))
    );
    let run = program(&["archive", "restore", "--to", &to]).run();
    assert_eq!(run.code, Some(3));
    assert!(run.failure().1.contains("is not empty"), "{run:?}");
    // A new key-encryption key, and what follows from it.
    let old = at.join("old.kek");
    fs::rename(&kek, &old).expect("move the key");
    let run = program(&["archive", "create"]).run();
    assert!(
        run.failure().1.contains("copy it from the worker"),
        "{run:?}"
    );
    let former = old.to_str().expect("UTF-8");
    let rewrapped = succeeds(&["archive", "rewrap", "--former-kek-file", former]);
    assert!(rewrapped["data_keys"].as_i64().expect("a number") > 0);
    assert_eq!(succeeds(&["archive", "create"])["number"], json!(2));
    let text = program(&["archive", "verify"]).run().stdout;
    assert!(text.contains("2 backups with"), "{text}");
    // Drills, the ledger, and anchors that only the archive has.
    succeeds(&["anchor", "create"]);
    assert_eq!(succeeds(&["archive", "create"])["anchors"], json!(1));
    let drilled = succeeds(&["archive", "drill"]);
    assert_eq!(
        (&drilled["passed"], &drilled["anchors"]),
        (&json!(true), &json!(1))
    );
    let report = succeeds(&["verify", "--anchors", "archive"]);
    assert_eq!(report["anchors"]["number"], json!(1));
    assert_eq!(
        report["organizations"][0]["anchor"]["is_extended"],
        json!(true)
    );
    let newest = "SELECT max(id) FROM verificationlog";
    Trail::open(&at.join("qwed.db")).run(&format!(
        "DELETE FROM verificationlog WHERE id = ({newest})"
    ));
    let (run, report) = program(&["verify", "--anchors", "archive"]).json();
    assert_eq!(
        (run.code, &report["verdict"]),
        (Some(1), &json!("tampered"))
    );
    let run = program(&["archive", "drill"]).run();
    assert_eq!(run.code, Some(1));
    assert!(run.stdout.contains("the drill did not pass"), "{run:?}");
    let run = program(&["verify", "--anchors", "archive", "--since-anchor"]).run();
    assert!(run.failure().1.contains("whole trails"), "{run:?}");
    let listed = succeeds(&["ledger", "list"]);
    let acts = listed["entries"].as_array().expect("a list").iter();
    let acts: Vec<_> = acts
        .map(|entry| entry["act"].as_str().expect("text"))
        .collect();
    assert_eq!(
        acts,
        [
            "archive.drill",
            "archive.drill",
            "archive.rewrap",
            "archive.restore"
        ]
    );
    assert_eq!(
        listed["entries"][0]["actor"],
        json!("trailkeeper archive drill, run by ada")
    );
    assert_eq!(succeeds(&["ledger", "verify"])["entries"], json!(4));
    assert!(
        program(&["ledger", "list"])
            .run()
            .stdout
            .contains("archive.rewrap")
    );
    // Files are locked by nothing, and by default everything has to be.
    let (run, document) = program(&["archive", "create"])
        .env("TRAILKEEPER__OBJECTS__LOCK_MODE", "COMPLIANCE")
        .json();
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        !document["not_locked"]
            .as_array()
            .expect("a list")
            .is_empty()
    );
}
