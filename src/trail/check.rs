//! Hash and signature of one entry, by QWED's rules.
//!
//! A matching form of the payload is remembered and tried first for the next row: a trail is written by
//! one release at a time, so a row usually costs one hash and one HMAC.

use std::sync::Arc;

use super::{
    hash::{Hex, to_hex},
    keys::KeyRing,
    payload::{Form, PayloadHasher, Unhashable},
    row::{Row, Value},
    tombstone::{Erased, Manner, Seal},
};

/// What the entry's hash says of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashState {
    /// It is the hash of the content, in this form.
    Valid(Form),
    /// It is the hash of something else.
    Mismatch,
    /// There is none (NULL or `''`).
    Missing,
    /// There is one, but the content is nothing that QWED could have hashed.
    Unhashable(Unhashable),
}

/// What the entry's signature says of its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureState {
    /// Made with this key of the ring.
    Valid(usize),
    /// There is one, and no key made it.
    Invalid,
    /// There is none, or no hash that it could have signed.
    Missing,
}

/// What a column holds that QWED reads as if it had written it, and did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    /// `timestamp` in another spelling.
    Timestamp,
    /// `is_verified` is neither 0 nor 1.
    IsVerified,
}

/// The checks of one row that need no other row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowCheck {
    /// Content against hash.
    pub hash: HashState,
    /// Hash against signature.
    pub signature: SignatureState,
    /// What the hash cannot tell.
    pub oddity: Option<Oddity>,
    /// What was erased of it.
    pub erasure: Option<Erasure>,
}

/// What was erased of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erasure {
    /// What a tombstone says; `hash` is what it was before.
    Sound(Manner),
    /// What a tombstone says was erased is there.
    Undone,
}

impl RowCheck {
    /// QWED's `hash_valid`.
    #[must_use]
    pub fn hash_valid(&self) -> bool {
        matches!(self.hash, HashState::Valid(_))
    }

    /// QWED's `signature_valid`.
    #[must_use]
    pub fn signature_valid(&self) -> bool {
        matches!(self.signature, SignatureState::Valid(_))
    }
}

/// Checks row after row.
#[derive(Debug)]
pub struct Checker {
    hasher: PayloadHasher,
    ring: Arc<KeyRing>,
    form: Form,
    key: usize,
}

impl Checker {
    /// A checker that knows these keys.
    #[must_use]
    pub fn new(ring: Arc<KeyRing>) -> Self {
        Self {
            hasher: PayloadHasher::default(),
            ring,
            form: Form::ALL[0],
            key: 0,
        }
    }

    /// The keys it knows.
    #[must_use]
    pub fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// Checks `row`'s hash and signature.
    #[inline]
    pub fn check(&mut self, row: &Row<'_>) -> RowCheck {
        let erasure = row.erased.map(|erased| match erased {
            Erased::As(tombstone) => Erasure::Sound(tombstone.manner()),
            Erased::Undone => Erasure::Undone,
        });
        if row.entry_hash.is_blank() {
            let (hash, signature) = (HashState::Missing, SignatureState::Missing);
            return RowCheck {
                hash,
                signature,
                oddity: None,
                erasure,
            };
        }
        let (hash, oddity) = match row.erased {
            Some(Erased::As(tombstone)) => (hash_before(tombstone.seal()), None),
            Some(Erased::Undone) | None => (self.check_hash(row), oddity(row)),
        };
        RowCheck {
            hash,
            signature: self.check_signature(row),
            oddity,
            erasure,
        }
    }

    #[inline]
    fn check_hash(&mut self, row: &Row<'_>) -> HashState {
        if let Err(reason) = self.hasher.load(row) {
            return HashState::Unhashable(reason);
        }
        let stored = row.entry_hash.text();
        let guess = self.form;
        let forms = core::iter::once(guess).chain(Form::ALL.into_iter().filter(|&f| f != guess));
        for form in forms {
            if !form.is_accepted_for(row) {
                continue;
            }
            match self.hasher.hash(row, form) {
                Ok(digest) if stored == Some(&to_hex(&digest)) => {
                    self.form = form;
                    return HashState::Valid(form);
                }
                Ok(_) => {}
                Err(reason) => return HashState::Unhashable(reason),
            }
        }
        HashState::Mismatch
    }

    #[inline]
    fn check_signature(&mut self, row: &Row<'_>) -> SignatureState {
        if row.hmac_signature.is_blank() {
            return SignatureState::Missing;
        }
        let (Some(hash), Some(signature)) = (row.entry_hash.text(), row.hmac_signature.text())
        else {
            return SignatureState::Invalid;
        };
        let at = if self.ring.is_timed() {
            row.timestamp.micros()
        } else {
            None
        };
        match self.ring.signer(self.key, hash, signature, at) {
            Some(key) => {
                self.key = key;
                SignatureState::Valid(key)
            }
            None => SignatureState::Invalid,
        }
    }

    /// Every hash that QWED would accept for the row's content; empty where it is unhashable.
    ///
    /// For finding out what happened to a row that failed.
    pub fn accepted_hashes(&mut self, row: &Row<'_>) -> Vec<Hex> {
        if self.hasher.load(row).is_err() {
            return Vec::new();
        }
        Form::ALL
            .into_iter()
            .filter(|form| form.is_accepted_for(row))
            .filter_map(|form| self.hasher.hash(row, form).ok())
            .map(|digest| to_hex(&digest))
            .collect()
    }
}

/// What the hash of an erased entry was worth. Nothing that failed is sound since it was erased.
fn hash_before(seal: Seal) -> HashState {
    match seal {
        Seal::Sound(form) => HashState::Valid(form),
        Seal::Failed | Seal::Absent => HashState::Mismatch,
    }
}

#[inline]
fn oddity(row: &Row<'_>) -> Option<Oddity> {
    if !row.timestamp.is_as_written() {
        Some(Oddity::Timestamp)
    } else if !matches!(
        row.is_verified,
        Value::Bool(_) | Value::Integer(0 | 1) | Value::Null
    ) {
        Some(Oddity::IsVerified)
    } else {
        None
    }
}
