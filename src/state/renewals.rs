//! Locks that end soon, and those that were prolonged.

use sqlx::any::AnyRow;

use super::{StateError, Store, column};

/// An object that a restore of the newest state needs: of the trail, an anchor, a checkpoint or a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptObject {
    /// Its name.
    pub name: String,
    /// Its version; none where the store keeps none.
    pub version: Option<String>,
    /// Until when it is kept at least, in microseconds since 1970.
    pub retain_until: i64,
}

/// What came of prolonging a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// The object's name.
    pub name: String,
    /// Until when it is kept at least now, in microseconds since 1970; none if that did not change.
    pub retain_until: Option<i64>,
    /// Why it is not locked as configured.
    pub lock_problem: Option<String>,
}

const TABLES: [&str; 2] = ["archive_object", "archive_manifest"];

impl Store {
    /// Objects that the newest state needs and that are kept until before this time, at most so many: first those without a
    /// known problem, and of them those whose time ends first.
    ///
    /// # Errors
    /// If the database fails; so all methods here.
    pub async fn ending_archive_objects(
        &self,
        before: i64,
        limit: u32,
    ) -> Result<Vec<KeptObject>, StateError> {
        let select = self
            .query(
                "SELECT name, version, retain_until FROM (\
                 SELECT name, version, retain_until, lock_problem FROM archive_object WHERE manifest IS NOT NULL \
                 AND (kind <> 'segment' OR relation = 'verificationlog') UNION ALL \
                 SELECT name, version, retain_until, lock_problem FROM archive_manifest WHERE stored_at IS NOT NULL) AS kept \
                 WHERE retain_until < $1 \
                 ORDER BY CASE WHEN lock_problem IS NULL THEN 0 ELSE 1 END, retain_until, name LIMIT $2",
            )
            .bind(before)
            .bind(i64::from(limit));
        let rows = self.read(select).await?;
        rows.iter().map(KeptObject::read).collect()
    }

    /// Notes what came of prolonging locks.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn note_archive_renewals(&self, renewals: &[Renewal]) -> Result<(), StateError> {
        let mut tx = self.begin().await?;
        for renewal in renewals {
            for table in TABLES {
                let update = format!(
                    "UPDATE {table} SET retain_until = coalesce($2, retain_until), \
                     is_renewed = CASE WHEN $3 = 1 THEN 1 ELSE is_renewed END, lock_problem = $4 WHERE name = $1"
                );
                let update = tx
                    .query(&update)
                    .bind(renewal.name.clone())
                    .bind(renewal.retain_until)
                    .bind(i64::from(renewal.retain_until.is_some()))
                    .bind(renewal.lock_problem.clone());
                tx.execute(update).await?;
            }
        }
        tx.commit("archive renewal").await
    }

    /// Objects whose locks were prolonged and that no manifest names as such yet.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn renewed_archive_objects(&self) -> Result<Vec<KeptObject>, StateError> {
        let select = TABLES
            .map(|table| {
                format!("SELECT name, version, retain_until FROM {table} WHERE is_renewed = 1")
            })
            .join(" UNION ALL ");
        let rows = self
            .read(self.query(&format!("{select} ORDER BY name")))
            .await?;
        rows.iter().map(KeptObject::read).collect()
    }
}

impl super::Tx {
    /// A manifest names these as renewed.
    pub(super) async fn name_renewed(&mut self, names: &[String]) -> Result<(), StateError> {
        for name in names {
            for table in TABLES {
                let update = self
                    .query(&format!(
                        "UPDATE {table} SET is_renewed = 0 WHERE name = $1"
                    ))
                    .bind(name.clone());
                self.execute(update).await?;
            }
        }
        Ok(())
    }
}

impl KeptObject {
    fn read(row: &AnyRow) -> Result<Self, StateError> {
        Ok(Self {
            name: column(row, "name")?,
            version: column(row, "version")?,
            retain_until: column(row, "retain_until")?,
        })
    }
}
