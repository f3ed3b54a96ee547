//! Messages to send, written in the transaction that they tell of and sent afterwards, at least once.
//!
//! Claiming hides a message for a while instead of locking it: who sends it may take its time or vanish, and then
//! another sends it again under the same id.

use std::time::Duration;

use serde_json::Value;
use sqlx::any::AnyRow;

use super::{StateError, Store, Tx, column, places_from, statement};

/// Where events go.
pub const EVENTS_EXCHANGE: &str = "trailkeeper.events";
/// For how long a message that somebody sends is hidden from others.
const HIDDEN: Duration = Duration::from_secs(60);

/// Something that happened, in the terms of CloudEvents 1.0.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// A UUID; a second delivery has the same.
    pub id: String,
    /// What happened, such as `job.succeeded`; also the routing key.
    pub event_type: String,
    /// What it happened to.
    pub subject: Option<String>,
    /// The details.
    pub data: Value,
}

/// A message to send.
#[derive(Debug, Clone)]
pub struct Outgoing {
    event: Event,
    exchange: String,
    routing_key: String,
    correlation_id: Option<String>,
}

/// A message that is ours to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsent {
    /// Its place in the outbox.
    pub id: i64,
    /// The event's id.
    pub event_id: String,
    /// What happened.
    pub event_type: String,
    /// What it happened to.
    pub subject: Option<String>,
    /// Empty for an answer, which goes straight to a queue.
    pub exchange: String,
    /// The event's type, or the queue that waits for the answer.
    pub routing_key: String,
    /// Which question an answer is to.
    pub correlation_id: Option<String>,
    /// The details as JSON.
    pub body: String,
    /// The trace that it belongs to.
    pub trace: Option<String>,
    /// When it was written, in microseconds since 1970.
    pub created_at: i64,
    /// Which try this is, from 1.
    pub attempts: i64,
}

impl Outgoing {
    /// An event for everybody who listens.
    #[must_use]
    pub fn event(event: &Event) -> Self {
        Self {
            exchange: EVENTS_EXCHANGE.to_owned(),
            routing_key: event.event_type.clone(),
            correlation_id: None,
            event: event.clone(),
        }
    }

    /// The same to one who asked.
    #[must_use]
    pub fn reply(event: &Event, reply_to: String, correlation_id: Option<String>) -> Self {
        Self {
            exchange: String::new(),
            routing_key: reply_to,
            correlation_id,
            event: event.clone(),
        }
    }
}

impl Tx {
    /// Has an event sent to everybody who listens, if anybody sends events at all.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn publish(&mut self, event: &Event) -> Result<(), StateError> {
        if !self.store().publishes_events {
            return Ok(());
        }
        self.send(&Outgoing::event(event)).await
    }

    /// Has a message sent.
    pub(super) async fn send(&mut self, message: &Outgoing) -> Result<(), StateError> {
        let insert = self
            .query(
                "INSERT INTO outbox (event_id, event_type, subject, exchange, routing_key, correlation_id, body, \
                 traceparent, created_at, due_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, {now}, {now})",
            )
            .bind(message.event.id.clone())
            .bind(message.event.event_type.clone())
            .bind(message.event.subject.clone())
            .bind(message.exchange.clone())
            .bind(message.routing_key.clone())
            .bind(message.correlation_id.clone())
            .bind(message.event.data.to_string())
            .bind(self.trace_or(None));
        self.execute(insert).await?;
        self.wake();
        Ok(())
    }
}

impl Store {
    /// Messages that are due, oldest first; hidden from others for a minute.
    ///
    /// # Errors
    /// If the database fails; so all methods here.
    pub async fn claim_outgoing(&self, limit: usize) -> Result<Vec<Unsent>, StateError> {
        // Looked at before anything is locked: most of the time there is nothing.
        let due = self.query("SELECT 1 AS due FROM outbox WHERE due_at <= {now} LIMIT 1");
        if self.read(due).await?.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.begin().await?;
        let update = tx
            .query(
                "UPDATE outbox SET due_at = {now} + $1, attempts = attempts + 1 WHERE id IN \
                 (SELECT id FROM outbox WHERE due_at <= {now} ORDER BY id LIMIT $2 {skip_locked}) \
                 RETURNING id, event_id, event_type, subject, exchange, routing_key, correlation_id, body, \
                 traceparent, created_at, attempts",
            )
            .bind(HIDDEN.as_micros() as i64)
            .bind(limit as i64);
        let rows = tx.fetch(update).await?;
        tx.commit("claim_outgoing").await?;
        let mut unsent = rows
            .iter()
            .map(Unsent::read)
            .collect::<Result<Vec<_>, _>>()?;
        unsent.sort_by_key(|message| message.id);
        Ok(unsent)
    }

    /// Forgets messages that were sent, or that nobody will ever get.
    ///
    /// # Errors
    /// As [`Self::claim_outgoing`].
    pub async fn forget_outgoing(&self, ids: &[i64]) -> Result<(), StateError> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        let sql = format!(
            "DELETE FROM outbox WHERE id IN ({})",
            places_from(1, ids.len())
        );
        let mut delete = statement(sql).persistent(false);
        for &id in ids {
            delete = delete.bind(id);
        }
        tx.execute(delete).await?;
        tx.commit("forget_outgoing").await
    }

    /// Has messages tried again after `delay`.
    ///
    /// # Errors
    /// As [`Self::claim_outgoing`].
    pub async fn postpone_outgoing(&self, ids: &[i64], delay: Duration) -> Result<(), StateError> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        let sql = self.sql(&format!(
            "UPDATE outbox SET due_at = {{now}} + $1 WHERE id IN ({})",
            places_from(2, ids.len())
        ));
        let mut update = statement(sql)
            .persistent(false)
            .bind(delay.as_micros() as i64);
        for &id in ids {
            update = update.bind(id);
        }
        tx.execute(update).await?;
        tx.commit("postpone_outgoing").await
    }

    /// How many messages wait, and since when the oldest does, in microseconds since 1970.
    ///
    /// # Errors
    /// As [`Self::claim_outgoing`].
    pub async fn outbox_depth(&self) -> Result<(i64, Option<i64>), StateError> {
        let select = self.query("SELECT count(*) AS depth, min(created_at) AS oldest FROM outbox");
        let rows = self.read(select).await?;
        let row = &rows[0];
        Ok((column(row, "depth")?, column(row, "oldest")?))
    }
}

impl Unsent {
    fn read(row: &AnyRow) -> Result<Self, StateError> {
        Ok(Self {
            id: column(row, "id")?,
            event_id: column(row, "event_id")?,
            event_type: column(row, "event_type")?,
            subject: column(row, "subject")?,
            exchange: column(row, "exchange")?,
            routing_key: column(row, "routing_key")?,
            correlation_id: column(row, "correlation_id")?,
            body: column(row, "body")?,
            trace: column(row, "traceparent")?,
            created_at: column(row, "created_at")?,
            attempts: column(row, "attempts")?,
        })
    }
}
