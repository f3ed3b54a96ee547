//! The manifest: what is in a pack, signed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::PackError;
use crate::{
    checkpoint::note::{Note, SecretKey},
    report::model::Period,
};

/// The format that this program writes and reads.
pub(super) const FORMAT: &str = "trailkeeper auditor pack 1";

/// What is in a pack. It names people by no name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format's name and version.
    pub format: String,
    /// What made it.
    pub program: String,
    /// When.
    pub made_at: Timestamp,
    /// The origin of anchors, which the report names as well.
    pub origin: String,
    /// The report's id.
    pub report: String,
    /// The organisation that the report is about.
    pub organization_id: i64,
    /// The period that it covers.
    pub period: Period,
    /// Why there are no anchor and no proofs; none where there are.
    pub without_anchor: Option<String>,
    /// All files but this one, in their order.
    pub files: Vec<FileEntry>,
}

/// A file of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// How many records it has, the header left out, if it is CSV.
    pub rows: Option<u64>,
}

impl Manifest {
    /// The text that is signed.
    #[must_use]
    pub fn to_text(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("it has no map");
        text + "\n"
    }

    /// Signs it.
    ///
    /// # Errors
    /// If the text cannot stand in a note.
    pub fn sign(&self, key: &SecretKey) -> Result<Note, PackError> {
        Ok(Note::sign(self.to_text(), key)?)
    }

    /// Reads the text of a note whose signature was verified.
    ///
    /// # Errors
    /// Why it is none, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let manifest: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if manifest.format != FORMAT {
            return Err(format!(
                "its format is {:?}, and this program reads {FORMAT:?}",
                manifest.format
            ));
        }
        // One text for one manifest: nothing can hide in a second spelling.
        if manifest.to_text() != text {
            return Err("it is not spelled as this program does".to_owned());
        }
        Ok(manifest)
    }

    /// The file of this name.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.name == name)
    }
}
