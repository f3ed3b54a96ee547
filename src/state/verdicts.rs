//! The newest verdict on each trail, so that a change of verdict is noticed once.

use serde::Serialize;
use sqlx::any::AnyRow;

use super::{StateError, Store, Tx, column};

/// A verdict on one organisation's trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerdictRow {
    /// The organisation's id; empty for entries that belong to none.
    pub organization: String,
    /// `intact`, `incomplete` or `tampered`.
    pub verdict: String,
    /// Since when, in microseconds since 1970.
    pub since: i64,
    /// When it was last found to be so.
    pub checked_at: i64,
    /// Entries verified.
    pub entries: i64,
    /// Findings.
    pub findings: i64,
    /// The job that found it.
    pub job_id: String,
}

impl Tx {
    /// Notes a verdict and answers the one before, if there was one. `since` stays while the verdict does.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn note_verdict(
        &mut self,
        organization: &str,
        verdict: &str,
        entries: i64,
        findings: i64,
        job_id: &str,
    ) -> Result<Option<String>, StateError> {
        let select = self
            .query("SELECT verdict FROM verdict WHERE organization = $1")
            .bind(organization.to_owned());
        let before = self.fetch(select).await?;
        let before: Option<String> = before
            .first()
            .map(|row| column(row, "verdict"))
            .transpose()?;
        let upsert = self
            .query(
                "INSERT INTO verdict (organization, verdict, since, checked_at, entries, findings, job_id) \
                 VALUES ($1, $2, {now}, {now}, $3, $4, $5) ON CONFLICT (organization) DO UPDATE SET \
                 since = CASE WHEN verdict.verdict = excluded.verdict THEN verdict.since ELSE excluded.since END, \
                 verdict = excluded.verdict, checked_at = excluded.checked_at, entries = excluded.entries, \
                 findings = excluded.findings, job_id = excluded.job_id",
            )
            .bind(organization.to_owned())
            .bind(verdict.to_owned())
            .bind(entries)
            .bind(findings)
            .bind(job_id.to_owned());
        self.execute(upsert).await?;
        Ok(before)
    }
}

impl Store {
    /// The newest verdicts.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn verdicts(&self) -> Result<Vec<VerdictRow>, StateError> {
        let select = self.query(
            "SELECT organization, verdict, since, checked_at, entries, findings, job_id FROM verdict \
             ORDER BY organization",
        );
        let rows = self.read(select).await?;
        rows.iter().map(VerdictRow::read).collect()
    }
}

impl VerdictRow {
    fn read(row: &AnyRow) -> Result<Self, StateError> {
        Ok(Self {
            organization: column(row, "organization")?,
            verdict: column(row, "verdict")?,
            since: column(row, "since")?,
            checked_at: column(row, "checked_at")?,
            entries: column(row, "entries")?,
            findings: column(row, "findings")?,
            job_id: column(row, "job_id")?,
        })
    }
}
