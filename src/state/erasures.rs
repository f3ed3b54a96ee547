//! Requests for erasure, as they are kept. What they mean is `erasure`.

use sqlx::any::AnyRow;

use super::{StateError, Store, Tx, column};

/// A request. Times are in microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErasureRow {
    /// Its id.
    pub id: String,
    /// Counts up with each change.
    pub version: i64,
    /// The subject's organisation.
    pub organization_id: i64,
    /// The subject.
    pub user_id: i64,
    /// A salted hash of the organisation and the address.
    pub subject_ref: String,
    /// As whoever asked numbers it.
    pub reference: Option<String>,
    /// Who asked.
    pub requester: String,
    /// Why.
    pub reason: Option<String>,
    /// The job or command that took it in.
    pub source: String,
    /// Of a signed request.
    pub signature: Option<String>,
    /// When it was made.
    pub requested_at: i64,
    /// When it came.
    pub received_at: i64,
    /// When it has to be done by.
    pub due_at: i64,
    /// Why it may take longer.
    pub extension: Option<String>,
    /// How far it is.
    pub state: String,
    /// What it waits for, or why it ended.
    pub note: Option<String>,
    /// JSON.
    pub policy: String,
    /// JSON.
    pub options: String,
    /// JSON.
    pub plan: Option<String>,
    /// The plan's digest.
    pub plan_digest: Option<String>,
    /// Who approved.
    pub approved_by: Option<String>,
    /// When.
    pub approved_at: Option<i64>,
    /// Which plan.
    pub approved_digest: Option<String>,
    /// JSON: what was erased so far.
    pub progress: String,
    /// A signed note.
    pub certificate: Option<String>,
    /// When it was carried out.
    pub completed_at: Option<i64>,
    /// When somebody was told that time runs out.
    pub warned_at: Option<i64>,
}

/// Requests of one state that are not ended. Times are in microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenErasures {
    /// How far they are.
    pub state: String,
    /// How many there are.
    pub requests: i64,
    /// How many of them had to be done by now.
    pub overdue: i64,
    /// When the first of them has to be done by.
    pub due_at: i64,
}

const ERASURE: &str = "id, version, organization_id, user_id, subject_ref, reference, requester, reason, source, signature, \
                       requested_at, received_at, due_at, extension, state, note, policy, options, plan, plan_digest, \
                       approved_by, approved_at, approved_digest, progress, certificate, completed_at, warned_at";
/// States in which nothing more happens.
const ENDED: &str = "('completed', 'rejected', 'cancelled')";

impl Tx {
    /// Keeps a new request.
    ///
    /// # Errors
    /// If the database fails, or has an open request about the same subject; so all methods here.
    pub async fn insert_erasure(&mut self, row: &ErasureRow) -> Result<(), StateError> {
        let insert = format!(
            "INSERT INTO erasure ({ERASURE}) VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
             $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)"
        );
        let insert = self
            .query(&insert)
            .bind(row.id.clone())
            .bind(row.organization_id)
            .bind(row.user_id)
            .bind(row.subject_ref.clone())
            .bind(row.reference.clone())
            .bind(row.requester.clone())
            .bind(row.reason.clone())
            .bind(row.source.clone())
            .bind(row.signature.clone())
            .bind(row.requested_at)
            .bind(row.received_at)
            .bind(row.due_at)
            .bind(row.extension.clone())
            .bind(row.state.clone())
            .bind(row.note.clone())
            .bind(row.policy.clone())
            .bind(row.options.clone())
            .bind(row.plan.clone())
            .bind(row.plan_digest.clone())
            .bind(row.approved_by.clone())
            .bind(row.approved_at)
            .bind(row.approved_digest.clone())
            .bind(row.progress.clone())
            .bind(row.certificate.clone())
            .bind(row.completed_at)
            .bind(row.warned_at);
        self.execute(insert).await.map(|_| ())
    }

    /// Keeps what a request has become, if it is as it was when it was read; answers whether it was.
    ///
    /// # Errors
    /// As [`Self::insert_erasure`].
    pub async fn update_erasure(&mut self, row: &ErasureRow) -> Result<bool, StateError> {
        let update = self
            .query(
                "UPDATE erasure SET version = version + 1, due_at = $3, extension = $4, state = $5, note = $6, plan = $7, \
                 plan_digest = $8, approved_by = $9, approved_at = $10, approved_digest = $11, progress = $12, \
                 certificate = $13, completed_at = $14, warned_at = $15, options = $16 WHERE id = $1 AND version = $2",
            )
            .bind(row.id.clone())
            .bind(row.version)
            .bind(row.due_at)
            .bind(row.extension.clone())
            .bind(row.state.clone())
            .bind(row.note.clone())
            .bind(row.plan.clone())
            .bind(row.plan_digest.clone())
            .bind(row.approved_by.clone())
            .bind(row.approved_at)
            .bind(row.approved_digest.clone())
            .bind(row.progress.clone())
            .bind(row.certificate.clone())
            .bind(row.completed_at)
            .bind(row.warned_at)
            .bind(row.options.clone());
        Ok(self.execute(update).await? == 1)
    }
}

impl Store {
    /// The request with this id.
    ///
    /// # Errors
    /// If the database fails; so all methods here.
    pub async fn erasure(&self, id: &str) -> Result<Option<ErasureRow>, StateError> {
        let select = format!("SELECT {ERASURE} FROM erasure WHERE id = $1");
        let select = self.query(&select).bind(id.to_owned());
        let rows = self.read(select).await?;
        rows.first().map(ErasureRow::read).transpose()
    }

    /// The request that a signature belongs to.
    ///
    /// # Errors
    /// As [`Self::erasure`].
    pub async fn erasure_signed(&self, signature: &str) -> Result<Option<ErasureRow>, StateError> {
        let select = format!("SELECT {ERASURE} FROM erasure WHERE signature = $1");
        let select = self.query(&select).bind(signature.to_owned());
        let rows = self.read(select).await?;
        rows.first().map(ErasureRow::read).transpose()
    }

    /// The request about a user that is not ended yet, or else the newest.
    ///
    /// # Errors
    /// As [`Self::erasure`].
    pub async fn erasure_of_user(
        &self,
        organization_id: i64,
        user_id: i64,
    ) -> Result<Option<ErasureRow>, StateError> {
        let select = format!(
            "SELECT {ERASURE} FROM erasure WHERE organization_id = $1 AND user_id = $2 \
             ORDER BY CASE WHEN state IN {ENDED} THEN 1 ELSE 0 END, received_at DESC, id DESC LIMIT 1"
        );
        let select = self.query(&select).bind(organization_id).bind(user_id);
        let rows = self.read(select).await?;
        rows.first().map(ErasureRow::read).transpose()
    }

    /// The newest request about a subject that was carried out.
    ///
    /// # Errors
    /// As [`Self::erasure`].
    pub async fn completed_erasure(
        &self,
        organization_id: i64,
        subject_ref: &str,
    ) -> Result<Option<ErasureRow>, StateError> {
        let select = format!(
            "SELECT {ERASURE} FROM erasure WHERE organization_id = $1 AND subject_ref = $2 AND state = 'completed' \
             ORDER BY completed_at DESC, id DESC LIMIT 1"
        );
        let select = self.query(&select).bind(organization_id);
        let rows = self.read(select.bind(subject_ref.to_owned())).await?;
        rows.first().map(ErasureRow::read).transpose()
    }

    /// Requests, `limit` of them behind `after` in order of id; of one state, or of all.
    ///
    /// # Errors
    /// As [`Self::erasure`].
    pub async fn erasures_after(
        &self,
        state: Option<&str>,
        after: &str,
        limit: u32,
    ) -> Result<Vec<ErasureRow>, StateError> {
        let condition = state.map_or("", |_| "AND state = $3");
        let select =
            format!("SELECT {ERASURE} FROM erasure WHERE id > $1 {condition} ORDER BY id LIMIT $2");
        let mut select = self.query(&select).bind(after.to_owned());
        select = select.bind(i64::from(limit));
        if let Some(state) = state {
            select = select.bind(state.to_owned());
        }
        let rows = self.read(select).await?;
        rows.iter().map(ErasureRow::read).collect()
    }

    /// Requests about an organisation's user, or about all of its users, `limit` of them behind `after` in order of id.
    ///
    /// # Errors
    /// As [`Self::erasure`].
    pub async fn erasures_about(
        &self,
        organization_id: i64,
        user_id: Option<i64>,
        after: &str,
        limit: u32,
    ) -> Result<Vec<ErasureRow>, StateError> {
        let condition = user_id.map_or("", |_| "AND user_id = $4");
        let select = format!(
            "SELECT {ERASURE} FROM erasure WHERE organization_id = $1 AND id > $2 {condition} ORDER BY id LIMIT $3"
        );
        let mut select = self.query(&select).bind(organization_id);
        select = select.bind(after.to_owned()).bind(i64::from(limit));
        if let Some(user_id) = user_id {
            select = select.bind(user_id);
        }
        let rows = self.read(select).await?;
        rows.iter().map(ErasureRow::read).collect()
    }

    /// Requests that are not ended, `limit` of them behind `after` in order of id.
    ///
    /// # Errors
    /// As [`Self::erasure`].
    pub async fn open_erasures(
        &self,
        after: &str,
        limit: u32,
    ) -> Result<Vec<ErasureRow>, StateError> {
        let select = format!(
            "SELECT {ERASURE} FROM erasure WHERE id > $1 AND state NOT IN {ENDED} ORDER BY id LIMIT $2"
        );
        let select = self.query(&select).bind(after.to_owned());
        let rows = self.read(select.bind(i64::from(limit))).await?;
        rows.iter().map(ErasureRow::read).collect()
    }

    /// The `limit` requests that ended last, the newest first.
    ///
    /// # Errors
    /// As [`Self::erasure`].
    pub async fn ended_erasures(&self, limit: u32) -> Result<Vec<ErasureRow>, StateError> {
        let select = format!(
            "SELECT {ERASURE} FROM erasure WHERE state IN {ENDED} ORDER BY received_at DESC, id DESC LIMIT $1"
        );
        let rows = self
            .read(self.query(&select).bind(i64::from(limit)))
            .await?;
        rows.iter().map(ErasureRow::read).collect()
    }

    /// How many requests are not ended, by state.
    ///
    /// # Errors
    /// As [`Self::erasure`].
    pub async fn open_erasure_counts(&self, now: i64) -> Result<Vec<OpenErasures>, StateError> {
        let select = format!(
            "SELECT state, count(*) AS requests, count(CASE WHEN due_at < $1 THEN 1 END) AS overdue, min(due_at) AS due_at \
             FROM erasure WHERE state NOT IN {ENDED} GROUP BY state"
        );
        let rows = self.read(self.query(&select).bind(now)).await?;
        let counts = |row: &AnyRow| {
            Ok(OpenErasures {
                state: column(row, "state")?,
                requests: column(row, "requests")?,
                overdue: column(row, "overdue")?,
                due_at: column(row, "due_at")?,
            })
        };
        rows.iter().map(counts).collect()
    }

    /// What addresses are hashed with: `new`, unless something was kept before.
    ///
    /// # Errors
    /// As [`Self::erasure`].
    pub async fn erasure_salt(&self, new: &str) -> Result<String, StateError> {
        let select = "SELECT salt FROM erasure_salt WHERE id = 1";
        let rows = self.read(self.query(select)).await?;
        if let Some(row) = rows.first() {
            return column(row, "salt");
        }
        let mut tx = self.begin().await?;
        let insert = tx.query(
            "INSERT INTO erasure_salt (id, salt) VALUES (1, $1) ON CONFLICT (id) DO NOTHING",
        );
        tx.execute(insert.bind(new.to_owned())).await?;
        let rows = tx.fetch(self.query(select)).await?;
        let salt = rows.first().map(|row| column(row, "salt")).transpose()?;
        tx.commit("erasure salt").await?;
        salt.ok_or_else(|| StateError::Corrupt("no salt".to_owned()))
    }
}

impl ErasureRow {
    fn read(row: &AnyRow) -> Result<Self, StateError> {
        Ok(Self {
            id: column(row, "id")?,
            version: column(row, "version")?,
            organization_id: column(row, "organization_id")?,
            user_id: column(row, "user_id")?,
            subject_ref: column(row, "subject_ref")?,
            reference: column(row, "reference")?,
            requester: column(row, "requester")?,
            reason: column(row, "reason")?,
            source: column(row, "source")?,
            signature: column(row, "signature")?,
            requested_at: column(row, "requested_at")?,
            received_at: column(row, "received_at")?,
            due_at: column(row, "due_at")?,
            extension: column(row, "extension")?,
            state: column(row, "state")?,
            note: column(row, "note")?,
            policy: column(row, "policy")?,
            options: column(row, "options")?,
            plan: column(row, "plan")?,
            plan_digest: column(row, "plan_digest")?,
            approved_by: column(row, "approved_by")?,
            approved_at: column(row, "approved_at")?,
            approved_digest: column(row, "approved_digest")?,
            progress: column(row, "progress")?,
            certificate: column(row, "certificate")?,
            completed_at: column(row, "completed_at")?,
            warned_at: column(row, "warned_at")?,
        })
    }
}
