//! Locks that are prolonged: a restore of the newest state needs every segment of the trail, however old, and the anchors and
//! manifests that vouch for it.
//!
//! First the store prolongs, then our database notes it, then a manifest names it. What is cut short in between is prolonged
//! again by the next run, which changes nothing any more, and noted then.

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use super::{
    BackupError, Unlocked,
    put::{lock_problem, time},
    run::count,
};
use crate::{
    objects::{LockState, Protection, Vault, VaultError},
    progress::Progress,
    state::{
        Store,
        renewals::{KeptObject, Renewal},
    },
};

/// Locks that one run prolongs at most; the next goes on.
const AT_MOST: u32 = 10_000;
/// Of them, those that one transaction notes.
const NOTED: usize = 100;
/// Of them, those that are prolonged side by side.
const CONCURRENT: usize = 8;
/// A store that refuses so many would refuse the others as well.
const MAX_REFUSED: usize = 100;

/// Prolongs the locks that end soon of what the newest state needs, and answers those that could not be.
pub(super) async fn renew(
    store: &Store,
    vault: &Vault,
    now: Timestamp,
    progress: &Progress,
) -> Result<Vec<Unlocked>, BackupError> {
    let until = vault.retain_until(now);
    let soon = vault.renewal_due(now).as_microsecond();
    let ending = store.ending_archive_objects(soon, AT_MOST).await?;
    let mut refused = Vec::new();
    for some in ending.chunks(NOTED) {
        let renewals: Vec<Renewal> = stream::iter(some.to_vec())
            .map(|object| prolong(vault, object, until))
            .buffered(CONCURRENT)
            .try_collect()
            .await?;
        store.note_archive_renewals(&renewals).await?;
        for renewal in renewals {
            if let (None, Some(why)) = (renewal.retain_until, renewal.lock_problem) {
                let object = renewal.name;
                refused.push(Unlocked { object, why });
            }
        }
        if refused.len() >= MAX_REFUSED {
            break;
        }
        count(progress, 0)?;
    }
    Ok(refused)
}

/// What the store refuses is told of and no reason to make no backup.
async fn prolong(
    vault: &Vault,
    object: KeptObject,
    until: Timestamp,
) -> Result<Renewal, VaultError> {
    let refused = |problem: String| Renewal {
        name: object.name.clone(),
        retain_until: None,
        lock_problem: Some(format!(
            "its lock, which ends at {}, could not be prolonged: {problem}",
            time(object.retain_until)
        )),
    };
    let version = object.version.as_deref();
    let lock = match vault.extend(&object.name, version, until).await {
        Ok(lock) => lock,
        Err(error @ (VaultError::NotFound { .. } | VaultError::Refused { .. })) => {
            return Ok(refused(error.to_string()));
        }
        Err(error) => return Err(error),
    };
    Ok(match (vault.protection(), lock) {
        (Protection::ObjectLock, LockState::NotLocked { why, .. }) => refused(why),
        (_, lock) => Renewal {
            name: object.name,
            retain_until: Some(until.as_microsecond()),
            lock_problem: lock_problem(&lock),
        },
    })
}
