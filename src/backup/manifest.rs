//! Manifests: what one backup holds, signed and chained to the backup before.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::BackupError;
use crate::{
    checkpoint::note::{Note, SecretKey, VerifierKey},
    objects::Digest,
    qwed::{Dialect, tables::TableSchema},
};

/// The format that this program writes and reads.
const FORMAT: &str = "trailkeeper archive 1";

/// What one backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format's name and version.
    pub format: String,
    /// Whose archive it is, as in anchors.
    pub origin: String,
    /// Its number, from 1.
    pub number: i64,
    /// When it was made.
    pub made_at: Timestamp,
    /// The program that made it.
    pub program: String,
    /// The SHA-256 of the manifest before, as it is stored; none for the first.
    pub previous_sha256: Option<String>,
    /// Which kind of database it is from.
    pub dialect: Dialect,
    /// How its tables were made.
    pub schema: Vec<TableSchema>,
    /// What was added to the archive.
    pub objects: Vec<Object>,
    /// What a backup that was cut short left, and this one replaces: not to be restored.
    pub superseded: Vec<Object>,
    /// Objects of earlier manifests, and manifests, that are kept for longer than was said before.
    #[serde(default)]
    pub renewed: Vec<Renewed>,
    /// Data subjects that were erased since the manifest before.
    pub erasures: Vec<String>,
}

/// An object that is kept for longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// Its name.
    pub name: String,
    /// Its version; none where the store keeps none.
    pub version: Option<String>,
    /// Until when it is kept at least now.
    pub retain_until: Timestamp,
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Rows of a table.
    Segment,
    /// A signed inventory of all trails.
    Anchor,
    /// A signed checkpoint of one trail.
    Checkpoint,
    /// Entries of the compliance ledger.
    Ledger,
    /// Records of an organisation's consent chain.
    Consent,
}

impl Kind {
    /// As our database spells it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Segment => "segment",
            Self::Anchor => "anchor",
            Self::Checkpoint => "checkpoint",
            Self::Ledger => "ledger",
            Self::Consent => "consent",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        [
            Self::Segment,
            Self::Anchor,
            Self::Checkpoint,
            Self::Ledger,
            Self::Consent,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }
}

/// An object of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its version; none where the store keeps none.
    pub version: Option<String>,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// Its size.
    pub size_bytes: i64,
    /// Until when it is kept at least.
    pub retain_until: Timestamp,
    /// The table of a segment; empty otherwise.
    pub table: String,
    /// The organisation that it is about; `none` for rows of no organisation, empty where it is about all of them.
    pub organization: String,
    /// The lowest id in it; of an anchor or checkpoint, the anchor's number; of the ledger, that of its first entry; of consents, the
    /// first record's place in its chain.
    pub first_id: i64,
    /// The highest.
    pub last_id: i64,
    /// How many rows.
    pub rows: i64,
}

impl Manifest {
    pub(super) fn format() -> String {
        FORMAT.to_owned()
    }

    /// The signed note.
    pub(super) fn sign(&self, key: &SecretKey) -> Result<String, BackupError> {
        let name = format!("manifest {}", self.number);
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|error| BackupError::broken(&name, error))?;
        text.push('\n');
        let note = Note::sign(text, key);
        let note = note.map_err(|error| BackupError::TooLarge(format!("{name}: {error}")))?;
        Ok(note.to_string())
    }

    /// What a note says, if one of `keys` signed it.
    pub(super) fn open(bytes: &[u8], origin: &str, keys: &[VerifierKey]) -> Result<Self, String> {
        let note = Note::from_bytes(bytes).map_err(|error| error.to_string())?;
        note.verify(keys).map_err(|error| error.to_string())?;
        let manifest: Self =
            serde_json::from_str(note.text()).map_err(|error| error.to_string())?;
        if manifest.format != FORMAT {
            return Err(format!(
                "its format is {:?}, and this program reads {FORMAT:?}",
                manifest.format
            ));
        }
        if manifest.origin != origin {
            return Err(format!("it is the archive of {:?}", manifest.origin));
        }
        Ok(manifest)
    }
}

/// Where a manifest is kept.
pub(super) fn name(number: i64, digest: Digest) -> String {
    format!("manifests/{number:012}-{digest}.note")
}

/// The number and the digest in a manifest's name.
pub(super) fn parse_name(name: &str) -> Option<(i64, &str)> {
    let name = name.strip_prefix("manifests/")?.strip_suffix(".note")?;
    let (number, digest) = name.split_once('-')?;
    Some((number.parse().ok()?, digest))
}
