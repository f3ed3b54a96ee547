//! How people look at the dead queue, replay and purge it.

use std::collections::BTreeMap;

use lapin::{
    Channel, ErrorKind,
    message::BasicGetMessage,
    options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions, QueuePurgeOptions},
    types::{FieldTable, ShortString},
};

use super::{
    AmqpError, Settings,
    connection::{Link, in_time},
    letter::{carried, describe, original_key},
    publisher::{Outcome, Post, Publisher},
    topology::{self, DEAD, JOBS},
};

pub use super::letter::{DETAIL, DeadLetter, REASON, ROUTING_KEY};

/// AMQP's number for what does not exist.
const NOT_FOUND: u16 = 404;
/// Most messages that [`find`] hands over: as many as share an id by chance and retries, not by design.
const MAX_FOUND: usize = 10;

/// A message with as much of its body as was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// What is known of it.
    pub letter: DeadLetter,
    /// The body's beginning.
    pub body: Vec<u8>,
}

/// Which messages are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All that are there now.
    All,
    /// Those with this `message_id` or [`DeadLetter::digest`].
    Id(String),
}

impl Selection {
    fn holds(&self, letter: &DeadLetter) -> bool {
        match self {
            Self::All => true,
            Self::Id(id) => letter.message_id.as_ref() == Some(id) || letter.digest == *id,
        }
    }
}

/// What became of a replay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Messages sent to the jobs exchange once more.
    pub replayed: u32,
    /// Messages selected whose original routing key is not known; they stay.
    pub unknown_key: u32,
    /// Messages of those found that are left in the queue.
    pub left: u32,
}

/// How many messages there are, and the first `limit` of them. They stay, but go behind those that were not looked at.
///
/// # Errors
/// If the broker cannot be asked.
pub async fn list(settings: &Settings, limit: u32) -> Result<(u32, Vec<DeadLetter>), AmqpError> {
    let mut letters = Vec::new();
    let count = look(settings, limit, |message| {
        letters.push(describe(message));
        true
    })
    .await?;
    Ok((count, letters))
}

/// Messages with their bodies, each cut at `max_body_bytes`; the first ten, if there are more. They stay.
///
/// # Errors
/// If the broker cannot be asked.
pub async fn find(
    settings: &Settings,
    selection: &Selection,
    max_body_bytes: usize,
) -> Result<Vec<Opened>, AmqpError> {
    let mut found = Vec::new();
    look(settings, u32::MAX, |message| {
        let letter = describe(message);
        if selection.holds(&letter) {
            let body = &message.delivery.data;
            let body = body[..body.len().min(max_body_bytes)].to_vec();
            found.push(Opened { letter, body });
        }
        found.len() < MAX_FOUND
    })
    .await?;
    Ok(found)
}

/// Passes over messages that stay, at most `limit` and until `see` says no, and answers how many there are in all.
async fn look(
    settings: &Settings,
    limit: u32,
    mut see: impl FnMut(&BasicGetMessage) -> bool,
) -> Result<u32, AmqpError> {
    let link = Link::open(settings, "dead").await?;
    let count = count(settings, &link).await?;
    let channel = link.channel().await?;
    for _ in 0..limit.min(count) {
        match get(settings, &channel).await? {
            Some(message) if see(&message) => {}
            _ => break,
        }
    }
    // Nothing was acked, so all goes back with the connection's end.
    link.close().await;
    Ok(count)
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
    let found = count(settings, &link).await?;
    for _ in 0..found {
        let Some(message) = get(settings, &channel).await? else {
            break;
        };
        if !selection.holds(&describe(&message)) {
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
    // Not asked anew: what goes back from our hands is counted by the broker some time later.
    result.left = found.saturating_sub(result.replayed);
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
        purged.await.map_err(|error| no_queue(settings, error))
    })
    .await?;
    link.close().await;
    Ok(count)
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
        let queue = queue.await.map_err(|error| no_queue(settings, error))?;
        Ok(queue.message_count())
    })
    .await
}

/// A queue that is not there is nothing that is broken, but may be a wrong address.
fn no_queue(settings: &Settings, error: lapin::Error) -> AmqpError {
    match error.kind() {
        ErrorKind::ProtocolError(refusal) if refusal.get_id() == NOT_FOUND => AmqpError::NoQueue {
            queue: DEAD,
            address: settings.address.to_string(),
        },
        _ => error.into(),
    }
}
