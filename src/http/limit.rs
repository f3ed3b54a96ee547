//! How many requests are let through: buckets that fill by the second, and of which each request takes a drop.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::config::Http;

/// Keys and addresses that are remembered, each.
const REMEMBERED: usize = 50_000;

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rate {
    per_second: f64,
    holds: f64,
}

/// Whose requests are counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    /// An API key of QWED's, by its id.
    ApiKey(i64),
    /// An operator, by name.
    Operator(String),
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    drops: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: Rate, at: Instant) -> Self {
        Self {
            drops: rate.holds,
            at,
        }
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        self.drops = (self.drops + seconds * rate.per_second).min(rate.holds);
        self.at = now;
    }

    /// Takes a drop, or says in how many seconds there is one.
    fn take(&mut self, rate: Rate, now: Instant) -> Result<(), u64> {
        self.fill(rate, now);
        if self.drops >= 1.0 {
            self.drops -= 1.0;
            return Ok(());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small positive number of seconds"
        )]
        let seconds = ((1.0 - self.drops) / rate.per_second).ceil() as u64;
        Err(seconds.max(1))
    }
}

/// Buckets by whose they are.
struct Buckets<K> {
    rate: Rate,
    buckets: Mutex<HashMap<K, Bucket>>,
}

impl<K: Eq + Hash> Buckets<K> {
    fn new(rate: Rate) -> Self {
        Self {
            rate,
            buckets: Mutex::default(),
        }
    }

    fn with<T>(&self, key: K, now: Instant, act: impl FnOnce(&mut Bucket, Rate) -> T) -> T {
        let rate = self.rate;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= REMEMBERED && !buckets.contains_key(&key) {
            // A full bucket is as good as none.
            buckets.retain(|_, bucket| {
                bucket.fill(rate, now);
                bucket.drops < rate.holds
            });
            if buckets.len() >= REMEMBERED {
                buckets.clear();
            }
        }
        let bucket = buckets
            .entry(key)
            .or_insert_with(|| Bucket::full(rate, now));
        act(bucket, rate)
    }

    fn take(&self, key: K, now: Instant) -> Result<(), u64> {
        self.with(key, now, |bucket, rate| bucket.take(rate, now))
    }

    /// Whether there is a drop, which is left where it is.
    fn has(&self, key: K, now: Instant) -> Result<(), u64> {
        self.with(key, now, |bucket, rate| {
            let mut looked = *bucket;
            looked.take(rate, now)
        })
    }
}

/// All limits.
pub(super) struct Limits {
    all: Buckets<()>,
    keys: Buckets<Whose>,
    refusals: Buckets<IpAddr>,
}

impl Limits {
    pub(super) fn new(section: &Http) -> Self {
        let per_second = |number: u32| Rate {
            per_second: number.into(),
            holds: f64::from(number) * 2.0,
        };
        let per_minute = |number: u32| Rate {
            per_second: f64::from(number) / 60.0,
            holds: number.into(),
        };
        Self {
            all: Buckets::new(per_second(section.requests_per_second)),
            keys: Buckets::new(per_second(section.requests_per_second_per_key)),
            refusals: Buckets::new(per_minute(section.refusals_per_minute)),
        }
    }

    /// Counts a request; the error is when to come back, in seconds, as everywhere here.
    pub(super) fn any(&self, now: Instant) -> Result<(), u64> {
        self.all.take((), now)
    }

    /// Counts a request of somebody who is known.
    pub(super) fn of(&self, whose: Whose, now: Instant) -> Result<(), u64> {
        self.keys.take(whose, now)
    }

    /// Whether an address may still be refused, and thus ask at all.
    pub(super) fn may_be_refused(&self, address: IpAddr, now: Instant) -> Result<(), u64> {
        self.refusals.has(network(address), now)
    }

    /// Counts a refusal.
    pub(super) fn refused(&self, address: IpAddr, now: Instant) {
        let _ = self.refusals.take(network(address), now);
    }
}

/// One customer's addresses: with IPv6 they have a whole network to choose from.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let bits = address.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_fills_by_the_second_and_holds_only_so_much() {
        let rate = Rate {
            per_second: 2.0,
            holds: 4.0,
        };
        let start = Instant::now();
        let buckets = Buckets::new(rate);
        let at = |millis| start + Duration::from_millis(millis);
        for _ in 0..4 {
            assert_eq!(buckets.take("a", at(0)), Ok(()));
        }
        assert_eq!(buckets.take("a", at(0)), Err(1));
        assert_eq!(buckets.take("b", at(0)), Ok(()));
        assert_eq!(buckets.has("a", at(500)), Ok(()));
        assert_eq!(buckets.take("a", at(500)), Ok(()));
        assert_eq!(buckets.take("a", at(500)), Err(1));
        for _ in 0..4 {
            assert_eq!(buckets.take("a", at(60_000)), Ok(()));
        }
        assert_eq!(buckets.take("a", at(60_000)), Err(1));
    }

    #[test]
    fn says_when_to_come_back() {
        let rate = Rate {
            per_second: 1.0 / 60.0,
            holds: 1.0,
        };
        let now = Instant::now();
        let buckets = Buckets::new(rate);
        assert_eq!(buckets.take(1, now), Ok(()));
        assert_eq!(buckets.take(1, now), Err(60));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let rate = Rate {
            per_second: 1.0,
            holds: 2.0,
        };
        let now = Instant::now();
        let buckets = Buckets::new(rate);
        for key in 0..REMEMBERED * 2 + 10 {
            assert_eq!(buckets.take(key, now), Ok(()));
        }
        let known = buckets.buckets.lock().expect("lock").len();
        assert!(known <= REMEMBERED, "{known}");
    }
}
