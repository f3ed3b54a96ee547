//! Removing what is over: segments that no restore of a kept state needs, once their time, their lock and every hold on them
//! have ended. First a list with a digest, then exactly that list or nothing.
//!
//! What the newest state needs is never over: all segments of the trail, all anchors, checkpoints and manifests, and the
//! newest manifest's other segments. What is left are the other tables' segments of earlier backups, which only a restore as
//! of that backup reads, and those that a backup that was cut short left.
//!
//! | what fails between two writes | what is left |
//! |---|---|
//! | after the note that objects are about to be removed | notes, which the next order settles: what is there stays and is forgotten |
//! | after an object was removed, before the note of it | the same: what is gone is noted as removed |

mod apply;
mod plan;

pub use self::{
    apply::{Pruned, apply},
    plan::{Expired, Kept, Plan, Reason, plan},
};

use super::{
    BackupError,
    manifest::{Kind, Manifest, Object},
    personal::TRAIL,
};
use crate::objects::{Vault, VaultError};

/// Segments that only a restore as of their own manifest reads.
fn of_one_state(manifest: &Manifest) -> impl Iterator<Item = &Object> {
    manifest.objects.iter().filter(|it| is_of_one_state(it))
}

fn is_of_one_state(object: &Object) -> bool {
    object.kind == Kind::Segment && object.table != TRAIL
}

/// A segment without which there is no restore as of this manifest, and that is not there.
pub(super) async fn missing<'m>(
    vault: &Vault,
    manifest: &'m Manifest,
) -> Result<Option<&'m Object>, BackupError> {
    for object in of_one_state(manifest) {
        match vault.head(&object.name, object.version.as_deref()).await {
            Ok(_) => {}
            Err(VaultError::NotFound { .. }) => return Ok(Some(object)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}
