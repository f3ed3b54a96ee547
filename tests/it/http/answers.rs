//! What QWED 8.0.0's own server answered, compared byte for byte with what we answer.

use super::{Server, api_key, recorded};
use crate::support::store::TestStore;

/// A recorded request and its answer.
struct Recorded {
    path: String,
    who: String,
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

fn all() -> Vec<Recorded> {
    let text = std::fs::read_to_string(recorded("answers.txt")).expect("read the answers");
    let parts = text.split("### GET ").skip(1);
    let parse = |part: &str| {
        let (request, rest) = part.split_once('\n').expect("a request");
        let (path, who) = request.split_once(" [").expect("who asked");
        let (head, body) = rest.split_once("\n\n").expect("a head and a body");
        let mut lines = head.lines();
        let status = lines.next().expect("a status");
        let status = status.split(' ').nth(1).expect("a number");
        Recorded {
            path: path.to_owned(),
            who: who.trim_end_matches(']').to_owned(),
            status: status.parse().expect("a number"),
            headers: lines
                .map(|line| line.split_once(": ").expect("a header"))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: body.strip_suffix("\n\n").unwrap_or(body).to_owned(),
        }
    };
    parts.map(parse).collect()
}

/// The key that was asked with.
fn key(who: &str) -> Option<String> {
    match who {
        "none" => None,
        "unknown_key" => Some(api_key('Z')),
        "member_of_1" => Some(api_key('C')),
        "expired_key" => Some(api_key('D')),
        "owner_of_1" | "owner_of_1_other_org" => Some(api_key('A')),
        other => panic!("who is {other}?"),
    }
}

async fn every_recorded_answer_is_given(state: TestStore) {
    let server = Server::start(state).await;
    let recorded = all();
    assert_eq!(recorded.len(), 18);
    for expected in recorded {
        let name = format!("{} [{}]", expected.path, expected.who);
        let key = key(&expected.who);
        let headers: Vec<(&str, &str)> =
            key.iter().map(|key| ("x-api-key", key.as_str())).collect();
        let answered = server.ask("GET", &expected.path, &headers, "").await;
        // Python's csv module ends lines in CRLF, and whoever wrote the file down did not.
        let mut body = answered.body.clone();
        if expected.path.contains("/csv") && expected.status == 200 {
            assert!(body.ends_with("\r\n"), "{name}");
            body = body.replace("\r\n", "\n");
        }
        let mut wanted = expected.body.clone();
        if expected.path.contains("/report/soc2/1") {
            let at = |text: &str| {
                let (_, rest) = text.split_once("\"generated_at\":\"").expect("a time");
                rest[..32].to_owned()
            };
            wanted = wanted.replace(&at(&expected.body), &at(&answered.body));
        }
        assert_eq!(body.trim_end(), wanted.trim_end(), "{name}");
        assert_eq!(answered.status, expected.status, "{name}");
        for (header, value) in &expected.headers {
            assert_eq!(answered.header(header), value, "{name}: {header}");
        }
    }
}

/// What the recording does not show, by the code of QWED 8.0.0.
async fn what_was_not_recorded_is_as_its_code_has_it(state: TestStore) {
    let server = Server::start(state).await;
    let owner = api_key('A');
    let bearer = [("authorization", "Bearer e30.e30.e30")];
    let verify = "/admin/compliance/verify/1";
    let answered = server.ask("GET", verify, &bearer, "").await;
    assert_eq!(
        (answered.status, answered.body.as_str()),
        (401, r#"{"detail":"Invalid or expired token"}"#)
    );
    let answered = server
        .ask("POST", verify, &[("x-api-key", &owner)], "")
        .await;
    assert_eq!(
        (answered.status, answered.header("allow")),
        (405, "GET"),
        "{}",
        answered.body
    );
    let answered = server
        .ask("HEAD", verify, &[("x-api-key", &owner)], "")
        .await;
    assert_eq!(answered.status, 405);
    let answered = server.get_as(&owner, "/admin/compliance/nothing").await;
    assert_eq!(
        (answered.status, answered.body.as_str()),
        (404, r#"{"detail":"Not Found"}"#)
    );
    let answered = server
        .get_as(&owner, "/admin/compliance/verify/1/?x=1")
        .await;
    assert_eq!(
        (answered.status, answered.header("location")),
        (307, "/admin/compliance/verify/1?x=1")
    );
    // Numbers that no id can be.
    let answered = server
        .get_as(
            &owner,
            &format!("/admin/compliance/verify/{}", "9".repeat(30)),
        )
        .await;
    assert_eq!(answered.status, 404);
    let answered = server
        .get_as(
            &owner,
            &format!("/admin/compliance/report/soc2/{}", "9".repeat(30)),
        )
        .await;
    assert_eq!(answered.status, 403);
    // An admin of another organisation sees that one.
    let answered = server
        .get_as(&api_key('B'), "/admin/compliance/verify/2")
        .await;
    assert_eq!(
        (answered.status, &answered.json()["valid"]),
        (200, &true.into())
    );
}

async fn a_trail_that_was_tampered_with_is_not_verified(state: TestStore) {
    let server = Server::start(state).await;
    let edit = "UPDATE verificationlog SET query = 'other' WHERE id IN (3, 7)";
    match &server.state.server {
        Some(postgres) => {
            postgres.psql("qwed", edit);
        }
        None => {
            let path = server.qwed_url.trim_start_matches("sqlite:///");
            let file = rusqlite::Connection::open(path).expect("open");
            file.execute(edit, ()).expect("edit");
        }
    }
    let owner = api_key('A');
    let answered = server
        .get_as(&owner, "/admin/compliance/verify-trail")
        .await;
    let mismatch = "Hash mismatch: audit entry does not match any accepted canonical payload";
    let expected = format!(
        r#"{{"organization_id":1,"start":null,"end":null,"status":"NOT_VERIFIED","proof_ref":null,"evidence":null,"scope":"Signature and hash-chain check of the audit entries recorded in the period. It does not show that every request was recorded.","total_entries":15,"verified_entries":13,"failed_entries":2,"first_failed_entry_id":3,"legacy_entries":0,"errors":["{mismatch}","{mismatch}"],"total_errors":2,"errors_truncated":false}}"#
    );
    assert_eq!(answered.body, expected);
    let answered = server.get_as(&owner, "/admin/compliance/verify/3").await;
    let expected = format!(
        r#"{{"valid":false,"legacy":false,"checks":{{"hash_valid":false,"signature_valid":true,"chain_valid":true}},"errors":["{mismatch}"],"log_id":3,"timestamp":"2026-11-22T21:59:35.581960+00:00"}}"#
    );
    assert_eq!(answered.body, expected);
}

crate::on_both![
    every_recorded_answer_is_given,
    what_was_not_recorded_is_as_its_code_has_it,
    a_trail_that_was_tampered_with_is_not_verified,
];
