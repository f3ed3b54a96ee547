//! What this program itself holds about somebody is in their export, and nobody else's.

use serde_json::{Value, json};
use trailkeeper::{
    consent::{Recorder, Statement, Status},
    holds::{Keeper, NewHold},
    state::erasures::ErasureRow,
    trail::keys::{Key, KeyRing},
};

use super::{Opened, Qwed, made_at};
use crate::support::{program::Program, store::TestStore};

/// Who records, releases and approves; nobody whom an export is about.
const CLERK: &str = "clerk-of-records";

crate::on_both![consents_requests_and_holds_go_with_it];

async fn record(test: &TestStore, name: &str, change: impl FnOnce(&mut Statement)) {
    let mut statement: Statement = serde_json::from_value(json!({
        "record_id": name, "organization_id": 1, "status": "granted", "purposes": ["news", "ads"],
        "consent_type": "explicit", "evidence": format!("evidence of {name}"), "time": "2026-02-01T10:00:00+02:00",
    }))
    .expect("a statement");
    change(&mut statement);
    let recorder = Recorder {
        ring: &KeyRing::new(vec![Key::new("main", &[b'k'; 40])]),
        actor: CLERK,
        now: made_at(),
        scribe: None,
        forward: None,
    };
    let recorded = recorder.record(&test.store, &statement).await;
    recorded.expect("record");
}

async fn ask(test: &TestStore, id: &str, organization_id: i64, user_id: i64) {
    let row = ErasureRow {
        id: id.to_owned(),
        organization_id,
        user_id,
        requester: CLERK.to_owned(),
        approved_by: Some(CLERK.to_owned()),
        reason: Some("asked by letter".to_owned()),
        state: "completed".to_owned(),
        requested_at: made_at().as_microsecond(),
        completed_at: Some(made_at().as_microsecond() + 1_500_000),
        ..ErasureRow::default()
    };
    let mut tx = test.store.begin().await.expect("begin");
    tx.insert_erasure(&row).await.expect("insert");
    tx.commit("test").await.expect("commit");
}

async fn hold(test: &TestStore, organization: i64, user: Option<i64>) {
    let keeper = Keeper {
        actor: CLERK,
        now: made_at(),
        scribe: None,
    };
    let new = NewHold {
        organization,
        user,
        reason: format!("Case {organization}/{user:?}"),
        until: None,
    };
    keeper.place(&test.store, new).await.expect("place");
}

fn export(test: &TestStore, qwed: &Qwed<'_>, who: &[&str]) -> Opened {
    let (out, directory) = (qwed.file(), test.directory.path());
    let database = match &test.server {
        Some(server) => server.url("qwed"),
        None => crate::support::trails::sqlite_url(&directory.join("qwed.db")),
    };
    let out_text = out.display().to_string();
    let run = Program::bare()
        .env("TRAILKEEPER__DATA_DIR", directory.join("data"))
        .env("TRAILKEEPER__STATE__URL", &test.url)
        .args(["export", "subject", "--database", &database])
        .args(who)
        .args(["--out", &out_text])
        .run();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    let opened = Opened::read(&out);
    assert!(!opened.everything.contains(CLERK), "{}", opened.everything);
    opened
}

/// A field of each record of a list.
fn each<'o>(opened: &'o Opened, list: &str, field: &str) -> Vec<&'o Value> {
    let records = opened.data["own"][list].as_array().expect("a list");
    records.iter().map(|record| &record[field]).collect()
}

async fn consents_requests_and_holds_go_with_it(test: TestStore) {
    let qwed = Qwed::filled(&test);
    record(&test, "by-id", |it| it.user_id = Some(10)).await;
    record(&test, "by-address", |it| {
        // Not as QWED spells it.
        it.email = Some("ada@example.ORG".to_owned());
        it.status = Status::Withdrawn;
        it.purposes.clear();
    })
    .await;
    record(&test, "of-another", |it| it.user_id = Some(11)).await;
    // A name that means somebody to whoever asked.
    record(&test, "by-name", |it| it.subject = Some("10".to_owned())).await;
    record(&test, "elsewhere", |it| {
        (it.organization_id, it.user_id) = (2, Some(10));
    })
    .await;
    for (id, organization, user) in [("a", 1, 10), ("b", 1, 11), ("c", 2, 10)] {
        ask(&test, id, organization, user).await;
    }
    for (organization, user) in [(1, Some(10)), (1, Some(11)), (1, None), (2, None)] {
        hold(&test, organization, user).await;
    }

    let ada = export(&test, &qwed, &["--org", "1", "--user", "10"]);
    assert_eq!(
        each(&ada, "consents", "record_id"),
        ["by-id", "by-address"],
        "{}",
        ada.data["own"]
    );
    let granted = &ada.data["own"]["consents"][0];
    let expected = json!({
        "organization_id": 1, "sequence": 1, "status": "granted", "subject": "10", "purposes": "news; ads",
        "consent_type": "explicit", "evidence": "evidence of by-id", "said_at": "2026-02-01T10:00:00+02:00",
        "recorded_at": "2026-08-01T09:30:00.000000Z", "channel": null,
    });
    for (field, value) in expected.as_object().expect("an object") {
        assert_eq!(&granted[field], value, "{field}");
    }
    assert_eq!(each(&ada, "erasure_requests", "id"), ["a"]);
    let completed = &ada.data["own"]["erasure_requests"][0]["completed_at"];
    assert_eq!(completed, "2026-08-01T09:30:01.500000Z");
    assert_eq!(each(&ada, "legal_holds", "reason"), ["Case 1/Some(10)"]);
    assert_eq!(each(&ada, "legal_holds", "standing"), ["active"]);

    let all = export(&test, &qwed, &["--org", "1", "--all"]);
    let records = ["by-id", "by-address", "of-another", "by-name"];
    assert_eq!(each(&all, "consents", "record_id"), records);
    assert_eq!(each(&all, "erasure_requests", "id"), ["a", "b"]);
    assert_eq!(each(&all, "legal_holds", "id").len(), 3);

    // What is not what was signed is exported as it is stored; more than a page of it.
    test.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 450) INSERT INTO consent \
         SELECT 1, 100 + i, 'copy-' || i, subject_kind, subject, user_id, status, recorded_at, query, result, verifier_version, \
         previous_hash, entry_hash, hmac_signature FROM consent, n WHERE record_id = 'by-id'",
    )
    .await;
    let ada = export(&test, &qwed, &["--org", "1", "--email", "ada@example.org"]);
    let sequences = each(&ada, "consents", "sequence");
    assert_eq!(sequences.len(), 452);
    assert_eq!(sequences.last(), Some(&&json!(550)));
    let copy = &ada.data["own"]["consents"][2];
    assert_eq!(
        (&copy["purposes"], &copy["evidence"]),
        (&Value::Null, &Value::Null)
    );
    let statement = copy["statement"].as_str().expect("text");
    assert!(statement.contains("evidence of by-id"), "{statement}");
}
