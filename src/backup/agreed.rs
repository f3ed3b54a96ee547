//! What is archived already: by signed manifests, and only if our database and the archive agree about them.

use std::collections::HashMap;

use super::{
    BackupError,
    archived::{Manifests, load},
    manifest::Kind,
    personal::TRAIL,
    put::put_manifest,
};
use crate::{
    anchor::Keys,
    objects::Vault,
    state::{Store, archive::ArchiveObject},
};

/// The archive as it stands, which has to be what our database knows of it: whoever goes on with another one leaves entries out,
/// or breaks its chain for good.
pub(super) async fn agreed(
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
    pub(super) anchor: i64,
    /// The newest entry of the ledger.
    pub(super) ledger: i64,
    /// The newest record of each organisation's consents.
    pub(super) consents: HashMap<String, i64>,
}

impl Reach {
    /// By signed manifests, and by what a run that was cut short put and no manifest names yet.
    pub(super) fn of(loaded: &Manifests, open: &[ArchiveObject]) -> Self {
        let mut reach = Self::default();
        for object in loaded.all.iter().flat_map(|it| &it.manifest.objects) {
            match object.kind {
                Kind::Segment if object.table == TRAIL => {
                    extend(&mut reach.trail, &object.organization, object.last_id);
                }
                Kind::Anchor => reach.anchor = reach.anchor.max(object.last_id),
                Kind::Ledger => reach.ledger = reach.ledger.max(object.last_id),
                Kind::Consent => {
                    extend(&mut reach.consents, &object.organization, object.last_id);
                }
                Kind::Segment | Kind::Checkpoint => {}
            }
        }
        // Of an anchor that is put in part the rest has to be put still; what is there is not put again.
        for object in open {
            match Kind::parse(&object.kind) {
                Some(Kind::Segment) if object.relation == TRAIL => {
                    extend(&mut reach.trail, &object.organization, object.last_id);
                }
                Some(Kind::Ledger) => reach.ledger = reach.ledger.max(object.last_id),
                Some(Kind::Consent) => {
                    extend(&mut reach.consents, &object.organization, object.last_id);
                }
                _ => {}
            }
        }
        reach
    }
}

fn extend(reach: &mut HashMap<String, i64>, organization: &str, last_id: i64) {
    let last = reach.entry(organization.to_owned()).or_insert(last_id);
    *last = last_id.max(*last);
}
