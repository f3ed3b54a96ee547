//! A request, and how far it is.

use std::collections::BTreeMap;

use core::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{plan::Plan, policy::Policy};
use crate::{
    ledger::Act,
    state::{StateError, erasures::ErasureRow},
};

/// How far a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was taken in.
    Received,
    /// What it would erase was looked up.
    Planned,
    /// Somebody has to approve the plan.
    AwaitingApproval,
    /// The plan was approved.
    Approved,
    /// Something was erased already.
    Executing,
    /// All is erased but an organisation's newest entry.
    WaitingForHead,
    /// A legal hold keeps it.
    OnHold,
    /// It was carried out.
    Completed,
    /// It will not be carried out.
    Rejected,
    /// It was taken back.
    Cancelled,
}

impl State {
    /// All states, in the order of a request's life.
    pub const ALL: [Self; 10] = [
        Self::Received,
        Self::Planned,
        Self::AwaitingApproval,
        Self::Approved,
        Self::Executing,
        Self::WaitingForHead,
        Self::OnHold,
        Self::Completed,
        Self::Rejected,
        Self::Cancelled,
    ];

    /// As it is kept, and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Planned => "planned",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Approved => "approved",
            Self::Executing => "executing",
            Self::WaitingForHead => "waiting_for_head",
            Self::OnHold => "on_hold",
            Self::Completed => "completed",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing more happens.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Rejected | Self::Cancelled)
    }

    /// Whether something was erased already, so that there is no way back.
    #[must_use]
    pub fn has_begun(self) -> bool {
        matches!(
            self,
            Self::Executing | Self::WaitingForHead | Self::Completed
        )
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What was allowed or found out beforehand.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// A plan may be larger than usual.
    pub allow_large: bool,
    /// The organisation may be left without an owner.
    pub allow_only_owner: bool,
    /// The producer that signed the request, which approves it.
    pub producer: Option<String>,
}

/// What was done with a table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Done {
    /// What: `anonymised`, `deleted`, `detached`.
    pub manner: String,
    /// With how many rows.
    pub rows: u64,
}

/// What was erased so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// By table.
    pub tables: BTreeMap<String, Vec<Done>>,
    /// Tombstones that were kept.
    pub tombstones: u64,
    /// Their entries of the ledger.
    pub batches: Vec<i64>,
    /// The entry of the ledger that says what was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested: Option<i64>,
    /// The entry of the ledger that approves the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<i64>,
    /// Keys of the archive that were destroyed.
    pub destroyed_keys: u64,
    /// Why the user's row was left, without content.
    pub user_kept: Option<String>,
}

impl Progress {
    /// Remembers an entry of the ledger that is needed again.
    pub(super) fn note(&mut self, act: Act, number: i64) {
        match act {
            Act::ErasureRequested => self.requested = Some(number),
            Act::Tombstones => self.batches.push(number),
            Act::ErasureApproved => self.approval = Some(number),
            _ => {}
        }
    }

    /// Adds to what was done with a table.
    pub(super) fn add(&mut self, table: &str, manner: &str, rows: u64) {
        if rows == 0 {
            return;
        }
        let done = self.tables.entry(table.to_owned()).or_default();
        match done.iter_mut().find(|done| done.manner == manner) {
            Some(done) => done.rows += rows,
            None => done.push(Done {
                manner: manner.to_owned(),
                rows,
            }),
        }
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Request {
    /// Its id.
    pub id: String,
    #[serde(skip)]
    pub(super) version: i64,
    /// How far it is.
    pub state: State,
    /// What it waits for, or why it ended.
    pub note: Option<String>,
    /// The subject's organisation.
    pub organization_id: i64,
    /// The subject.
    pub user_id: i64,
    /// A salted hash of the organisation and the address.
    pub subject_ref: String,
    /// As whoever asked numbers it.
    pub reference: Option<String>,
    /// Who asked.
    pub requester: String,
    /// Why.
    pub reason: Option<String>,
    #[serde(skip)]
    pub(super) source: String,
    #[serde(skip)]
    pub(super) signature: Option<String>,
    /// When it was made.
    pub requested_at: Timestamp,
    /// When it came.
    pub received_at: Timestamp,
    /// When it has to be done by.
    pub due_at: Timestamp,
    /// Why it may take longer than a month.
    pub extension: Option<String>,
    /// What is done with which table.
    pub policy: Policy,
    /// What was allowed beforehand.
    pub options: Options,
    /// What would be erased.
    pub plan: Option<Plan>,
    /// The plan's digest.
    pub plan_digest: Option<String>,
    /// Who approved.
    pub approved_by: Option<String>,
    /// When.
    pub approved_at: Option<Timestamp>,
    /// Which plan.
    pub approved_digest: Option<String>,
    /// What was erased so far.
    pub progress: Progress,
    /// The certificate, once it was carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// When it was carried out.
    pub completed_at: Option<Timestamp>,
    /// When somebody was told that time runs out.
    pub warned_at: Option<Timestamp>,
}

impl Request {
    /// Reads what is kept.
    ///
    /// # Errors
    /// If it is not of our making.
    pub fn read(row: ErasureRow) -> Result<Self, StateError> {
        let id = &row.id;
        let corrupt = |what: &str| StateError::Corrupt(format!("an erasure {id} with {what}"));
        let time = |micros: i64| {
            Timestamp::from_microsecond(micros).map_err(|_| corrupt("a time beyond the calendar"))
        };
        let maybe = |micros: Option<i64>| micros.map(time).transpose();
        Ok(Self {
            state: State::from_name(&row.state).ok_or_else(|| corrupt("an unknown state"))?,
            requested_at: time(row.requested_at)?,
            received_at: time(row.received_at)?,
            due_at: time(row.due_at)?,
            approved_at: maybe(row.approved_at)?,
            completed_at: maybe(row.completed_at)?,
            warned_at: maybe(row.warned_at)?,
            policy: parse(&row.policy).ok_or_else(|| corrupt("no policy"))?,
            options: parse(&row.options).ok_or_else(|| corrupt("no options"))?,
            progress: parse(&row.progress).ok_or_else(|| corrupt("no progress"))?,
            plan: match &row.plan {
                Some(plan) => Some(parse(plan).ok_or_else(|| corrupt("no plan"))?),
                None => None,
            },
            id: row.id,
            version: row.version,
            note: row.note,
            organization_id: row.organization_id,
            user_id: row.user_id,
            subject_ref: row.subject_ref,
            reference: row.reference,
            requester: row.requester,
            reason: row.reason,
            source: row.source,
            signature: row.signature,
            extension: row.extension,
            plan_digest: row.plan_digest,
            approved_by: row.approved_by,
            approved_digest: row.approved_digest,
            certificate: row.certificate,
        })
    }

    pub(super) fn to_row(&self) -> ErasureRow {
        let micros = |time: Timestamp| time.as_microsecond();
        ErasureRow {
            id: self.id.clone(),
            version: self.version,
            organization_id: self.organization_id,
            user_id: self.user_id,
            subject_ref: self.subject_ref.clone(),
            reference: self.reference.clone(),
            requester: self.requester.clone(),
            reason: self.reason.clone(),
            source: self.source.clone(),
            signature: self.signature.clone(),
            requested_at: micros(self.requested_at),
            received_at: micros(self.received_at),
            due_at: micros(self.due_at),
            extension: self.extension.clone(),
            state: self.state.name().to_owned(),
            note: self.note.clone(),
            policy: write(&self.policy),
            options: write(&self.options),
            plan: self.plan.as_ref().map(write),
            plan_digest: self.plan_digest.clone(),
            approved_by: self.approved_by.clone(),
            approved_at: self.approved_at.map(micros),
            approved_digest: self.approved_digest.clone(),
            progress: write(&self.progress),
            certificate: self.certificate.clone(),
            completed_at: self.completed_at.map(micros),
            warned_at: self.warned_at.map(micros),
        }
    }

    /// Whether this job or command took it in.
    #[must_use]
    pub fn is_from(&self, source: &str) -> bool {
        self.source == source
    }
}

fn parse<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

/// Types with string keys and nothing that could fail.
fn write(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("numbers, texts and lists")
}
