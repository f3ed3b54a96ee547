//! What is wrong, or was, and how that changes. Which alerts there are and when they fire is `notify`.
//!
//! Several workers look at the same facts. Each change is conditional on what the row was before, so exactly one of them makes it, and the
//! notices that it leads to are written by that one in the same transaction. Times are given by who looks, in microseconds since 1970.

use sqlx::any::AnyRow;

use super::{StateError, Store, Tx, column, notices::NewNotice};

/// An alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertRow {
    /// Name and labels in one.
    pub identity: String,
    /// Its name.
    pub name: String,
    /// JSON.
    pub labels: String,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// What is wrong, in a line.
    pub summary: String,
    /// What it means.
    pub description: String,
    /// Whose trail or keys it is about.
    pub organization_id: Option<i64>,
    /// Since when it is so.
    pub starts_at: i64,
    /// When it had been so for long enough to be told; none before.
    pub fired_at: Option<i64>,
    /// When it was last found to be so, to the minute.
    pub last_seen: i64,
    /// When it was over; none while it goes on.
    pub ends_at: Option<i64>,
}

/// How an alert changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It was not so, and now it is. With `fired_at` it is told at once.
    Begin,
    /// It has been so for long enough.
    Fire,
    /// It is still so. Of its notices those are written whose channel was told nothing since their `since`.
    GoOn,
    /// It was told, and is over.
    End,
    /// It is over before it was told.
    Forget,
}

/// A change, and what is told if it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The alert as it is after it.
    pub alert: AlertRow,
    /// How it changes.
    pub step: Step,
    /// What is told.
    pub notices: Vec<NewNotice>,
}

const ALERT: &str = "identity, name, labels, severity, summary, description, organization_id, starts_at, fired_at, last_seen, \
                     ends_at";

impl Store {
    /// Alerts that are not over, those among them that are not told yet.
    ///
    /// # Errors
    /// If the database fails; so all methods here.
    pub async fn open_alerts(&self) -> Result<Vec<AlertRow>, StateError> {
        let select =
            format!("SELECT {ALERT} FROM alert WHERE ends_at IS NULL ORDER BY starts_at, identity");
        let rows = self.read(self.query(&select)).await?;
        rows.iter().map(AlertRow::read).collect()
    }

    /// Makes the changes that nobody else has made, all or none, and answers how many those were.
    ///
    /// # Errors
    /// As [`Self::open_alerts`].
    pub async fn change_alerts(&self, changes: &[Change], now: i64) -> Result<u64, StateError> {
        if changes.is_empty() {
            return Ok(0);
        }
        let mut changes: Vec<&Change> = changes.iter().collect();
        // Two workers lock rows in the same order.
        changes.sort_by(|one, other| one.alert.identity.cmp(&other.alert.identity));
        let mut tx = self.begin().await?;
        let mut made = 0;
        for change in changes {
            let is_made = tx.change_alert(&change.alert, change.step).await?;
            if !is_made {
                continue;
            }
            made += 1;
            for notice in &change.notices {
                tx.insert_notice(notice, now).await?;
            }
        }
        tx.commit("alerts change").await?;
        Ok(made)
    }
}

impl Tx {
    /// Makes a change unless somebody else did, and answers whether it was made.
    async fn change_alert(&mut self, alert: &AlertRow, step: Step) -> Result<bool, StateError> {
        let identity = alert.identity.clone();
        let change = match step {
            Step::Begin => self
                .query(
                    "INSERT INTO alert (identity, name, labels, severity, summary, description, organization_id, starts_at, \
                     fired_at, last_seen) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (identity) DO UPDATE SET \
                     severity = excluded.severity, summary = excluded.summary, description = excluded.description, \
                     starts_at = excluded.starts_at, fired_at = excluded.fired_at, last_seen = excluded.last_seen, \
                     ends_at = NULL WHERE alert.ends_at IS NOT NULL",
                )
                .bind(identity)
                .bind(alert.name.clone())
                .bind(alert.labels.clone())
                .bind(alert.severity.clone())
                .bind(alert.summary.clone())
                .bind(alert.description.clone())
                .bind(alert.organization_id)
                .bind(alert.starts_at)
                .bind(alert.fired_at)
                .bind(alert.last_seen),
            Step::Fire | Step::GoOn => {
                let before = match step {
                    Step::Fire => "fired_at IS NULL",
                    _ => "fired_at IS NOT NULL",
                };
                self.query(&format!(
                    "UPDATE alert SET summary = $2, description = $3, fired_at = $4, last_seen = $5 \
                     WHERE identity = $1 AND ends_at IS NULL AND {before}"
                ))
                .bind(identity)
                .bind(alert.summary.clone())
                .bind(alert.description.clone())
                .bind(alert.fired_at)
                .bind(alert.last_seen)
            }
            Step::End => self
                .query(
                    "UPDATE alert SET ends_at = $2 WHERE identity = $1 AND ends_at IS NULL AND fired_at IS NOT NULL",
                )
                .bind(identity)
                .bind(alert.ends_at),
            Step::Forget => self
                .query(
                    "DELETE FROM alert WHERE identity = $1 AND ends_at IS NULL AND fired_at IS NULL",
                )
                .bind(identity),
        };
        Ok(self.execute(change).await? > 0)
    }
}

impl AlertRow {
    fn read(row: &AnyRow) -> Result<Self, StateError> {
        Ok(Self {
            identity: column(row, "identity")?,
            name: column(row, "name")?,
            labels: column(row, "labels")?,
            severity: column(row, "severity")?,
            summary: column(row, "summary")?,
            description: column(row, "description")?,
            organization_id: column(row, "organization_id")?,
            starts_at: column(row, "starts_at")?,
            fired_at: column(row, "fired_at")?,
            last_seen: column(row, "last_seen")?,
            ends_at: column(row, "ends_at")?,
        })
    }
}
