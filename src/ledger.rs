//! Floor 2: the compliance ledger: what this program did that an auditor asks about.
//!
//! Each entry is a signed note of its own that names the SHA-256 of the one before, so that it can be verified with the anchor
//! key's public half alone, and none can be changed, taken out or put in. What a job did is written in the transaction of the job's
//! end; what a command did, after it was done. Who acted is what the command was told, and proves nothing. Backups carry entries
//! into the archive; each compares, so that the newest cannot be cut off or written anew once they are there.
//!
//! ```text
//! who acts ──▶ append (in the act's own transaction) ──▶ ledger ──▶ backup ──▶ archive
//! ```

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    checkpoint::note::{Note, SecretKey, VerifierKey},
    objects::Digest,
    state::{StateError, Store, Tx, ledger::LedgerRow},
};

/// The format that this program writes and reads.
const FORMAT: &str = "trailkeeper ledger 1";
/// Entries that are read at a time.
const PAGE: u32 = 500;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// A backup was restored into a scratch database and compared.
    Drill,
    /// An object of the archive was removed.
    Prune,
    /// A backup was restored.
    Restore,
    /// Data keys were put back from an export.
    RecoverKeys,
    /// A new archive was begun, and the one before forgotten.
    RestartArchive,
    /// Data keys were wrapped with another key-encryption key.
    Rewrap,
    /// Somebody was given what is held about them, or about an organisation.
    Export,
}

impl Act {
    /// As entries spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Drill => "archive.drill",
            Self::Prune => "archive.prune",
            Self::Restore => "archive.restore",
            Self::RecoverKeys => "archive.recover_keys",
            Self::RestartArchive => "archive.restart",
            Self::Rewrap => "archive.rewrap",
            Self::Export => "subject.export",
        }
    }
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The format's name and version.
    pub format: String,
    /// Whose ledger it is, as in anchors.
    pub origin: String,
    /// Its number, from 1.
    pub number: i64,
    /// The SHA-256 of the entry before, as it is kept; none for the first.
    pub previous_sha256: Option<String>,
    /// When.
    pub at: Timestamp,
    /// What.
    pub act: String,
    /// Who: a job, or a command and who ran it.
    pub actor: String,
    /// What came of it.
    pub detail: Value,
}

/// Who adds entries, and how they are signed.
#[derive(Debug, Clone, Copy)]
pub struct Scribe<'a> {
    /// Whose ledger it is.
    pub origin: &'a str,
    /// Signs.
    pub key: &'a SecretKey,
    /// Who acts.
    pub actor: &'a str,
    /// The time.
    pub now: Timestamp,
}

impl Scribe<'_> {
    /// Adds an entry in the transaction of the act.
    ///
    /// # Errors
    /// If the database fails, or the entry cannot be signed.
    pub async fn append(&self, tx: &mut Tx, act: Act, detail: Value) -> Result<(), StateError> {
        let head = tx.ledger_head().await?;
        let refused = |error: String| StateError::Refused(format!("ledger: {error}"));
        let number = head.as_ref().map_or(0, |head| head.number).checked_add(1);
        let entry = Entry {
            format: FORMAT.to_owned(),
            origin: self.origin.to_owned(),
            number: number
                .ok_or_else(|| refused("its newest number is the last there is".to_owned()))?,
            // Of the note itself: what stands beside it is not signed.
            previous_sha256: head.map(|head| Digest::of(head.note.as_bytes()).to_string()),
            at: self.now,
            act: act.name().to_owned(),
            actor: self.actor.to_owned(),
            detail,
        };
        let mut text =
            serde_json::to_string_pretty(&entry).map_err(|error| refused(error.to_string()))?;
        text.push('\n');
        let note = Note::sign(text, self.key).map_err(|error| refused(error.to_string()))?;
        let note = note.to_string();
        let row = LedgerRow {
            number: entry.number,
            at: entry.at.as_microsecond(),
            act: entry.act,
            sha256: Digest::of(note.as_bytes()).to_string(),
            note,
        };
        tx.insert_ledger(&row).await
    }

    /// Adds an entry about what needs no other write.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn note(&self, store: &Store, act: Act, detail: Value) -> Result<(), StateError> {
        let mut tx = store.begin().await?;
        self.append(&mut tx, act, detail).await?;
        tx.commit("ledger").await
    }
}

/// Reads an entry that one of `keys` signed; otherwise says why it is none.
///
/// # Errors
/// Why not, in words.
pub fn open(row: &LedgerRow, origin: &str, keys: &[VerifierKey]) -> Result<Entry, String> {
    let note = Note::from_bytes(row.note.as_bytes()).map_err(|error| error.to_string())?;
    note.verify(keys).map_err(|error| error.to_string())?;
    let entry: Entry = serde_json::from_str(note.text()).map_err(|error| error.to_string())?;
    if entry.format != FORMAT {
        return Err(format!(
            "its format is {:?}, and this program reads {FORMAT:?}",
            entry.format
        ));
    }
    if entry.origin != origin {
        return Err(format!("it is of the ledger of {:?}", entry.origin));
    }
    if entry.number != row.number {
        return Err(format!("it says that it is number {}", entry.number));
    }
    if (entry.act.as_str(), entry.at.as_microsecond()) != (row.act.as_str(), row.at) {
        return Err("its act or time is another than the one beside it".to_owned());
    }
    Ok(entry)
}

/// What an entry says came of the act, without asking who signed it; null if it cannot be read.
#[must_use]
pub fn detail(row: &LedgerRow) -> Value {
    let note = Note::from_bytes(row.note.as_bytes()).ok();
    let entry = note.and_then(|note| serde_json::from_str::<Entry>(note.text()).ok());
    entry.map_or(Value::Null, |entry| entry.detail)
}

/// What verifying the ledger came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// Entries that are authentic and in their place.
    pub entries: u64,
    /// When the first and the newest were made.
    pub from: Option<Timestamp>,
    /// The newest.
    pub to: Option<Timestamp>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which.
    pub number: i64,
    /// In a sentence.
    pub detail: String,
}

/// Authenticates all entries and their chain.
///
/// # Errors
/// If the database fails.
pub async fn verify(
    store: &Store,
    origin: &str,
    keys: &[VerifierKey],
) -> Result<Report, StateError> {
    let mut report = Report::default();
    let mut previous: Option<LedgerRow> = None;
    loop {
        let after = previous.as_ref().map_or(0, |row| row.number);
        let page = store.ledger_after(after, PAGE).await?;
        if page.is_empty() {
            return Ok(report);
        }
        for row in page {
            let last = previous.as_ref().map_or(0, |previous| previous.number);
            let detail = match open(&row, origin, keys) {
                Err(problem) => Some(problem),
                Ok(_) if row.number != last + 1 => Some(format!(
                    "entries {} to {} are gone",
                    last + 1,
                    row.number - 1
                )),
                Ok(entry)
                    if entry.previous_sha256.as_ref() != previous.as_ref().map(|it| &it.sha256) =>
                {
                    Some("it does not follow the entry before".to_owned())
                }
                Ok(entry) => {
                    report.entries += 1;
                    report.from = report.from.or(Some(entry.at));
                    report.to = Some(entry.at);
                    None
                }
            };
            if let Some(detail) = detail {
                let number = row.number;
                report.findings.push(Finding { number, detail });
            }
            // What stands beside the note is not signed; what the next entry names is what the note hashes to.
            let sha256 = Digest::of(row.note.as_bytes()).to_string();
            previous = Some(LedgerRow { sha256, ..row });
        }
    }
}
