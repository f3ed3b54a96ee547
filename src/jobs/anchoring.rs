//! What `anchor`, `verify_trail` and `verify_piece` share: the keys, and the anchors to compare with.

use super::Services;
use crate::{
    anchor::{self, AnchorError, Keys, Loaded},
    backup::{self, BackupError},
    checkpoint::note::VerifierKey,
    objects::Vault,
    runtime::job::{Context, JobError},
    state::verdicts::ANCHORS,
    trail::finding::{AnchorFinding, Kind, Severity},
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

/// Whether an earlier verification went by anchors. If there are none now, somebody removed them.
async fn had_anchors(context: &Context<Services>) -> Result<bool, JobError> {
    let verdicts = context.store.verdicts().await.map_err(JobError::retry)?;
    Ok(verdicts.iter().any(|row| row.organization == ANCHORS))
}

/// The keys to anchor with; `None` where nobody has decided which key it is, and none may be made.
pub(super) async fn keys(context: &Context<Services>) -> Result<Option<Keys>, JobError> {
    let config = &context.services.config;
    let path = config.anchor_key_file();
    let has_anchors = context.store.newest_anchor().await;
    let has_anchors = has_anchors.map_err(JobError::retry)?.is_some();
    if !has_anchors && had_anchors(context).await? {
        return Err(JobError::fail(anyhow::anyhow!(
            "all anchors are gone, so none is made as if it were the first: restore the state database from a backup"
        )));
    }
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
    let mut loaded = match anchor::load(&context.store, origin, &keys, number, depth).await {
        // The chain can be verified all the same; that its end is vouched for by nothing must show.
        Err(error @ AnchorError::NoKey { .. }) => Loaded {
            findings: vec![AnchorFinding {
                severity: Severity::Incomplete,
                ..AnchorFinding::new(Kind::AnchorMissing, error.to_string())
            }],
            ..Loaded::default()
        },
        loaded => loaded.map_err(decide)?,
    };
    let is_empty = loaded.anchored.is_none() && loaded.findings.is_empty();
    if is_empty && had_anchors(context).await? {
        let gone = "all anchors are gone: there were some when the trail was verified before";
        loaded
            .findings
            .push(AnchorFinding::new(Kind::AnchorGap, gone));
    }
    if number.is_none() {
        loaded
            .findings
            .extend(compare_archived(context, &keys).await);
    }
    Ok(loaded)
}

/// What the archive says of our anchors. That it cannot be asked must not keep a trail from being verified.
async fn compare_archived(context: &Context<Services>, keys: &[VerifierKey]) -> Vec<AnchorFinding> {
    let config = &context.services.config;
    let compared = async {
        let vault = Vault::open(config)?;
        backup::compare_archived(&vault, &context.store, &config.anchors.origin, keys).await
    };
    compared.await.unwrap_or_else(|error: BackupError| {
        tracing::warn!(%error, "the anchors were not compared with those in the archive");
        Vec::new()
    })
}
