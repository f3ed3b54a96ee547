//! The status page, as a browser without a screen would see it. What people see is looked at in a real one (`browser`).

use trailkeeper::{
    config::Scope,
    http::hash_of_token,
    ledger,
    state::{
        jobs::{Filter, State},
        sessions::SessionRow,
        verdicts::Before,
    },
};

use super::{Answered, Browser, NOW, Server, token};
use crate::support::store::TestStore;

impl Server {
    async fn look(&self, browser: &Browser, path: &str) -> Answered {
        self.ask("GET", path, &[("cookie", &browser.cookie)], "")
            .await
    }

    async fn send(&self, browser: &Browser, path: &str, form: &str) -> Answered {
        let form = format!("csrf={}&{form}", browser.csrf);
        self.ask("POST", path, &[("cookie", &browser.cookie)], &form)
            .await
    }
}

fn now_micros() -> i64 {
    NOW.parse::<jiff::Timestamp>()
        .expect("a time")
        .as_microsecond()
}

async fn whoever_signs_in_gets_where_they_wanted(state: TestStore) {
    let server = Server::start(state).await;
    let stranger = server.ask("GET", "/status/jobs?state=dead", &[], "").await;
    assert_eq!(stranger.status, 401);
    assert!(
        stranger
            .body
            .contains(r#"name="next" value="/status/jobs?state=dead""#),
        "{}",
        stranger.body
    );
    assert!(
        !stranger.body.contains("<nav"),
        "nothing is shown to strangers"
    );

    let read = token(Scope::Read);
    for (next, location) in [
        ("/status/jobs?state=dead", "/status/jobs?state=dead"),
        ("/status", "/status"),
        ("https://example.org/", "/status"),
        ("//example.org/status", "/status"),
        ("/statusx", "/status"),
        ("/admin", "/status"),
        ("", "/status"),
    ] {
        let next = url::form_urlencoded::byte_serialize(next.as_bytes()).collect::<String>();
        let form = format!("token={read}&next={next}");
        let answered = server.ask("POST", "/status/sign-in", &[], &form).await;
        assert_eq!(
            (answered.status, answered.header("location")),
            (303, location)
        );
        let cookie = answered.header("set-cookie");
        let attributes = "; Path=/status; Max-Age=43200; HttpOnly; SameSite=Lax";
        assert!(cookie.ends_with(attributes), "{cookie}");
    }
    let behind = [("x-forwarded-proto", "https")];
    let answered = server
        .ask("POST", "/status/sign-in", &behind, &format!("token={read}"))
        .await;
    assert!(answered.header("set-cookie").ends_with("; Secure"));

    for wrong in ["", "x", "trailkeeper_test_gone"] {
        let answered = server
            .ask(
                "POST",
                "/status/sign-in",
                &[],
                &format!("token={wrong}&next=/status/keys"),
            )
            .await;
        assert_eq!(answered.status, 401, "{wrong}");
        let next = r#"name="next" value="/status/keys""#;
        assert!(answered.body.contains(next), "{}", answered.body);
        assert!(
            answered.body.contains("the token is not known"),
            "{}",
            answered.body
        );
        assert_eq!(answered.header("set-cookie"), "");
    }
}

async fn guesses_are_counted(state: TestStore) {
    let server = Server::start_with(state, "refusals_per_minute = 3").await;
    let browser = server.sign_in(&token(Scope::Read)).await;
    for _ in 0..3 {
        let answered = server
            .ask("POST", "/status/sign-in", &[], "token=guess")
            .await;
        assert_eq!(answered.status, 401);
    }
    let right = format!("token={}", token(Scope::Read));
    let answered = server.ask("POST", "/status/sign-in", &[], &right).await;
    assert_eq!(answered.status, 429);
    assert_eq!(answered.header("retry-after"), "20");
    assert_eq!(answered.header("content-type"), "text/html; charset=utf-8");
    // Whoever is in stays in, though somebody guesses from behind the same address.
    assert_eq!(server.look(&browser, "/status").await.status, 200);
    let style = server.ask("GET", "/status/style.css", &[], "").await;
    assert_eq!(style.status, 200);
    let stranger = server.ask("GET", "/status", &[], "").await;
    assert_eq!(stranger.status, 429);
}

/// What verifications of all trails said before a trail was there is not about it, and what cannot be read says nothing.
async fn a_timeline_tells_only_of_its_trail(state: TestStore) {
    let server = Server::start(state).await;
    let now = now_micros();
    let day = 86_400_000_000_i64;
    let first = now - 10 * day;
    server
        .state
        .execute(&format!(
            "INSERT INTO verdict (organization, verdict, since, checked_at, entries, findings, job_id, first_at) \
             VALUES ('7', 'intact', {first}, {now}, 1, 0, 'gone', {first})"
        ))
        .await;
    for (index, (days_ago, organizations, not_intact)) in [
        (20, "[]", "{}"),
        (9, "[]", "{}"),
        (8, "[7]", "{\"7\":\"tampered\"}"),
        (7, "[8]", "{}"),
        (6, "[]", "no json"),
    ]
    .into_iter()
    .enumerate()
    {
        let ended = now - days_ago * day;
        server
            .state
            .execute(&format!(
                "INSERT INTO verification_run (job_id, began_at, ended_at, extent, organizations, verdict, entries, not_intact) \
                 VALUES ('j{index}', {ended}, {ended}, 'whole', '{organizations}', 'intact', 1, '{not_intact}')"
            ))
            .await;
    }
    let browser = server.sign_in(&token(Scope::Read)).await;
    let page = server.look(&browser, "/status/organizations/7").await;
    assert_eq!(page.status, 200, "{}", page.body);
    let says = "the trail was verified on 2: intact on 1, incomplete on 0, tampered on 1.";
    assert!(page.body.contains(says), "{}", page.body);
    assert!(page.body.contains("Its job is not kept any more"));
}

async fn a_session_ends(state: TestStore) {
    let server = Server::start(state).await;
    let store = &server.state.store;
    let browser = server.sign_in(&token(Scope::Read)).await;
    assert_eq!(server.look(&browser, "/status").await.status, 200);
    let left = server.send(&browser, "/status/sign-out", "").await;
    assert_eq!((left.status, left.header("location")), (303, "/status"));
    assert!(
        left.header("set-cookie")
            .starts_with("trailkeeper_session=; Path=/status; Max-Age=0;")
    );
    assert_eq!(
        server.look(&browser, "/status").await.status,
        401,
        "the cookie is worth nothing any more"
    );

    let now = now_micros();
    let session = |id: &str, operator: &str, token: &str, expires_at| SessionRow {
        id_sha256: hash_of_token(id),
        operator: operator.to_owned(),
        token_sha256: hash_of_token(token),
        expires_at,
    };
    let read = token(Scope::Read);
    for (id, session, status) in [
        ("lasts", session("lasts", "read", &read, now + 1), 200),
        ("over", session("over", "read", &read, now), 401),
        (
            "another token",
            session("another token", "read", "rotated", now + 1),
            401,
        ),
        ("nobody", session("nobody", "nobody", &read, now + 1), 401),
        (
            "a token that ended",
            session(
                "a token that ended",
                "gone",
                "trailkeeper_test_gone",
                now + 1,
            ),
            401,
        ),
    ] {
        store
            .insert_session(&session, now - 1)
            .await
            .expect("insert");
        let cookie = format!("other=1; trailkeeper_session={id}");
        let answered = server
            .ask("GET", "/status", &[("cookie", &cookie)], "")
            .await;
        assert_eq!(answered.status, status, "{id}");
    }
    // Signing in sweeps.
    server.sign_in(&read).await;
    assert_eq!(
        store.session(&hash_of_token("over")).await.expect("look"),
        None
    );
    assert!(
        store
            .session(&hash_of_token("lasts"))
            .await
            .expect("look")
            .is_some()
    );
}

async fn other_sites_cannot_send_forms(state: TestStore) {
    let server = Server::start(state).await;
    let browser = server.sign_in(&token(Scope::JobsWrite)).await;
    let other = server.sign_in(&token(Scope::JobsWrite)).await;
    let cookie = [("cookie", browser.cookie.as_str())];
    let fields = "kind=verify_trail&payload=%7B%7D";
    for form in [
        fields.to_owned(),
        format!("csrf=&{fields}"),
        format!("csrf={}&{fields}", other.csrf),
        format!("{fields}&CSRF={}", browser.csrf),
    ] {
        let answered = server.ask("POST", "/status/jobs", &cookie, &form).await;
        assert_eq!(answered.status, 403, "{form}");
    }
    let good = format!("csrf={}&{fields}", browser.csrf);
    let cross = [cookie[0], ("sec-fetch-site", "cross-site")];
    assert_eq!(
        server
            .ask("POST", "/status/jobs", &cross, &good)
            .await
            .status,
        403
    );
    // Nor sign somebody in as somebody else.
    let form = format!("token={}", token(Scope::Read));
    let answered = server
        .ask("POST", "/status/sign-in", &cross[1..], &form)
        .await;
    assert_eq!(answered.status, 403);
    // A bearer's token opens no page, and a cookie no route of programs.
    let bearer = format!("Bearer {}", token(Scope::Read));
    assert_eq!(
        server
            .ask("GET", "/status", &[("authorization", &bearer)], "")
            .await
            .status,
        401
    );
    assert_eq!(server.ask("GET", "/v1/jobs", &cookie, "").await.status, 401);

    let same = [cookie[0], ("sec-fetch-site", "same-origin")];
    assert_eq!(
        server
            .ask("POST", "/status/jobs", &same, &good)
            .await
            .status,
        303
    );
    let filter = Filter {
        states: Vec::new(),
        kind: None,
        parent: None,
        limit: 10,
    };
    let jobs = server.state.store.jobs(&filter).await.expect("list");
    assert_eq!(jobs.len(), 1, "only what was meant");
    assert_eq!(jobs[0].source, "operator jobs-write");
}

async fn jobs_are_run_from_pages(state: TestStore) {
    let server = Server::start(state).await;
    let browser = server.sign_in(&token(Scope::JobsWrite)).await;
    let by_schedule = server
        .send(&browser, "/status/jobs", "schedule=nightly_verification")
        .await;
    assert_eq!(by_schedule.status, 303, "{}", by_schedule.body);
    // Who may not look at jobs is not sent to one.
    assert_eq!(by_schedule.header("location"), "/status");
    let store = &server.state.store;
    let filter = Filter {
        states: Vec::new(),
        kind: None,
        parent: None,
        limit: 10,
    };
    let job = store.jobs(&filter).await.expect("list").remove(0);
    let id = job.id.clone();
    assert_eq!((job.kind.as_str(), job.schedule), ("verify_trail", None));

    for (form, status, says) in [
        ("schedule=none", 404, "there is no such schedule"),
        ("kind=verify_trial&payload=%7B%7D", 422, "did you mean"),
        ("kind=verify_trail&payload=%7B", 422, "no JSON"),
        (
            "kind=verify_trail&payload=%7B%22x%22%3A1%7D",
            422,
            "does not fit",
        ),
        ("", 422, "a kind has to be chosen"),
    ] {
        let answered = server.send(&browser, "/status/jobs", form).await;
        assert_eq!(answered.status, status, "{form}");
        assert!(answered.body.contains(says), "{form}: {}", answered.body);
    }
    // It does not wait for anything and so can be cancelled; then it is run again.
    store.cancel(&id).await.expect("cancel");
    let retried = server
        .send(&browser, &format!("/status/jobs/{id}/retry"), "")
        .await;
    assert_eq!(retried.status, 303, "{}", retried.body);
    let job = store.job(&id).await.expect("look").expect("a job");
    assert_eq!(job.state, State::Queued);
    let again = server
        .send(&browser, &format!("/status/jobs/{id}/retry"), "")
        .await;
    assert_eq!(again.status, 409);

    let key = [server.key.verifier()];
    let rows = store.ledger_after(0, 100).await.expect("read");
    let acts = rows
        .iter()
        .map(|row| ledger::open(row, "trailkeeper", &key).expect("authentic"));
    let acts: Vec<_> = acts.map(|entry| (entry.act, entry.actor)).collect();
    let actor = "operator jobs-write".to_owned();
    assert_eq!(
        acts,
        [
            ("job.enqueued".to_owned(), actor.clone()),
            ("job.retried".to_owned(), actor)
        ]
    );
}

/// What databases hold is text and nothing else.
async fn foreign_text_stays_text(state: TestStore) {
    let server = Server::start(state).await;
    let writer = server.sign_in(&token(Scope::JobsWrite)).await;
    let browser = server.sign_in(&token(Scope::Read)).await;
    let payload = "{\"organizations\":[7],\"period\":{\"start\":\"<script>alert(1)</script>\"}}";
    let payload: String = url::form_urlencoded::byte_serialize(payload.as_bytes()).collect();
    let refused = server
        .send(
            &writer,
            "/status/jobs",
            &format!("kind=%3Cimg%20src%3Dx%3E&payload={payload}"),
        )
        .await;
    assert_eq!(refused.status, 422);
    assert!(!refused.body.contains("<img"), "{}", refused.body);
    let store = &server.state.store;
    let mut tx = store.begin().await.expect("begin");
    let evil = "<script>alert(1)</script>";
    let before: Before = tx
        .note_verdict(evil, "tampered", 1, 1, evil)
        .await
        .expect("note");
    assert_eq!(before.verdict, None);
    tx.commit("test").await.expect("commit");
    let page = server.look(&browser, "/status").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("&#60;script&#62;"), "{}", page.body);
    assert!(!page.body.contains("<script"), "{}", page.body);
    let policy = page.header("content-security-policy");
    assert_eq!(
        policy,
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
}

async fn pages_show_only_where_one_may_go(state: TestStore) {
    let server = Server::start(state).await;
    let browser = server.sign_in(&token(Scope::JobsRead)).await;
    let refused = server.look(&browser, "/status").await;
    assert_eq!(refused.status, 403);
    assert!(
        refused
            .body
            .contains("the token lacks the scope trails:read"),
        "{}",
        refused.body
    );
    assert!(refused.body.contains(r#"href="/status/jobs""#));
    assert!(!refused.body.contains(r#"href="/status/erasures""#));
    let schedules = server.look(&browser, "/status/schedules").await;
    assert!(schedules.body.contains("nightly_verification"));
    assert!(
        !schedules.body.contains("Run now"),
        "one who may only read has no buttons"
    );
    let missing = server.look(&browser, "/status/jobs/none").await;
    assert_eq!(missing.status, 404);
    for asset in ["/status/style.css", "/status/icon.svg"] {
        let answered = server.ask("GET", asset, &[], "").await;
        assert_eq!(answered.status, 200, "{asset}");
        assert!(!answered.body.contains("http:") || asset.ends_with("svg"));
    }
}

crate::on_both![
    whoever_signs_in_gets_where_they_wanted,
    guesses_are_counted,
    a_timeline_tells_only_of_its_trail,
    a_session_ends,
    other_sites_cannot_send_forms,
    jobs_are_run_from_pages,
    foreign_text_stays_text,
    pages_show_only_where_one_may_go,
];
