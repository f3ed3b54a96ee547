//! Objects of the archive that were removed. They are noted before: one that is noted and nothing more may or may not be gone.

use std::collections::HashSet;

use sqlx::any::AnyRow;

use super::{StateError, Store, Tx, column, places_from};

/// An object to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveRemoval {
    /// Its name.
    pub name: String,
    /// Its version; none where the store keeps none.
    pub version: Option<String>,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// Its size.
    pub size_bytes: i64,
    /// Until when it had to be kept, in microseconds since 1970.
    pub retain_until: i64,
    /// The digest of the list that it was ordered with.
    pub plan: String,
}

/// Values that one statement names.
const PLACES: usize = 500;

impl Store {
    /// Which of these objects are known to be removed.
    ///
    /// # Errors
    /// If the database fails; so all methods here.
    pub async fn removed_archive_objects(
        &self,
        names: &[&str],
    ) -> Result<HashSet<String>, StateError> {
        let mut removed = HashSet::new();
        for some in names.chunks(PLACES) {
            let select = format!(
                "SELECT name FROM archive_removal WHERE removed_at IS NOT NULL AND name IN ({})",
                places_from(1, some.len())
            );
            let mut select = self.query(&select);
            for name in some {
                select = select.bind((*name).to_owned());
            }
            for row in &self.read(select).await? {
                removed.insert(column(row, "name")?);
            }
        }
        Ok(removed)
    }

    /// Removals that were begun, and nothing is known of what became of them.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn open_archive_removals(&self) -> Result<Vec<ArchiveRemoval>, StateError> {
        let select = "SELECT name, version, sha256, size_bytes, retain_until, plan FROM archive_removal \
                      WHERE removed_at IS NULL AND refused IS NULL ORDER BY name";
        let rows = self.read(self.query(select)).await?;
        rows.iter().map(ArchiveRemoval::read).collect()
    }

    /// Notes that these are about to be removed.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn intend_archive_removals(
        &self,
        removals: &[ArchiveRemoval],
    ) -> Result<(), StateError> {
        let mut tx = self.begin().await?;
        for removal in removals {
            let insert = tx
                .query(
                    "INSERT INTO archive_removal (name, version, sha256, size_bytes, retain_until, plan, intended_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, {now}) ON CONFLICT (name) DO UPDATE \
                     SET plan = excluded.plan, intended_at = excluded.intended_at, refused = NULL",
                )
                .bind(removal.name.clone())
                .bind(removal.version.clone())
                .bind(removal.sha256.clone())
                .bind(removal.size_bytes)
                .bind(removal.retain_until)
                .bind(removal.plan.clone());
            tx.execute(insert).await?;
        }
        tx.commit("removal intent").await
    }

    /// Forgets a removal that was begun and did not come to it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn forget_archive_removal(&self, name: &str) -> Result<(), StateError> {
        let mut tx = self.begin().await?;
        let delete = tx
            .query("DELETE FROM archive_removal WHERE name = $1 AND removed_at IS NULL")
            .bind(name.to_owned());
        tx.execute(delete).await?;
        tx.commit("removal forget").await
    }
}

impl Tx {
    /// Notes that an object is gone, or that the store keeps it and why. Answers whether that was not known yet.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn note_archive_removal(
        &mut self,
        name: &str,
        refused: Option<&str>,
    ) -> Result<bool, StateError> {
        let update = self
            .query(
                "UPDATE archive_removal SET removed_at = CASE WHEN $2 IS NULL THEN {now} END, refused = $2 \
                 WHERE name = $1 AND removed_at IS NULL",
            )
            .bind(name.to_owned())
            .bind(refused.map(str::to_owned));
        Ok(self.execute(update).await? > 0)
    }
}

impl ArchiveRemoval {
    fn read(row: &AnyRow) -> Result<Self, StateError> {
        Ok(Self {
            name: column(row, "name")?,
            version: column(row, "version")?,
            sha256: column(row, "sha256")?,
            size_bytes: column(row, "size_bytes")?,
            retain_until: column(row, "retain_until")?,
            plan: column(row, "plan")?,
        })
    }
}
