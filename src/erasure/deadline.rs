//! Until when a request has to be carried out: Art. 12(3), "within one month of receipt", which "may be extended by two further
//! months where necessary". Calendar months, in UTC; of a day that the month does not have, its last.

use jiff::{Timestamp, ToSpan, tz::TimeZone};

/// How long there is.
pub const MONTHS: i32 = 1;
/// By how much that may be extended.
pub const EXTENSION_MONTHS: i32 = 2;

/// So many months after `from`; the end of the calendar where that is nearer.
#[must_use]
pub fn due(from: Timestamp, months: i32) -> Timestamp {
    let zoned = from.to_zoned(TimeZone::UTC);
    let due = zoned.checked_add(months.months());
    due.map_or(Timestamp::MAX, |due| due.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_the_calendars() {
        let day = |text: &str| -> Timestamp { text.parse().expect("a time") };
        let start = day("2026-01-31T12:00:00Z");
        assert_eq!(due(start, MONTHS), day("2026-02-28T12:00:00Z"));
        assert_eq!(
            due(start, MONTHS + EXTENSION_MONTHS),
            day("2026-04-30T12:00:00Z")
        );
        assert_eq!(due(Timestamp::MAX, MONTHS), Timestamp::MAX);
    }
}
