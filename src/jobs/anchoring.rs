//! What `anchor`, `verify_trail` and `verify_piece` share: the keys, and the anchors to compare with.

use super::Services;
use crate::{
    anchor::{self, AnchorError, Keys, Loaded},
    runtime::job::{Context, JobError},
};

/// Inventories that a verification authenticates besides the newest. The hourly anchors of two days; "trailkeeper anchor
/// verify" goes back to the first.
const DEPTH: u64 = 48;

pub(super) fn decide(error: AnchorError) -> JobError {
    if error.is_transient() {
        JobError::retry(error)
    } else {
        JobError::fail(error)
    }
}

/// The keys to sign with; a first key is made if nothing was ever signed.
pub(super) async fn keys(context: &Context<Services>) -> Result<Keys, JobError> {
    let config = &context.services.config;
    let anchor = context.store.newest_anchor().await;
    let manifest = context.store.newest_archive_manifest().await;
    let is_first =
        anchor.map_err(JobError::retry)?.is_none() && manifest.map_err(JobError::retry)?.is_none();
    let path = config.anchor_key_file();
    let key = anchor::load_or_make_key(&path, &config.anchors.origin, is_first).map_err(decide)?;
    Ok(Keys::new(key, &config.anchors.public_keys))
}

/// The newest anchor, or the one with this number and only that.
pub(super) async fn load(
    context: &Context<Services>,
    number: Option<u64>,
) -> Result<Loaded, JobError> {
    let config = &context.services.config;
    let keys = anchor::public_keys(&config.anchor_key_file(), &config.anchors.public_keys);
    let keys = keys.map_err(decide)?;
    let depth = if number.is_some() { 0 } else { DEPTH };
    let origin = &config.anchors.origin;
    anchor::load(&context.store, origin, &keys, number, depth)
        .await
        .map_err(decide)
}
