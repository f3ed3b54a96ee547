//! What could be removed, and why the rest is kept. Changes nothing.

use std::collections::HashSet;
use std::fmt::Write;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    super::{
        BackupError,
        archived::{Archived, load},
        manifest::Object,
        verify::renewed,
    },
    is_of_one_state, missing, of_one_state,
};
use crate::{
    checkpoint::note::VerifierKey,
    objects::{Digest, Head, LockState, Protection, Vault, VaultError},
    state::Store,
};

/// Objects that are looked at side by side.
const CONCURRENT: usize = 8;

/// An object that may be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Expired {
    /// Its name.
    pub name: String,
    /// Its version; none where the store keeps none.
    pub version: Option<String>,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// Its size.
    pub size_bytes: i64,
    /// The table whose rows it holds.
    pub table: String,
    /// The manifest that names it.
    pub manifest: i64,
    /// Until when it had to be kept.
    pub retain_until: Timestamp,
}

/// An object that is kept although its time is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// What kind of reason.
    pub reason: Reason,
    /// In a sentence.
    pub detail: String,
}

/// Why an object is kept although its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The store says that its lock holds for longer.
    Locked,
    /// There is a legal hold on it.
    LegalHold,
    /// The store says nothing of a lock, where there should be one.
    LockUnknown,
    /// It is not what was put.
    Changed,
}

impl Reason {
    /// As reports spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::LegalHold => "legal_hold",
            Self::LockUnknown => "lock_unknown",
            Self::Changed => "changed",
        }
    }
}

/// What could be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// From where.
    pub location: String,
    /// The newest manifest.
    pub newest: i64,
    /// What may be removed, the oldest first.
    pub objects: Vec<Expired>,
    /// Its size.
    pub size_bytes: i64,
    /// Whether there is more than was asked for.
    pub is_more: bool,
    /// Objects, manifests among them, that a restore of the newest state needs.
    pub needed: u64,
    /// Objects whose time is not over.
    pub retained: u64,
    /// Objects whose time is over and that are gone.
    pub gone: u64,
    /// Objects whose time is over and that are kept all the same.
    pub kept: Vec<Kept>,
    /// Removals that were begun earlier, and nothing is known of what became of them.
    pub unfinished: u64,
    /// Which objects these are, and where: what has to be given to have them removed.
    pub digest: String,
}

/// Looks at what could be removed, at most `limit` objects.
///
/// # Errors
/// If the archive is not what was written, its newest state could not be restored, or the store or database fails.
pub async fn plan(
    store: &Store,
    vault: &Vault,
    origin: &str,
    keys: &[VerifierKey],
    now: Timestamp,
    limit: usize,
) -> Result<Plan, BackupError> {
    let manifests = sound(store, vault, origin, keys, now).await?;
    let Some((newest, earlier)) = manifests.split_last() else {
        return Err(BackupError::Refused(format!(
            "the archive {} has no manifest",
            vault.location()
        )));
    };
    let renewed = renewed(&manifests);
    let earlier = earlier.iter().map(|it| &it.manifest);
    let over =
        earlier.flat_map(|manifest| of_one_state(manifest).map(|object| (manifest.number, object)));
    let superseded = manifests.iter().flat_map(|it| {
        let manifest = &it.manifest;
        let superseded = manifest.superseded.iter();
        let superseded = superseded.filter(|it| is_of_one_state(it));
        superseded.map(|object| (manifest.number, object))
    });
    let mut candidates: Vec<(i64, &Object)> = over.chain(superseded).collect();
    candidates.sort_by_key(|(manifest, object)| (*manifest, &object.name));
    let names: HashSet<&str> = candidates.iter().map(|(_, it)| it.name.as_str()).collect();
    let all = manifests.iter().flat_map(|it| &it.manifest.objects);
    let needed = all.filter(|it| !names.contains(it.name.as_str())).count() + manifests.len();

    let mut plan = Plan {
        location: vault.location().to_owned(),
        newest: newest.manifest.number,
        objects: Vec::new(),
        size_bytes: 0,
        is_more: false,
        needed: needed as u64,
        retained: 0,
        gone: 0,
        kept: Vec::new(),
        unfinished: store.open_archive_removals().await?.len() as u64,
        digest: String::new(),
    };
    let until = |object: &Object| {
        let renewed = renewed.get(object.name.as_str()).copied();
        object.retain_until.max(renewed.unwrap_or(Timestamp::MIN))
    };
    let (retained, mut over): (Vec<_>, Vec<_>) = candidates
        .into_iter()
        .partition(|(_, object)| until(object) >= now);
    plan.retained = retained.len() as u64;
    let names: Vec<&str> = over.iter().map(|(_, it)| it.name.as_str()).collect();
    let removed = store.removed_archive_objects(&names).await?;
    over.retain(|(_, object)| !removed.contains(&object.name));
    plan.gone = removed.len() as u64;

    let over: Vec<Expired> = over
        .into_iter()
        .map(|(manifest, object)| Expired::new(manifest, object, until(object)))
        .collect();
    let mut looks = stream::iter(over)
        .map(|expired| look(vault, expired, now))
        .buffered(CONCURRENT);
    while let Some(looked) = looks.next().await {
        match looked? {
            Looked::Gone => plan.gone += 1,
            Looked::Kept(kept) => plan.kept.push(kept),
            Looked::Over(_) if plan.objects.len() == limit => {
                plan.is_more = true;
                break;
            }
            Looked::Over(expired) => {
                plan.size_bytes += expired.size_bytes;
                plan.objects.push(expired);
            }
        }
    }
    plan.digest = plan.digest();
    Ok(plan)
}

/// All manifests of an archive that is as it was written, as far as can be told without reading all of it.
async fn sound(
    store: &Store,
    vault: &Vault,
    origin: &str,
    keys: &[VerifierKey],
    now: Timestamp,
) -> Result<Vec<Archived>, BackupError> {
    let refuse = |why: String| {
        let problem = format!("nothing is removed from this archive: {why}");
        Err(BackupError::Refused(problem))
    };
    let loaded = load(vault, origin, keys).await?;
    if let Some(finding) = loaded.broken_before(i64::MAX) {
        return refuse(format!("{}: {}", finding.object, finding.detail));
    }
    let manifests = loaded.all;
    let Some(newest) = manifests.last() else {
        return Ok(manifests);
    };
    // Segments of what only seems to be the newest state would be kept, and those of the newest removed.
    if let Some(made) = store.newest_archive_manifest().await?
        && made.sha256 != newest.sha256
    {
        return refuse(format!("its newest manifest should be {}", made.name));
    }
    let manifest = &newest.manifest;
    if vault.retain_until(manifest.made_at) < now {
        return refuse(format!(
            "its newest backup is of {}, longer ago than objects are kept; make a new one first",
            manifest.made_at
        ));
    }
    if let Some(object) = missing(vault, manifest).await? {
        return refuse(format!(
            "its newest backup cannot be restored, as {} is missing",
            object.name
        ));
    }
    Ok(manifests)
}

enum Looked {
    Over(Expired),
    Kept(Kept),
    Gone,
}

/// What the store itself says about an object whose time is over.
async fn look(vault: &Vault, expired: Expired, now: Timestamp) -> Result<Looked, VaultError> {
    let version = expired.version.as_deref();
    let head = match vault.head(&expired.name, version).await {
        Ok(head) => head,
        Err(VaultError::NotFound { .. }) => return Ok(Looked::Gone),
        Err(error) => return Err(error),
    };
    Ok(
        match keeping(vault.protection(), &head, expired.size_bytes, now) {
            Some((reason, detail)) => Looked::Kept(Kept {
                name: expired.name,
                reason,
                detail,
            }),
            None => Looked::Over(expired),
        },
    )
}

fn keeping(
    protection: Protection,
    head: &Head,
    size_bytes: i64,
    now: Timestamp,
) -> Option<(Reason, String)> {
    if head.is_held {
        let detail = "there is a legal hold on it".to_owned();
        return Some((Reason::LegalHold, detail));
    }
    if i64::try_from(head.size) != Ok(size_bytes) {
        let detail = format!(
            "it has {} bytes and had {size_bytes}; see \"archive verify\"",
            head.size
        );
        return Some((Reason::Changed, detail));
    }
    let lock = match &head.lock {
        LockState::Locked(lock) => Some(lock),
        LockState::NotLocked { found, why } => {
            if found.is_none() && protection == Protection::ObjectLock {
                return Some((Reason::LockUnknown, why.clone()));
            }
            found.as_ref()
        }
        LockState::Unknown { .. } | LockState::NotAsked => None,
    };
    let lock = lock.filter(|lock| lock.until >= now)?;
    let detail = format!("the store has it locked until {}", lock.until);
    Some((Reason::Locked, detail))
}

impl Expired {
    fn new(manifest: i64, object: &Object, retain_until: Timestamp) -> Self {
        Self {
            name: object.name.clone(),
            version: object.version.clone(),
            sha256: object.sha256.clone(),
            size_bytes: object.size_bytes,
            table: object.table.clone(),
            manifest,
            retain_until,
        }
    }
}

impl Plan {
    fn digest(&self) -> String {
        let mut text = format!("trailkeeper prune\n{}\n", self.location);
        for object in &self.objects {
            let version = object.version.as_deref().unwrap_or("-");
            let Expired { name, sha256, .. } = object;
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name} {version} {sha256} {}", object.size_bytes);
        }
        Digest::of(text.as_bytes()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::LockMode, objects::Lock};

    #[test]
    fn what_the_store_keeps_is_kept() {
        let now: Timestamp = "2030-01-01T00:00:00Z".parse().expect("a time");
        let (past, future) = (
            now - jiff::Span::new().hours(1),
            now + jiff::Span::new().hours(1),
        );
        let lock = |until| Lock {
            mode: LockMode::Compliance,
            until,
        };
        let not = |found| LockState::NotLocked {
            found,
            why: "because".to_owned(),
        };
        let unknown = LockState::Unknown { why: "because" };
        let (lockable, policy, none) = (
            Protection::ObjectLock,
            Protection::Policy { because: "" },
            Protection::None { because: "" },
        );
        for (protection, lock, is_held, expected) in [
            (
                lockable,
                LockState::Locked(lock(future)),
                false,
                Some(Reason::Locked),
            ),
            (lockable, LockState::Locked(lock(past)), false, None),
            (lockable, not(Some(lock(past))), false, None),
            (
                lockable,
                not(Some(lock(past))),
                true,
                Some(Reason::LegalHold),
            ),
            // Of another mode than is configured, and not ended.
            (
                lockable,
                not(Some(lock(future))),
                false,
                Some(Reason::Locked),
            ),
            (lockable, not(None), false, Some(Reason::LockUnknown)),
            (lockable, LockState::NotAsked, false, None),
            (policy, unknown, false, None),
            (none, not(None), false, None),
        ] {
            let head = Head {
                name: "a".to_owned(),
                version: None,
                size: 7,
                lock,
                is_held,
            };
            let found = keeping(protection, &head, 7, now).map(|(reason, _)| reason);
            assert_eq!(found, expected, "{head:?}");
            let changed = keeping(protection, &head, 8, now).map(|(reason, _)| reason);
            let expected = if is_held {
                Reason::LegalHold
            } else {
                Reason::Changed
            };
            assert_eq!(changed, Some(expected));
        }
    }
}
