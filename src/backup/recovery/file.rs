//! One file of an export: encrypted to all recipients, a line with a signed note, and a line for each key.

use std::io::{BufRead, BufReader, Read, Write};

use age::{
    DecryptError, Decryptor, Encryptor,
    x25519::{Identity, Recipient},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::BackupError;
use crate::{
    checkpoint::note::{Note, SecretKey, VerifierKey},
    objects::Digest,
    state::data_keys::DataKeyRow,
};

/// The format that this program writes and reads.
const FORMAT: &str = "trailkeeper data keys 1";
/// Larger than any file that is written: what claims to be larger is none.
const MAX_BYTES: u64 = 60 << 20;

/// What a file of an export says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    format: String,
    origin: String,
    /// The newest manifest when it was made.
    pub(super) manifest: i64,
    pub(super) made_at: Timestamp,
    /// Which file of the export it is, from 1.
    pub(super) part: u32,
    pub(super) is_last: bool,
    /// Of the lines with keys.
    rows_sha256: String,
}

#[derive(Serialize, Deserialize)]
struct Line {
    id: String,
    subject: String,
    kek_id: String,
    /// None: it was destroyed.
    wrapped: Option<String>,
}

/// Lines of keys that become a file.
#[derive(Default)]
pub(super) struct Rows(Vec<u8>);

impl Rows {
    pub(super) fn push(&mut self, row: DataKeyRow) -> Result<(), BackupError> {
        let line = Line {
            wrapped: row.wrapped.map(|wrapped| STANDARD.encode(wrapped)),
            id: row.id,
            subject: row.subject,
            kek_id: row.kek_id,
        };
        serde_json::to_writer(&mut self.0, &line)
            .map_err(|error| BackupError::broken("the export of the data keys", error))?;
        self.0.push(b'\n');
        Ok(())
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.0.len()
    }
}

impl Head {
    pub(super) fn new(origin: &str, manifest: i64, made_at: Timestamp) -> Self {
        Self {
            format: FORMAT.to_owned(),
            origin: origin.to_owned(),
            manifest,
            made_at,
            part: 1,
            is_last: true,
            rows_sha256: String::new(),
        }
    }

    /// The file with these keys.
    pub(super) fn seal(
        &self,
        rows: &Rows,
        key: &SecretKey,
        recipients: &[Recipient],
    ) -> Result<Bytes, BackupError> {
        let fail = |problem: String| BackupError::broken("the export of the data keys", problem);
        let head = Self {
            rows_sha256: Digest::of(&rows.0).to_string(),
            ..self.clone()
        };
        let mut text = serde_json::to_string(&head).map_err(|error| fail(error.to_string()))?;
        text.push('\n');
        let note = Note::sign(text, key).map_err(|error| fail(error.to_string()))?;
        let note = serde_json::to_string(&note.to_string());
        let mut note = note.map_err(|error| fail(error.to_string()))?;
        note.push('\n');
        let recipients = recipients.iter().map(|it| it as &dyn age::Recipient);
        let encryptor = Encryptor::with_recipients(recipients);
        let encryptor = encryptor.map_err(|error| fail(error.to_string()))?;
        let mut sealed = Vec::with_capacity(rows.0.len() + (rows.0.len() >> 8) + 4096);
        let written = encryptor.wrap_output(&mut sealed).and_then(|mut output| {
            output.write_all(note.as_bytes())?;
            output.write_all(&rows.0)?;
            output.finish().map(drop)
        });
        written.map_err(|error| fail(error.to_string()))?;
        Ok(sealed.into())
    }
}

/// A file that was opened.
pub(super) struct Opened {
    pub(super) head: Head,
    rows: Zeroizing<Vec<u8>>,
}

impl Opened {
    /// What is in a file, if one of `keys` signed it.
    pub(super) fn open(
        name: &str,
        bytes: &[u8],
        identities: &[Identity],
        origin: &str,
        keys: &[VerifierKey],
    ) -> Result<Self, BackupError> {
        let broken = |problem: String| BackupError::broken(name, problem);
        let decryptor = Decryptor::new(bytes).map_err(|error| broken(error.to_string()))?;
        let identities = identities.iter().map(|it| it as &dyn age::Identity);
        let plain = decryptor.decrypt(identities).map_err(|error| match error {
            DecryptError::NoMatchingKeys => BackupError::Refused(format!(
                "{name} is encrypted to other keys than the identity file holds; take the one whose public key was in \
                 backup.recovery_recipients on that day"
            )),
            error => broken(error.to_string()),
        })?;
        let mut plain = BufReader::new(plain.take(MAX_BYTES));
        let mut note = String::new();
        let read = plain.read_line(&mut note);
        read.map_err(|error| broken(error.to_string()))?;
        let mut rows = Zeroizing::new(Vec::with_capacity(bytes.len()));
        let read = plain.read_to_end(&mut rows);
        read.map_err(|error| broken(error.to_string()))?;
        let head = Head::authenticate(&note, origin, keys).map_err(broken)?;
        if head.rows_sha256 != Digest::of(&rows).to_string() {
            return Err(broken("its keys are not those that were signed".to_owned()));
        }
        Ok(Self { head, rows })
    }

    /// The keys in it.
    pub(super) fn rows(&self) -> impl Iterator<Item = Option<DataKeyRow>> + '_ {
        let lines = self.rows.split(|byte| *byte == b'\n');
        lines.filter(|line| !line.is_empty()).map(|line| {
            let line: Line = serde_json::from_slice(line).ok()?;
            let wrapped = line.wrapped.map(|text| STANDARD.decode(text));
            Some(DataKeyRow {
                id: line.id,
                subject: line.subject,
                kek_id: line.kek_id,
                wrapped: wrapped.transpose().ok()?,
            })
        })
    }
}

impl Head {
    fn authenticate(line: &str, origin: &str, keys: &[VerifierKey]) -> Result<Self, String> {
        let note: String = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let note = Note::from_bytes(note.as_bytes()).map_err(|error| error.to_string())?;
        note.verify(keys).map_err(|error| error.to_string())?;
        let head: Self = serde_json::from_str(note.text()).map_err(|error| error.to_string())?;
        match &head {
            Self { format, .. } if format != FORMAT => Err(format!(
                "its format is {format:?}, and this program reads {FORMAT:?}"
            )),
            Self { origin: other, .. } if other != origin => {
                Err(format!("it is the export of {other:?}"))
            }
            _ => Ok(head),
        }
    }
}
