//! Consent records, as they are kept. What is in them, and what they hash to, is `consent`.

use sqlx::any::AnyRow;

use super::{Dialect, StateError, Store, Tx, column};

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the columns, which the migration and docs/consent.md explain"
)]
pub struct ConsentRow {
    pub organization_id: i64,
    pub sequence: i64,
    pub record_id: String,
    pub subject_kind: String,
    pub subject: String,
    pub user_id: Option<i64>,
    pub status: String,
    /// In microseconds since 1970.
    pub recorded_at: i64,
    pub query: String,
    pub result: String,
    pub verifier_version: String,
    pub previous_hash: Option<String>,
    pub entry_hash: String,
    pub hmac_signature: String,
}

/// Where a chain ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentEnd {
    /// The newest record's place.
    pub sequence: i64,
    /// What it hashes to.
    pub entry_hash: String,
}

const RECORD: &str = "organization_id, sequence, record_id, subject_kind, subject, user_id, status, recorded_at, query, \
                      result, verifier_version, previous_hash, entry_hash, hmac_signature";

impl Tx {
    /// Keeps everybody else from adding records until this transaction ends. SQLite has one writer anyway. Who takes the ledger
    /// as well takes it after this.
    ///
    /// # Errors
    /// If the database fails; so all methods here.
    pub async fn lock_consents(&mut self) -> Result<(), StateError> {
        if self.store().dialect() == Dialect::Postgres {
            let lock = self.query("LOCK TABLE consent IN EXCLUSIVE MODE");
            self.execute(lock).await?;
        }
        Ok(())
    }

    /// The record with this name.
    ///
    /// # Errors
    /// As [`Self::lock_consents`].
    pub async fn consent_named(
        &mut self,
        organization: i64,
        record_id: &str,
    ) -> Result<Option<ConsentRow>, StateError> {
        let select =
            format!("SELECT {RECORD} FROM consent WHERE organization_id = $1 AND record_id = $2");
        let select = self
            .query(&select)
            .bind(organization)
            .bind(record_id.to_owned());
        let rows = self.fetch(select).await?;
        rows.first().map(ConsentRow::read).transpose()
    }

    /// Where an organisation's chain ends; none where it has not begun.
    ///
    /// # Errors
    /// As [`Self::lock_consents`].
    pub async fn consent_end(
        &mut self,
        organization: i64,
    ) -> Result<Option<ConsentEnd>, StateError> {
        let select = self
            .query(
                "SELECT sequence, entry_hash FROM consent WHERE organization_id = $1 ORDER BY sequence DESC LIMIT 1",
            )
            .bind(organization);
        let rows = self.fetch(select).await?;
        let end = |row: &AnyRow| {
            Ok(ConsentEnd {
                sequence: column(row, "sequence")?,
                entry_hash: column(row, "entry_hash")?,
            })
        };
        rows.first().map(end).transpose()
    }

    /// The records of a subject, in order.
    ///
    /// # Errors
    /// As [`Self::lock_consents`].
    pub async fn consents_of(
        &mut self,
        organization: i64,
        kind: &str,
        subject: &str,
    ) -> Result<Vec<ConsentRow>, StateError> {
        let select = format!("SELECT {RECORD} FROM consent WHERE {OF_SUBJECT} ORDER BY sequence");
        let select = self
            .query(&select)
            .bind(organization)
            .bind(kind.to_owned())
            .bind(subject.to_owned());
        let rows = self.fetch(select).await?;
        rows.iter().map(ConsentRow::read).collect()
    }

    /// Keeps a record.
    ///
    /// # Errors
    /// If the database fails, or has a record at this place or with this name.
    pub async fn insert_consent(&mut self, row: &ConsentRow) -> Result<(), StateError> {
        let insert = format!(
            "INSERT INTO consent ({RECORD}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
        );
        let insert = self
            .query(&insert)
            .bind(row.organization_id)
            .bind(row.sequence)
            .bind(row.record_id.clone())
            .bind(row.subject_kind.clone())
            .bind(row.subject.clone())
            .bind(row.user_id)
            .bind(row.status.clone())
            .bind(row.recorded_at)
            .bind(row.query.clone())
            .bind(row.result.clone())
            .bind(row.verifier_version.clone())
            .bind(row.previous_hash.clone())
            .bind(row.entry_hash.clone())
            .bind(row.hmac_signature.clone());
        self.execute(insert).await.map(|_| ())
    }
}

const OF_SUBJECT: &str = "organization_id = $1 AND subject_kind = $2 AND subject = $3";

impl Store {
    /// Records of all organisations, `limit` of them after this place, by organisation and in order.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn consents_after(
        &self,
        (organization, sequence): (i64, i64),
        limit: u32,
    ) -> Result<Vec<ConsentRow>, StateError> {
        let select = format!(
            "SELECT {RECORD} FROM consent WHERE organization_id > $1 OR (organization_id = $1 AND sequence > $2) \
             ORDER BY organization_id, sequence LIMIT $3"
        );
        let select = self.query(&select).bind(organization).bind(sequence);
        let rows = self.read(select.bind(i64::from(limit))).await?;
        rows.iter().map(ConsentRow::read).collect()
    }

    /// The organisations that have records, in order.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn consent_organizations(&self) -> Result<Vec<i64>, StateError> {
        let select = "SELECT DISTINCT organization_id FROM consent ORDER BY organization_id";
        let rows = self.read(self.query(select)).await?;
        rows.iter()
            .map(|row| column(row, "organization_id"))
            .collect()
    }

    /// The records of a subject, in order.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn consents_of(
        &self,
        organization: i64,
        kind: &str,
        subject: &str,
    ) -> Result<Vec<ConsentRow>, StateError> {
        let select = format!("SELECT {RECORD} FROM consent WHERE {OF_SUBJECT} ORDER BY sequence");
        let select = self
            .query(&select)
            .bind(organization)
            .bind(kind.to_owned())
            .bind(subject.to_owned());
        let rows = self.read(select).await?;
        rows.iter().map(ConsentRow::read).collect()
    }

    /// Records of an organisation, `limit` of them after this place, in order: those of any of these subjects, or of everybody.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn consents_about(
        &self,
        organization: i64,
        subjects: Option<&[(&str, String)]>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<ConsentRow>, StateError> {
        let one = |place| format!("(subject_kind = ${place} AND subject = ${})", place + 1);
        let condition = subjects.map_or_else(String::new, |subjects| {
            // Of no subjects there are no records.
            let mut any = vec!["1 = 0".to_owned()];
            any.extend((0..subjects.len()).map(|index| one(4 + 2 * index)));
            format!("AND ({})", any.join(" OR "))
        });
        let select = format!(
            "SELECT {RECORD} FROM consent WHERE organization_id = $1 AND sequence > $2 {condition} ORDER BY sequence LIMIT $3"
        );
        let mut select = self.query(&select).bind(organization).bind(after);
        select = select.bind(i64::from(limit));
        for (kind, subject) in subjects.unwrap_or_default() {
            select = select.bind((*kind).to_owned()).bind(subject.clone());
        }
        let rows = self.read(select).await?;
        rows.iter().map(ConsentRow::read).collect()
    }

    /// The record with this name.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn consent_named(
        &self,
        organization: i64,
        record_id: &str,
    ) -> Result<Option<ConsentRow>, StateError> {
        let select =
            format!("SELECT {RECORD} FROM consent WHERE organization_id = $1 AND record_id = $2");
        let select = self
            .query(&select)
            .bind(organization)
            .bind(record_id.to_owned());
        let rows = self.read(select).await?;
        rows.first().map(ConsentRow::read).transpose()
    }
}

impl ConsentRow {
    fn read(row: &AnyRow) -> Result<Self, StateError> {
        Ok(Self {
            organization_id: column(row, "organization_id")?,
            sequence: column(row, "sequence")?,
            record_id: column(row, "record_id")?,
            subject_kind: column(row, "subject_kind")?,
            subject: column(row, "subject")?,
            user_id: column(row, "user_id")?,
            status: column(row, "status")?,
            recorded_at: column(row, "recorded_at")?,
            query: column(row, "query")?,
            result: column(row, "result")?,
            verifier_version: column(row, "verifier_version")?,
            previous_hash: column(row, "previous_hash")?,
            entry_hash: column(row, "entry_hash")?,
            hmac_signature: column(row, "hmac_signature")?,
        })
    }
}
