//! Points in time as QWED stores and signs them.
//!
//! SQLite holds text `YYYY-MM-DD HH:MM:SS.ffffff` in UTC, PostgreSQL microseconds. What is signed is
//! Python's `isoformat()`: `T` between date and time, microseconds left out when they are zero, and
//! since QWED 7.3.0 `+00:00` behind.

use jiff::{Timestamp, civil::DateTime, fmt::strtime, tz::Offset};

/// The value of a `timestamp` column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Time<'a> {
    /// SQLite's text, as it is stored.
    Text(&'a [u8]),
    /// Microseconds since 1970-01-01 UTC.
    Micros(i64),
    /// NULL, a number, or whatever else does not denote a time.
    Invalid,
}

/// Length of QWED's text `YYYY-MM-DD HH:MM:SS.ffffff`.
const STORED_LENGTH: usize = 26;

impl Time<'_> {
    /// Whether the column is spelled exactly as QWED writes it. QWED reads other spellings of the
    /// same instant too, so its hash cannot tell them apart; whoever wrote one was not QWED.
    #[must_use]
    pub fn is_as_written(&self) -> bool {
        match self {
            Self::Text(text) => is_stored_form(text),
            Self::Micros(_) => true,
            Self::Invalid => false,
        }
    }

    /// Appends `isoformat()` without an offset; `false` where the value denotes no time.
    #[must_use]
    pub fn write_iso(&self, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Text(text) if is_stored_form(text) => {
                out.extend_from_slice(&text[..10]);
                out.push(b'T');
                let fraction = &text[19..];
                let seconds = if fraction == b".000000" {
                    19
                } else {
                    STORED_LENGTH
                };
                out.extend_from_slice(&text[11..seconds]);
                true
            }
            _ => match self.civil() {
                Some(civil) if (1..=9999).contains(&civil.year()) => {
                    write_civil(out, civil);
                    true
                }
                _ => false,
            },
        }
    }

    /// Microseconds since 1970-01-01 UTC, or `None` where the value denotes no time.
    #[must_use]
    pub fn micros(&self) -> Option<i64> {
        match self {
            Self::Micros(micros) => Some(*micros),
            _ => {
                let timestamp = Offset::UTC.to_timestamp(self.civil()?).ok()?;
                Some(timestamp.as_microsecond())
            }
        }
    }

    fn civil(&self) -> Option<DateTime> {
        match self {
            Self::Text(text) => {
                let text = core::str::from_utf8(text).ok()?;
                parse_utc(text)
            }
            Self::Micros(micros) => {
                let timestamp = Timestamp::from_microsecond(*micros).ok()?;
                Some(Offset::UTC.to_datetime(timestamp))
            }
            Self::Invalid => None,
        }
    }
}

/// Reads ISO 8601 as `datetime.fromisoformat` does for what occurs in practice: a date, or a date and
/// a time with `T` or a space between, with an offset or, without one, in UTC. Finer than
/// microseconds is cut off.
#[must_use]
pub fn parse_utc(text: &str) -> Option<DateTime> {
    let civil = match text.parse::<Timestamp>() {
        Ok(timestamp) => Offset::UTC.to_datetime(timestamp),
        Err(_) if text.ends_with(['Z', 'z', ']']) => return None,
        Err(_) => text.parse().ok()?,
    };
    let nanoseconds = civil.subsec_nanosecond() / 1000 * 1000;
    civil.with().subsec_nanosecond(nanoseconds).build().ok()
}

/// Microseconds since 1970 UTC as QWED stores them in SQLite. Beyond the years 1 to 9999, text that sorts
/// before or behind every such time.
#[must_use]
pub fn stored_text(micros: i64) -> String {
    let mut iso = Vec::new();
    if !Time::Micros(micros).write_iso(&mut iso) {
        return if micros < 0 {
            String::new()
        } else {
            "9999-99".to_owned()
        };
    }
    let text = String::from_utf8_lossy(&iso).replace('T', " ");
    if text.contains('.') {
        text
    } else {
        text + ".000000"
    }
}

#[inline]
fn is_stored_form(text: &[u8]) -> bool {
    const PATTERN: &[u8; STORED_LENGTH] = b"0000-00-00 00:00:00.000000";
    let Ok(text) = <&[u8; STORED_LENGTH]>::try_from(text) else {
        return false;
    };
    // No early exit, so that the compiler can do it in a few wide instructions.
    let shape = text
        .iter()
        .zip(PATTERN)
        .fold(true, |ok, (&byte, &pattern)| {
            ok & if pattern == b'0' {
                byte.wrapping_sub(b'0') < 10
            } else {
                byte == pattern
            }
        });
    let two = |at: usize| (text[at] - b'0') * 10 + (text[at + 1] - b'0');
    shape
        && matches!(two(5), 1..=12)
        && (matches!(two(8), 1..=28) || day_exists(text))
        && two(11) < 24
        && two(14) < 60
        && two(17) < 60
        && &text[..4] != b"0000"
}

/// The days that not every month has.
#[cold]
fn day_exists(text: &[u8; STORED_LENGTH]) -> bool {
    strtime::parse("%Y-%m-%d", &text[..10]).is_ok_and(|parsed| parsed.to_date().is_ok())
}

fn write_civil(out: &mut Vec<u8>, civil: DateTime) {
    let whole = [
        (i32::from(civil.year()), 4, b'-'),
        (civil.month().into(), 2, b'-'),
        (civil.day().into(), 2, b'T'),
        (civil.hour().into(), 2, b':'),
        (civil.minute().into(), 2, b':'),
        (civil.second().into(), 2, b'.'),
    ];
    for (value, width, separator) in whole {
        write_digits(out, value, width);
        out.push(separator);
    }
    match civil.subsec_nanosecond() / 1000 {
        0 => out.truncate(out.len() - 1),
        micros => write_digits(out, micros, 6),
    }
}

#[inline]
fn write_digits(out: &mut Vec<u8>, value: i32, width: u32) {
    for place in (0..width).rev() {
        out.push(b'0' + (value / 10_i32.pow(place) % 10) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn iso(time: Time<'_>) -> Option<String> {
        let mut out = Vec::new();
        time.write_iso(&mut out)
            .then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn drops_microseconds_that_are_zero() {
        let text = |text: &'static str| iso(Time::Text(text.as_bytes())).unwrap();
        assert_eq!(text("2026-05-08 00:00:00.000000"), "2026-05-08T00:00:00");
        assert_eq!(
            text("2026-05-08 01:02:03.000450"),
            "2026-05-08T01:02:03.000450"
        );
        assert_eq!(iso(Time::Micros(0)).unwrap(), "1970-01-01T00:00:00");
        assert_eq!(iso(Time::Micros(-1)).unwrap(), "1969-12-31T23:59:59.999999");
    }

    #[test]
    fn reads_other_spellings_but_knows_them_apart() {
        for text in [
            "2026-05-08T00:00:00.000000",
            "2026-05-08 00:00:00",
            "2026-05-08",
            "2026-05-08 02:00:00+02:00",
            "2026-05-08T00:00:00Z",
            "2026-05-08 00:00:00.0000001",
        ] {
            let time = Time::Text(text.as_bytes());
            assert!(!time.is_as_written(), "{text}");
            assert_eq!(iso(time).as_deref(), Some("2026-05-08T00:00:00"), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "now",
            "2026-13-01 00:00:00.000000",
            "2026-02-30 00:00:00.000000",
            "2026-02-28 24:00:00.000000",
            "0000-01-01 00:00:00.000000",
        ] {
            let time = Time::Text(text.as_bytes());
            assert!(!time.is_as_written(), "{text}");
            assert_eq!(iso(time), None, "{text}");
        }
        assert!(Time::Text(b"2028-02-29 00:00:00.000000").is_as_written());
        assert!(!Time::Text(b"2027-02-29 00:00:00.000000").is_as_written());
        assert_eq!(iso(Time::Micros(i64::MAX)), None);
        assert_eq!(iso(Time::Invalid), None);
    }

    proptest! {
        #[test]
        fn text_and_micros_agree(micros in -62_135_596_800_000_000i64..=253_402_300_799_999_999) {
            let written = iso(Time::Micros(micros)).unwrap();
            let fraction = if written.contains('.') { "" } else { ".000000" };
            let stored = format!("{}{fraction}", written.replace('T', " "));
            let time = Time::Text(stored.as_bytes());
            prop_assert!(time.is_as_written());
            prop_assert_eq!(time.micros(), Some(micros));
            prop_assert_eq!(iso(time).unwrap(), written);
        }
    }
}
