//! Inbox, jobs and outbox in memory, which can be made to fail.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{sync::Notify, time::Instant};
use trailkeeper::{
    clock::Clock,
    runtime::amqp::{
        events::CloudEvent,
        ports::{
            Intake, Message, Outbox, OutgoingEvent, Reason, Refusal, Rejected, StoreError, TakenIn,
        },
    },
};

/// A message that the store fails over each time.
pub(super) const POISON: &str = "poison";

/// A job succeeds as soon as it was taken in.
#[derive(Default)]
pub(super) struct Memory {
    state: Mutex<State>,
    changed: Notify,
    /// So many calls of `take_in` fail without having done anything.
    pub(super) fail: AtomicU32,
    /// So many calls of `take_in` fail after all was committed.
    pub(super) fail_after_commit: AtomicU32,
    /// So many calls of `take_in` take seconds.
    pub(super) slow: AtomicU32,
    /// So many calls of `ready` fail.
    pub(super) not_ready: AtomicU32,
}

#[derive(Default)]
struct State {
    inbox: HashMap<(String, String), Message>,
    rejected: Vec<Rejected>,
    outbox: Vec<Entry>,
    dropped: Vec<(String, String)>,
    next_id: u64,
}

struct Entry {
    event: OutgoingEvent,
    due: Instant,
    is_claimed: bool,
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panicked")
    }

    /// The ids taken in, sorted.
    pub(super) fn ids(&self) -> Vec<String> {
        let mut ids: Vec<_> = self
            .state()
            .inbox
            .keys()
            .map(|(_, id)| id.clone())
            .collect();
        ids.sort();
        ids
    }

    pub(super) fn len(&self) -> usize {
        self.state().inbox.len()
    }

    pub(super) fn message(&self, source: &str, id: &str) -> Option<Message> {
        let key = (source.to_owned(), id.to_owned());
        self.state().inbox.get(&key).cloned()
    }

    pub(super) fn rejected(&self) -> Vec<Rejected> {
        self.state().rejected.clone()
    }

    /// How many events wait, claimed ones included.
    pub(super) fn waiting(&self) -> usize {
        self.state().outbox.len()
    }

    pub(super) fn dropped(&self) -> Vec<(String, String)> {
        self.state().dropped.clone()
    }

    /// As when the lease of those that a process claimed has run out.
    pub(super) fn unclaim(&self) {
        for entry in &mut self.state().outbox {
            entry.is_claimed = false;
        }
    }

    pub(super) fn put(&self, make: impl FnOnce(String) -> OutgoingEvent) {
        self.state().put(make);
        self.changed.notify_one();
    }
}

impl State {
    fn put(&mut self, make: impl FnOnce(String) -> OutgoingEvent) {
        self.next_id += 1;
        let event = make(self.next_id.to_string());
        self.outbox.push(Entry {
            event,
            due: Instant::now(),
            is_claimed: false,
        });
    }

    fn remove(&mut self, ids: &[String]) {
        self.outbox.retain(|entry| !ids.contains(&entry.event.id));
    }

    fn take_in(&mut self, messages: Vec<Message>, rejected: Vec<Rejected>) -> TakenIn {
        let mut taken = TakenIn::default();
        for message in messages {
            let key = (message.source.clone(), message.message_id.clone());
            if self.inbox.contains_key(&key) {
                taken.duplicates += 1;
                continue;
            }
            taken.new += 1;
            let event = event("job.succeeded", json!({"id": message.message_id}));
            self.put(|id| event.outgoing(id));
            if let (Some(queue), Some(correlation)) = (&message.reply_to, &message.correlation_id) {
                self.put(|id| event.reply(id, queue, correlation));
            }
            self.inbox.insert(key, message);
        }
        for rejected in rejected {
            let data = json!({"reason": rejected.reason.as_str(), "id": rejected.message_id});
            let event = event("job.rejected", data);
            self.put(|id| event.outgoing(id));
            self.rejected.push(rejected);
        }
        taken
    }
}

/// An event of its own.
pub(super) fn event(kind: &str, data: Value) -> CloudEvent {
    CloudEvent {
        id: format!("{:016x}", fastrand::u64(..)),
        source: "/trailkeeper/test".to_owned(),
        kind: kind.to_owned(),
        subject: None,
        time: Clock.now(),
        trace: None,
        data,
    }
}

fn count_down(counter: &AtomicU32) -> bool {
    counter
        .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1))
        .is_ok()
}

impl Intake for Memory {
    fn validate(&self, kind: &str, payload: &Value) -> Result<(), Refusal> {
        let refuse = |reason, detail: &str| {
            Err(Refusal {
                reason,
                detail: detail.to_owned(),
            })
        };
        if kind != "trail.verify" {
            return refuse(Reason::UnknownKind, "there is no such kind");
        }
        if !payload["org"].is_i64() {
            return refuse(Reason::InvalidPayload, "org is no integer");
        }
        Ok(())
    }

    async fn ready(&self) -> Result<(), StoreError> {
        if count_down(&self.not_ready) {
            return Err("the store is away".into());
        }
        Ok(())
    }

    async fn take_in(
        &self,
        messages: Vec<Message>,
        rejected: Vec<Rejected>,
    ) -> Result<TakenIn, StoreError> {
        if count_down(&self.fail) {
            return Err("the store failed".into());
        }
        if count_down(&self.slow) {
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        if messages.iter().any(|message| message.message_id == POISON) {
            return Err("the store cannot hold this".into());
        }
        let taken = self.state().take_in(messages, rejected);
        self.changed.notify_one();
        if count_down(&self.fail_after_commit) {
            return Err("the answer to COMMIT was lost".into());
        }
        Ok(taken)
    }
}

impl Outbox for Memory {
    async fn claim(&self, limit: usize) -> Result<Vec<OutgoingEvent>, StoreError> {
        let now = Instant::now();
        let mut state = self.state();
        let due = state
            .outbox
            .iter_mut()
            .filter(|entry| !entry.is_claimed && entry.due <= now);
        Ok(due
            .take(limit)
            .map(|entry| {
                entry.is_claimed = true;
                entry.event.clone()
            })
            .collect())
    }

    async fn published(&self, ids: Vec<String>) -> Result<(), StoreError> {
        self.state().remove(&ids);
        Ok(())
    }

    async fn retry(&self, entries: Vec<(String, Duration)>) -> Result<(), StoreError> {
        let mut state = self.state();
        for (id, delay) in entries {
            let entry = state.outbox.iter_mut().find(|entry| entry.event.id == id);
            let entry = entry.expect("it was claimed");
            entry.event.attempts += 1;
            // Days pass fast here.
            entry.due = Instant::now() + delay.min(Duration::from_millis(200));
            entry.is_claimed = false;
        }
        Ok(())
    }

    async fn dropped(&self, ids: Vec<String>, reason: &str) -> Result<(), StoreError> {
        let mut state = self.state();
        state.remove(&ids);
        let dropped = ids.into_iter().map(|id| (id, reason.to_owned()));
        state.dropped.extend(dropped);
        Ok(())
    }

    async fn wait(&self) {
        let _ = tokio::time::timeout(Duration::from_millis(50), self.changed.notified()).await;
    }
}
