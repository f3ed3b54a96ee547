//! PostgreSQL's binary `COPY` format, as far as QWED's columns need it.
//!
//! Format: <https://www.postgresql.org/docs/current/sql-copy.html>, "Binary Format". A header, then for
//! each row the number of fields and each field as length and bytes (length -1 for NULL), then a trailer
//! of -1. Integers are big-endian; times are microseconds since 2000-01-01.

use super::schema::COLUMNS;
use crate::trail::{
    row::{Row, Value},
    time::Time,
};

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, and length of the (empty) extension.
const HEADER_BYTES: usize = SIGNATURE.len() + 8;
/// Microseconds from 1970 to 2000.
const EPOCH_2000: i64 = 946_684_800_000_000;

/// How a column's bytes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// `smallint`, `integer` or `bigint`, told apart by length.
    Integer,
    /// `text`, `character varying` or `character`.
    Text,
    /// `boolean`.
    Boolean,
    /// `timestamp`, with or without time zone; both in UTC.
    Timestamp,
}

/// The readings of [`Row`]'s columns, after checking that the server's types are QWED's.
///
/// # Errors
/// What is different, in words, for a column of another type.
pub(super) fn columns(described: &[(String, String)]) -> Result<Vec<Column>, String> {
    const EXPECTED: [(&str, Column); COLUMNS] = [
        ("id", Column::Integer),
        ("organization_id", Column::Integer),
        ("user_id", Column::Integer),
        ("query", Column::Text),
        ("result", Column::Text),
        ("is_verified", Column::Boolean),
        ("domain", Column::Text),
        ("timestamp", Column::Timestamp),
        ("entry_hash", Column::Text),
        ("hmac_signature", Column::Text),
        ("previous_hash", Column::Text),
        ("raw_llm_output", Column::Text),
        ("api_key_id", Column::Integer),
        ("verifier_version", Column::Text),
        ("admission", Column::Text),
    ];
    EXPECTED
        .into_iter()
        .map(|(name, column)| {
            let found = described.iter().find(|(found, _)| found == name);
            let fits = found.is_none_or(|(_, kind)| match column {
                Column::Integer => matches!(kind.as_str(), "smallint" | "integer" | "bigint"),
                Column::Text => matches!(kind.as_str(), "text" | "character varying" | "character"),
                Column::Boolean => kind == "boolean",
                Column::Timestamp => kind.starts_with("timestamp"),
            });
            match found {
                Some((_, kind)) if !fits => Err(format!(
                    "column {name:?} of \"verificationlog\" has the type {kind}, which no release of QWED gives it"
                )),
                _ => Ok(column),
            }
        })
        .collect()
}

/// Reads rows out of the stream.
pub(super) struct Decoder<'c> {
    columns: &'c [Column],
    has_header: bool,
    is_done: bool,
}

impl<'c> Decoder<'c> {
    pub(super) fn new(columns: &'c [Column]) -> Self {
        Self {
            columns,
            has_header: false,
            is_done: false,
        }
    }

    /// Whether the trailer was read.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Hands the whole rows at the start of `bytes` to `visit`; answers how many bytes they took.
    #[inline]
    pub(super) fn rows(&mut self, bytes: &[u8], visit: &mut impl FnMut(&Row<'_>)) -> usize {
        let mut at = 0;
        if !self.has_header {
            if bytes.len() < HEADER_BYTES {
                return 0;
            }
            at = HEADER_BYTES;
            self.has_header = true;
        }
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if rest.starts_with(&(-1_i16).to_be_bytes()) {
                self.is_done = true;
                return bytes.len();
            }
            match self.row(rest) {
                Some((row, length)) => {
                    visit(&row);
                    at += length;
                }
                None => break,
            }
        }
        at
    }

    #[inline]
    fn row<'a>(&self, bytes: &'a [u8]) -> Option<(Row<'a>, usize)> {
        let mut rest = bytes.get(2..)?;
        let mut values = [Value::Null; COLUMNS];
        for (value, &column) in values.iter_mut().zip(self.columns) {
            let (length, behind) = rest.split_first_chunk::<4>()?;
            let length = i32::from_be_bytes(*length);
            rest = behind;
            if let Ok(length) = usize::try_from(length) {
                let (field, behind) = rest.split_at_checked(length)?;
                *value = read(column, field);
                rest = behind;
            }
        }
        let [
            id,
            organization_id,
            user_id,
            query,
            result,
            is_verified,
            domain,
            timestamp,
            entry_hash,
            hmac_signature,
            previous_hash,
            raw_llm_output,
            api_key_id,
            verifier_version,
            admission,
        ] = values;
        let row = Row {
            id: id.integer()?,
            organization_id,
            user_id,
            query,
            result,
            is_verified,
            domain,
            timestamp: match timestamp {
                // The ends of the range are PostgreSQL's infinities, no times.
                Value::Integer(i64::MIN | i64::MAX) => Time::Invalid,
                Value::Integer(micros) => Time::Micros(micros.saturating_add(EPOCH_2000)),
                _ => Time::Invalid,
            },
            entry_hash,
            hmac_signature,
            previous_hash,
            raw_llm_output,
            api_key_id,
            verifier_version,
            admission,
            erased: None,
        };
        Some((row, bytes.len() - rest.len()))
    }
}

#[inline]
fn read(column: Column, field: &[u8]) -> Value<'_> {
    match (column, field) {
        (Column::Text, text) => Value::Text(text),
        (Column::Boolean, [byte]) => Value::Bool(*byte != 0),
        (Column::Integer | Column::Timestamp, field) => match *field {
            [a, b] => Value::Integer(i16::from_be_bytes([a, b]).into()),
            [a, b, c, d] => Value::Integer(i32::from_be_bytes([a, b, c, d]).into()),
            [a, b, c, d, e, f, g, h] => {
                Value::Integer(i64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
            _ => Value::Blob(field),
        },
        (Column::Boolean, field) => Value::Blob(field),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(rows: usize) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0; 8]);
        for id in 0..rows {
            bytes.extend((COLUMNS as i16).to_be_bytes());
            bytes.extend(4_i32.to_be_bytes());
            bytes.extend((id as i32).to_be_bytes());
            for column in 1..COLUMNS {
                match column {
                    3 => {
                        bytes.extend(5_i32.to_be_bytes());
                        bytes.extend(b"query");
                    }
                    7 => {
                        bytes.extend(8_i32.to_be_bytes());
                        bytes.extend(1_i64.to_be_bytes());
                    }
                    _ => bytes.extend((-1_i32).to_be_bytes()),
                }
            }
        }
        bytes.extend((-1_i16).to_be_bytes());
        bytes
    }

    fn types() -> Vec<Column> {
        columns(&[]).unwrap()
    }

    #[test]
    fn reads_rows_wherever_chunks_end() {
        let bytes = stream(3);
        for chunk in 1..bytes.len() {
            let columns = types();
            let mut decoder = Decoder::new(&columns);
            let (mut pending, mut ids) = (Vec::new(), Vec::new());
            for piece in bytes.chunks(chunk) {
                pending.extend_from_slice(piece);
                let read = decoder.rows(&pending, &mut |row: &Row<'_>| {
                    assert_eq!(row.query, Value::Text(b"query"));
                    assert_eq!(row.timestamp, Time::Micros(EPOCH_2000 + 1));
                    assert_eq!(row.domain, Value::Null);
                    ids.push(row.id);
                });
                pending.drain(..read);
            }
            assert_eq!(ids, [0, 1, 2], "chunks of {chunk}");
            assert!(decoder.is_done());
        }
    }

    #[test]
    fn a_stream_that_breaks_off_is_not_done() {
        let bytes = stream(2);
        let columns = types();
        let mut decoder = Decoder::new(&columns);
        decoder.rows(&bytes[..bytes.len() - 2], &mut |_: &Row<'_>| {});
        assert!(!decoder.is_done());
    }

    #[test]
    fn refuses_types_that_are_not_qweds() {
        let described = [("result".to_owned(), "jsonb".to_owned())];
        assert!(columns(&described).unwrap_err().contains("\"result\""));
        let described = [("id".to_owned(), "bigint".to_owned())];
        assert!(columns(&described).is_ok());
    }
}
