//! From the request to the certificate, with everything that may keep it waiting.

use jiff::SignedDuration;
use trailkeeper::{
    erasure::{self, ErasureError, State, Taken, certificate},
    holds::{Keeper, NewHold},
    ledger,
};

use super::{Estate, ORIGIN, at, keys};
use crate::support::store::TestStore;

crate::on_both![
    a_request_is_followed_to_its_certificate,
    a_plan_writes_nothing_and_says_everything,
    another_plan_needs_another_approval,
    a_large_plan_has_to_be_allowed,
    a_hold_keeps_it,
    time_runs_out,
    it_is_taken_back_until_something_was_erased,
    the_newest_entry_waits,
];

async fn a_request_is_followed_to_its_certificate(test: TestStore) {
    let estate = Estate::settled(&test, "g4_two_orgs").await.with_more();
    let mut request = estate.request(estate.asked(1, 10)).await;
    assert_eq!(request.state, State::Received);
    // Nothing is erased without an approval.
    estate.execute(&mut request).await.expect("a step");
    assert_eq!(request.state, State::AwaitingApproval);
    assert_eq!(estate.count("verificationlog WHERE user_id = 10"), 5);
    estate.approve(&mut request).await.expect("approve");
    estate.execute(&mut request).await.expect("execute");
    assert_eq!((request.state, &request.note), (State::Completed, &None));
    for (what, count) in [
        ("\"user\" WHERE id = 10", 0),
        ("apikey WHERE user_id = 10", 0),
        ("apikey WHERE user_id = 11", 1),
        ("agent WHERE created_by_user_id = 10", 0),
        ("agent", 2),
        ("securityevent WHERE user_id = 10", 0),
        (
            "securityevent WHERE query = '[erased]' AND reason = '[erased]'",
            1,
        ),
        ("securityevent WHERE query = 'what Bob asked'", 1),
        (
            "agentactivity WHERE input_data = '[erased]' AND ip_address = '[erased]'",
            1,
        ),
        ("agentactivity WHERE ip_address = '10.0.0.2'", 1),
        ("toolcall WHERE tool_params = '{\"erased\": true}'", 1),
        (
            "verificationlog WHERE query = '[erased]' AND result = '{\"erased\": true}' AND api_key_id IS NULL",
            5,
        ),
    ] {
        assert_eq!(estate.count(what), count, "{what}");
    }
    assert_eq!(estate.tampered().await, []);
    let text = erasure::certificate_of(&request).expect("a certificate");
    let certificate = certificate::open(text, &keys().verifiers).expect("signed");
    assert_eq!(certificate.tombstones.count, 5);
    assert!(!text.contains("u10@"), "{text}");
    let tombstones = estate
        .graveyard()
        .batch(request.progress.batches[0])
        .await
        .expect("read");
    let tombstones = tombstones.expect("a batch").tombstones;
    let parsed: Vec<_> = tombstones
        .iter()
        .map(|line| trailkeeper::trail::tombstone::Tombstone::parse(line, 1).expect("a tombstone"))
        .collect();
    assert_eq!(
        certificate.tombstones.root,
        certificate::root(&parsed).to_string()
    );
    // Who asks again is answered with it, by id and by address.
    for user in [Ok(10), Err(" U10@Example.com ".to_owned())] {
        let asked = erasure::Asked {
            user,
            source: "another".to_owned(),
            ..estate.asked(1, 10)
        };
        let taken = erasure::take_in(&estate.office, asked)
            .await
            .expect("take in");
        assert!(
            matches!(&taken, Taken::Done(done) if done.id == request.id),
            "{taken:?}"
        );
    }
    let verified = ledger::verify(&test.store, ORIGIN, &keys().verifiers)
        .await
        .expect("verify");
    assert_eq!(verified.findings, []);
    let acts = test.store.ledger_after(0, 100).await.expect("read");
    let acts: Vec<_> = acts.iter().map(|row| row.act.as_str()).collect();
    assert_eq!(
        acts,
        [
            "erasure.requested",
            "erasure.planned",
            "erasure.approved",
            "erasure.tombstones",
            "erasure.completed"
        ]
    );
    // Nothing of ours names them.
    for row in test.store.ledger_after(0, 100).await.expect("read") {
        assert!(!row.note.contains("u10@example.com"), "{}", row.note);
    }
    assert_eq!(
        test.number("SELECT count(*) FROM erasure WHERE plan LIKE '%u10@%'")
            .await,
        0
    );
}

async fn a_plan_writes_nothing_and_says_everything(test: TestStore) {
    let estate = Estate::settled(&test, "g4_two_orgs").await.with_more();
    estate.run("UPDATE verificationlog SET query = 'mail U10@example.COM please' WHERE id = (SELECT min(id) FROM \
                verificationlog WHERE organization_id = 1 AND user_id = 12)");
    let everything = "SELECT count(*) || ':' || sum(length(query)) || ':' || coalesce(sum(user_id), 0) FROM verificationlog";
    let before = estate.text(everything);
    let mut request = estate.request(estate.asked(1, 10)).await;
    estate.plan(&mut request).await.expect("plan");
    assert_eq!(estate.text(everything), before);
    let plan = request.plan.clone().expect("a plan");
    assert_eq!(
        (plan.entries.rows, plan.entries.newest, plan.entries.of),
        (5, None, 21)
    );
    assert_eq!(plan.mentions.entries, 1);
    let rows: Vec<_> = plan
        .tables
        .iter()
        .map(|it| (it.table.as_str(), it.manner.as_str(), it.rows))
        .collect();
    assert_eq!(
        rows,
        [
            ("securityevent", "anonymised", 1),
            ("agentactivity", "anonymised", 1),
            ("toolcall", "anonymised", 1),
            ("agent", "detached", 1),
            ("apikey", "deleted", 1),
            ("user", "deleted", 1),
        ]
    );
    // The same again has the same digest.
    let digest = request.plan_digest.clone();
    estate.plan(&mut request).await.expect("plan");
    assert_eq!(request.plan_digest, digest);
}

async fn another_plan_needs_another_approval(test: TestStore) {
    let estate = Estate::settled(&test, "g4_two_orgs").await.with_more();
    let mut request = estate.request(estate.asked(1, 10)).await;
    let none = erasure::approve(&estate.office, &mut request, "0123456789ab", false).await;
    assert!(matches!(none, Err(ErasureError::Refused(_))), "{none:?}");
    estate.plan(&mut request).await.expect("plan");
    for digest in ["", "0123456789abcdef", &"0".repeat(64)] {
        let refused = erasure::approve(&estate.office, &mut request, digest, false).await;
        assert!(matches!(refused, Err(ErasureError::Refused(_))), "{digest}");
    }
    estate.approve(&mut request).await.expect("approve");
    let first = request.plan_digest.clone();
    estate.run("UPDATE securityevent SET user_id = 10");
    estate.execute(&mut request).await.expect("a step");
    assert_eq!(request.state, State::AwaitingApproval);
    assert_ne!(request.plan_digest, first);
    assert_eq!(estate.count("verificationlog WHERE user_id = 10"), 5);
    estate.approve(&mut request).await.expect("approve");
    estate.execute(&mut request).await.expect("execute");
    assert_eq!(request.state, State::Completed);
}

async fn a_large_plan_has_to_be_allowed(test: TestStore) {
    let mut estate = Estate::settled(&test, "g4_two_orgs").await;
    estate.office.settings.max_rows = 3;
    let mut asked = estate.asked(1, 10);
    asked.options.allow_large = false;
    let mut request = estate.request(asked).await;
    estate.plan(&mut request).await.expect("plan");
    assert!(
        request
            .note
            .as_ref()
            .is_some_and(|note| note.contains("max_rows")),
        "{:?}",
        request.note
    );
    let refused = estate.approve(&mut request).await;
    assert!(
        matches!(refused, Err(ErasureError::Refused(_))),
        "{refused:?}"
    );
    let digest = request.plan_digest.clone().expect("a plan");
    erasure::approve(&estate.office, &mut request, &digest, true)
        .await
        .expect("allowed");
    estate.execute(&mut request).await.expect("execute");
    assert_eq!(request.state, State::Completed);
    // More than half of the organisation.
    estate.office.settings.max_rows = 1_000_000;
    estate.run("UPDATE verificationlog SET user_id = 12 WHERE organization_id = 1");
    let mut asked = estate.asked(1, 12);
    asked.options.allow_large = false;
    let mut request = estate.request(asked).await;
    estate.plan(&mut request).await.expect("plan");
    assert!(
        request
            .note
            .as_ref()
            .is_some_and(|note| note.contains("half")),
        "{:?}",
        request.note
    );
}

async fn a_hold_keeps_it(test: TestStore) {
    let estate = Estate::settled(&test, "g4_two_orgs").await;
    let now = estate.office.now;
    let keeper = Keeper {
        actor: "a test",
        now,
        scribe: None,
    };
    let hold = |user| NewHold {
        organization: 1,
        user,
        reason: "case 7".to_owned(),
        until: None,
    };
    let mut request = estate.request(estate.asked(1, 10)).await;
    estate.plan(&mut request).await.expect("plan");
    estate.approve(&mut request).await.expect("approve");
    let placed = keeper.place(&test.store, hold(None)).await.expect("place");
    estate.execute(&mut request).await.expect("a step");
    assert_eq!(request.state, State::OnHold);
    assert!(
        request
            .note
            .as_ref()
            .is_some_and(|note| note.contains(&placed.id))
    );
    assert_eq!(estate.count("verificationlog WHERE user_id = 10"), 5);
    // Somebody else's holds nobody up.
    keeper
        .place(&test.store, hold(Some(12)))
        .await
        .expect("place");
    keeper
        .release(&test.store, &placed.id, "the case is closed")
        .await
        .expect("release");
    estate.execute(&mut request).await.expect("execute");
    assert_eq!(request.state, State::Completed);
}

async fn time_runs_out(test: TestStore) {
    let mut estate = Estate::settled(&test, "g4_two_orgs").await;
    estate.office.now = at("2026-01-31T10:00:00Z");
    let mut asked = estate.asked(1, 10);
    asked.requested_at = Some(at("2026-01-30T09:00:00Z"));
    let mut request = estate.request(asked).await;
    assert_eq!(request.due_at, at("2026-02-28T09:00:00Z"));
    assert!(
        !erasure::warn(&estate.office, &mut request)
            .await
            .expect("warn")
    );
    estate.office.now = request.due_at - SignedDuration::from_hours(24 * 6);
    assert!(
        erasure::warn(&estate.office, &mut request)
            .await
            .expect("warn")
    );
    assert!(
        !erasure::warn(&estate.office, &mut request)
            .await
            .expect("once")
    );
    erasure::extend(&estate.office, &mut request, "many systems")
        .await
        .expect("extend");
    assert_eq!(request.due_at, at("2026-04-30T09:00:00Z"));
    let again = erasure::extend(&estate.office, &mut request, "still").await;
    assert!(matches!(again, Err(ErasureError::Refused(_))), "{again:?}");
    estate.office.now = at("2026-05-01T00:00:00Z");
    assert!(
        erasure::warn(&estate.office, &mut request)
            .await
            .expect("warn")
    );
}

async fn it_is_taken_back_until_something_was_erased(test: TestStore) {
    let estate = Estate::settled(&test, "g4_two_orgs").await;
    let mut request = estate.request(estate.asked(1, 10)).await;
    let none = erasure::cancel(&estate.office, &mut request, " ").await;
    assert!(matches!(none, Err(ErasureError::Refused(_))), "{none:?}");
    erasure::cancel(&estate.office, &mut request, "asked by mistake")
        .await
        .expect("cancel");
    assert_eq!(request.state, State::Cancelled);
    estate.execute(&mut request).await.expect("nothing to do");
    assert_eq!(estate.count("verificationlog WHERE user_id = 10"), 5);
    // The next one is a request of its own.
    let mut request = estate.erase(estate.asked(1, 10)).await;
    assert_eq!(request.state, State::Completed);
    let late = erasure::cancel(&estate.office, &mut request, "too late").await;
    assert!(matches!(late, Err(ErasureError::Refused(_))), "{late:?}");
    // Of somebody else's view of it nothing comes.
    let mut stale = estate.request(estate.asked(1, 12)).await;
    let mut other = estate.office.request(&stale.id).await.expect("read");
    estate.plan(&mut other).await.expect("plan");
    let conflict = estate.plan(&mut stale).await;
    assert!(
        matches!(conflict, Err(ErasureError::Conflict)),
        "{conflict:?}"
    );
}

async fn the_newest_entry_waits(test: TestStore) {
    let estate = Estate::new(&test, "g4_two_orgs");
    // The newest entry of organisation 1 is user 10's; nobody else's is needed.
    let newest = "SELECT max(id) FROM verificationlog WHERE organization_id = 1";
    let id = estate.text(newest);
    assert_eq!(
        estate.text(&format!(
            "SELECT user_id FROM verificationlog WHERE id = {id}"
        )),
        "10"
    );
    let before = estate.text(&format!(
        "SELECT query FROM verificationlog WHERE id = {id}"
    ));
    let mut request = estate.erase(estate.asked(1, 10)).await;
    assert_eq!(request.state, State::WaitingForHead);
    assert!(
        request.note.as_ref().is_some_and(|note| note.contains(&id)),
        "{:?}",
        request.note
    );
    assert_eq!(estate.count("verificationlog WHERE user_id = 10"), 1);
    assert_eq!(
        estate.text(&format!(
            "SELECT query FROM verificationlog WHERE id = {id}"
        )),
        before
    );
    assert_eq!(
        estate.text("SELECT email FROM \"user\" WHERE id = 10"),
        "[erased] 10"
    );
    assert_eq!(estate.tampered().await, []);
    // Again, and nothing changes.
    let version = test.number("SELECT version FROM erasure").await;
    estate.execute(&mut request).await.expect("a step");
    assert_eq!(test.number("SELECT version FROM erasure").await, version);
    // Another entry follows.
    estate.append(1).await;
    estate.execute(&mut request).await.expect("execute");
    assert_eq!(request.state, State::Completed);
    assert_eq!(estate.count("verificationlog WHERE user_id = 10"), 0);
    assert_eq!(estate.count("\"user\" WHERE id = 10"), 0);
    assert_eq!(estate.tampered().await, []);
}
