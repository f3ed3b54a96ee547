//! Putting what our database has noted, and noting what came of it.

use bytes::Bytes;
use jiff::Timestamp;

use super::BackupError;
use crate::{
    objects::{Digest, LockState, Stored, Vault},
    state::{
        Store,
        archive::{ArchiveManifest, ArchiveObject},
    },
};

/// Puts the objects of one run.
#[derive(Clone)]
pub(super) struct Putter {
    pub(super) store: Store,
    pub(super) vault: Vault,
    pub(super) run: String,
    pub(super) retain_until: Timestamp,
}

impl Putter {
    /// Notes an object and puts it, unless the store is known to have it.
    pub(super) async fn put(&self, object: ArchiveObject, bytes: Bytes) -> Result<(), BackupError> {
        let object = ArchiveObject {
            run: self.run.clone(),
            sha256: Digest::of(&bytes).to_string(),
            size_bytes: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            retain_until: self.retain_until.as_microsecond(),
            ..object
        };
        let noted = self.store.intend_archive_object(&object).await?;
        if noted.stored_at.is_some() {
            return Ok(());
        }
        put(&self.store, &self.vault, &noted, bytes).await
    }
}

/// Puts an object that was noted, and notes that it is there.
pub(super) async fn put(
    store: &Store,
    vault: &Vault,
    object: &ArchiveObject,
    bytes: Bytes,
) -> Result<(), BackupError> {
    let until = time(object.retain_until);
    let stored = vault.put(&object.name, bytes, until).await?;
    let problem = problem(&stored);
    let version = stored.version.as_deref();
    store
        .note_archive_object(&object.name, version, problem.as_deref())
        .await?;
    Ok(())
}

/// Puts a manifest that was noted, and notes that it is there.
pub(super) async fn put_manifest(
    store: &Store,
    vault: &Vault,
    manifest: &ArchiveManifest,
) -> Result<(), BackupError> {
    let until = time(manifest.retain_until);
    let bytes = Bytes::from(manifest.note.clone());
    let stored = vault.put(&manifest.name, bytes, until).await?;
    let problem = problem(&stored);
    let version = stored.version.as_deref();
    store
        .note_archive_manifest(manifest.number, version, problem.as_deref())
        .await?;
    Ok(())
}

fn problem(stored: &Stored) -> Option<String> {
    let hidden = "a newer version or a delete marker stands before it";
    lock_problem(&stored.lock).or_else(|| stored.is_hidden.then(|| hidden.to_owned()))
}

/// Why something is not locked as configured.
pub(super) fn lock_problem(lock: &LockState) -> Option<String> {
    match lock {
        LockState::NotLocked { why, .. } => Some(why.clone()),
        _ => None,
    }
}

pub(super) fn time(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}
