//! What was put into the archive. Objects are noted before they are put: a name without `stored_at` may or may not be there.

use sqlx::any::AnyRow;

use super::{StateError, Store, Tx, column};

/// An object of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArchiveObject {
    /// Its name.
    pub name: String,
    /// `segment`, `anchor` or `checkpoint`.
    pub kind: String,
    /// Which run made it.
    pub run: String,
    /// QWED's table.
    pub relation: String,
    /// The organisation whose rows they are; empty for all of them.
    pub organization: String,
    /// The lowest id in it; of an anchor, its number.
    pub first_id: i64,
    /// The highest id in it.
    pub last_id: i64,
    /// How many rows.
    pub row_count: i64,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// Its size.
    pub size_bytes: i64,
    /// Until when it is kept at least, in microseconds since 1970.
    pub retain_until: i64,
    /// Its version; none where the store keeps none.
    pub version: Option<String>,
    /// Since when the store is known to have it.
    pub stored_at: Option<i64>,
    /// Why it is not locked as configured.
    pub lock_problem: Option<String>,
}

/// A manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveManifest {
    /// Its number, from 1.
    pub number: i64,
    /// Its object's name.
    pub name: String,
    /// The SHA-256 of its note, in hexadecimal.
    pub sha256: String,
    /// The signed note.
    pub note: String,
    /// When it was made, in microseconds since 1970.
    pub made_at: i64,
    /// Until when it is kept at least, in microseconds since 1970.
    pub retain_until: i64,
    /// Since when the store is known to have it.
    pub stored_at: Option<i64>,
    /// Why it is not locked as configured.
    pub lock_problem: Option<String>,
}

const OBJECT: &str = "name, kind, run, relation, organization, first_id, last_id, row_count, sha256, size_bytes, \
                      retain_until, version, stored_at, lock_problem";
const MANIFEST: &str = "number, name, sha256, note, made_at, retain_until, stored_at, lock_problem";

impl Store {
    /// Objects that no manifest names yet, in order of table, organisation and id.
    ///
    /// # Errors
    /// If the database fails; so all methods here.
    pub async fn open_archive_objects(&self) -> Result<Vec<ArchiveObject>, StateError> {
        let select = format!(
            "SELECT {OBJECT} FROM archive_object WHERE manifest IS NULL ORDER BY kind, relation, organization, first_id, name"
        );
        let rows = self.read(self.query(&select)).await?;
        rows.iter().map(ArchiveObject::read).collect()
    }

    /// Segments with rows of an organisation that are about people, those that later ones replaced included.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn archived_segments(
        &self,
        organization: &str,
    ) -> Result<Vec<ArchiveObject>, StateError> {
        let select = format!(
            "SELECT {OBJECT} FROM archive_object WHERE kind = 'segment' AND stored_at IS NOT NULL \
             AND organization IN ($1, '') AND relation NOT IN ('organization', 'resourcequota') ORDER BY name"
        );
        let select = self.query(&select).bind(organization.to_owned());
        let rows = self.read(select).await?;
        rows.iter().map(ArchiveObject::read).collect()
    }

    /// Notes that an object is about to be put, and answers what is noted of it: an object of this name may have been noted
    /// before.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn intend_archive_object(
        &self,
        object: &ArchiveObject,
    ) -> Result<ArchiveObject, StateError> {
        let mut tx = self.begin().await?;
        let insert = tx
            .query(
                "INSERT INTO archive_object (name, kind, run, relation, organization, first_id, last_id, row_count, \
                 sha256, size_bytes, retain_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
                 ON CONFLICT (name) DO NOTHING",
            )
            .bind(object.name.clone())
            .bind(object.kind.clone())
            .bind(object.run.clone())
            .bind(object.relation.clone())
            .bind(object.organization.clone())
            .bind(object.first_id)
            .bind(object.last_id)
            .bind(object.row_count)
            .bind(object.sha256.clone())
            .bind(object.size_bytes)
            .bind(object.retain_until);
        tx.execute(insert).await?;
        let select = format!("SELECT {OBJECT} FROM archive_object WHERE name = $1");
        let select = tx.query(&select).bind(object.name.clone());
        let rows = tx.fetch(select).await?;
        let noted = rows.first().map(ArchiveObject::read).transpose()?;
        tx.commit("archive intent").await?;
        noted.ok_or_else(|| StateError::Corrupt("no note of an object just noted".to_owned()))
    }

    /// Notes that the store has an object.
    ///
    /// # Errors
    /// If the database fails, or another run has taken the object's note away.
    pub async fn note_archive_object(
        &self,
        name: &str,
        version: Option<&str>,
        lock_problem: Option<&str>,
    ) -> Result<(), StateError> {
        let mut tx = self.begin().await?;
        let update = tx
            .query(
                "UPDATE archive_object SET stored_at = {now}, version = $2, lock_problem = $3 WHERE name = $1",
            )
            .bind(name.to_owned())
            .bind(version.map(str::to_owned))
            .bind(lock_problem.map(str::to_owned));
        if tx.execute(update).await? == 0 {
            return Err(StateError::Refused(format!(
                "another worker makes a backup at the same time and has given {name} up; let only one run"
            )));
        }
        tx.commit("archive object").await
    }

    /// Forgets an object that was to be put, and was not.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn forget_archive_object(&self, name: &str) -> Result<(), StateError> {
        let mut tx = self.begin().await?;
        let delete = tx
            .query("DELETE FROM archive_object WHERE name = $1 AND stored_at IS NULL")
            .bind(name.to_owned());
        tx.execute(delete).await?;
        tx.commit("archive forget").await
    }

    /// How many objects of each kind are in the archive, and how many bytes they have.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn archive_totals(&self) -> Result<Vec<(String, i64, i64)>, StateError> {
        let select = "SELECT kind, count(*) AS objects, CAST(COALESCE(sum(size_bytes), 0) AS BIGINT) AS bytes FROM archive_object \
                      WHERE stored_at IS NOT NULL GROUP BY kind ORDER BY kind";
        let rows = self.read(self.query(select)).await?;
        rows.iter()
            .map(|row| {
                Ok((
                    column(row, "kind")?,
                    column(row, "objects")?,
                    column(row, "bytes")?,
                ))
            })
            .collect()
    }

    /// The newest manifest.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn newest_archive_manifest(&self) -> Result<Option<ArchiveManifest>, StateError> {
        let select =
            format!("SELECT {MANIFEST} FROM archive_manifest ORDER BY number DESC LIMIT 1");
        let rows = self.read(self.query(&select)).await?;
        rows.first().map(ArchiveManifest::read).transpose()
    }

    /// Keeps a manifest that is about to be put, and that it names these objects, and these as renewed.
    ///
    /// # Errors
    /// If the database fails, or has a manifest of this number.
    pub async fn insert_archive_manifest(
        &self,
        manifest: &ArchiveManifest,
        objects: &[String],
        renewed: &[String],
    ) -> Result<(), StateError> {
        let mut tx = self.begin().await?;
        let insert = tx
            .query(
                "INSERT INTO archive_manifest (number, name, sha256, note, made_at, retain_until) \
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            )
            .bind(manifest.number)
            .bind(manifest.name.clone())
            .bind(manifest.sha256.clone())
            .bind(manifest.note.clone())
            .bind(manifest.made_at)
            .bind(manifest.retain_until);
        if tx.execute(insert).await? == 0 {
            return Err(StateError::Refused(format!(
                "another worker has made manifest {} meanwhile; try again",
                manifest.number
            )));
        }
        for name in objects {
            let update = tx
                .query(
                    "UPDATE archive_object SET manifest = $2 WHERE name = $1 AND manifest IS NULL",
                )
                .bind(name.clone())
                .bind(manifest.number);
            tx.execute(update).await?;
        }
        tx.name_renewed(renewed).await?;
        tx.commit("archive manifest").await
    }

    /// Notes that the store has a manifest.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn note_archive_manifest(
        &self,
        number: i64,
        version: Option<&str>,
        lock_problem: Option<&str>,
    ) -> Result<(), StateError> {
        let mut tx = self.begin().await?;
        let update = tx
            .query(
                "UPDATE archive_manifest SET stored_at = {now}, version = $2, lock_problem = $3 WHERE number = $1",
            )
            .bind(number)
            .bind(version.map(str::to_owned))
            .bind(lock_problem.map(str::to_owned));
        tx.execute(update).await?;
        tx.commit("archive manifest stored").await
    }

    /// Why objects that are kept are not locked as configured: for each reason how many, and the name of one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn unlocked_archive_reasons(&self) -> Result<Vec<(String, i64, String)>, StateError> {
        let select = "SELECT lock_problem, count(*) AS objects, min(name) AS name FROM (SELECT name, lock_problem, stored_at \
                      FROM archive_object UNION ALL SELECT name, lock_problem, stored_at FROM archive_manifest) AS it \
                      WHERE lock_problem IS NOT NULL AND stored_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM archive_removal AS gone \
                      WHERE gone.name = it.name AND gone.removed_at IS NOT NULL) GROUP BY lock_problem ORDER BY lock_problem";
        let rows = self.read(self.query(select)).await?;
        let read = |row| {
            Ok((
                column(row, "lock_problem")?,
                column(row, "objects")?,
                column(row, "name")?,
            ))
        };
        rows.iter().map(read).collect()
    }

    /// Names of the objects that a manifest names and that are not locked as configured, with the reason.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn unlocked_archive_objects(
        &self,
        number: i64,
    ) -> Result<Vec<(String, String)>, StateError> {
        let select = self
            .query(
                "SELECT name, lock_problem FROM archive_object WHERE manifest = $1 AND lock_problem IS NOT NULL \
                 UNION ALL SELECT name, lock_problem FROM archive_manifest WHERE number = $1 \
                 AND lock_problem IS NOT NULL ORDER BY name",
            )
            .bind(number);
        let rows = self.read(select).await?;
        rows.iter()
            .map(|row| Ok((column(row, "name")?, column(row, "lock_problem")?)))
            .collect()
    }
}

impl Tx {
    /// Forgets the archive, so that another one can be begun. Data keys stay: the old one can still be restored.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn forget_archive(&mut self) -> Result<(), StateError> {
        for table in ["archive_object", "archive_removal", "archive_manifest"] {
            let delete = self.query(&format!("DELETE FROM {table}"));
            self.execute(delete).await?;
        }
        Ok(())
    }
}

impl ArchiveObject {
    fn read(row: &AnyRow) -> Result<Self, StateError> {
        Ok(Self {
            name: column(row, "name")?,
            kind: column(row, "kind")?,
            run: column(row, "run")?,
            relation: column(row, "relation")?,
            organization: column(row, "organization")?,
            first_id: column(row, "first_id")?,
            last_id: column(row, "last_id")?,
            row_count: column(row, "row_count")?,
            sha256: column(row, "sha256")?,
            size_bytes: column(row, "size_bytes")?,
            retain_until: column(row, "retain_until")?,
            version: column(row, "version")?,
            stored_at: column(row, "stored_at")?,
            lock_problem: column(row, "lock_problem")?,
        })
    }
}

impl ArchiveManifest {
    fn read(row: &AnyRow) -> Result<Self, StateError> {
        Ok(Self {
            number: column(row, "number")?,
            name: column(row, "name")?,
            sha256: column(row, "sha256")?,
            note: column(row, "note")?,
            made_at: column(row, "made_at")?,
            retain_until: column(row, "retain_until")?,
            stored_at: column(row, "stored_at")?,
            lock_problem: column(row, "lock_problem")?,
        })
    }
}
