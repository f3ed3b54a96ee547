//! Making an export, and deleting those whose time is over.

use futures_util::TryStreamExt;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    super::{BackupError, Unlocked, put::lock_problem},
    PREFIX,
    file::{Head, Rows},
    name, parse_name, recipients,
};
use crate::{
    anchor::Keys,
    config::Config,
    objects::{Deletion, Digest, Vault, VaultError},
    state::Store,
};

/// Keys that are read at once.
const PAGE: u32 = 5000;
/// A file is closed when it has so many bytes.
const FILE_BYTES: usize = 32 << 20;

/// What an export made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Exported {
    /// Its objects; empty if nobody is to read it.
    pub names: Vec<String>,
    /// Keys in it, destroyed ones included.
    pub keys: u64,
    /// Objects of earlier exports that were deleted, as their time was over.
    pub deleted: u64,
    /// Those that the store kept all the same, and why.
    pub not_deleted: Vec<Unlocked>,
    /// Objects that are not locked as configured.
    pub not_locked: Vec<Unlocked>,
}

/// Exports all data keys after the backup with this number, and deletes exports whose time is over. Nobody notes what was
/// exported: the store's own dates say what is over, also after our database was lost. A run that is cut short leaves
/// objects that end like all others.
///
/// # Errors
/// If the database or the store fails.
pub async fn export_keys(
    config: &Config,
    store: &Store,
    keys: &Keys,
    number: i64,
    now: Timestamp,
) -> Result<Exported, BackupError> {
    let vault = Vault::open_for_recovery(config)?;
    let recipients = recipients(&config.backup.recovery_recipients)?;
    let mut exported = Exported::default();
    if !recipients.is_empty() {
        let mut head = Head::new(&config.anchors.origin, number, now);
        let mut after = String::new();
        loop {
            let mut rows = Rows::default();
            head.is_last = loop {
                let page = store.all_data_keys_after(&after, PAGE).await?;
                let Some(last) = page.last() else { break true };
                after.clone_from(&last.id);
                exported.keys += page.len() as u64;
                page.into_iter().try_for_each(|row| rows.push(row))?;
                if rows.size_bytes() >= FILE_BYTES {
                    break false;
                }
            };
            let bytes = head.seal(&rows, &keys.signer, &recipients)?;
            let name = name(number, Digest::of(&bytes));
            let stored = vault.put(&name, bytes, vault.retain_until(now)).await?;
            if let Some(why) = lock_problem(&stored.lock) {
                let object = name.clone();
                exported.not_locked.push(Unlocked { object, why });
            }
            exported.names.push(name);
            if head.is_last {
                break;
            }
            head.part += 1;
        }
    }
    delete_expired(&vault, now, &mut exported).await?;
    Ok(exported)
}

async fn delete_expired(
    vault: &Vault,
    now: Timestamp,
    exported: &mut Exported,
) -> Result<(), BackupError> {
    let versions: Vec<_> = vault.versions(PREFIX).try_collect().await?;
    for version in versions {
        let is_over = vault.retain_until(version.modified) < now;
        let is_export = !version.is_delete_marker && parse_name(&version.name).is_some();
        // Never the one that was just made, whatever the store's clock says.
        if !is_over || !is_export || exported.names.contains(&version.name) {
            continue;
        }
        let deleted = vault.delete_version(&version.name, version.version.as_deref());
        match deleted.await {
            Ok(Deletion::Deleted) | Err(VaultError::NotFound { .. }) => exported.deleted += 1,
            Ok(Deletion::Refused { reason }) => exported.not_deleted.push(Unlocked {
                object: version.name,
                why: reason,
            }),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
