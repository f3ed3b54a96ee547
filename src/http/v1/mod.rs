//! Our own interface for operators.

pub mod consents;
pub mod erasures;
pub mod jobs;
pub mod reports;
pub mod schedules;
pub mod trails;

use jiff::Timestamp;
use schemars::{Schema, SchemaGenerator};

pub(in crate::http) use self::{
    erasures::office,
    jobs::{find_job, wanted_state},
    reports::rendered,
    schedules::all_schedules,
    trails::check_keys,
};
use super::{Answer, Call, Fault, Param, ParamKind, Place, Route};
use crate::{anchor, checkpoint::note::SecretKey, ledger::Scribe, operators::Desk};

/// What lists show at most.
const MAX_LIMIT: i64 = 1000;
/// What they show unless they are told.
const DEFAULT_LIMIT: i64 = 100;

const LIMIT: Param = Param {
    name: "limit",
    place: Place::Query,
    kind: ParamKind::Integer,
    is_required: false,
    about: "How many at most, 1 to 1000; 100 unless it is given",
};

/// The routes.
#[must_use]
pub fn routes() -> Vec<Route> {
    let mut routes = jobs::routes();
    routes.extend(schedules::routes());
    routes.extend(trails::routes());
    routes.extend(reports::routes());
    routes.extend(erasures::routes());
    routes.extend(consents::routes());
    routes
}

const fn answer(about: &'static str, schema: fn(&mut SchemaGenerator) -> Schema) -> Answer {
    Answer {
        status: 200,
        about,
        media: "application/json",
        schema: Some(schema),
    }
}

/// A document whose fields the command line's own documents explain.
fn anything(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({"type": "object"})
}

/// How many a list is to show.
fn limit(call: &Call) -> Result<i64, Fault> {
    let Some(text) = call.parameter("limit") else {
        return Ok(DEFAULT_LIMIT);
    };
    let limit = text.parse().ok();
    let limit = limit.filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| Fault::bad_request(format!("limit has to be 1 to {MAX_LIMIT}")))
}

/// Microseconds since 1970 as a time.
fn at(micros: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(micros).ok()
}

/// What an operator's acts are written into the ledger with.
pub(in crate::http) struct Pen {
    origin: String,
    key: Option<SecretKey>,
    actor: String,
    now: Timestamp,
}

impl Pen {
    /// Where the operator's orders about jobs are taken.
    pub(in crate::http) fn desk<'a>(&'a self, call: &'a Call) -> Desk<'a> {
        Desk {
            store: &call.api.store,
            scribe: self.scribe(),
        }
    }

    fn scribe(&self) -> Option<Scribe<'_>> {
        Some(Scribe {
            origin: &self.origin,
            key: self.key.as_ref()?,
            actor: &self.actor,
            now: self.now,
        })
    }
}

/// A pen; one that does not write where there is no key that signs entries, as with jobs.
pub(in crate::http) fn pen(call: &Call) -> Result<Pen, Fault> {
    let config = &call.api.services.config;
    let key = anchor::load_key(&config.anchor_key_file())
        .map_err(|error| Fault::failed("the ledger's key cannot be read", &error.into()))?;
    Ok(Pen {
        origin: config.anchors.origin.clone(),
        key,
        actor: call.operator()?.actor(),
        now: call.api.now(),
    })
}
