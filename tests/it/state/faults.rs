//! Each write broken in both ways, failed and failed-but-persisted. Whoever wrote tries again as it would in the
//! worker, and everything is there exactly once.

use std::time::Duration;

use serde_json::json;
use trailkeeper::state::{
    Store,
    fault::{self, Way},
    inbox::Arrival,
    jobs::{Claimed, Ending, Finish, Finished, Room, State},
    schedules::{Fire, Overlap},
};

use crate::support::store::{TestStore, job};

crate::on_both![
    enqueueing,
    taking_in,
    claiming,
    finishing,
    redacting,
    waiting_for_children,
    rescuing,
    releasing,
    deciding_about_a_fire,
    sending,
];

pub(crate) const WAYS: [Way; 2] = [Way::Failed, Way::FailedButPersisted];
const LEASE: Duration = Duration::from_secs(30);

pub(crate) async fn claim(store: &Store) -> Result<Vec<Claimed>, trailkeeper::state::StateError> {
    let room = Room {
        total: 10,
        kinds: vec!["probe".to_owned()],
        is_idle: true,
        ..Room::default()
    };
    store.claim("me", LEASE, &room).await
}

pub(crate) fn finish(job: &Claimed, ending: Ending) -> Finish {
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
        outcome: json!(null),
        memo: None,
        done: None,
        events: Vec::new(),
        effects: None,
    }
}

async fn enqueueing(test: TestStore) {
    for way in WAYS {
        let jobs = [job("a"), job("b")];
        fault::set("enqueue", way, 1);
        test.store.enqueue(&jobs).await.expect_err("broken");
        let queued = test.store.enqueue(&jobs).await.expect("again");
        assert!(queued.iter().all(|job| job.is_new), "{way:?}");
    }
    assert_eq!(test.number("SELECT count(*) FROM job").await, 4);
}

async fn taking_in(test: TestStore) {
    for (index, way) in WAYS.into_iter().enumerate() {
        // Each delivery makes jobs of its own; the inbox decides which of them is queued.
        let deliver = || {
            (0..5)
                .map(|n| Arrival {
                    source: "shop".to_owned(),
                    message_id: format!("{index}/{n}"),
                    reply_to: None,
                    correlation_id: None,
                    job: job("delivered"),
                })
                .collect::<Vec<_>>()
        };
        fault::set("take_in", way, 1);
        test.store
            .take_in(deliver(), &[])
            .await
            .expect_err("broken");
        let taken = test.store.take_in(deliver(), &[]).await.expect("again");
        assert_eq!(taken.new, if way == Way::Failed { 5 } else { 0 });
    }
    assert_eq!(test.number("SELECT count(*) FROM job").await, 10);
}

async fn claiming(test: TestStore) {
    for way in WAYS {
        test.store.enqueue(&[job("a")]).await.expect("enqueue");
        fault::set("claim", way, 1);
        claim(&test.store).await.expect_err("broken");
        let given_back = test.store.release_unknown("me", &[]).await.expect("look");
        assert_eq!(given_back, u64::from(way == Way::FailedButPersisted));
        let jobs = claim(&test.store).await.expect("again");
        assert_eq!((jobs.len(), jobs[0].attempt), (1, 1), "{way:?}");
        test.store
            .finish(&[finish(&jobs[0], success())])
            .await
            .expect("finish");
    }
}

async fn finishing(test: TestStore) {
    let store = test.store.clone().publishing_events();
    for way in WAYS {
        for (ending, state) in [
            (success(), State::Succeeded),
            (
                Ending::Dead {
                    error: "no".to_owned(),
                },
                State::Dead,
            ),
            (Ending::Cancelled, State::Cancelled),
            (
                Ending::Failed {
                    error: "no".to_owned(),
                    delay_micros: 3_600_000_000,
                },
                State::Retrying,
            ),
        ] {
            store.enqueue(&[job("a")]).await.expect("enqueue");
            let job = claim(&store).await.expect("claim").remove(0);
            let before = store.outbox_depth().await.expect("depth").0;
            let finish = [finish(&job, ending)];
            fault::set("finish", way, 1);
            store.finish(&finish).await.expect_err("broken");
            let written = store.finish(&finish).await.expect("again");
            assert_eq!(written, [Finished::Written(state.name())], "{way:?}");
            let view = store.job(&job.id).await.expect("read").expect("a job");
            assert_eq!(view.state, state);
            let events = store.outbox_depth().await.expect("depth").0 - before;
            assert_eq!(
                events,
                i64::from(state.is_final()),
                "{way:?}: one event for one end"
            );
        }
    }
}

/// What a payload may not keep goes with success and not without: whatever may run again has to see all of it.
async fn redacting(test: TestStore) {
    let store = &test.store;
    let whole = json!({"name": "ada@example.org"});
    for way in WAYS {
        let failure = Ending::Failed {
            error: "no".to_owned(),
            delay_micros: 0,
        };
        let death = Ending::Dead {
            error: "no".to_owned(),
        };
        for (ending, is_kept) in [
            (success(), false),
            (failure, true),
            (death, true),
            (Ending::Cancelled, true),
        ] {
            let new = job("ada@example.org");
            store
                .enqueue(std::slice::from_ref(&new))
                .await
                .expect("enqueue");
            let claimed = claim(store).await.expect("claim").remove(0);
            assert_eq!((&claimed.id, &claimed.payload), (&new.id, &whole));
            let finish = [Finish {
                redacted: Some(json!({"name": "[erased]"})),
                ..finish(&claimed, ending)
            }];
            let payload = async || {
                let view = store.job(&new.id).await.expect("read");
                view.expect("a job").payload
            };
            let kept = match is_kept {
                true => whole.clone(),
                false => json!({"name": "[erased]"}),
            };
            fault::set("finish", way, 1);
            store.finish(&finish).await.expect_err("broken");
            let meanwhile = match way {
                Way::Failed => &whole,
                Way::FailedButPersisted => &kept,
            };
            assert_eq!(&payload().await, meanwhile, "{way:?}");
            store.finish(&finish).await.expect("again");
            assert_eq!(payload().await, kept, "{way:?} {:?}", finish[0].ending);
            test.execute("DELETE FROM job").await;
        }
    }
}

async fn waiting_for_children(test: TestStore) {
    for way in WAYS {
        test.store.enqueue(&[job("parent")]).await.expect("enqueue");
        let parent = claim(&test.store).await.expect("claim").remove(0);
        let wait = Ending::Waits {
            children: vec![job("0"), job("1")],
            memo: vec![1],
            total: None,
        };
        let finish_wait = [finish(&parent, wait)];
        fault::set("finish", way, 1);
        test.store.finish(&finish_wait).await.expect_err("broken");
        let written = test.store.finish(&finish_wait).await.expect("again");
        assert_eq!(written, [Finished::Written("running")]);
        let children = claim(&test.store).await.expect("claim");
        assert_eq!(children.len(), 2, "{way:?}");
        let ends: Vec<Finish> = children
            .iter()
            .map(|child| finish(child, success()))
            .collect();
        fault::set("finish", way, 1);
        test.store.finish(&ends).await.expect_err("broken");
        test.store.finish(&ends).await.expect("again");
        let again = claim(&test.store).await.expect("claim");
        assert_eq!((again.len(), &again[0].id), (1, &parent.id), "{way:?}");
        test.store
            .finish(&[finish(&again[0], success())])
            .await
            .expect("finish");
    }
}

async fn rescuing(test: TestStore) {
    for way in WAYS {
        test.store.enqueue(&[job("a")]).await.expect("enqueue");
        let lost = claim(&test.store).await.expect("claim").remove(0);
        test.execute("UPDATE job SET lease_until = 1 WHERE lease_owner IS NOT NULL")
            .await;
        fault::set("rescue", way, 1);
        test.store.rescue(|_| 0).await.expect_err("broken");
        let rescued = test.store.rescue(|_| 0).await.expect("again").retried;
        assert_eq!(rescued, u64::from(way == Way::Failed));
        let again = claim(&test.store).await.expect("claim").remove(0);
        assert_eq!((again.attempt, again.id.clone()), (2, lost.id), "{way:?}");
        test.store
            .finish(&[finish(&again, success())])
            .await
            .expect("finish");
    }
}

async fn releasing(test: TestStore) {
    for way in WAYS {
        test.store.enqueue(&[job("a")]).await.expect("enqueue");
        let held = claim(&test.store).await.expect("claim").remove(0);
        let jobs = [(held.id.clone(), held.fence)];
        fault::set("release", way, 1);
        test.store.release("me", &jobs).await.expect_err("broken");
        test.store.release("me", &jobs).await.expect("again");
        let again = claim(&test.store).await.expect("claim").remove(0);
        assert_eq!(again.attempt, 1, "{way:?}");
        test.store
            .finish(&[finish(&again, success())])
            .await
            .expect("finish");
    }
}

async fn deciding_about_a_fire(test: TestStore) {
    for (time, way) in (1..).zip(WAYS) {
        let fire = || Fire {
            fire_time: time,
            job: Some(job("fired")),
        };
        let decide = async |fire| {
            test.store
                .decide_fires("nightly", "d", time, Overlap::Allow, vec![fire])
                .await
        };
        fault::set("decide_fires", way, 1);
        decide(fire()).await.expect_err("broken");
        decide(fire()).await.expect("again");
        assert_eq!(
            test.number("SELECT count(*) FROM job").await,
            time,
            "{way:?}"
        );
    }
}

async fn sending(test: TestStore) {
    let store = test.store.clone().publishing_events();
    for way in WAYS {
        store.enqueue(&[job("a")]).await.expect("enqueue");
        let job = claim(&store).await.expect("claim").remove(0);
        store
            .finish(&[finish(&job, success())])
            .await
            .expect("finish");
        // A claim that was not answered hides the event for a while, and then it comes again.
        fault::set("claim_outgoing", way, 1);
        store.claim_outgoing(10).await.expect_err("broken");
        test.execute("UPDATE outbox SET due_at = 1").await;
        let unsent = store.claim_outgoing(10).await.expect("again");
        assert_eq!(unsent.len(), 1, "{way:?}");
        // Sent, and the row not deleted: it is sent once more under the same id.
        fault::set("forget_outgoing", way, 1);
        store
            .forget_outgoing(&[unsent[0].id])
            .await
            .expect_err("broken");
        test.execute("UPDATE outbox SET due_at = 1").await;
        let again = store.claim_outgoing(10).await.expect("again");
        assert_eq!(again.len(), usize::from(way == Way::Failed));
        assert!(
            again
                .iter()
                .all(|event| event.event_id == unsent[0].event_id)
        );
        let ids: Vec<i64> = again.iter().map(|event| event.id).collect();
        store.forget_outgoing(&ids).await.expect("forget");
        assert_eq!(store.outbox_depth().await.expect("depth").0, 0);
    }
}
