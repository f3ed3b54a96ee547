//! The newest entry of a trail, as statements name it.

use sha2::{Digest, Sha256};

use super::lines::{escape, id, unescape};
use crate::trail::hash::{from_hex, to_hex};

/// Longer hashes are told by their SHA-256, so that no row can make a statement long.
pub const MAX_HASH_BYTES: usize = 256;

/// What stands for a hash that is absent.
const ABSENT: &str = "-";
/// What stands for a hash that is text without characters. An escape cannot be a lone `%`.
const EMPTY: &str = "%";
/// A dash that is the text itself.
const DASH: &str = "%2D";
/// Stands before the SHA-256 of a long hash. Text with a colon would have it escaped.
const LONG: &str = "sha256:";

/// The `entry_hash` of an entry, which may be any text that somebody put there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HeadHash {
    /// There is none: NULL.
    Absent,
    /// The column's bytes, at most [`MAX_HASH_BYTES`].
    Text(Box<[u8]>),
    /// The SHA-256 of longer ones.
    Long([u8; 32]),
}

impl HeadHash {
    /// The hash that a column holds; `None` for NULL.
    #[must_use]
    pub fn of(column: Option<&[u8]>) -> Self {
        match column {
            None => Self::Absent,
            Some(text) if text.len() <= MAX_HASH_BYTES => Self::Text(text.into()),
            Some(text) => Self::Long(Sha256::digest(text).into()),
        }
    }

    /// The word that stands for it: for QWED's own hashes, the hash itself.
    #[must_use]
    pub fn to_word(&self) -> String {
        match self {
            Self::Absent => ABSENT.to_owned(),
            Self::Text(text) => match &**text {
                [] => EMPTY.to_owned(),
                b"-" => DASH.to_owned(),
                text => escape(text),
            },
            Self::Long(digest) => {
                let hex = to_hex(digest).map(char::from);
                LONG.chars().chain(hex).collect()
            }
        }
    }

    /// What a word stands for; `None` where [`Self::to_word`] would write another.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        if let Some(hex) = word.strip_prefix(LONG) {
            return from_hex(hex.as_bytes().try_into().ok()?).map(Self::Long);
        }
        let text = match word {
            "" => return None,
            ABSENT => return Some(Self::Absent),
            EMPTY => Vec::new(),
            DASH => b"-".to_vec(),
            word => unescape(word)?,
        };
        (text.len() <= MAX_HASH_BYTES).then(|| Self::Text(text.into()))
    }
}

/// The newest entry of a trail.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Head {
    /// The entry.
    pub id: i64,
    /// Its hash.
    pub hash: HeadHash,
}

impl Head {
    /// Id and hash as two words.
    #[must_use]
    pub fn to_words(&self) -> String {
        format!("{} {}", self.id, self.hash.to_word())
    }

    /// What the two words say.
    #[must_use]
    pub fn from_words(words: &str) -> Option<Self> {
        let (entry, hash) = words.split_once(' ')?;
        Some(Self {
            id: id(entry)?,
            hash: HeadHash::from_word(hash)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hash_has_one_word_and_every_word_one_hash() {
        let hex = "0123456789abcdef".repeat(4);
        let long = "x".repeat(MAX_HASH_BYTES + 1);
        for (column, word) in [
            (None, "-"),
            (Some(""), "%"),
            (Some("-"), "%2D"),
            (Some("--"), "--"),
            (Some("none"), "none"),
            (Some(hex.as_str()), hex.as_str()),
            (Some("a b\n%2D\u{e9}"), "a%20b%0A%252D%C3%A9"),
            (Some("sha256:00"), "sha256%3A00"),
        ] {
            let hash = HeadHash::of(column.map(str::as_bytes));
            assert_eq!(hash.to_word(), word);
            assert_eq!(HeadHash::from_word(word), Some(hash));
        }
        let hash = HeadHash::of(Some(long.as_bytes()));
        assert!(matches!(hash, HeadHash::Long(_)));
        assert_eq!(HeadHash::from_word(&hash.to_word()), Some(hash));
        for bad in [
            "", "%2", "%2d", "%41", "a b", "\u{e9}", "sha256:", "%%", "%+1", &long,
        ] {
            assert_eq!(HeadHash::from_word(bad), None, "{bad:?}");
        }
        assert_eq!(Head::from_words("07 -"), None);
        assert_eq!(Head::from_words("7"), None);
        assert_eq!(Head::from_words("7 - -"), None);
    }
}
