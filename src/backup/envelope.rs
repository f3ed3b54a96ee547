//! Encryption of personal fields, each under the key of the person it is about.
//!
//! AES-256-GCM with a random nonce of 96 bits, each key used for one data subject alone: NIST SP 800-38D allows 2^32 messages
//! under such a key, which no person's blocks come near. It was taken before XChaCha20-Poly1305 because every
//! cryptographic library can read it back. What a block belongs to is authenticated with it, so that no ciphertext can be
//! moved to another segment, table or organisation.

use core::fmt;

use aes_gcm::{
    Aes256Gcm, Key, KeyInit, Nonce,
    aead::{Aead, AeadInPlace, Payload},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::BackupError;

/// Bytes of every key.
pub const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// Random bytes of the operating system.
///
/// # Errors
/// If it has none.
pub(super) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, BackupError> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut bytes[..]).map_err(|error| BackupError::Random(error.to_string()))?;
    Ok(bytes)
}

/// `text` in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Clone)]
struct Secret([u8; KEY_BYTES]);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Secret {
    fn seal(&self, plain: &[u8], about: &str) -> Result<Vec<u8>, BackupError> {
        let nonce = random::<NONCE_BYTES>()?;
        let cipher = Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(&self.0));
        let mut sealed = Vec::with_capacity(NONCE_BYTES + plain.len() + TAG_BYTES);
        sealed.extend_from_slice(&nonce[..]);
        sealed.extend_from_slice(plain);
        let tag = cipher.encrypt_in_place_detached(
            Nonce::from_slice(&nonce[..]),
            about.as_bytes(),
            &mut sealed[NONCE_BYTES..],
        );
        let tag =
            tag.map_err(|_| BackupError::TooLarge("more than AES-GCM encrypts".to_owned()))?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    fn open(&self, sealed: &[u8], about: &str) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES)?;
        let cipher = Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(&self.0));
        let payload = Payload {
            msg: sealed,
            aad: about.as_bytes(),
        };
        let plain = cipher.decrypt(Nonce::from_slice(nonce), payload).ok()?;
        Some(Zeroizing::new(plain))
    }
}

/// The key-encryption key. It encrypts data keys and nothing else.
#[derive(Clone)]
pub struct Kek(Secret);

impl Kek {
    /// The key that text spells: 32 bytes in base64.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).ok()?);
        Some(Self(Secret(bytes.as_slice().try_into().ok()?)))
    }

    /// A new one, as text.
    ///
    /// # Errors
    /// If the operating system has no random bytes.
    pub fn generate() -> Result<Zeroizing<String>, BackupError> {
        Ok(Zeroizing::new(STANDARD.encode(*random::<KEY_BYTES>()?)))
    }

    /// Which key it is: the first 8 bytes of its SHA-256 behind a line of its own.
    #[must_use]
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"trailkeeper kek\n");
        hash.update(self.0.0);
        hex(&hash.finalize()[..8])
    }

    /// Encrypts a data key.
    ///
    /// # Errors
    /// If the operating system has no random bytes.
    pub fn wrap(&self, id: &str, subject: &str, key: &DataKey) -> Result<Vec<u8>, BackupError> {
        self.0.seal(&key.0.0, &wrapping(id, subject))
    }

    /// Decrypts a data key; `None` if another key encrypted it, or it is not what it was.
    #[must_use]
    pub fn unwrap(&self, id: &str, subject: &str, wrapped: &[u8]) -> Option<DataKey> {
        let key = self.0.open(wrapped, &wrapping(id, subject))?;
        Some(DataKey(Secret(key.as_slice().try_into().ok()?)))
    }
}

fn wrapping(id: &str, subject: &str) -> String {
    format!("trailkeeper data key\n{id}\n{subject}")
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kek({})", self.id())
    }
}

/// The key of one data subject.
#[derive(Clone)]
pub struct DataKey(Secret);

impl DataKey {
    /// A new one.
    ///
    /// # Errors
    /// If the operating system has no random bytes.
    pub fn generate() -> Result<Self, BackupError> {
        Ok(Self(Secret(*random()?)))
    }

    /// Encrypts a block: nonce, ciphertext and tag.
    ///
    /// # Errors
    /// If the operating system has no random bytes.
    pub fn seal(&self, plain: &[u8], place: &Place<'_>) -> Result<Vec<u8>, BackupError> {
        self.0.seal(plain, &place.to_string())
    }

    /// Decrypts a block; `None` if it is not what [`Self::seal`] made for this place.
    #[must_use]
    pub fn open(&self, sealed: &[u8], place: &Place<'_>) -> Option<Zeroizing<Vec<u8>>> {
        self.0.open(sealed, &place.to_string())
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(***)")
    }
}

/// What a block belongs to. Shown as it is authenticated: lines, none of which can hold a newline.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The table.
    pub table: &'a str,
    /// The organisation that its rows name.
    pub organization: Option<i64>,
    /// The lowest id in the segment.
    pub first_id: i64,
    /// The highest.
    pub last_id: i64,
    /// The key's id.
    pub key: &'a str,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "trailkeeper block\n{}", self.table)?;
        match self.organization {
            Some(organization) => writeln!(f, "{organization}")?,
            None => f.write_str("none\n")?,
        }
        write!(f, "{}-{}\n{}", self.first_id, self.last_id, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place {
        table: "verificationlog",
        organization: Some(2),
        first_id: -7,
        last_id: 8,
        key: "5f",
    };

    #[test]
    fn a_block_opens_where_it_belongs_and_nowhere_else() {
        let key = DataKey::generate().unwrap();
        let sealed = key.seal(b"2 + 2", &PLACE).unwrap();
        assert_eq!(
            key.open(&sealed, &PLACE).unwrap().as_slice(),
            b"2 + 2".as_slice()
        );
        let elsewhere = [
            Place {
                table: "user",
                ..PLACE
            },
            Place {
                organization: None,
                ..PLACE
            },
            Place {
                first_id: 7,
                ..PLACE
            },
            Place {
                last_id: 9,
                ..PLACE
            },
            Place { key: "5e", ..PLACE },
        ];
        for place in elsewhere {
            assert!(key.open(&sealed, &place).is_none(), "{place:?}");
        }
        assert!(DataKey::generate().unwrap().open(&sealed, &PLACE).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open(&changed, &PLACE).is_none());
            assert!(key.open(&sealed[..at], &PLACE).is_none());
        }
        // The same again is not the same.
        assert_ne!(key.seal(b"2 + 2", &PLACE).unwrap(), sealed);
    }

    #[test]
    fn data_keys_are_wrapped_for_their_subject() {
        let kek = Kek::parse(&Kek::generate().unwrap()).unwrap();
        let other = Kek::parse(&Kek::generate().unwrap()).unwrap();
        assert_ne!(kek.id(), other.id());
        let key = DataKey::generate().unwrap();
        let wrapped = kek.wrap("id", "organization/1", &key).unwrap();
        let back = kek.unwrap("id", "organization/1", &wrapped).unwrap();
        assert_eq!(back.0.0, key.0.0);
        assert!(kek.unwrap("id", "organization/2", &wrapped).is_none());
        assert!(kek.unwrap("di", "organization/1", &wrapped).is_none());
        assert!(other.unwrap("id", "organization/1", &wrapped).is_none());
        assert!(Kek::parse("c2hvcnQ=").is_none());
    }

    #[test]
    fn no_key_is_ever_printed() {
        let kek = Kek(Secret([7; 32]));
        let key = DataKey(Secret([7; 32]));
        assert_eq!(
            format!("{kek:?} {key:?}"),
            format!("Kek({}) DataKey(***)", kek.id())
        );
    }
}
