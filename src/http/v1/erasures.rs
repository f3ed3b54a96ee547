//! Requests for erasure.

use std::sync::Arc;

use axum::{
    http::{Method, StatusCode},
    response::Response,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{LIMIT, answer, anything, limit};
use crate::{
    anchor::{self, Keys},
    config::Scope,
    erasure::{self, Asked, ErasureError, Office, Options, Override, Request, State, Taken},
    http::{
        Answer, Call, Doc, Fault, Param, ParamKind, Place, Route, Rule, body::json, route::handler,
    },
    progress::Progress,
    state::jobs::new_id,
};

const ID: Param = Param {
    name: "id",
    place: Place::Path,
    kind: ParamKind::Text,
    is_required: true,
    about: "The request",
};
const UNKNOWN: (u16, &str) = (404, "There is no such request");

/// A request for erasure. Either `user` or `email` says whom it is about.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// The subject's organisation.
    pub organization_id: i64,
    /// The subject's id.
    #[serde(default)]
    pub user: Option<i64>,
    /// The subject's e-mail address.
    #[serde(default)]
    pub email: Option<String>,
    /// As whoever asks numbers it. It stays in the ledger: nobody's name or address belongs here.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    pub reference: Option<String>,
    /// When it was made (RFC 3339); now where that is not given.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub requested_at: Option<Timestamp>,
    /// Why.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    pub reason: Option<String>,
    /// What is to be done otherwise than configured.
    #[serde(default)]
    pub policy: Override,
    /// A plan may be larger than usual.
    #[serde(default)]
    pub allow_large: bool,
    /// The organisation may be left without an owner.
    #[serde(default)]
    pub allow_only_owner: bool,
    /// The organisation need not be active.
    #[serde(default)]
    pub allow_inactive: bool,
}

/// Which plan is approved.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The plan's digest, or its first twelve characters at least.
    pub plan: String,
    /// The plan may be larger than usual.
    #[serde(default)]
    pub allow_large: bool,
}

/// What became of a submission.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Submitted {
    /// `new`; `known` where there is one about the subject that has not ended; `done` where they were erased before.
    pub outcome: &'static str,
    /// The request.
    #[schemars(with = "Value")]
    pub request: Value,
}

/// Requests.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Requests {
    /// Those that fit, by id.
    pub requests: Vec<Value>,
}

/// The routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route {
            method: Method::GET,
            path: "/v1/erasures",
            rule: Rule::Scope(Scope::ErasuresRead),
            is_long: false,
            doc: Doc {
                summary: "List requests for erasure",
                params: &[
                    Param {
                        name: "state",
                        place: Place::Query,
                        kind: ParamKind::Text,
                        is_required: false,
                        about: "Only requests in this state, such as awaiting_approval",
                    },
                    Param {
                        name: "after",
                        place: Place::Query,
                        kind: ParamKind::Text,
                        is_required: false,
                        about: "Only requests behind this one",
                    },
                    LIMIT,
                ],
                body: None,
                answer: answer("The requests", |generator| {
                    generator.subschema_for::<Requests>()
                }),
                faults: &[],
            },
            handler: handler!(list),
        },
        Route {
            method: Method::POST,
            path: "/v1/erasures",
            rule: Rule::Scope(Scope::ErasuresWrite),
            is_long: true,
            doc: Doc {
                summary: "Submit a request for erasure, and plan it; nothing is erased yet",
                params: &[],
                body: Some(|generator| generator.subschema_for::<Submission>()),
                answer: Answer {
                    status: 201,
                    ..answer("The request with its plan", |generator| {
                        generator.subschema_for::<Submitted>()
                    })
                },
                faults: &[
                    (200, "The request, which was there before"),
                    (409, "There is no key that signs, or somebody else is at it"),
                    (422, "It cannot be followed"),
                ],
            },
            handler: handler!(submit),
        },
        Route {
            method: Method::GET,
            path: "/v1/erasures/{id}",
            rule: Rule::Scope(Scope::ErasuresRead),
            is_long: false,
            doc: Doc {
                summary: "Show a request for erasure with its plan",
                params: &[ID],
                body: None,
                answer: answer("The request", anything),
                faults: &[UNKNOWN],
            },
            handler: handler!(show),
        },
        Route {
            method: Method::POST,
            path: "/v1/erasures/{id}/plan",
            rule: Rule::Scope(Scope::ErasuresWrite),
            is_long: true,
            doc: Doc {
                summary: "Look up anew what a request would erase",
                params: &[ID],
                body: None,
                answer: answer("The request with its plan", anything),
                faults: &[UNKNOWN, (409, "There is nothing left to plan")],
            },
            handler: handler!(plan),
        },
        Route {
            method: Method::POST,
            path: "/v1/erasures/{id}/approve",
            rule: Rule::Scope(Scope::ErasuresApprove),
            is_long: false,
            doc: Doc {
                summary: "Approve the plan with this digest; it is carried out within minutes",
                params: &[ID],
                body: Some(|generator| generator.subschema_for::<Approval>()),
                answer: answer("The request", anything),
                faults: &[
                    UNKNOWN,
                    (409, "The plan is another, or waits for no approval"),
                ],
            },
            handler: handler!(approve),
        },
    ]
}

impl From<ErasureError> for Fault {
    fn from(error: ErasureError) -> Self {
        match error {
            ErasureError::Unknown(_) => Self::not_found("there is no such request"),
            ErasureError::Refused(why) => Self::conflict(why),
            ErasureError::Conflict => {
                Self::conflict("somebody else changed the request; look again")
            }
            error => Self::failed("the request for erasure cannot be worked on", &error.into()),
        }
    }
}

/// What erasures work with, on behalf of the operator.
pub(in crate::http) fn office(call: &Call) -> Result<Office, Fault> {
    let api = &call.api;
    let config = &api.services.config;
    let key = anchor::load_key(&config.anchor_key_file())
        .map_err(|error| Fault::failed("the anchor key cannot be read", &error.into()))?;
    let key = key.ok_or_else(|| {
        Fault::conflict("nothing is erased without an anchor key, which signs tombstones")
    })?;
    Ok(Office {
        store: api.store.clone(),
        qwed: api.services.qwed.clone(),
        erase: api.services.erase.clone(),
        keys: Keys::new(key, &config.anchors.public_keys),
        origin: config.anchors.origin.clone(),
        ring: Arc::clone(&api.services.ring),
        settings: config.erasure.clone(),
        actor: call.operator()?.actor(),
        now: api.now(),
    })
}

async fn list(call: Call) -> Result<Response, Fault> {
    let state = call.parameter("state");
    if state.is_some_and(|name| State::from_name(name).is_none()) {
        return Err(Fault::bad_request("there is no such state of requests"));
    }
    let limit = u32::try_from(limit(&call)?).unwrap_or(1);
    let after = call.parameter("after").unwrap_or_default();
    let rows = call.api.store.erasures_after(state, after, limit).await?;
    let read = |row| -> Result<Value, Fault> { Ok(document(&Request::read(row)?)) };
    let requests: Result<Vec<Value>, Fault> = rows.into_iter().map(read).collect();
    let requests = requests?;
    Ok(json(StatusCode::OK, &Requests { requests }))
}

fn document(request: &Request) -> Value {
    // Cannot fail: it has only texts for keys.
    serde_json::to_value(request).unwrap_or_default()
}

async fn find(call: &Call) -> Result<Request, Fault> {
    let row = call.api.store.erasure(call.placeholder("id")).await?;
    let row = row.ok_or_else(|| Fault::not_found("there is no such request"))?;
    Ok(Request::read(row)?)
}

async fn show(call: Call) -> Result<Response, Fault> {
    Ok(json(StatusCode::OK, &find(&call).await?))
}

async fn submit(call: Call) -> Result<Response, Fault> {
    let submission: Submission = call.document()?;
    let user = match (submission.user, submission.email) {
        (Some(user), None) => Ok(user),
        (None, Some(email)) => Err(email),
        _ => {
            return Err(Fault::bad_request(
                "either \"user\" or \"email\" has to be given, and not both",
            ));
        }
    };
    // As for jobs that say the same.
    let length = |text: &Option<String>| text.as_ref().map(|text| text.chars().count());
    if length(&submission.reference).is_some_and(|length| !(1..=200).contains(&length)) {
        return Err(Fault::bad_request(
            "reference has to have 1 to 200 characters",
        ));
    }
    if length(&submission.reason).is_some_and(|length| length > 1000) {
        return Err(Fault::bad_request("reason has more than 1000 characters"));
    }
    let office = office(&call)?;
    let (organization_id, reference) = (submission.organization_id, submission.reference);
    let asked = Asked {
        organization_id,
        user,
        reference: reference.clone(),
        requested_at: submission.requested_at,
        reason: submission.reason,
        requester: office.actor.clone(),
        policy: submission.policy,
        options: Options {
            allow_large: submission.allow_large,
            allow_only_owner: submission.allow_only_owner,
            producer: None,
        },
        allow_inactive: submission.allow_inactive,
        signature: None,
        source: format!("http {}", new_id()),
    };
    let (outcome, status, request) = match erasure::take_in(&office, asked).await? {
        Taken::New(mut request) => {
            erasure::plan(&office, &mut request, &Arc::new(Progress::default())).await?;
            ("new", StatusCode::CREATED, request)
        }
        Taken::Known(request) => ("known", StatusCode::OK, request),
        Taken::Done(request) => ("done", StatusCode::OK, request),
        Taken::Refused(refusal) => {
            let mut tx = office.store.begin().await?;
            let reference = reference.as_deref();
            let event =
                erasure::refuse(&office, &mut tx, organization_id, reference, refusal).await?;
            tx.publish(&event).await?;
            tx.commit("erasure refusal").await?;
            let detail = format!("{}: {}", refusal.name(), refusal.explain());
            return Err(Fault::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
        }
    };
    let request = document(&request);
    Ok(json(status, &Submitted { outcome, request }))
}

async fn plan(call: Call) -> Result<Response, Fault> {
    let mut request = find(&call).await?;
    let office = office(&call)?;
    erasure::plan(&office, &mut request, &Arc::new(Progress::default())).await?;
    Ok(json(StatusCode::OK, &request))
}

async fn approve(call: Call) -> Result<Response, Fault> {
    let approval: Approval = call.document()?;
    let mut request = find(&call).await?;
    let office = office(&call)?;
    erasure::approve(&office, &mut request, &approval.plan, approval.allow_large).await?;
    Ok(json(StatusCode::OK, &request))
}
