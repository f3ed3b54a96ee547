//! Drills: passed by an archive that can be restored, and by no other.

use std::fs;

use trailkeeper::{
    backup::{self, Drill, Drilled},
    qwed::url::DatabaseUrl,
    trail::finding::Verdict,
    verify::Options as Verifying,
};

use super::{BackupError, ORIGIN, Site, kek, keys};
use crate::support::{
    postgres::Postgres,
    store::{TestStore, block_on},
    trails::{KEY, ring},
};

impl Site {
    fn drill_plan(&self, test: &TestStore) -> Drill {
        Drill {
            store: test.store.clone(),
            vault: self.vault.clone(),
            live: self.url.clone(),
            origin: ORIGIN.to_owned(),
            keys: keys().verifiers,
            kek: Ok(kek()),
            ring: ring(KEY),
            server: None,
            directory: self.directory.path().join("scratch"),
            options: Verifying::default(),
        }
    }

    pub(super) async fn drill(&self, test: &TestStore) -> Drilled {
        let drilled = backup::drill(self.drill_plan(test), self.now, &Default::default()).await;
        drilled.expect("an answer")
    }

    /// What is left of the scratch database.
    fn scratch(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path().join("scratch")).expect("list");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }
}

crate::on_both![
    what_was_archived_passes,
    what_cannot_be_restored_does_not_pass,
    what_differs_from_anchors_or_from_today_does_not_pass,
    what_was_gone_before_the_backup_is_missed,
];

async fn what_was_archived_passes(test: TestStore) {
    let (mut site, generator) = Site::generated(3, 700);
    site.anchor(&test.store).await;
    let generator = site.append(generator, 20);
    site.anchor(&test.store).await;
    site.backup(&test.store).await;
    // Neither what came since nor its anchor is the backup's fault.
    site.append(generator, 30);
    site.anchor(&test.store).await;
    site.now = super::later(&site);
    let drilled = site.drill(&test).await;
    assert_eq!((drilled.passed, &drilled.problems), (true, &vec![]));
    assert_eq!((drilled.anchors, drilled.newest_anchor), (2, Some(2)));
    assert_eq!((drilled.same_as_live, drilled.entries_since), (720, 30));
    assert_eq!(drilled.tables["verificationlog"], 720);
    assert_eq!(drilled.recovery_point_seconds, Some(3600.0));
    assert!(drilled.recovery_seconds > 0.0 && drilled.check_seconds > 0.0);
    assert_eq!(site.scratch(), ["drill.lock"]);
}

async fn what_cannot_be_restored_does_not_pass(test: TestStore) {
    let site = Site::of_fixture("g4_two_orgs");
    let drilled = site.drill(&test).await;
    assert!(!drilled.passed);
    assert!(drilled.problems[0].contains("has no backup"), "{drilled:?}");
    let (site, _) = Site::generated(2, 50);
    site.backup(&test.store).await;
    let plan = Drill {
        kek: Err("the key is gone".to_owned()),
        ..site.drill_plan(&test)
    };
    let drilled = backup::drill(plan, site.now, &Default::default()).await;
    let drilled = drilled.expect("an answer");
    assert_eq!(
        (drilled.passed, drilled.problems),
        (false, vec!["the key is gone".to_owned()])
    );
    // A key that somebody lost is no erasure.
    test.execute("DELETE FROM data_key WHERE subject LIKE '%user%'")
        .await;
    let drilled = site.drill(&test).await;
    assert!(!drilled.passed);
    assert!(
        drilled.problems[0].contains("data keys are gone"),
        "{drilled:?}"
    );
    let objects = site.directory.path().join("objects/segments/1");
    fs::remove_dir_all(objects).expect("remove segments");
    let drilled = site.drill(&test).await;
    assert_eq!((drilled.passed, drilled.problems.len()), (false, 1));
    assert!(drilled.problems[0].contains("segments/1"), "{drilled:?}");
    assert_eq!(site.scratch(), ["drill.lock"]);
}

async fn what_differs_from_anchors_or_from_today_does_not_pass(test: TestStore) {
    let (site, generator) = Site::generated(2, 600);
    site.anchor(&test.store).await;
    // Somebody who has the key writes history anew before it is archived.
    site.trail()
        .run("UPDATE verificationlog SET query = 'another' WHERE id = 3")
        .rewrite(
            "organization_id = (SELECT organization_id FROM verificationlog WHERE id = 3)",
            KEY,
        );
    site.backup(&test.store).await;
    let drilled = site.drill(&test).await;
    assert_eq!(drilled.problems.len(), 1, "{drilled:?}");
    assert!(
        drilled.problems[0].contains("are not those that anchor 1 covers"),
        "{drilled:?}"
    );
    let tables = [
        "archive_object",
        "archive_manifest",
        "anchor_checkpoint",
        "anchor_run",
    ];
    for table in tables {
        test.execute(&format!("DELETE FROM {table}")).await;
    }

    let (site, _) = Site::generated(2, 600);
    drop(generator);
    site.backup(&test.store).await;
    site.trail()
        .run("DELETE FROM verificationlog WHERE id > 590");
    let drilled = site.drill(&test).await;
    assert!(!drilled.passed);
    assert!(drilled.problems[0].contains("the live one"), "{drilled:?}");
    assert!(drilled.same_as_live < 600);
    // Tampered with before it was archived: what comes back is what there is.
    for table in tables {
        test.execute(&format!("DELETE FROM {table}")).await;
    }
    let (site, _) = Site::generated(2, 60);
    site.trail()
        .run("UPDATE verificationlog SET query = 'another' WHERE id = 7");
    site.backup(&test.store).await;
    let drilled = site.drill(&test).await;
    assert_eq!((drilled.passed, &drilled.problems), (true, &vec![]));
    assert_eq!(drilled.verdict, Some(Verdict::Tampered));
    // The live trail was put right since, or so it seems.
    site.trail().rewrite("id = 7", KEY);
    let drilled = site.drill(&test).await;
    assert!(!drilled.passed);
    assert!(
        drilled.problems[0].contains("that the live one does not have"),
        "{drilled:?}"
    );
    // A subject that was erased is nobody's fault.
    for table in tables {
        test.execute(&format!("DELETE FROM {table}")).await;
    }
    let (site, _) = Site::generated(2, 60);
    site.backup(&test.store).await;
    test.execute("UPDATE data_key SET wrapped = NULL WHERE subject LIKE 'organization/1/user/%'")
        .await;
    let drilled = site.drill(&test).await;
    assert_eq!((drilled.passed, &drilled.problems), (true, &vec![]));
    assert!(drilled.erased_rows > 0);
}

/// What was removed between an anchor and the backup is missed, though the archive never had it.
async fn what_was_gone_before_the_backup_is_missed(test: TestStore) {
    for removed in ["id > 580", "organization_id = 2"] {
        for table in [
            "archive_object",
            "archive_manifest",
            "anchor_tile",
            "anchor_checkpoint",
            "anchor_run",
        ] {
            test.execute(&format!("DELETE FROM {table}")).await;
        }
        let (mut site, _) = Site::generated(2, 600);
        site.anchor(&test.store).await;
        site.trail()
            .run(&format!("DELETE FROM verificationlog WHERE {removed}"));
        site.now = super::later(&site);
        site.backup(&test.store).await;
        let drilled = site.drill(&test).await;
        assert_eq!((drilled.passed, drilled.anchors), (false, 1), "{removed}");
        assert!(
            drilled.problems[0].contains("anchor 1 covers"),
            "{drilled:?}"
        );
    }
}

#[test]
fn what_a_killed_drill_left_is_taken_away_and_one_runs_at_a_time() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let (site, _) = Site::generated(2, 50);
        site.backup(&test.store).await;
        let scratch = site.directory.path().join("scratch");
        fs::create_dir_all(&scratch).expect("make a directory");
        fs::write(scratch.join("drill.db"), "left over").expect("write");
        fs::write(scratch.join("drill.db-journal"), "left over").expect("write");
        assert!(site.drill(&test).await.passed);
        assert_eq!(site.scratch(), ["drill.lock"]);
        let lock = fs::File::open(scratch.join("drill.lock")).expect("open");
        lock.lock().expect("lock");
        let plan = site.drill_plan(&test);
        let refused = backup::drill(plan, site.now, &Default::default()).await;
        let refused = refused.expect_err("another is under way");
        assert!(matches!(refused, BackupError::Refused(_)), "{refused}");
    });
}

#[test]
fn a_server_is_drilled_on_and_left_clean() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let server = Postgres::start();
        // Enough that it is seen at work.
        let (site, _) = Site::generated(2, 20_000);
        site.anchor(&test.store).await;
        site.backup(&test.store).await;
        let url = server.url("postgres");
        let Ok(DatabaseUrl::Postgres(maintenance)) = url.parse() else {
            panic!("{url} is a server's");
        };
        let databases = "SELECT string_agg(datname, ',') FROM pg_database WHERE datname LIKE 'trailkeeper_drill%'";
        let plan = Drill {
            server: Some(maintenance.clone()),
            ..site.drill_plan(&test)
        };
        // What a drill that was killed left, and a session that somebody ends meanwhile.
        let drilled = backup::drill(plan.clone(), site.now, &Default::default()).await;
        assert!(drilled.expect("an answer").passed);
        // On a busy machine a drill may be over before it is looked for; then another is begun.
        let (name, drilling) = 'seen: loop {
            let progress = std::sync::Arc::new(trailkeeper::progress::Progress::default());
            let drilling = tokio::spawn({
                let (plan, now) = (plan.clone(), site.now);
                async move { backup::drill(plan, now, &progress).await }
            });
            while !drilling.is_finished() {
                let name = server.psql("postgres", databases);
                if name.contains("trailkeeper_drill_") {
                    break 'seen (name.trim().to_owned(), drilling);
                }
            }
            let unseen = drilling.await.expect("no panic").expect("an answer");
            assert!(unseen.passed);
        };
        server.psql(
            "postgres",
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'",
        );
        let ended = drilling.await.expect("no panic").expect("an answer");
        assert_eq!((ended.passed, &ended.problems), (true, &vec![]));
        assert_eq!(server.psql("postgres", databases).trim(), "");
        server.create_database(&name);
        server.psql(&name, "CREATE TABLE verificationlog AS SELECT 1 AS id");
        let drilled = backup::drill(plan, site.now, &Default::default()).await;
        let drilled = drilled.expect("an answer");
        assert_eq!((drilled.passed, &drilled.problems), (true, &vec![]));
        assert_eq!((drilled.same_as_live, drilled.anchors), (20_000, 1));
        assert_eq!(server.psql("postgres", databases).trim(), "");
    });
}
