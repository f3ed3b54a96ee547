//! Looks at the facts, and writes what changed together with what is told of it.
//!
//! Alerts that are open are read before the facts are: whoever is overtaken by another worker then writes nothing, since each change is
//! conditional, and never takes old facts for news.

pub mod facts;
mod gather;
pub mod judge;
pub(in crate::notify) mod plan;

use jiff::Timestamp;

use self::{gather::Gatherer, judge::judge, plan::Known};
use crate::{
    config::Notify,
    state::{StateError, Store, alerts::AlertRow},
};

/// Looks, again and again.
#[derive(Debug)]
pub(super) struct Watch {
    store: Store,
    config: Notify,
    gatherer: Gatherer,
}

impl Watch {
    /// One that has not looked yet.
    pub(super) fn new(store: Store, config: Notify) -> Self {
        Self {
            gatherer: Gatherer::new(store.clone()),
            store,
            config,
        }
    }

    /// Looks once. Answers how many changes were made, and the alerts that are open then.
    ///
    /// # Errors
    /// If alerts cannot be read or written. Facts that cannot be read are left out.
    pub(super) async fn look(
        &mut self,
        now: Timestamp,
    ) -> Result<(u64, Vec<AlertRow>), StateError> {
        let open = self.store.open_alerts().await?;
        let told = match open.is_empty() {
            true => Vec::new(),
            false => self.store.last_notices().await?,
        };
        let known = Known { open, told };
        let facts = self.gatherer.facts(now).await;
        let changes = plan::plan(&self.config, &known, &judge(&facts), now);
        let made = self
            .store
            .change_alerts(&changes, now.as_microsecond())
            .await?;
        let open = match changes.is_empty() {
            true => known.open,
            false => self.store.open_alerts().await?,
        };
        Ok((made, open))
    }
}
