//! What the bridge is doing, for readiness and metrics.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use super::ports::Reason;

/// Shared by the bridge, which writes it, and whoever reads it.
#[derive(Debug, Default)]
pub struct Status {
    consuming: AtomicBool,
    publishing: AtomicBool,
    consume_error: Mutex<Option<String>>,
    publish_error: Mutex<Option<String>>,
    consumed: AtomicU64,
    duplicates: AtomicU64,
    rejected: [AtomicU64; Reason::ALL.len()],
    published: [AtomicU64; Published::ALL.len()],
    reconnects: AtomicU64,
}

/// What became of an attempt to publish: label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// The broker has it.
    Confirmed,
    /// No queue wanted it; tried again later.
    Unroutable,
    /// The broker refused it; tried again later.
    Refused,
    /// The connection ended before the broker answered; tried again later.
    Failed,
    /// Given up.
    Dropped,
}

impl Published {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Confirmed,
        Self::Unroutable,
        Self::Refused,
        Self::Failed,
        Self::Dropped,
    ];

    /// In `snake_case`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Unroutable => "unroutable",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// The direction that something concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Consume,
    Publish,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Consume => "consume",
            Self::Publish => "publish",
        })
    }
}

impl Status {
    /// Whether messages are being taken in.
    #[must_use]
    pub fn consuming(&self) -> bool {
        self.consuming.load(Relaxed)
    }

    /// Whether events can be published: connected, and not blocked by the broker.
    #[must_use]
    pub fn publishing(&self) -> bool {
        self.publishing.load(Relaxed)
    }

    /// Why it is not consuming or not publishing, if it is not.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        let read = |error: &Mutex<Option<String>>| {
            error.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        read(&self.consume_error).or_else(|| read(&self.publish_error))
    }

    /// Messages taken in, without duplicates.
    #[must_use]
    pub fn consumed(&self) -> u64 {
        self.consumed.load(Relaxed)
    }

    /// Messages that had been taken in before.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.duplicates.load(Relaxed)
    }

    /// Messages refused for this reason.
    #[must_use]
    pub fn rejected(&self, reason: Reason) -> u64 {
        self.rejected[reason as usize].load(Relaxed)
    }

    /// Attempts to publish that ended so.
    #[must_use]
    pub fn published(&self, result: Published) -> u64 {
        self.published[result as usize].load(Relaxed)
    }

    /// Connections made anew after a failure.
    #[must_use]
    pub fn reconnects(&self) -> u64 {
        self.reconnects.load(Relaxed)
    }

    pub(super) fn set_running(&self, side: Side, running: bool) {
        match side {
            Side::Consume => self.consuming.store(running, Relaxed),
            Side::Publish => self.publishing.store(running, Relaxed),
        }
        if running {
            self.set_error(side, None);
        }
    }

    /// Returns whether this is not what was set before.
    pub(super) fn set_error(&self, side: Side, error: Option<String>) -> bool {
        let slot = match side {
            Side::Consume => &self.consume_error,
            Side::Publish => &self.publish_error,
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = *slot != error;
        *slot = error;
        is_new
    }

    pub(super) fn count_taken_in(&self, new: u64, duplicates: u64) {
        self.consumed.fetch_add(new, Relaxed);
        self.duplicates.fetch_add(duplicates, Relaxed);
    }

    pub(super) fn count_rejected(&self, reason: Reason) {
        self.rejected[reason as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn count_published(&self, result: Published, count: usize) {
        self.published[result as usize].fetch_add(count as u64, Relaxed);
    }

    pub(super) fn count_reconnect(&self) {
        self.reconnects.fetch_add(1, Relaxed);
    }
}
