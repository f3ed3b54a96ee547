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
    payload::{Form, PayloadHasher, Unhashable},
    row::Row,
};

/// What the hash of a leaf is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeafKind {
    /// The entry's `entry_hash` as the column holds it, byte for byte.
    Sealed,
    /// The entry has none: the lower-case hex SHA-256 of its canonical payload in the newest form
    /// ([`LEGACY_FORM`]), which covers every column.
    Legacy,
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
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "sealed" => Some(Self::Sealed),
            "legacy" => Some(Self::Legacy),
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

    /// The leaf of an entry without a hash, whose payload has this one.
    #[must_use]
    pub fn legacy(id: i64, payload: &'a Hex) -> Self {
        Self {
            id,
            kind: LeafKind::Legacy,
            hash: payload,
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

/// The hash of the payload that stands for an entry without a hash.
///
/// # Errors
/// If the entry's content is nothing that QWED could have hashed.
pub fn legacy_hash(hasher: &mut PayloadHasher, row: &Row<'_>) -> Result<Hex, Unhashable> {
    hasher.load(row)?;
    hasher.hash(row, LEGACY_FORM).map(|digest| to_hex(&digest))
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
        let hex = [b'0'; 64];
        assert_ne!(Leaf::sealed(1, &hex).data(), Leaf::legacy(1, &hex).data());
    }
}
