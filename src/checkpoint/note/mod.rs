//! Text signed by one or more keys: [C2SP signed-note](https://c2sp.org/signed-note), as in Go's
//! `golang.org/x/mod/sumdb/note`, with Ed25519 keys.
//!
//! A text means nothing before [`Note::verify`] said whose it is. Signatures of unknown keys are ignored, so that keys
//! can be rotated and witnesses can sign as well; one of a known key that does not fit spoils the whole note.

mod key;
#[cfg(test)]
mod tests;

use core::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use thiserror::Error;

pub use key::{KeyError, KeyId, SecretKey, VerifierKey};

/// What every signature line begins with.
const MARK: &str = "\u{2014} ";
/// As many as Go's implementation takes.
const MAX_SIGNATURES: usize = 100;
/// Longer notes are refused unread.
pub const MAX_NOTE_BYTES: usize = 16 << 20;

/// Why text is no note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoteError {
    /// Over [`MAX_NOTE_BYTES`].
    #[error("a note of {0} bytes is too long; at most {MAX_NOTE_BYTES} are read")]
    TooLong(usize),
    /// Not UTF-8.
    #[error("the note is not UTF-8")]
    NotUtf8,
    /// A control character other than the newline.
    #[error("the note holds a control character")]
    Control,
    /// The text is empty or does not end with a newline.
    #[error("the note's text must be whole lines")]
    Text,
    /// No empty line parts the text from signatures.
    #[error("the note has no signatures")]
    NoSignatures,
    /// A line behind the text is no signature.
    #[error("line {0} behind the note's text is not a signature")]
    Signature(usize),
    /// Over 100.
    #[error("the note has over {MAX_SIGNATURES} signatures")]
    TooManySignatures,
}

/// Why a note proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// A signature by a known key's name and id that the key did not make.
    #[error("the signature by the key {name} ({id}) is not genuine")]
    Forged {
        /// The key's name.
        name: String,
        /// The key's id.
        id: KeyId,
    },
    /// None by a known key.
    #[error("no given key signed it; it is signed by {0}")]
    Unknown(String),
}

/// One signature, verified or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    name: String,
    id: KeyId,
    bytes: Vec<u8>,
}

impl Signature {
    /// The name of the key that it claims to be made with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of that key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    fn is_by(&self, key: &VerifierKey) -> bool {
        self.name == key.name() && self.id == key.id()
    }
}

/// Text and signatures, none of them verified yet. [`fmt::Display`] and [`FromStr`] are exact opposites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

impl Note {
    /// Signs `text`, which must be whole lines.
    ///
    /// # Errors
    /// If the text cannot stand in a note.
    pub fn sign(text: impl Into<String>, key: &SecretKey) -> Result<Self, NoteError> {
        let text = text.into();
        check_text(&text)?;
        let mut note = Self {
            text,
            signatures: Vec::new(),
        };
        note.add_signature(key)?;
        Ok(note)
    }

    /// Signs the text with a further key; a signature that this key made before is replaced.
    ///
    /// # Errors
    /// If there are too many already.
    pub fn add_signature(&mut self, key: &SecretKey) -> Result<(), NoteError> {
        let verifier = key.verifier();
        self.signatures
            .retain(|signature| !signature.is_by(&verifier));
        if self.signatures.len() >= MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        self.signatures.push(Signature {
            name: key.name().to_owned(),
            id: verifier.id(),
            bytes: key.sign(self.text.as_bytes()).to_vec(),
        });
        Ok(())
    }

    /// Reads a note that is still bytes.
    ///
    /// # Errors
    /// If it is none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLong(bytes.len()));
        }
        core::str::from_utf8(bytes)
            .map_err(|_| NoteError::NotUtf8)?
            .parse()
    }

    /// The text, its last newline included. Not to be trusted before [`Self::verify`].
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, as they stand.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Which of `keys` signed the text: at least one.
    ///
    /// # Errors
    /// If none did, or a signature that claims to be one's is not.
    pub fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Result<Vec<&'k VerifierKey>, VerifyError> {
        let mut signers = Vec::new();
        for key in keys {
            let mut claimed = self.signatures.iter().filter(|claim| claim.is_by(key));
            let Some(first) = claimed.next() else {
                continue;
            };
            let is_genuine = |claim: &Signature| key.verify(self.text.as_bytes(), &claim.bytes);
            if !is_genuine(first) || !claimed.all(is_genuine) {
                return Err(VerifyError::Forged {
                    name: key.name().to_owned(),
                    id: key.id(),
                });
            }
            signers.push(key);
        }
        if signers.is_empty() {
            let names: Vec<String> = self
                .signatures
                .iter()
                .map(|signature| format!("{} ({})", signature.name, signature.id))
                .collect();
            return Err(VerifyError::Unknown(names.join(", ")));
        }
        Ok(signers)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for Signature { name, id, bytes } in &self.signatures {
            let signature = STANDARD.encode([&id.0[..], bytes].concat());
            writeln!(f, "{MARK}{name} {signature}")?;
        }
        Ok(())
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLong(note.len()));
        }
        check_characters(note)?;
        let split = note.rfind("\n\n").ok_or(NoteError::NoSignatures)?;
        let (text, lines) = (&note[..=split], &note[split + 2..]);
        check_text(text)?;
        if lines.is_empty() {
            return Err(NoteError::NoSignatures);
        }
        let mut signatures = Vec::new();
        for (at, line) in lines.split_inclusive('\n').enumerate() {
            if at == MAX_SIGNATURES {
                return Err(NoteError::TooManySignatures);
            }
            signatures.push(signature(line).ok_or(NoteError::Signature(at + 1))?);
        }
        Ok(Self {
            text: text.to_owned(),
            signatures,
        })
    }
}

fn signature(line: &str) -> Option<Signature> {
    let line = line.strip_suffix('\n')?.strip_prefix(MARK)?;
    let (name, signature) = line.split_once(' ')?;
    let signature = STANDARD.decode(signature).ok()?;
    let (id, bytes) = signature.split_first_chunk()?;
    (key::is_name(name) && !bytes.is_empty()).then(|| Signature {
        name: name.to_owned(),
        id: KeyId(*id),
        bytes: bytes.to_vec(),
    })
}

fn check_text(text: &str) -> Result<(), NoteError> {
    if text.len() > MAX_NOTE_BYTES {
        return Err(NoteError::TooLong(text.len()));
    }
    check_characters(text)?;
    if !text.ends_with('\n') {
        return Err(NoteError::Text);
    }
    Ok(())
}

fn check_characters(text: &str) -> Result<(), NoteError> {
    if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err(NoteError::Control);
    }
    Ok(())
}
