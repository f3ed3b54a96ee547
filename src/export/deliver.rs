//! Where an export goes: into a file, or into the store of objects.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use futures_util::TryStreamExt;
use jiff::{Timestamp, ToSpan};
use serde::Serialize;

use super::{
    ExportError, OwnRecords, Target,
    write::{Made, Notice, Source, write},
};
use crate::{
    objects::{Deletion, LockState, Vault, Version},
    private::{self, Draft},
    progress::Progress,
    qwed::url::DatabaseUrl,
};

/// Where exports are in the store.
const PREFIX: &str = "exports/";

/// An export in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivered {
    /// What is in it.
    #[serde(flatten)]
    pub made: Made,
    /// The object's name.
    pub object: String,
    /// Its version, where the store keeps versions.
    pub version: Option<String>,
    /// Where the store is.
    pub location: String,
    /// When it may be removed: the first export after that does it.
    pub kept_until: Timestamp,
    /// Until when the store keeps it locked, although no lock was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<Timestamp>,
}

/// The names of all exports about the target begin with this, and no others'. Those about its organisation as a whole are
/// elsewhere.
#[must_use]
pub fn directory(organization_id: i64, user_id: Option<i64>) -> String {
    match user_id {
        Some(user) => format!("{PREFIX}organization-{organization_id}/user-{user}/"),
        None => format!("{PREFIX}organization-{organization_id}/all/"),
    }
}

/// Writes an export to a new file, which is its owner's only. Blocking.
///
/// # Errors
/// If there is such a file, which stays as it is, or it cannot be written, or a database not be read.
pub fn to_file(
    source: Source<'_>,
    own: &mut [Box<dyn OwnRecords>],
    path: &Path,
    progress: &Progress,
) -> Result<Made, ExportError> {
    let refuse = |error: io::Error| match error.kind() {
        ErrorKind::AlreadyExists => ExportError::Exists(path.display().to_string()),
        _ => ExportError::Write(error),
    };
    let (draft, out) = Draft::begin(path).map_err(refuse)?;
    let spool = private::unnamed_file(private::directory(path))?;
    let (_, made) = write(source, own, out, spool, progress)?;
    draft.name().map_err(refuse)?;
    Ok(made)
}

/// Where an export is put and how.
#[derive(Debug)]
pub struct Order<'a> {
    /// The store, opened for exports.
    pub vault: &'a Vault,
    /// A directory for what is put, which is made if there is none. What is in it has no name.
    pub scratch: &'a Path,
    /// A name of its own among exports, the same when the run is repeated.
    pub id: &'a str,
    /// How long exports are kept.
    pub keep_days: u32,
}

/// Makes an export and puts it into the store.
///
/// # Errors
/// If a database cannot be read, a file not be written, or the store fails.
pub async fn deliver(
    order: &Order<'_>,
    url: &DatabaseUrl,
    target: &Target,
    notice: &Notice,
    mut own: Vec<Box<dyn OwnRecords>>,
    made_at: Timestamp,
    progress: &Arc<Progress>,
) -> Result<Delivered, ExportError> {
    private::create_directory(order.scratch)?;
    let (url, target, notice) = (url.clone(), target.clone(), notice.clone());
    let (scratch, progress) = (order.scratch.to_owned(), Arc::clone(progress));
    let object = format!(
        "{}{}.zip",
        directory(target.organization_id(), target.user_id()),
        order.id
    );
    let making = tokio::task::spawn_blocking(move || -> Result<(File, Made), ExportError> {
        let (out, spool) = (
            private::unnamed_file(&scratch)?,
            private::unnamed_file(&scratch)?,
        );
        let source = Source {
            url: &url,
            target: &target,
            notice: &notice,
            made_at,
        };
        write(source, &mut own, out, spool, &progress)
    });
    let (file, made) = making.await.map_err(io::Error::other)??;
    let stored = order.vault.put_file(&object, file, made.sha256).await?;
    Ok(Delivered {
        kept_until: kept_until(made_at, order.keep_days),
        made,
        object,
        version: stored.version,
        location: order.vault.location().to_owned(),
        locked_until: match stored.lock {
            LockState::Locked(lock) => Some(lock.until),
            _ => None,
        },
    })
}

/// What was removed of old exports.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Removed {
    /// So many are gone.
    pub removed: u64,
    /// So many the store keeps.
    pub refused: u64,
}

/// Removes exports that are older than they are kept, all versions of them.
///
/// # Errors
/// If the store fails.
pub async fn sweep(vault: &Vault, keep_days: u32, now: Timestamp) -> Result<Removed, ExportError> {
    let is_over = |version: &Version| kept_until(version.modified, keep_days) <= now;
    remove(vault, PREFIX, is_over).await
}

/// Removes the exports about a user who was erased, all versions of them, however new. Those of the whole organisation stay until
/// they are over.
///
/// # Errors
/// If the store fails.
pub async fn forget(
    vault: &Vault,
    organization_id: i64,
    user_id: i64,
) -> Result<Removed, ExportError> {
    let directory = directory(organization_id, Some(user_id));
    remove(vault, &directory, |_| true).await
}

async fn remove(
    vault: &Vault,
    prefix: &str,
    is_meant: impl Fn(&Version) -> bool,
) -> Result<Removed, ExportError> {
    let mut removed = Removed::default();
    let mut versions = vault.versions(prefix);
    while let Some(version) = versions.try_next().await? {
        if !is_meant(&version) {
            continue;
        }
        let deleting = vault.delete_version(&version.name, version.version.as_deref());
        match deleting.await? {
            Deletion::Deleted => removed.removed += 1,
            Deletion::Refused { .. } => removed.refused += 1,
        }
    }
    Ok(removed)
}

fn kept_until(made_at: Timestamp, keep_days: u32) -> Timestamp {
    let hours = i64::from(keep_days) * 24;
    made_at.checked_add(hours.hours()).unwrap_or(Timestamp::MAX)
}
