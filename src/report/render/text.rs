//! What people are shown: texts without the characters that deceive, numbers and times in one way everywhere.

use std::fmt::{self, Write as _};

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Number, Value};

/// Between thousands: as narrow as it can be, and no place to break a line.
const THIN: char = '\u{202f}';
/// As many characters of a cell are shown. CSV and JSON have all of them.
const CELL_CHARACTERS: usize = 400;
/// As many of a text that stands by itself.
const TEXT_CHARACTERS: usize = 4_000;
/// As many of a column's heading, which comes again on each page.
const HEADING_CHARACTERS: usize = 80;
/// What stands where nothing is.
const NOTHING: &str = "–";

/// A text in which everything can be seen. What a reader cannot see, or what would turn the order of other text around, is written
/// out as `\u{202e}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Shown(String);

impl Shown {
    /// A text that stands by itself.
    pub(super) fn text(text: &str) -> Self {
        Self::cut(text, TEXT_CHARACTERS)
    }

    /// A column's heading.
    pub(super) fn heading(text: &str) -> Self {
        Self::cut(text, HEADING_CHARACTERS)
    }

    fn cut(text: &str, max: usize) -> Self {
        let mut shown = String::with_capacity(text.len());
        let mut characters = text.chars();
        for character in characters.by_ref().take(max) {
            match character {
                '\n' => shown.push('\n'),
                '\t' => shown.push(' '),
                _ if is_hidden(character) => {
                    // Always the same spelling: `escape_default` has short ones for some.
                    let _ = write!(shown, "{}", character.escape_unicode());
                }
                _ => shown.push(character),
            }
        }
        let more = characters.count();
        if more > 0 {
            let _ = write!(shown, " … and {} more characters", count(more as u64));
        }
        Self(shown)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.trim().is_empty()
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Control characters, and those of Unicode that have no shape of their own (but for joiners, which names are spelled with).
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'
                | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{fffe}'..='\u{ffff}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// How a value is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// To the right, in digits of one width.
    Number,
    Time,
    /// There is none.
    Nothing,
}

/// A value of a table, or a measured one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) shown: Shown,
    pub(super) kind: Kind,
    /// A time with all its digits.
    pub(super) exact: String,
}

impl Cell {
    /// A value as a quantity.
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Number(it) => Self::new(Shown(number(it)), Kind::Number),
            other => Self::other(other),
        }
    }

    /// A value of a column whose numbers are names.
    pub(super) fn name(value: &Value) -> Self {
        match value {
            Value::Number(it) => Self::new(Shown(it.to_string()), Kind::Number),
            other => Self::other(other),
        }
    }

    fn other(value: &Value) -> Self {
        match value {
            Value::Null => Self::new(Shown(NOTHING.into()), Kind::Nothing),
            Value::Bool(truth) => {
                Self::new(Shown(if *truth { "yes" } else { "no" }.into()), Kind::Text)
            }
            Value::String(text) => match instant(text) {
                Some(at) => Self {
                    shown: time(at),
                    kind: Kind::Time,
                    exact: at.to_string(),
                },
                None => Self::new(Shown::cut(text, CELL_CHARACTERS), Kind::Text),
            },
            other => Self::new(Shown::cut(&other.to_string(), CELL_CHARACTERS), Kind::Text),
        }
    }

    /// With what it counts.
    pub(super) fn in_unit(self, unit: &str) -> Self {
        let unit = Shown::cut(unit, CELL_CHARACTERS);
        let gap = if unit.is_empty() { "" } else { "\u{a0}" };
        Self {
            shown: Shown(format!("{}{gap}{unit}", self.shown)),
            ..self
        }
    }

    /// What fills a row that is too short.
    pub(super) fn nothing() -> Self {
        Self::other(&Value::Null)
    }

    pub(super) fn is_number(&self) -> bool {
        self.kind == Kind::Number
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.kind == Kind::Nothing
    }

    fn new(shown: Shown, kind: Kind) -> Self {
        let exact = String::new();
        Self { shown, kind, exact }
    }
}

/// Whether numbers below this heading are names, in which nobody counts thousands.
pub(super) fn is_name(column: &str) -> bool {
    let last = column.rsplit([' ', '_', '-']).next().unwrap_or(column);
    matches!(
        last.to_ascii_lowercase().as_str(),
        "id" | "number" | "user" | "organization" | "organisation" | "entry" | "key"
    )
}

/// A date with a time and a zone, as RFC 3339 has it; nothing shorter, which a name could be.
fn instant(text: &str) -> Option<Timestamp> {
    let is_likely =
        text.len() >= 17 && text.as_bytes().get(10).is_some_and(|it| b"T ".contains(it));
    is_likely.then(|| text.parse().ok()).flatten()
}

/// `2026-11-23 12:00 UTC`; with seconds where they are not zero.
pub(super) fn time(at: Timestamp) -> Shown {
    let at = at.to_zoned(TimeZone::UTC);
    let format = if at.second() == 0 {
        "%Y-%m-%d %H:%M UTC"
    } else {
        "%Y-%m-%d %H:%M:%S UTC"
    };
    Shown(at.strftime(format).to_string())
}

/// `2026-11-23`.
pub(super) fn day(at: Timestamp) -> Shown {
    Shown(at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d").to_string())
}

/// A count with its thousands apart.
pub(super) fn count(count: u64) -> String {
    grouped(&count.to_string())
}

/// A number with its thousands apart, and at most three digits behind the point.
pub(super) fn number(number: &Number) -> String {
    let text = number.to_string();
    if text.contains(['e', 'E']) {
        return text;
    }
    match text.split_once('.') {
        None => grouped(&text),
        Some((whole, "0")) => grouped(whole),
        Some((_, fraction)) if fraction.len() > 3 => {
            let rounded = format!("{:.3}", number.as_f64().unwrap_or_default());
            // What rounds to nothing is not nothing.
            if rounded.trim_start_matches('-') == "0.000" {
                return text;
            }
            let rounded = rounded.trim_end_matches('0').trim_end_matches('.');
            let (whole, fraction) = rounded.split_once('.').unwrap_or((rounded, ""));
            join(whole, fraction)
        }
        Some((whole, fraction)) => join(whole, fraction),
    }
}

fn join(whole: &str, fraction: &str) -> String {
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}", grouped(whole))
}

fn grouped(whole: &str) -> String {
    let (sign, digits) = match whole.strip_prefix('-') {
        Some(digits) => ("−", digits),
        None => ("", whole),
    };
    let mut text = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(THIN);
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_shown_in_one_way() {
        for (value, shown, kind) in [
            (json!(null), "–", Kind::Nothing),
            (json!(true), "yes", Kind::Text),
            (json!(0), "0", Kind::Number),
            (json!(999), "999", Kind::Number),
            (json!(1234567), "1\u{202f}234\u{202f}567", Kind::Number),
            (json!(-1000), "−1\u{202f}000", Kind::Number),
            (json!(12345.5), "12\u{202f}345.5", Kind::Number),
            (json!(2.0), "2", Kind::Number),
            (json!(0.123456), "0.123", Kind::Number),
            (json!(1999.9999), "2\u{202f}000", Kind::Number),
            (json!(0.00001), "0.00001", Kind::Number),
            (json!(0.00012), "0.00012", Kind::Number),
            (json!(1e300), "1e+300", Kind::Number),
            (
                json!("2026-11-23T12:00:00Z"),
                "2026-11-23 12:00 UTC",
                Kind::Time,
            ),
            (
                json!("2026-11-23T13:00:07.25+01:00"),
                "2026-11-23 12:00:07 UTC",
                Kind::Time,
            ),
            (json!("2026-11-23"), "2026-11-23", Kind::Text),
            (json!(""), "", Kind::Text),
            (json!(["a", 1]), "[\"a\",1]", Kind::Text),
        ] {
            let cell = Cell::of(&value);
            assert_eq!((cell.shown.as_str(), cell.kind), (shown, kind), "{value}");
        }
        assert_eq!(Cell::name(&json!(1234567)).shown.as_str(), "1234567");
        let exact = Cell::of(&json!("2026-11-23T13:00:07.25+01:00")).exact;
        assert_eq!(exact, "2026-11-23T12:00:07.25Z");
    }

    #[test]
    fn columns_of_names_are_told_from_columns_of_quantities() {
        for name in ["id", "user_id", "Entry ID", "organization", "last-number"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["entries", "paid", "requests per day", "", "valid"] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        let text = Shown::text("a\u{0}\u{1b}[2J\u{202e}b\u{200b}\t\r\nc\u{feff}");
        assert_eq!(
            text.as_str(),
            "a\\u{0}\\u{1b}[2J\\u{202e}b\\u{200b} \\u{d}\nc\\u{feff}"
        );
        // Arabic and joined emoji are text.
        assert_eq!(Shown::text("نعم 👩‍💻").as_str(), "نعم 👩‍💻");
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        let text = Cell::of(&json!("é".repeat(10_000))).shown;
        assert!(text.as_str().starts_with(&"é".repeat(400)));
        assert!(
            text.as_str()
                .ends_with("é … and 9\u{202f}600 more characters")
        );
    }
}
