//! How far a verification is, told across threads; and the wish to stop it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Shared between the readers, who count, and whoever watches.
#[derive(Debug, Default)]
pub struct Progress {
    rows: AtomicU64,
    ids_done: AtomicU64,
    ids_total: AtomicU64,
    stop: AtomicBool,
}

impl Progress {
    /// Entries checked until now.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    /// Which part of the keys, from 0 to 1, is covered.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        match self.ids_total.load(Relaxed) {
            0 => 0.0,
            total => (self.ids_done.load(Relaxed) as f64 / total as f64).min(1.0),
        }
    }

    /// Asks the readers to stop after the ranges that they are at.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    pub(super) fn expect_ids(&self, ids: u64) {
        self.ids_total.fetch_add(ids, Relaxed);
    }

    pub(super) fn add(&self, rows: u64, ids: u64) {
        self.rows.fetch_add(rows, Relaxed);
        self.ids_done.fetch_add(ids, Relaxed);
    }
}
