//! Waiting longer after each failure, never in step with others.

use std::time::Duration;

/// Exponential backoff with full jitter, without end.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            failures: 0,
        }
    }

    /// How long to wait after one more failure.
    pub(super) fn next(&mut self) -> Duration {
        let ceiling = exponential(self.first, self.longest, self.failures);
        self.failures = self.failures.saturating_add(1);
        jitter(ceiling)
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// `first` doubled `times` times, at most `longest`.
pub(super) fn exponential(first: Duration, longest: Duration, times: u32) -> Duration {
    first
        .saturating_mul(2_u32.saturating_pow(times.min(20)))
        .min(longest)
}

/// A random part of `ceiling`, though not so small that it would be no wait at all.
pub(super) fn jitter(ceiling: Duration) -> Duration {
    ceiling
        .mul_f64(fastrand::f64())
        .max(ceiling.min(Duration::from_millis(50)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_its_limit_and_starts_again() {
        let first = Duration::from_millis(500);
        let longest = Duration::from_secs(30);
        assert_eq!(exponential(first, longest, 0), first);
        assert_eq!(exponential(first, longest, 3), Duration::from_secs(4));
        assert_eq!(exponential(first, longest, u32::MAX), longest);
        let mut backoff = Backoff::new(first, longest);
        for _ in 0..100 {
            let wait = backoff.next();
            assert!(wait >= Duration::from_millis(50) && wait <= longest);
        }
        backoff.reset();
        assert!(backoff.next() <= first);
    }
}
