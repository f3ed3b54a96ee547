//! The keys that may have signed a trail.
//!
//! A deployment has one key at a time, but rotates it: entries of last year are signed with last year's.
//! A ring holds them all, each optionally bound to the time in which it was in use, so that a retired key that
//! leaked cannot sign new entries.

use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::hash::{Hex, to_hex};

/// Shorter keys can be found by trial; QWED itself asks for at least this much.
pub const MIN_KEY_BYTES: usize = 32;

/// What releases before 5.3.0 signed with when no key was set. Anyone can read it in their source.
const PUBLISHED_DEFAULT: &[u8] = b"dev_only_change_in_production";

/// Why a key proves less than it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// Fewer than [`MIN_KEY_BYTES`] bytes; its length.
    Short(usize),
    /// The default of QWED before 5.3.0.
    PublishedDefault,
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(length) => write!(
                f,
                "the key has {length} bytes; fewer than {MIN_KEY_BYTES} can be guessed, and who knows it can forge entries"
            ),
            Self::PublishedDefault => f.write_str(
                "the key is the default that QWED shipped before 5.3.0; everybody knows it and can forge entries",
            ),
        }
    }
}

/// One signing key.
#[derive(Clone)]
pub struct Key {
    id: String,
    mac: Hmac<Sha256>,
    weakness: Option<Weakness>,
    not_before: i64,
    not_after: i64,
}

impl Key {
    /// A key that may sign at any time. `secret` is used as it is, as QWED uses the UTF-8 bytes of its variable.
    #[must_use]
    pub fn new(id: impl Into<String>, secret: &[u8]) -> Self {
        let weakness = if secret == PUBLISHED_DEFAULT {
            Some(Weakness::PublishedDefault)
        } else if secret.len() < MIN_KEY_BYTES {
            Some(Weakness::Short(secret.len()))
        } else {
            None
        };
        let mac = match Hmac::new_from_slice(secret) {
            Ok(mac) => mac,
            Err(_) => unreachable!("HMAC takes a key of any length"),
        };
        Self {
            id: id.into(),
            mac,
            weakness,
            not_before: i64::MIN,
            not_after: i64::MAX,
        }
    }

    /// Lets the key sign only entries of this time; both ends are inclusive, in microseconds since 1970 UTC.
    #[must_use]
    pub fn valid_between(mut self, not_before: Option<i64>, not_after: Option<i64>) -> Self {
        self.not_before = not_before.unwrap_or(i64::MIN);
        self.not_after = not_after.unwrap_or(i64::MAX);
        self
    }

    /// The key's name in reports.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Since when the key may sign, in microseconds since 1970 UTC, if that is bound.
    #[must_use]
    pub fn not_before(&self) -> Option<i64> {
        (self.not_before != i64::MIN).then_some(self.not_before)
    }

    /// Why the key should be replaced, if it should.
    #[must_use]
    pub fn weakness(&self) -> Option<Weakness> {
        self.weakness
    }

    /// `hex(hmac_sha256(key, entry_hash))`, as in `hmac_signature`.
    #[inline]
    #[must_use]
    pub fn sign(&self, entry_hash: &[u8]) -> Hex {
        let mut mac = self.mac.clone();
        mac.update(entry_hash);
        to_hex(&mac.finalize().into_bytes().into())
    }

    fn is_always_valid(&self) -> bool {
        self.not_before == i64::MIN && self.not_after == i64::MAX
    }

    /// Whether an entry of this time (microseconds since 1970 UTC) may be signed with the key.
    #[must_use]
    pub fn may_sign_at(&self, micros: Option<i64>) -> bool {
        self.is_always_valid()
            || micros.is_some_and(|micros| (self.not_before..=self.not_after).contains(&micros))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?}, secret)", self.id)
    }
}

/// All keys that may have signed the trail, in the order in which they are tried.
#[derive(Debug, Clone)]
pub struct KeyRing {
    keys: Vec<Key>,
}

impl KeyRing {
    /// A ring of these keys.
    #[must_use]
    pub fn new(keys: Vec<Key>) -> Self {
        Self { keys }
    }

    /// The keys, in the order given.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Whether any key is bound to a time, so that the time of an entry must be known.
    #[must_use]
    pub fn is_timed(&self) -> bool {
        !self.keys.iter().all(Key::is_always_valid)
    }

    /// Which key, if any, signed `entry_hash` with `signature`; `guess` is tried first.
    #[inline]
    #[must_use]
    pub fn signer(
        &self,
        guess: usize,
        entry_hash: &[u8],
        signature: &[u8],
        at: Option<i64>,
    ) -> Option<usize> {
        let signed = |index: usize| {
            let key = self.keys.get(index)?;
            // Compared plainly: who could time this comparison could as well read its outcome in the report.
            let matches = key.sign(entry_hash)[..] == *signature;
            (matches && key.may_sign_at(at)).then_some(index)
        };
        signed(guess).or_else(|| {
            (0..self.keys.len())
                .filter(|&i| i != guess)
                .find_map(signed)
        })
    }

    /// Which key signed `entry_hash` with `signature`, whatever the time.
    #[must_use]
    pub fn signer_at_any_time(&self, entry_hash: &[u8], signature: &[u8]) -> Option<&Key> {
        self.keys
            .iter()
            .find(|key| key.sign(entry_hash)[..] == *signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn signs_as_the_rfc_says() {
        let signature = Key::new("k", b"Jefe").sign(b"what do ya want for nothing?");
        assert_eq!(
            core::str::from_utf8(&signature).unwrap(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn knows_weak_keys() {
        assert_eq!(Key::new("k", &[b'k'; 32]).weakness(), None);
        assert_eq!(
            Key::new("k", &[b'k'; 31]).weakness(),
            Some(Weakness::Short(31))
        );
        assert_eq!(
            Key::new("k", b"dev_only_change_in_production").weakness(),
            Some(Weakness::PublishedDefault)
        );
    }

    #[test]
    fn a_retired_key_signs_nothing_new() {
        let old = Key::new("old", &[b'o'; 32]).valid_between(None, Some(100));
        let ring = KeyRing::new(vec![Key::new("new", &[b'n'; 32]), old.clone()]);
        let signature = old.sign(b"hash");
        assert_eq!(ring.signer(0, b"hash", &signature, Some(100)), Some(1));
        assert_eq!(ring.signer(1, b"hash", &signature, Some(101)), None);
        assert_eq!(ring.signer(1, b"hash", &signature, None), None);
        let any = ring.signer_at_any_time(b"hash", &signature).map(Key::id);
        assert_eq!(any, Some("old"));
    }

    #[test]
    fn never_prints_a_secret() {
        assert_eq!(
            format!("{:?}", Key::new("main", b"hunter2")),
            r#"Key("main", secret)"#
        );
    }
}
