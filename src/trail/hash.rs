//! Hashes as the trail's text columns hold them.

use core::fmt;

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
