//! The drill: proof that the archive can be restored, before it has to be.
//!
//! The newest backup is restored into a scratch database. Its trail is verified, compared with the anchors that the archive
//! itself has, and with the live trail; then the scratch is destroyed. What went wrong is a problem in the answer; an error is
//! only what kept the drill from an answer.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::runtime::Handle;

use super::{
    BackupError, Kek, Restored, Wanted,
    anchors::inventories,
    archived::{Archived, Manifests, load},
    kek::load_or_make_kek,
    manifest as archive,
    personal::TRAIL,
    restore::restore_loaded,
    scratch::{Scratch, scratch_server},
};
use crate::{
    anchor::{AnchorError, Signed, Walked, read_pages, signed, walk},
    checkpoint::{inventory::Inventory, note::VerifierKey, tiles::WIDTH},
    config::Config,
    objects::{Digest, Vault},
    progress::Progress,
    qwed::{
        Database, Dialect, IdRange, Reader,
        url::{DatabaseUrl, PostgresUrl},
    },
    state::Store,
    tombstones::Graveyard,
    trail::{
        finding::{Kind, Verdict},
        keys::KeyRing,
        tombstone::{JSON_MARKER, MARKER},
    },
    verify::{self, Options, Scope, VerifyError},
};

/// How many times the archive a restored database takes: no database seen took five times.
const UNPACKED: u64 = 6;
/// By how much the clocks of two workers may differ.
const CLOCKS: SignedDuration = SignedDuration::from_secs(60);

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
    /// The key-encryption key, or why it cannot be had: whoever has lost it cannot restore, which is what drills find out.
    pub kek: Result<Kek, String>,
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
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
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

impl Drill {
    /// As the configuration has it.
    ///
    /// # Errors
    /// If the configuration does not say where, or the key cannot be asked for.
    pub fn configured(
        config: &Config,
        store: Store,
        live: DatabaseUrl,
        keys: Vec<VerifierKey>,
        ring: Arc<KeyRing>,
    ) -> Result<Self, BackupError> {
        let kek = match load_or_make_kek(config, false) {
            Ok(kek) => Ok(kek),
            Err(error @ BackupError::Kek { .. }) => Err(error.to_string()),
            Err(error) => return Err(error),
        };
        Ok(Self {
            store,
            vault: Vault::open(config)?,
            live,
            origin: config.anchors.origin.clone(),
            keys,
            kek,
            ring,
            server: scratch_server(config)?,
            directory: config.scratch_directory(),
            options: Options::configured(&config.verify, Dialect::Sqlite),
        })
    }
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
        let mut drilled = Drilled::default();
        let loaded = handle.block_on(load(&self.vault, &self.origin, &self.keys))?;
        if let Some(finding) = loaded.broken_before(i64::MAX) {
            drilled.problem(format!("{}: {}", finding.object, finding.detail));
        }
        let Some(newest) = loaded.newest() else {
            drilled.problem(format!(
                "the archive {} has no backup",
                self.vault.location()
            ));
            return Ok(drilled.ended());
        };
        if let Some(problem) = self.room(&loaded) {
            drilled.problem(problem);
        }
        let kek = match &self.kek {
            Ok(kek) if drilled.problems.is_empty() => kek,
            kek => {
                drilled.problems.extend(kek.as_ref().err().cloned());
                return Ok(drilled.ended());
            }
        };
        let place = digest_of_place(&self.origin, self.store.location());
        let scratch = Scratch::make(self.server.as_ref(), &self.directory, &place)?;
        let began = Instant::now();
        let restored = handle.block_on(restore_loaded(
            &self.store,
            &self.vault,
            loaded.clone(),
            kek,
            &scratch.url,
            Wanted::default(),
            progress,
        ));
        drilled.recovery_seconds = began.elapsed().as_secs_f64();
        match restored {
            Ok(restored) => {
                drilled.take(restored, now);
                let began = Instant::now();
                self.compare(handle, &loaded, newest, &scratch, &mut drilled, progress)?;
                drilled.check_seconds = began.elapsed().as_secs_f64();
            }
            // Trying again would not help; what the archive or its keys are is the drill's answer.
            Err(error) if !error.is_transient() => drilled.problem(error.to_string()),
            Err(error) => return Err(error),
        }
        if let Err(problem) = scratch.destroy() {
            drilled.problem(problem);
        }
        Ok(drilled.ended())
    }

    /// Why there is no room for the scratch database where it would be a file. What fills that disk stops the worker as well.
    fn room(&self, loaded: &Manifests) -> Option<String> {
        if self.server.is_some() {
            return None;
        }
        let newest = loaded.newest()?.manifest.number;
        let objects = loaded.all.iter().flat_map(|it| {
            let manifest = &it.manifest;
            let objects = manifest.objects.iter();
            objects.filter(move |it| it.table == TRAIL || manifest.number == newest)
        });
        let archived: i64 = objects.map(|object| object.size_bytes).sum();
        let needed = archived.cast_unsigned().saturating_mul(UNPACKED);
        let free = free_bytes(&self.directory)?;
        (needed > free).then(|| {
            format!(
                "there is no room to restore into {}: about {needed} bytes are needed, and {free} are free; set \
                 backup.scratch_url to a PostgreSQL server",
                self.directory.display()
            )
        })
    }

    fn compare(
        &self,
        handle: &Handle,
        loaded: &Manifests,
        newest: &Archived,
        scratch: &Scratch,
        drilled: &mut Drilled,
        progress: &Progress,
    ) -> Result<(), BackupError> {
        let graveyard = Graveyard {
            store: self.store.clone(),
            origin: self.origin.clone(),
            keys: self.keys.clone(),
        };
        let restored = graveyard.open(handle, &scratch.url)?;
        let live = graveyard.open(handle, &self.live)?;
        self.judge_trail(&restored, &live, drilled, progress)?;
        let reach = reach(&loaded.all);
        let work = inventories(&self.vault, &loaded.all, &self.origin, &self.keys);
        let (inventories, findings) = handle.block_on(work)?;
        for finding in findings {
            drilled.problem(format!("{}: {}", finding.object, finding.detail));
        }
        let inventories = within(inventories, loaded, newest, &reach);
        drilled.anchors = inventories.len() as u64;
        drilled.newest_anchor = inventories.last().map(|newest| newest.number);
        let signed = signed(&inventories);
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
        for id in readers.1.organizations_in_trail()? {
            let after = reach.get(&id).map_or(i64::MIN, |id| id.saturating_add(1));
            drilled.entries_since += since(&mut readers.1, id, after, progress)?;
        }
        Ok(())
    }

    /// Verifies the restored trail. What is found there and in the live trail alike was so when it was archived, and is not the
    /// archive's fault; nor is that a subject was erased.
    fn judge_trail(
        &self,
        restored: &Database,
        live: &Database,
        drilled: &mut Drilled,
        progress: &Progress,
    ) -> Result<(), BackupError> {
        let verify = |database: &Database, organizations: Vec<i64>| {
            let scope = Scope {
                organizations,
                ..Scope::default()
            };
            verify::verify(database, &self.ring, &scope, &self.options, progress)
        };
        let report = verify(restored, Vec::new()).map_err(unverified)?;
        drilled.verdict = Some(report.verdict);
        let mut reader = restored.reader()?;
        for trail in report.organizations {
            let Some(id) = trail.organization_id else {
                continue;
            };
            if trail.verdict != Verdict::Tampered {
                continue;
            }
            let known: HashSet<(Kind, i64)> = match verify(live, vec![id]) {
                Ok(live) => {
                    let findings = live.organizations.into_iter().flat_map(|it| it.findings);
                    findings.map(|it| (it.kind, it.entry_id)).collect()
                }
                Err(VerifyError::NoOrganization { .. }) => HashSet::new(),
                Err(error) => return Err(unverified(error)),
            };
            let mut new = 0;
            for finding in &trail.findings {
                let is_known = known.contains(&(finding.kind, finding.entry_id));
                new += u64::from(!is_known && !is_erased(&mut reader, finding.entry_id)?);
            }
            if new > 0 {
                drilled.problem(format!(
                    "the restored trail of organisation {id} is tampered with: {new} findings that the live one does not have"
                ));
            }
        }
        Ok(())
    }
}

/// Whether an entry was restored with a marker in the place of what was erased.
fn is_erased(reader: &mut Reader, id: i64) -> Result<bool, BackupError> {
    let entry = reader.entry(id)?;
    Ok(entry.is_some_and(|entry| {
        let row = entry.row();
        let is_marker = |text: &[u8]| text == MARKER.as_bytes() || text == JSON_MARKER.as_bytes();
        let values = [row.query, row.result, row.raw_llm_output];
        values
            .into_iter()
            .any(|value| value.text().is_some_and(is_marker))
    }))
}

fn unverified(error: VerifyError) -> BackupError {
    match error {
        VerifyError::Interrupted(_) => BackupError::Interrupted,
        VerifyError::Read(error) => error.into(),
        error => BackupError::Refused(error.to_string()),
    }
}

impl Drilled {
    fn take(&mut self, restored: Restored, now: Timestamp) {
        self.manifest = Some(restored.manifest);
        self.made_at = Some(restored.made_at);
        let age = now.duration_since(restored.made_at).as_secs_f64();
        self.recovery_point_seconds = Some(age.max(0.0));
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
        if let (archive::Kind::Segment, TRAIL, Ok(id)) = (
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

/// What anchors say of entries that the backup has to have. Those signed before it began cover nothing else, so whatever they
/// cover is missed if it is not there; of later ones counts what lies within.
fn within(
    mut inventories: Vec<Inventory>,
    loaded: &Manifests,
    newest: &Archived,
    reach: &BTreeMap<i64, i64>,
) -> Vec<Inventory> {
    let manifests = loaded.all.iter().map(|it| &it.manifest);
    let earlier = manifests.filter(|it| it.number < newest.manifest.number);
    let anchors = earlier.flat_map(|it| &it.objects);
    let anchors = anchors.filter(|object| object.kind == archive::Kind::Anchor);
    let earlier = anchors.map(|object| object.first_id).max().unwrap_or(0);
    for inventory in &mut inventories {
        let is_earlier = inventory.number <= earlier.cast_unsigned()
            || inventory
                .time
                .saturating_add(CLOCKS)
                .is_ok_and(|time| time < newest.manifest.made_at);
        if !is_earlier {
            inventory.organizations.retain(|organization| {
                let head = organization.head.as_ref().map(|head| head.id);
                let reach = organization.id.and_then(|id| reach.get(&id));
                head.zip(reach).is_some_and(|(head, reach)| head <= *reach)
            });
        }
    }
    inventories.retain(|inventory| !inventory.organizations.is_empty());
    inventories
}

/// Tells the scratch databases of two installations on one server apart.
fn digest_of_place(origin: &str, state: &str) -> String {
    let digest = Digest::of(format!("{origin}\n{state}").as_bytes());
    digest.to_string()[..12].to_owned()
}

/// Room in a directory, or in the one that it is going to be in.
fn free_bytes(directory: &Path) -> Option<u64> {
    let stat = directory
        .ancestors()
        .find_map(|it| rustix::fs::statvfs(it).ok())?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
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
