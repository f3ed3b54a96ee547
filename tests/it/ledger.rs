//! The compliance ledger: signed, chained, and carried into the archive.

use jiff::Timestamp;
use serde_json::json;
use trailkeeper::{
    checkpoint::note::{SecretKey, VerifierKey},
    ledger::{self, Act, Report, Scribe},
    state::{StateError, fault},
};

use crate::support::store::TestStore;

const ORIGIN: &str = "audit.example.org";

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(ORIGIN, &[seed; 32]).expect("a key")
}

async fn note(test: &TestStore, detail: i64) -> Result<(), StateError> {
    let key = key(7);
    let scribe = Scribe {
        origin: ORIGIN,
        key: &key,
        actor: "a test",
        now: Timestamp::from_second(1_700_000_000 + detail).expect("a time"),
    };
    let detail = json!({ "detail": detail });
    scribe.note(&test.store, Act::Drill, detail).await
}

async fn verified(test: &TestStore, keys: &[VerifierKey]) -> Report {
    ledger::verify(&test.store, ORIGIN, keys)
        .await
        .expect("verify")
}

fn numbers(report: &Report) -> Vec<i64> {
    report
        .findings
        .iter()
        .map(|finding| finding.number)
        .collect()
}

crate::on_both![
    entries_are_chained,
    what_was_changed_is_found,
    entries_are_written_once_and_by_one_at_a_time,
    a_configuration_is_entered_when_it_is_another,
];

async fn entries_are_chained(test: TestStore) {
    let keys = [key(7).verifier()];
    assert_eq!(verified(&test, &keys).await, Report::default());
    for detail in 0..5 {
        note(&test, detail).await.expect("note");
    }
    let report = verified(&test, &keys).await;
    assert_eq!((report.entries, numbers(&report)), (5, vec![]));
    let newest = test.store.newest_ledger(Some("archive.drill"), 1).await;
    let newest = newest.expect("read").remove(0);
    let entry = ledger::open(&newest, ORIGIN, &keys).expect("authentic");
    assert_eq!((entry.number, entry.actor.as_str()), (5, "a test"));
    assert_eq!(entry.detail, json!({ "detail": 4 }));
    assert_eq!(report.to, Some(entry.at));
    let others = test.store.newest_ledger(Some("archive.restore"), 1).await;
    assert_eq!(others.expect("read"), []);
    // Nobody else's key, and nobody else's ledger.
    let report = verified(&test, &[key(8).verifier()]).await;
    assert_eq!((report.entries, report.findings.len()), (0, 5));
    ledger::open(&newest, "other.example.org", &keys).expect_err("another ledger's");
}

async fn what_was_changed_is_found(test: TestStore) {
    let keys = [key(7).verifier()];
    for detail in 0..5 {
        note(&test, detail).await.expect("note");
    }
    for (change, undo, found) in [
        (
            "UPDATE ledger SET note = replace(note, 'a test', 'nobody') WHERE number = 2",
            "UPDATE ledger SET note = replace(note, 'nobody', 'a test') WHERE number = 2",
            // The next entry names what it was.
            vec![2, 3],
        ),
        (
            "UPDATE ledger SET act = 'archive.restore' WHERE number = 4",
            "UPDATE ledger SET act = 'archive.drill' WHERE number = 4",
            vec![4],
        ),
        (
            "UPDATE ledger SET number = 9 WHERE number = 5",
            "UPDATE ledger SET number = 5 WHERE number = 9",
            vec![9],
        ),
        ("DELETE FROM ledger WHERE number = 3", "", vec![4]),
    ] {
        test.execute(change).await;
        assert_eq!(numbers(&verified(&test, &keys).await), found, "{change}");
        if !undo.is_empty() {
            test.execute(undo).await;
            assert_eq!(verified(&test, &keys).await.findings, [], "{undo}");
        }
    }
}

async fn entries_are_written_once_and_by_one_at_a_time(test: TestStore) {
    let keys = [key(7).verifier()];
    fault::set("ledger", fault::Way::Failed, 1);
    note(&test, 0).await.expect_err("broken");
    assert_eq!(verified(&test, &keys).await.entries, 0);
    fault::set("ledger", fault::Way::FailedButPersisted, 1);
    note(&test, 1).await.expect_err("broken");
    assert_eq!(verified(&test, &keys).await.entries, 1);
    let all = futures_util::future::join_all((2..22).map(|detail| note(&test, detail))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    let report = verified(&test, &keys).await;
    assert_eq!((report.entries, numbers(&report)), (21, vec![]));
}

async fn a_configuration_is_entered_when_it_is_another(test: TestStore) {
    let key = key(7);
    let begin = async |sha256: &str| {
        let scribe = Scribe {
            origin: ORIGIN,
            key: &key,
            actor: "a worker",
            now: Timestamp::from_second(1_700_000_000).expect("a time"),
        };
        scribe.note_config(&test.store, sha256).await
    };
    fault::set("ledger", fault::Way::Failed, 1);
    begin("a").await.expect_err("broken");
    fault::set("ledger", fault::Way::FailedButPersisted, 1);
    begin("a").await.expect_err("broken");
    for (sha256, is_new) in [("a", false), ("b", true), ("b", false), ("a", true)] {
        assert_eq!(begin(sha256).await.expect("note"), is_new, "{sha256}");
        // What came in between is of no consequence.
        note(&test, 1).await.expect("note");
    }
    let rows = test.store.newest_ledger(Some("config.loaded"), 10).await;
    let rows = rows.expect("read");
    let hashes: Vec<_> = rows.iter().map(ledger::detail).collect();
    assert_eq!(hashes.len(), 3);
    assert_eq!(
        (&hashes[0]["sha256"], &hashes[0]["previous_sha256"]),
        (&json!("a"), &json!("b"))
    );
    // Many that begin at once make one entry.
    let all = (0..10).map(|_| begin("c"));
    let all = futures_util::future::join_all(all).await;
    let new = all.into_iter().filter(|new| matches!(new, Ok(true)));
    assert_eq!(new.count(), 1);
    assert_eq!(verified(&test, &[key.verifier()]).await.findings, []);
}
