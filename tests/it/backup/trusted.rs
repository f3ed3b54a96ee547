//! Our own database is no evidence: what stands in it beside the archive is compared with what is signed there.

use std::fs;

use trailkeeper::{
    backup::{self, FindingKind, Wanted},
    ledger::{self, Act, Scribe},
    qwed::url::DatabaseUrl,
    state::{Store, fault},
};

use super::{ORIGIN, Site, keys, kinds_of};
use crate::support::store::{TestStore, block_on};

crate::on_both![
    what_our_database_says_of_the_archive_counts_for_nothing,
    another_place_is_not_gone_on_with,
    the_ledger_cannot_be_cut_once_it_is_archived,
];

async fn what_our_database_says_of_the_archive_counts_for_nothing(test: TestStore) {
    let store = &test.store;
    let (site, generator) = Site::generated(2, 60);
    site.anchor(store).await;
    site.backup(store).await;
    // As if everything to come were archived.
    test.execute("UPDATE archive_object SET last_id = 9000000000000")
        .await;
    let generator = site.append(generator, 30);
    site.anchor(store).await;
    let made = site.backup(store).await;
    assert_eq!((made.entries, made.anchors), (30, 1));
    site.assert_sound(store).await;
    // A chain that would be broken for good is not gone on with.
    for change in ["sha256 = '00'", "number = 7"] {
        test.execute("CREATE TABLE kept AS SELECT * FROM archive_manifest WHERE number = 2")
            .await;
        test.execute(&format!(
            "UPDATE archive_manifest SET {change} WHERE number = 2"
        ))
        .await;
        let refused = site.try_backup(store).await.expect_err("it does not agree");
        assert!(!refused.is_transient(), "{refused}");
        test.execute("DELETE FROM archive_manifest WHERE number > 1")
            .await;
        test.execute("INSERT INTO archive_manifest SELECT * FROM kept")
            .await;
        test.execute("DROP TABLE kept").await;
    }
    site.append(generator, 5);
    assert_eq!(site.backup(store).await.number, 3);
    site.assert_sound(store).await;
}

async fn compared(site: &Site, store: &Store) -> Vec<String> {
    let keys = keys().verifiers;
    let found = backup::compare_archived(&site.vault, store, ORIGIN, &keys).await;
    let found = found.expect("compare");
    found.into_iter().map(|finding| finding.detail).collect()
}

async fn another_place_is_not_gone_on_with(test: TestStore) {
    let store = &test.store;
    let (site, _) = Site::generated(2, 60);
    site.backup(store).await;
    let objects = site.directory.path().join("objects");
    fs::rename(&objects, site.directory.path().join("old")).expect("move");
    fs::create_dir(&objects).expect("make a directory");
    let refused = site.try_backup(store).await.expect_err("it is empty");
    assert!(refused.to_string().contains("archive restart"), "{refused}");
    assert!(compared(&site, store).await[0].contains("has not got backup 1"));
    // Ordered to begin anew, it archives everything again. Either all of the order is written, with its entry, or nothing.
    let keys = keys();
    let scribe = Scribe {
        origin: ORIGIN,
        key: &keys.signer,
        actor: "a test",
        now: site.now,
    };
    let restart =
        async || backup::restart(store, &site.vault, &keys.verifiers, &scribe, "lost").await;
    let left = async || {
        let objects = test.number("SELECT count(*) FROM archive_object").await;
        (
            objects > 0,
            test.number("SELECT count(*) FROM ledger").await,
        )
    };
    fault::set("archive restart", fault::Way::Failed, 1);
    restart().await.expect_err("a write broke");
    assert_eq!(left().await, (true, 0));
    fault::set("archive restart", fault::Way::FailedButPersisted, 1);
    restart().await.expect_err("an answer was lost");
    assert_eq!(left().await, (false, 1));
    assert_eq!(restart().await.expect("again changes nothing"), 0);
    let made = site.backup(store).await;
    assert_eq!((made.number, made.entries), (1, 60));
    site.assert_sound(store).await;
    assert_eq!(compared(&site, store).await, Vec::<String>::new());
    let refused = restart().await.expect_err("there is one");
    assert!(refused.to_string().contains("has an archive"), "{refused}");
}

async fn the_ledger_cannot_be_cut_once_it_is_archived(test: TestStore) {
    let store = &test.store;
    let (site, _) = Site::generated(1, 20);
    let keys = keys();
    let note = async |detail: u32| {
        let scribe = Scribe {
            origin: ORIGIN,
            key: &keys.signer,
            actor: "a test",
            now: site.now,
        };
        let noted = scribe
            .note(store, Act::Restore, serde_json::json!({ "detail": detail }))
            .await;
        noted.expect("note");
    };
    for detail in 0..4 {
        note(detail).await;
    }
    site.backup(store).await;
    note(4).await;
    site.backup(store).await;
    site.assert_sound(store).await;
    test.execute("DELETE FROM ledger WHERE number > 3").await;
    let verify = async || {
        ledger::verify(store, ORIGIN, &keys.verifiers)
            .await
            .expect("verify")
    };
    assert_eq!(verify().await.findings, [], "by itself it is whole");
    let differs = backup::compare_ledger(&site.vault, store, ORIGIN, &keys.verifiers);
    assert_eq!(differs.await.expect("compare").expect("it differs").0, 5);
    // Written anew to the same length.
    note(5).await;
    note(6).await;
    assert_eq!(verify().await.findings, []);
    assert!(compared(&site, store).await[0].contains("entry 5 of the ledger"));
    let report = site.verify(store).await;
    assert_eq!(kinds_of(&report.findings), [FindingKind::LedgerDiffers]);
    let refused = site.try_backup(store).await.expect_err("it was cut");
    assert!(
        refused.to_string().contains("entry 5 of the ledger"),
        "{refused}"
    );
}

#[test]
fn strangers_keep_nobody_from_a_restore() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let store = &test.store;
        let (mut site, generator) = Site::generated(2, 60);
        site.backup(store).await;
        let early = super::dump(&site.path());
        let day = jiff::SignedDuration::from_hours(24);
        // The clock was ten days ahead for one backup.
        let first = site.now;
        site.now = first + day * 10;
        let generator = site.append(generator, 20);
        site.backup(store).await;
        site.now = first + day;
        site.append(generator, 20);
        site.backup(store).await;
        let latest = super::dump(&site.path());
        let manifests = site.directory.path().join("objects/manifests");
        fs::write(manifests.join("README"), "hello").expect("write");
        let junk = format!("000000000009-{}.note", "0".repeat(64));
        fs::write(manifests.join(junk), "junk").expect("write");
        for (at, restored, dumped) in [
            (None, 3, &latest),
            (Some(first + day * 5), 3, &latest),
            (Some(first + day / 2), 1, &early),
        ] {
            let wanted = Wanted {
                at,
                ..Wanted::default()
            };
            let (made, path) = site.restore(store, wanted).await;
            assert_eq!(made.manifest, restored, "{at:?}");
            assert_eq!(&super::dump(&path), dumped, "{at:?}");
        }
        assert!(site.drill(&test).await.passed);
        let report = site.verify(store).await;
        assert_eq!(kinds_of(&report.findings), [FindingKind::ManifestBroken]);
        site.now = first + day * 11;
        site.backup(store).await;
        // Behind a gap nothing can be restored, before it everything.
        let second = fs::read_dir(&manifests).expect("list");
        let second = second.map(|entry| entry.expect("an entry").path());
        let is_second = |path: &std::path::PathBuf| {
            let name = path.file_name().expect("a name").to_string_lossy();
            name.starts_with("000000000002-")
        };
        fs::remove_file(second.into_iter().find(is_second).expect("it")).expect("remove");
        let to = DatabaseUrl::Sqlite(site.directory.path().join("never.db"));
        let refused = site.try_restore(store, &to, Wanted::default()).await;
        refused.expect_err("a manifest is missing");
        let wanted = Wanted {
            manifest: Some(1),
            ..Wanted::default()
        };
        let (_, path) = site.restore(store, wanted).await;
        assert_eq!(super::dump(&path), early);
    });
}
