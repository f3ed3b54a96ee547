//! What jobs write into the compliance ledger with.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Services, anchoring::decide};
use crate::{
    anchor,
    checkpoint::note::SecretKey,
    ledger::Scribe,
    runtime::job::{Context, JobError},
};

/// A scribe that lasts until the end of its job is written.
pub(super) struct Pen {
    origin: String,
    key: Arc<SecretKey>,
    actor: String,
    now: Timestamp,
}

impl Pen {
    pub(super) fn scribe(&self) -> Scribe<'_> {
        Scribe {
            origin: &self.origin,
            key: &self.key,
            actor: &self.actor,
            now: self.now,
        }
    }
}

/// Who a job is, in the ledger.
pub(super) fn actor(context: &Context<Services>) -> String {
    format!("job {}", context.job_id)
}

/// A pen, where there is a key that signs entries. None is made for it: that is the first anchor's.
pub(super) fn pen(context: &Context<Services>) -> Result<Option<Pen>, JobError> {
    let services = &context.services;
    let config = &services.config;
    let key = anchor::load_key(&config.anchor_key_file()).map_err(decide)?;
    Ok(key.map(|key| Pen {
        origin: config.anchors.origin.clone(),
        key: Arc::new(key),
        actor: actor(context),
        now: services.clock.now(),
    }))
}
