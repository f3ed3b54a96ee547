use std::time::Duration;

use thiserror::Error;

use super::{connection::AddressError, ports::StoreError, tls::TlsError, topology::TopologyError};

/// What can go wrong between here and the broker. Never holds a password.
#[derive(Debug, Error)]
pub enum AmqpError {
    /// The URL cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Certificates or keys cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No connection.
    #[error("cannot connect to {address}: {problem}")]
    Connect {
        /// Without password.
        address: String,
        /// Why.
        problem: String,
    },
    /// The broker has something else under our names.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// Nothing was ever declared there.
    #[error(
        "RabbitMQ has no queue {queue} at {address}: either no worker has been connected there yet, or amqp.url names \
         another vhost than the workers' does"
    )]
    NoQueue {
        /// The queue.
        queue: &'static str,
        /// Without password.
        address: String,
    },
    /// Anything that ended a channel or connection.
    #[error("RabbitMQ: {0}")]
    Broker(#[from] lapin::Error),
    /// The stream of deliveries ended: `basic.cancel`, usually because the queue was deleted.
    #[error("RabbitMQ ended the consumer; was the queue deleted?")]
    ConsumerEnded,
    /// An ack that lapin did not send since the channel was gone.
    #[error("the channel was gone before the ack could be sent")]
    AckNotSent,
    /// Nothing happened for too long.
    #[error("RabbitMQ did not {what} within {} s", .after.as_secs())]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// A message for the dead queue was not accepted.
    #[error("RabbitMQ did not accept a message for the queue {queue}: {outcome}")]
    NotAccepted {
        /// The queue.
        queue: &'static str,
        /// `unroutable` or `refused`.
        outcome: &'static str,
    },
    /// The database.
    #[error("the database: {}", chain(.0.as_ref()))]
    Store(StoreError),
}

/// An error with its causes, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
