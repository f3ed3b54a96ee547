//! The leaf of one audit entry in its organisation's tree.
//!
//! Its data is three lines: id, kind, hash, each with a newline behind it. The id is a decimal number and the kind one of
//! two words, so neither holds a newline; the hash is whatever the column held, newlines included, and goes up to the
//! data's last byte. **Only the last line may hold anything**: two different leaves so never have the same data, and no
//! field may ever be added behind it.

use core::fmt;

use sha2::{Digest, Sha256};

use super::merkle::Hash;
use crate::trail::{
    hash::{Hex, to_hex},
    payload::{Form, PayloadHasher},
    row::{Row, Value},
    time::Time,
};

/// What the hash of a leaf is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeafKind {
    /// The entry's `entry_hash` as the column holds it, byte for byte.
    Sealed,
    /// The entry has none: the lower-case hex SHA-256 of its canonical payload in the newest form
    /// ([`LEGACY_FORM`]), which covers every column.
    Legacy,
    /// The entry has none, and no canonical payload either, since its content is nothing that QWED hashes: old releases
    /// stored some results that are not JSON. The lower-case hex SHA-256 of its columns ([`Leaf::of_row`] says how).
    Raw,
}

/// The form of the payload that stands for an entry without a hash.
pub const LEGACY_FORM: Form = Form::ALL[0];

impl LeafKind {
    /// The word in the leaf's data.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Legacy => "legacy",
            Self::Raw => "raw",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "sealed" => Some(Self::Sealed),
            "legacy" => Some(Self::Legacy),
            "raw" => Some(Self::Raw),
            _ => None,
        }
    }
}

impl fmt::Display for LeafKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A leaf, borrowed from the row that it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// The entry.
    pub id: i64,
    /// What `hash` is.
    pub kind: LeafKind,
    /// Usually 64 digits of hex; for a sealed entry, anything.
    pub hash: &'a [u8],
}

/// Up to here a leaf is hashed in one go. Usual ones have 73 to 92 bytes.
const SHORT_BYTES: usize = 128;
/// The longest id, the longest kind, three newlines and RFC 6962's prefix.
const FRAME_BYTES: usize = 20 + 6 + 3 + 1;

impl<'a> Leaf<'a> {
    /// The leaf of an entry with this `entry_hash`.
    #[must_use]
    pub fn sealed(id: i64, entry_hash: &'a [u8]) -> Self {
        Self {
            id,
            kind: LeafKind::Sealed,
            hash: entry_hash,
        }
    }

    /// The leaf of a row, whatever it holds: there must be one for every row, or else nothing could be anchored any more.
    ///
    /// For [`LeafKind::Raw`] each column that QWED hashes and `entry_hash`, in the order of [`Row`], is written as a byte
    /// for its type, the length of its value in eight bytes, big-endian, and the value. A time that denotes one is in
    /// ISO 8601 and `is_verified` true or false, so that both kinds of databases give the same.
    #[must_use]
    pub fn of_row(row: &Row<'a>, hasher: &mut PayloadHasher, space: &'a mut Hex) -> Self {
        if let Some(entry_hash) = row.entry_hash.text().filter(|text| !text.is_empty()) {
            return Self::sealed(row.id, entry_hash);
        }
        let payload = match row.entry_hash.is_blank() {
            true => hasher
                .load(row)
                .and_then(|()| hasher.hash(row, LEGACY_FORM))
                .ok(),
            false => None,
        };
        let (kind, digest) = match payload {
            Some(digest) => (LeafKind::Legacy, digest),
            None => (LeafKind::Raw, raw_digest(row)),
        };
        *space = to_hex(&digest);
        Self {
            id: row.id,
            kind,
            hash: space,
        }
    }

    /// What is hashed.
    #[must_use]
    pub fn data(&self) -> Vec<u8> {
        let mut data = format!("{}\n{}\n", self.id, self.kind).into_bytes();
        data.extend_from_slice(self.hash);
        data.push(b'\n');
        data
    }

    /// The hash of the leaf: [`leaf_hash`](super::merkle::leaf_hash) of its data, without a copy of it.
    #[must_use]
    pub fn leaf_hash(&self) -> Hash {
        let mut buffer = [0; SHORT_BYTES];
        let head = self.write_head(&mut buffer);
        if self.hash.len() > SHORT_BYTES - FRAME_BYTES {
            let mut hasher = Sha256::new_with_prefix(&buffer[..head]);
            hasher.update(self.hash);
            hasher.update(b"\n");
            return Hash(hasher.finalize().into());
        }
        let end = head + self.hash.len();
        buffer[head..end].copy_from_slice(self.hash);
        buffer[end] = b'\n';
        Hash(Sha256::digest(&buffer[..=end]).into())
    }

    /// Writes the prefix of a leaf and its first two lines; returns their length.
    #[inline]
    fn write_head(&self, buffer: &mut [u8; SHORT_BYTES]) -> usize {
        let mut digits = [0; 20];
        let mut first = digits.len();
        let mut rest = self.id.unsigned_abs();
        loop {
            first -= 1;
            digits[first] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if self.id < 0 {
            first -= 1;
            digits[first] = b'-';
        }
        let mut at = 1;
        for part in [&digits[first..], b"\n", self.kind.name().as_bytes(), b"\n"] {
            buffer[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        at
    }
}

fn raw_digest(row: &Row<'_>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    let mut field = |kind: u8, bytes: &[u8]| {
        hasher.update([kind]);
        hasher.update((bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    let mut value = |value: Value<'_>| match value {
        Value::Null => field(0, &[]),
        Value::Bool(truth) => field(1, &[truth.into()]),
        Value::Integer(number) => field(2, &number.to_be_bytes()),
        Value::Real(number) => field(3, &number.to_be_bytes()),
        Value::Text(text) => field(4, text),
        Value::Blob(bytes) => field(5, bytes),
    };
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
        value(column);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::merkle::leaf_hash;

    #[test]
    fn is_hashed_like_its_data() {
        for id in [0, 1, -1, 42, i64::MAX, i64::MIN] {
            for length in [0, 1, 64, 97, 98, 99, 100, 128, 5000] {
                for kind in [LeafKind::Sealed, LeafKind::Legacy] {
                    let hash = vec![b'a'; length];
                    let leaf = Leaf {
                        id,
                        kind,
                        hash: &hash,
                    };
                    assert_eq!(leaf.leaf_hash(), leaf_hash(&leaf.data()), "{leaf:?}");
                }
            }
        }
        assert_eq!(Leaf::sealed(-7, b"ab").data(), b"-7\nsealed\nab\n");
        assert_eq!(LeafKind::from_name("legacy"), Some(LeafKind::Legacy));
    }

    #[test]
    fn differs_wherever_a_field_does() {
        // What would collide if the hash could end a line and begin another.
        let a = Leaf::sealed(1, b"x\n2\nsealed\ny").data();
        let b = [Leaf::sealed(1, b"x").data(), Leaf::sealed(2, b"y").data()].concat();
        assert_eq!(a, b, "so leaves must never be joined into one");
        assert_ne!(Leaf::sealed(1, b"x\n").data(), Leaf::sealed(1, b"x").data());
        let leaf = |kind| Leaf {
            id: 1,
            kind,
            hash: b"x",
        };
        let kinds = [LeafKind::Sealed, LeafKind::Legacy, LeafKind::Raw];
        let data = kinds.map(|kind| leaf(kind).data());
        assert!(data[0] != data[1] && data[1] != data[2] && data[0] != data[2]);
        assert_eq!(
            kinds.map(|kind| LeafKind::from_name(kind.name())),
            kinds.map(Some)
        );
    }
    fn row(result: &str) -> Row<'_> {
        let text = |text: &'static str| Value::Text(text.as_bytes());
        Row {
            id: 5,
            organization_id: Value::Integer(1),
            user_id: Value::Null,
            query: text("2+2"),
            result: Value::Text(result.as_bytes()),
            is_verified: Value::Integer(1),
            domain: text("math"),
            timestamp: Time::Text(b"2026-05-08 12:30:00.000000"),
            entry_hash: Value::Null,
            hmac_signature: Value::Null,
            previous_hash: Value::Null,
            raw_llm_output: Value::Null,
            api_key_id: Value::Null,
            verifier_version: Value::Null,
            admission: Value::Null,
        }
    }

    fn of(row: &Row<'_>) -> (LeafKind, Vec<u8>) {
        let mut space = [0; 64];
        let leaf = Leaf::of_row(row, &mut PayloadHasher::default(), &mut space);
        assert_eq!(leaf.id, 5);
        (leaf.kind, leaf.hash.to_vec())
    }

    #[test]
    fn every_row_has_one() {
        let mut hasher = PayloadHasher::default();
        let sound = row("{}");
        let payload = hasher.payload(&sound, LEGACY_FORM);
        let digest = to_hex(&Sha256::digest(payload).into());
        assert_eq!(of(&sound), (LeafKind::Legacy, digest.to_vec()));
        let blank = Row {
            entry_hash: Value::Text(b""),
            ..sound
        };
        assert_eq!(of(&blank), of(&sound));
        let sealed = Row {
            entry_hash: Value::Text(b"any\nthing"),
            ..row("{'no': json}")
        };
        assert_eq!(of(&sealed), (LeafKind::Sealed, b"any\nthing".to_vec()));
        let foreign = Row {
            entry_hash: Value::Integer(7),
            ..sound
        };
        assert_eq!(of(&foreign).0, LeafKind::Raw);
    }

    #[test]
    fn what_cannot_be_hashed_is_covered_by_column() {
        let raw = row("{'no': json}");
        let (kind, hash) = of(&raw);
        assert_eq!(kind, LeafKind::Raw);
        let text = |text: &'static str| Value::Text(text.as_bytes());
        // What PostgreSQL holds where SQLite holds this.
        let same = Row {
            is_verified: Value::Bool(true),
            timestamp: Time::Micros(1_778_243_400_000_000),
            ..raw
        };
        assert_eq!(of(&same), (kind, hash.clone()));
        let changed = [
            Row {
                organization_id: Value::Null,
                ..raw
            },
            Row {
                user_id: Value::Integer(0),
                ..raw
            },
            Row {
                query: text("2+3"),
                ..raw
            },
            Row {
                result: text("{'no': jso}"),
                ..raw
            },
            Row {
                is_verified: Value::Integer(0),
                ..raw
            },
            Row {
                domain: Value::Blob(b"math"),
                ..raw
            },
            Row {
                timestamp: Time::Text(b"2026-05-08 12:30:01.000000"),
                ..raw
            },
            Row {
                timestamp: Time::Invalid,
                ..raw
            },
            Row {
                entry_hash: text(""),
                ..raw
            },
            Row {
                previous_hash: text(""),
                ..raw
            },
            Row {
                raw_llm_output: text("x"),
                ..raw
            },
            Row {
                api_key_id: Value::Integer(1),
                ..raw
            },
            Row {
                verifier_version: text("x"),
                ..raw
            },
            Row {
                admission: text("x"),
                ..raw
            },
            // The same bytes, cut elsewhere.
            Row {
                query: text("2+2m"),
                domain: text("ath"),
                ..raw
            },
        ];
        for row in changed {
            assert_ne!(of(&row).1, hash, "{row:?}");
        }
    }
}
