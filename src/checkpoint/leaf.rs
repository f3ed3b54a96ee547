//! The leaf of one audit entry in its organisation's tree.
//!
//! Its data is three lines: id, kind, hash, each with a newline behind it. The id is a decimal number and the kind one of
//! three words, so neither holds a newline; the hash is whatever the column held, newlines included, and goes up to the
//! data's last byte. **Only the last line may hold anything**: two different leaves so never have the same data, and no
//! field may ever be added behind it.

#[cfg(test)]
mod tests;

use core::fmt;

use sha2::{Digest, Sha256};

use super::merkle::Hash;
use crate::trail::{
    columns,
    hash::{Hex, to_hex},
    payload::{Form, PayloadHasher},
    row::Row,
    tombstone::Erased,
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
    /// [`LeafKind::Raw`] is [`columns::digest`].
    #[must_use]
    pub fn of_row(row: &Row<'a>, hasher: &mut PayloadHasher, space: &'a mut Hex) -> Self {
        if let Some(entry_hash) = row.entry_hash.text().filter(|text| !text.is_empty()) {
            return Self::sealed(row.id, entry_hash);
        }
        // What it was when it was erased: the content that the leaf stands for is gone.
        if let Some(Erased::As(tombstone)) = row.erased
            && let Some(unsealed) = tombstone.unsealed()
        {
            return Self {
                id: row.id,
                kind: if unsealed.is_raw {
                    LeafKind::Raw
                } else {
                    LeafKind::Legacy
                },
                hash: &unsealed.digest,
            };
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
            None => (LeafKind::Raw, columns::digest(row)),
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
