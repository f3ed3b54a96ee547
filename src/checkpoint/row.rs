//! The leaf of a row of the trail.

use sha2::{Digest, Sha256};

use super::{
    leaf::{Leaf, LeafKind, legacy_hash},
    merkle::Hash,
};
use crate::trail::{
    hash::to_hex,
    payload::PayloadHasher,
    row::{Row, Value},
    time::Time,
};

/// Stands before the digest of a row without hash that has no canonical payload.
const RAW: &[u8] = b"raw:";

/// The kind and the hash of a row's leaf.
///
/// A row without `entry_hash` (NULL or empty) whose content is nothing that QWED could have hashed has no canonical
/// payload. Its leaf holds `raw:` and the SHA-256 of all its columns as they are, so that it is covered as well.
#[inline]
#[must_use]
pub fn row_leaf(hasher: &mut PayloadHasher, row: &Row<'_>) -> (LeafKind, Hash) {
    if !row.entry_hash.is_blank() {
        let hash = match row.entry_hash.text() {
            Some(hash) => Leaf::sealed(row.id, hash).leaf_hash(),
            None => Leaf::sealed(row.id, &value_bytes(row.entry_hash)).leaf_hash(),
        };
        return (LeafKind::Sealed, hash);
    }
    let hash = match legacy_hash(hasher, row) {
        Ok(payload) => Leaf::legacy(row.id, &payload).leaf_hash(),
        Err(_) => {
            let leaf = [RAW, &raw_digest(row)].concat();
            Leaf {
                id: row.id,
                kind: LeafKind::Legacy,
                hash: &leaf,
            }
            .leaf_hash()
        }
    };
    (LeafKind::Legacy, hash)
}

/// Lower-case hex of the SHA-256 of the covered columns, each with its type and length before it.
fn raw_digest(row: &Row<'_>) -> [u8; 64] {
    let mut hasher = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    let columns = [
        row.organization_id,
        row.user_id,
        row.query,
        row.result,
        row.is_verified,
        row.domain,
        row.previous_hash,
        row.raw_llm_output,
        row.api_key_id,
        row.verifier_version,
        row.admission,
    ];
    for column in columns {
        add(&value_bytes(column));
    }
    match row.timestamp {
        Time::Text(text) => add(text),
        Time::Micros(micros) => add(&micros.to_be_bytes()),
        Time::Invalid => add(b"invalid"),
    }
    to_hex(&hasher.finalize().into())
}

/// A value with a byte for its type before it.
fn value_bytes(value: Value<'_>) -> Vec<u8> {
    let (tag, bytes): (u8, &[u8]) = match &value {
        Value::Null => (0, &[]),
        Value::Integer(number) => return [&[1][..], &number.to_be_bytes()].concat(),
        Value::Bool(is) => (2, if *is { &[1] } else { &[0] }),
        Value::Text(text) => (3, text),
        Value::Blob(bytes) => (4, bytes),
        Value::Real(number) => return [&[5][..], &number.to_be_bytes()].concat(),
    };
    [&[tag][..], bytes].concat()
}
