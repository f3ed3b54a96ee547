//! Jobs as rows, and every change of their state.
//!
//! ```text
//!            ┌───────── released: a clean shutdown ────────┐
//!            ▼                                             │
//! enqueue → queued ── claim ──→ running ── finish ──→ succeeded | cancelled
//!            ▲                   │  │ └─ attempts used up ─→ dead
//!            │   all children    │  └─ failed, or its worker vanished → retrying ── claim → …
//!            └── have ended ── waits for children
//! ```
//!
//! Whoever runs a job holds a lease and the fence number of its claim. Every later write names both, so that a
//! worker that was believed dead, and wakes up, can no longer change anything.

mod admin;
mod claim;
mod enqueue;
mod finish;
mod lease;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::any::AnyRow;
use uuid::Uuid;

pub use self::{
    admin::{Filter, JobView},
    claim::{Claimed, Room},
    enqueue::Enqueued,
    finish::{Effects, Ending, Finish, Finished},
    lease::{Advance, Held, Rescued},
};
use super::{StateError, column};
use crate::trace::TraceParent;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits to be claimed.
    Queued,
    /// A worker runs it, or it waits for its children.
    Running,
    /// Failed, and waits for its next attempt.
    Retrying,
    /// Done. What it found, good or bad, is its outcome.
    Succeeded,
    /// Failed for good; kept until an operator has looked.
    Dead,
    /// Stopped by an operator.
    Cancelled,
}

impl State {
    /// All states, in the order of a job's life.
    pub const ALL: [Self; 6] = [
        Self::Queued,
        Self::Running,
        Self::Retrying,
        Self::Succeeded,
        Self::Dead,
        Self::Cancelled,
    ];

    /// As it stands in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Succeeded => "succeeded",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing will change it any more but an operator.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Dead | Self::Cancelled)
    }

    fn read(row: &AnyRow) -> Result<Self, StateError> {
        let name: &str = column(row, "state")?;
        Self::ALL
            .into_iter()
            .find(|state| state.name() == name)
            .ok_or_else(|| StateError::Corrupt(format!("a job in the state {name:?}")))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A job that is to be queued.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// A UUID of version 7, made by whoever enqueues, so that enqueueing again after a lost answer changes nothing.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// Which workers may claim it.
    pub queue: String,
    /// What the kind's struct deserialises from.
    pub payload: Value,
    /// Higher ones are claimed first.
    pub priority: i64,
    /// How long it stays hidden, in microseconds.
    pub delay_micros: i64,
    /// Attempts before it is dead.
    pub max_attempts: i64,
    /// An equal key that is already queued stands for this job as well.
    pub unique_key: Option<String>,
    /// Who wants it: `cli`, `schedule:NAME`, or a message's source.
    pub source: String,
    /// The schedule that made it, and for when.
    pub fired: Option<(String, i64)>,
    /// The trace that it belongs to; none for the one of the transaction that queues it.
    pub trace: Option<TraceParent>,
}

/// A new job's id: a UUID of version 7, so that ids sort by the time of their making.
#[must_use]
pub fn new_id() -> String {
    Uuid::now_v7().to_string()
}

fn json(text: &str) -> Result<Value, StateError> {
    serde_json::from_str(text)
        .map_err(|error| StateError::Corrupt(format!("a document that is no JSON: {error}")))
}

fn optional_json(text: Option<&str>) -> Result<Option<Value>, StateError> {
    text.map(json).transpose()
}
