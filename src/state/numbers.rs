//! What metrics tell of the database and nothing else asks for.

use super::{Dialect, StateError, Store, column};

/// A verification that came to its end. Times are in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedVerification {
    /// When it began.
    pub began_at: i64,
    /// When it ended.
    pub ended_at: i64,
    /// Entries that were verified.
    pub entries: i64,
}

/// What the archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ArchiveNumbers {
    /// Objects that are locked as configured, and that are not; manifests included.
    pub locked: i64,
    /// See `locked`.
    pub not_locked: i64,
    /// Size of the objects in bytes, manifests left out.
    pub bytes: i64,
    /// When the first lock ends of what the newest state needs, in microseconds since 1970.
    pub first_lock_end: Option<i64>,
}

impl Store {
    /// When the database was made, in microseconds since 1970.
    ///
    /// # Errors
    /// If the database fails; so all methods here.
    pub async fn made_at(&self) -> Result<i64, StateError> {
        let seconds = match self.dialect() {
            Dialect::Sqlite => "unixepoch(min(installed_on))",
            Dialect::Postgres => "floor(extract(epoch FROM min(installed_on)))",
        };
        let select = format!(
            "SELECT CAST(COALESCE({seconds}, 0) AS BIGINT) AS made_at FROM _sqlx_migrations"
        );
        let rows = self.read(self.query(&select)).await?;
        let seconds: i64 = rows.first().map_or(Ok(0), |row| column(row, "made_at"))?;
        Ok(seconds.saturating_mul(1_000_000))
    }

    /// The newest verification of this extent that was asked for all organisations.
    ///
    /// # Errors
    /// As [`Self::made_at`].
    pub async fn newest_verification(
        &self,
        extent: &str,
    ) -> Result<Option<EndedVerification>, StateError> {
        let select = self
            .query(
                "SELECT began_at, ended_at, entries FROM verification_run WHERE extent = $1 AND organizations = '[]' \
                 ORDER BY ended_at DESC LIMIT 1",
            )
            .bind(extent.to_owned());
        let rows = self.read(select).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        Ok(Some(EndedVerification {
            began_at: column(row, "began_at")?,
            ended_at: column(row, "ended_at")?,
            entries: column(row, "entries")?,
        }))
    }

    /// When the newest backup was made that the store is known to have, in microseconds since 1970.
    ///
    /// # Errors
    /// As [`Self::made_at`].
    pub async fn newest_stored_backup(&self) -> Result<Option<i64>, StateError> {
        let select = "SELECT made_at FROM archive_manifest WHERE stored_at IS NOT NULL ORDER BY number DESC LIMIT 1";
        let rows = self.read(self.query(select)).await?;
        rows.first().map(|row| column(row, "made_at")).transpose()
    }

    /// Counts what the archive holds.
    ///
    /// # Errors
    /// As [`Self::made_at`].
    pub async fn archive_numbers(&self) -> Result<ArchiveNumbers, StateError> {
        let is_there = "stored_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM archive_removal AS gone \
                        WHERE gone.name = it.name AND gone.removed_at IS NOT NULL)";
        let of_both = format!(
            "SELECT lock_problem, size_bytes FROM archive_object AS it WHERE {is_there} \
             UNION ALL SELECT lock_problem, 0 FROM archive_manifest AS it WHERE {is_there}"
        );
        let counts = format!(
            "SELECT CAST(count(*) AS BIGINT) AS objects, CAST(count(lock_problem) AS BIGINT) AS not_locked, \
             CAST(COALESCE(sum(size_bytes), 0) AS BIGINT) AS bytes FROM ({of_both}) AS held"
        );
        // What `renewals` prolongs.
        let first_end = "SELECT min(retain_until) AS first_end FROM (SELECT retain_until FROM archive_object \
                         WHERE manifest IS NOT NULL AND lock_problem IS NULL AND (kind <> 'segment' OR relation = 'verificationlog') \
                         UNION ALL SELECT retain_until FROM archive_manifest WHERE stored_at IS NOT NULL AND lock_problem IS NULL) AS kept";
        let counts = self.read(self.query(&counts)).await?;
        let first_end = self.read(self.query(first_end)).await?;
        let (Some(counts), Some(first_end)) = (counts.first(), first_end.first()) else {
            return Ok(ArchiveNumbers::default());
        };
        let objects: i64 = column(counts, "objects")?;
        let not_locked: i64 = column(counts, "not_locked")?;
        Ok(ArchiveNumbers {
            locked: objects - not_locked,
            not_locked,
            bytes: column(counts, "bytes")?,
            first_lock_end: column(first_end, "first_end")?,
        })
    }

    /// How many consents were recorded, by status.
    ///
    /// # Errors
    /// As [`Self::made_at`].
    pub async fn consent_counts(&self) -> Result<Vec<(String, i64)>, StateError> {
        let select =
            "SELECT status, CAST(count(*) AS BIGINT) AS records FROM consent GROUP BY status";
        let rows = self.read(self.query(select)).await?;
        rows.iter()
            .map(|row| Ok((column(row, "status")?, column(row, "records")?)))
            .collect()
    }
}
