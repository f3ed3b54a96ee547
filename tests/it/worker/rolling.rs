//! Rolling checks by a worker: a slice each time, everything where something does not fit.

use serde_json::{Value, json};
use trailkeeper::{
    anchor::load_or_make_key,
    checkpoint::coverage::DAY,
    demo::generator::{Generator, SqliteWriter},
    state::jobs::State,
};

use super::Scene;
use crate::support::{
    program::Program,
    store::{TestStore, block_on, job},
    tamper::Trail,
    trails::{KEY, generate},
    worker::{Worker, until},
};

crate::on_both![nights_of_a_worker];

/// A worker on trails of three organisations.
struct Nights {
    scene: Scene,
    worker: Worker,
    growing: Generator,
}

impl Nights {
    async fn of(test: TestStore) -> Self {
        let mut scene = Scene::with(test);
        scene.setting.key = KEY.to_owned();
        let path = scene.setting.directory.join("qwed.db");
        std::fs::remove_file(&path).expect("remove the sample");
        let growing = generate(&path, 3, 9, 6000);
        // Where workers share a state, none makes a key by itself.
        let key = scene.setting.directory.join("anchor.key");
        load_or_make_key(&key, "trailkeeper", true).expect("make a key");
        let worker = Worker::start(&scene.setting, "worker");
        Self {
            scene,
            worker,
            growing,
        }
    }

    fn trail(&self) -> Trail {
        Trail::open(&self.scene.setting.directory.join("qwed.db"))
    }

    fn grow(&mut self, entries: u64) {
        let path = self.scene.setting.directory.join("qwed.db");
        SqliteWriter::open(&path)
            .and_then(|mut writer| writer.write(&mut self.growing, entries))
            .expect("append");
    }

    async fn job(&self, kind: &str, payload: Value) -> Value {
        let mut job = job(kind);
        (job.kind, job.payload) = (kind.to_owned(), payload);
        let id = job.id.clone();
        let store = self.scene.store();
        store.enqueue(&[job]).await.expect("enqueue");
        self.scene.settle().await;
        let job = store.job(&id).await.expect("read").expect("the job");
        assert_eq!(job.state, State::Succeeded, "{job:?}");
        job.outcome.expect("a report")
    }

    async fn rolling(&self) -> Value {
        self.job("verify_trail", json!({"rolling": true})).await
    }

    /// As if so many days had passed.
    async fn wait(&self, days: i64) {
        let state = &self.scene.state;
        let past = days * DAY;
        let run = format!(
            "UPDATE full_check SET ran_at = ran_at - {past}, round_began_at = round_began_at - {past}"
        );
        state.execute(&run).await;
        let spans = format!("UPDATE full_check_span SET checked_at = checked_at - {past}");
        state.execute(&spans).await;
    }

    async fn spans(&self) -> i64 {
        let count = "SELECT count(*) FROM full_check_span";
        self.scene.state.number(count).await
    }
}

fn checked(report: &Value) -> u64 {
    assert_eq!(report["verdict"], "intact", "{report}");
    assert_eq!(report["coverage"]["percent"], 100.0);
    let checked = &report["coverage"]["checked_entries"];
    checked
        .as_u64()
        .unwrap_or_else(|| panic!("everything was read: {report}"))
}

async fn nights_of_a_worker(test: TestStore) {
    let mut nights = Nights::of(test).await;
    // Without an anchor there is nothing to go by, and before everything was checked nothing to go on from.
    let first = nights.rolling().await;
    assert!(first["pieces"].is_u64(), "{first}");
    assert!(first["coverage"].is_null());
    let second = nights.rolling().await;
    assert!(second["pieces"].is_u64(), "{second}");
    assert_eq!(second["coverage"]["entries"], 6000);
    assert!(second["coverage"]["checked_entries"].is_null());

    nights.grow(50);
    nights.wait(1).await;
    let night = nights.rolling().await;
    assert_eq!(night["entries"], 50);
    let one = checked(&night);
    assert!((857..857 + 512).contains(&one), "{one}");
    assert_eq!(night["anchors"]["unread_entries"], 6000 - one);
    let next = &night["coverage"]["next"];
    assert!(next["entry_id"].is_i64(), "{next}");

    // What was anchored since the last run was seen by none, and is checked besides.
    nights.job("anchor", json!({})).await;
    let again = nights.rolling().await;
    assert_eq!(again["entries"], 0);
    let new = checked(&again);
    assert!((50..4 * 256 + 512).contains(&new), "{new}");

    // Three nights were missed.
    nights.wait(4).await;
    let late = checked(&nights.rolling().await);
    assert!(late > 3 * one, "{late} after {one}");

    // An old entry is changed, and found by the time its turn has come.
    let spans = nights.spans().await;
    assert!(spans > 2);
    nights.trail().change(
        1,
        "UPDATE verificationlog SET query = query || 'x' WHERE id = 700",
    );
    let mut found = None;
    for night in 0..7 {
        nights.wait(1).await;
        let report = nights.rolling().await;
        if report["verdict"] == "tampered" {
            found = Some((night, report));
            break;
        }
        checked(&report);
    }
    let (_, report) = found.expect("found within seven nights");
    assert!(report["pieces"].is_u64(), "everything was verified instead");
    let trails = report["organizations"].as_array().expect("trails");
    let findings: Vec<_> = trails
        .iter()
        .flat_map(|it| it["findings"].as_array())
        .flatten()
        .collect();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(
        (&findings[0]["entry_id"], &findings[0]["kind"]),
        (&json!(700), &json!("content_changed"))
    );
    // Everything was checked by that.
    assert_eq!(
        (nights.spans().await, &report["coverage"]["percent"]),
        (1, &json!(100.0))
    );
    nights.trail().change(
        1,
        "UPDATE verificationlog SET query = substr(query, 1, length(query) - 1) WHERE id = 700",
    );

    // An organisation goes.
    nights.wait(1).await;
    nights
        .trail()
        .run("DELETE FROM verificationlog WHERE organization_id = 2");
    let report = nights.rolling().await;
    assert_eq!(
        report["organizations"][1]["findings"][0]["kind"],
        "organisation_vanished"
    );
}

#[test]
fn metrics_and_the_program_tell_of_full_checks() {
    block_on(async {
        let nights = Nights::of(TestStore::sqlite().await).await;
        nights.job("anchor", json!({})).await;
        nights.job("verify_trail", json!({})).await;
        let (config, _) = nights.scene.setting.write("program");
        let run = Program::bare()
            .env("QWED_AUDIT_SECRET_KEY", KEY)
            .args(["verify", "--no-progress", "--since-anchor", "--config"])
            .arg(config)
            .run();
        let line =
            "100 % of what was anchored was checked in full within 7 days, the oldest part on 20";
        assert!(run.stdout.contains(line), "{run:?}");
        let metric = |series: &str| nights.worker.metric(series);
        let covered = "trailkeeper_full_check_entries{which=\"covered\"}";
        until("the metric", || metric(covered) == Some(6000.0));
        assert_eq!(
            metric("trailkeeper_full_check_entries{which=\"all\"}"),
            Some(6000.0)
        );
        let oldest = metric("trailkeeper_full_check_oldest_timestamp_seconds");
        assert!(oldest.is_some_and(|oldest| oldest > 1.7e9));
        nights.wait(8).await;
        until("the metric", || metric(covered) == Some(0.0));
    });
}

#[test]
fn a_part_of_everything_cannot_roll() {
    block_on(async {
        let nights = Nights::of(TestStore::sqlite().await).await;
        for payload in [
            json!({"rolling": true, "organizations": [1]}),
            json!({"rolling": true, "from": "2026-01-01"}),
        ] {
            let mut job = job("verify_trail");
            (job.kind, job.payload) = ("verify_trail".to_owned(), payload);
            let id = job.id.clone();
            let store = nights.scene.store();
            store.enqueue(&[job]).await.expect("enqueue");
            nights.scene.settle().await;
            let job = store.job(&id).await.expect("read").expect("the job");
            assert_eq!(job.state, State::Dead, "{job:?}");
        }
    });
}
