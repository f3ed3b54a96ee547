//! The digest of a row's columns, whatever they hold: for rows that QWED's own payload does not cover.

use sha2::{Digest, Sha256};

use super::{
    row::{Row, Value},
    time::Time,
};

/// The SHA-256 of the columns that QWED hashes and `entry_hash`, in the order of [`Row`]: a byte for the type of each, the
/// length of its value in eight bytes, big-endian, and the value. A time that denotes one is in ISO 8601 and `is_verified`
/// true or false, so that both kinds of databases give the same.
#[must_use]
pub fn digest(row: &Row<'_>) -> [u8; 32] {
    of_columns(row).finalize().into()
}

/// As [`digest`], and `hmac_signature` behind all others: nothing of the row is left out but its id.
#[must_use]
pub fn digest_with_signature(row: &Row<'_>) -> [u8; 32] {
    let mut hasher = of_columns(row);
    value(&mut hasher, row.hmac_signature);
    hasher.finalize().into()
}

fn of_columns(row: &Row<'_>) -> Sha256 {
    let mut hasher = Sha256::new();
    let is_verified = match row.is_verified {
        Value::Integer(number) => Value::Bool(number != 0),
        other => other,
    };
    let mut iso = Vec::new();
    let time = match row.timestamp {
        time if time.write_iso(&mut iso) => Value::Text(&iso),
        Time::Text(text) => Value::Text(text),
        Time::Micros(micros) => Value::Integer(micros),
        Time::Invalid => Value::Null,
    };
    for column in [
        row.organization_id,
        row.user_id,
        row.query,
        row.result,
        is_verified,
        row.domain,
        time,
        row.entry_hash,
        row.previous_hash,
        row.raw_llm_output,
        row.api_key_id,
        row.verifier_version,
        row.admission,
    ] {
        value(&mut hasher, column);
    }
    hasher
}

fn value(hasher: &mut Sha256, value: Value<'_>) {
    let mut field = |kind: u8, bytes: &[u8]| {
        hasher.update([kind]);
        hasher.update((bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    match value {
        Value::Null => field(0, &[]),
        Value::Bool(truth) => field(1, &[truth.into()]),
        Value::Integer(number) => field(2, &number.to_be_bytes()),
        Value::Real(number) => field(3, &number.to_be_bytes()),
        Value::Text(text) => field(4, text),
        Value::Blob(bytes) => field(5, bytes),
    }
}
