//! What is said about objects.

use std::fmt;

use jiff::Timestamp;
use object_store::ObjectMeta;
use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::{LockState, VaultError};

/// Longest name, in bytes: with a prefix it has to fit S3's 1024 and a file's path.
pub const MAX_NAME_BYTES: usize = 512;

/// The SHA-256 of an object's content. Shown in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// That of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An object that was put, as it was read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// Its name, without the prefix of the vault.
    pub name: String,
    /// Its version; none where the store keeps none.
    pub version: Option<String>,
    /// The digest of what is stored: read back, or the store's own if it keeps one.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What protects it.
    pub lock: LockState,
    /// Whether a newer version or a delete marker stands before it, so that only its version still finds it.
    pub is_hidden: bool,
}

/// What a store says about one object or version, without its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Head {
    /// Its name.
    pub name: String,
    /// Its version; none where the store keeps none.
    pub version: Option<String>,
    /// Its size in bytes.
    pub size: u64,
    /// What protects it.
    pub lock: LockState,
    /// Whether there is a legal hold on it, which protects it without an end; not seen without the right to.
    pub is_held: bool,
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its name. Whoever else may write there may have chosen one that [`super::Vault`] would refuse.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub modified: Timestamp,
}

/// One version of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Version {
    /// The object's name.
    pub name: String,
    /// The version; none where the store keeps none.
    pub version: Option<String>,
    /// Its size in bytes; 0 for a delete marker.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub modified: Timestamp,
    /// Whether it is what a reader gets who asks for no version.
    pub is_latest: bool,
    /// Whether it is no content, but hides what is older.
    pub is_delete_marker: bool,
}

/// What became of an order to delete a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Deletion {
    /// It is gone.
    Deleted,
    /// The store keeps it, as a lock demands.
    Refused {
        /// In the store's own words.
        reason: String,
    },
}

/// Checks a name: parts of letters, digits and `-_.=+`, separated by `/`. Such names need no escaping anywhere and are
/// the same on every store.
pub(super) fn check_name(name: &str) -> Result<(), VaultError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=+".contains(&byte);
    let problem = if name.is_empty() {
        "it is empty"
    } else if name.len() > MAX_NAME_BYTES {
        "it is too long"
    } else if name.split('/').any(str::is_empty) {
        "it has an empty part"
    } else if name.split('/').any(|part| part.starts_with('.')) {
        "a part of it begins with a dot"
    } else if !name.bytes().all(|byte| byte == b'/' || is_plain(byte)) {
        "it holds more than letters, digits and -_.=+/"
    } else {
        return Ok(());
    };
    Err(VaultError::Name {
        name: name.chars().take(100).collect(),
        problem,
    })
}

/// The directory that all names with this prefix are in, empty or ending with a slash: the crate lists by whole parts of
/// names.
pub(super) fn directory(prefix: &str) -> &str {
    prefix.rfind('/').map_or("", |end| &prefix[..=end])
}

/// When an object was written.
pub(super) fn modified(meta: &ObjectMeta) -> Timestamp {
    let micros = meta.last_modified.timestamp_micros();
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A name with its version, for people.
pub(super) fn object(name: &str, version: Option<&str>) -> String {
    match version {
        Some(version) => format!("{name} (version {version})"),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_the_same_everywhere() {
        for name in ["a", "canary/2026-08-01T00", "trail/org=7/0-99.jsonl.zst"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        let long = "a".repeat(MAX_NAME_BYTES + 1);
        for name in [
            "", "/a", "a/", "a//b", "../a", "a/.b", "a b", "a#1", "ä", &long,
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn digests_are_shown_in_hexadecimal() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), empty);
    }
}
