//! Where evidence goes: into a file, or into the store of objects; a manifest beside it.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{Timestamp, ToSpan};
use serde::Serialize;
use tokio::runtime::Handle;

use super::{Asked, Content, EvidenceError, Manifest, Trail, write_events, write_log};
use crate::{
    checkpoint::anchored::Anchored,
    objects::{Digest, LockState, Vault},
    private::{self, Draft},
    progress::Progress,
    qwed::{Database, url::DatabaseUrl},
    tombstones::Graveyard,
    trail::keys::KeyRing,
};

/// How often an export begins anew because entries were erased meanwhile.
const ATTEMPTS: u32 = 5;
/// Where evidence is in the store: among exports, so that it goes with those that are over.
const PREFIX: &str = "exports/evidence/";

/// Evidence to make.
#[derive(Debug, Clone)]
pub struct Order {
    /// What is asked for.
    pub asked: Asked,
    /// QWED's database.
    pub url: DatabaseUrl,
    /// Where tombstones are kept, if there is a state database.
    pub graveyard: Option<Graveyard>,
    /// What waits for the state database.
    pub handle: Handle,
    /// Keys that may have signed entries.
    pub ring: Arc<KeyRing>,
    /// The newest anchor.
    pub anchored: Option<Arc<Anchored>>,
    /// What is wrong with anchors, in sentences.
    pub anchor_findings: Vec<String>,
    /// A directory for what does not fit into memory.
    pub scratch: PathBuf,
    /// The time.
    pub made_at: Timestamp,
}

impl Order {
    fn open(&self) -> Result<Database, EvidenceError> {
        match &self.graveyard {
            Some(graveyard) => Ok(graveyard.open(&self.handle, &self.url)?),
            None => Ok(Database::open(&self.url)?),
        }
    }

    fn has_newer(&self, newest: i64) -> Result<bool, EvidenceError> {
        match &self.graveyard {
            Some(graveyard) => Ok(self.handle.block_on(graveyard.has_newer(newest))?),
            None => Ok(false),
        }
    }

    /// Writes to an empty file. Blocking, on a thread that is none of a runtime's.
    ///
    /// # Errors
    /// If there is no such organisation, a database cannot be read or the file not be written, or entries are erased all the time.
    pub fn write(
        &self,
        content: Content,
        file: &mut File,
        progress: &Progress,
    ) -> Result<Manifest, EvidenceError> {
        let mut manifest = match content {
            Content::SecurityEvents => {
                let mut out = BufWriter::new(&mut *file);
                let (asked, scratch) = (&self.asked, &self.scratch);
                let written = write_events(&mut out, &self.url, asked, scratch, progress)?;
                Manifest::new(content, asked, self.made_at, written)
            }
            Content::VerificationLog => self.write_log(file, progress)?,
        };
        if content == Content::VerificationLog {
            manifest.anchor_findings.clone_from(&self.anchor_findings);
        }
        file.sync_all()?;
        file.rewind()?;
        Ok(manifest)
    }

    fn write_log(&self, file: &mut File, progress: &Progress) -> Result<Manifest, EvidenceError> {
        for _ in 0..ATTEMPTS {
            let database = self.open()?;
            let trail = Trail {
                database: &database,
                ring: &self.ring,
                anchored: self.anchored.as_deref(),
                scratch: &self.scratch,
                progress,
            };
            let mut out = BufWriter::new(&mut *file);
            let written = write_log(&mut out, &trail, &self.asked)?;
            drop(out);
            // An entry that is erased after its tombstone was looked for would look forged.
            if !self.has_newer(database.erased().newest())? {
                let content = Content::VerificationLog;
                return Ok(Manifest::new(content, &self.asked, self.made_at, written));
            }
            file.rewind()?;
            file.set_len(0)?;
        }
        Err(EvidenceError::Erasing)
    }
}

/// The file of the manifest of a file of evidence.
#[must_use]
pub fn manifest_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

/// Writes evidence to a new file, which is its owner's only, and its manifest to another. Blocking, as [`Order::write`].
///
/// # Errors
/// If there is such a file, which stays as it is, or as [`Order::write`].
pub fn to_file(
    order: &Order,
    content: Content,
    path: &Path,
    progress: &Progress,
) -> Result<Manifest, EvidenceError> {
    let beside = manifest_path(path);
    let (draft, mut out) = begin(path)?;
    let (draft_beside, mut out_beside) = begin(&beside)?;
    let manifest = order.write(content, &mut out, progress)?;
    out_beside.write_all(&json(&manifest)?)?;
    out_beside.sync_all()?;
    draft.name().map_err(|error| refuse(path, error))?;
    draft_beside
        .name()
        .map_err(|error| refuse(&beside, error))?;
    Ok(manifest)
}

fn begin(path: &Path) -> Result<(Draft, File), EvidenceError> {
    Draft::begin(path).map_err(|error| refuse(path, error))
}

fn refuse(path: &Path, error: io::Error) -> EvidenceError {
    match error.kind() {
        ErrorKind::AlreadyExists => EvidenceError::Exists(path.display().to_string()),
        _ => EvidenceError::Write(error),
    }
}

fn json(manifest: &Manifest) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(manifest)?;
    text.push(b'\n');
    Ok(text)
}

/// A file of evidence in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivered {
    /// What it is.
    #[serde(flatten)]
    pub manifest: Manifest,
    /// The object's name; its manifest's ends with ".json" besides.
    pub object: String,
    /// Its version, where the store keeps versions.
    pub version: Option<String>,
    /// Where the store is.
    pub location: String,
    /// When it may be removed: the first export of personal data after that does it.
    pub kept_until: Timestamp,
    /// Until when the store keeps it locked, although no lock was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<Timestamp>,
}

/// Makes evidence and puts it into the store, which was opened for exports. `id` is a name of its own, the same when it is repeated.
///
/// # Errors
/// As [`Order::write`], or if the store fails.
pub async fn deliver(
    order: &Order,
    content: Content,
    vault: &Vault,
    id: &str,
    keep_days: u32,
    progress: &Arc<Progress>,
) -> Result<Delivered, EvidenceError> {
    private::create_directory(&order.scratch)?;
    let (inner, progress) = (order.clone(), Arc::clone(progress));
    let making = tokio::task::spawn_blocking(move || -> Result<_, EvidenceError> {
        let mut file = private::unnamed_file(&inner.scratch)?;
        let manifest = inner.write(content, &mut file, &progress)?;
        let beside = json(&manifest)?;
        let mut beside_file = private::unnamed_file(&inner.scratch)?;
        beside_file.write_all(&beside)?;
        beside_file.rewind()?;
        Ok((file, manifest, beside_file, Digest::of(&beside)))
    });
    let (file, manifest, beside, beside_sha256) = making.await.map_err(io::Error::other)??;
    let organization = order.asked.organization_id;
    let object = format!(
        "{PREFIX}organization-{organization}/{id}/{}.csv",
        content.name()
    );
    let stored = vault
        .put_file(&object, file, manifest.written.sha256)
        .await?;
    vault
        .put_file(&format!("{object}.json"), beside, beside_sha256)
        .await?;
    let hours = (i64::from(keep_days) * 24).hours();
    Ok(Delivered {
        kept_until: order.made_at.checked_add(hours).unwrap_or(Timestamp::MAX),
        manifest,
        object,
        version: stored.version,
        location: vault.location().to_owned(),
        locked_until: match stored.lock {
            LockState::Locked(lock) => Some(lock.until),
            _ => None,
        },
    })
}
