//! Legal holds: what counts, and that each change is in the ledger.

use jiff::{Timestamp, ToSpan};
use serde_json::Value;
use trailkeeper::{
    checkpoint::note::SecretKey,
    holds::{self, Hold, Keeper, NewHold, Standing},
    ledger::{self, Scribe},
    state::{StateError, fault},
};

use crate::support::{program::Program, store::TestStore};

const ORIGIN: &str = "audit.example.org";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).expect("a time")
}

fn key() -> SecretKey {
    SecretKey::from_seed(ORIGIN, &[7; 32]).expect("a key")
}

fn about(organization: i64, user: Option<i64>) -> NewHold {
    NewHold {
        organization,
        user,
        reason: " Case 2026/17 ".to_owned(),
        until: None,
    }
}

/// Does something at this time as somebody who can sign entries.
async fn keep<T>(
    now: Timestamp,
    act: impl AsyncFnOnce(Keeper<'_>) -> Result<T, StateError>,
) -> Result<T, StateError> {
    let key = key();
    let scribe = Scribe {
        origin: ORIGIN,
        key: &key,
        actor: "a test",
        now,
    };
    let keeper = Keeper {
        actor: "a test",
        now,
        scribe: Some(&scribe),
    };
    act(keeper).await
}

async fn place(test: &TestStore, new: NewHold) -> Result<Hold, StateError> {
    keep(at(0), async |keeper| keeper.place(&test.store, new).await).await
}

async fn release(test: &TestStore, id: &str, now: Timestamp) -> Result<Hold, StateError> {
    keep(now, async |keeper| {
        keeper.release(&test.store, id, "closed").await
    })
    .await
}

/// The ids of the holds that count.
async fn active(
    test: &TestStore,
    organization: i64,
    user: Option<i64>,
    now: Timestamp,
) -> Vec<String> {
    let found = holds::active(&test.store, organization, user, now).await;
    found
        .expect("read")
        .into_iter()
        .map(|hold| hold.id)
        .collect()
}

/// The acts of the ledger, the oldest first.
async fn acts(test: &TestStore) -> Vec<String> {
    let keys = [key().verifier()];
    let report = ledger::verify(&test.store, ORIGIN, &keys).await;
    assert_eq!(report.expect("verify").findings, []);
    let rows = test.store.ledger_after(0, 100).await.expect("read");
    rows.into_iter().map(|row| row.act).collect()
}

crate::on_both![
    a_hold_binds_whom_it_is_about,
    a_hold_counts_until_it_ends_or_is_released,
    what_makes_no_sense_is_refused,
    a_change_and_its_entry_are_one_write,
    an_operator_places_lists_and_releases,
];

async fn a_hold_binds_whom_it_is_about(test: TestStore) {
    let user = place(&test, about(1, Some(5))).await.expect("place").id;
    assert_eq!(
        active(&test, 1, Some(5), at(1)).await,
        std::slice::from_ref(&user)
    );
    assert_eq!(active(&test, 1, Some(6), at(1)).await, [""; 0]);
    assert_eq!(active(&test, 2, Some(5), at(1)).await, [""; 0]);
    // Who asks about the whole organisation asks about each user of it.
    assert_eq!(
        active(&test, 1, None, at(1)).await,
        std::slice::from_ref(&user)
    );
    let all = place(&test, about(1, None)).await.expect("place").id;
    assert_eq!(
        active(&test, 1, Some(6), at(1)).await,
        std::slice::from_ref(&all)
    );
    let both = active(&test, 1, Some(5), at(1)).await;
    assert!(both.len() == 2 && both.contains(&user) && both.contains(&all));
    assert_eq!(acts(&test).await, ["hold.placed"; 2]);
}

async fn a_hold_counts_until_it_ends_or_is_released(test: TestStore) {
    let until = at(0) + 1.hour();
    let new = NewHold {
        until: Some(until),
        ..about(1, Some(5))
    };
    let ending = place(&test, new).await.expect("place");
    assert_eq!(ending.reason, "Case 2026/17");
    let moment_before = until - 1.microsecond();
    assert_eq!(active(&test, 1, Some(5), moment_before).await.len(), 1);
    assert_eq!(active(&test, 1, Some(5), until).await.len(), 0);
    release(&test, &ending.id, until).await.expect_err("ended");

    let open = place(&test, about(1, Some(5))).await.expect("place");
    let released = release(&test, &open.id, at(9)).await.expect("release");
    assert_eq!(released.standing, Standing::Released);
    let again = release(&test, &open.id, at(10)).await.expect_err("again");
    assert!(
        again.to_string().ends_with("is released already"),
        "{again}"
    );
    assert_eq!(active(&test, 1, Some(5), until).await.len(), 0);

    // Nothing is forgotten.
    let all = holds::all(&test.store, Some(1), until).await.expect("read");
    let mut standings: Vec<_> = all.iter().map(|hold| hold.standing.name()).collect();
    standings.sort_unstable();
    assert_eq!(standings, ["ended", "released"]);
    let others = holds::all(&test.store, Some(2), until).await.expect("read");
    assert_eq!(others, []);
    assert_eq!(
        acts(&test).await,
        ["hold.placed", "hold.placed", "hold.released"]
    );
}

async fn what_makes_no_sense_is_refused(test: TestStore) {
    let changed = |change: fn(&mut NewHold)| {
        let mut new = about(1, None);
        change(&mut new);
        new
    };
    for new in [
        changed(|new| new.reason = "  ".to_owned()),
        changed(|new| new.reason = "ä".repeat(holds::MAX_REASON_CHARS + 1)),
        changed(|new| new.until = Some(at(0))),
    ] {
        let error = place(&test, new).await.expect_err("refused");
        assert!(matches!(error, StateError::Refused(_)), "{error}");
    }
    let error = release(&test, "none", at(0)).await.expect_err("refused");
    assert_eq!(error.to_string(), "there is no hold none");
    assert_eq!(acts(&test).await, [""; 0]);
}

async fn a_change_and_its_entry_are_one_write(test: TestStore) {
    use fault::Way::{Failed, FailedButPersisted};
    for (way, there) in [(Failed, 0), (FailedButPersisted, 1)] {
        fault::set("hold", way, 1);
        place(&test, about(1, None)).await.expect_err("broken");
        assert_eq!(test.number("SELECT count(*) FROM hold").await, there);
        assert_eq!(acts(&test).await.len() as i64, there);
    }
    let id = active(&test, 1, None, at(1)).await.remove(0);
    for (way, there) in [(Failed, 0), (FailedButPersisted, 1)] {
        fault::set("hold release", way, 1);
        release(&test, &id, at(1)).await.expect_err("broken");
        let released = "SELECT count(*) FROM hold WHERE released_at IS NOT NULL";
        assert_eq!(test.number(released).await, there);
        assert_eq!(acts(&test).await.len() as i64, 1 + there);
    }
}

async fn an_operator_places_lists_and_releases(test: TestStore) {
    let key_file = test.directory.path().join("anchor.key");
    let program = |arguments: &[&str]| {
        Program::bare()
            .env("TRAILKEEPER__STATE__URL", &test.url)
            .env("TRAILKEEPER__ANCHORS__ORIGIN", ORIGIN)
            .env("TRAILKEEPER__ANCHORS__KEY_FILE", &key_file)
            .args(arguments)
    };
    let add = ["hold", "add", "--org", "3", "--reason", "Case 2026/17"];
    let run = program(&add).args(["--user", "5"]).run();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.starts_with("not in the ledger: "), "{run:?}");

    trailkeeper::private::create_file(&key_file, key().to_text().as_bytes()).expect("keep the key");
    let (run, hold) = program(&add).args(["--until", "2999-01-01"]).json();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(hold["until"], "2999-01-01T00:00:00Z");
    let id = hold["id"].as_str().expect("an id");
    let (_, listed) = program(&["hold", "list", "--org", "3", "--active"]).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    let run = program(&["hold", "release", id, "--reason", "closed"]).run();
    assert_eq!(run.stdout, format!("{id} no longer holds organisation 3\n"));
    let run = program(&["hold", "release", id, "--reason", "closed"]).run();
    let told = format!("trailkeeper: hold {id} is released already");
    assert_eq!(run.failure(), (Some(2), told.as_str()));

    // Times are new in each run, and ids.
    test.execute("UPDATE hold SET placed_at = 1770000000000000 + coalesce(user_id, 0), released_at = 1780000000000000 WHERE user_id IS NULL")
        .await;
    test.execute(
        "UPDATE hold SET placed_at = 1771000000000000, ends_at = 1772000000000000 WHERE user_id = 5",
    )
    .await;
    test.execute("UPDATE hold SET id = 'hold-' || coalesce(user_id, 0)")
        .await;
    let run = program(&["hold", "list"]).run();
    insta::assert_snapshot!("list_of_holds", run.stdout);
    let (_, listed) = program(&["ledger", "list"]).json();
    let acts: Vec<&Value> = listed["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| &entry["act"])
        .collect();
    assert_eq!(acts, ["hold.released", "hold.placed"]);
}
