//! What is done to records by hand is found.

use serde_json::json;
use trailkeeper::{
    consent::Recorder,
    trail::{
        finding::{Kind, Verdict},
        keys::{Key, KeyRing},
    },
};

use super::{at, granted, intact, record, ring, verified};
use crate::support::store::TestStore;

/// Each finding's organisation, place and kind.
async fn found(test: &TestStore) -> Vec<(i64, i64, Kind)> {
    let mut found = Vec::new();
    for chain in verified(test).await {
        for finding in &chain.findings {
            found.push((chain.organization_id, finding.entry_id, finding.kind));
        }
    }
    found
}

async fn five_records(test: &TestStore) {
    for organization in [1, 2] {
        for number in 1..=5 {
            record(test, &granted(organization, &format!("r-{number}"))).await;
        }
    }
    assert_eq!(intact(test).await.len(), 2);
}

crate::on_both![
    what_was_changed_is_found,
    what_was_removed_is_found,
    what_was_put_there_is_found,
];

async fn what_was_changed_is_found(test: TestStore) {
    use Kind::{ContentChanged, HashMissing, PredecessorMissing, SignatureInvalid};
    five_records(&test).await;
    let third = "WHERE organization_id = 2 AND sequence = 3";
    for (change, undo, expected) in [
        (
            "query = replace(query, 'newsletter', 'everything')",
            "query = replace(query, 'everything', 'newsletter')",
            vec![(2, 3, ContentChanged)],
        ),
        (
            "result = replace(result, 'a test', 'nobody')",
            "result = replace(result, 'nobody', 'a test')",
            vec![(2, 3, ContentChanged)],
        ),
        (
            "status = 'withdrawn'",
            "status = 'granted'",
            vec![(2, 3, ContentChanged)],
        ),
        (
            "recorded_at = recorded_at + 1",
            "recorded_at = recorded_at - 1",
            vec![(2, 3, ContentChanged)],
        ),
        // What is looked up by is not hashed itself, but has to say what is.
        (
            "subject = 'bob@example.org'",
            "subject = 'ada@example.org'",
            vec![(2, 3, ContentChanged)],
        ),
        (
            "record_id = 'r-9'",
            "record_id = 'r-3'",
            vec![(2, 3, ContentChanged)],
        ),
        (
            "hmac_signature = replace(hmac_signature, substr(hmac_signature, 1, 1), 'x')",
            "",
            vec![(2, 3, SignatureInvalid)],
        ),
        (
            "entry_hash = '', hmac_signature = ''",
            "",
            vec![(2, 3, HashMissing), (2, 4, PredecessorMissing)],
        ),
    ] {
        test.execute(&format!("UPDATE consent SET {change} {third}"))
            .await;
        assert_eq!(found(&test).await, expected, "{change}");
        if !undo.is_empty() {
            test.execute(&format!("UPDATE consent SET {undo} {third}"))
                .await;
            assert_eq!(found(&test).await, [], "{undo}");
        }
    }
}

async fn what_was_removed_is_found(test: TestStore) {
    five_records(&test).await;
    for (condition, expected) in [
        (
            "organization_id = 1 AND sequence = 5",
            vec![(1, 4, Kind::TailRemoved)],
        ),
        (
            "organization_id = 1 AND sequence = 2",
            vec![(1, 3, Kind::PredecessorMissing), (1, 4, Kind::TailRemoved)],
        ),
        (
            "organization_id = 1",
            vec![(1, 0, Kind::OrganisationVanished)],
        ),
        (
            "organization_id = 2 AND sequence = 1",
            vec![
                (1, 0, Kind::OrganisationVanished),
                (2, 2, Kind::PredecessorMissing),
            ],
        ),
    ] {
        test.execute(&format!("DELETE FROM consent WHERE {condition}"))
            .await;
        assert_eq!(found(&test).await, expected, "{condition}");
    }
}

async fn what_was_put_there_is_found(test: TestStore) {
    five_records(&test).await;
    // By somebody who knows how, and has neither key.
    let ring_of_nobody = KeyRing::new(vec![Key::new("own", &[b'x'; 32])]);
    let now = at(0);
    let mut recorder = Recorder {
        ring: &ring_of_nobody,
        actor: "nobody",
        now,
        scribe: None,
        forward: None,
    };
    let forged = granted(1, "forged");
    recorder.record(&test.store, &forged).await.expect("record");
    assert_eq!(
        found(&test).await,
        [(1, 6, Kind::SignatureInvalid), (1, 6, Kind::AnchorMissing)]
    );
    test.execute("DELETE FROM consent WHERE record_id = 'forged'")
        .await;
    assert_eq!(intact(&test).await.len(), 2);

    // By somebody who stole the trail's key: nothing speaks against the record but that no entry of the ledger has it.
    let stolen = ring();
    recorder.ring = &stolen;
    recorder.record(&test.store, &forged).await.expect("record");
    assert_eq!(found(&test).await, [(1, 6, Kind::AnchorMissing)]);
    assert_eq!(verified(&test).await[0].verdict, Verdict::Incomplete);
    test.execute("DELETE FROM consent WHERE organization_id = 1")
        .await;
    for number in 1..=5 {
        let other = granted(1, &format!("other-{number}"));
        recorder.record(&test.store, &other).await.expect("record");
    }
    let found = found(&test).await;
    assert_eq!(found, [(1, 5, Kind::HistoryRewritten)], "{}", json!(found));
}
