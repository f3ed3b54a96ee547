//! Breaks requests on demand, as no real store can be made to: with the feature `probe` only.

use std::sync::{Mutex, PoisonError};

/// How a request breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It never reached the store.
    Failed,
    /// The store did as it was asked, and the answer was lost.
    FailedButPersisted,
}

#[derive(Default)]
struct Faults {
    puts: Option<(Way, u32)>,
    percent: u8,
    random: Option<fastrand::Rng>,
    struck: u64,
}

static FAULTS: Mutex<Option<Faults>> = Mutex::new(None);

fn with<T>(change: impl FnOnce(&mut Faults) -> T) -> T {
    let mut faults = FAULTS.lock().unwrap_or_else(PoisonError::into_inner);
    change(faults.get_or_insert_default())
}

/// Breaks the next `times` requests that write an object.
pub fn break_puts(way: Way, times: u32) {
    with(|faults| faults.puts = Some((way, times)));
}

/// Breaks this share of all requests, in both ways alike; 0 to 100.
pub fn break_some(percent: u8, seed: u64) {
    with(|faults| {
        faults.percent = percent;
        faults.random = Some(fastrand::Rng::with_seed(seed));
    });
}

/// How many requests were broken so far.
#[must_use]
pub fn struck() -> u64 {
    with(|faults| faults.struck)
}

pub(super) fn strike(is_put: bool) -> Option<Way> {
    with(|faults| {
        let way = faults.next(is_put);
        faults.struck += u64::from(way.is_some());
        way
    })
}

impl Faults {
    fn next(&mut self, is_put: bool) -> Option<Way> {
        if let (true, Some((way, times))) = (is_put, &mut self.puts)
            && *times > 0
        {
            *times -= 1;
            return Some(*way);
        }
        let random = self.random.as_mut()?;
        if random.u8(0..100) >= self.percent {
            return None;
        }
        Some(match random.bool() {
            true => Way::Failed,
            false => Way::FailedButPersisted,
        })
    }
}

pub(super) fn error() -> std::io::Error {
    std::io::Error::other("broken on demand")
}
