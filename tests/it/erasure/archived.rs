//! Copies in the archive: unreadable at once, named in the certificate, and erased again by whoever restores them.

use std::sync::Arc;

use trailkeeper::{
    backup::{self, Kek, Wanted},
    config::{Config, LockMode, Secret},
    erasure::{self, State, certificate},
    objects::Vault,
    qwed::url::DatabaseUrl,
    trail::finding::Verdict,
};

use super::{Estate, ORIGIN, Qwed, keys, progress};
use crate::support::{store::TestStore, store::block_on, trails};

#[test]
fn copies_are_unreadable_and_a_restore_is_made_right() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let mut estate = Estate::settled(&test, "g4_two_orgs").await;
        let directory = tempfile::tempdir().expect("make a directory");
        let mut config = Config::default();
        config.objects.url = Secret::new(format!("file://{}/objects", directory.path().display()));
        config.objects.lock_mode = LockMode::None;
        let vault = Vault::open(&config).expect("open the vault");
        let kek = Kek::parse("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").expect("a key");
        let Qwed::Sqlite(live) = &estate.qwed else {
            panic!("a file");
        };
        let live = live.clone();
        let archive = async || {
            let url = DatabaseUrl::Sqlite(live.clone());
            let (options, now) = (backup::Options::default(), estate.office.now);
            let made = backup::run(
                &test.store,
                &vault,
                &url,
                ORIGIN,
                &keys(),
                &kek,
                now,
                options,
                &progress(),
            )
            .await;
            made.expect("back up");
        };
        archive().await;
        let request = estate.erase(estate.asked(1, 10)).await;
        assert_eq!(request.state, State::Completed);
        let plan = request.plan.as_ref().expect("a plan");
        assert!(
            plan.archive.segments > 0 && plan.archive.keys == 1,
            "{:?}",
            plan.archive
        );
        assert_eq!(request.progress.destroyed_keys, 1);
        let text = request.certificate.as_deref().expect("a certificate");
        let certificate = certificate::open(text, &keys().verifiers).expect("signed");
        assert_eq!(certificate.archive.destroyed_keys, 1);
        assert_eq!(
            certificate.archive.names.len() as u64,
            certificate.archive.segments
        );
        assert!(certificate.archive.locked_until.is_some());
        // What is archived afterwards has nothing of them either.
        archive().await;
        for manifest in [Some(1), None] {
            let path = directory
                .path()
                .join(format!("restored-{}.db", manifest.unwrap_or(0)));
            let to = DatabaseUrl::Sqlite(path.clone());
            let wanted = Wanted {
                manifest,
                ..Wanted::default()
            };
            let verifiers = keys().verifiers;
            let restored = backup::restore(
                &test.store,
                &vault,
                ORIGIN,
                &verifiers,
                &kek,
                &to,
                wanted,
                &progress(),
            )
            .await;
            restored.expect("restore");
            let file = trails::open(&path);
            let read =
                |sql: &str| -> i64 { file.query_row(sql, (), |row| row.get(0)).expect("count") };
            // The rows are those of before, without what they held.
            let of_subject = "FROM verificationlog WHERE user_id = 10";
            assert_eq!(read(&format!("SELECT count(*) {of_subject}")), 5);
            assert_eq!(
                read(&format!(
                    "SELECT count(*) {of_subject} AND query = '[erased]'"
                )),
                5
            );
            estate.office.qwed = to.clone();
            estate.office.erase = to;
            assert_eq!(estate.verify().await.verdict, Verdict::Tampered);
            let replayed = erasure::replay(&estate.office, &Arc::clone(&progress()))
                .await
                .expect("replay");
            assert_eq!(replayed.entries, 5, "{replayed:?}");
            assert_eq!(estate.verify().await.verdict, Verdict::Intact);
            assert_eq!(read("SELECT count(*) FROM user WHERE id = 10"), 0);
        }
    });
}
