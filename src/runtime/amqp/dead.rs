//! The dead queue: what goes in, and how people look at it, replay and purge it.

use std::collections::BTreeMap;

use lapin::{
    BasicProperties, Channel,
    message::{BasicGetMessage, Delivery},
    options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions, QueuePurgeOptions},
    types::{AMQPValue, FieldTable, ShortString},
};

use super::{
    AmqpError, Settings,
    connection::{Link, in_time},
    ports::Rejected,
    publisher::{Outcome, Post, Publisher},
    topology::{self, DEAD, JOBS},
};

/// Header: why a message was refused, a [`super::ports::Reason`].
pub const REASON: &str = "x-trailkeeper-reason";
/// Header: the same in words.
pub const DETAIL: &str = "x-trailkeeper-detail";
/// Header: the routing key that the message came with.
pub const ROUTING_KEY: &str = "x-trailkeeper-routing-key";

/// Headers that this program and the broker add on the way to the dead queue.
const ADDED: [&str; 5] = [
    "x-trailkeeper-",
    "x-death",
    "x-first-death-",
    "x-last-death-",
    "x-delivery-count",
];
/// Headers that make the broker send copies elsewhere. A copy must not be sent again.
const COPIES: [&str; 2] = ["CC", "BCC"];

/// A message in the dead queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its place in the queue, from 1.
    pub position: u32,
    /// Its id, if it has one.
    pub message_id: Option<String>,
    /// The application that sent it, if it says so.
    pub app_id: Option<String>,
    /// The routing key that it came with: the kind of job.
    pub routing_key: Option<String>,
    /// A [`super::ports::Reason`], or the broker's word for what it moved itself: `rejected`, `delivery_limit`.
    pub reason: Option<String>,
    /// The reason in words.
    pub detail: Option<String>,
    /// The body's size.
    pub size_bytes: usize,
}

/// Which messages to replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All that are there now.
    All,
    /// Those with this `message_id`.
    MessageId(String),
    /// The one at this place, as [`list`] just gave it.
    Position(u32),
}

/// What became of a replay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Messages sent to the jobs exchange once more.
    pub replayed: u32,
    /// Messages selected whose original routing key is not known; they stay.
    pub unknown_key: u32,
    /// Messages left in the queue.
    pub left: u32,
}

/// How many messages there are, and the first `limit` of them. They stay.
///
/// # Errors
/// If the broker cannot be asked.
pub async fn list(settings: &Settings, limit: u32) -> Result<(u32, Vec<DeadLetter>), AmqpError> {
    let link = Link::open(settings, "dead").await?;
    let count = count(settings, &link).await?;
    let channel = link.channel().await?;
    let mut letters = Vec::new();
    for position in 1..=limit.min(count) {
        let Some(message) = get(settings, &channel).await? else {
            break;
        };
        letters.push(describe(position, &message));
    }
    // Nothing was acked, so all goes back with the connection's end.
    link.close().await;
    Ok((count, letters))
}

/// Sends messages to the jobs exchange once more, as they first came: with their routing key and without the headers that
/// were added. Each is removed after the broker has confirmed its copy; a crash between the two leaves both, which the
/// inbox absorbs.
///
/// # Errors
/// If the broker cannot be asked or does not take a message. What was replayed before stays replayed.
pub async fn replay(settings: &Settings, selection: &Selection) -> Result<Replayed, AmqpError> {
    let publisher = Publisher::open(settings, "replay").await?;
    let declared = topology::declare(&publisher.link);
    in_time(settings, "declare exchanges and queues", declared).await?;
    let link = Link::open(settings, "dead").await?;
    let channel = link.channel().await?;
    let mut result = Replayed::default();
    // Not until the queue is empty: what fails again comes back to it.
    for position in 1..=count(settings, &link).await? {
        let Some(message) = get(settings, &channel).await? else {
            break;
        };
        let is_selected = match selection {
            Selection::All => true,
            Selection::MessageId(id) => {
                message
                    .properties
                    .message_id()
                    .as_ref()
                    .map(ShortString::as_str)
                    == Some(id)
            }
            Selection::Position(wanted) => position == *wanted,
        };
        if !is_selected {
            continue;
        }
        let key = original_key(&message.properties).and_then(|key| ShortString::try_new(key).ok());
        let Some(routing_key) = key else {
            result.unknown_key += 1;
            continue;
        };
        let post = Post {
            exchange: JOBS.into(),
            routing_key,
            properties: carried(&message.properties, BTreeMap::new()),
            body: message.delivery.data.clone(),
        };
        if publisher.send(&[post], |_| ()).await? != [Outcome::Confirmed] {
            return Err(AmqpError::NotAccepted {
                queue: JOBS,
                outcome: "not confirmed",
            });
        }
        if !message.ack(BasicAckOptions::default()).await? {
            return Err(AmqpError::AckNotSent);
        }
        result.replayed += 1;
    }
    link.close().await;
    publisher.link.close().await;
    // Asked anew, as the count holds what is in our hands only after it went back.
    let link = Link::open(settings, "dead").await?;
    result.left = count(settings, &link).await?;
    link.close().await;
    Ok(result)
}

/// Deletes all messages and says how many there were.
///
/// # Errors
/// If the broker cannot be asked.
pub async fn purge(settings: &Settings) -> Result<u32, AmqpError> {
    let link = Link::open(settings, "dead").await?;
    let count = in_time(settings, "purge the dead queue", async {
        let channel = link.channel().await?;
        let purged = channel.queue_purge(DEAD.into(), QueuePurgeOptions::default());
        Ok(purged.await?)
    })
    .await?;
    link.close().await;
    Ok(count)
}

/// The copy of a refused delivery that goes to the dead queue.
pub(super) fn letter(delivery: &Delivery, rejected: &Rejected) -> Post {
    let added = BTreeMap::from([
        (REASON, rejected.reason.as_str()),
        (DETAIL, rejected.detail.as_str()),
        (ROUTING_KEY, delivery.routing_key.as_str()),
    ]);
    Post {
        exchange: ShortString::default(),
        routing_key: DEAD.into(),
        properties: carried(&delivery.properties, added),
        body: delivery.data.clone(),
    }
}

/// A message's own properties for another way through the broker. Not carried over: `expiration`, since it must not
/// vanish; `user_id`, since the broker closes the channel when it is not ours; copies, which were sent already.
fn carried(properties: &BasicProperties, added: BTreeMap<&str, &str>) -> BasicProperties {
    let mut headers = FieldTable::default();
    if let Some(own) = properties.headers() {
        for (name, value) in own {
            let is_ours = ADDED.iter().any(|prefix| name.as_str().starts_with(prefix));
            if !is_ours && !COPIES.contains(&name.as_str()) {
                headers.insert(name.clone(), value.clone());
            }
        }
    }
    for (name, value) in added {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    let mut carried = BasicProperties::default()
        .with_delivery_mode(2)
        .with_headers(headers);
    macro_rules! carry {
        ($($from:ident => $to:ident),*) => {
            $(if let Some(value) = properties.$from() {
                carried = carried.$to(value.clone());
            })*
        };
    }
    carry!(
        content_type => with_content_type,
        content_encoding => with_content_encoding,
        priority => with_priority,
        correlation_id => with_correlation_id,
        reply_to => with_reply_to,
        message_id => with_message_id,
        timestamp => with_timestamp,
        kind => with_type,
        app_id => with_app_id
    );
    carried
}

async fn get(settings: &Settings, channel: &Channel) -> Result<Option<BasicGetMessage>, AmqpError> {
    let got = channel.basic_get(DEAD.into(), BasicGetOptions::default());
    in_time(settings, "hand out a message", async { Ok(got.await?) }).await
}

async fn count(settings: &Settings, link: &Link) -> Result<u32, AmqpError> {
    in_time(settings, "count the dead queue", async {
        let channel = link.channel().await?;
        let options = QueueDeclareOptions {
            passive: true,
            ..Default::default()
        };
        let queue = channel.queue_declare(DEAD.into(), options, FieldTable::default());
        Ok(queue.await?.message_count())
    })
    .await
}

fn describe(position: u32, message: &BasicGetMessage) -> DeadLetter {
    let properties = &message.properties;
    let text = |value: &Option<ShortString>| value.as_ref().map(|text| text.as_str().to_owned());
    DeadLetter {
        position,
        message_id: text(properties.message_id()),
        app_id: text(properties.app_id()),
        routing_key: original_key(properties),
        reason: header(properties, REASON).or_else(|| death(properties, "reason")),
        detail: header(properties, DETAIL),
        size_bytes: message.delivery.data.len(),
    }
}

fn header(properties: &BasicProperties, name: &str) -> Option<String> {
    let headers = properties.headers().as_ref()?.inner();
    text_of(headers.get(name)?)
}

fn text_of(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        AMQPValue::FieldArray(values) => text_of(values.as_slice().first()?),
        _ => None,
    }
}

/// A field of the broker's record of how the message left the jobs queue.
fn death(properties: &BasicProperties, field: &str) -> Option<String> {
    let headers = properties.headers().as_ref()?.inner();
    let AMQPValue::FieldArray(deaths) = headers.get("x-death")? else {
        return None;
    };
    deaths.as_slice().iter().find_map(|death| {
        let AMQPValue::FieldTable(death) = death else {
            return None;
        };
        let is_ours = text_of(death.inner().get("queue")?)? == JOBS;
        is_ours.then(|| death.inner().get(field).and_then(text_of))?
    })
}

fn original_key(properties: &BasicProperties) -> Option<String> {
    header(properties, ROUTING_KEY).or_else(|| death(properties, "routing-keys"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_what_is_the_senders_own() {
        let mut headers = FieldTable::default();
        for name in [
            "mine",
            "CC",
            "BCC",
            REASON,
            "x-death",
            "x-first-death-queue",
            "x-delivery-count",
        ] {
            headers.insert(name.into(), AMQPValue::LongString("v".into()));
        }
        let properties = BasicProperties::default()
            .with_message_id("m".into())
            .with_type("t".into())
            .with_reply_to("r".into())
            .with_expiration("1000".into())
            .with_user_id("guest".into())
            .with_headers(headers);
        let mut expected = FieldTable::default();
        expected.insert("mine".into(), AMQPValue::LongString("v".into()));
        expected.insert(REASON.into(), AMQPValue::LongString("new".into()));
        let expected = BasicProperties::default()
            .with_message_id("m".into())
            .with_type("t".into())
            .with_reply_to("r".into())
            .with_delivery_mode(2)
            .with_headers(expected);
        assert_eq!(
            carried(&properties, BTreeMap::from([(REASON, "new")])),
            expected
        );
    }

    #[test]
    fn finds_the_key_in_the_brokers_record() {
        let mut death = FieldTable::default();
        death.insert("queue".into(), AMQPValue::LongString(JOBS.into()));
        death.insert("reason".into(), AMQPValue::LongString("rejected".into()));
        let keys = vec![AMQPValue::LongString("trail.verify".into())];
        death.insert("routing-keys".into(), AMQPValue::FieldArray(keys.into()));
        let mut headers = FieldTable::default();
        let deaths = vec![AMQPValue::FieldTable(death)];
        headers.insert("x-death".into(), AMQPValue::FieldArray(deaths.into()));
        let properties = BasicProperties::default().with_headers(headers);
        assert_eq!(original_key(&properties).as_deref(), Some("trail.verify"));
        let reason = super::death(&properties, "reason");
        assert_eq!(reason.as_deref(), Some("rejected"));
    }
}
