//! How far something long is, told across threads; and the wish to stop it.

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
    /// Rows done until now.
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

    /// Asks the readers to stop after what they are at.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    /// Whether it is to stop.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// So many more keys are to be covered.
    pub fn expect_ids(&self, ids: u64) {
        self.ids_total.fetch_add(ids, Relaxed);
    }

    /// So many more rows were done, and so many keys covered.
    pub fn add(&self, rows: u64, ids: u64) {
        self.rows.fetch_add(rows, Relaxed);
        self.ids_done.fetch_add(ids, Relaxed);
    }
}
