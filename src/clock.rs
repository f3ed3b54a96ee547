//! The time, from one place, so that what depends on it can be tested at any time.

use jiff::Timestamp;

/// Tells the time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Clock {
    /// Now.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that asks the system"
    )]
    pub fn now(self) -> Timestamp {
        Timestamp::now()
    }
}
