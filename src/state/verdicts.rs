//! The newest verdict on each trail, so that a change of verdict is noticed once.

use serde::Serialize;
use sqlx::any::AnyRow;

use super::{StateError, Store, Tx, column};

/// Stands where an organisation's id does, for the verdict on the anchors themselves.
pub const ANCHORS: &str = "anchors";

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
    /// When it was first looked at, as far as that is known.
    pub first_at: i64,
}

/// What was known of a trail before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Before {
    /// Its verdict, if there was one.
    pub verdict: Option<String>,
    /// Its last verdict that was not `tampered`.
    pub sound: Option<String>,
}

impl Tx {
    /// Notes a verdict and answers what was known before. `since` stays while the verdict does.
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
    ) -> Result<Before, StateError> {
        let select = self
            .query("SELECT verdict, sound FROM verdict WHERE organization = $1")
            .bind(organization.to_owned());
        let before = self.fetch(select).await?;
        let before = match before.first() {
            Some(row) => Before {
                verdict: Some(column(row, "verdict")?),
                sound: column(row, "sound")?,
            },
            None => Before::default(),
        };
        let upsert = self
            .query(
                "INSERT INTO verdict (organization, verdict, since, checked_at, entries, findings, job_id, sound, first_at) \
                 VALUES ($1, $2, {now}, {now}, $3, $4, $5, CASE WHEN $6 THEN $2 ELSE NULL END, \
                 COALESCE((SELECT started_at FROM job WHERE id = $5), {now})) ON CONFLICT (organization) DO UPDATE SET \
                 since = CASE WHEN verdict.verdict = excluded.verdict THEN verdict.since ELSE excluded.since END, \
                 verdict = excluded.verdict, checked_at = excluded.checked_at, entries = excluded.entries, \
                 findings = excluded.findings, job_id = excluded.job_id, sound = COALESCE(excluded.sound, verdict.sound)",
            )
            .bind(organization.to_owned())
            .bind(verdict.to_owned())
            .bind(entries)
            .bind(findings)
            .bind(job_id.to_owned())
            .bind(verdict != "tampered");
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
            "SELECT organization, verdict, since, checked_at, entries, findings, job_id, \
             COALESCE(first_at, since) AS first_at FROM verdict ORDER BY organization",
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
            first_at: column(row, "first_at")?,
        })
    }
}
