//! Values as JSON and as CSV.
//!
//! JSON keeps what a value is: NULL, true and false, numbers with all their digits, text as it is stored, also where it is JSON
//! itself. What JSON has no word for stands as an object with one key that says what it is: `real` for a number that is
//! infinite or none, `base64` for bytes and for text that is not UTF-8.
//!
//! In CSV NULL is empty, and a text cell that a spreadsheet could take for a formula begins with an apostrophe, as does one that
//! begins with an apostrophe itself: whoever takes one apostrophe away from the front of each cell that has one has the exact
//! text again. Numbers are left alone.

use std::borrow::Cow;
use std::io::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;

use crate::qwed::tables::{Cell, ColumnSchema};

/// What a column's declared type says beyond the type of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// SQLite keeps truth as 0 and 1.
    Boolean,
    /// PostgreSQL's numbers with fractions come as text.
    Number,
    /// As the value is.
    Other,
}

impl Kind {
    pub(super) fn of(column: &ColumnSchema) -> Self {
        match column.kind.to_ascii_lowercase().as_str() {
            "boolean" => Self::Boolean,
            "double precision" | "real" | "numeric" => Self::Number,
            kind if kind.starts_with("numeric(") => Self::Number,
            _ => Self::Other,
        }
    }
}

/// A value as both formats see it.
enum Plain<'a> {
    Null,
    Bool(bool),
    /// As JSON writes it, and CSV.
    Number(Cow<'a, str>),
    Text(&'a str),
    /// What is no number that JSON can write.
    Real(f64),
    Bytes(&'a [u8]),
}

fn plain(cell: &Cell, kind: Kind) -> Plain<'_> {
    match cell {
        Cell::Null => Plain::Null,
        Cell::Bool(truth) => Plain::Bool(*truth),
        Cell::Integer(0 | 1) if kind == Kind::Boolean => Plain::Bool(*cell == Cell::Integer(1)),
        Cell::Integer(number) => Plain::Number(number.to_string().into()),
        // Rust writes the shortest digits that read back to the same number, as JSON has them.
        Cell::Real(number) if number.is_finite() => Plain::Number(format!("{number:?}").into()),
        Cell::Real(number) => Plain::Real(*number),
        Cell::Text(text) => match std::str::from_utf8(text) {
            Ok(text) if kind == Kind::Number && is_number(text) => Plain::Number(text.into()),
            Ok(text) => Plain::Text(text),
            Err(_) => Plain::Bytes(text),
        },
        Cell::Blob(bytes) => Plain::Bytes(bytes),
    }
}

/// Whether JSON can write the number as it stands.
fn is_number(text: &str) -> bool {
    !text.contains(char::is_whitespace) && serde_json::from_str::<serde_json::Number>(text).is_ok()
}

/// Appends a value as JSON.
pub(super) fn write_json(out: &mut Vec<u8>, cell: &Cell, kind: Kind) {
    match plain(cell, kind) {
        Plain::Null => out.extend(b"null"),
        Plain::Bool(truth) => put_json(out, &truth),
        Plain::Number(number) => out.extend(number.as_bytes()),
        Plain::Text(text) => put_json(out, text),
        Plain::Real(number) => put_tagged(out, "real", &format!("{number:?}")),
        Plain::Bytes(bytes) => put_tagged(out, "base64", &STANDARD.encode(bytes)),
    }
}

fn put_tagged(out: &mut Vec<u8>, tag: &str, text: &str) {
    out.push(b'{');
    put_json(out, tag);
    out.extend(b": ");
    put_json(out, text);
    out.push(b'}');
}

/// Appends anything that is JSON.
pub(super) fn put_json(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(out.by_ref(), value).expect("a buffer takes all, and it is no map");
}

/// A value as a cell of CSV.
pub(super) fn csv_cell(cell: &Cell, kind: Kind) -> Cow<'_, str> {
    match plain(cell, kind) {
        Plain::Null => "".into(),
        Plain::Bool(truth) => if truth { "true" } else { "false" }.into(),
        Plain::Number(number) => number,
        Plain::Text(text) => harmless(text),
        // Words, and no spreadsheet takes them for more: "inf", "-inf", "NaN".
        Plain::Real(number) => harmless(&format!("{number:?}")).into_owned().into(),
        Plain::Bytes(bytes) => STANDARD.encode(bytes).into(),
    }
}

/// A text that no spreadsheet takes for a formula (<https://owasp.org/www-community/attacks/CSV_Injection>).
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    let is_taken = |first: char| {
        matches!(
            first,
            '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠' | '\''
        )
    };
    match text.chars().next() {
        Some(first) if is_taken(first) => format!("'{text}").into(),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(cell: &Cell, kind: Kind) -> String {
        let mut out = Vec::new();
        write_json(&mut out, cell, kind);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    fn text(text: &str) -> Cell {
        Cell::Text(text.into())
    }

    #[test]
    fn json_keeps_what_a_value_is() {
        for (cell, kind, expected) in [
            (Cell::Null, Kind::Boolean, "null"),
            (Cell::Bool(true), Kind::Other, "true"),
            (Cell::Integer(1), Kind::Boolean, "true"),
            (Cell::Integer(0), Kind::Boolean, "false"),
            (Cell::Integer(7), Kind::Boolean, "7"),
            (Cell::Integer(1), Kind::Other, "1"),
            (Cell::Integer(i64::MIN), Kind::Other, "-9223372036854775808"),
            (Cell::Real(0.1 + 0.2), Kind::Number, "0.30000000000000004"),
            (Cell::Real(1e300), Kind::Other, "1e300"),
            (Cell::Real(-0.0), Kind::Other, "-0.0"),
            (Cell::Real(f64::INFINITY), Kind::Other, r#"{"real": "inf"}"#),
            (text("1e+300"), Kind::Number, "1e+300"),
            (text("0.10"), Kind::Number, "0.10"),
            (text("NaN"), Kind::Number, r#""NaN""#),
            (text("0.10"), Kind::Other, r#""0.10""#),
            (text("{\"a\": 1}"), Kind::Other, r#""{\"a\": 1}""#),
            (text("ä\u{0}\n"), Kind::Other, r#""ä\u0000\n""#),
            (
                Cell::Blob(vec![0, 255]),
                Kind::Other,
                r#"{"base64": "AP8="}"#,
            ),
            (Cell::Text(vec![255]), Kind::Other, r#"{"base64": "/w=="}"#),
        ] {
            assert_eq!(json(&cell, kind), expected, "{cell:?}");
            let parsed = serde_json::from_str::<serde_json::Value>(expected);
            assert!(parsed.is_ok(), "{expected}");
        }
    }

    #[test]
    fn no_cell_of_csv_is_a_formula() {
        for (cell, expected) in [
            (Cell::Null, ""),
            (Cell::Integer(-5), "-5"),
            (Cell::Real(-0.5), "-0.5"),
            (Cell::Real(f64::NEG_INFINITY), "'-inf"),
            (text("=1+1"), "'=1+1"),
            (text("-5"), "'-5"),
            (text("@SUM(A1)"), "'@SUM(A1)"),
            (text("\t=1"), "'\t=1"),
            (text("＝1"), "'＝1"),
            (text("'quoted'"), "''quoted'"),
            (text("a=1"), "a=1"),
            (text("1 - 1"), "1 - 1"),
            (text(""), ""),
        ] {
            assert_eq!(csv_cell(&cell, Kind::Other), expected, "{cell:?}");
        }
    }
}
