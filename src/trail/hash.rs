//! Hashes as the trail's text columns hold them.

use core::fmt;
use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::row::Value;

/// Length of a SHA-256 in hex.
pub const HEX_LENGTH: usize = 64;

/// A SHA-256 in lower-case hex, as QWED writes it.
pub type Hex = [u8; HEX_LENGTH];

/// Spells a digest in lower-case hex.
#[inline]
#[must_use]
pub fn to_hex(digest: &[u8; 32]) -> Hex {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = [0; HEX_LENGTH];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(digest) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 0xf)];
    }
    hex
}

/// The digest that a lower-case hex spells; `None` where it is not spelled so.
#[must_use]
pub fn from_hex(hex: &Hex) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(digest)
}

/// The owned value of `entry_hash`, `previous_hash` or `hmac_signature`.
///
/// Equality is QWED's, Python's `==`: exact, so that an upper-case hash differs, `''` is not NULL, and
/// bytes never equal text.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub enum HashText {
    /// NULL.
    #[default]
    Null,
    /// 64 bytes of text: a hash, as far as its form tells.
    Hex(Hex),
    /// Any other text, the empty one included.
    Other(Box<[u8]>),
    /// Not text at all.
    Foreign(Box<[u8]>),
}

impl HashText {
    /// Whether QWED takes the field for absent: NULL or `''`.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Hex(_) => false,
            Self::Other(bytes) | Self::Foreign(bytes) => bytes.is_empty(),
        }
    }

    /// The text, where it is text.
    #[must_use]
    pub fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Hex(hex) => Some(hex),
            Self::Other(text) => Some(text),
            Self::Null | Self::Foreign(_) => None,
        }
    }

    /// The text as a string, for reports; what is not UTF-8 is replaced.
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        self.text()
            .map(|text| String::from_utf8_lossy(text).into_owned())
    }
}

impl From<Value<'_>> for HashText {
    #[inline]
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Text(text) => match text.try_into() {
                Ok(hex) => Self::Hex(hex),
                Err(_) => Self::Other(text.into()),
            },
            Value::Blob(bytes) => Self::Foreign(bytes.into()),
            Value::Integer(number) => Self::Foreign(Box::new(number.to_be_bytes())),
            Value::Real(number) => Self::Foreign(Box::new(number.to_be_bytes())),
            Value::Bool(truth) => Self::Foreign(Box::new([u8::from(truth)])),
        }
    }
}

impl fmt::Debug for HashText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Foreign(bytes) => write!(f, "{bytes:02x?}"),
            text => write!(f, "{:?}", text.to_text().unwrap_or_default()),
        }
    }
}

/// How a [`HashText`] is written down: a hash, which most are, as its 32 bytes.
#[derive(Serialize, Deserialize)]
enum Written<'a> {
    Null,
    Digest([u8; 32]),
    Text(Cow<'a, [u8]>),
    Foreign(Cow<'a, [u8]>),
}

impl Serialize for HashText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let written = match self {
            Self::Null => Written::Null,
            Self::Hex(hex) => {
                from_hex(hex).map_or(Written::Text(Cow::Borrowed(hex)), Written::Digest)
            }
            Self::Other(text) => Written::Text(Cow::Borrowed(text)),
            Self::Foreign(bytes) => Written::Foreign(Cow::Borrowed(bytes)),
        };
        written.serialize(to)
    }
}

impl<'de> Deserialize<'de> for HashText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match Written::deserialize(from)? {
            Written::Null => Self::Null,
            Written::Digest(digest) => Self::Hex(to_hex(&digest)),
            // Text of 64 bytes is told from other text in one place.
            Written::Text(text) => Value::Text(&text).into(),
            Written::Foreign(bytes) => Self::Foreign(bytes.as_ref().into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_back_and_nothing_else() {
        let digest: [u8; 32] = core::array::from_fn(|index| (index * 37 + 5) as u8);
        let hex = to_hex(&digest);
        assert_eq!(from_hex(&hex), Some(digest));
        assert_eq!(from_hex(&hex.map(|byte| byte.to_ascii_uppercase())), None);
        for stranger in [b'g', b'/', b':', b'`', b' ', 0xff] {
            let mut hex = hex;
            hex[63] = stranger;
            assert_eq!(from_hex(&hex), None, "{stranger:#x}");
        }
    }
}
