//! Segments: rows as lines of JSON, personal fields encrypted, compressed with zstd.
//!
//! A line is an object with every column. NULL, booleans, integers and text in UTF-8 stand as what they are in JSON; other
//! values as an object with one key that says what they are. So any row of either kind of database comes back byte for byte.

use std::io::{BufRead, BufReader, Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{BackupError, envelope::Place, keyring::Keyring, owner::Owners, personal::Table};
use crate::qwed::tables::{Cell, Record, TableSchema};

/// zstd's own default: half a core's time of the encryption, and a third of the size.
const LEVEL: i32 = 3;

/// A value as JSON.
pub(super) fn to_json(cell: &Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Bool(truth) => json!(truth),
        Cell::Integer(number) => json!(number),
        // As text: JSON has no infinity, and readers of JSON differ in how exactly they read decimals.
        Cell::Real(number) => json!({ "real": format!("{number:?}") }),
        Cell::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => json!(text),
            Err(_) => json!({ "text": STANDARD.encode(text) }),
        },
        Cell::Blob(bytes) => json!({ "blob": STANDARD.encode(bytes) }),
    }
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

/// A segment that is being written.
pub(super) struct Writer<'a> {
    table: &'a Table,
    schema: &'a TableSchema,
    encoder: zstd::Encoder<'static, Vec<u8>>,
    first_id: i64,
    last_id: i64,
    rows: i64,
}

/// A segment that is complete.
pub(super) struct Segment {
    pub(super) bytes: Vec<u8>,
    pub(super) first_id: i64,
    pub(super) last_id: i64,
    pub(super) rows: i64,
}

impl<'a> Writer<'a> {
    pub(super) fn new(table: &'a Table, schema: &'a TableSchema) -> Result<Self, BackupError> {
        let encoder = zstd::Encoder::new(Vec::new(), LEVEL).and_then(|mut encoder| {
            encoder.include_checksum(true)?;
            Ok(encoder)
        });
        Ok(Self {
            table,
            schema,
            encoder: encoder.map_err(failed)?,
            first_id: 0,
            last_id: 0,
            rows: 0,
        })
    }

    /// Appends a row. The keyring has to have been prepared for its subject.
    pub(super) fn push(
        &mut self,
        record: &Record,
        owners: &Owners<'_>,
        keys: &Keyring<'_>,
    ) -> Result<(), BackupError> {
        let subject = owners.subject(record.id, &record.cells);
        let organization = owners.organization(record.id, &record.cells);
        let mut line = Zeroizing::new(Vec::with_capacity(1024));
        for (column, cell) in self.schema.columns.iter().zip(&record.cells) {
            let start = if line.is_empty() { b'{' } else { b',' };
            line.push(start);
            write_json(&mut line, &json!(column.name));
            line.push(b':');
            if *cell == Cell::Null || !self.table.is_personal(&column.name) {
                write_json(&mut line, &to_json(cell));
                continue;
            }
            let (key_id, key) = keys.of(&subject).ok_or_else(|| {
                BackupError::Refused(format!("no data key is at hand for {subject}"))
            })?;
            let place = Place {
                table: self.table.name,
                column: &column.name,
                id: record.id,
                organization,
            };
            let mut plain = Zeroizing::new(Vec::new());
            write_json(&mut plain, &to_json(cell));
            let sealed = STANDARD.encode(key.seal(&plain, &place)?);
            // Neither needs escaping.
            line.extend_from_slice(
                format!("{{\"enc\":\"{sealed}\",\"key\":\"{key_id}\"}}").as_bytes(),
            );
        }
        line.extend_from_slice(b"}\n");
        self.encoder.write_all(&line).map_err(failed)?;
        if self.rows == 0 {
            self.first_id = record.id;
        }
        self.last_id = record.id;
        self.rows += 1;
        Ok(())
    }

    /// Bytes that are certain by now; a little more is still being compressed.
    pub(super) fn size_bytes(&self) -> usize {
        self.encoder.get_ref().len()
    }

    /// The segment; none if there was no row.
    pub(super) fn finish(self) -> Result<Option<Segment>, BackupError> {
        let Self {
            encoder,
            first_id,
            last_id,
            rows,
            ..
        } = self;
        let bytes = encoder.finish().map_err(failed)?;
        Ok((rows > 0).then_some(Segment {
            bytes,
            first_id,
            last_id,
            rows,
        }))
    }
}

fn write_json(out: &mut Vec<u8>, value: &Value) {
    serde_json::to_writer(out, value).expect("a vector takes all, and keys are text");
}

fn failed(error: std::io::Error) -> BackupError {
    BackupError::TooLarge(format!("cannot compress a segment: {error}"))
}

/// A field as it stands in a line.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Field {
    Plain(Cell),
    Encrypted { key: String, sealed: Vec<u8> },
}

/// The lines of a segment.
pub(super) struct Reader<'a> {
    name: &'a str,
    lines: BufReader<zstd::Decoder<'static, BufReader<&'a [u8]>>>,
    line: Zeroizing<Vec<u8>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(name: &'a str, bytes: &'a [u8]) -> Result<Self, BackupError> {
        let decoder = zstd::Decoder::new(bytes).map_err(|e| BackupError::broken(name, e))?;
        Ok(Self {
            name,
            lines: BufReader::with_capacity(1 << 16, decoder),
            line: Zeroizing::new(Vec::new()),
        })
    }

    /// The next row: the fields of these columns, NULL for those that the row does not have.
    pub(super) fn next(&mut self, columns: &[String]) -> Result<Option<Vec<Field>>, BackupError> {
        let broken = |problem: &dyn ToString| BackupError::broken(self.name, problem.to_string());
        self.line.clear();
        let read = self.lines.read_until(b'\n', &mut self.line);
        if read.map_err(|error| broken(&error))? == 0 {
            return Ok(None);
        }
        let line: Value = serde_json::from_slice(&self.line).map_err(|error| broken(&error))?;
        let Value::Object(mut line) = line else {
            return Err(broken(&"a line is no object"));
        };
        let fields = columns.iter().map(|column| {
            let value = line.remove(column).unwrap_or(Value::Null);
            field(value).ok_or_else(|| broken(&format!("the column {column} holds no value")))
        });
        fields.collect::<Result<_, _>>().map(Some)
    }
}

fn field(value: Value) -> Option<Field> {
    let sealed = value.get("enc").and_then(Value::as_str);
    if let Some(sealed) = sealed {
        return Some(Field::Encrypted {
            key: value.get("key")?.as_str()?.to_owned(),
            sealed: STANDARD.decode(sealed).ok()?,
        });
    }
    from_json(value).map(Field::Plain)
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
            let text = to_json(&cell).to_string();
            let back = from_json(serde_json::from_str(&text).unwrap()).unwrap();
            assert_eq!(format!("{back:?}"), format!("{cell:?}"), "{text}");
        }
        for text in ["[]", "1.5", "{}", r#"{"real":"x"}"#, r#"{"blob":"?"}"#] {
            assert_eq!(from_json(serde_json::from_str(text).unwrap()), None);
        }
    }
}
