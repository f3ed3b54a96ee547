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

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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
    /// A request for erasure was taken in.
    ErasureRequested,
    /// What a request would erase was looked up.
    ErasurePlanned,
    /// A plan was approved.
    ErasureApproved,
    /// Tombstones for what is erased next.
    Tombstones,
    /// A request was carried out.
    ErasureCompleted,
    /// A request was turned down.
    ErasureRejected,
    /// A request was taken back.
    ErasureCancelled,
    /// The time for a request was prolonged.
    ErasureExtended,
    /// Who was erased before was erased again, after a restore.
    ErasureReplayed,
    /// Verdicts on trails are other than before.
    ChangeVerdicts,
    /// API keys were marked for rotation in QWED's database.
    FlagKeys,
    /// A worker began with another configuration than the one before.
    LoadConfig,
    /// A consent chain grew: how long it is now, and what its newest record hashes to.
    ConsentHead,
    /// A legal hold was placed.
    PlaceHold,
    /// A legal hold was released.
    ReleaseHold,
    /// Somebody was given what is held about them, or about an organisation.
    Export,
    /// A report was made.
    Report,
    /// An auditor was given an organisation's records.
    ExportEvidence,
    /// Somebody looked at the security events up to a time.
    ReviewEvents,
    /// An operator queued a job.
    EnqueueJob,
    /// An operator cancelled a job.
    CancelJob,
    /// An operator had a job that had failed tried again.
    RetryJob,
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
            Self::ErasureRequested => "erasure.requested",
            Self::ErasurePlanned => "erasure.planned",
            Self::ErasureApproved => "erasure.approved",
            Self::Tombstones => "erasure.tombstones",
            Self::ErasureCompleted => "erasure.completed",
            Self::ErasureRejected => "erasure.rejected",
            Self::ErasureCancelled => "erasure.cancelled",
            Self::ErasureExtended => "erasure.extended",
            Self::ErasureReplayed => "erasure.replayed",
            Self::ChangeVerdicts => "verdict.changed",
            Self::FlagKeys => "api_key.flagged",
            Self::LoadConfig => "config.loaded",
            Self::ConsentHead => "consent.head",
            Self::PlaceHold => "hold.placed",
            Self::ReleaseHold => "hold.released",
            Self::Export => "subject.export",
            Self::Report => "report.made",
            Self::ExportEvidence => "evidence.export",
            Self::ReviewEvents => "events.reviewed",
            Self::EnqueueJob => "job.enqueued",
            Self::CancelJob => "job.cancelled",
            Self::RetryJob => "job.retried",
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
    /// Adds an entry in the transaction of the act, and answers its number.
    ///
    /// # Errors
    /// If the database fails, or the entry cannot be signed.
    pub async fn append(&self, tx: &mut Tx, act: Act, detail: Value) -> Result<i64, StateError> {
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
        tx.insert_ledger(&row).await?;
        Ok(row.number)
    }

    /// Adds an entry that says which configuration a program begins with, by its SHA-256, unless the newest such entry says the
    /// same. Answers whether it did.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn note_config(&self, store: &Store, sha256: &str) -> Result<bool, StateError> {
        let mut tx = store.begin().await?;
        // Nobody adds one between the look and the entry.
        tx.ledger_head().await?;
        let act = Act::LoadConfig;
        let newest = tx.newest_ledger_of(act.name()).await?;
        let keys = [self.key.verifier()];
        let before = newest.and_then(|row| open(&row, self.origin, &keys).ok());
        let before = before.and_then(|entry| entry.detail["sha256"].as_str().map(str::to_owned));
        if before.as_deref() == Some(sha256) {
            tx.rollback().await?;
            return Ok(false);
        }
        let detail = json!({
            "sha256": sha256,
            "previous_sha256": before,
            "program": concat!("trailkeeper ", env!("CARGO_PKG_VERSION")),
        });
        self.append(&mut tx, act, detail).await?;
        tx.commit("ledger").await?;
        Ok(true)
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

/// Where a consent chain ended, by the newest entry about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentHead {
    /// How many records it had.
    pub records: i64,
    /// What the newest of them hashes to.
    pub hash: String,
    /// The entry's number.
    pub entry: i64,
}

/// The ends of all consent chains, by organisation. Only what one of `keys` signed counts.
///
/// # Errors
/// If the database fails.
pub async fn consent_heads(
    store: &Store,
    origin: &str,
    keys: &[VerifierKey],
) -> Result<BTreeMap<i64, ConsentHead>, StateError> {
    let mut heads = BTreeMap::new();
    let mut after = 0;
    loop {
        let page = store
            .ledger_of_act(Act::ConsentHead.name(), after, PAGE)
            .await?;
        let Some(last) = page.last() else {
            return Ok(heads);
        };
        after = last.number;
        for row in &page {
            let Ok(entry) = open(row, origin, keys) else {
                continue;
            };
            let number = |name: &str| entry.detail[name].as_i64();
            if let (Some(organization), Some(records), Some(hash)) = (
                number("organization_id"),
                number("records"),
                entry.detail["head_hash"].as_str(),
            ) {
                let head = ConsentHead {
                    records,
                    hash: hash.to_owned(),
                    entry: entry.number,
                };
                heads.insert(organization, head);
            }
        }
    }
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
