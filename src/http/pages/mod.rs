//! The status page: what operators look at, and the few things that they may do there.
//!
//! ```text
//! sign-in (token) ──▶ session (cookie) ──▶ page ──▶ form with the session's secret ──▶ the same services as /v1
//! ```
//!
//! Written on the server, without scripts; a page asks for one style sheet and one picture, both from here. What needs scopes under `/v1`
//! needs the same here. Whoever has none sees where they may go instead. Nothing is read from QWED's database but on the page about keys,
//! so that the page is there when QWED is not.

mod archive;
mod assets;
mod erasures;
mod form;
mod home;
mod jobs;
mod keys;
mod organization;
mod reports;
mod schedules;
mod session;
mod shell;
mod strip;

use axum::http::Method;

pub(super) use self::{
    form::guard,
    session::visitor,
    shell::{HOME, NOT_SIGNED_IN, fault},
};
use super::{
    Answer, Doc, Route, Rule,
    route::{Handler, handler},
};
use crate::config::Scope;

/// What the table of routes says of a page; programs have `/v1`.
const DOC: Doc = Doc {
    summary: "A page for people",
    params: &[],
    body: None,
    answer: Answer {
        status: 200,
        about: "The page",
        media: "text/html",
        schema: None,
    },
    faults: &[],
};

fn get(path: &'static str, scope: Scope, handler: Handler) -> Route {
    Route {
        method: Method::GET,
        path,
        rule: Rule::Page(Some(scope)),
        is_long: false,
        doc: DOC,
        handler,
    }
}

fn post(path: &'static str, scope: Scope, handler: Handler) -> Route {
    Route {
        method: Method::POST,
        ..get(path, scope, handler)
    }
}

/// The routes.
pub(super) fn routes() -> Vec<Route> {
    let open = |method, path, why, handler| Route {
        method,
        rule: Rule::Open(why),
        ..get(path, Scope::Read, handler)
    };
    vec![
        open(
            Method::GET,
            "/status/style.css",
            "the look of the sign-in form",
            handler!(assets::style),
        ),
        open(
            Method::GET,
            "/status/icon.svg",
            "the look of the sign-in form",
            handler!(assets::icon),
        ),
        open(
            Method::GET,
            "/status/sign-in",
            "it leads to the form",
            handler!(session::begin),
        ),
        open(
            Method::POST,
            "/status/sign-in",
            "whoever signs in is nobody yet",
            handler!(session::sign_in),
        ),
        Route {
            rule: Rule::Page(None),
            ..post("/status/sign-out", Scope::Read, handler!(session::sign_out))
        },
        get("/status", Scope::TrailsRead, handler!(home::show)),
        get(
            "/status/organizations/{organization}",
            Scope::TrailsRead,
            handler!(organization::show),
        ),
        get("/status/jobs", Scope::JobsRead, handler!(jobs::list)),
        post("/status/jobs", Scope::JobsWrite, handler!(jobs::enqueue)),
        get("/status/jobs/{id}", Scope::JobsRead, handler!(jobs::show)),
        post(
            "/status/jobs/{id}/retry",
            Scope::JobsWrite,
            handler!(jobs::retry),
        ),
        get(
            "/status/schedules",
            Scope::JobsRead,
            handler!(schedules::list),
        ),
        Route {
            is_long: true,
            ..get("/status/keys", Scope::TrailsRead, handler!(keys::list))
        },
        get(
            "/status/erasures",
            Scope::ErasuresRead,
            handler!(erasures::list),
        ),
        get(
            "/status/erasures/{id}",
            Scope::ErasuresRead,
            handler!(erasures::show),
        ),
        get(
            "/status/erasures/{id}/approve",
            Scope::ErasuresApprove,
            handler!(erasures::confirm),
        ),
        post(
            "/status/erasures/{id}/approve",
            Scope::ErasuresApprove,
            handler!(erasures::approve),
        ),
        get(
            "/status/archive",
            Scope::TrailsRead,
            handler!(archive::show),
        ),
        get(
            "/status/reports",
            Scope::TrailsRead,
            handler!(reports::list),
        ),
        get(
            "/status/reports/{id}/{format}",
            Scope::TrailsRead,
            handler!(reports::download),
        ),
        get(
            "/status/anchors/{number}",
            Scope::TrailsRead,
            handler!(archive::anchor),
        ),
        get(
            "/status/anchor-keys",
            Scope::TrailsRead,
            handler!(archive::public_keys),
        ),
    ]
}
