//! A row that outlives the statement that read it, for the few that are looked at closely.

use crate::trail::{
    row::{Row, Value},
    time::Time,
    tombstone::{Erased, Tombstone},
};

#[derive(Debug, Clone, PartialEq)]
enum OwnedValue {
    Null,
    Bool(bool),
    Integer(i64),
    Real(f64),
    Text(Box<[u8]>),
    Blob(Box<[u8]>),
}

impl From<Value<'_>> for OwnedValue {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(truth) => Self::Bool(truth),
            Value::Integer(number) => Self::Integer(number),
            Value::Real(number) => Self::Real(number),
            Value::Text(text) => Self::Text(text.into()),
            Value::Blob(bytes) => Self::Blob(bytes.into()),
        }
    }
}

impl OwnedValue {
    fn borrow(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Integer(number) => Value::Integer(*number),
            Self::Real(number) => Value::Real(*number),
            Self::Text(text) => Value::Text(text),
            Self::Blob(bytes) => Value::Blob(bytes),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum OwnedTime {
    Text(Box<[u8]>),
    Micros(i64),
    Invalid,
}

/// Owned [`Erased`].
#[derive(Debug, Clone, PartialEq)]
enum OwnedErased {
    As(Box<Tombstone>),
    Undone,
}

/// An owned [`Row`].
#[derive(Debug, Clone, PartialEq)]
pub struct OwnedRow {
    id: i64,
    timestamp: OwnedTime,
    values: [OwnedValue; 13],
    erased: Option<OwnedErased>,
}

impl From<&Row<'_>> for OwnedRow {
    fn from(row: &Row<'_>) -> Self {
        Self {
            id: row.id,
            timestamp: match row.timestamp {
                Time::Text(text) => OwnedTime::Text(text.into()),
                Time::Micros(micros) => OwnedTime::Micros(micros),
                Time::Invalid => OwnedTime::Invalid,
            },
            values: [
                row.organization_id,
                row.user_id,
                row.query,
                row.result,
                row.is_verified,
                row.domain,
                row.entry_hash,
                row.hmac_signature,
                row.previous_hash,
                row.raw_llm_output,
                row.api_key_id,
                row.verifier_version,
                row.admission,
            ]
            .map(OwnedValue::from),
            erased: row.erased.map(|erased| match erased {
                Erased::As(tombstone) => OwnedErased::As(Box::new(tombstone.clone())),
                Erased::Undone => OwnedErased::Undone,
            }),
        }
    }
}

impl OwnedRow {
    /// The row.
    #[must_use]
    pub fn row(&self) -> Row<'_> {
        let [
            organization_id,
            user_id,
            query,
            result,
            is_verified,
            domain,
            entry_hash,
            hmac_signature,
            previous_hash,
            raw_llm_output,
            api_key_id,
            verifier_version,
            admission,
        ] = self.values.each_ref().map(OwnedValue::borrow);
        Row {
            id: self.id,
            organization_id,
            user_id,
            query,
            result,
            is_verified,
            domain,
            timestamp: match &self.timestamp {
                OwnedTime::Text(text) => Time::Text(text),
                OwnedTime::Micros(micros) => Time::Micros(*micros),
                OwnedTime::Invalid => Time::Invalid,
            },
            entry_hash,
            hmac_signature,
            previous_hash,
            raw_llm_output,
            api_key_id,
            verifier_version,
            admission,
            erased: self.erased.as_ref().map(|erased| match erased {
                OwnedErased::As(tombstone) => Erased::As(tombstone),
                OwnedErased::Undone => Erased::Undone,
            }),
        }
    }
}
