//! Evidence reports over HTTP.

use trailkeeper::{config::Scope, objects::Digest, report::produce};

use super::{Server, api_key};
use crate::{report::sample, support::store::TestStore};

crate::on_both![
    reports_are_listed_and_shown_in_each_form,
    qweds_summary_has_ours_beside_its_own,
];

async fn keep(server: &Server) -> (trailkeeper::report::model::Report, String) {
    let mut report = sample::plain();
    report.organization.id = 1;
    let store = &server.state.store;
    let mut tx = store.begin().await.expect("begin");
    let row = produce::keep(&mut tx, None, &report, None, None)
        .await
        .expect("keep");
    tx.commit("test").await.expect("commit");
    (report, row.sha256)
}

async fn reports_are_listed_and_shown_in_each_form(state: TestStore) {
    let server = Server::start(state).await;
    let get = async |path: &str| server.operate(Scope::TrailsRead, "GET", path, "").await;
    assert_eq!(
        get("/v1/reports").await.json()["reports"],
        serde_json::json!([])
    );
    let (report, sha256) = keep(&server).await;
    let listed = get("/v1/reports?organization_id=1&limit=5").await.json();
    assert_eq!(listed["reports"][0]["id"], report.id);
    assert_eq!(listed["reports"][0]["fail"], report.summary.fail);
    assert_eq!(
        get("/v1/reports?organization_id=2").await.json()["reports"],
        serde_json::json!([])
    );
    assert_eq!(get("/v1/reports?organization_id=x").await.status, 400);

    let path = format!("/v1/reports/{}", report.id);
    let document = get(&path).await;
    assert_eq!(document.status, 200);
    assert_eq!(Digest::of(document.body.as_bytes()).to_string(), sha256);
    let html = get(&format!("{path}?format=html")).await;
    assert_eq!(html.headers["content-type"], "text/html; charset=utf-8");
    // A browser goes by the header as well as by the document: each has to let the style in.
    let policy = html.headers["content-security-policy"]
        .to_str()
        .expect("text");
    let (_, style) = policy.split_once("style-src ").expect("a style is let in");
    let (style, _) = style.split_once(';').expect("more follows");
    assert!(
        style.starts_with("'sha256-") && html.body.contains(style),
        "{policy}"
    );
    assert!(html.body.contains(&report.controls[0].title));
    let pdf = get(&format!("{path}?format=pdf")).await;
    assert_eq!(pdf.headers["content-type"], "application/pdf");
    assert!(pdf.body.starts_with("%PDF-"));
    assert_eq!(get(&format!("{path}?format=docx")).await.status, 400);
    assert_eq!(get("/v1/reports/none").await.status, 404);
}

async fn qweds_summary_has_ours_beside_its_own(state: TestStore) {
    let server = Server::start(state).await;
    let path = "/admin/compliance/report/soc2/1";
    let before = server.get_as(&api_key('A'), path).await.json();
    assert_eq!(
        before.get("trailkeeper"),
        None,
        "nothing differs from QWED's before a report"
    );
    let (report, _) = keep(&server).await;
    let after = server.get_as(&api_key('A'), path).await.json();
    assert_eq!(after["trailkeeper"]["report_id"], report.id);
    assert_eq!(
        after["trailkeeper"]["compliance_status"],
        serde_json::json!(report.compliance_status)
    );
    assert_eq!(after["metrics"], before["metrics"]);
}
