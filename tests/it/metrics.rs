//! What the database says of requests for erasure, as Prometheus is told it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use trailkeeper::{clock::Clock, metrics::Metrics, sampler, state::erasures::ErasureRow};

use crate::support::store::TestStore;

const DAY: i64 = 86_400_000_000;

crate::on_both![open_requests_are_counted];

async fn ask(test: &TestStore, user_id: i64, state: &str, due_in: i64) {
    let row = ErasureRow {
        id: format!("request-{user_id}"),
        organization_id: 1,
        user_id,
        state: state.to_owned(),
        due_at: Clock.now().as_microsecond() + due_in,
        ..ErasureRow::default()
    };
    let mut tx = test.store.begin().await.expect("begin");
    tx.insert_erasure(&row).await.expect("insert");
    tx.commit("test").await.expect("commit");
}

/// The lines about erasures after one sample.
async fn sampled(test: &TestStore, metrics: &Metrics) -> Vec<String> {
    let stop = CancellationToken::new();
    // What was shown before must not pass for the new sample.
    metrics.erasures.reset();
    let sampler = sampler::run(test.store.clone(), metrics.clone(), Clock, 7, stop.clone());
    let sampler = tokio::spawn(sampler);
    let lines = loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let text = metrics.text().expect("text");
        if text.contains("trailkeeper_erasures{") {
            // The others are set by the time that the sampler waits.
            stop.cancel();
            sampler.await.expect("no panic");
            break metrics.text().expect("text");
        }
    };
    let about = lines
        .lines()
        .filter(|line| line.starts_with("trailkeeper_erasure"));
    about.map(str::to_owned).collect()
}

async fn open_requests_are_counted(test: TestStore) {
    let metrics = Metrics::new();
    ask(&test, 1, "completed", -DAY).await;
    let lines = sampled(&test, &metrics).await;
    let of_none: Vec<String> = [
        "approved",
        "awaiting_approval",
        "executing",
        "on_hold",
        "planned",
        "received",
        "waiting_for_head",
    ]
    .iter()
    .map(|state| format!("trailkeeper_erasures{{state=\"{state}\"}} 0"))
    .chain(["trailkeeper_erasures_overdue 0".to_owned()])
    .collect();
    assert_eq!(lines, of_none);

    for (user, state, due_in) in [
        (2, "awaiting_approval", 3 * DAY),
        (3, "awaiting_approval", 2 * DAY),
        (4, "on_hold", 9 * DAY),
    ] {
        ask(&test, user, state, due_in).await;
    }
    let due = |lines: &[String]| -> f64 {
        let name = "trailkeeper_erasure_due_seconds ";
        let value = lines.iter().find_map(|line| line.strip_prefix(name));
        value.expect("a value").parse().expect("a number")
    };
    let lines = sampled(&test, &metrics).await;
    for line in [
        "trailkeeper_erasures{state=\"awaiting_approval\"} 2",
        "trailkeeper_erasures{state=\"on_hold\"} 1",
        "trailkeeper_erasures{state=\"approved\"} 0",
        "trailkeeper_erasures_overdue 0",
    ] {
        assert!(lines.iter().any(|other| other == line), "{line}: {lines:?}");
    }
    let left = due(&lines) / 86_400.0;
    assert!((1.9..2.0).contains(&left), "{left} days");

    ask(&test, 5, "executing", -DAY).await;
    let lines = sampled(&test, &metrics).await;
    assert!(
        lines
            .iter()
            .any(|line| line == "trailkeeper_erasures_overdue 1"),
        "{lines:?}"
    );
    assert!(due(&lines) < -86_400.0, "{lines:?}");

    // The last one that is carried out leaves no time to wait for.
    test.execute("UPDATE erasure SET state = 'completed'").await;
    assert_eq!(sampled(&test, &metrics).await, of_none);
}
