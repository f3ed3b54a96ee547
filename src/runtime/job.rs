//! What a job kind is, and what a run of it gets and gives.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::state::{
    Store,
    jobs::{Effects, NewJob},
    outbox::Event,
};

/// A kind of job: a struct that holds the payload. `S` is what kinds need from the outside.
pub trait Job<S>: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// Its name, which is also the routing key on AMQP.
    const KIND: &'static str;
    /// The queue that it waits in; a worker can be told to serve some queues only.
    const QUEUE: &'static str = "default";
    /// How long a run may take before it is stopped and counts as failed.
    const TIMEOUT: Duration;
    /// Whether equal jobs are one.
    const UNIQUENESS: Uniqueness = Uniqueness::WhileQueued;
    /// Higher ones go first.
    const PRIORITY: i64 = 0;
    /// How many of them one worker runs side by side; as many as it has room for where `None`.
    const CONCURRENCY: Option<usize> = None;
    /// Whether only other jobs may ask for it.
    const INTERNAL: bool = false;

    /// Takes out of a payload what must not be kept once its job has succeeded. Until then the job may run again and has to see
    /// all of it.
    fn redact(_payload: &mut Value) {}

    /// Does the work. It may be called again for the same job, after a crash for instance.
    fn run(&self, context: &Context<S>) -> impl Future<Output = Result<Outcome, JobError>> + Send;
}

/// Whether equal jobs are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uniqueness {
    /// Every job is one of its own.
    None,
    /// While a job waits to be claimed for the first time, it stands for equal ones.
    WhileQueued,
}

/// Makes a job of a kind from a payload.
pub type Maker = dyn Fn(&str, Value) -> Result<NewJob, JobError> + Send + Sync;

/// What a run gets besides its payload.
pub struct Context<S> {
    /// The job's id.
    pub job_id: String,
    /// Which attempt this is, from 1.
    pub attempt: i64,
    /// When its schedule wanted it.
    pub fire_time: Option<Timestamp>,
    /// What an earlier phase kept while the job waited for its children.
    pub memo: Option<Vec<u8>>,
    /// Our own database.
    pub store: Store,
    /// The outside.
    pub services: Arc<S>,
    /// To be told how far the run is.
    pub progress: Arc<Progress>,
    /// Cancelled when the run is to stop: an operator, a timeout, a shutdown, a lost lease.
    pub cancel: CancellationToken,
    /// The worker's name.
    pub worker: String,
    /// Makes jobs of other kinds.
    pub maker: Arc<Maker>,
}

/// How far a run is; stored with every heartbeat.
#[derive(Debug)]
pub struct Progress {
    done: AtomicI64,
    /// Negative while unknown.
    total: AtomicI64,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            done: AtomicI64::new(0),
            total: AtomicI64::new(-1),
        }
    }
}

impl Progress {
    /// Says how much there is to do.
    pub fn expect(&self, total: i64) {
        self.total.store(total, Relaxed);
    }

    /// Says how much is done.
    pub fn set(&self, done: i64) {
        self.done.store(done, Relaxed);
    }

    /// What is done, and of how much.
    #[must_use]
    pub fn get(&self) -> (i64, Option<i64>) {
        let total = self.total.load(Relaxed);
        (self.done.load(Relaxed), (total >= 0).then_some(total))
    }
}

/// How a run ended that did not fail.
pub enum Outcome {
    /// The job is done.
    Done(Done),
    /// The job goes on when all of these have ended.
    Wait(Wait),
}

/// What a finished job leaves.
#[derive(Default)]
pub struct Done {
    /// What was found: JSON for operators and for whoever asked.
    pub result: Value,
    /// Bytes for the parent, if this is a child.
    pub memo: Option<Vec<u8>>,
    /// Entries or the like that it went through.
    pub done: Option<i64>,
    /// Events beside `job.succeeded`.
    pub events: Vec<Event>,
    /// Writes to our own database that happen together with the end of the job.
    pub effects: Option<Arc<dyn Effects>>,
}

/// A wait for children.
pub struct Wait {
    /// They are queued together with the wait.
    pub children: Vec<NewJob>,
    /// What to know when it is over.
    pub memo: Vec<u8>,
    /// What there is to do in all.
    pub total: Option<i64>,
}

impl Outcome {
    /// Done, with this result.
    #[must_use]
    pub fn done(result: Value) -> Self {
        Self::Done(Done {
            result,
            ..Done::default()
        })
    }
}

/// Why a run failed, and whether another may succeed. There is no `From`: every failure is a decision.
#[derive(Debug)]
pub struct JobError {
    /// Whether to try again.
    pub is_permanent: bool,
    /// Why.
    pub error: anyhow::Error,
}

impl JobError {
    /// It may succeed later: something could not be reached, or was busy.
    pub fn retry(error: impl Into<anyhow::Error>) -> Self {
        Self {
            is_permanent: false,
            error: error.into(),
        }
    }

    /// It will not succeed until somebody changes something.
    pub fn fail(error: impl Into<anyhow::Error>) -> Self {
        Self {
            is_permanent: true,
            error: error.into(),
        }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}
