//! Keys that sign notes, and how they are written down.

use core::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{PUBLIC_KEY_LENGTH, SECRET_KEY_LENGTH, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

/// The byte that stands for Ed25519 in keys and their ids.
const ED25519: u8 = 1;
/// What a signer key begins with.
const PRIVATE: &str = "PRIVATE+KEY+";
/// The longest name; C2SP sets no limit.
const MAX_NAME_BYTES: usize = 255;

/// Why text is no key. Never quotes it, as it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// A name that signature lines cannot hold.
    #[error(
        "a key's name is 1 to {MAX_NAME_BYTES} bytes without spaces, control characters and '+'"
    )]
    Name,
    /// A secret key where a public one belongs.
    #[error("this is a secret key; the public key is wanted, which begins with its name")]
    Secret,
    /// A public key, or something else, where a secret one belongs.
    #[error("a secret key begins with {PRIVATE}")]
    NotSecret,
    /// Not of the form `name+id+key`.
    #[error("a key has the form NAME+ID+KEY: eight digits of lower-case hex, and canonical base64")]
    Form,
    /// Another algorithm, or another length than its.
    #[error("not an Ed25519 key: only those are supported")]
    Algorithm,
    /// The id is not the key's.
    #[error("the key's id does not fit its name and content: it was mistyped or cut off")]
    Id,
    /// A public key for which anybody can make signatures.
    #[error("the public key is none of Ed25519's, or one that anybody can sign for")]
    Weak,
}

/// What tells a name's keys apart: the first four bytes of `SHA-256(name || 0x0A || 0x01 || public key)`. Eight digits
/// of lower-case hex. Not collision-resistant, and need not be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 4]);

impl KeyId {
    fn of(name: &str, key: &VerifyingKey) -> Self {
        let mut hasher = Sha256::new_with_prefix(name);
        hasher.update([b'\n', ED25519]);
        hasher.update(key.as_bytes());
        let [a, b, c, d, ..] = <[u8; 32]>::from(hasher.finalize());
        Self([a, b, c, d])
    }

    fn from_hex(hex: &str) -> Option<Self> {
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let number = u32::from_str_radix(hex, 16).ok()?;
        (hex.len() == 8 && hex.bytes().all(is_hex)).then_some(Self(number.to_be_bytes()))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// A public key with its name. Written `name+id+key`, as Go's `note.NewVerifier` reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: KeyId,
    key: VerifyingKey,
}

impl VerifierKey {
    /// The key's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Whether `signature` was made with the key for exactly this text. Malleable signatures are refused.
    #[must_use]
    pub fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        ed25519_dalek::Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(text, &signature).is_ok())
    }

    fn new(name: &str, key: VerifyingKey) -> Self {
        Self {
            name: name.to_owned(),
            id: KeyId::of(name, &key),
            key,
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = STANDARD.encode([&[ED25519], &self.key.as_bytes()[..]].concat());
        write!(f, "{}+{}+{key}", self.name, self.id)
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.starts_with(PRIVATE) {
            return Err(KeyError::Secret);
        }
        let parts = Parts::split(text)?;
        let bytes: &[u8; PUBLIC_KEY_LENGTH] = &parts.key;
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Weak)?;
        // Not every encoding of a point is its own; Go would take another key for the same.
        if key.is_weak() || key.to_edwards().compress().as_bytes() != bytes {
            return Err(KeyError::Weak);
        }
        let verifier = Self::new(parts.name, key);
        if verifier.id != parts.id {
            return Err(KeyError::Id);
        }
        Ok(verifier)
    }
}

/// A key that signs. Never printed, and wiped from memory when it is dropped; [`Self::to_text`] alone gives it away.
pub struct SecretKey {
    name: String,
    key: SigningKey,
}

impl SecretKey {
    /// The key that follows from 32 random bytes.
    ///
    /// # Errors
    /// If no key can have this name.
    pub fn from_seed(name: &str, seed: &[u8; SECRET_KEY_LENGTH]) -> Result<Self, KeyError> {
        check_name(name)?;
        Ok(Self {
            name: name.to_owned(),
            key: SigningKey::from_bytes(seed),
        })
    }

    /// The key's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key.
    #[must_use]
    pub fn verifier(&self) -> VerifierKey {
        VerifierKey::new(&self.name, self.key.verifying_key())
    }

    /// The key as it is kept, `PRIVATE+KEY+name+id+seed`, as Go's `note.NewSigner` reads it.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([ED25519; 1 + SECRET_KEY_LENGTH]);
        bytes[1..].copy_from_slice(self.key.as_bytes());
        let key = Zeroizing::new(STANDARD.encode(&bytes[..]));
        let (name, id) = (&self.name, self.verifier().id);
        Zeroizing::new(format!("{PRIVATE}{name}+{id}+{}", *key))
    }

    pub(super) fn sign(&self, text: &[u8]) -> [u8; 64] {
        self.key.sign(text).to_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.name)
    }
}

impl FromStr for SecretKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let parts = Parts::split(text.strip_prefix(PRIVATE).ok_or(KeyError::NotSecret)?)?;
        let secret = Self::from_seed(parts.name, &parts.key)?;
        if secret.verifier().id != parts.id {
            return Err(KeyError::Id);
        }
        Ok(secret)
    }
}

/// What both kinds of keys consist of.
struct Parts<'a> {
    name: &'a str,
    id: KeyId,
    key: Zeroizing<[u8; 32]>,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Result<Self, KeyError> {
        // Base64 may hold '+' as well; neither names nor ids do.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Form);
        };
        check_name(name)?;
        let id = KeyId::from_hex(id).ok_or(KeyError::Form)?;
        let mut bytes = Zeroizing::new([0; 66]);
        let length = match STANDARD.decode_slice(key, &mut bytes[..]) {
            Ok(length) => length,
            Err(base64::DecodeSliceError::OutputSliceTooSmall) => return Err(KeyError::Algorithm),
            Err(_) => return Err(KeyError::Form),
        };
        match &bytes[..length] {
            [ED25519, key @ ..] => Ok(Self {
                name,
                id,
                key: Zeroizing::new(key.try_into().map_err(|_| KeyError::Algorithm)?),
            }),
            _ => Err(KeyError::Algorithm),
        }
    }
}

/// Whether a key of ours may have this name.
fn check_name(name: &str) -> Result<(), KeyError> {
    if !is_name(name) || name.len() > MAX_NAME_BYTES || name.contains(char::is_control) {
        return Err(KeyError::Name);
    }
    Ok(())
}

/// Whether a signature line may hold this name.
pub(super) fn is_name(name: &str) -> bool {
    let is_odd = |character: char| character == '+' || character.is_whitespace();
    !name.is_empty() && !name.contains(is_odd)
}
