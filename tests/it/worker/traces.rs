//! Spans that a collector gets, by OTLP over HTTP.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value as Is,
    trace::v1::{Span, status::StatusCode},
};
use prost::Message;
use serde_json::json;
use trailkeeper::{state::jobs::NewJob, trace::TraceParent};

use super::{Scene, probe};
use crate::support::{
    store::block_on,
    worker::{Worker, until},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A collector that keeps what it gets.
struct Collector {
    port: u16,
    spans: Arc<Mutex<Vec<Span>>>,
    services: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let (spans, services) = (Arc::default(), Arc::default());
        let (kept, named) = (Arc::clone(&spans), Arc::clone(&services));
        let take = post(async move |body: Bytes| keep(&body, &kept, &named));
        let router = Router::new().route("/v1/traces", take);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            port,
            spans,
            services,
        }
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The spans of this name.
    fn named(&self, name: &str) -> Vec<Span> {
        let spans = self.spans.lock().expect("a lock");
        let named = spans.iter().filter(|span| span.name == name);
        named.cloned().collect()
    }
}

fn keep(body: &[u8], spans: &Mutex<Vec<Span>>, services: &Mutex<Vec<String>>) {
    let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
    for of_resource in request.resource_spans {
        let attributes = of_resource.resource.expect("a resource").attributes;
        let name = attributes.into_iter().find(|it| it.key == "service.name");
        let name = text(name.and_then(|it| it.value?.value));
        services.lock().expect("a lock").push(name);
        let found = of_resource.scope_spans.into_iter();
        let mut spans = spans.lock().expect("a lock");
        spans.extend(found.flat_map(|scope| scope.spans));
    }
}

fn text(value: Option<Is>) -> String {
    match value {
        Some(Is::StringValue(text)) => text,
        Some(Is::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn attribute(span: &Span, name: &str) -> String {
    let found = span.attributes.iter().find(|it| it.key == name);
    text(found.and_then(|it| it.value.clone()?.value))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn traced(job: NewJob) -> NewJob {
    NewJob {
        trace: TraceParent::parse(&format!("00-{TRACE}-{CALLER}-01")),
        ..job
    }
}

/// A worker that tells `endpoint` of its spans.
fn worker(scene: &Scene, endpoint: &str) -> Worker {
    let mut worker = Worker::spawn_with(&scene.setting, "worker", |command| {
        command
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            .env("OTEL_BSP_SCHEDULE_DELAY", "100");
    });
    worker.wait_ready();
    worker
}

#[test]
fn a_run_is_a_span_of_its_callers_trace() {
    block_on(async {
        let collector = Collector::start().await;
        let scene = Scene::on_sqlite().await;
        let worker = worker(&scene, &collector.endpoint());
        let mut bad = traced(probe(json!({"name": "ada@example.org", "fail": true})));
        bad.max_attempts = 1;
        let jobs = [traced(probe(json!({}))), bad];
        scene.store().enqueue(&jobs).await.expect("enqueue");
        until("both runs are told", || collector.named("run").len() == 2);
        let spans = collector.named("run");
        for job in &jobs {
            let of_job = |span: &&Span| attribute(span, "job") == job.id;
            let span = spans.iter().find(of_job).expect("its span");
            assert_eq!(
                (hex(&span.trace_id), hex(&span.parent_span_id)),
                (TRACE.to_owned(), CALLER.to_owned())
            );
            assert_eq!(attribute(span, "kind"), "probe");
            assert_eq!(attribute(span, "attempt"), "1");
            let status = span.status.as_ref().map(|status| status.code());
            let is_error = status == Some(StatusCode::Error);
            assert_eq!(is_error, job.id == jobs[1].id, "{status:?}");
            assert!(!format!("{span:?}").contains("ada@"), "a payload is told");
        }
        assert!(
            collector
                .services
                .lock()
                .expect("a lock")
                .iter()
                .all(|it| it == "trailkeeper")
        );
        // Events and lines of the log go on from the span.
        assert!(worker.log().contains(TRACE), "{}", worker.log());
    });
}

#[test]
fn what_nobody_traced_begins_a_trace() {
    block_on(async {
        let collector = Collector::start().await;
        let scene = Scene::on_sqlite().await;
        let mut worker = worker(&scene, &collector.endpoint());
        let job = probe(json!({}));
        scene.store().enqueue(&[job]).await.expect("enqueue");
        let done = "trailkeeper_job_runs_total{ending=\"succeeded\",kind=\"probe\"}";
        until("the job is done", || worker.metric(done) == Some(1.0));
        // What is left is sent at the end.
        worker.signal("TERM");
        until("it ends", || worker.has_ended().is_some());
        let spans = collector.named("run");
        assert_eq!(spans.len(), 1);
        assert_eq!(hex(&spans[0].parent_span_id), "");
    });
}

#[test]
fn a_collector_that_is_away_holds_nothing_up() {
    block_on(async {
        let scene = Scene::on_sqlite().await;
        let mut worker = worker(&scene, "http://127.0.0.1:1");
        let jobs: Vec<NewJob> = (0..50).map(|_| probe(json!({}))).collect();
        scene.store().enqueue(&jobs).await.expect("enqueue");
        let done = "trailkeeper_job_runs_total{ending=\"succeeded\",kind=\"probe\"}";
        until("the jobs are done", || worker.metric(done) == Some(50.0));
        worker.signal("TERM");
        until("it ends", || worker.has_ended().is_some());
        assert!(worker.has_ended().is_some_and(|status| status.success()));
    });
}
