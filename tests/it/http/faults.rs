//! Operators' orders whose write is broken in both ways: the job and the ledger's entry are both there or neither, and whoever asks
//! again gets what they asked for once.

use trailkeeper::{
    config::Scope,
    fault::{self, Way},
    state::jobs::Ending,
};

use super::{Answered, Server, token};
use crate::{
    state::faults::{WAYS, claim, finish},
    support::store::{TestStore, job},
};

crate::on_both![
    queueing_is_broken,
    cancelling_is_broken,
    trying_again_is_broken,
    signing_in_and_out_is_broken,
];

async fn order(server: &Server, path: &str, body: &str) -> Answered {
    server.operate(Scope::JobsWrite, "POST", path, body).await
}

/// How often an act stands in the ledger.
async fn entries(server: &Server, act: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM ledger WHERE act = '{act}'");
    server.state.number(&sql).await
}

/// A parent that waits for two children; answers its id.
async fn family(server: &Server) -> String {
    let (store, parent) = (&server.state.store, job("parent"));
    let queued = store.enqueue(std::slice::from_ref(&parent)).await;
    queued.expect("enqueue");
    let claimed = claim(store).await.expect("claim").remove(0);
    assert_eq!(claimed.id, parent.id);
    let waits = Ending::Waits {
        children: vec![job("0"), job("1")],
        memo: vec![1],
        total: None,
    };
    let finished = store.finish(&[finish(&claimed, waits)]).await;
    finished.expect("finish");
    parent.id
}

/// How many jobs of a family are in a state, the parent among them.
async fn members(server: &Server, parent: &str, state: &str) -> i64 {
    let sql = format!(
        "SELECT count(*) FROM job WHERE (id = '{parent}' OR parent_id = '{parent}') AND state = '{state}'"
    );
    server.state.number(&sql).await
}

/// Breaks the next write of this name, and asks: the server says that it failed, whichever way it did.
async fn broken(server: &Server, write: &'static str, way: Way, path: &str, body: &str) {
    fault::set(write, way, 1);
    let answered = order(server, path, body).await;
    assert_eq!(fault::left(write), 0, "{write} was written");
    assert_eq!(answered.status, 503, "{way:?}: {}", answered.body);
    assert_eq!(answered.header("retry-after"), "1");
}

async fn queueing_is_broken(state: TestStore) {
    let server = Server::start(state).await;
    for (number, way) in (1..).zip(WAYS) {
        let body =
            format!(r#"{{"kind": "verify_trail", "payload": {{"organizations": [{number}]}}}}"#);
        let jobs = async || server.state.number("SELECT count(*) FROM job").await;
        let (jobs_before, entries_before) = (jobs().await, entries(&server, "job.enqueued").await);
        let there = i64::from(way == Way::FailedButPersisted);
        broken(&server, "operator enqueue", way, "/v1/jobs", &body).await;
        assert_eq!(jobs().await - jobs_before, there, "{way:?}");
        let written = entries(&server, "job.enqueued").await - entries_before;
        assert_eq!(written, there, "{way:?}");

        let again = order(&server, "/v1/jobs", &body).await;
        assert_eq!(again.status, 202, "{}", again.body);
        assert_eq!(again.json()["new"], way == Way::Failed, "{way:?}");
        assert_eq!(jobs().await - jobs_before, 1, "{way:?}");
        // Each order that was answered has its entry, as one that found its job there.
        let written = entries(&server, "job.enqueued").await - entries_before;
        assert_eq!(written, there + 1, "{way:?}");
    }
}

async fn cancelling_is_broken(state: TestStore) {
    let server = Server::start(state).await;
    for (number, way) in (1..).zip(WAYS) {
        let parent = family(&server).await;
        let path = format!("/v1/jobs/{parent}/cancel");
        broken(&server, "operator cancel", way, &path, "").await;
        let (cancelled, written) = match way {
            Way::Failed => (0, number - 1),
            Way::FailedButPersisted => (3, number),
        };
        assert_eq!(members(&server, &parent, "cancelled").await, cancelled);
        assert_eq!(
            members(&server, &parent, "queued").await,
            2 - cancelled.min(2)
        );
        assert_eq!(entries(&server, "job.cancelled").await, written, "{way:?}");

        let again = order(&server, &path, "").await;
        let expected = match way {
            Way::Failed => 200,
            // It has ended: there is nothing left to cancel.
            Way::FailedButPersisted => 409,
        };
        assert_eq!(again.status, expected, "{way:?}: {}", again.body);
        assert_eq!(members(&server, &parent, "cancelled").await, 3, "{way:?}");
        assert_eq!(entries(&server, "job.cancelled").await, number, "{way:?}");
    }
}

async fn trying_again_is_broken(state: TestStore) {
    let server = Server::start(state).await;
    for (number, way) in (1..).zip(WAYS) {
        let parent = family(&server).await;
        let cancelled = order(&server, &format!("/v1/jobs/{parent}/cancel"), "").await;
        assert_eq!(cancelled.status, 200, "{}", cancelled.body);
        let path = format!("/v1/jobs/{parent}/retry");
        broken(&server, "operator retry", way, &path, "").await;
        // Its plan is forgotten together with its children, and it makes a new one.
        let (cancelled, queued, written) = match way {
            Way::Failed => (3, 0, number - 1),
            Way::FailedButPersisted => (0, 1, number),
        };
        assert_eq!(members(&server, &parent, "cancelled").await, cancelled);
        assert_eq!(members(&server, &parent, "queued").await, queued, "{way:?}");
        assert_eq!(entries(&server, "job.retried").await, written, "{way:?}");

        let again = order(&server, &path, "").await;
        let expected = match way {
            Way::Failed => 200,
            // It waits already.
            Way::FailedButPersisted => 409,
        };
        assert_eq!(again.status, expected, "{way:?}: {}", again.body);
        assert_eq!(members(&server, &parent, "cancelled").await, 0, "{way:?}");
        assert_eq!(members(&server, &parent, "queued").await, 1, "{way:?}");
        assert_eq!(entries(&server, "job.retried").await, number, "{way:?}");
        // It would be claimed as the next parent.
        let all = claim(&server.state.store).await.expect("claim");
        assert_eq!(all.len(), 1, "{way:?}");
    }
}

/// Nobody is told to be in who is not, nor to be out who is in.
async fn signing_in_and_out_is_broken(state: TestStore) {
    let server = Server::start(state).await;
    let right = format!("token={}", token(Scope::Read));
    let sessions = async || {
        server
            .state
            .number("SELECT count(*) FROM http_session")
            .await
    };
    for way in WAYS {
        let before = sessions().await;
        fault::set("sign in", way, 1);
        let answered = server.ask("POST", "/status/sign-in", &[], &right).await;
        assert_eq!(fault::left("sign in"), 0);
        assert_eq!(
            (answered.status, answered.header("set-cookie")),
            (503, ""),
            "{way:?}"
        );
        // One that nobody has the secret of ends by itself.
        let there = i64::from(way == Way::FailedButPersisted);
        assert_eq!(sessions().await - before, there, "{way:?}");

        let browser = server.sign_in(&token(Scope::Read)).await;
        let cookie = [("cookie", browser.cookie.as_str())];
        let form = format!("csrf={}", browser.csrf);
        fault::set("sign out", way, 1);
        let answered = server.ask("POST", "/status/sign-out", &cookie, &form).await;
        assert_eq!(fault::left("sign out"), 0);
        assert_eq!(
            (answered.status, answered.header("set-cookie")),
            (503, ""),
            "{way:?}"
        );
        let seen = server.ask("GET", "/status", &cookie, "").await.status;
        let still = if way == Way::FailedButPersisted {
            401
        } else {
            200
        };
        assert_eq!(seen, still, "{way:?}");
    }
}
