//! Consents by a worker, a QWED that is told of them, and what else the worker enters into the ledger.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::State as Shared,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde_json::{Value, json};
use trailkeeper::{
    checkpoint::note::SecretKey,
    ledger, private,
    state::jobs::{JobView, State},
};

use super::{Scene, anchors::done};
use crate::support::{
    store::{block_on, job},
    worker::{Setting, Worker, until},
};

const API_KEY: &str = "qwed_live_consents";

/// What a QWED was told, and how often it is not itself yet.
#[derive(Default)]
struct Told {
    failures_left: u32,
    bodies: Vec<Value>,
}

type Qwed = Arc<Mutex<Told>>;

async fn fact(Shared(qwed): Shared<Qwed>, headers: HeaderMap, body: String) -> StatusCode {
    let mut told = qwed.lock().expect("nobody panicked");
    if headers.get("x-api-key").is_none_or(|key| key != API_KEY) {
        return StatusCode::UNAUTHORIZED;
    }
    if told.failures_left > 0 {
        told.failures_left -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    told.bodies
        .push(serde_json::from_str(&body).expect("a JSON body"));
    StatusCode::OK
}

/// A server that answers as QWED's does, and its address.
async fn serve(qwed: &Qwed) -> String {
    let router = Router::new()
        .route("/verify/fact", post(fact))
        .with_state(Arc::clone(qwed));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn recorded(scene: &Scene, payload: Value) -> JobView {
    let mut job = job("record_consent");
    job.kind = "record_consent".to_owned();
    job.payload = payload;
    let id = job.id.clone();
    scene.store().enqueue(&[job]).await.expect("enqueue");
    scene.settle().await;
    let job = scene.store().job(&id).await.expect("read");
    job.expect("the job")
}

fn keep_anchor_key(scene: &Scene) {
    let key = SecretKey::from_seed("trailkeeper", &[7; 32]).expect("a key");
    let path = scene.setting.data_dir.join("anchor.key");
    private::create_file(&path, key.to_text().as_bytes()).expect("keep the key");
}

async fn entries(scene: &Scene, act: &str) -> i64 {
    let count = format!("SELECT count(*) FROM ledger WHERE act = '{act}'");
    scene.state.number(&count).await
}

fn with_qwed(mut scene: Scene, url: &str, api_key: &str) -> Scene {
    let lines = format!("forward_to_qwed = true\nqwed_url = {url:?}\napi_key = {api_key:?}");
    scene.setting = scene
        .setting
        .with("consent", lines)
        .with("jobs", "retry_base_seconds = 0\nretry_max_seconds = 0");
    scene
}

async fn a_worker_records_and_forwards(scene: Scene) {
    let qwed = Qwed::default();
    qwed.lock().expect("nobody panicked").failures_left = 7;
    let scene = with_qwed(scene, &serve(&qwed).await, API_KEY);
    keep_anchor_key(&scene);
    let worker = Worker::start(&scene.setting, "worker");
    let payload = json!({
        "record_id": "r-1", "organization_id": 1, "email": "ada@example.org", "status": "granted",
        "purposes": ["newsletter"], "evidence": "she said: yes, gladly",
    });
    let first = recorded(&scene, payload.clone()).await;
    assert_eq!(first.state, State::Succeeded, "{first:?}");
    // The record has them, the job not any more.
    assert_eq!(
        (&first.payload["email"], &first.payload["evidence"]),
        (&json!("[erased]"), &json!("[erased]"))
    );
    let outcome = first.outcome.expect("an outcome");
    assert_eq!(
        (&outcome["recorded"], &outcome["new"], &outcome["sequence"]),
        (&json!(true), &json!(true), &json!(1))
    );
    // More failures than a job usually has attempts.
    let bodies = qwed.lock().expect("nobody panicked").bodies.clone();
    assert_eq!(bodies.len(), 1, "{}", worker.log());
    assert_eq!(bodies[0]["claim"], bodies[0]["context"]);
    let claim = bodies[0]["claim"].as_str().expect("text");
    let hash = outcome["entry_hash"].as_str().expect("a hash");
    assert!(
        claim.starts_with(
            "Consent record 1 of organization 1: consent to newsletter was granted at "
        )
    );
    assert!(claim.ends_with(&format!("Its hash is {hash}.")), "{claim}");
    assert!(!claim.contains("ada@"), "{claim}");

    // The same again tells nobody anything.
    let again = recorded(&scene, payload).await.outcome.expect("an outcome");
    assert_eq!(again["new"], json!(false));
    assert_eq!(again["entry_hash"], outcome["entry_hash"]);
    assert_eq!(qwed.lock().expect("nobody panicked").bodies.len(), 1);

    let rejected = recorded(
        &scene,
        json!({"record_id": "r-2", "organization_id": 1, "status": "granted", "purposes": ["ads"]}),
    )
    .await;
    assert_eq!(rejected.state, State::Succeeded, "{rejected:?}");
    let rejected = rejected.outcome.expect("an outcome");
    assert_eq!(
        (&rejected["recorded"], &rejected["reason"]),
        (&json!(false), &json!("invalid"))
    );
    assert_eq!(entries(&scene, "consent.head").await, 1);
    let log = worker.log();
    assert!(
        !log.contains("ada@") && !log.contains("gladly") && !log.contains(API_KEY),
        "{log}"
    );
}

#[test]
fn a_worker_records_and_forwards_on_sqlite() {
    block_on(async { a_worker_records_and_forwards(Scene::on_sqlite().await).await });
}

#[test]
fn a_worker_records_and_forwards_on_postgres() {
    block_on(async { a_worker_records_and_forwards(Scene::on_postgres().await).await });
}

/// An API key that QWED refuses is for an operator; the record is there all the same.
#[test]
fn what_qwed_refuses_is_dead_and_can_be_tried_again() {
    block_on(async {
        let qwed = Qwed::default();
        let scene = Scene::on_sqlite().await;
        let scene = with_qwed(scene, &serve(&qwed).await, "qwed_live_expired");
        let _worker = Worker::start(&scene.setting, "worker");
        let payload = json!({
            "record_id": "r-1", "organization_id": 1, "user_id": 5, "status": "withdrawn",
        });
        let job = recorded(&scene, payload).await;
        assert_eq!(job.state, State::Succeeded, "{job:?}");
        let dead = "SELECT count(*) FROM job WHERE kind = 'forward_consent' AND state = 'dead' AND error LIKE '%401%'";
        assert_eq!(scene.state.number(dead).await, 1);
        assert_eq!(scene.state.number("SELECT count(*) FROM consent").await, 1);
    });
}

#[test]
fn what_matters_to_an_auditor_is_in_the_ledger() {
    block_on(async {
        let mut scene = Scene::on_sqlite().await;
        // Each start has an address of its own for metrics, which would be another configuration.
        let start = |setting: &Setting, name: &str| {
            let worker = Worker::spawn_with(setting, name, |command| {
                command.env("TRAILKEEPER__METRICS__LISTEN", "127.0.0.1:0");
            });
            until("it is ready", || worker.log().contains("ready"));
            worker
        };
        // Without the key that signs there are no entries.
        drop(start(&scene.setting, "first"));
        assert_eq!(scene.state.number("SELECT count(*) FROM ledger").await, 0);

        keep_anchor_key(&scene);
        drop(start(&scene.setting, "second"));
        drop(start(&scene.setting, "third"));
        assert_eq!(entries(&scene, "config.loaded").await, 1);
        scene.setting = scene.setting.with("keys", "max_age_days = 20");
        let _worker = start(&scene.setting, "other");
        assert_eq!(entries(&scene, "config.loaded").await, 2);

        // The sample has trails that were tampered with; once there is an anchor, it vouches for what stands before a chain.
        for expected in [1, 2, 2] {
            assert_eq!(done(&scene, "verify_trail").await.state, State::Succeeded);
            assert_eq!(entries(&scene, "verdict.changed").await, expected);
        }
        let newest = scene.store().newest_ledger(Some("verdict.changed"), 1);
        let newest = ledger::detail(&newest.await.expect("read")[0]);
        let change = &newest["changes"][0];
        assert_eq!(
            (
                &change["organization_id"],
                &change["previous_verdict"],
                &change["verdict"]
            ),
            (&json!(1), &json!("incomplete"), &json!("intact")),
            "{newest}"
        );

        let checked = done(&scene, "check_api_keys").await;
        let outcome = checked.outcome.expect("an outcome");
        let flagged = outcome["flagging"]["flagged_now"]
            .as_u64()
            .expect("a number");
        assert!(flagged > 0, "{outcome}");
        done(&scene, "check_api_keys").await;
        assert_eq!(entries(&scene, "api_key.flagged").await, 1);
    });
}
