use std::{sync::Arc, time::Duration};

use super::{
    connection::{Address, AddressError},
    tls::Tls,
};

/// How the bridge works. [`Settings::new`] gives what suits most.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the broker is.
    pub address: Address,
    /// Certificates, for `amqps://`.
    pub tls: Arc<Tls>,
    /// Most messages taken in by one transaction.
    pub batch: u16,
    /// How long a batch waits for more messages.
    pub linger: Duration,
    /// Messages that the broker sends ahead. They count as delivered once more when the connection ends.
    pub prefetch: u16,
    /// Largest body. A larger one is dead-lettered without being read.
    pub max_body_bytes: usize,
    /// Time for TCP, TLS and the handshake together.
    pub connect_timeout: Duration,
    /// Time for an answer or confirm of the broker, not counting times when it blocks publishers.
    pub answer_timeout: Duration,
    /// Ceiling of the first wait after a failure.
    pub first_backoff: Duration,
    /// Ceiling of all later waits.
    pub longest_backoff: Duration,
    /// Most events published at once.
    pub outbox_batch: usize,
    /// Events that nobody takes are dropped at this age.
    pub drop_events_after: Duration,
    /// Replies that nobody takes are dropped after so many attempts.
    pub reply_attempts: i64,
    /// Most time for finishing the last batch, and again for flushing the outbox, when stopping.
    pub stop_timeout: Duration,
}

impl Settings {
    /// The defaults, for `amqp://` or `amqps://USER:PASSWORD@HOST:PORT/VHOST`.
    ///
    /// # Errors
    /// If the URL cannot be used.
    pub fn new(url: &str) -> Result<Self, AddressError> {
        Ok(Self {
            address: url.parse()?,
            tls: Arc::default(),
            batch: 100,
            linger: Duration::from_millis(5),
            prefetch: 200,
            max_body_bytes: 1 << 20,
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(10),
            first_backoff: Duration::from_millis(500),
            longest_backoff: Duration::from_secs(30),
            outbox_batch: 100,
            drop_events_after: Duration::from_secs(24 * 60 * 60),
            reply_attempts: 3,
            stop_timeout: Duration::from_secs(10),
        })
    }
}
