//! QWED appends while entries of its trail are erased: none of its appends fails, and the trail is intact in between.

use serde_json::json;
use trailkeeper::{erasure::State, trail::finding::Verdict};

use super::{DATABASE, Estate, Qwed};
use crate::{
    live_writer::Writer,
    support::{
        loaded::{add_organizations, copy_entries},
        store::{TestStore, block_on},
        trails::{self, KEY, generate, generator, sqlite_url},
    },
};

const ENTRIES: u64 = 20_000;
const APPENDS: u64 = 600;
const ORGANIZATIONS: i64 = 3;
/// Users of the organisation that QWED appends to.
const USERS: [i64; 6] = [200, 203, 206, 209, 212, 215];

/// As an erasure begins: QWED has them write nothing any more.
const LOCKED_OUT: &str =
    "UPDATE \"user\" SET is_active = false WHERE id IN (200, 203, 206, 209, 212, 215)";

async fn erase_beside(estate: Estate<'_>, writer: Writer) {
    let writing = tokio::task::spawn_blocking(move || writer.end());
    for user in USERS {
        let mut asked = estate.asked(2, user);
        if user % 2 == 0 {
            asked.policy.entries = Some(trailkeeper::config::EraseEntries::Delete);
        }
        let request = estate.erase(asked).await;
        assert!(
            matches!(request.state, State::Completed | State::WaitingForHead),
            "{request:?}"
        );
        let report = estate.verify().await;
        assert_eq!(report.verdict, Verdict::Intact, "{report:#?}");
    }
    let outcome = writing.await.expect("no panic");
    assert_eq!(
        outcome,
        json!({"appended": APPENDS, "failed": 0, "errors": []})
    );
    let report = estate.verify().await;
    assert_eq!(report.verdict, Verdict::Intact);
    let erased = report.organizations[1].erased;
    assert!(erased.anonymised > 0 && erased.deleted > 0, "{erased:?}");
    assert_eq!(report.entries + erased.deleted, ENTRIES + APPENDS);
}

#[test]
fn no_append_of_qweds_fails_on_sqlite() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let directory = tempfile::tempdir().expect("make a directory");
        let path = directory.path().join("qwed.db");
        generate(&path, ORGANIZATIONS, 1, ENTRIES);
        trails::open(&path)
            .execute_batch(LOCKED_OUT)
            .expect("lock out");
        let url = sqlite_url(&path);
        let writer = Writer::start(&url, APPENDS);
        let estate = Estate::of(&test, Qwed::Sqlite(path), &url, KEY, directory);
        erase_beside(estate, writer).await;
    });
}

#[test]
fn no_append_of_qweds_fails_on_postgresql() {
    block_on(async {
        let test = TestStore::postgres().await;
        let server = test.server.as_ref().expect("a server");
        server.create_database(DATABASE);
        let url = server.url(DATABASE);
        // Its own tables, with its own types and constraints.
        let outcome = Writer::start(&url, 0).end();
        assert_eq!(outcome["failed"], 0, "{outcome}");
        server.psql(DATABASE, "DELETE FROM organization");
        add_organizations(server, DATABASE, ORGANIZATIONS);
        server.psql(
            DATABASE,
            &format!(
                "INSERT INTO \"user\" (id, email, password_hash, organization_id, role, is_active, created_at) \
                 SELECT id, id || '@example.com', 'x', id / 100, 'member', true, now() \
                 FROM generate_series(100, {ORGANIZATIONS}99) AS id"
            ),
        );
        let mut made = generator(ORGANIZATIONS, 1);
        let rows = copy_entries(&mut made, ENTRIES as usize, |entry| Some(entry.id));
        server.psql(DATABASE, &rows);
        server.psql(
            DATABASE,
            "SELECT setval('verificationlog_id_seq', max(id)) FROM verificationlog",
        );
        server.psql(DATABASE, LOCKED_OUT);
        let writer = Writer::start(&url, APPENDS);
        let directory = tempfile::tempdir().expect("make a directory");
        let estate = Estate::of(&test, Qwed::Postgres(server), &url, KEY, directory);
        erase_beside(estate, writer).await;
    });
}
