//! Keys of data subjects, wrapped. Who unwraps them is `backup`.

use sqlx::any::AnyRow;

use super::{StateError, Store, column, places_from};

/// A subject's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataKeyRow {
    /// Its id, random.
    pub id: String,
    /// Whose it is: `organization/N`, or `organization/N/user/M`.
    pub subject: String,
    /// Which key-encryption key wrapped it.
    pub kek_id: String,
    /// The wrapped key; none once it was destroyed.
    pub wrapped: Option<Vec<u8>>,
}

const KEY: &str = "id, subject, kek_id, wrapped";
/// Values that one statement names.
const PLACES: usize = 500;

impl Store {
    /// The newest key that is left of each of these subjects.
    ///
    /// # Errors
    /// If the database fails; so all methods here.
    pub async fn subject_keys(&self, subjects: &[String]) -> Result<Vec<DataKeyRow>, StateError> {
        let mut found: Vec<DataKeyRow> = Vec::new();
        for some in subjects.chunks(PLACES) {
            let select = format!(
                "SELECT {KEY} FROM data_key WHERE subject IN ({}) AND wrapped IS NOT NULL ORDER BY created_at, id",
                places_from(1, some.len())
            );
            let mut select = self.query(&select);
            for subject in some {
                select = select.bind(subject.clone());
            }
            for row in &self.read(select).await? {
                let row = DataKeyRow::read(row)?;
                found.retain(|other| other.subject != row.subject);
                found.push(row);
            }
        }
        Ok(found)
    }

    /// Keys by their ids, destroyed or not.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn data_keys(&self, ids: &[String]) -> Result<Vec<DataKeyRow>, StateError> {
        let mut found = Vec::with_capacity(ids.len());
        for some in ids.chunks(PLACES) {
            let places = places_from(1, some.len());
            let select = format!("SELECT {KEY} FROM data_key WHERE id IN ({places})");
            let mut select = self.query(&select);
            for id in some {
                select = select.bind(id.clone());
            }
            for row in &self.read(select).await? {
                found.push(DataKeyRow::read(row)?);
            }
        }
        Ok(found)
    }

    /// Keys that are left, `limit` of them after `id`, in order of id.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn data_keys_after(
        &self,
        id: &str,
        limit: u32,
    ) -> Result<Vec<DataKeyRow>, StateError> {
        let select = format!(
            "SELECT {KEY} FROM data_key WHERE id > $1 AND wrapped IS NOT NULL ORDER BY id LIMIT $2"
        );
        let select = self.query(&select).bind(id.to_owned());
        let rows = self.read(select.bind(i64::from(limit))).await?;
        rows.iter().map(DataKeyRow::read).collect()
    }

    /// All keys, destroyed ones included, `limit` of them after `id`, in order of id.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn all_data_keys_after(
        &self,
        id: &str,
        limit: u32,
    ) -> Result<Vec<DataKeyRow>, StateError> {
        let select = format!("SELECT {KEY} FROM data_key WHERE id > $1 ORDER BY id LIMIT $2");
        let select = self.query(&select).bind(id.to_owned());
        let rows = self.read(select.bind(i64::from(limit))).await?;
        rows.iter().map(DataKeyRow::read).collect()
    }

    /// Keeps keys that are missing, and destroys those that are destroyed in `keys`; a key that is known as destroyed stays
    /// so. Answers how many were kept, and how many destroyed.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn recover_data_keys(&self, keys: &[DataKeyRow]) -> Result<(u64, u64), StateError> {
        let (mut kept, mut destroyed) = (0, 0);
        let mut tx = self.begin().await?;
        for key in keys {
            let insert = tx
                .query(
                    "INSERT INTO data_key (id, subject, kek_id, wrapped, created_at, destroyed_at) \
                     VALUES ($1, $2, $3, $4, {now}, CASE WHEN $5 = 1 THEN {now} END) ON CONFLICT (id) DO NOTHING",
                )
                .bind(key.id.clone())
                .bind(key.subject.clone())
                .bind(key.kek_id.clone())
                .bind(key.wrapped.clone())
                .bind(i64::from(key.wrapped.is_none()));
            let inserted = tx.execute(insert).await?;
            if key.wrapped.is_some() {
                kept += inserted;
                continue;
            }
            let update = tx
                .query("UPDATE data_key SET wrapped = NULL, destroyed_at = {now} WHERE id = $1 AND wrapped IS NOT NULL")
                .bind(key.id.clone());
            destroyed += inserted + tx.execute(update).await?;
        }
        tx.commit("recovered keys").await?;
        Ok((kept, destroyed))
    }

    /// Keeps new keys.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn insert_data_keys(&self, keys: &[DataKeyRow]) -> Result<(), StateError> {
        let mut tx = self.begin().await?;
        for key in keys {
            let insert = tx
                .query(
                    "INSERT INTO data_key (id, subject, kek_id, wrapped, created_at) VALUES ($1, $2, $3, $4, {now})",
                )
                .bind(key.id.clone())
                .bind(key.subject.clone())
                .bind(key.kek_id.clone())
                .bind(key.wrapped.clone());
            tx.execute(insert).await?;
        }
        tx.commit("data keys").await
    }

    /// Puts keys that were wrapped anew in the place of what they were. A key that was destroyed meanwhile stays so.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn rewrap_data_keys(&self, keys: &[DataKeyRow]) -> Result<(), StateError> {
        let mut tx = self.begin().await?;
        for key in keys {
            let update = tx
                .query("UPDATE data_key SET kek_id = $2, wrapped = $3 WHERE id = $1 AND wrapped IS NOT NULL")
                .bind(key.id.clone())
                .bind(key.kek_id.clone())
                .bind(key.wrapped.clone());
            tx.execute(update).await?;
        }
        tx.commit("rewrapped keys").await
    }

    /// Destroys all keys of a subject: what was encrypted with them cannot be read any more, wherever it is. Answers how
    /// many there were.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn destroy_data_keys(&self, subject: &str) -> Result<u64, StateError> {
        let mut tx = self.begin().await?;
        let update = tx
            .query("UPDATE data_key SET wrapped = NULL, destroyed_at = {now} WHERE subject = $1 AND wrapped IS NOT NULL")
            .bind(subject.to_owned());
        let destroyed = tx.execute(update).await?;
        tx.commit("destroyed keys").await?;
        Ok(destroyed)
    }
}

impl DataKeyRow {
    fn read(row: &AnyRow) -> Result<Self, StateError> {
        Ok(Self {
            id: column(row, "id")?,
            subject: column(row, "subject")?,
            kek_id: column(row, "kek_id")?,
            wrapped: column(row, "wrapped")?,
        })
    }
}
