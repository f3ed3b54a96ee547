//! Every route with everybody.

use std::collections::HashSet;

use trailkeeper::{
    config::Scope,
    http::{Rule, routes},
};

use super::{Browser, Server, api_key, token};
use crate::support::store::TestStore;

/// The field of forms that only pages of the session know.
const CSRF: &str = "csrf";

/// Who may ask, with what they send.
fn everybody() -> Vec<(String, Vec<(&'static str, String)>)> {
    let key = |name: &str, letter| (name.to_owned(), vec![("x-api-key", api_key(letter))]);
    let bearer = |token: String| vec![("authorization", format!("Bearer {token}"))];
    let mut everybody = vec![
        ("nobody".to_owned(), Vec::new()),
        key("an unknown key", 'Z'),
        key("an expired key", 'D'),
        key("a member", 'C'),
        key("an admin of another organisation", 'B'),
        key("an owner", 'A'),
        ("an unknown token".to_owned(), bearer("x".to_owned())),
        (
            "an expired token".to_owned(),
            bearer("trailkeeper_test_gone".to_owned()),
        ),
        ("an API key for a token".to_owned(), bearer(api_key('A'))),
        (
            "a token for an API key".to_owned(),
            vec![("x-api-key", token(Scope::Read))],
        ),
    ];
    everybody.extend(Scope::ALL.map(|scope| (scope.name().to_owned(), bearer(token(scope)))));
    everybody
}

/// What stands before the scope of somebody who is signed in to the status page.
const BROWSER: &str = "a browser with ";

fn holds(who: &str, scope: Scope) -> bool {
    who == scope.name() || who == "read" && scope.name().ends_with(":read")
}

/// What the rule says, in other words than the program's.
fn may(rule: Rule, who: &str) -> bool {
    match rule {
        Rule::Open(_) => true,
        Rule::QwedAdmin => who == "an owner" || who.starts_with("an admin"),
        Rule::Scope(scope) => holds(who, scope),
        Rule::Page(None) => who.starts_with(BROWSER),
        Rule::Page(Some(scope)) => who
            .strip_prefix(BROWSER)
            .is_some_and(|who| holds(who, scope)),
    }
}

async fn every_route_asks_everybody(state: TestStore) {
    let server = Server::start_with(state, "refusals_per_minute = 100000").await;
    let mut seen = HashSet::new();
    let mut everybody = everybody();
    // Signing out ends a session, so that each of its askers has one of their own.
    let mut leaving = Vec::new();
    for scope in Scope::ALL {
        let who = format!("{BROWSER}{}", scope.name());
        for list in [&mut everybody, &mut leaving] {
            let Browser { cookie, csrf } = server.sign_in(&token(scope)).await;
            list.push((who.clone(), vec![("cookie", cookie), (CSRF, csrf)]));
        }
    }
    for route in routes() {
        let (method, path) = (route.method.as_str(), route.path);
        assert!(
            seen.insert((method.to_owned(), path)),
            "{method} {path} twice"
        );
        let concrete = path.replace("{log_id}", "1").replace("{org_id}", "1");
        // Of what is nobody's, so that nothing happens.
        let concrete = concrete
            .replace("{id}", "none")
            .replace("{organization}", "1");
        let concrete = concrete.replace("{number}", "9").replace("{format}", "pdf");
        assert!(!concrete.contains('{'), "{concrete}");
        let leave = path == "/status/sign-out";
        let strangers = everybody
            .iter()
            .filter(|(who, _)| !leave || !who.starts_with(BROWSER));
        for (who, headers) in strangers.chain(leaving.iter().filter(|_| leave)) {
            // What a form sends, and not a header.
            let form = headers.iter().find(|(name, _)| *name == CSRF);
            let form = form.map_or_else(String::new, |(name, value)| format!("{name}={value}"));
            let headers = headers.iter().filter(|(name, _)| *name != CSRF);
            let headers: Vec<(&str, &str)> = headers
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            let answered = server.ask(method, &concrete, &headers, &form).await;
            if path == "/status/sign-in" && method == "POST" {
                // Open to all, and none of them shows a token.
                assert_eq!(answered.status, 401, "as {who}");
                continue;
            }
            let is_refused = match answered.status {
                401 => true,
                // An owner is refused others' data, by the handler and not by the rule.
                403 => !answered.body.contains("another organization"),
                _ => false,
            };
            assert_eq!(
                is_refused,
                !may(route.rule, who),
                "{method} {path} as {who}: {} {}",
                answered.status,
                answered.body
            );
            assert!(answered.status < 500, "{method} {path}: {}", answered.body);
        }
    }
}

/// Each has its headers, whatever it is.
async fn every_answer_is_guarded(state: TestStore) {
    let server = Server::start(state).await;
    for (path, kind) in [
        ("/admin/compliance/verify/1", "application/json"),
        ("/v1/jobs", "application/problem+json"),
        ("/v1/nothing", "application/problem+json"),
        ("/nothing", "application/json"),
        ("/status", "text/html; charset=utf-8"),
        ("/status/nothing", "text/html; charset=utf-8"),
    ] {
        let answered = server.ask("GET", path, &[], "").await;
        assert_eq!(answered.header("content-type"), kind, "{path}");
        assert_eq!(answered.header("x-content-type-options"), "nosniff");
        assert_eq!(answered.header("cache-control"), "no-store");
        assert_eq!(answered.header("x-frame-options"), "DENY");
        assert_eq!(answered.header("referrer-policy"), "no-referrer");
        assert!(
            answered
                .header("content-security-policy")
                .contains("'none'")
        );
        assert_eq!(answered.header("x-request-id").len(), 36);
    }
    let answered = server.ask("GET", "/v1/jobs", &[], "").await;
    assert_eq!(answered.header("www-authenticate"), "Bearer");
    assert_eq!(answered.json()["status"], 401);
    let text = server.api.services.metrics.text().expect("metrics");
    let line = r#"trailkeeper_http_requests_total{method="GET",route="/v1/jobs",status="401"} 2"#;
    assert!(text.contains(line), "{text}");
}

crate::on_both![every_route_asks_everybody, every_answer_is_guarded];
