//! The life of a job, one suite over both databases.

use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use trailkeeper::state::{
    Store,
    jobs::{Advance, Claimed, Ending, Filter, Finish, Finished, NewJob, Room, State},
};

use crate::support::store::{TestStore, job};

crate::on_both![
    the_highest_priority_and_the_oldest_go_first,
    an_equal_job_that_waits_stands_for_the_new_one,
    enqueueing_again_changes_nothing,
    nobody_claims_what_another_has,
    jobs_that_are_left_wake_others,
    a_lease_that_ran_out_is_taken_away_and_fenced,
    attempts_that_are_used_up_end_in_dead,
    a_clean_shutdown_costs_no_attempt,
    room_is_kept_by_kind_and_queue,
    a_suspect_runs_alone,
    retries_wait,
    a_parent_waits_for_its_children,
    a_cancelled_job_stops,
    what_is_to_be_cancelled_does_not_go_on,
    cancelling_a_parent_cancels_its_children,
    a_dead_job_can_be_tried_again,
    a_dead_child_is_tried_again_with_its_parent,
    progress_is_stored_by_the_holder_only,
    old_results_go_and_dead_jobs_stay,
    ids_can_be_shortened,
];

const LEASE: Duration = Duration::from_secs(30);

fn room(total: usize) -> Room {
    Room {
        total,
        kinds: vec!["probe".to_owned()],
        is_idle: true,
        ..Room::default()
    }
}

async fn claim(store: &Store, owner: &str, total: usize) -> Vec<Claimed> {
    let claim = store.claim(owner, LEASE, &room(total)).await;
    claim.expect("claim")
}

async fn claim_one(store: &Store) -> Claimed {
    let mut jobs = claim(store, "me", 1).await;
    assert_eq!(jobs.len(), 1, "there is a job to claim");
    jobs.remove(0)
}

fn finish(job: &Claimed, ending: Ending) -> Finish {
    Finish {
        id: job.id.clone(),
        kind: job.kind.clone(),
        fence: job.fence,
        attempt: job.attempt,
        max_attempts: job.max_attempts,
        redacted: None,
        trace: None,
        ending,
    }
}

fn success() -> Ending {
    Ending::Succeeded {
        outcome: json!({"found": 1}),
        memo: None,
        done: None,
        events: Vec::new(),
        effects: None,
    }
}

fn failure() -> Ending {
    Ending::Failed {
        error: "no".to_owned(),
        delay_micros: 0,
    }
}

async fn end(store: &Store, job: &Claimed, ending: Ending) -> Finished {
    store.finish(&[finish(job, ending)]).await.expect("finish")[0]
}

async fn state(store: &Store, id: &str) -> State {
    store
        .job(id)
        .await
        .expect("read")
        .expect("the job is there")
        .state
}

async fn enqueue(store: &Store, jobs: &[NewJob]) {
    let queued = store.enqueue(jobs).await.expect("enqueue");
    assert!(queued.iter().all(|job| job.is_new));
}

async fn the_highest_priority_and_the_oldest_go_first(test: TestStore) {
    let mut jobs: Vec<NewJob> = (0..6).map(|n| job(&n.to_string())).collect();
    jobs[4].priority = 9;
    jobs[2].priority = 0;
    for job in &jobs {
        enqueue(&test.store, std::slice::from_ref(job)).await;
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let claimed = claim(&test.store, "me", 10).await;
    let names: Vec<&str> = claimed
        .iter()
        .map(|job| job.payload["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["4", "0", "1", "3", "5", "2"]);
    assert!(claimed.iter().all(|job| job.attempt == 1 && job.fence == 1));
}

async fn an_equal_job_that_waits_stands_for_the_new_one(test: TestStore) {
    let unique = || NewJob {
        unique_key: Some("same".to_owned()),
        ..job("unique")
    };
    // Within one call, and between calls.
    let (first, second, third) = (unique(), unique(), unique());
    let queued = test
        .store
        .enqueue(&[first.clone(), second])
        .await
        .expect("enqueue");
    assert!(queued[0].is_new && !queued[1].is_new);
    assert_eq!(queued[1].id, first.id);
    let queued = test.store.enqueue(&[third]).await.expect("enqueue");
    assert_eq!((queued[0].is_new, &queued[0].id), (false, &first.id));
    // Once it runs it no longer stands for others.
    assert_eq!(claim_one(&test.store).await.id, first.id);
    enqueue(&test.store, &[unique()]).await;
}

async fn enqueueing_again_changes_nothing(test: TestStore) {
    let jobs: Vec<NewJob> = (0..450).map(|n| job(&n.to_string())).collect();
    enqueue(&test.store, &jobs).await;
    enqueue(&test.store, &jobs).await;
    assert_eq!(test.number("SELECT count(*) FROM job").await, 450);
}

async fn nobody_claims_what_another_has(test: TestStore) {
    let jobs: Vec<NewJob> = (0..300).map(|n| job(&n.to_string())).collect();
    enqueue(&test.store, &jobs).await;
    let mut tasks = Vec::new();
    for worker in 0..4 {
        let store = test.another().await;
        tasks.push(tokio::spawn(async move {
            let mut ids = Vec::new();
            loop {
                let jobs = claim(&store, &format!("worker {worker}"), 7).await;
                if jobs.is_empty() {
                    return ids;
                }
                ids.extend(jobs.into_iter().map(|job| job.id));
            }
        }));
    }
    let mut ids = Vec::new();
    for task in tasks {
        ids.extend(task.await.expect("claim"));
    }
    assert_eq!(ids.len(), 300);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 300, "each was claimed once");
}

/// A claim on PostgreSQL locks more jobs than it takes, and who looks at that moment sees none of them.
async fn jobs_that_are_left_wake_others(test: TestStore) {
    let jobs: Vec<NewJob> = (0..5).map(|n| job(&n.to_string())).collect();
    enqueue(&test.store, &jobs).await;
    let other = test.another().await;
    let mut wakes = other.wakes();
    let stop = CancellationToken::new();
    let listening = tokio::spawn({
        let stop = stop.clone();
        async move { other.listen(stop).await }
    });
    let patience = Duration::from_secs(20);
    let listens = tokio::time::timeout(patience, wakes.changed()).await;
    listens.expect("listens").expect("lives");
    assert_eq!(claim(&test.store, "me", 1).await.len(), 1);
    let woken = tokio::time::timeout(patience, wakes.changed()).await;
    woken.expect("is woken").expect("lives");
    stop.cancel();
    listening.await.expect("ends");
}

/// Lets the leases of all jobs run out.
async fn expire_leases(test: &TestStore) {
    test.execute("UPDATE job SET lease_until = 1 WHERE lease_owner IS NOT NULL")
        .await;
}

async fn a_lease_that_ran_out_is_taken_away_and_fenced(test: TestStore) {
    enqueue(&test.store, &[job("a")]).await;
    let old = claim_one(&test.store).await;
    assert_eq!(test.store.rescue(|_| 0).await.expect("rescue").retried, 0);
    expire_leases(&test).await;
    assert_eq!(test.store.rescue(|_| 0).await.expect("rescue").retried, 1);
    assert_eq!(state(&test.store, &old.id).await, State::Retrying);
    // Whoever was believed dead writes nothing any more: not before another claims, and not after.
    assert_eq!(end(&test.store, &old, success()).await, Finished::LeaseLost);
    let new = claim_one(&test.store).await;
    assert!(new.is_suspect && new.attempt == 2 && new.fence > old.fence);
    assert_eq!(end(&test.store, &old, success()).await, Finished::LeaseLost);
    let held = test
        .store
        .heartbeat("me", LEASE, &[])
        .await
        .expect("heartbeat");
    assert_eq!((held.len(), held[0].fence), (1, new.fence));
    test.store
        .release("me", &[(old.id.clone(), old.fence)])
        .await
        .expect("release");
    assert_eq!(state(&test.store, &old.id).await, State::Running);
    assert_eq!(
        end(&test.store, &new, success()).await,
        Finished::Written("succeeded")
    );
    assert_eq!(state(&test.store, &old.id).await, State::Succeeded);
}

async fn attempts_that_are_used_up_end_in_dead(test: TestStore) {
    enqueue(&test.store, &[job("fails")]).await;
    for state in ["retrying", "retrying", "dead"] {
        let job = claim_one(&test.store).await;
        assert_eq!(
            end(&test.store, &job, failure()).await,
            Finished::Written(state)
        );
    }
    enqueue(&test.store, &[job("crashes")]).await;
    let mut id = String::new();
    for _ in 0..3 {
        id = claim_one(&test.store).await.id;
        expire_leases(&test).await;
        test.store.rescue(|_| 0).await.expect("rescue");
    }
    let crashed = test.store.job(&id).await.expect("read").expect("a job");
    assert_eq!(crashed.state, State::Dead);
    let error = crashed.error.as_deref().expect("an error");
    assert!(
        error.contains("vanished") && error.contains("attempt 3 of 3"),
        "{error}"
    );
    assert!(claim(&test.store, "me", 10).await.is_empty());
}

async fn a_clean_shutdown_costs_no_attempt(test: TestStore) {
    enqueue(&test.store, &[job("a")]).await;
    for _ in 0..10 {
        let job = claim_one(&test.store).await;
        assert_eq!((job.attempt, job.is_suspect), (1, false));
        test.store
            .release("me", &[(job.id, job.fence)])
            .await
            .expect("release");
    }
    let lost = claim_one(&test.store).await;
    // What was claimed and not answered is found and given back.
    assert_eq!(
        test.store
            .release_unknown("me", &[(lost.id.clone(), lost.fence)])
            .await
            .expect("look"),
        0
    );
    assert_eq!(
        test.store.release_unknown("me", &[]).await.expect("look"),
        1
    );
    assert_eq!(state(&test.store, &lost.id).await, State::Queued);
}

async fn room_is_kept_by_kind_and_queue(test: TestStore) {
    let mut jobs: Vec<NewJob> = (0..6).map(|n| job(&n.to_string())).collect();
    for job in &mut jobs[3..] {
        job.kind = "other".to_owned();
        job.queue = "bulk".to_owned();
    }
    jobs[5].kind = "unknown".to_owned();
    enqueue(&test.store, &jobs).await;
    let mut room = room(10);
    room.kinds.push("other".to_owned());
    room.by_kind.insert("probe".to_owned(), 2);
    let claimed = test.store.claim("me", LEASE, &room).await.expect("claim");
    let count = |kind: &str| claimed.iter().filter(|job| job.kind == kind).count();
    assert_eq!(
        (count("probe"), count("other"), count("unknown")),
        (2, 2, 0)
    );
    room.queues = vec!["bulk".to_owned()];
    assert!(
        test.store
            .claim("me", LEASE, &room)
            .await
            .expect("claim")
            .is_empty()
    );
    room.queues = vec!["default".to_owned(), "bulk".to_owned()];
    assert_eq!(
        test.store
            .claim("me", LEASE, &room)
            .await
            .expect("claim")
            .len(),
        1
    );
}

async fn a_suspect_runs_alone(test: TestStore) {
    enqueue(&test.store, &[job("suspect")]).await;
    claim_one(&test.store).await;
    expire_leases(&test).await;
    test.store.rescue(|_| 0).await.expect("rescue");
    enqueue(&test.store, &[job("a"), job("b")]).await;
    // At first only to a worker that runs nothing, and others pass it by.
    let busy = Room {
        is_idle: false,
        ..room(10)
    };
    let claimed = test.store.claim("busy", LEASE, &busy).await.expect("claim");
    assert_eq!(claimed.len(), 2);
    // When it has waited, the first that asks gets it and nothing beside it; the others go on.
    enqueue(&test.store, &[job("c")]).await;
    test.execute("UPDATE job SET run_at = run_at - 60000000 WHERE crashes > 0")
        .await;
    let claimed = test.store.claim("busy", LEASE, &busy).await.expect("claim");
    assert_eq!(claimed.len(), 1);
    assert!(claimed[0].is_suspect);
    let others = test
        .store
        .claim("other", LEASE, &busy)
        .await
        .expect("claim");
    assert_eq!((others.len(), others[0].is_suspect), (1, false));
}

async fn retries_wait(test: TestStore) {
    enqueue(&test.store, &[job("a")]).await;
    let first = claim_one(&test.store).await;
    let ending = Ending::Failed {
        error: "later".to_owned(),
        delay_micros: 300_000,
    };
    assert_eq!(
        end(&test.store, &first, ending).await,
        Finished::Written("retrying")
    );
    assert!(claim(&test.store, "me", 1).await.is_empty());
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!(claim_one(&test.store).await.attempt, 2);
    let view = test
        .store
        .job(&first.id)
        .await
        .expect("read")
        .expect("a job");
    assert_eq!(
        view.error, None,
        "an earlier attempt's error is not this one's"
    );
}

/// Has the only claimable job wait for `children`.
async fn wait_for(store: &Store, children: Vec<NewJob>) -> Claimed {
    let parent = claim_one(store).await;
    let ending = Ending::Waits {
        children,
        memo: b"plan".to_vec(),
        total: Some(20),
    };
    assert_eq!(
        end(store, &parent, ending).await,
        Finished::Written("running")
    );
    parent
}

async fn a_parent_waits_for_its_children(test: TestStore) {
    enqueue(&test.store, &[job("parent")]).await;
    let parent = wait_for(&test.store, vec![job("0"), job("1"), job("2")]).await;
    assert_eq!(test.store.rescue(|_| 0).await.expect("rescue").retried, 0);
    let children = claim(&test.store, "me", 10).await;
    assert_eq!(children.len(), 3, "the parent itself waits");
    for (index, child) in children.iter().enumerate() {
        let view = test
            .store
            .job(&parent.id)
            .await
            .expect("read")
            .expect("a job");
        assert!(view.waits_for_children && view.open_children == 3 - index as i64);
        assert_eq!(
            (view.progress_done, view.progress_total),
            (Some(index as i64 * 7), Some(20))
        );
        let ending = Ending::Succeeded {
            outcome: json!(null),
            memo: Some(vec![index as u8]),
            done: Some(7),
            events: Vec::new(),
            effects: None,
        };
        // Written twice, counted once.
        for _ in 0..2 {
            assert_eq!(
                end(&test.store, child, ending.clone()).await,
                Finished::Written("succeeded")
            );
        }
    }
    let again = claim_one(&test.store).await;
    assert_eq!(
        (&again.id, again.attempt),
        (&parent.id, 1),
        "a phase that went well is no attempt"
    );
    assert_eq!(again.memo.as_deref(), Some(b"plan".as_slice()));
    let memos: Vec<_> = test
        .store
        .children(&parent.id)
        .await
        .expect("children")
        .into_iter()
        .map(|(view, memo)| (view.part, memo))
        .collect();
    assert_eq!(
        memos,
        (0..3)
            .map(|n| (Some(n), Some(vec![n as u8])))
            .collect::<Vec<_>>()
    );
    end(&test.store, &again, success()).await;
    let kept = test
        .number("SELECT count(*) FROM job WHERE memo IS NOT NULL")
        .await;
    assert_eq!(kept, 0, "what only the parent needed is forgotten");
}

async fn a_cancelled_job_stops(test: TestStore) {
    enqueue(&test.store, &[job("queued")]).await;
    let queued = test
        .store
        .jobs(&Filter {
            limit: 1,
            ..Filter::default()
        })
        .await
        .expect("list");
    assert_eq!(
        test.store.cancel(&queued[0].id).await.expect("cancel"),
        State::Cancelled
    );
    assert!(claim(&test.store, "me", 1).await.is_empty());
    let error = test
        .store
        .cancel(&queued[0].id)
        .await
        .expect_err("it has ended");
    assert!(
        error
            .to_string()
            .contains("has ended already: it is cancelled"),
        "{error}"
    );

    enqueue(&test.store, &[job("running")]).await;
    let running = claim_one(&test.store).await;
    assert_eq!(
        test.store.cancel(&running.id).await.expect("cancel"),
        State::Running
    );
    let held = test
        .store
        .heartbeat("me", LEASE, &[])
        .await
        .expect("heartbeat");
    assert!(held[0].cancel_requested);
    assert_eq!(
        end(&test.store, &running, Ending::Cancelled).await,
        Finished::Written("cancelled")
    );
}

/// A wish to cancel that comes while a job plans, fails or is given back holds.
async fn what_is_to_be_cancelled_does_not_go_on(test: TestStore) {
    let wait = Ending::Waits {
        children: vec![job("child")],
        memo: vec![1],
        total: None,
    };
    for ending in [Some(wait), Some(failure()), None] {
        enqueue(&test.store, &[job("a")]).await;
        let claimed = claim_one(&test.store).await;
        test.store.cancel(&claimed.id).await.expect("cancel");
        match ending {
            Some(ending) => {
                let written = end(&test.store, &claimed, ending).await;
                assert_eq!(written, Finished::Written("cancelled"));
            }
            None => {
                let jobs = [(claimed.id.clone(), claimed.fence)];
                test.store.release("me", &jobs).await.expect("release");
                let rescued = test.store.rescue(|_| 0).await.expect("rescue");
                assert_eq!(rescued.cancelled, 1);
            }
        }
        assert_eq!(state(&test.store, &claimed.id).await, State::Cancelled);
        assert!(claim(&test.store, "me", 10).await.is_empty());
    }
}

async fn cancelling_a_parent_cancels_its_children(test: TestStore) {
    enqueue(&test.store, &[job("parent")]).await;
    let parent = wait_for(&test.store, vec![job("0"), job("1")]).await;
    let running = claim_one(&test.store).await;
    assert_eq!(
        test.store.cancel(&parent.id).await.expect("cancel"),
        State::Cancelled
    );
    let held = test
        .store
        .heartbeat("me", LEASE, &[])
        .await
        .expect("heartbeat");
    assert!(held[0].cancel_requested);
    end(&test.store, &running, Ending::Cancelled).await;
    assert!(
        claim(&test.store, "me", 10).await.is_empty(),
        "nothing wakes the parent"
    );
    // Tried again, it plans anew.
    test.store.retry(&parent.id).await.expect("retry");
    let again = claim_one(&test.store).await;
    assert_eq!((&again.id, &again.memo), (&parent.id, &None));
    assert_eq!(test.number("SELECT count(*) FROM job").await, 1);
}

async fn a_dead_job_can_be_tried_again(test: TestStore) {
    enqueue(&test.store, &[job("a")]).await;
    let first = claim_one(&test.store).await;
    let dead = Ending::Dead {
        error: "no".to_owned(),
    };
    assert_eq!(
        end(&test.store, &first, dead).await,
        Finished::Written("dead")
    );
    test.store.retry(&first.id).await.expect("retry");
    let again = claim_one(&test.store).await;
    assert_eq!((again.attempt, again.id), (1, first.id.clone()));
    let error = test.store.retry(&first.id).await.expect_err("it runs");
    assert!(
        error.to_string().contains("not dead or cancelled"),
        "{error}"
    );
}

async fn a_dead_child_is_tried_again_with_its_parent(test: TestStore) {
    enqueue(&test.store, &[job("parent")]).await;
    let parent = wait_for(&test.store, vec![job("0"), job("1")]).await;
    let children = claim(&test.store, "me", 2).await;
    let memo = Ending::Succeeded {
        outcome: json!(null),
        memo: Some(vec![1]),
        done: None,
        events: Vec::new(),
        effects: None,
    };
    end(&test.store, &children[0], memo).await;
    end(
        &test.store,
        &children[1],
        Ending::Dead {
            error: "no".to_owned(),
        },
    )
    .await;
    let again = claim_one(&test.store).await;
    end(
        &test.store,
        &again,
        Ending::Dead {
            error: "a child is dead".to_owned(),
        },
    )
    .await;
    // Alone it would be counted twice, and without it the parent would lack a part.
    let error = test.store.retry(&children[1].id).await;
    let error = error.expect_err("it is a part").to_string();
    assert!(error.contains(&parent.id), "{error}");
    let purged = test.store.purge_dead(Some(&children[1].id)).await;
    assert_eq!(purged.expect("purge"), 0);
    let dead = test.store.dead_jobs(10).await.expect("list");
    assert_eq!(dead, std::slice::from_ref(&parent.id));
    test.store.retry(&parent.id).await.expect("retry");
    let child = claim_one(&test.store).await;
    assert_eq!(
        child.id, children[1].id,
        "only the one that failed runs again"
    );
    end(&test.store, &child, success()).await;
    let parent_again = claim_one(&test.store).await;
    assert_eq!(
        (parent_again.id, parent_again.memo),
        (parent.id, Some(b"plan".to_vec()))
    );
}

async fn progress_is_stored_by_the_holder_only(test: TestStore) {
    enqueue(&test.store, &[job("a")]).await;
    let claimed = claim_one(&test.store).await;
    let advance = |fence, done| Advance {
        id: claimed.id.clone(),
        fence,
        done,
        total: Some(10),
    };
    let advances = [advance(claimed.fence, 4)];
    test.store
        .heartbeat("me", LEASE, &advances)
        .await
        .expect("heartbeat");
    let advances = [advance(claimed.fence + 1, 9)];
    test.store
        .heartbeat("me", LEASE, &advances)
        .await
        .expect("heartbeat");
    let view = test
        .store
        .job(&claimed.id)
        .await
        .expect("read")
        .expect("a job");
    assert_eq!(
        (view.progress_done, view.progress_total),
        (Some(4), Some(10))
    );
}

async fn old_results_go_and_dead_jobs_stay(test: TestStore) {
    for (name, ending) in [
        ("old", success()),
        ("new", success()),
        (
            "dead",
            Ending::Dead {
                error: "no".to_owned(),
            },
        ),
    ] {
        enqueue(&test.store, &[job(name)]).await;
        let claimed = claim_one(&test.store).await;
        end(&test.store, &claimed, ending).await;
    }
    test.execute("UPDATE job SET finished_at = 1 WHERE payload NOT LIKE '%new%'")
        .await;
    test.store.expire(90, 30).await.expect("expire");
    let left = test
        .store
        .jobs(&Filter {
            limit: 10,
            ..Filter::default()
        })
        .await
        .expect("list");
    let mut states: Vec<State> = left.iter().map(|job| job.state).collect();
    states.sort_by_key(|state| state.name());
    assert_eq!(states, [State::Dead, State::Succeeded]);
    assert_eq!(test.store.purge_dead(None).await.expect("purge"), 1);
}

async fn ids_can_be_shortened(test: TestStore) {
    let (a, b) = (job("a"), job("b"));
    enqueue(&test.store, &[a.clone(), b.clone()]).await;
    let tail = &a.id[a.id.len() - 8..];
    assert_eq!(test.store.find_job(tail).await.expect("one").id, a.id);
    let error = test
        .store
        .find_job(&a.id[..6])
        .await
        .expect_err("both begin alike");
    assert!(error.to_string().contains("more than one"), "{error}");
    let error = test.store.find_job("%%%%").await.expect_err("no wildcards");
    assert!(error.to_string().contains("there is no job"), "{error}");
}
