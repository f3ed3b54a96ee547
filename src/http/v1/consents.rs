//! Consents.

use axum::{
    http::{Method, StatusCode},
    response::Response,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{answer, anything, pen};
use crate::{
    config::Scope,
    consent::{Record, RecordError, Recorder, Statement, Subject, standing},
    http::{
        Answer, Call, Doc, Fault, Param, ParamKind, Place, Route, Rule, body::json, route::handler,
    },
    jobs::record_consent,
    runtime::job::JobError,
};

/// What somebody consents to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Consents {
    /// What holds now, by purpose.
    pub standing: Vec<Value>,
    /// What was recorded, the oldest first.
    pub records: Vec<Value>,
}

const fn whose(name: &'static str, kind: ParamKind, about: &'static str) -> Param {
    Param {
        name,
        place: Place::Query,
        kind,
        is_required: false,
        about,
    }
}

/// Whose consents are shown.
const WHOSE: [Param; 4] = [
    Param {
        is_required: true,
        ..whose("organization_id", ParamKind::Integer, "Their organisation")
    },
    whose("user", ParamKind::Integer, "A user of QWED's"),
    whose("email", ParamKind::Text, "An e-mail address"),
    whose("subject", ParamKind::Text, "Any other name"),
];

/// The routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route {
            method: Method::GET,
            path: "/v1/consents",
            rule: Rule::Scope(Scope::ConsentsRead),
            is_long: false,
            doc: Doc {
                summary: "What somebody consents to, and what was recorded of it",
                params: &WHOSE,
                body: None,
                answer: answer("Their consents", |generator| {
                    generator.subschema_for::<Consents>()
                }),
                faults: &[],
            },
            handler: handler!(show),
        },
        Route {
            method: Method::POST,
            path: "/v1/consents",
            rule: Rule::Scope(Scope::ConsentsWrite),
            is_long: false,
            doc: Doc {
                summary: "Record that somebody consents, or takes a consent back",
                params: &[],
                body: Some(|generator| generator.subschema_for::<Statement>()),
                answer: Answer {
                    status: 201,
                    ..answer("The record", anything)
                },
                faults: &[
                    (200, "The record, which was there before"),
                    (409, "No key may sign now"),
                    (422, "The statement cannot be recorded"),
                ],
            },
            handler: handler!(record),
        },
    ]
}

async fn show(call: Call) -> Result<Response, Fault> {
    let number = |name: &str| match call.parameter(name) {
        None => Ok(None),
        Some(text) => {
            let number = text.parse::<i64>().map(Some);
            number.map_err(|_| Fault::bad_request(format!("{name} has to be a number")))
        }
    };
    let organization = number("organization_id")?
        .ok_or_else(|| Fault::bad_request("organization_id has to be given"))?;
    let subjects = [
        number("user")?.map(Subject::User),
        call.parameter("email")
            .map(|it| Subject::Email(it.to_owned())),
        call.parameter("subject")
            .map(|it| Subject::Other(it.to_owned())),
    ];
    let mut records = Vec::new();
    let mut is_anybody = false;
    for subject in subjects.into_iter().flatten() {
        is_anybody = true;
        let (kind, name) = subject.key();
        let store = &call.api.store;
        for row in store.consents_of(organization, kind, &name).await? {
            let record = Record::read(&row).map_err(|problem| {
                let number = row.sequence;
                Fault::conflict(format!("consent record {number} cannot be read: {problem}"))
            })?;
            records.push(record);
        }
    }
    if !is_anybody {
        return Err(Fault::bad_request(
            "whose? Give user, email or subject, or several of them for one person",
        ));
    }
    records.sort_by_key(|record| record.note.sequence);
    // Cannot fail: they have only texts for keys.
    let held = standing(&records);
    let consents = Consents {
        standing: held
            .iter()
            .map(|consent| serde_json::to_value(consent).unwrap_or_default())
            .collect(),
        records: records
            .iter()
            .map(|record| serde_json::to_value(record).unwrap_or_default())
            .collect(),
    };
    Ok(json(StatusCode::OK, &consents))
}

async fn record(call: Call) -> Result<Response, Fault> {
    let statement: Statement = call.document()?;
    let api = &call.api;
    let config = &api.services.config;
    let forward = record_consent::forward(config, &statement, |kind, payload| {
        api.registry
            .new_child(kind, payload)
            .map_err(JobError::fail)
    });
    let forward =
        forward.map_err(|error| Fault::failed("the record cannot be forwarded", &error.error))?;
    let pen = pen(&call)?;
    let scribe = pen.scribe();
    let actor = call.operator()?.actor();
    let recorder = Recorder {
        ring: &api.services.ring,
        actor: &actor,
        now: api.now(),
        scribe: scribe.as_ref(),
        forward: forward.as_ref(),
    };
    let recorded = recorder.record(&api.store, &statement).await;
    let recorded = recorded.map_err(|error| match error {
        RecordError::Rejected(rejection) => {
            Fault::new(StatusCode::UNPROCESSABLE_ENTITY, rejection.to_string())
        }
        RecordError::NoKey => Fault::conflict(RecordError::NoKey.to_string()),
        RecordError::State(error) => error.into(),
    })?;
    let status = match recorded.is_new {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    Ok(json(status, &recorded.record))
}
