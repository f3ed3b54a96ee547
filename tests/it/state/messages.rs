//! Inbox and outbox, one suite over both databases.

use std::time::Duration;

use serde_json::json;
use trailkeeper::{
    state::{
        inbox::{Arrival, TakenIn},
        jobs::{Claimed, Ending, Finish, NewJob, Room, new_id},
        outbox::Event,
        schedules::{Decision, Fire, Overlap},
    },
    trace::{TraceParent, within},
};

use super::faults::finish;
use crate::support::store::{TestStore, job};

crate::on_both![
    a_second_delivery_changes_nothing,
    equal_jobs_share_one_run_and_all_are_answered,
    without_listeners_nothing_piles_up,
    unsent_events_come_again,
    a_trace_goes_on_in_children_and_events,
    a_fire_is_decided_once,
    overlapping_fires_follow_the_policy,
    verdicts_remember_what_was_sound,
];

fn arrival(id: &str, key: Option<&str>) -> Arrival {
    Arrival {
        source: "shop".to_owned(),
        message_id: id.to_owned(),
        reply_to: Some(format!("answers.{id}")),
        correlation_id: Some(format!("question {id}")),
        job: NewJob {
            unique_key: key.map(str::to_owned),
            ..job(id)
        },
    }
}

async fn a_second_delivery_changes_nothing(test: TestStore) {
    let batch: Vec<Arrival> = (0..700).map(|n| arrival(&n.to_string(), None)).collect();
    let taken = test.store.take_in(batch, &[]).await.expect("take in");
    assert_eq!(
        taken,
        TakenIn {
            new: 700,
            duplicates: 0
        }
    );
    // Other jobs' ids, the same messages; one of them twice in a batch, and the id of another source.
    let mut again: Vec<Arrival> = (690..702).map(|n| arrival(&n.to_string(), None)).collect();
    again.push(arrival("701", None));
    again.push(Arrival {
        source: "bank".to_owned(),
        ..arrival("1", None)
    });
    let taken = test.store.take_in(again, &[]).await.expect("take in");
    assert_eq!(
        taken,
        TakenIn {
            new: 3,
            duplicates: 11
        }
    );
    assert_eq!(test.number("SELECT count(*) FROM job").await, 703);
}

async fn equal_jobs_share_one_run_and_all_are_answered(test: TestStore) {
    let store = test.store.clone().publishing_events();
    let batch = vec![arrival("1", Some("same")), arrival("2", Some("same"))];
    let taken = store.take_in(batch, &[]).await.expect("take in");
    assert_eq!(taken.new, 2);
    let room = Room {
        total: 10,
        kinds: vec!["probe".to_owned()],
        ..Room::default()
    };
    let jobs = store
        .claim("me", Duration::from_secs(30), &room)
        .await
        .expect("claim");
    assert_eq!(jobs.len(), 1);
    let finish = Finish {
        id: jobs[0].id.clone(),
        kind: "probe".to_owned(),
        fence: jobs[0].fence,
        attempt: 1,
        max_attempts: 3,
        redacted: None,
        trace: None,
        ending: Ending::Succeeded {
            outcome: json!({"found": 7}),
            memo: None,
            done: None,
            events: Vec::new(),
            effects: None,
        },
    };
    store
        .finish(std::slice::from_ref(&finish))
        .await
        .expect("finish");
    store.finish(&[finish]).await.expect("finish again");
    let unsent = store.claim_outgoing(10).await.expect("claim");
    let mut sent: Vec<(&str, &str, Option<&str>)> = unsent
        .iter()
        .map(|m| {
            (
                m.exchange.as_str(),
                m.routing_key.as_str(),
                m.correlation_id.as_deref(),
            )
        })
        .collect();
    sent.sort();
    assert_eq!(
        sent,
        [
            ("", "answers.1", Some("question 1")),
            ("", "answers.2", Some("question 2")),
            ("trailkeeper.events", "job.succeeded", None),
        ]
    );
    assert!(unsent.iter().all(|m| m.event_id == unsent[0].event_id));
    let body: serde_json::Value = serde_json::from_str(&unsent[0].body).expect("JSON");
    assert_eq!(
        (&body["outcome"]["found"], &body["state"]),
        (&json!(7), &json!("succeeded"))
    );
}

async fn a_trace_goes_on_in_children_and_events(test: TestStore) {
    let store = &test.store.clone().publishing_events();
    let trace = |span: u64| {
        let text = format!("00-0af7651916cd43dd8448eb211c80319c-{span:016x}-01");
        TraceParent::parse(&text)
    };
    let room = Room {
        total: 10,
        kinds: vec!["probe".to_owned()],
        ..Room::default()
    };
    let claim = async || {
        let claimed = store.claim("me", Duration::from_secs(30), &room).await;
        claimed.expect("claim").remove(0)
    };
    let end = async |job: &Claimed, span: u64, ending: Ending| {
        let finish = Finish {
            trace: trace(span),
            ..finish(job, ending)
        };
        store.finish(&[finish]).await.expect("finish");
    };
    let done = |events| Ending::Succeeded {
        outcome: json!(null),
        memo: None,
        done: None,
        events,
        effects: None,
    };
    let mut question = arrival("1", None);
    question.job.trace = trace(1);
    store.take_in(vec![question], &[]).await.expect("take in");
    let parent = claim().await;
    assert_eq!(parent.trace, trace(1));
    let children = vec![job("child")];
    let wait = Ending::Waits {
        children,
        memo: Vec::new(),
        total: None,
    };
    end(&parent, 2, wait).await;
    let child = claim().await;
    assert_eq!(child.trace, trace(2), "of the run that made it");
    end(&child, 3, done(Vec::new())).await;
    let parent = claim().await;
    assert_eq!(parent.trace, trace(1));
    end(&parent, 4, done(vec![event()])).await;
    let unsent = store.claim_outgoing(10).await.expect("claim");
    assert_eq!(unsent.len(), 3, "two events and an answer");
    let four = trace(4).map(|trace| trace.to_string());
    assert!(unsent.iter().all(|message| message.trace == four));
    // What nobody traces begins no trace, and what is queued within one belongs to it.
    store.enqueue(&[job("alone")]).await.expect("enqueue");
    let alone = claim().await;
    assert_eq!(alone.trace, None);
    end(&alone, 0, done(Vec::new())).await;
    let unsent = store.claim_outgoing(10).await.expect("claim");
    assert_eq!((unsent.len(), &unsent[0].trace), (1, &None));
    let jobs = [job("within")];
    let queued = within(trace(5), store.enqueue(&jobs)).await;
    queued.expect("enqueue");
    assert_eq!(claim().await.trace, trace(5));
}

fn event() -> Event {
    Event {
        id: new_id(),
        event_type: "job.rejected".to_owned(),
        subject: None,
        data: json!({}),
    }
}

async fn without_listeners_nothing_piles_up(test: TestStore) {
    test.store
        .take_in(Vec::new(), &[event()])
        .await
        .expect("take in");
    assert_eq!(test.store.outbox_depth().await.expect("depth").0, 0);
}

async fn unsent_events_come_again(test: TestStore) {
    let store = test.store.clone().publishing_events();
    store
        .take_in(Vec::new(), &[event(), event(), event()])
        .await
        .expect("take in");
    let first = store.claim_outgoing(2).await.expect("claim");
    assert_eq!(first.len(), 2);
    assert!(first[0].id < first[1].id);
    assert_eq!(
        store.claim_outgoing(10).await.expect("claim").len(),
        1,
        "others are hidden"
    );
    store.forget_outgoing(&[first[0].id]).await.expect("forget");
    store
        .postpone_outgoing(&[first[1].id], Duration::from_millis(100))
        .await
        .expect("postpone");
    tokio::time::sleep(Duration::from_millis(150)).await;
    let again = store.claim_outgoing(10).await.expect("claim");
    assert_eq!(
        (again.len(), again[0].id, again[0].attempts),
        (1, first[1].id, 2)
    );
    let (depth, oldest) = store.outbox_depth().await.expect("depth");
    assert!(depth == 2 && oldest.is_some());
}

fn fire(time: i64) -> Fire {
    Fire {
        fire_time: time,
        job: Some(NewJob {
            fired: Some(("nightly".to_owned(), time)),
            ..job("fired")
        }),
    }
}

async fn a_fire_is_decided_once(test: TestStore) {
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let store = test.another().await;
        tasks.push(tokio::spawn(async move {
            let mut decided = Vec::new();
            for time in 0..20 {
                let fires = vec![fire(time)];
                let done = store
                    .decide_fires("nightly", "d", time, Overlap::Allow, fires)
                    .await;
                decided.extend(done.expect("decide"));
            }
            decided.len()
        }));
    }
    let mut decided = 0;
    for task in tasks {
        decided += task.await.expect("decide");
    }
    assert_eq!(decided, 20);
    assert_eq!(test.number("SELECT count(*) FROM job").await, 20);
    assert_eq!(
        test.store
            .schedule_cursor("nightly", "d")
            .await
            .expect("cursor"),
        Some(19)
    );
    assert_eq!(
        test.store
            .schedule_cursor("nightly", "other")
            .await
            .expect("cursor"),
        None
    );
}

async fn overlapping_fires_follow_the_policy(test: TestStore) {
    let decide = async |overlap, time| {
        let fires = vec![fire(time)];
        let done = test
            .store
            .decide_fires("nightly", "d", time, overlap, fires)
            .await;
        done.expect("decide")[0].1
    };
    assert_eq!(decide(Overlap::Skip, 1).await, Decision::Fired);
    assert_eq!(decide(Overlap::Skip, 2).await, Decision::SkippedOverlap);
    assert_eq!(
        decide(Overlap::Queue, 3).await,
        Decision::SkippedOverlap,
        "one is queued already"
    );
    assert_eq!(decide(Overlap::Allow, 4).await, Decision::Fired);
    test.execute("UPDATE job SET state = 'running', attempt = 1")
        .await;
    assert_eq!(decide(Overlap::Queue, 5).await, Decision::Fired);
    assert_eq!(decide(Overlap::Skip, 6).await, Decision::SkippedOverlap);
    let late = Fire {
        fire_time: 7,
        job: None,
    };
    let done = test
        .store
        .decide_fires("nightly", "d", 7, Overlap::Allow, vec![late])
        .await
        .expect("decide");
    assert_eq!(done, [(7, Decision::SkippedLate)]);
    let last = &test.store.last_fires().await.expect("fires")["nightly"];
    assert_eq!(
        (last.fire_time, last.decision.as_str()),
        (7, "skipped_late")
    );
}

async fn verdicts_remember_what_was_sound(test: TestStore) {
    let note = async |verdict: &str| {
        let mut tx = test.store.begin().await.expect("begin");
        let before = tx
            .note_verdict("7", verdict, 10, 0, "job")
            .await
            .expect("note");
        tx.commit("test").await.expect("commit");
        (before.verdict, before.sound)
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(note("incomplete").await, (None, None));
    assert_eq!(
        note("tampered").await,
        (some("incomplete"), some("incomplete"))
    );
    assert_eq!(
        note("tampered").await,
        (some("tampered"), some("incomplete"))
    );
    assert_eq!(note("intact").await, (some("tampered"), some("incomplete")));
    assert_eq!(note("intact").await, (some("intact"), some("intact")));
}

#[test]
fn passwords_are_nowhere_in_what_is_shown_of_a_url() {
    for url in [
        "postgresql://u:SECRET@h/db",
        "postgresql://u:SECRET/pw@127.0.0.1:1/db",
        "postgresql://u@h/db?password=SECRET",
        "sqlite:///tmp/x.db?key=SECRET",
    ] {
        let shown = trailkeeper::state::masked(url);
        assert!(!shown.contains("SECRET"), "{shown}");
    }
}
