//! What all requests share.

use std::sync::Arc;

use anyhow::Context;
use jiff::Timestamp;

use super::{auth::Tokens, limit::Limits};
use crate::{
    anchor,
    answers::{Answers, Sources},
    config::Network,
    jobs::{self, Services},
    runtime::{registry::Registry, schedule::Schedule},
    state::Store,
    tombstones::Graveyard,
};

/// Tells the time; tests have one of their own.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What all requests share.
pub struct Api {
    /// Answers as QWED's.
    pub answers: Arc<Answers>,
    /// Our own database.
    pub store: Store,
    /// What jobs work with, and the configuration.
    pub services: Arc<Services>,
    /// The kinds of jobs.
    pub registry: Registry<Services>,
    /// The schedules.
    pub schedules: Vec<Schedule>,
    /// The time.
    pub now: Now,
    pub(super) tokens: Tokens,
    pub(super) limits: Limits,
    pub(super) proxies: Vec<Network>,
}

impl Api {
    /// Puts it together. Nothing is connected to yet.
    ///
    /// # Errors
    /// If the keys that sign the ledger cannot be read.
    pub fn new(
        services: Arc<Services>,
        store: Store,
        schedules: Vec<Schedule>,
        now: Now,
    ) -> anyhow::Result<Arc<Self>> {
        let config = &services.config;
        let anchors = &config.anchors;
        let keys = anchor::public_keys(&config.anchor_key_file(), &anchors.public_keys)
            .context("the HTTP interface cannot read tombstones")?;
        let answers = Answers::new(Sources {
            url: services.qwed.clone(),
            graveyard: Graveyard {
                store: store.clone(),
                origin: anchors.origin.clone(),
                keys,
            },
            ring: Arc::clone(&services.ring),
            lookup_secret: config.qwed.api_key_lookup_secret.clone(),
            readers: config.http.max_readers as usize,
            walkers: config.http.max_trail_requests as usize,
        });
        Ok(Arc::new(Self {
            answers,
            registry: jobs::registry(config),
            tokens: Tokens::new(&config.http.tokens),
            limits: Limits::new(&config.http),
            proxies: config.http.proxies(),
            store,
            schedules,
            now,
            services,
        }))
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }
}
