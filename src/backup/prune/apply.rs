//! Removing what a list names.

use serde::Serialize;
use serde_json::json;

use super::{
    super::{BackupError, Unlocked},
    plan::{Expired, plan},
};
use crate::{
    checkpoint::note::VerifierKey,
    ledger::{Act, Scribe},
    objects::{Deletion, Vault, VaultError},
    state::{StateError, Store, removals::ArchiveRemoval},
};

/// Removals that one transaction notes as begun.
const NOTED: usize = 100;

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Objects that were removed.
    pub removed: u64,
    /// Their size.
    pub size_bytes: i64,
    /// Objects that the store kept all the same, and why, in its own words.
    pub refused: Vec<Unlocked>,
    /// Removals of an earlier order that were found to be done, and are noted now.
    pub settled: u64,
}

/// Removes exactly what [`plan`] listed under this digest.
///
/// # Errors
/// If the list is another by now, or the store or database fails. What was removed until then is noted by the next order.
pub async fn apply(
    store: &Store,
    vault: &Vault,
    keys: &[VerifierKey],
    scribe: &Scribe<'_>,
    limit: usize,
    digest: &str,
) -> Result<Pruned, BackupError> {
    let mut pruned = Pruned {
        removed: 0,
        size_bytes: 0,
        refused: Vec::new(),
        settled: settle(store, vault, scribe).await?,
    };
    let plan = plan(store, vault, scribe.origin, keys, scribe.now, limit).await?;
    if plan.digest != digest {
        return Err(BackupError::Refused(
            "nothing was removed: what could be removed is not what was listed under this digest; look at the list \
             again, without --apply"
                .to_owned(),
        ));
    }
    for some in plan.objects.chunks(NOTED) {
        let removals = some.iter().map(|object| removal(object, digest));
        let removals: Vec<ArchiveRemoval> = removals.collect();
        store.intend_archive_removals(&removals).await?;
        for removal in removals {
            let version = removal.version.as_deref();
            let refused = match vault.delete_version(&removal.name, version).await {
                Ok(Deletion::Deleted) | Err(VaultError::NotFound { .. }) => None,
                Ok(Deletion::Refused { reason }) => Some(reason),
                Err(error) => return Err(error.into()),
            };
            let is_news = note(store, scribe, &removal, refused.as_deref()).await?;
            match refused {
                None => {
                    pruned.removed += u64::from(is_news);
                    pruned.size_bytes += if is_news { removal.size_bytes } else { 0 };
                }
                Some(why) => pruned.refused.push(Unlocked {
                    object: removal.name,
                    why,
                }),
            }
        }
    }
    Ok(pruned)
}

/// Finds out what became of removals that were begun, and answers how many were done.
async fn settle(store: &Store, vault: &Vault, scribe: &Scribe<'_>) -> Result<u64, BackupError> {
    let mut settled = 0;
    for removal in store.open_archive_removals().await? {
        match vault.head(&removal.name, removal.version.as_deref()).await {
            Ok(_) => store.forget_archive_removal(&removal.name).await?,
            Err(VaultError::NotFound { .. }) => {
                settled += u64::from(note(store, scribe, &removal, None).await?);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(settled)
}

/// Notes that an object is gone, with an entry of the ledger, or why the store kept it; answers whether that was news.
async fn note(
    store: &Store,
    scribe: &Scribe<'_>,
    removal: &ArchiveRemoval,
    refused: Option<&str>,
) -> Result<bool, StateError> {
    let mut tx = store.begin().await?;
    let is_news = tx.note_archive_removal(&removal.name, refused).await?;
    if is_news && refused.is_none() {
        let detail = json!({
            "object": removal.name,
            "version": removal.version,
            "sha256": removal.sha256,
            "size_bytes": removal.size_bytes,
            "plan": removal.plan,
        });
        scribe.append(&mut tx, Act::Prune, detail).await?;
    }
    tx.commit("removal").await?;
    Ok(is_news)
}

fn removal(object: &Expired, plan: &str) -> ArchiveRemoval {
    ArchiveRemoval {
        name: object.name.clone(),
        version: object.version.clone(),
        sha256: object.sha256.clone(),
        size_bytes: object.size_bytes,
        retain_until: object.retain_until.as_microsecond(),
        plan: plan.to_owned(),
    }
}
