//! What a channel leads to.

use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

use crate::notify::Notice;

/// Somebody who can be told.
#[async_trait]
pub trait Receiver: Send + Sync {
    /// Tells. That it succeeds means that the receiver has it, as far as that can be known.
    ///
    /// # Errors
    /// Why the receiver does not have it, and whether it is tried again.
    async fn send(&self, notice: &Notice) -> Result<(), Failure>;
}

/// Why somebody was not told.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct Failure {
    /// In words, without secrets.
    pub reason: String,
    /// Whether another attempt may succeed.
    pub retry: Retry,
}

/// Whether another attempt may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Yes, and not before this time where the receiver said so.
    After(Option<Duration>),
    /// No: the receiver will never take it.
    Never,
}
