//! What operators do under `/v1`, and what the ledger says of it.

use std::path::Path;

use trailkeeper::{
    config::Scope,
    http::{kinds, openapi},
    ledger,
};

use super::{Answered, Server, token};
use crate::support::store::{TestStore, block_on};

/// The acts in the ledger, with who did them.
async fn acts(server: &Server) -> Vec<(String, String)> {
    let rows = server.state.store.ledger_after(0, 100).await.expect("read");
    let key = server.key.verifier();
    let keys = [key];
    let entries = rows
        .iter()
        .map(|row| ledger::open(row, "trailkeeper", &keys));
    let entries = entries.map(|entry| entry.expect("an authentic entry"));
    entries.map(|entry| (entry.act, entry.actor)).collect()
}

fn text<'a>(value: &'a serde_json::Value, name: &str) -> &'a str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} of {value}"))
}

async fn a_job_belongs_to_its_callers_trace(state: TestStore) {
    let server = Server::start(state).await;
    let bearer = format!("Bearer {}", token(Scope::JobsWrite));
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("authorization", bearer.as_str()), ("traceparent", trace)];
    let traced = r#"{"kind": "verify_trail", "payload": {"organizations": [1]}}"#;
    let traced = server.ask("POST", "/v1/jobs", &headers, traced).await;
    assert_eq!(traced.status, 202, "{}", traced.body);
    let sql = format!("SELECT count(*) FROM job WHERE traceparent = '{trace}'");
    assert_eq!(server.state.number(&sql).await, 1);
}

async fn jobs_are_queued_shown_and_cancelled(state: TestStore) {
    let server = Server::start(state).await;
    let body = r#"{"kind": "verify_trail", "payload": {"organizations": [1]}}"#;
    let queued = server
        .operate(Scope::JobsWrite, "POST", "/v1/jobs", body)
        .await;
    assert_eq!(queued.status, 202, "{}", queued.body);
    let queued = queued.json();
    assert_eq!(queued["new"], true);
    let id = text(&queued, "id").to_owned();
    // An equal job is the same.
    let again = server
        .operate(Scope::JobsWrite, "POST", "/v1/jobs", body)
        .await
        .json();
    assert_eq!(
        (text(&again, "id"), &again["new"]),
        (id.as_str(), &false.into())
    );

    let path = format!("/v1/jobs/{id}");
    let shown = server
        .operate(Scope::JobsRead, "GET", &path, "")
        .await
        .json();
    assert_eq!(text(&shown, "state"), "queued");
    assert_eq!(text(&shown, "source"), "operator jobs-write");
    let list = server
        .operate(Scope::Read, "GET", "/v1/jobs?state=queued&limit=1", "")
        .await;
    let list = list.json();
    assert_eq!(text(&list["jobs"][0], "id"), id);
    assert_eq!(list["has_more"], false);

    let cancel = format!("{path}/cancel");
    let cancelled = server.operate(Scope::JobsWrite, "POST", &cancel, "").await;
    assert_eq!(
        (cancelled.status, text(&cancelled.json(), "state")),
        (200, "cancelled")
    );
    let again = server.operate(Scope::JobsWrite, "POST", &cancel, "").await;
    assert_eq!(again.status, 409, "{}", again.body);
    let retry = format!("{path}/retry");
    let retried = server.operate(Scope::JobsWrite, "POST", &retry, "").await;
    assert_eq!(
        (retried.status, text(&retried.json(), "state")),
        (200, "queued")
    );
    let unknown = server
        .operate(Scope::JobsWrite, "POST", "/v1/jobs/x/retry", "")
        .await;
    assert_eq!(unknown.status, 404);

    let by = |act: &str| (act.to_owned(), "operator jobs-write".to_owned());
    let expected = [
        "job.enqueued",
        "job.enqueued",
        "job.cancelled",
        "job.retried",
    ]
    .map(by);
    assert_eq!(acts(&server).await, expected);
}

async fn what_does_not_fit_is_told_without_being_quoted(state: TestStore) {
    let server = Server::start(state).await;
    let post = async |body: &str| {
        server
            .operate(Scope::JobsWrite, "POST", "/v1/jobs", body)
            .await
    };
    for (body, status) in [
        ("", 400),
        ("{", 400),
        ("[]", 400),
        (r#"{"kind": "verify_trail", "ada@example.org": 1}"#, 400),
        (r#"{"kind": "nothing"}"#, 422),
        (r#"{"kind": "verify_piece"}"#, 422),
        (
            r#"{"kind": "verify_trail", "payload": {"email": "ada@example.org"}}"#,
            422,
        ),
        // PostgreSQL's texts cannot hold it, at whatever depth it stands.
        (r#"{"kind": "verify\u0000trail"}"#, 400),
        (
            r#"{"kind": "verify_trail", "payload": {"x": [{"\u0000": "ada@"}]}}"#,
            400,
        ),
        // What only looks like it is for the kind's schema to judge.
        (
            r#"{"kind": "verify_trail", "payload": {"from": "\\u0000"}}"#,
            422,
        ),
    ] {
        let answered = post(body).await;
        assert_eq!(answered.status, status, "{body}: {}", answered.body);
        assert_eq!(answered.header("content-type"), "application/problem+json");
        assert_eq!(answered.json()["status"], status);
        assert!(!answered.body.contains("ada@"), "{}", answered.body);
    }
    for query in ["limit=0", "limit=1001", "limit=x", "state=none", "kind=%00"] {
        let path = format!("/v1/jobs?{query}");
        let answered = server.operate(Scope::JobsRead, "GET", &path, "").await;
        assert_eq!(answered.status, 400, "{query}");
    }
    let answered = server
        .operate(Scope::JobsRead, "GET", "/v1/jobs/x%00", "")
        .await;
    assert_eq!(answered.status, 400, "{}", answered.body);
    assert!(acts(&server).await.is_empty());
}

/// Whoever may queue jobs gets round no other scope by them, and whoever may list them reads nothing of data subjects there.
async fn jobs_about_data_subjects_take_scopes_of_their_own(state: TestStore) {
    let server = Server::start(state).await;
    for (kind, ..) in kinds::GUARDED {
        let known = server.api.registry.kind(kind);
        assert!(known.is_some(), "{kind}");
        let body = format!(r#"{{"kind": "{kind}", "payload": {{}}}}"#);
        let refused = server
            .operate(Scope::JobsWrite, "POST", "/v1/jobs", &body)
            .await;
        assert_eq!(refused.status, 403, "{kind}: {}", refused.body);
    }
    let payload = serde_json::json!({"organization": 1, "email": "ada@example.org"});
    let job = server
        .api
        .registry
        .new_job("erase_subject", payload, "test");
    let job = job.expect("a job");
    let id = job.id.clone();
    server.state.store.enqueue(&[job]).await.expect("queue");
    for path in ["/v1/jobs".to_owned(), format!("/v1/jobs/{id}")] {
        let shown = server.operate(Scope::JobsRead, "GET", &path, "").await;
        assert!(!shown.body.contains("ada@"), "{}", shown.body);
        let shown = server.operate(Scope::Read, "GET", &path, "").await;
        assert!(shown.body.contains("ada@"), "{}", shown.body);
    }
    server.state.store.cancel(&id).await.expect("cancel");
    let retry = format!("/v1/jobs/{id}/retry");
    let refused = server.operate(Scope::JobsWrite, "POST", &retry, "").await;
    assert_eq!(refused.status, 403, "{}", refused.body);
}

async fn an_erasure_is_submitted_planned_and_approved(state: TestStore) {
    let server = Server::start(state).await;
    let post = async |scope, path: &str, body: &str| -> Answered {
        server.operate(scope, "POST", path, body).await
    };
    let body = r#"{"organization_id": 1, "user": 12, "reason": "they asked"}"#;
    let submitted = post(Scope::ErasuresWrite, "/v1/erasures", body).await;
    assert_eq!(submitted.status, 201, "{}", submitted.body);
    let submitted = submitted.json();
    assert_eq!(text(&submitted, "outcome"), "new");
    let request = &submitted["request"];
    assert_eq!(text(request, "state"), "awaiting_approval");
    assert_eq!(text(request, "requester"), "operator erasures-write");
    let id = text(request, "id").to_owned();
    let again = post(Scope::ErasuresWrite, "/v1/erasures", body).await;
    assert_eq!(
        (again.status, text(&again.json(), "outcome")),
        (200, "known")
    );

    let path = format!("/v1/erasures/{id}");
    let planned = post(Scope::ErasuresWrite, &format!("{path}/plan"), "").await;
    assert_eq!(planned.status, 200, "{}", planned.body);
    let digest = text(&planned.json(), "plan_digest").to_owned();
    let approve = format!("{path}/approve");
    let other = post(
        Scope::ErasuresApprove,
        &approve,
        r#"{"plan": "0123456789abcdef"}"#,
    )
    .await;
    assert_eq!(other.status, 409, "{}", other.body);
    let body = format!(r#"{{"plan": "{digest}"}}"#);
    let approved = post(Scope::ErasuresApprove, &approve, &body).await;
    assert_eq!(approved.status, 200, "{}", approved.body);
    // Who approved it first stays who approved it.
    let again = post(Scope::ErasuresApprove, &approve, &body).await;
    assert_eq!(again.status, 409, "{}", again.body);
    assert!(again.body.contains("approved already"), "{}", again.body);
    let shown = server
        .operate(Scope::ErasuresRead, "GET", &path, "")
        .await
        .json();
    assert_eq!(text(&shown, "state"), "approved");
    assert_eq!(text(&shown, "approved_by"), "operator erasures-approve");
    let list = server
        .operate(Scope::Read, "GET", "/v1/erasures?state=approved", "")
        .await;
    assert_eq!(list.json()["requests"][0]["id"], id.as_str());

    for (name, text) in [
        ("reference", String::new()),
        ("reference", "x".repeat(201)),
        ("reason", "x".repeat(1001)),
    ] {
        let body = format!(r#"{{"organization_id": 1, "user": 12, "{name}": "{text}"}}"#);
        let refused = post(Scope::ErasuresWrite, "/v1/erasures", &body).await;
        assert_eq!(refused.status, 400, "{name}: {}", refused.body);
        assert!(refused.body.contains(name), "{}", refused.body);
    }
    let unknown = post(
        Scope::ErasuresWrite,
        "/v1/erasures",
        r#"{"organization_id": 2, "user": 12}"#,
    );
    let unknown = unknown.await;
    assert_eq!(unknown.status, 422);
    assert!(unknown.body.contains("unknown_subject"), "{}", unknown.body);
    let names: Vec<String> = acts(&server)
        .await
        .into_iter()
        .map(|(act, _)| act)
        .collect();
    let expected = [
        "erasure.requested",
        "erasure.planned",
        "erasure.approved",
        "erasure.rejected",
    ];
    assert_eq!(names, expected);
}

async fn consents_are_recorded_and_shown(state: TestStore) {
    let server = Server::start(state).await;
    let body = r#"{"record_id": "r1", "organization_id": 1, "email": "ada@example.org", "status": "granted", "purposes": ["news"]}"#;
    let post = async |body: &str| {
        server
            .operate(Scope::ConsentsWrite, "POST", "/v1/consents", body)
            .await
    };
    let recorded = post(body).await;
    assert_eq!(recorded.status, 201, "{}", recorded.body);
    assert_eq!(
        text(&recorded.json(), "recorded_by"),
        "operator consents-write"
    );
    assert_eq!(post(body).await.status, 200);
    let other = post(&body.replace("granted", "withdrawn")).await;
    assert_eq!(other.status, 422, "{}", other.body);

    let path = "/v1/consents?organization_id=1&email=ada%40example.org";
    let shown = server
        .operate(Scope::ConsentsRead, "GET", path, "")
        .await
        .json();
    assert_eq!(text(&shown["standing"][0], "purpose"), "news");
    assert_eq!(text(&shown["standing"][0], "status"), "granted");
    assert_eq!(shown["records"].as_array().map(Vec::len), Some(1));
    for path in [
        "/v1/consents",
        "/v1/consents?organization_id=1",
        "/v1/consents?organization_id=x&user=1",
    ] {
        let answered = server.operate(Scope::ConsentsRead, "GET", path, "").await;
        assert_eq!(answered.status, 400, "{path}");
    }
    assert_eq!(
        acts(&server).await,
        [(
            "consent.head".to_owned(),
            "operator consents-write".to_owned()
        )]
    );
}

async fn trails_and_schedules_are_shown(state: TestStore) {
    let server = Server::start(state).await;
    let get = async |scope, path: &str| server.operate(scope, "GET", path, "").await;
    assert_eq!(
        get(Scope::TrailsRead, "/v1/verdicts").await.json()["verdicts"],
        serde_json::json!([])
    );
    assert_eq!(
        get(Scope::TrailsRead, "/v1/anchors").await.json()["anchors"],
        serde_json::json!([])
    );
    assert_eq!(
        get(Scope::TrailsRead, "/v1/anchors/latest").await.status,
        404
    );
    let keys = get(Scope::TrailsRead, "/v1/keys").await;
    assert_eq!(keys.status, 200, "{}", keys.body);
    assert_eq!(keys.json()["totals"]["active"], 4);
    let schedules = get(Scope::JobsRead, "/v1/schedules").await.json();
    let schedules = schedules["schedules"].as_array().expect("a list").clone();
    let nightly = schedules
        .iter()
        .find(|it| it["name"] == "nightly_verification");
    assert!(text(nightly.expect("the schedule"), "next") > "2026-11-22");
}

/// UPDATE_SCHEMAS=1 writes it anew.
#[test]
fn the_description_in_the_tree_is_that_of_the_program() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.yaml");
    let expected = openapi::yaml();
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(&path, &expected).expect("write the description");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        found, expected,
        "docs/openapi.yaml is out of date; UPDATE_SCHEMAS=1 scripts/test http writes it anew"
    );
}

/// What the program says of itself holds: statuses are described, and documents have their shapes.
#[test]
fn answers_are_as_they_are_described() {
    let document = openapi::document();
    block_on(async {
        let server = Server::start(TestStore::sqlite().await).await;
        for (path, scope) in [
            ("/v1/jobs", Scope::JobsRead),
            ("/v1/schedules", Scope::JobsRead),
            ("/v1/verdicts", Scope::TrailsRead),
            ("/v1/anchors", Scope::TrailsRead),
            ("/v1/keys", Scope::TrailsRead),
            ("/v1/erasures", Scope::ErasuresRead),
        ] {
            let answered = server.operate(scope, "GET", path, "").await;
            let described = &document["paths"][path]["get"]["responses"]["200"];
            let mut schema = described["content"]["application/json"]["schema"].clone();
            schema["components"] = document["components"].clone();
            let validator = jsonschema::validator_for(&schema).expect("a schema");
            let problems: Vec<String> = validator
                .iter_errors(&answered.json())
                .map(|error| error.to_string())
                .collect();
            assert_eq!(problems, Vec::<String>::new(), "{path}: {}", answered.body);
        }
    });
}

crate::on_both![
    a_job_belongs_to_its_callers_trace,
    jobs_are_queued_shown_and_cancelled,
    what_does_not_fit_is_told_without_being_quoted,
    an_erasure_is_submitted_planned_and_approved,
    jobs_about_data_subjects_take_scopes_of_their_own,
    consents_are_recorded_and_shown,
    trails_and_schedules_are_shown,
];
