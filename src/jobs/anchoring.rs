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
    match error {
        // Another worker may have it.
        AnchorError::NoKey { .. } | AnchorError::Key { .. } => JobError::retry(error),
        error if error.is_transient() => JobError::retry(error),
        error => JobError::fail(error),
    }
}

/// The keys to anchor with; `None` where nobody has decided which key it is, and none may be made.
pub(super) async fn keys(context: &Context<Services>) -> Result<Option<Keys>, JobError> {
    let config = &context.services.config;
    let path = config.anchor_key_file();
    let has_anchors = context.store.newest_anchor().await;
    let has_anchors = has_anchors.map_err(JobError::retry)?.is_some();
    let may_make = anchor::may_make_key(&context.store).await.map_err(decide)?;
    if !has_anchors && !may_make && anchor::load_key(&path).map_err(decide)?.is_none() {
        return Ok(None);
    }
    let key = anchor::load_or_make_key(&path, &config.anchors.origin, may_make);
    Ok(Some(Keys::new(
        key.map_err(decide)?,
        &config.anchors.public_keys,
    )))
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
