//! Making a backup. What each write leaves when it fails stands in the module's table.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio::runtime::Handle;

use super::{
    BackupError, Kek, archived,
    manifest::{self, Kind, Manifest, Object, Renewed},
    personal::TRAIL,
    produce::{self, Source},
    renew::renew,
};
use crate::{
    anchor::Keys,
    objects::{Digest, LockState, Stored, Vault, VaultError},
    progress::Progress,
    qwed::url::DatabaseUrl,
    state::{
        Store,
        archive::{ArchiveManifest, ArchiveObject},
        jobs::new_id,
        renewals::KeptObject,
    },
};

/// Anchors that are read at once.
const ANCHORS: u32 = 100;
/// Entries of the ledger that make one object.
const LEDGER_ENTRIES: u32 = 5000;

/// How a backup is made.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// A segment is closed before it has more bytes than this, uncompressed. One row alone may have more.
    pub max_segment_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        // All of it is held in memory. What nothing compresses stays far enough below what an object may have.
        Self {
            max_segment_bytes: 32 << 20,
        }
    }
}

/// Counts rows that were done, and ends where that was asked for.
pub(super) fn count(progress: &Progress, rows: usize) -> Result<(), BackupError> {
    progress.add(rows as u64, 0);
    if progress.is_stopped() {
        return Err(BackupError::Interrupted);
    }
    Ok(())
}

/// What a backup made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Made {
    /// The manifest's number.
    pub number: i64,
    /// Its name.
    pub manifest: String,
    /// Rows of the trail that were new.
    pub entries: i64,
    /// Rows of all tables.
    pub rows: i64,
    /// Objects, without the manifest.
    pub objects: u64,
    /// Of them, anchors.
    pub anchors: u64,
    /// Their size.
    pub size_bytes: i64,
    /// Objects that a backup that was cut short had left, and that this one replaces.
    pub superseded: u64,
    /// Older objects whose locks were prolonged.
    pub renewed: u64,
    /// Objects that are not locked as configured, or whose locks could not be prolonged.
    pub not_locked: Vec<Unlocked>,
}

/// An object that is not locked as configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unlocked {
    /// Its name.
    pub object: String,
    /// In a sentence.
    pub why: String,
}

/// Archives what came since the backup before, and all tables that are not the trail.
///
/// # Errors
/// If a database or the store fails. The next call goes on from there.
#[expect(
    clippy::too_many_arguments,
    reason = "each is a part of its own, given once"
)]
pub async fn run(
    store: &Store,
    vault: &Vault,
    qwed: &DatabaseUrl,
    origin: &str,
    keys: &Keys,
    kek: &Kek,
    now: Timestamp,
    options: Options,
    progress: &Arc<Progress>,
) -> Result<Made, BackupError> {
    refuse_strange(store, vault, origin, keys).await?;
    settle(store, vault).await?;
    let run = new_id();
    let putter = Putter {
        store: store.clone(),
        vault: vault.clone(),
        run: run.clone(),
        retain_until: vault.retain_until(now),
    };
    let source = Source {
        handle: Handle::current(),
        putter: putter.clone(),
        url: qwed.clone(),
        kek: kek.clone(),
        options,
        progress: Arc::clone(progress),
    };
    let produced = tokio::task::spawn_blocking(move || produce::all(&source)).await;
    let (dialect, schema) = produced.map_err(|error| BackupError::Refused(error.to_string()))??;
    put_anchors(&putter).await?;
    put_ledger(&putter).await?;
    let not_renewed = renew(store, vault, now, progress).await?;
    let renewed = store.renewed_archive_objects().await?;
    let renewed_names: Vec<String> = renewed.iter().map(|it| it.name.clone()).collect();

    let newest = store.newest_archive_manifest().await?;
    let open = store.open_archive_objects().await?;
    let names: Vec<String> = open.iter().map(|object| object.name.clone()).collect();
    let is_superseded = |object: &&ArchiveObject| {
        object.kind == Kind::Segment.name() && object.relation != TRAIL && object.run != run
    };
    let (superseded, objects): (Vec<_>, Vec<_>) = open.iter().partition(is_superseded);
    let made = Manifest {
        format: Manifest::format(),
        origin: origin.to_owned(),
        number: newest.as_ref().map_or(0, |newest| newest.number) + 1,
        made_at: now,
        program: concat!("trailkeeper ", env!("CARGO_PKG_VERSION")).to_owned(),
        previous_sha256: newest.map(|newest| newest.sha256),
        dialect,
        schema,
        objects: objects.into_iter().map(listed).collect::<Result<_, _>>()?,
        superseded: superseded
            .into_iter()
            .map(listed)
            .collect::<Result<_, _>>()?,
        renewed: renewed.into_iter().map(named).collect(),
        erasures: Vec::new(),
    };
    let note = made.sign(&keys.signer)?;
    let digest = Digest::of(note.as_bytes());
    let row = ArchiveManifest {
        number: made.number,
        name: manifest::name(made.number, digest),
        sha256: digest.to_string(),
        note,
        made_at: now.as_microsecond(),
        retain_until: putter.retain_until.as_microsecond(),
        stored_at: None,
        lock_problem: None,
    };
    store
        .insert_archive_manifest(&row, &names, &renewed_names)
        .await?;
    put_manifest(store, vault, &row).await?;
    summary(store, &made, row.name, not_renewed).await
}

async fn summary(
    store: &Store,
    made: &Manifest,
    name: String,
    not_renewed: Vec<Unlocked>,
) -> Result<Made, BackupError> {
    let unlocked = store.unlocked_archive_objects(made.number).await?;
    let unlocked = unlocked
        .into_iter()
        .map(|(object, why)| Unlocked { object, why });
    let rows = |filter: fn(&&Object) -> bool| {
        let chosen = made.objects.iter().filter(filter);
        chosen.map(|object| object.rows).sum()
    };
    let anchors = made.objects.iter().filter(|it| it.kind == Kind::Anchor);
    Ok(Made {
        number: made.number,
        manifest: name,
        entries: rows(|object| object.table == TRAIL),
        rows: rows(|object| object.kind == Kind::Segment),
        objects: made.objects.len() as u64,
        anchors: anchors.count() as u64,
        size_bytes: made.objects.iter().map(|object| object.size_bytes).sum(),
        superseded: made.superseded.len() as u64,
        renewed: made.renewed.len() as u64,
        not_locked: unlocked.chain(not_renewed).collect(),
    })
}

/// An archive that our database knows less of than there is cannot be gone on with: a second manifest of the same number would
/// break its chain for good.
async fn refuse_strange(
    store: &Store,
    vault: &Vault,
    origin: &str,
    keys: &Keys,
) -> Result<(), BackupError> {
    let ours = store.newest_archive_manifest().await?;
    let ours = ours.map_or(0, |ours| ours.number);
    for name in archived::names(vault).await?.iter().rev() {
        let found = archived::read(vault, name, origin, &keys.verifiers).await?;
        let Some(found) = found else { continue };
        if found.number <= ours {
            break;
        }
        return Err(BackupError::Refused(format!(
            "the archive {} has backup {}, and the state database only {ours}: it is not the one that the archive was made with,              or was put back. Restore the newest copy of it; if there is none, set objects.url to a new place for what comes, and              keep this one to restore from",
            vault.location(),
            found.number
        )));
    }
    Ok(())
}

/// Takes over what a run that was cut short had put, and forgets what it had not.
async fn settle(store: &Store, vault: &Vault) -> Result<(), BackupError> {
    if let Some(manifest) = store.newest_archive_manifest().await?
        && manifest.stored_at.is_none()
    {
        put_manifest(store, vault, &manifest).await?;
    }
    for object in store.open_archive_objects().await? {
        if object.stored_at.is_some() {
            continue;
        }
        match vault.get(&object.name, None).await {
            Ok(bytes) if Digest::of(&bytes).to_string() == object.sha256 => {
                put(store, vault, &object, bytes).await?;
            }
            // The name holds its digest: whoever wrote something else there did so on purpose.
            Ok(bytes) => {
                return Err(BackupError::broken(
                    &object.name,
                    format!("its SHA-256 is {}", Digest::of(&bytes)),
                ));
            }
            Err(VaultError::NotFound { .. }) => store.forget_archive_object(&object.name).await?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn put_anchors(putter: &Putter) -> Result<(), BackupError> {
    loop {
        let runs = putter.store.unarchived_anchors(ANCHORS).await?;
        if runs.is_empty() {
            return Ok(());
        }
        for run in runs {
            let number = run.number;
            let digest = Digest::of(run.note.as_bytes());
            let anchor = ArchiveObject {
                name: format!("anchors/{number:012}-{digest}.note"),
                kind: Kind::Anchor.name().to_owned(),
                first_id: number,
                last_id: number,
                ..ArchiveObject::default()
            };
            putter.put(anchor, run.note.into()).await?;
            for checkpoint in putter.store.checkpoints_of(number).await? {
                let organization = checkpoint.organization_id.to_string();
                let object = ArchiveObject {
                    name: format!("anchors/{number:012}/{organization}.note"),
                    kind: Kind::Checkpoint.name().to_owned(),
                    organization,
                    first_id: number,
                    last_id: number,
                    ..ArchiveObject::default()
                };
                putter.put(object, checkpoint.note.into()).await?;
            }
            putter.store.note_archived_anchor(number).await?;
        }
    }
}

/// Entries of the compliance ledger that are new: the signed notes, as lines of JSON.
async fn put_ledger(putter: &Putter) -> Result<(), BackupError> {
    let kind = Kind::Ledger.name();
    loop {
        let after = putter.store.archived_reach(kind, "").await?.unwrap_or(0);
        let entries = putter.store.ledger_after(after, LEDGER_ENTRIES).await?;
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Ok(());
        };
        let (first_id, last_id) = (first.number, last.number);
        let mut lines = String::new();
        for entry in &entries {
            let line = json!({ "number": entry.number, "note": entry.note });
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        let digest = Digest::of(lines.as_bytes());
        let object = ArchiveObject {
            name: format!("ledger/{first_id}-{last_id}-{digest}.ndjson"),
            kind: kind.to_owned(),
            relation: kind.to_owned(),
            first_id,
            last_id,
            row_count: entries.len() as i64,
            ..ArchiveObject::default()
        };
        putter.put(object, lines.into()).await?;
    }
}

/// Puts the objects of one run.
#[derive(Clone)]
pub(super) struct Putter {
    pub(super) store: Store,
    pub(super) vault: Vault,
    run: String,
    retain_until: Timestamp,
}

impl Putter {
    /// Whose name says which run it is of.
    pub(super) fn run(&self) -> &str {
        &self.run
    }

    pub(super) async fn put(&self, object: ArchiveObject, bytes: Bytes) -> Result<(), BackupError> {
        let object = ArchiveObject {
            run: self.run.clone(),
            sha256: Digest::of(&bytes).to_string(),
            size_bytes: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            retain_until: self.retain_until.as_microsecond(),
            ..object
        };
        let noted = self.store.intend_archive_object(&object).await?;
        if noted.stored_at.is_some() {
            return Ok(());
        }
        put(&self.store, &self.vault, &noted, bytes).await
    }
}

async fn put(
    store: &Store,
    vault: &Vault,
    object: &ArchiveObject,
    bytes: Bytes,
) -> Result<(), BackupError> {
    let until = time(object.retain_until);
    let stored = vault.put(&object.name, bytes, until).await?;
    let problem = problem(&stored);
    let version = stored.version.as_deref();
    store
        .note_archive_object(&object.name, version, problem.as_deref())
        .await?;
    Ok(())
}

async fn put_manifest(
    store: &Store,
    vault: &Vault,
    manifest: &ArchiveManifest,
) -> Result<(), BackupError> {
    let until = time(manifest.retain_until);
    let bytes = Bytes::from(manifest.note.clone());
    let stored = vault.put(&manifest.name, bytes, until).await?;
    let problem = problem(&stored);
    let version = stored.version.as_deref();
    store
        .note_archive_manifest(manifest.number, version, problem.as_deref())
        .await?;
    Ok(())
}

fn problem(stored: &Stored) -> Option<String> {
    let hidden = "a newer version or a delete marker stands before it";
    lock_problem(&stored.lock).or_else(|| stored.is_hidden.then(|| hidden.to_owned()))
}

/// Why something is not locked as configured.
pub(super) fn lock_problem(lock: &LockState) -> Option<String> {
    match lock {
        LockState::NotLocked { why, .. } => Some(why.clone()),
        _ => None,
    }
}

pub(super) fn time(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}

fn named(object: KeptObject) -> Renewed {
    Renewed {
        name: object.name,
        version: object.version,
        retain_until: time(object.retain_until),
    }
}

fn listed(object: &ArchiveObject) -> Result<Object, BackupError> {
    let kind = Kind::parse(&object.kind);
    Ok(Object {
        kind: kind.ok_or_else(|| BackupError::broken(&object.name, "it is of no known kind"))?,
        name: object.name.clone(),
        version: object.version.clone(),
        sha256: object.sha256.clone(),
        size_bytes: object.size_bytes,
        retain_until: time(object.retain_until),
        table: object.relation.clone(),
        organization: object.organization.clone(),
        first_id: object.first_id,
        last_id: object.last_id,
        rows: object.row_count,
    })
}
