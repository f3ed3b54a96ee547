//! Proves what protects the objects of a vault, before anything depends on it.
//!
//! An object of a few bytes, the canary, is put under `canary/` with a lock of a day, read back, and then ordered to be
//! deleted: only a refusal shows that a lock holds. What is found is data; what could not be looked at says so.

use bytes::Bytes;
use futures_util::TryStreamExt;
use jiff::{Timestamp, ToSpan};
use serde::Serialize;

use super::{Backend, Deletion, LockState, Protection, Stored, Vault, VaultError, plain::Plain};
use crate::clock::Clock;
use crate::config::LockMode;

/// The names of canaries begin with it.
pub const CANARY_PREFIX: &str = "canary/";

/// The shortest lock that makes sense: days are what S3 counts by.
const CANARY_HOURS: i64 = 24;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The vault's URL.
    pub location: String,
    /// How objects are to be locked.
    pub lock_mode: LockMode,
    /// What kind of protection the store has.
    pub protection: Protection,
    /// What follows.
    pub verdict: Verdict,
    /// Each thing that was looked at, in order.
    pub checks: Vec<Check>,
}

/// What follows from the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Objects are protected as configured, as far as can be seen.
    Protected,
    /// Something is not as configured.
    NotProtected,
    /// The store could not be asked.
    CouldNotCheck,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Which, for machines: `reachable`, `clock`, `versioning`, `object_lock`, `put`, `lock`, `get`, `versions`,
    /// `delete_refused`; and of the command, `recovery`.
    pub name: &'static str,
    /// How it is.
    pub status: Status,
    /// What was seen, in a sentence.
    pub detail: String,
    /// What to do if it failed.
    pub remedy: Option<&'static str>,
}

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Not as it should be.
    Failed,
    /// This store or configuration has no such thing.
    NotApplicable,
    /// It could not be looked at.
    Unknown,
}

/// Looks at the vault. Leaves a canary behind that can be deleted after a day.
pub async fn examine(vault: &Vault) -> Report {
    let mut examination = Examination {
        now: Clock.now(),
        lock_mode: vault.lock_mode(),
        checks: Vec::new(),
    };
    vault.backend.examine(&mut examination).await;
    let checks = examination.checks;
    let has = |status| checks.iter().any(|check| check.status == status);
    let verdict = match (has(Status::Failed), has(Status::Unknown)) {
        (true, _) => Verdict::NotProtected,
        (false, true) => Verdict::CouldNotCheck,
        (false, false) => Verdict::Protected,
    };
    Report {
        location: vault.location().to_owned(),
        lock_mode: vault.lock_mode(),
        protection: vault.protection(),
        verdict,
        checks,
    }
}

/// What was found so far.
pub(super) struct Examination {
    pub(super) now: Timestamp,
    pub(super) lock_mode: LockMode,
    checks: Vec<Check>,
}

impl Examination {
    pub(super) fn ok(&mut self, name: &'static str, detail: impl Into<String>) {
        self.add(name, Status::Ok, detail.into(), None);
    }

    pub(super) fn failed(
        &mut self,
        name: &'static str,
        detail: impl Into<String>,
        remedy: &'static str,
    ) {
        self.add(name, Status::Failed, detail.into(), Some(remedy));
    }

    pub(super) fn not_applicable(&mut self, name: &'static str, detail: impl Into<String>) {
        self.add(name, Status::NotApplicable, detail.into(), None);
    }

    /// An error has its remedy in its text.
    pub(super) fn unknown(&mut self, name: &'static str, error: &VaultError) {
        self.add(name, Status::Unknown, error.to_string(), None);
    }

    fn add(
        &mut self,
        name: &'static str,
        status: Status,
        detail: String,
        remedy: Option<&'static str>,
    ) {
        self.checks.push(Check {
            name,
            status,
            detail,
            remedy,
        });
    }

    /// Puts a canary and judges its lock. None if it could not be put.
    pub(super) async fn put_canary(&mut self, backend: &dyn Backend) -> Option<Stored> {
        let now = self.now;
        // No two examinations meet, however soon one follows the other.
        let name = format!(
            "{CANARY_PREFIX}{}-{:08x}",
            now.strftime("%Y%m%dT%H%M%SZ"),
            fastrand::u32(..)
        );
        let content = format!("trailkeeper archive doctor: {name}\n");
        let until = now + CANARY_HOURS.hours();
        match backend.put(&name, Bytes::from(content), until).await {
            Ok(stored) => {
                self.ok("put", format!("{name} was written and read back"));
                self.judge_lock(&stored.lock);
                Some(stored)
            }
            Err(error) => {
                self.unknown("put", &error);
                None
            }
        }
    }

    fn judge_lock(&mut self, lock: &LockState) {
        match lock {
            LockState::Locked(lock) => {
                let mode = super::lock::word(lock.mode);
                self.ok("lock", format!("the store reports {mode} until {}", lock.until));
            }
            LockState::NotLocked { why, .. } => self.failed(
                "lock",
                why.clone(),
                "use a bucket that was made with Object Lock enabled (s3://), or set objects.lock_mode = \"none\" to do \
                 without a lock",
            ),
            LockState::Unknown { why } => self.not_applicable("lock", *why),
            LockState::NotAsked => {
                self.not_applicable("lock", "objects.lock_mode is \"none\"");
            }
        }
    }

    /// Reads the canary and finds its version in the listing.
    pub(super) async fn read_canary(&mut self, backend: &dyn Backend, canary: &Stored) {
        let version = canary.version.as_deref();
        match backend.get(&canary.name, version).await {
            Ok(content) => self.ok("get", format!("its {} bytes were read", content.len())),
            Err(error) => self.unknown("get", &error),
        }
        let listed: Result<Vec<_>, _> = backend.versions(&canary.name).try_collect().await;
        match listed {
            Ok(listed) if listed.iter().any(|found| found.name == canary.name) => {
                self.ok("versions", "the listing of versions has it");
            }
            Ok(_) => self.failed(
                "versions",
                "the listing of versions lacks what was just written",
                "the store is not consistent; use another",
            ),
            Err(error) => self.unknown("versions", &error),
        }
    }

    /// Orders the canary to be deleted, and hopes that it is not.
    pub(super) async fn delete_canary(&mut self, backend: &dyn Backend, canary: &Stored) {
        const NAME: &str = "delete_refused";
        let version = canary.version.as_deref();
        match backend.delete_version(&canary.name, version).await {
            Ok(Deletion::Refused { reason }) => {
                self.ok(NAME, format!("the store refused to delete it: {reason}"));
            }
            Ok(Deletion::Deleted) if self.lock_mode == LockMode::None => {
                self.not_applicable(NAME, "no lock is configured, and it was deleted");
            }
            Ok(Deletion::Deleted) => self.failed(
                NAME,
                "it was deleted, though it should have been locked for a day",
                "do not trust this store with anything that has to be kept: use a bucket with Object Lock",
            ),
            Err(error) => self.unknown(NAME, &error),
        }
    }
}

/// Looks at a store that locks no single object.
pub(super) async fn plain(backend: &Plain, examination: &mut Examination) {
    let Some(canary) = examination.put_canary(backend).await else {
        return;
    };
    examination.read_canary(backend, &canary).await;
    match backend.protection {
        // Who owns a directory may delete from it: there is nothing to find out.
        Protection::None { .. } => {
            let detail = "files can be deleted by whoever may write to the directory";
            examination.not_applicable("delete_refused", detail);
            if let Err(error) = backend.delete_version(&canary.name, None).await {
                examination.unknown("clean_up", &error);
            }
        }
        // A bucket's policy shows when something is deleted, as a lock does.
        _ => examination.delete_canary(backend, &canary).await,
    }
}
