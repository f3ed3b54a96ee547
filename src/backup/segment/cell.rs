//! Values as JSON.
//!
//! NULL, booleans, integers and text in UTF-8 stand as what they are in JSON; other values as an object with one key that
//! says what they are. So any row of either kind of database comes back byte for byte.

use std::io::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::qwed::tables::Cell;

/// Appends a value.
pub(super) fn write_cell(out: &mut impl Write, cell: &Cell) {
    match cell {
        Cell::Null => write_json(out, &()),
        Cell::Bool(truth) => write_json(out, truth),
        Cell::Integer(number) => write_json(out, number),
        // As text: JSON has no infinity, and readers of JSON differ in how exactly they read decimals.
        Cell::Real(number) => write_tagged(out, "real", &format!("{number:?}")),
        Cell::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => write_json(out, text),
            Err(_) => write_tagged(out, "text", &Zeroizing::new(STANDARD.encode(text))),
        },
        Cell::Blob(bytes) => write_tagged(out, "blob", &Zeroizing::new(STANDARD.encode(bytes))),
    }
}

fn write_tagged(out: &mut impl Write, tag: &str, text: &str) {
    write(out, b"{");
    write_json(out, tag);
    write(out, b":");
    write_json(out, text);
    write(out, b"}");
}

/// Appends anything that is JSON, such as a column's name.
pub(super) fn write_json(out: &mut impl Write, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(out, value).expect("a buffer takes all, and it is no map");
}

pub(super) fn write(out: &mut impl Write, bytes: &[u8]) {
    out.write_all(bytes).expect("a buffer takes all");
}

/// A value from JSON; `None` if it is no value.
pub(super) fn from_json(value: Value) -> Option<Cell> {
    Some(match value {
        Value::Null => Cell::Null,
        Value::Bool(truth) => Cell::Bool(truth),
        Value::Number(number) => Cell::Integer(number.as_i64()?),
        Value::String(text) => Cell::Text(text.into_bytes()),
        Value::Object(object) => {
            let (key, value) = object.into_iter().next()?;
            let text = value.as_str()?;
            match key.as_str() {
                "real" => Cell::Real(text.parse().ok()?),
                "text" => Cell::Text(STANDARD.decode(text).ok()?),
                "blob" => Cell::Blob(STANDARD.decode(text).ok()?),
                _ => return None,
            }
        }
        Value::Array(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_back_as_it_was() {
        let cells = [
            Cell::Null,
            Cell::Bool(true),
            Cell::Integer(i64::MIN),
            Cell::Integer(i64::MAX),
            Cell::Real(0.1 + 0.2),
            Cell::Real(-0.0),
            Cell::Real(f64::INFINITY),
            Cell::Real(f64::MIN_POSITIVE / 3.0),
            Cell::Text(Vec::new()),
            Cell::Text("\0\n\t\u{2028} \"ä\"".into()),
            Cell::Text(vec![0xff, b'a']),
            Cell::Blob(Vec::new()),
            Cell::Blob(b"text".to_vec()),
        ];
        for cell in cells {
            let mut text = Vec::new();
            write_cell(&mut text, &cell);
            assert!(!text.contains(&b'\n'), "{cell:?}");
            let back = from_json(serde_json::from_slice(&text).unwrap()).unwrap();
            assert_eq!(format!("{back:?}"), format!("{cell:?}"));
        }
        for text in ["[]", "1.5", "{}", r#"{"real":"x"}"#, r#"{"blob":"?"}"#] {
            assert_eq!(from_json(serde_json::from_str(text).unwrap()), None);
        }
    }
}
