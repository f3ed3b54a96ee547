//! Floor 0: times and durations as people read them.

use std::time::Duration;

use jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// `2026-05-08T12:30:00Z` of microseconds since 1970.
#[must_use]
pub fn rfc3339(micros: i64) -> String {
    // Out of range only if somebody else wrote it.
    Timestamp::from_second(micros.div_euclid(1_000_000))
        .map_or_else(|_| format!("{micros} µs"), |time| time.to_string())
}

/// `3 min ago`, or `in 3 min`. The database's clock may be a little ahead of ours.
#[must_use]
pub fn relative(micros: i64, now: Timestamp) -> String {
    let seconds = now.as_microsecond().saturating_sub(micros) / 1_000_000;
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("{} ago", span(seconds)),
        _ => format!("in {}", span(-seconds)),
    }
}

/// Both: `2026-05-08T12:30:00Z (3 min ago)`.
#[must_use]
pub fn full(micros: i64, now: Timestamp) -> String {
    format!("{} ({})", rfc3339(micros), relative(micros, now))
}

/// `10 min` where that is exact, and seconds where it is not.
#[must_use]
pub fn exact(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds as i64 {
        s if s > 0 && s % HOUR == 0 => format!("{} h", s / HOUR),
        s if s > 0 && s % MINUTE == 0 => format!("{} min", s / MINUTE),
        s => format!("{s} s"),
    }
}

fn span(seconds: i64) -> String {
    match seconds {
        ..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => format!("{} min", seconds / MINUTE),
        HOUR..DAY => format!("{} h", seconds / HOUR),
        _ => format!("{} d", seconds / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_largest_whole_unit() {
        let now = Timestamp::from_second(1_000_000_000).expect("a time");
        for (seconds_ago, text) in [
            (0, "now"),
            (1, "1 s ago"),
            (59, "59 s ago"),
            (60, "1 min ago"),
            (3599, "59 min ago"),
            (3600, "1 h ago"),
            (86_399, "23 h ago"),
            (86_400 * 400, "400 d ago"),
            (-90, "in 1 min"),
        ] {
            let then = now.as_microsecond() - seconds_ago * 1_000_000;
            assert_eq!(relative(then, now), text);
        }
        assert_eq!(
            full(999_999_940_500_000, now),
            "2001-09-09T01:45:40Z (59 s ago)"
        );
        assert_eq!(rfc3339(i64::MAX), "9223372036854775807 µs");
    }

    #[test]
    fn durations_keep_their_seconds() {
        for (seconds, text) in [
            (0, "0 s"),
            (90, "90 s"),
            (600, "10 min"),
            (3600, "1 h"),
            (5400, "90 min"),
        ] {
            assert_eq!(exact(Duration::from_secs(seconds)), text);
        }
    }
}
