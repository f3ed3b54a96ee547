//! The exchanges and queues that the bridge uses. `docs/asyncapi.yaml` describes the same for people; a test compares.

use lapin::{
    Channel, ErrorKind, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use thiserror::Error;

use super::{
    AmqpError, Settings,
    connection::{Link, in_time},
};

/// Exchange that jobs are sent to, and the queue behind it. The routing key is the kind of job.
pub const JOBS: &str = "trailkeeper.jobs";
/// Queue of messages that could not be taken in.
pub const DEAD: &str = "trailkeeper.dead";
/// Exchange that events come from. The routing key is the type of event.
pub const EVENTS: &str = "trailkeeper.events";

/// Both exchanges are durable topic exchanges.
pub const EXCHANGES: [&str; 2] = [JOBS, EVENTS];

/// The value of a queue's argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// Text.
    Text(&'static str),
    /// A whole number.
    Number(i32),
}

/// A durable queue.
#[derive(Debug, Clone, Copy)]
pub struct Queue {
    /// Its name.
    pub name: &'static str,
    /// Its arguments.
    pub arguments: &'static [(&'static str, Argument)],
}

/// The queues.
pub const QUEUES: [Queue; 2] = [
    Queue {
        name: DEAD,
        arguments: &[
            ("x-queue-type", Argument::Text("quorum")),
            // Looking at the queue counts as a failed delivery, and RabbitMQ 4 drops after 20 of them by default.
            ("x-delivery-limit", Argument::Number(1_000_000_000)),
        ],
    },
    Queue {
        name: JOBS,
        arguments: &[
            ("x-queue-type", Argument::Text("quorum")),
            // RabbitMQ 3.10 has no default: what kills its consumer would be delivered for ever.
            ("x-delivery-limit", Argument::Number(10)),
            ("x-dead-letter-exchange", Argument::Text("")),
            ("x-dead-letter-routing-key", Argument::Text(DEAD)),
            // Both are needed; else dead-lettering falls back to at most once without a word.
            ("x-dead-letter-strategy", Argument::Text("at-least-once")),
            ("x-overflow", Argument::Text("reject-publish")),
        ],
    },
];

/// What stands in the way of the topology.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TopologyError {
    /// The broker has it, but different.
    #[error(
        "the {what} {name} exists with {argument} = {found} where trailkeeper needs {wanted}: if nothing else uses it, \
         stop its senders, let it drain and delete it (trailkeeper declares it anew), or point amqp.url to a vhost of \
         trailkeeper's own"
    )]
    Differs {
        /// `queue` or `exchange`.
        what: &'static str,
        /// Its name.
        name: &'static str,
        /// The argument that differs.
        argument: String,
        /// What the broker has.
        found: String,
        /// What it should be.
        wanted: String,
    },
    /// The broker does not allow it.
    #[error(
        "RabbitMQ does not let this user declare the {what} {name}, and it does not exist: grant \"configure\" on it, or \
         declare it beforehand as docs/asyncapi.yaml describes ({message})"
    )]
    Forbidden {
        /// `queue` or `exchange`.
        what: &'static str,
        /// Its name.
        name: &'static str,
        /// The broker's words.
        message: String,
    },
}

/// One thing to declare.
#[derive(Clone, Copy)]
enum Thing {
    Exchange(&'static str),
    Queue(Queue),
}

impl Thing {
    /// For messages: what it is, and its name.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Exchange(name) => ("exchange", name),
            Self::Queue(queue) => ("queue", queue.name),
        }
    }

    /// Passively, it is only looked for.
    async fn declare(self, channel: &Channel, passive: bool) -> lapin::Result<()> {
        match self {
            Self::Exchange(name) => {
                let options = ExchangeDeclareOptions {
                    passive,
                    durable: true,
                    ..Default::default()
                };
                let kind = ExchangeKind::Topic;
                channel
                    .exchange_declare(name.into(), kind, options, FieldTable::default())
                    .await
            }
            Self::Queue(queue) => {
                let options = QueueDeclareOptions {
                    passive,
                    durable: true,
                    ..Default::default()
                };
                channel
                    .queue_declare(queue.name.into(), options, table(queue.arguments))
                    .await
                    .map(drop)
            }
        }
    }
}

/// Connects once and makes everything exist, as each session does: for a start or a command that wants to know.
///
/// # Errors
/// If there is no connection, or something exists with other arguments.
pub async fn check(settings: &Settings) -> Result<(), AmqpError> {
    let link = Link::open(settings, "check").await?;
    in_time(settings, "declare exchanges and queues", declare(&link)).await?;
    link.close().await;
    Ok(())
}

/// Makes everything exist. What exists with the same arguments is left alone.
pub(super) async fn declare(link: &Link) -> Result<(), AmqpError> {
    let exchanges = EXCHANGES.map(Thing::Exchange);
    for thing in exchanges.into_iter().chain(QUEUES.map(Thing::Queue)) {
        declare_one(link, thing).await?;
    }
    let channel = link.channel().await?;
    channel
        .queue_bind(
            JOBS.into(),
            JOBS.into(),
            // Unknown kinds too, so that they are answered rather than lost.
            "#".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await?;
    channel.close(200, "OK".into()).await?;
    Ok(())
}

/// Each on a channel of its own, since a refusal closes the channel.
async fn declare_one(link: &Link, thing: Thing) -> Result<(), AmqpError> {
    let channel = link.channel().await?;
    let Err(error) = thing.declare(&channel, false).await else {
        return Ok(channel.close(200, "OK".into()).await?);
    };
    let ErrorKind::ProtocolError(refusal) = error.kind() else {
        return Err(error.into());
    };
    let (what, name) = thing.words();
    let message = refusal.get_message().as_str();
    if message.starts_with("PRECONDITION_FAILED")
        && let Some((argument, found, wanted)) = difference(message)
    {
        let differs = TopologyError::Differs {
            what,
            name,
            argument,
            found,
            wanted,
        };
        return Err(differs.into());
    }
    if !message.starts_with("ACCESS_REFUSED") {
        return Err(error.into());
    }
    // Someone else may have declared it for us. Its arguments cannot be asked for then.
    let channel = link.channel().await?;
    if thing.declare(&channel, true).await.is_ok() {
        return Ok(channel.close(200, "OK".into()).await?);
    }
    let forbidden = TopologyError::Forbidden {
        what,
        name,
        message: message.to_owned(),
    };
    Err(forbidden.into())
}

fn table(arguments: &[(&str, Argument)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        let value = match *value {
            Argument::Text(text) => AMQPValue::LongString(text.into()),
            Argument::Number(number) => AMQPValue::LongInt(number),
        };
        table.insert((*name).into(), value);
    }
    table
}

/// Reads what the broker says: `… inequivalent arg 'x-delivery-limit' for queue 'q' in vhost '/': received the value '10'
/// of type 'signedint' but current is the value '5' of type 'signedint'`, or shorter without values or types.
fn difference(message: &str) -> Option<(String, String, String)> {
    let (_, rest) = message.split_once("inequivalent arg '")?;
    let (argument, rest) = rest.split_once('\'')?;
    let (_, rest) = rest.split_once(": received ")?;
    let (wanted, found) = rest.split_once(" but current is ")?;
    let value = |text: &str| match text.split_once('\'') {
        Some((_, rest)) => match rest.split('\'').next().unwrap_or_default() {
            "" => "\"\"".to_owned(),
            value => value.to_owned(),
        },
        None => text.trim().to_owned(),
    };
    Some((argument.to_owned(), value(found), value(wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_form_of_the_brokers_words() {
        let read = |message| {
            let (argument, found, wanted) = difference(message).unwrap();
            format!("{argument}: {found}, {wanted}")
        };
        assert_eq!(
            read(
                "PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue 'q' in vhost '/': received the \
                 value '10' of type 'signedint' but current is the value '5' of type 'signedint'"
            ),
            "x-delivery-limit: 5, 10"
        );
        assert_eq!(
            read(
                "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received the value \
                 'quorum' of type 'longstr' but current is none"
            ),
            "x-queue-type: none, quorum"
        );
        assert_eq!(
            read(
                "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost '/': received 'topic' but \
                 current is 'direct'"
            ),
            "type: direct, topic"
        );
        assert_eq!(
            difference("PRECONDITION_FAILED - unknown delivery tag 7"),
            None
        );
    }
}
