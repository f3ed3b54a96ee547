//! Making a backup. What each write leaves when it fails stands in the module's table.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use tokio::runtime::Handle;

use super::{
    BackupError, Kek,
    archived::{self, Manifests, Newest, load},
    ledger,
    manifest::{self, Kind, Manifest, Object, Renewed},
    personal::TRAIL,
    produce::{self, Source},
    renew::renew,
};
use crate::{
    anchor::Keys,
    checkpoint::note::VerifierKey,
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
    let loaded = agreed(store, vault, origin, keys).await?;
    settle(store, vault).await?;
    if let Some(object) = ledger::newest(&loaded.all)
        && let Some((_, problem)) = ledger::differs(vault, store, object).await?
    {
        return Err(BackupError::Refused(problem));
    }
    let reach = Reach::of(&loaded, &store.open_archive_objects().await?);
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
        reach: reach.trail.clone(),
        kek: kek.clone(),
        options,
        progress: Arc::clone(progress),
    };
    let produced = tokio::task::spawn_blocking(move || produce::all(&source)).await;
    let (dialect, schema) = produced.map_err(|error| BackupError::Refused(error.to_string()))??;
    put_anchors(&putter, reach.anchor).await?;
    ledger::put(&putter, reach.ledger).await?;
    let not_renewed = renew(store, vault, now, progress).await?;
    let renewed = store.renewed_archive_objects().await?;
    let renewed_names: Vec<String> = renewed.iter().map(|it| it.name.clone()).collect();

    let newest = loaded.newest();
    let open = store.open_archive_objects().await?;
    let names: Vec<String> = open.iter().map(|object| object.name.clone()).collect();
    let is_superseded = |object: &&ArchiveObject| {
        object.kind == Kind::Segment.name() && object.relation != TRAIL && object.run != run
    };
    let (superseded, objects): (Vec<_>, Vec<_>) = open.iter().partition(is_superseded);
    let made = Manifest {
        format: Manifest::format(),
        origin: origin.to_owned(),
        number: newest.map_or(0, |newest| newest.manifest.number) + 1,
        made_at: now,
        program: concat!("trailkeeper ", env!("CARGO_PKG_VERSION")).to_owned(),
        previous_sha256: newest.map(|newest| newest.sha256.clone()),
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

/// The archive as it stands, which has to be what our database knows of it: whoever goes on with another one leaves entries out,
/// or breaks its chain for good.
async fn agreed(
    store: &Store,
    vault: &Vault,
    origin: &str,
    keys: &Keys,
) -> Result<Manifests, BackupError> {
    let mut loaded = load(vault, origin, &keys.verifiers).await?;
    let location = vault.location();
    let ours = store.newest_archive_manifest().await?;
    if let Some(ours) = ours.as_ref().filter(|ours| ours.stored_at.is_none()) {
        // The run that made it was cut short; it is there, or nobody else's is in its place.
        let newest = loaded.newest();
        let is_next = newest.map_or(0, |newest| newest.manifest.number) + 1 == ours.number;
        if is_next || newest.is_some_and(|newest| newest.sha256 == ours.sha256) {
            put_manifest(store, vault, ours).await?;
            loaded = load(vault, origin, &keys.verifiers).await?;
        }
    }
    if let Some(finding) = loaded.broken_before(i64::MAX) {
        return Err(BackupError::broken(&finding.object, &finding.detail));
    }
    let known = ours.as_ref().map_or(0, |ours| ours.number);
    let newest = loaded.newest();
    let found = newest.map_or(0, |newest| newest.manifest.number);
    if newest.map(|newest| &newest.sha256) == ours.as_ref().map(|ours| &ours.sha256)
        && known == found
    {
        return Ok(loaded);
    }
    Err(BackupError::Refused(if known <= found {
        format!(
            "the archive {location} has backup {found}, which is not the newest that the state database knows, {known}: it is \
             not the one that the archive was made with, or was put back or changed. Restore the newest copy of it; if there is \
             none, set objects.url to a new place for what comes, and keep this one to restore from"
        )
    } else {
        format!(
            "the archive {location} has {found} backups, and the state database knows {known}: if objects.url was changed, copy \
             the objects of the old place to the new one first; if they are lost, run \"trailkeeper archive restart\", and the next \
             backup begins anew"
        )
    }))
}

/// Up to where things are archived.
#[derive(Debug, Clone, Default)]
pub(super) struct Reach {
    /// The highest id of each organisation's trail.
    pub(super) trail: HashMap<String, i64>,
    /// The newest anchor that a manifest names.
    anchor: i64,
    /// The newest entry of the ledger.
    ledger: i64,
}

impl Reach {
    /// By signed manifests, and by what a run that was cut short put and no manifest names yet.
    fn of(loaded: &Manifests, open: &[ArchiveObject]) -> Self {
        let mut reach = Self::default();
        for object in loaded.all.iter().flat_map(|it| &it.manifest.objects) {
            match object.kind {
                Kind::Segment if object.table == TRAIL => {
                    reach.extend(&object.organization, object.last_id);
                }
                Kind::Anchor => reach.anchor = reach.anchor.max(object.last_id),
                Kind::Ledger => reach.ledger = reach.ledger.max(object.last_id),
                Kind::Segment | Kind::Checkpoint => {}
            }
        }
        // Of an anchor that is put in part the rest has to be put still; what is there is not put again.
        for object in open {
            match Kind::parse(&object.kind) {
                Some(Kind::Segment) if object.relation == TRAIL => {
                    reach.extend(&object.organization, object.last_id);
                }
                Some(Kind::Ledger) => reach.ledger = reach.ledger.max(object.last_id),
                _ => {}
            }
        }
        reach
    }

    fn extend(&mut self, organization: &str, last_id: i64) {
        let last = self.trail.entry(organization.to_owned());
        let last = last.or_insert(last_id);
        *last = last_id.max(*last);
    }
}

/// Takes over what objects a run that was cut short had put, and forgets what it had not.
async fn settle(store: &Store, vault: &Vault) -> Result<(), BackupError> {
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

/// Archives the anchors that are not archived yet, between two backups, so that whoever writes to our database can cut off fewer
/// of them; the next manifest names them. Answers up to which anchor there are any now; none where no backup was made yet.
///
/// # Errors
/// If the store or our database fails, or the archive is not the one that our database knows.
pub async fn archive_anchors(
    store: &Store,
    vault: &Vault,
    origin: &str,
    keys: &[VerifierKey],
    now: Timestamp,
) -> Result<Option<i64>, BackupError> {
    let Some(ours) = store.newest_archive_manifest().await? else {
        return Ok(None);
    };
    let Newest {
        manifest, anchor, ..
    } = archived::newest(vault, origin, keys).await?;
    if manifest.is_none_or(|manifest| manifest.sha256 != ours.sha256) {
        return Err(BackupError::Refused(format!(
            "the newest backup in the archive {} is not the one that the state database knows",
            vault.location()
        )));
    }
    let putter = Putter {
        store: store.clone(),
        vault: vault.clone(),
        run: new_id(),
        retain_until: vault.retain_until(now),
    };
    let after = anchor.map_or(0, |anchor| anchor.last_id);
    put_anchors(&putter, after).await.map(Some)
}

/// Puts the anchors that came after this number, and answers which is the newest now.
async fn put_anchors(putter: &Putter, mut after: i64) -> Result<i64, BackupError> {
    loop {
        let runs = putter.store.anchors_after(after, ANCHORS).await?;
        if runs.is_empty() {
            return Ok(after);
        }
        for run in runs {
            let number = run.number;
            after = number;
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
        }
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
