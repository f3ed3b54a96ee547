//! The drill: proof that the archive can be restored, before it has to be.
//!
//! The newest backup is restored into a scratch database. Its trail is verified, compared with the anchors that the archive
//! itself has, and with the live trail; then the scratch is destroyed. What went wrong is a problem in the answer; an error is
//! only what kept the drill from an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;
use tokio::runtime::Handle;

use super::{
    BackupError, Kek, Restored, Wanted,
    anchors::inventories,
    archived::{Archived, load},
    manifest::Kind,
    personal::TRAIL,
    restore::restore,
    scratch::Scratch,
};
use crate::{
    anchor::{AnchorError, Signed, Walked, read_pages, signed, walk},
    checkpoint::{inventory::Inventory, note::VerifierKey, tiles::WIDTH},
    objects::Vault,
    progress::Progress,
    qwed::{
        Database, IdRange, Reader,
        url::{DatabaseUrl, PostgresUrl},
    },
    state::Store,
    trail::{finding::Verdict, keys::KeyRing},
    verify::{self, Options, Scope, VerifyError},
};

/// What a drill works with.
#[derive(Clone)]
pub struct Drill {
    /// Our database, which has the data keys.
    pub store: Store,
    /// The archive.
    pub vault: Vault,
    /// QWED's database.
    pub live: DatabaseUrl,
    /// Whose archive it is.
    pub origin: String,
    /// Keys that may have signed it.
    pub keys: Vec<VerifierKey>,
    /// The key-encryption key.
    pub kek: Kek,
    /// Keys that may have signed entries.
    pub ring: Arc<KeyRing>,
    /// A PostgreSQL server on which the scratch database is made.
    pub server: Option<PostgresUrl>,
    /// The directory in which it is made as a SQLite file otherwise.
    pub directory: PathBuf,
    /// How entries are verified.
    pub options: Options<'static>,
}

/// What a drill came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drilled {
    /// Whether nothing is wrong.
    pub passed: bool,
    /// What is.
    pub problems: Vec<String>,
    /// The manifest that was restored.
    pub manifest: Option<i64>,
    /// When that backup was made.
    pub made_at: Option<Timestamp>,
    /// How old it is: what came since would be lost with the live database.
    pub recovery_point_seconds: Option<f64>,
    /// Entries of the live trail that came since.
    pub entries_since: u64,
    /// How long the restore took.
    pub recovery_seconds: f64,
    /// How long verifying and comparing took.
    pub check_seconds: f64,
    /// Rows restored, by table.
    pub tables: BTreeMap<String, u64>,
    /// Rows restored.
    pub rows: u64,
    /// Rows of data subjects that were erased.
    pub erased_rows: u64,
    /// The verdict on the restored trail.
    pub verdict: Option<Verdict>,
    /// Anchors of the archive that the restored trail was compared with: those that cover no entry made after the backup.
    pub anchors: u64,
    /// The newest of them.
    pub newest_anchor: Option<u64>,
    /// Entries of the restored trail that are as in the live one.
    pub same_as_live: u64,
}

impl Drilled {
    fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    fn ended(mut self) -> Self {
        self.passed = self.problems.is_empty();
        self
    }
}

/// Restores the newest backup into a scratch database and compares it.
///
/// # Errors
/// If a database or the store cannot be reached, or there is no room for the scratch database.
pub async fn drill(
    drill: Drill,
    now: Timestamp,
    progress: &Arc<Progress>,
) -> Result<Drilled, BackupError> {
    let (handle, progress) = (Handle::current(), Arc::clone(progress));
    let thread = tokio::task::spawn_blocking(move || drill.run(&handle, now, &progress));
    thread
        .await
        .map_err(|error| BackupError::Refused(error.to_string()))?
}

impl Drill {
    fn run(
        &self,
        handle: &Handle,
        now: Timestamp,
        progress: &Arc<Progress>,
    ) -> Result<Drilled, BackupError> {
        let mut drilled = Drilled {
            passed: false,
            problems: Vec::new(),
            manifest: None,
            made_at: None,
            recovery_point_seconds: None,
            entries_since: 0,
            recovery_seconds: 0.0,
            check_seconds: 0.0,
            tables: BTreeMap::new(),
            rows: 0,
            erased_rows: 0,
            verdict: None,
            anchors: 0,
            newest_anchor: None,
            same_as_live: 0,
        };
        let (manifests, findings) = handle.block_on(load(&self.vault, &self.origin, &self.keys))?;
        for finding in findings {
            drilled.problem(format!("{}: {}", finding.object, finding.detail));
        }
        if manifests.is_empty() {
            drilled.problem(format!(
                "the archive {} has no backup",
                self.vault.location()
            ));
        }
        if !drilled.problems.is_empty() {
            return Ok(drilled.ended());
        }
        let scratch = Scratch::make(self.server.as_ref(), &self.directory)?;
        let began = Instant::now();
        let restored = handle.block_on(restore(
            &self.store,
            &self.vault,
            &self.origin,
            &self.keys,
            &self.kek,
            &scratch.url,
            Wanted::default(),
            progress,
        ));
        drilled.recovery_seconds = began.elapsed().as_secs_f64();
        match restored {
            Ok(restored) => drilled.take(restored, now),
            // Trying again would not help; what the archive or its keys are is the drill's answer.
            Err(error) if !error.is_transient() => {
                drilled.problem(error.to_string());
                return Ok(drilled.ended());
            }
            Err(error) => return Err(error),
        }
        let began = Instant::now();
        self.compare(handle, &manifests, &scratch, &mut drilled, progress)?;
        drilled.check_seconds = began.elapsed().as_secs_f64();
        Ok(drilled.ended())
    }

    fn compare(
        &self,
        handle: &Handle,
        manifests: &[Archived],
        scratch: &Scratch,
        drilled: &mut Drilled,
        progress: &Progress,
    ) -> Result<(), BackupError> {
        let restored = Database::open(&scratch.url)?;
        let scope = Scope::default();
        match verify::verify(&restored, &self.ring, &scope, &self.options, progress) {
            Ok(report) => {
                drilled.verdict = Some(report.verdict);
                for trail in &report.organizations {
                    if trail.verdict == Verdict::Tampered {
                        let id = trail
                            .organization_id
                            .map_or_else(|| "none".to_owned(), |id| id.to_string());
                        drilled.problem(format!(
                            "the restored trail of organisation {id} is tampered with: {} findings",
                            trail.findings_total
                        ));
                    }
                }
            }
            Err(VerifyError::Interrupted(_)) => return Err(BackupError::Interrupted),
            Err(VerifyError::Read(error)) => return Err(error.into()),
            Err(error) => return Err(BackupError::Refused(error.to_string())),
        }
        let reach = reach(manifests);
        let work = inventories(&self.vault, manifests, &self.origin, &self.keys);
        let (mut inventories, findings) = handle.block_on(work)?;
        for finding in findings {
            drilled.problem(format!("{}: {}", finding.object, finding.detail));
        }
        inventories.retain(|inventory| is_within(inventory, &reach));
        drilled.anchors = inventories.len() as u64;
        drilled.newest_anchor = inventories.last().map(|newest| newest.number);
        let signed = signed(&inventories);
        let live = Database::open(&self.live)?;
        let mut readers = (restored.reader()?, live.reader()?);
        let none = Signed::new();
        let ids: BTreeSet<i64> = signed.keys().chain(reach.keys()).copied().collect();
        for id in ids {
            let signed = signed.get(&id).unwrap_or(&none);
            let there = walk(&mut readers.0, id, i64::MAX, signed, progress).map_err(stopped)?;
            drilled.judge(id, &there, signed);
            let up_to = reach.get(&id).copied().unwrap_or(i64::MIN);
            let here = walk(&mut readers.1, id, up_to, &none, progress).map_err(stopped)?;
            drilled.same_as_live += same(&there, &here);
            if let Some(problem) = difference(&there, &here) {
                drilled.problem(format!("organisation {id}: {problem}"));
            }
        }
        let mut reader = live.reader()?;
        for id in reader.organizations_in_trail()? {
            let after = reach.get(&id).map_or(i64::MIN, |id| id.saturating_add(1));
            drilled.entries_since += since(&mut reader, id, after, progress)?;
        }
        Ok(())
    }
}

impl Drilled {
    fn take(&mut self, restored: Restored, now: Timestamp) {
        self.manifest = Some(restored.manifest);
        self.made_at = Some(restored.made_at);
        self.recovery_point_seconds = Some(now.duration_since(restored.made_at).as_secs_f64());
        self.rows = restored.rows;
        self.tables = restored.tables;
        self.erased_rows = restored.erased_rows;
        if restored.unknown_keys > 0 {
            self.problem(format!(
                "{} data keys are gone that are not known as destroyed: what they encrypted cannot be restored",
                restored.unknown_keys
            ));
        }
    }

    /// What the archive's anchors say of a restored trail.
    fn judge(&mut self, id: i64, there: &Walked, signed: &Signed) {
        if let Some((size, number)) = there.wrong {
            self.problem(format!(
                "organisation {id}: the first {size} entries restored are not those that anchor {number} covers; the first {} \
                 are as anchored",
                there.sound
            ));
        } else if let Some((&size, &(_, number))) = signed.last_key_value()
            && size > there.entries
        {
            self.problem(format!(
                "organisation {id}: anchor {number} covers {size} entries, and {} were restored",
                there.entries
            ));
        }
    }
}

/// The newest entry of each organisation that the backup has.
fn reach(manifests: &[Archived]) -> BTreeMap<i64, i64> {
    let mut reach = BTreeMap::new();
    for object in manifests.iter().flat_map(|it| &it.manifest.objects) {
        if let (Kind::Segment, TRAIL, Ok(id)) = (
            object.kind,
            object.table.as_str(),
            object.organization.parse(),
        ) {
            let last = reach.entry(id).or_insert(object.last_id);
            *last = object.last_id.max(*last);
        }
    }
    reach
}

/// Whether an anchor covers nothing that came after the backup.
fn is_within(inventory: &Inventory, reach: &BTreeMap<i64, i64>) -> bool {
    inventory.organizations.iter().all(|organization| {
        let head = organization.head.as_ref().map(|head| head.id);
        let reach = organization.id.and_then(|id| reach.get(&id)).copied();
        organization.size == 0 || head.is_some_and(|head| reach.is_some_and(|reach| head <= reach))
    })
}

/// How many entries are the same from the beginning on, in steps of 256.
fn same(there: &Walked, here: &Walked) -> u64 {
    if there == here {
        return there.entries;
    }
    let pairs = there.tiles.iter().zip(&here.tiles);
    let tiles = pairs.take_while(|(there, here)| there == here).count() as u64;
    (tiles * WIDTH).min(there.entries)
}

/// How a restored trail differs from the live one.
fn difference(there: &Walked, here: &Walked) -> Option<String> {
    if there.tiles == here.tiles {
        return None;
    }
    let pairs = there.tiles.iter().zip(&here.tiles);
    let at = pairs.take_while(|(there, here)| there == here).count();
    let first = there.tiles.get(at).or_else(|| here.tiles.get(at));
    let first = first.map_or(0, |(id, _)| *id);
    Some(format!(
        "the restored trail has {} entries and the live one {} up to the same entry, and they differ from entry {first} on, or \
         within 256 entries behind it",
        there.entries, here.entries
    ))
}

fn since(
    reader: &mut Reader,
    id: i64,
    after: i64,
    progress: &Progress,
) -> Result<u64, BackupError> {
    let mut entries = 0;
    read_pages(
        reader,
        id,
        IdRange {
            low: after,
            high: i64::MAX,
        },
        progress,
        |_| {
            entries += 1;
            true
        },
    )
    .map_err(stopped)?;
    Ok(entries)
}

pub(super) fn stopped(error: AnchorError) -> BackupError {
    match error {
        AnchorError::Read(error) => error.into(),
        AnchorError::State(error) => error.into(),
        AnchorError::Interrupted => BackupError::Interrupted,
        other => BackupError::Refused(other.to_string()),
    }
}
