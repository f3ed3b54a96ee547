//! Backups, drills, and what the archive holds.

use super::{Sampler, seconds};
use crate::{
    ledger::{self, Act},
    state::StateError,
};

impl Sampler {
    /// The newest backup and the newest drill.
    pub(super) async fn archive(&self) -> Result<(), StateError> {
        let metrics = &self.metrics;
        let newest = self.store.newest_stored_backup().await?;
        // An archive that was begun anew has none.
        metrics
            .backup_seconds
            .set(seconds(newest.unwrap_or_default()));
        let unlocked = match self.store.newest_archive_manifest().await? {
            Some(newest) => self.store.unlocked_archive_objects(newest.number).await?,
            None => Vec::new(),
        };
        metrics.not_locked.set(unlocked.len() as i64);
        let newest = self.store.newest_ledger(Some(Act::Drill.name()), 1).await?;
        if let Some(row) = newest.first() {
            let detail = ledger::detail(row);
            let took = detail["recovery_seconds"].as_f64().unwrap_or_default();
            metrics.drill_seconds.set(seconds(row.at));
            metrics
                .drill_passed
                .set(i64::from(detail["passed"] == true));
            metrics.drill_recovery_seconds.set(took);
        }
        Ok(())
    }

    pub(super) async fn archive_numbers(&self) -> Result<(), StateError> {
        let numbers = self.store.archive_numbers().await?;
        let metrics = &self.metrics;
        for (lock, objects) in [
            ("locked", numbers.locked),
            ("not_locked", numbers.not_locked),
        ] {
            let gauge = metrics.archive_objects.with_label_values(&[lock]);
            gauge.set(objects);
        }
        metrics.archive_bytes.set(numbers.bytes);
        let first_end = numbers.first_lock_end.unwrap_or_default();
        metrics.first_lock_end_seconds.set(seconds(first_end));
        Ok(())
    }
}
