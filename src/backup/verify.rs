//! Whether the archive is what was written, and locked as it was meant to be.

use std::collections::{HashMap, HashSet};

use futures_util::TryStreamExt;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    BackupError,
    anchors::inventories,
    archived::{Archived, load},
    ledger,
    manifest::Object,
};
use crate::{
    checkpoint::note::VerifierKey,
    objects::{Digest, LockState, Vault, VaultError},
    state::Store,
};

/// What is wrong with an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// Which object.
    pub object: String,
    /// In a sentence.
    pub detail: String,
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A manifest is not there.
    ManifestMissing,
    /// A manifest is not what was signed.
    ManifestBroken,
    /// A manifest does not follow the one before, or there are two of a number.
    ChainBroken,
    /// An object is not there, although its time is not over.
    ObjectMissing,
    /// An object is not what was put.
    ObjectChanged,
    /// An object is found by its version only.
    ObjectHidden,
    /// An object is not locked as configured, or not for as long as it was to be.
    NotLocked,
    /// An anchor is not what was signed, or does not follow the one before.
    AnchorBroken,
    /// Our ledger does not have what is archived of it.
    LedgerDiffers,
}

impl FindingKind {
    /// As reports spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ManifestMissing => "manifest_missing",
            Self::ManifestBroken => "manifest_broken",
            Self::ChainBroken => "chain_broken",
            Self::ObjectMissing => "object_missing",
            Self::ObjectChanged => "object_changed",
            Self::ObjectHidden => "object_hidden",
            Self::NotLocked => "not_locked",
            Self::AnchorBroken => "anchor_broken",
            Self::LedgerDiffers => "ledger_differs",
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// Manifests that are authentic.
    pub manifests: u64,
    /// The newest of them.
    pub newest: Option<i64>,
    /// Objects that are as they were put.
    pub objects: u64,
    /// Their size.
    pub size_bytes: u64,
    /// Objects whose time is over and that are gone.
    pub expired: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Objects that no manifest names: of a backup that is under way, was cut short, or of somebody else.
    pub orphans: Vec<String>,
}

/// Reads the whole archive and compares it with its manifests. With our own database it is seen as well if the newest
/// manifests are gone.
///
/// # Errors
/// If the store or the database cannot be read.
pub async fn verify(
    vault: &Vault,
    store: Option<&Store>,
    origin: &str,
    keys: &[VerifierKey],
    now: Timestamp,
) -> Result<Report, BackupError> {
    let loaded = load(vault, origin, keys).await?;
    let findings = loaded.findings().cloned().collect();
    let manifests = loaded.all;
    let mut report = Report {
        manifests: manifests.len() as u64,
        newest: manifests.last().map(|newest| newest.manifest.number),
        findings,
        ..Report::default()
    };
    if let Some(store) = store {
        report.compare_newest(store, manifests.last()).await?;
    }
    let mut present = HashSet::new();
    for prefix in ["segments/", "anchors/", "ledger/"] {
        let listed = vault.list(prefix).map_ok(|listed| listed.name);
        present.extend(listed.try_collect::<Vec<_>>().await?);
    }
    let renewed = renewed(&manifests);
    for archived in &manifests {
        let until = renewed.get(archived.name.as_str()).copied();
        report.check_manifest(vault, archived, until).await?;
        let manifest = &archived.manifest;
        for object in manifest.objects.iter().chain(&manifest.superseded) {
            let is_listed = present.remove(&object.name);
            let renewed = renewed.get(object.name.as_str()).copied();
            let until = object.retain_until.max(renewed.unwrap_or(Timestamp::MIN));
            report.check(vault, object, until, is_listed, now).await?;
        }
    }
    let (_, findings) = inventories(vault, &manifests, origin, keys).await?;
    let broken = |finding: &Finding| finding.kind == FindingKind::AnchorBroken;
    report.findings.extend(findings.into_iter().filter(broken));
    if let Some(store) = store
        && let Some(object) = ledger::newest(&manifests)
        && report.findings.iter().all(|it| it.object != object.name)
        && let Some((_, detail)) = ledger::differs(vault, store, object).await?
    {
        report.add(FindingKind::LedgerDiffers, &object.name, detail);
    }
    report.orphans = present.into_iter().collect();
    report.orphans.sort_unstable();
    Ok(report)
}

/// Until when objects are kept whose time was prolonged.
pub(super) fn renewed(manifests: &[Archived]) -> HashMap<&str, Timestamp> {
    let mut renewed = HashMap::new();
    for one in manifests.iter().flat_map(|it| &it.manifest.renewed) {
        let until = renewed.entry(one.name.as_str()).or_insert(one.retain_until);
        *until = one.retain_until.max(*until);
    }
    renewed
}

impl Report {
    fn add(&mut self, kind: FindingKind, object: &str, detail: impl Into<String>) {
        self.findings.push(Finding {
            kind,
            object: object.to_owned(),
            detail: detail.into(),
        });
    }

    async fn compare_newest(
        &mut self,
        store: &Store,
        newest: Option<&Archived>,
    ) -> Result<(), BackupError> {
        let Some(made) = store.newest_archive_manifest().await? else {
            return Ok(());
        };
        // One that was not seen to be stored may be missing: the next backup puts it.
        if made.stored_at.is_some() && newest.is_none_or(|it| it.sha256 != made.sha256) {
            let detail = format!("it is the newest that was made, number {}", made.number);
            self.add(FindingKind::ManifestMissing, &made.name, detail);
        }
        Ok(())
    }

    async fn check_manifest(
        &mut self,
        vault: &Vault,
        archived: &Archived,
        renewed: Option<Timestamp>,
    ) -> Result<(), BackupError> {
        let head = vault.head(&archived.name, None).await?;
        // The lock that a manifest was put with is not in it; that it was prolonged is in a later one.
        let until = renewed.unwrap_or(Timestamp::MIN);
        self.check_lock(&archived.name, head.lock, until);
        Ok(())
    }

    fn check_lock(&mut self, name: &str, lock: LockState, until: Timestamp) {
        match lock {
            LockState::NotLocked { why, .. } => self.add(FindingKind::NotLocked, name, why),
            LockState::Locked(lock) if lock.until < until => {
                let detail = format!("its lock ends at {}, before {until}", lock.until);
                self.add(FindingKind::NotLocked, name, detail);
            }
            _ => {}
        }
    }

    async fn check(
        &mut self,
        vault: &Vault,
        object: &Object,
        until: Timestamp,
        is_listed: bool,
        now: Timestamp,
    ) -> Result<(), BackupError> {
        let version = object.version.as_deref();
        let bytes = match vault.get(&object.name, version).await {
            Ok(bytes) => bytes,
            Err(VaultError::NotFound { .. }) if until < now => {
                self.expired += 1;
                return Ok(());
            }
            Err(VaultError::NotFound { .. }) => {
                self.add(FindingKind::ObjectMissing, &object.name, "it is gone");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let found = Digest::of(&bytes).to_string();
        if found != object.sha256 {
            let detail = format!("its SHA-256 is {found} and was {}", object.sha256);
            self.add(FindingKind::ObjectChanged, &object.name, detail);
            return Ok(());
        }
        self.objects += 1;
        self.size_bytes += bytes.len() as u64;
        if !is_listed {
            let detail = "a delete marker or a newer version stands before it";
            self.add(FindingKind::ObjectHidden, &object.name, detail);
        }
        if until >= now {
            let head = vault.head(&object.name, version).await?;
            self.check_lock(&object.name, head.lock, until);
        }
        Ok(())
    }
}
