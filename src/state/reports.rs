//! Reports that were made, and what verifications came to.

use serde_json::Value;
use sqlx::{Row, TypeInfo, ValueRef, any::AnyRow};

use super::{StateError, Store, Tx, column};

/// How a verification ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationRow {
    /// Its job; where that has a schedule, the run is noted with it.
    pub job_id: String,
    /// When it began and ended, in microseconds since 1970.
    pub began_at: i64,
    /// See `began_at`.
    pub ended_at: i64,
    /// `whole`, `part` or `period`.
    pub extent: String,
    /// JSON: the organisations that were asked for; empty for all of them.
    pub organizations: String,
    /// The worst verdict.
    pub verdict: String,
    /// Entries that were verified.
    pub entries: i64,
    /// JSON: the verdict of each organisation that was not intact, by id.
    pub not_intact: String,
}

/// A report, without its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRow {
    /// Its id.
    pub id: String,
    /// `soc2`.
    pub kind: String,
    /// Whom it is about.
    pub organization_id: i64,
    /// What it covers, in microseconds since 1970.
    pub period_start: i64,
    /// See `period_start`; itself not included.
    pub period_end: i64,
    /// When it was made.
    pub generated_at: i64,
    /// How many controls passed, failed, are unknown, and are not applicable.
    pub counts: [i64; 4],
    /// SHA-256 of the document, in hexadecimal.
    pub sha256: String,
    /// The name of the auditor pack in the archive.
    pub pack: Option<String>,
    /// The job that made it.
    pub job_id: Option<String>,
}

const COLUMNS: &str = "id, kind, organization_id, period_start, period_end, generated_at, passed, failed, unknown, \
                       not_applicable, sha256, pack, job_id";

impl Store {
    /// What one statement answers, with its parameters: for evidence that says how it was obtained.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn ask(
        &self,
        sql: &str,
        parameters: &[Value],
    ) -> Result<Vec<Vec<Value>>, StateError> {
        let mut query = self.query(sql);
        for parameter in parameters {
            query = match parameter.as_i64() {
                Some(number) => query.bind(number),
                None => query.bind(parameter.as_str().unwrap_or_default().to_owned()),
            };
        }
        let rows = self.read(query).await?;
        rows.iter().map(values).collect()
    }

    /// Reports, the newest first, of one organisation or of all.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn reports(
        &self,
        organization_id: Option<i64>,
        limit: u32,
    ) -> Result<Vec<ReportRow>, StateError> {
        let condition = organization_id.map_or("", |_| "WHERE organization_id = $2");
        let mut select = self
            .query(&format!(
                "SELECT {COLUMNS} FROM report {condition} ORDER BY generated_at DESC, id DESC LIMIT $1"
            ))
            .bind(i64::from(limit));
        if let Some(id) = organization_id {
            select = select.bind(id);
        }
        self.read(select).await?.iter().map(report).collect()
    }

    /// Verifications that ended at `since` or after it, the newest first, but those of a period.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn verification_runs(
        &self,
        since: i64,
        limit: u32,
    ) -> Result<Vec<VerificationRow>, StateError> {
        let select = self
            .query(
                "SELECT job_id, began_at, ended_at, extent, organizations, verdict, entries, not_intact FROM verification_run \
                 WHERE ended_at >= $1 AND extent <> 'period' ORDER BY ended_at DESC, job_id DESC LIMIT $2",
            )
            .bind(since)
            .bind(i64::from(limit));
        let rows = self.read(select).await?;
        rows.iter().map(verification).collect()
    }

    /// The newest report of each organisation that has one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn newest_reports(&self) -> Result<Vec<ReportRow>, StateError> {
        let select = self.query(&format!(
            "SELECT {COLUMNS} FROM report WHERE NOT EXISTS (SELECT 1 FROM report AS newer WHERE newer.organization_id = \
             report.organization_id AND (newer.generated_at > report.generated_at OR (newer.generated_at = report.generated_at \
             AND newer.id > report.id))) ORDER BY organization_id"
        ));
        self.read(select).await?.iter().map(report).collect()
    }

    /// A report and its document, if there is one of this id.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn report(&self, id: &str) -> Result<Option<(ReportRow, String)>, StateError> {
        let select = self.query(&format!(
            "SELECT {COLUMNS}, document FROM report WHERE id = $1"
        ));
        let rows = self.read(select.bind(id.to_owned())).await?;
        let read = |row: &AnyRow| Ok((report(row)?, column(row, "document")?));
        rows.first().map(read).transpose()
    }
}

fn verification(row: &AnyRow) -> Result<VerificationRow, StateError> {
    Ok(VerificationRow {
        job_id: column(row, "job_id")?,
        began_at: column(row, "began_at")?,
        ended_at: column(row, "ended_at")?,
        extent: column(row, "extent")?,
        organizations: column(row, "organizations")?,
        verdict: column(row, "verdict")?,
        entries: column(row, "entries")?,
        not_intact: column(row, "not_intact")?,
    })
}

impl Tx {
    /// Notes how a verification ended. Again for the same job changes nothing.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn note_verification(&mut self, run: &VerificationRow) -> Result<(), StateError> {
        let insert = self
            .query(
                "INSERT INTO verification_run (job_id, schedule, fire_time, began_at, ended_at, extent, organizations, verdict, \
                 entries, not_intact) VALUES ($1, (SELECT schedule FROM job WHERE id = $1), (SELECT fire_time FROM job WHERE \
                 id = $1), $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (job_id) DO NOTHING",
            )
            .bind(run.job_id.clone())
            .bind(run.began_at)
            .bind(run.ended_at)
            .bind(run.extent.clone())
            .bind(run.organizations.clone())
            .bind(run.verdict.clone())
            .bind(run.entries)
            .bind(run.not_intact.clone());
        self.execute(insert).await.map(|_| ())
    }

    /// Keeps a report.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn insert_report(
        &mut self,
        row: &ReportRow,
        document: &str,
    ) -> Result<(), StateError> {
        let [passed, failed, unknown, not_applicable] = row.counts;
        let insert = self
            .query(&format!(
                "INSERT INTO report ({COLUMNS}, document) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
            ))
            .bind(row.id.clone())
            .bind(row.kind.clone())
            .bind(row.organization_id)
            .bind(row.period_start)
            .bind(row.period_end)
            .bind(row.generated_at)
            .bind(passed)
            .bind(failed)
            .bind(unknown)
            .bind(not_applicable)
            .bind(row.sha256.clone())
            .bind(row.pack.clone())
            .bind(row.job_id.clone())
            .bind(document.to_owned());
        self.execute(insert).await.map(|_| ())
    }
}

fn report(row: &AnyRow) -> Result<ReportRow, StateError> {
    Ok(ReportRow {
        id: column(row, "id")?,
        kind: column(row, "kind")?,
        organization_id: column(row, "organization_id")?,
        period_start: column(row, "period_start")?,
        period_end: column(row, "period_end")?,
        generated_at: column(row, "generated_at")?,
        counts: [
            column(row, "passed")?,
            column(row, "failed")?,
            column(row, "unknown")?,
            column(row, "not_applicable")?,
        ],
        sha256: column(row, "sha256")?,
        pack: column(row, "pack")?,
        job_id: column(row, "job_id")?,
    })
}

/// Whole numbers and text; whatever is neither is null. A column that is computed has no type of its own, so each value tells its own.
fn values(row: &AnyRow) -> Result<Vec<Value>, StateError> {
    let value = |index: usize| {
        let raw = row.try_get_raw(index)?;
        if raw.is_null() {
            return Ok(Value::Null);
        }
        Ok(match raw.type_info().name() {
            "TEXT" => row.try_get::<String, _>(index)?.into(),
            _ => row.try_get::<i64, _>(index)?.into(),
        })
    };
    let values = (0..row.len()).map(value);
    let values: Result<_, sqlx::Error> = values.collect();
    values.map_err(|error| StateError::Corrupt(format!("an unexpected value: {error}")))
}
