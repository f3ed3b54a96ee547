//! The consent ledger: what is recorded, that it is recorded once, and what it comes to.

mod archived;
mod program;
mod tampered;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use trailkeeper::{
    checkpoint::note::SecretKey,
    consent::{
        self, Chain, ConsentType, RecordError, Recorded, Recorder, Rejection, Statement, Status,
    },
    ledger::{self, Scribe},
    state::{Store, fault, jobs::new_id},
    trail::{
        finding::Verdict,
        keys::{Key, KeyRing},
    },
};

use crate::support::store::TestStore;

const ORIGIN: &str = "audit.example.org";
const AUDIT_KEY: &str = "consent-audit-key-0123456789abcdef-0123";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).expect("a time")
}

fn anchor_key() -> SecretKey {
    SecretKey::from_seed(ORIGIN, &[7; 32]).expect("a key")
}

fn ring() -> KeyRing {
    KeyRing::new(vec![Key::new("main", AUDIT_KEY.as_bytes())])
}

fn granted(organization_id: i64, record_id: &str) -> Statement {
    Statement {
        record_id: record_id.to_owned(),
        organization_id,
        user_id: None,
        email: Some("Ada@example.org".to_owned()),
        subject: None,
        status: Status::Granted,
        consent_type: Some(ConsentType::Explicit),
        purposes: vec!["newsletter".to_owned()],
        privacy_notice: Some("https://example.org/privacy".to_owned()),
        notice_version: Some("2026-05".to_owned()),
        channel: Some("web form".to_owned()),
        evidence: Some("sha256:5f".to_owned()),
        time: None,
    }
}

fn withdrawn(organization_id: i64, record_id: &str) -> Statement {
    Statement {
        status: Status::Withdrawn,
        consent_type: None,
        ..granted(organization_id, record_id)
    }
}

async fn try_record(
    store: &Store,
    statement: &Statement,
    now: Timestamp,
) -> Result<Recorded, RecordError> {
    let (key, ring) = (anchor_key(), ring());
    let scribe = Scribe {
        origin: ORIGIN,
        key: &key,
        actor: "a test",
        now,
    };
    let recorder = Recorder {
        ring: &ring,
        actor: "a test",
        now,
        scribe: Some(&scribe),
        forward: None,
    };
    recorder.record(store, statement).await
}

async fn record(test: &TestStore, statement: &Statement) -> Recorded {
    let recorded = try_record(&test.store, statement, at(0)).await;
    recorded.expect("record")
}

/// What verifying all chains comes to; the ledger itself is sound.
async fn verified(test: &TestStore) -> Vec<Chain> {
    let keys = [anchor_key().verifier()];
    let report = ledger::verify(&test.store, ORIGIN, &keys).await;
    assert_eq!(report.expect("verify").findings, []);
    let heads = ledger::consent_heads(&test.store, ORIGIN, &keys).await;
    let heads = heads.expect("read");
    let chains = consent::verify(&test.store, &Arc::new(ring()), &heads, 100).await;
    chains.expect("verify")
}

/// Records of each organisation, all of which are intact.
async fn intact(test: &TestStore) -> BTreeMap<i64, u64> {
    let chains = verified(test).await.into_iter();
    chains
        .map(|chain| {
            assert_eq!((chain.verdict, &chain.findings), (Verdict::Intact, &vec![]));
            assert_eq!(chain.records, chain.verified);
            (chain.organization_id, chain.records)
        })
        .collect()
}

fn rejection(result: Result<Recorded, RecordError>) -> Rejection {
    match result.expect_err("refused") {
        RecordError::Rejected(rejection) => rejection,
        error => panic!("{error}"),
    }
}

crate::on_both![
    records_are_chained_by_organisation,
    the_same_again_is_the_same_record,
    a_withdrawal_is_always_accepted,
    a_record_and_all_that_tells_of_it_are_one_write,
    many_that_record_at_once_never_fork_a_chain,
];

async fn records_are_chained_by_organisation(test: TestStore) {
    for number in 1..=3 {
        for organization in [1, 2] {
            let recorded = record(&test, &granted(organization, &format!("r-{number}"))).await;
            assert!(recorded.is_new);
            assert_eq!(recorded.record.note.sequence, number);
        }
    }
    assert_eq!(intact(&test).await, BTreeMap::from([(1, 3), (2, 3)]));

    // What docs/consent.md says is hashed, as CPython's json.dumps would write it.
    let statement = Statement {
        email: None,
        subject: Some("Ünal".to_owned()),
        time: Some("2023-11-14T22:00:00Z".to_owned()),
        ..granted(2, "r-4")
    };
    let record = record(&test, &statement).await.record;
    let query = r#"{\"channel\":\"web form\",\"consent_type\":\"explicit\",\"evidence\":\"sha256:5f\",\"notice_version\":\"2026-05\",\"organization_id\":2,\"privacy_notice\":\"https://example.org/privacy\",\"purposes\":[\"newsletter\"],\"record_id\":\"r-4\",\"status\":\"granted\",\"subject\":\"\u00dcnal\",\"time\":\"2023-11-14T22:00:00Z\"}"#;
    let previous = record.previous_hash.as_deref().expect("a hash");
    let payload = format!(
        r#"{{"admission": "granted", "api_key_id": null, "domain": "consent", "is_verified": true, "organization_id": 2, "previous_hash": "{previous}", "query": "{query}", "raw_llm_output": null, "result": {{"recorded_by": "a test", "sequence": 4}}, "timestamp": "2023-11-14T22:13:20+00:00", "user_id": null, "verifier_version": "trailkeeper consent 1"}}"#
    );
    let hash = Sha256::digest(&payload);
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(record.entry_hash, hash, "{payload}");
    let signature = Key::new("main", AUDIT_KEY.as_bytes()).sign(hash.as_bytes());
    assert_eq!(record.hmac_signature.as_bytes(), signature);
}

async fn the_same_again_is_the_same_record(test: TestStore) {
    let statement = granted(1, "r-1");
    let first = record(&test, &statement).await;
    // Also much later, when the time that was not given would be another.
    let again = try_record(&test.store, &statement, at(1_000_000)).await;
    let again = again.expect("record");
    assert!(first.is_new && !again.is_new);
    assert_eq!(first.record, again.record);
    // The name is the organisation's own.
    assert!(record(&test, &granted(2, "r-1")).await.is_new);

    let other = withdrawn(1, "r-1");
    let refused = try_record(&test.store, &other, at(0)).await;
    assert_eq!(rejection(refused), Rejection::OtherContent);
    let future = Statement {
        time: Some(at(3600).to_string()),
        ..granted(1, "r-2")
    };
    let refused = try_record(&test.store, &future, at(0)).await;
    assert_eq!(rejection(refused), Rejection::InFuture);
    let nobody = Statement {
        email: None,
        ..granted(1, "r-2")
    };
    let refused = rejection(try_record(&test.store, &nobody, at(0)).await);
    assert_eq!(refused.reason(), "invalid");
    // PostgreSQL cannot be asked whether it knows this name.
    let unspeakable = granted(1, "r\0");
    let refused = rejection(try_record(&test.store, &unspeakable, at(0)).await);
    assert_eq!(refused.reason(), "invalid");
    assert_eq!(intact(&test).await, BTreeMap::from([(1, 1), (2, 1)]));
}

async fn a_withdrawal_is_always_accepted(test: TestStore) {
    let early = record(&test, &withdrawn(1, "r-1")).await.record;
    assert!(early.note.without_grant);
    let later = async |statement: &Statement, seconds: i64| {
        let recorded = try_record(&test.store, statement, at(seconds)).await;
        recorded.expect("record").record
    };
    later(&granted(1, "r-2"), 1).await;
    // Another spelling of the address, and no purpose: all of it.
    let everything = Statement {
        email: Some("ADA@example.org".to_owned()),
        purposes: vec![],
        ..withdrawn(1, "r-3")
    };
    let late = later(&everything, 2).await;
    assert!(!late.note.without_grant);
    let again = later(&withdrawn(1, "r-4"), 3).await;
    assert!(again.note.without_grant);
    assert_eq!(intact(&test).await, BTreeMap::from([(1, 4)]));
}

async fn a_record_and_all_that_tells_of_it_are_one_write(test: TestStore) {
    let store = test.store.clone().publishing_events();
    let counts = async || {
        let mut counts = Vec::new();
        for rows in [
            "consent",
            "ledger WHERE act = 'consent.head'",
            "outbox WHERE event_type = 'consent.recorded'",
        ] {
            let sql = format!("SELECT count(*) FROM {rows}");
            counts.push(test.number(&sql).await);
        }
        counts
    };
    let statement = granted(1, "r-1");
    fault::set("consent", fault::Way::Failed, 1);
    let broken = try_record(&store, &statement, at(0)).await;
    broken.expect_err("broken");
    assert_eq!(counts().await, [0, 0, 0]);
    fault::set("consent", fault::Way::FailedButPersisted, 1);
    let broken = try_record(&store, &statement, at(0)).await;
    broken.expect_err("broken");
    assert_eq!(counts().await, [1, 1, 1]);
    let again = try_record(&store, &statement, at(0)).await;
    assert!(!again.expect("record").is_new);
    assert_eq!(counts().await, [1, 1, 1]);
    assert_eq!(intact(&test).await, BTreeMap::from([(1, 1)]));
    // Others learn that there is a record, and not whose.
    let rows = store.claim_outgoing(10).await.expect("read");
    let body: Value = serde_json::from_str(&rows[0].body).expect("JSON");
    assert_eq!(body["record_id"], json!("r-1"));
    assert!(!rows[0].body.contains("example.org"), "{body}");
}

async fn many_that_record_at_once_never_fork_a_chain(test: TestStore) {
    let other = test.another().await;
    let statements: Vec<Statement> = (0..60)
        .map(|number| granted(number % 3, &new_id()))
        .collect();
    // Each twice, through two programs: as an answer that was lost would have it.
    let all = statements.iter().flat_map(|statement| {
        [&test.store, &other].map(|store| try_record(store, statement, at(0)))
    });
    let all = join_all(all).await;
    let recorded: Vec<_> = all.into_iter().map(|it| it.expect("record")).collect();
    assert_eq!(recorded.iter().filter(|it| it.is_new).count(), 60);
    let each = BTreeMap::from([(0, 20), (1, 20), (2, 20)]);
    assert_eq!(intact(&test).await, each);
}
