//! Anchors as the archive has them, out of reach of whoever writes to our database.

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use super::{
    BackupError,
    archived::{self, Archived, Newest},
    manifest::Kind,
    put::Putter,
    verify::{Finding, FindingKind},
};
use crate::{
    checkpoint::{
        inventory::Inventory,
        note::{Note, VerifierKey},
    },
    objects::{Digest, Vault, VaultError},
    state::{Store, archive::ArchiveObject, jobs::new_id},
};

/// Anchors that are read at once.
const ANCHORS: u32 = 100;
/// Objects that are fetched side by side.
const SIDE_BY_SIDE: usize = 16;

/// The inventories that manifests name, in order of number, and what is wrong with them.
///
/// # Errors
/// If the store cannot be read.
pub(super) async fn inventories(
    vault: &Vault,
    manifests: &[Archived],
    origin: &str,
    keys: &[VerifierKey],
) -> Result<(Vec<Inventory>, Vec<Finding>), BackupError> {
    let objects = manifests.iter().flat_map(|it| &it.manifest.objects);
    let anchors = objects.filter(|object| object.kind == Kind::Anchor);
    let fetched = stream::iter(anchors).map(|object| async move {
        match vault.get(&object.name, object.version.as_deref()).await {
            Ok(bytes) => Ok((object, Some(bytes))),
            Err(VaultError::NotFound { .. }) => Ok((object, None)),
            Err(error) => Err(BackupError::from(error)),
        }
    });
    let fetched: Vec<_> = fetched.buffered(SIDE_BY_SIDE).try_collect().await?;
    let mut inventories: Vec<Inventory> = Vec::with_capacity(fetched.len());
    let mut findings = Vec::new();
    let mut find = |kind, object: &str, detail: String| {
        findings.push(Finding {
            kind,
            object: object.to_owned(),
            detail,
        });
    };
    for (object, bytes) in fetched {
        let Some(bytes) = bytes else {
            let gone = "it is gone".to_owned();
            find(FindingKind::ObjectMissing, &object.name, gone);
            continue;
        };
        let sha256 = Digest::of(&bytes).to_string();
        if sha256 != object.sha256 {
            let detail = format!("its SHA-256 is {sha256} and was {}", object.sha256);
            find(FindingKind::ObjectChanged, &object.name, detail);
            continue;
        }
        match open(&bytes, origin, keys) {
            Err(problem) => find(FindingKind::AnchorBroken, &object.name, problem),
            Ok(inventory) => {
                let before = inventories.last();
                let expected = before.map_or(0, |before| before.number) + 1;
                if inventory.number != expected {
                    let detail = format!(
                        "it is anchor {}, and {expected} was to come",
                        inventory.number
                    );
                    find(FindingKind::AnchorBroken, &object.name, detail);
                } else if inventory.previous != before.map(Inventory::digest) {
                    let detail = "it was made after another anchor than the one before".to_owned();
                    find(FindingKind::AnchorBroken, &object.name, detail);
                }
                inventories.push(inventory);
            }
        }
    }
    Ok((inventories, findings))
}

pub(super) fn open(bytes: &[u8], origin: &str, keys: &[VerifierKey]) -> Result<Inventory, String> {
    let note = Note::from_bytes(bytes).map_err(|error| error.to_string())?;
    let inventory = Inventory::open(&note, keys).map_err(|error| error.to_string())?;
    if inventory.origin != origin {
        return Err(format!("it is an anchor of {:?}", inventory.origin));
    }
    Ok(inventory)
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
pub(super) async fn put_anchors(putter: &Putter, mut after: i64) -> Result<i64, BackupError> {
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
