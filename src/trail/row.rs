//! One row of `verificationlog`, borrowed from whatever read it.

use super::{
    time::Time,
    tombstone::{Erased, Manner},
};

/// What a column holds. The types are SQLite's, which lets any value stand in any column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// NULL, also for a column that the database's release of QWED does not have yet.
    Null,
    /// A boolean (PostgreSQL).
    Bool(bool),
    /// An integer; SQLite's booleans are 0 and 1.
    Integer(i64),
    /// A floating-point number, which no column of QWED's should hold.
    Real(f64),
    /// Text, not yet known to be UTF-8.
    Text(&'a [u8]),
    /// Bytes, which no column of QWED's should hold.
    Blob(&'a [u8]),
}

impl<'a> Value<'a> {
    /// What Python calls false of a text column: NULL or `''`.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(bytes) | Self::Blob(bytes) => bytes.is_empty(),
            _ => false,
        }
    }

    /// The bytes of a text.
    #[must_use]
    pub fn text(&self) -> Option<&'a [u8]> {
        match self {
            Self::Text(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The value of an integer.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            _ => None,
        }
    }
}

/// An audit entry as it is stored. Fields are QWED's columns.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(
    missing_docs,
    reason = "the fields are QWED's columns, which docs/verification.md explains"
)]
pub struct Row<'a> {
    pub id: i64,
    pub organization_id: Value<'a>,
    pub user_id: Value<'a>,
    pub query: Value<'a>,
    pub result: Value<'a>,
    pub is_verified: Value<'a>,
    pub domain: Value<'a>,
    pub timestamp: Time<'a>,
    pub entry_hash: Value<'a>,
    pub hmac_signature: Value<'a>,
    pub previous_hash: Value<'a>,
    pub raw_llm_output: Value<'a>,
    pub api_key_id: Value<'a>,
    pub verifier_version: Value<'a>,
    pub admission: Value<'a>,
    /// What tombstones say of it; no column.
    pub erased: Option<Erased<'a>>,
}

impl Row<'_> {
    /// Whether there is no such row, and a tombstone stands for it.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.erased, Some(Erased::As(tombstone)) if tombstone.manner() == Manner::Deleted)
    }

    /// Whether the row carries none of the chain's fields, as QWED's `_is_unchained`.
    #[must_use]
    pub fn is_unchained(&self) -> bool {
        self.entry_hash.is_blank()
            && self.hmac_signature.is_blank()
            && self.previous_hash == Value::Null
    }
}
