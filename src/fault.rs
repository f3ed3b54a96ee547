//! Breaks writes on demand, as no real database can be made to: with the feature `probe` only.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// How a write breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nothing was written.
    Failed,
    /// All was written, and the answer was lost.
    FailedButPersisted,
}

static FAULTS: Mutex<Option<HashMap<&'static str, (Way, u32)>>> = Mutex::new(None);

/// Breaks the next `times` writes of this name.
pub fn set(write: &'static str, way: Way, times: u32) {
    let mut faults = FAULTS.lock().unwrap_or_else(PoisonError::into_inner);
    faults.get_or_insert_default().insert(write, (way, times));
}

/// How often the write of this name will still break.
#[must_use]
pub fn left(write: &str) -> u32 {
    let faults = FAULTS.lock().unwrap_or_else(PoisonError::into_inner);
    let found = faults.as_ref().and_then(|faults| faults.get(write));
    found.map_or(0, |&(_, times)| times)
}

pub(crate) fn strike(write: &str) -> Option<Way> {
    let mut faults = FAULTS.lock().unwrap_or_else(PoisonError::into_inner);
    let (way, times) = faults.as_mut()?.get_mut(write)?;
    *times = times.checked_sub(1)?;
    Some(*way)
}

pub(crate) fn error() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::other("broken on demand"))
}
