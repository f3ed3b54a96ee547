//! Making a backup. What each write leaves when it fails stands in the module's table.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use tokio::runtime::Handle;

use super::{
    BackupError, Kek,
    agreed::{Reach, agreed},
    anchors::put_anchors,
    consents, ledger,
    manifest::{self, Kind, Manifest, Object, Renewed},
    personal::TRAIL,
    produce::{self, Source},
    put::{Putter, put, put_manifest, time},
    renew::renew,
};
use crate::{
    anchor::Keys,
    objects::{Digest, Vault, VaultError},
    progress::Progress,
    qwed::url::DatabaseUrl,
    state::{
        Store,
        archive::{ArchiveManifest, ArchiveObject},
        jobs::new_id,
        renewals::KeptObject,
    },
};

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
    // Before the ledger, which says how long the chains are.
    consents::put(&putter, kek, &reach.consents).await?;
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
