//! What the bridge needs from the rest of the program: somewhere to take messages in, and an outbox.

use std::{error::Error, future::Future, time::Duration};

use jiff::Timestamp;
use serde_json::Value;

use crate::trace::TraceParent;

/// Why the store failed. Its chain is logged.
pub type StoreError = Box<dyn Error + Send + Sync>;

/// A request for a job, as it came in. (`source`, `message_id`) is its identity.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who sent it: `app_id`, or the CloudEvents `source`. At most 255 bytes, no control characters.
    pub source: String,
    /// The sender's id for it: `message_id`, or the CloudEvents `id`. At most 255 bytes, no control characters.
    pub message_id: String,
    /// The kind of job: the routing key, or the CloudEvents `type`.
    pub kind: String,
    /// The kind's payload.
    pub payload: Value,
    /// AMQP's priority, 0 to 255.
    pub priority: Option<i64>,
    /// The queue that also wants the outcome.
    pub reply_to: Option<String>,
    /// What the outcome refers to; the message's id unless the sender set another.
    pub correlation_id: Option<String>,
    /// The trace that it belongs to.
    pub trace: Option<TraceParent>,
}

/// A message that was refused. Becomes an event `job.rejected`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Why.
    pub reason: Reason,
    /// In words. Never longer than 1,000 bytes.
    pub detail: String,
    /// Sender, as far as it is known.
    pub source: Option<String>,
    /// Its id, as far as it is known.
    pub message_id: Option<String>,
    /// The kind that it asked for, as far as it is known.
    pub kind: Option<String>,
}

/// Why a message was refused: label of a metric and value of the header `x-trailkeeper-reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No id, so it cannot be told from a duplicate.
    MissingMessageId,
    /// An id, source, kind or reply queue out of bounds.
    InvalidProperty,
    /// Not JSON by its own account.
    InvalidContentType,
    /// Not JSON.
    InvalidJson,
    /// Not CloudEvents 1.0, though it says so.
    InvalidCloudEvent,
    /// More than the largest body.
    TooLarge,
    /// No such kind of job.
    UnknownKind,
    /// The payload does not obey the kind's schema.
    InvalidPayload,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::MissingMessageId,
        Self::InvalidProperty,
        Self::InvalidContentType,
        Self::InvalidJson,
        Self::InvalidCloudEvent,
        Self::TooLarge,
        Self::UnknownKind,
        Self::InvalidPayload,
    ];

    /// In `snake_case`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingMessageId => "missing_message_id",
            Self::InvalidProperty => "invalid_property",
            Self::InvalidContentType => "invalid_content_type",
            Self::InvalidJson => "invalid_json",
            Self::InvalidCloudEvent => "invalid_cloud_event",
            Self::TooLarge => "too_large",
            Self::UnknownKind => "unknown_kind",
            Self::InvalidPayload => "invalid_payload",
        }
    }
}

/// Why a payload was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// [`Reason::UnknownKind`] or [`Reason::InvalidPayload`].
    pub reason: Reason,
    /// In words.
    pub detail: String,
}

/// What a transaction changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TakenIn {
    /// Messages that became jobs.
    pub new: u64,
    /// Messages that were there already.
    pub duplicates: u64,
}

/// Where messages go.
pub trait Intake: Send + Sync + 'static {
    /// Whether the kind exists and the payload obeys its schema. Must not block.
    ///
    /// # Errors
    /// If not.
    fn validate(&self, kind: &str, payload: &Value) -> Result<(), Refusal>;

    /// Whether the store can be written to now. Asked before anything is consumed: each failed attempt counts against
    /// the delivery limit of the messages, so none may be spent on a store that is known to be away.
    fn ready(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// In one transaction: inbox and job rows of messages not seen before (one batch may hold the same message twice),
    /// and `job.rejected` events in the outbox. When it returns `Ok`, all is committed. May be called again with the same
    /// messages, and after an error that came behind the commit.
    fn take_in(
        &self,
        messages: Vec<Message>,
        rejected: Vec<Rejected>,
    ) -> impl Future<Output = Result<TakenIn, StoreError>> + Send;
}

/// Something that has to be published.
#[derive(Debug, Clone, PartialEq)]
pub struct OutgoingEvent {
    /// The outbox's own key.
    pub id: String,
    /// Exchange; empty for a reply.
    pub exchange: String,
    /// Routing key; the queue's name for a reply.
    pub routing_key: String,
    /// Body.
    pub body: Vec<u8>,
    /// Headers, `cloudEvents:id` among them; see [`super::events`].
    pub headers: Vec<(String, String)>,
    /// Such as `application/json`.
    pub content_type: String,
    /// AMQP's correlation id.
    pub correlation_id: Option<String>,
    /// When it was put into the outbox.
    pub created_at: Timestamp,
    /// How often it was tried before: how often [`Outbox::retry`] was called for it.
    pub attempts: i64,
}

impl OutgoingEvent {
    /// Whether it is a reply to one sender.
    #[must_use]
    pub fn is_reply(&self) -> bool {
        self.exchange.is_empty()
    }
}

/// What waits to be published. Entries that were claimed and never reported on (the process died) must become claimable
/// again after a while.
pub trait Outbox: Send + Sync + 'static {
    /// Takes up to `limit` entries that are due, oldest first.
    fn claim(
        &self,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<OutgoingEvent>, StoreError>> + Send;

    /// The broker has these.
    fn published(&self, ids: Vec<String>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// These are due again after the time beside them, with one attempt more.
    fn retry(
        &self,
        entries: Vec<(String, Duration)>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// These will never be published.
    fn dropped(
        &self,
        ids: Vec<String>,
        reason: &str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Returns when something may be due. Returning too often is allowed, too late is not.
    fn wait(&self) -> impl Future<Output = ()> + Send;
}
