//! The hash of a node, and how leaves and inner nodes are hashed.

use core::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::trail::hash::{Hex, from_hex, to_hex};

/// A SHA-256. Written as base64 of 44 characters ([`fmt::Display`], [`FromStr`], and serde where people may read
/// it), since C2SP's formats do so; as 32 bytes where a format is binary.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

/// Length of 32 bytes in base64.
const BASE64_LENGTH: usize = 44;

/// Why text is no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a hash is 32 bytes in canonical base64, which is 44 characters")]
pub struct HashError;

impl Hash {
    /// The root of a tree without leaves: the hash of nothing.
    pub const EMPTY: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9,
        0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52,
        0xb8, 0x55,
    ]);

    /// In lower-case hex.
    #[must_use]
    pub fn to_hex(&self) -> Hex {
        to_hex(&self.0)
    }

    /// The hash that 64 digits of lower-case hex spell.
    #[must_use]
    pub fn from_hex(hex: &str) -> Option<Self> {
        from_hex(hex.as_bytes().try_into().ok()?).map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; BASE64_LENGTH];
        let written = STANDARD.encode_slice(self.0, &mut text);
        match written.map(|length| core::str::from_utf8(&text[..length])) {
            Ok(Ok(text)) => f.pad(text),
            _ => unreachable!("32 bytes are 44 characters of base64"),
        }
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        if text.len() != BASE64_LENGTH {
            return Err(HashError);
        }
        let mut bytes = [0; 33];
        let length = STANDARD
            .decode_slice(text, &mut bytes)
            .map_err(|_| HashError)?;
        bytes[..length].try_into().map(Self).map_err(|_| HashError)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.collect_str(self)
        } else {
            self.0.serialize(to)
        }
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
            text.parse().map_err(D::Error::custom)
        } else {
            <[u8; 32]>::deserialize(from).map(Self)
        }
    }
}

/// `SHA-256(0x00 || data)`: the hash of a leaf.
#[must_use]
pub fn leaf_hash(data: &[u8]) -> Hash {
    let mut hasher = Sha256::new_with_prefix([0]);
    hasher.update(data);
    Hash(hasher.finalize().into())
}

/// `SHA-256(0x01 || left || right)`: the hash of an inner node.
#[inline]
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut data = [1; 65];
    data[1..33].copy_from_slice(&left.0);
    data[33..].copy_from_slice(&right.0);
    Hash(Sha256::digest(data).into())
}
