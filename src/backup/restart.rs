//! Beginning a new archive where the one before is lost, or is left where it is.

use serde_json::json;

use super::{BackupError, archived::load};
use crate::{
    checkpoint::note::VerifierKey,
    ledger::{Act, Scribe},
    objects::Vault,
    state::Store,
};

/// Forgets the archive that our database knows, so that the next backup begins a new one, and answers how many backups it had.
/// Data keys stay: what is left of it can still be restored. The ledger says so in the same transaction.
///
/// # Errors
/// If the place has an archive, or the store or our database fails.
pub async fn restart(
    store: &Store,
    vault: &Vault,
    keys: &[VerifierKey],
    scribe: &Scribe<'_>,
    reason: &str,
) -> Result<i64, BackupError> {
    let loaded = load(vault, scribe.origin, keys).await?;
    if let Some(newest) = loaded.newest() {
        return Err(BackupError::Refused(format!(
            "{} has an archive, up to backup {}: set objects.url to another place, or restore the state database that it was \
             made with",
            vault.location(),
            newest.manifest.number
        )));
    }
    let newest = store.newest_archive_manifest().await?;
    let forgotten = newest.map_or(0, |newest| newest.number);
    let detail = json!({
        "reason": reason,
        "forgotten_backups": forgotten,
        "location": vault.location(),
    });
    let mut tx = store.begin().await?;
    tx.forget_archive().await?;
    scribe.append(&mut tx, Act::RestartArchive, detail).await?;
    tx.commit("archive restart").await?;
    Ok(forgotten)
}
