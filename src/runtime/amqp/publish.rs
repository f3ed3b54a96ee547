//! From the outbox to the broker.
//!
//! An event is done when the broker has confirmed it and did not return it. All else is tried again, so an event may
//! arrive twice, with the same CloudEvents `id`.

use std::time::Duration;

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};
use tokio::select;
use tokio_util::sync::CancellationToken;

use super::{
    AmqpError, Settings,
    backoff::{exponential, jitter},
    connection::in_time,
    events,
    ports::{Outbox, OutgoingEvent},
    publisher::{Outcome, Post, Publisher},
    status::{Published, Side, Status},
    topology,
};
use crate::clock::Clock;

const PERSISTENT: u8 = 2;
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// One connection's life. Once told to stop, publishes what is due and ends. A careful session publishes one event at a
/// time, so that an event which the broker ends connections over does not keep others back.
pub(super) async fn session<O: Outbox>(
    settings: &Settings,
    outbox: &O,
    status: &Status,
    careful: bool,
    stop: &CancellationToken,
) -> Result<(), AmqpError> {
    let mut publisher = Publisher::open(settings, "publish").await?;
    let declared = topology::declare(&publisher.link);
    in_time(settings, "declare exchanges and queues", declared).await?;
    status.set_running(Side::Publish, true);
    let limit = if careful { 1 } else { settings.outbox_batch };
    let mut careful_left = settings.outbox_batch;
    loop {
        let events = outbox.claim(limit).await.map_err(AmqpError::Store)?;
        let is_empty = events.is_empty();
        if !is_empty {
            deliver(settings, outbox, status, &publisher, events).await?;
            careful_left = careful_left.saturating_sub(1);
        }
        if careful && careful_left == 0 {
            publisher.link.close().await;
            return Ok(());
        }
        if !is_empty {
            continue;
        }
        if careful || stop.is_cancelled() {
            publisher.link.close().await;
            return Ok(());
        }
        select! {
            () = outbox.wait() => {}
            () = stop.cancelled() => {}
            blocked = publisher.link.happening() => status.set_running(Side::Publish, !blocked?),
        }
    }
}

async fn deliver<O: Outbox>(
    settings: &Settings,
    outbox: &O,
    status: &Status,
    publisher: &Publisher,
    events: Vec<OutgoingEvent>,
) -> Result<(), AmqpError> {
    let mut report = Report::default();
    let mut sent = Vec::new();
    let mut posts = Vec::new();
    for event in events {
        match post(&event) {
            Ok(post) => {
                posts.push(post);
                sent.push(event);
            }
            Err(problem) => report.drop(status, &event, problem),
        }
    }
    let on_block = |blocked: bool| status.set_running(Side::Publish, !blocked);
    let result = publisher.send(&posts, on_block).await;
    match &result {
        Ok(outcomes) => {
            for (event, outcome) in sent.iter().zip(outcomes) {
                report.add(settings, status, event, *outcome);
            }
        }
        Err(_) => {
            status.count_published(Published::Failed, sent.len());
            for event in &sent {
                report.later(settings, status, event, "the broker did not answer");
            }
        }
    }
    report.hand_in(outbox).await.map_err(AmqpError::Store)?;
    result.map(drop)
}

/// What is to be told to the outbox.
#[derive(Default)]
struct Report {
    published: Vec<String>,
    retry: Vec<(String, Duration)>,
    dropped: Vec<(String, &'static str)>,
}

impl Report {
    fn add(
        &mut self,
        settings: &Settings,
        status: &Status,
        event: &OutgoingEvent,
        outcome: Outcome,
    ) {
        match outcome {
            Outcome::Confirmed => {
                status.count_published(Published::Confirmed, 1);
                self.published.push(event.id.clone());
            }
            Outcome::Unroutable => {
                status.count_published(Published::Unroutable, 1);
                let tries = event.attempts.saturating_add(1);
                if event.is_reply() && tries >= settings.reply_attempts {
                    self.drop(status, event, "the reply queue is gone");
                } else {
                    self.later(settings, status, event, "no queue wants it");
                }
            }
            Outcome::Refused => {
                status.count_published(Published::Refused, 1);
                self.later(settings, status, event, "the broker refuses it");
            }
        }
    }

    fn later(
        &mut self,
        settings: &Settings,
        status: &Status,
        event: &OutgoingEvent,
        problem: &'static str,
    ) {
        let age = Clock.now().duration_since(event.created_at);
        // A clock that was set back makes events of the future; those are young.
        let age = Duration::try_from(age).unwrap_or_default();
        if age >= settings.drop_events_after {
            return self.drop(status, event, problem);
        }
        let attempts = u32::try_from(event.attempts).unwrap_or(u32::MAX);
        let delay = jitter(exponential(FIRST_RETRY, LONGEST_RETRY, attempts));
        self.retry.push((event.id.clone(), delay));
    }

    fn drop(&mut self, status: &Status, event: &OutgoingEvent, problem: &'static str) {
        tracing::warn!(
            outbox_id = event.id,
            exchange = event.exchange,
            routing_key = event.routing_key,
            attempts = event.attempts,
            "dropped an outgoing event: {problem}"
        );
        status.count_published(Published::Dropped, 1);
        self.dropped.push((event.id.clone(), problem));
    }

    async fn hand_in<O: Outbox>(self, outbox: &O) -> Result<(), super::ports::StoreError> {
        if !self.published.is_empty() {
            outbox.published(self.published).await?;
        }
        if !self.retry.is_empty() {
            outbox.retry(self.retry).await?;
        }
        for (id, reason) in self.dropped {
            outbox.dropped(vec![id], reason).await?;
        }
        Ok(())
    }
}

fn post(event: &OutgoingEvent) -> Result<Post, &'static str> {
    let short = |text: &str| {
        ShortString::try_new(text).map_err(|_| "a name in it is longer than AMQP allows")
    };
    let mut headers = FieldTable::default();
    for (name, value) in &event.headers {
        headers.insert(short(name)?, AMQPValue::LongString(value.as_str().into()));
    }
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_app_id("trailkeeper".into())
        .with_content_type(short(&event.content_type)?)
        .with_headers(headers);
    let attribute = |name: &str| {
        let found = event
            .headers
            .iter()
            .find(|(header, _)| header.strip_prefix(events::PREFIX) == Some(name));
        found.map(|(_, value)| value.as_str())
    };
    if let Some(id) = attribute("id") {
        properties = properties.with_message_id(short(id)?);
    }
    if let Some(kind) = attribute("type") {
        properties = properties.with_type(short(kind)?);
    }
    if let Some(id) = &event.correlation_id {
        properties = properties.with_correlation_id(short(id)?);
    }
    Ok(Post {
        exchange: short(&event.exchange)?,
        routing_key: short(&event.routing_key)?,
        properties,
        body: event.body.clone(),
    })
}
