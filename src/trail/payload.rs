//! What QWED hashed: the canonical payload of an entry, in every form that its releases wrote.
//!
//! `json.dumps(payload, sort_keys=True, default=str)` of a dict whose keys depend on the release
//! ([`Shape`]) and whose `timestamp` is spelled with or without an offset ([`Spelling`]). The payload of
//! a usual entry is written into one reused buffer and hashed at once; what outgrows the buffer is hashed
//! piece by piece, so that a giant entry costs no second copy.

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{
    json::{Canonicalizer, NotJson},
    number,
    row::{Row, Value},
    text::{self, NotUtf8},
};

/// Which keys the payload has, by the QWED release that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// 8.0.0: everything.
    A,
    /// Between releases: without `admission`.
    B,
    /// 5.3.0 to 7.3.0: also without `api_key_id` and `verifier_version`.
    C,
    /// 2.0.0 to 5.2.0: also without `raw_llm_output`. These releases chained across organisations.
    D,
}

/// How the payload spells its timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// `2026-05-08T00:00:00+00:00`, since 7.3.0.
    Aware,
    /// `2026-05-08T00:00:00`, before.
    Naive,
}

/// One of the eight forms that QWED 8.0.0 accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Which keys.
    pub shape: Shape,
    /// Which spelling of the time.
    pub spelling: Spelling,
}

impl Form {
    /// Every form, the newest first.
    pub const ALL: [Self; 8] = {
        let (aware, naive) = (Spelling::Aware, Spelling::Naive);
        [
            Self {
                shape: Shape::A,
                spelling: aware,
            },
            Self {
                shape: Shape::A,
                spelling: naive,
            },
            Self {
                shape: Shape::B,
                spelling: aware,
            },
            Self {
                shape: Shape::B,
                spelling: naive,
            },
            Self {
                shape: Shape::C,
                spelling: aware,
            },
            Self {
                shape: Shape::C,
                spelling: naive,
            },
            Self {
                shape: Shape::D,
                spelling: aware,
            },
            Self {
                shape: Shape::D,
                spelling: naive,
            },
        ]
    };

    /// Whether QWED accepts this form for `row`: an older shape only while the columns that it leaves
    /// out are NULL, or else they could be set afterwards without breaking the hash.
    #[inline]
    #[must_use]
    pub fn is_accepted_for(self, row: &Row<'_>) -> bool {
        let null = |value: Value<'_>| value == Value::Null;
        match self.shape {
            Shape::A => true,
            Shape::B => null(row.admission),
            Shape::C | Shape::D => {
                null(row.admission) && null(row.api_key_id) && null(row.verifier_version)
            }
        }
    }
}

/// Why a row has no payload that QWED could have hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unhashable {
    /// `result` does not decode; QWED itself raises then.
    #[error("result is not JSON: {0}")]
    Result(NotJson),
    /// `result` is no text at all.
    #[error("result is {0}, not JSON text")]
    ResultType(&'static str),
    /// Text that is not UTF-8.
    #[error("{column} is {error}")]
    Text {
        /// The column.
        column: &'static str,
        /// Where in it.
        error: NotUtf8,
    },
    /// A type of value that QWED never writes there.
    #[error("{0} holds bytes instead of text")]
    Blob(&'static str),
    /// `timestamp` denotes no time.
    #[error("timestamp does not denote a time")]
    Time,
}

/// Above this the buffer is handed to the hash function and emptied.
const FLUSH_BYTES: usize = 64 << 10;
/// Text is escaped by pieces of this length, so that the buffer stays near its limit.
const PIECE_BYTES: usize = 16 << 10;

/// Writes payloads into a reused buffer and hashes them.
#[derive(Debug, Default)]
pub struct PayloadHasher {
    json: Canonicalizer,
    buffer: Buffer,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// What was flushed already, if anything was.
    flushed: Option<Sha256>,
}

impl Buffer {
    #[inline]
    fn push(&mut self, bytes: &[u8]) {
        if bytes.len() > PIECE_BYTES {
            self.flush();
            self.flushed.get_or_insert_default().update(bytes);
        } else {
            self.bytes.extend_from_slice(bytes);
            self.flush_if_full();
        }
    }

    #[inline]
    fn flush_if_full(&mut self) {
        if self.bytes.len() > FLUSH_BYTES {
            self.flush();
        }
    }

    #[cold]
    fn flush(&mut self) {
        self.flushed.get_or_insert_default().update(&self.bytes);
        self.bytes.clear();
    }

    #[inline]
    fn finish(&mut self) -> [u8; 32] {
        let digest = match self.flushed.take() {
            Some(mut hasher) => {
                hasher.update(&self.bytes);
                hasher.finalize()
            }
            None => Sha256::digest(&self.bytes),
        };
        self.bytes.clear();
        digest.into()
    }

    #[inline]
    fn value(&mut self, column: &'static str, value: Value<'_>) -> Result<(), Unhashable> {
        match value {
            Value::Null => self.bytes.extend_from_slice(b"null"),
            Value::Bool(true) => self.bytes.extend_from_slice(b"true"),
            Value::Bool(false) => self.bytes.extend_from_slice(b"false"),
            Value::Integer(number) => write_integer(&mut self.bytes, number),
            Value::Real(number) => number::write_float(&mut self.bytes, number),
            Value::Text(text) => return self.text(column, text),
            Value::Blob(_) => return Err(Unhashable::Blob(column)),
        }
        Ok(())
    }

    #[inline]
    fn text(&mut self, column: &'static str, text: &[u8]) -> Result<(), Unhashable> {
        let refuse = |error| Unhashable::Text { column, error };
        if text.len() <= PIECE_BYTES {
            text::write_string(&mut self.bytes, text).map_err(refuse)?;
        } else {
            self.long_text(text).map_err(refuse)?;
        }
        self.flush_if_full();
        Ok(())
    }

    #[cold]
    fn long_text(&mut self, text: &[u8]) -> Result<(), NotUtf8> {
        self.bytes.push(b'"');
        let mut at = 0;
        while at < text.len() {
            let mut end = (at + PIECE_BYTES).min(text.len());
            // Cut before a character, not within it; one that is malformed is found all the same.
            let is_inside = |end: usize| text.get(end).is_some_and(|byte| byte & 0xc0 == 0x80);
            for _ in 0..3 {
                if is_inside(end) {
                    end -= 1;
                }
            }
            text::write_escaped(&mut self.bytes, &text[at..end]).map_err(|error| NotUtf8 {
                offset: at + error.offset,
            })?;
            self.flush_if_full();
            at = end;
        }
        self.bytes.push(b'"');
        Ok(())
    }
}

#[inline]
fn write_integer(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

impl PayloadHasher {
    /// Decodes the row's `result`; call it before [`Self::hash`] of the same row.
    ///
    /// # Errors
    /// Where QWED's `json.loads` would raise.
    #[inline]
    pub fn load(&mut self, row: &Row<'_>) -> Result<(), Unhashable> {
        let text = match row.result {
            Value::Text(text) => text,
            Value::Null => return Err(Unhashable::ResultType("NULL")),
            Value::Blob(_) => return Err(Unhashable::ResultType("bytes")),
            _ => return Err(Unhashable::ResultType("a number")),
        };
        self.json.parse(text).map_err(Unhashable::Result)
    }

    /// The payload of a row of usual size in `form`, empty where the row has none.
    #[must_use]
    pub fn payload(&mut self, row: &Row<'_>, form: Form) -> Vec<u8> {
        if self.load(row).and_then(|()| self.write(row, form)).is_err() {
            self.buffer.bytes.clear();
        }
        core::mem::take(&mut self.buffer.bytes)
    }

    /// The SHA-256 of the loaded row's payload in `form`.
    ///
    /// # Errors
    /// Where a column holds what QWED could not have written.
    #[inline]
    pub fn hash(&mut self, row: &Row<'_>, form: Form) -> Result<[u8; 32], Unhashable> {
        self.write(row, form)?;
        Ok(self.buffer.finish())
    }

    #[inline]
    fn write(&mut self, row: &Row<'_>, form: Form) -> Result<(), Unhashable> {
        let Self { json, buffer } = self;
        buffer.bytes.clear();
        buffer.flushed = None;
        let shape = form.shape;
        let mut separator: &[u8] = b"{";
        let mut field = |buffer: &mut Buffer, key: &str| {
            buffer.bytes.extend_from_slice(separator);
            buffer.bytes.extend_from_slice(key.as_bytes());
            separator = b", ";
        };
        let has_caller = matches!(shape, Shape::A | Shape::B);

        // In the order of sort_keys.
        if shape == Shape::A {
            field(buffer, "\"admission\": ");
            buffer.value("admission", row.admission)?;
        }
        if has_caller {
            field(buffer, "\"api_key_id\": ");
            buffer.value("api_key_id", row.api_key_id)?;
        }
        field(buffer, "\"domain\": ");
        buffer.value("domain", row.domain)?;
        field(buffer, "\"is_verified\": ");
        // SQLAlchemy reads any number but 0 as true.
        let is_verified = match row.is_verified {
            Value::Integer(number) => Value::Bool(number != 0),
            other => other,
        };
        buffer.value("is_verified", is_verified)?;
        field(buffer, "\"organization_id\": ");
        buffer.value("organization_id", row.organization_id)?;
        field(buffer, "\"previous_hash\": ");
        buffer.value("previous_hash", row.previous_hash)?;
        field(buffer, "\"query\": ");
        buffer.value("query", row.query)?;
        if shape != Shape::D {
            field(buffer, "\"raw_llm_output\": ");
            buffer.value("raw_llm_output", row.raw_llm_output)?;
        }
        field(buffer, "\"result\": ");
        json.emit(row.result.text().unwrap_or_default(), |piece| {
            buffer.push(piece)
        });
        field(buffer, "\"timestamp\": \"");
        if !row.timestamp.write_iso(&mut buffer.bytes) {
            return Err(Unhashable::Time);
        }
        if form.spelling == Spelling::Aware {
            buffer.bytes.extend_from_slice(b"+00:00");
        }
        buffer.bytes.push(b'"');
        field(buffer, "\"user_id\": ");
        buffer.value("user_id", row.user_id)?;
        if has_caller {
            field(buffer, "\"verifier_version\": ");
            buffer.value("verifier_version", row.verifier_version)?;
        }
        buffer.bytes.push(b'}');
        Ok(())
    }
}
