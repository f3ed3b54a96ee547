//! Joins the RabbitMQ bridge to our database: what comes in becomes jobs, what waits in the outbox goes out.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};

use super::{
    amqp::{
        events::CloudEvent,
        ports::{
            Intake, Message, Outbox, OutgoingEvent, Reason, Refusal as Refused, Rejected,
            StoreError, TakenIn,
        },
    },
    registry::{Refusal, Registry},
};
use crate::state::{
    Store,
    inbox::Arrival,
    jobs::new_id,
    outbox::{Event, Unsent},
};

/// What is due without a sign, after a retry's wait, is looked for so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// AMQP's priorities go to 255, ours to 9.
const MAX_PRIORITY: i64 = 9;
/// The `source` of our events.
const SOURCE: &str = "trailkeeper";

/// Both ends of the bridge.
pub struct Bridge<S> {
    store: Store,
    registry: Arc<Registry<S>>,
    wakes: Mutex<watch::Receiver<u64>>,
}

impl<S> Bridge<S> {
    /// A bridge to this database, for these kinds.
    #[must_use]
    pub fn new(store: Store, registry: Arc<Registry<S>>) -> Self {
        let wakes = Mutex::new(store.wakes());
        Self {
            store,
            registry,
            wakes,
        }
    }
}

impl<S: Send + Sync + 'static> Intake for Bridge<S> {
    fn validate(&self, kind: &str, payload: &Value) -> Result<(), Refused> {
        let checked = self.registry.check(kind, payload);
        checked.map(|_| ()).map_err(|refusal| Refused {
            reason: match refusal {
                Refusal::UnknownKind { .. } => Reason::UnknownKind,
                Refusal::Payload { .. } => Reason::InvalidPayload,
            },
            detail: refusal.to_string(),
        })
    }

    async fn ready(&self) -> Result<(), StoreError> {
        Ok(self.store.ping().await?)
    }

    async fn take_in(
        &self,
        messages: Vec<Message>,
        rejected: Vec<Rejected>,
    ) -> Result<TakenIn, StoreError> {
        let arrivals: Vec<Arrival> = messages
            .into_iter()
            .filter_map(|message| {
                // Validated a moment ago, so the kind is there.
                let kind = self.registry.kind(&message.kind)?;
                let mut job = kind.job(message.payload, &message.source);
                if let Some(priority) = message.priority {
                    job.priority = priority.clamp(0, MAX_PRIORITY);
                }
                job.trace = message.trace;
                Some(Arrival {
                    source: message.source,
                    message_id: message.message_id,
                    reply_to: message.reply_to,
                    correlation_id: message.correlation_id,
                    job,
                })
            })
            .collect();
        let events: Vec<Event> = rejected.into_iter().map(rejection).collect();
        let taken = self.store.take_in(arrivals, &events).await?;
        Ok(TakenIn {
            new: taken.new,
            duplicates: taken.duplicates,
        })
    }
}

fn rejection(rejected: Rejected) -> Event {
    Event {
        id: new_id(),
        event_type: "job.rejected".to_owned(),
        subject: rejected.message_id.clone(),
        data: json!({
            "reason": rejected.reason.as_str(),
            "detail": rejected.detail,
            "source": rejected.source,
            "message_id": rejected.message_id,
            "kind": rejected.kind,
        }),
    }
}

impl<S: Send + Sync + 'static> Outbox for Bridge<S> {
    async fn claim(&self, limit: usize) -> Result<Vec<OutgoingEvent>, StoreError> {
        let unsent = self.store.claim_outgoing(limit).await?;
        Ok(unsent.into_iter().map(outgoing).collect())
    }

    async fn published(&self, ids: Vec<String>) -> Result<(), StoreError> {
        Ok(self.store.forget_outgoing(&numbers(&ids)).await?)
    }

    async fn retry(&self, entries: Vec<(String, Duration)>) -> Result<(), StoreError> {
        for (id, delay) in entries {
            let ids = numbers(std::slice::from_ref(&id));
            self.store.postpone_outgoing(&ids, delay).await?;
        }
        Ok(())
    }

    async fn dropped(&self, ids: Vec<String>, reason: &str) -> Result<(), StoreError> {
        tracing::warn!(events = ids.len(), reason, "gave up sending events");
        Ok(self.store.forget_outgoing(&numbers(&ids)).await?)
    }

    async fn wait(&self) {
        let mut wakes = self.wakes.lock().await;
        let _ = tokio::time::timeout(LOOK_EVERY, wakes.changed()).await;
    }
}

fn outgoing(unsent: Unsent) -> OutgoingEvent {
    let event = CloudEvent {
        id: unsent.event_id,
        source: SOURCE.to_owned(),
        kind: unsent.event_type,
        subject: unsent.subject,
        time: Timestamp::from_microsecond(unsent.created_at).unwrap_or_default(),
        trace: unsent.trace,
        data: Value::Null,
    };
    let mut outgoing = event.outgoing(unsent.id.to_string());
    outgoing.exchange = unsent.exchange;
    outgoing.routing_key = unsent.routing_key;
    outgoing.correlation_id = unsent.correlation_id;
    outgoing.body = unsent.body.into_bytes();
    // The row counts tries begun, the bridge those that failed.
    outgoing.attempts = unsent.attempts - 1;
    outgoing
}

fn numbers(ids: &[String]) -> Vec<i64> {
    ids.iter().filter_map(|id| id.parse().ok()).collect()
}
