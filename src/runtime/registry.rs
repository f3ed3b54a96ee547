//! The job kinds that a program knows, each with its schema.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use schemars::generate::SchemaSettings;
use serde_json::Value;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::job::{Context, Job, JobError, Outcome, Uniqueness};
use crate::{
    state::jobs::{NewJob, new_id},
    trace,
};

/// How many problems of a payload are told; the first ones lead to the others.
const MAX_PROBLEMS: usize = 5;

type Run<S> = fn(Value, Arc<Context<S>>) -> BoxFuture<'static, Result<Outcome, JobError>>;

/// What the configuration says of a kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tuning {
    /// How many run side by side in one worker.
    pub concurrency: Option<usize>,
    /// How long a run may take.
    pub timeout: Option<Duration>,
    /// Attempts before a job is dead.
    pub max_attempts: Option<i64>,
    /// Higher ones go first.
    pub priority: Option<i64>,
}

/// A job kind.
pub struct Kind<S> {
    /// Its name.
    pub name: &'static str,
    /// The queue that its jobs wait in.
    pub queue: &'static str,
    /// How long a run may take.
    pub timeout: Duration,
    /// Whether equal jobs are one.
    pub uniqueness: Uniqueness,
    /// Higher ones go first.
    pub priority: i64,
    /// Attempts before a job is dead.
    pub max_attempts: i64,
    /// How many run side by side in one worker.
    pub concurrency: Option<usize>,
    /// Whether only other jobs may ask for it.
    pub is_internal: bool,
    /// The JSON Schema of its payload.
    pub schema: Value,
    validator: jsonschema::Validator,
    redact: fn(&mut Value),
    pub(super) run: Run<S>,
}

/// Why a job is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// No such kind.
    #[error("there is no job kind {kind:?}{}", suggestion(.nearest.as_deref()))]
    UnknownKind {
        /// What was asked for.
        kind: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// The payload is not as the kind wants it.
    #[error(
        "the payload does not fit {kind}: {problems}; trailkeeper schema {kind} shows what does"
    )]
    Payload {
        /// The kind.
        kind: String,
        /// What is wrong, in words.
        problems: String,
    },
}

/// Whether a text in it, or a name, has the one character that PostgreSQL's `text` cannot hold: a job with it would fail each time
/// it is tried there.
#[must_use]
pub fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(list) => list.iter().any(has_nul),
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| key.contains('\0') || has_nul(value)),
        _ => false,
    }
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| {
        format!("; did you mean {nearest:?}?")
    })
}

/// All job kinds.
pub struct Registry<S> {
    kinds: BTreeMap<&'static str, Kind<S>>,
    max_attempts: i64,
}

impl<S: Send + Sync + 'static> Registry<S> {
    /// An empty registry; jobs get so many attempts unless their kind is told otherwise.
    #[must_use]
    pub fn new(max_attempts: i64) -> Self {
        Self {
            kinds: BTreeMap::new(),
            max_attempts,
        }
    }

    /// Adds a kind.
    #[must_use]
    pub fn with<J: Job<S>>(mut self) -> Self {
        // Nothing is fetched and nothing refers to anything: one self-contained document for each kind.
        let schema = SchemaSettings::draft2020_12()
            .with(|settings| settings.inline_subschemas = true)
            .into_generator()
            .into_root_schema_for::<J>()
            .to_value();
        let validator = jsonschema::validator_for(&schema)
            .unwrap_or_else(|error| panic!("the schema of {} is no schema: {error}", J::KIND));
        let run: Run<S> = |payload, context| {
            Box::pin(async move {
                let job: J = serde_json::from_value(payload).map_err(JobError::fail)?;
                job.run(&context).await
            })
        };
        let kind = Kind {
            name: J::KIND,
            queue: J::QUEUE,
            timeout: J::TIMEOUT,
            uniqueness: J::UNIQUENESS,
            priority: J::PRIORITY,
            max_attempts: self.max_attempts,
            concurrency: J::CONCURRENCY,
            is_internal: J::INTERNAL,
            schema,
            validator,
            redact: J::redact,
            run,
        };
        self.kinds.insert(J::KIND, kind);
        self
    }

    /// Applies what the configuration says of a kind.
    #[must_use]
    pub fn tuned(mut self, name: &str, tuning: &Tuning) -> Self {
        if let Some(kind) = self.kinds.get_mut(name) {
            kind.concurrency = tuning.concurrency.or(kind.concurrency);
            kind.timeout = tuning.timeout.unwrap_or(kind.timeout);
            kind.max_attempts = tuning.max_attempts.unwrap_or(kind.max_attempts);
            kind.priority = tuning.priority.unwrap_or(kind.priority);
        }
        self
    }

    /// All kinds, by name.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind<S>> {
        self.kinds.values()
    }

    /// One kind.
    #[must_use]
    pub fn kind(&self, name: &str) -> Option<&Kind<S>> {
        self.kinds.get(name)
    }

    /// One kind, internal or not.
    ///
    /// # Errors
    /// If there is none of this name, with the name that may have been meant.
    pub fn find(&self, name: &str) -> Result<&Kind<S>, Refusal> {
        self.kind(name).ok_or_else(|| self.unknown(name))
    }

    /// Whether somebody outside may ask for this job.
    ///
    /// # Errors
    /// If there is no such kind for the outside, or the payload does not fit its schema.
    pub fn check(&self, kind: &str, payload: &Value) -> Result<&Kind<S>, Refusal> {
        let found = self.kinds.get(kind).filter(|kind| !kind.is_internal);
        let found = found.ok_or_else(|| self.unknown(kind))?;
        found.check(payload)?;
        Ok(found)
    }

    /// Makes a job that somebody outside asks for.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn new_job(&self, kind: &str, payload: Value, source: &str) -> Result<NewJob, Refusal> {
        Ok(self.check(kind, &payload)?.job(payload, source))
    }

    /// Makes a job that another job asks for.
    ///
    /// # Errors
    /// As [`Self::new_job`], which also refuses kinds that are internal.
    pub fn new_child(&self, kind: &str, payload: Value) -> Result<NewJob, Refusal> {
        let found = self.kinds.get(kind).ok_or_else(|| self.unknown(kind))?;
        found.check(&payload)?;
        Ok(found.job(payload, "job"))
    }

    fn unknown(&self, kind: &str) -> Refusal {
        let known = self.kinds.values().filter(|kind| !kind.is_internal);
        let nearest = known
            .map(|known| (strsim::jaro_winkler(known.name, kind), known.name))
            .filter(|(similarity, _)| *similarity > 0.75)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        Refusal::UnknownKind {
            kind: kind.chars().take(100).collect(),
            nearest: nearest.map(|(_, name)| name.to_owned()),
        }
    }
}

impl<S> Kind<S> {
    /// Checks a payload against the schema.
    ///
    /// # Errors
    /// If it does not fit, naming the first places that do not.
    pub fn check(&self, payload: &Value) -> Result<(), Refusal> {
        let mut problems = String::new();
        for error in self.validator.iter_errors(payload).take(MAX_PROBLEMS) {
            let place = error.instance_path().to_string();
            let separator = if problems.is_empty() { "" } else { "; " };
            // The masked message: what was sent may be personal data.
            let _ = match place.as_str() {
                "" => write!(problems, "{separator}{}", error.masked()),
                place => write!(problems, "{separator}at {place}: {}", error.masked()),
            };
        }
        if problems.is_empty() && has_nul(payload) {
            problems.push_str("it has the character U+0000, which PostgreSQL keeps in no text");
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(Refusal::Payload {
            kind: self.name.to_owned(),
            problems,
        })
    }

    /// What is kept of a payload once its job has succeeded; none where that is all of it.
    #[must_use]
    pub fn redacted(&self, payload: &Value) -> Option<Value> {
        let mut kept = payload.clone();
        (self.redact)(&mut kept);
        (kept != *payload).then_some(kept)
    }

    /// A job of this kind, whose payload has been checked.
    pub(super) fn job(&self, payload: Value, source: &str) -> NewJob {
        let unique_key = match self.uniqueness {
            Uniqueness::None => None,
            Uniqueness::WhileQueued => Some(unique_key(self.name, &payload)),
        };
        NewJob {
            id: new_id(),
            kind: self.name.to_owned(),
            queue: self.queue.to_owned(),
            payload,
            priority: self.priority,
            delay_micros: 0,
            max_attempts: self.max_attempts,
            unique_key,
            source: source.to_owned(),
            fired: None,
            trace: trace::current(),
        }
    }
}

/// Equal for equal kinds and payloads; the order of a payload's keys does not matter, as serde_json sorts them.
fn unique_key(kind: &str, payload: &Value) -> String {
    let mut hash = Sha256::new();
    hash.update(kind.as_bytes());
    hash.update([0]);
    hash.update(payload.to_string().as_bytes());
    let mut key = String::with_capacity(64);
    for byte in hash.finalize() {
        let _ = write!(key, "{byte:02x}");
    }
    key
}
