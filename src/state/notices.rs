//! Messages about alerts: written with what they tell of (`alerts`), sent afterwards, at least once.
//!
//! As in the outbox, claiming hides a message for a while instead of locking it. Of one alert a channel is given the oldest message alone
//! that is not done with, so that the end of an alert never overtakes its beginning. Done with is what was sent, given up, or held back.

use std::time::Duration;

use sqlx::any::AnyRow;

use super::{StateError, Store, Tx, column};

/// A message to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNotice {
    /// A UUID.
    pub id: String,
    /// Who is told.
    pub channel: String,
    /// Which alert; none for several.
    pub identity: Option<String>,
    /// Why: `firing`, `reminder`, `resolved`.
    pub moment: String,
    /// What matters more goes first.
    pub urgency: i64,
    /// JSON.
    pub body: String,
    /// It is only written if the channel was told nothing about the alert after this time, and nothing waits; always without it.
    pub since: Option<i64>,
}

/// A message that is ours to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueNotice {
    /// Its place in the order.
    pub place: i64,
    /// A UUID; a second delivery has the same.
    pub id: String,
    /// JSON.
    pub body: String,
    /// When it was written, in microseconds since 1970.
    pub created_at: i64,
    /// Which try this is, from 1.
    pub attempts: i64,
}

/// What a channel was last told about an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastNotice {
    /// The alert.
    pub identity: String,
    /// The channel.
    pub channel: String,
    /// When the newest message was written.
    pub created_at: i64,
    /// How many wait.
    pub open: i64,
}

/// What waits for a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// The channel.
    pub channel: String,
    /// How many messages wait.
    pub notices: i64,
    /// Since when the oldest does, in microseconds since 1970.
    pub oldest: i64,
}

/// What is not done with.
pub(super) const OPEN: &str = "sent_at IS NULL AND failed_at IS NULL AND held_at IS NULL";
/// Longer reasons are cut.
const MAX_ERROR: usize = 500;
const HOUR: i64 = 3_600_000_000;

impl Tx {
    /// Writes a message, unless its `since` forbids it.
    pub(super) async fn insert_notice(
        &mut self,
        notice: &NewNotice,
        now: i64,
    ) -> Result<(), StateError> {
        let condition = match notice.since {
            Some(_) => format!(
                "NOT EXISTS (SELECT 1 FROM notice WHERE identity = $3 AND channel = $2 AND (created_at > $8 OR {OPEN}))"
            ),
            None => "1 = 1".to_owned(),
        };
        let mut insert = self
            .query(&format!(
                "INSERT INTO notice (id, channel, identity, moment, urgency, body, created_at, due_at) \
                 SELECT $1, $2, $3, $4, $5, $6, $7, $7 WHERE {condition}"
            ))
            .bind(notice.id.clone())
            .bind(notice.channel.clone())
            .bind(notice.identity.clone())
            .bind(notice.moment.clone())
            .bind(notice.urgency)
            .bind(notice.body.clone())
            .bind(now);
        if let Some(since) = notice.since {
            insert = insert.bind(since);
        }
        self.execute(insert).await?;
        if notice.moment == "reminder" && notice.identity.is_some() {
            // Former reminders say nothing more; a channel that wants one each minute would fill the table. Those of the last hour
            // count for its limit.
            let delete = self
                .query(
                    "DELETE FROM notice WHERE identity = $1 AND channel = $2 AND moment = 'reminder' AND sent_at < $3",
                )
                .bind(notice.identity.clone())
                .bind(notice.channel.clone())
                .bind(now - HOUR);
            self.execute(delete).await?;
        }
        self.wake();
        Ok(())
    }
}

impl Store {
    /// What each channel was last told about alerts that are not over.
    ///
    /// # Errors
    /// If the database fails; so all methods here.
    pub async fn last_notices(&self) -> Result<Vec<LastNotice>, StateError> {
        let select = format!(
            "SELECT identity, channel, max(created_at) AS created_at, count(CASE WHEN {OPEN} THEN 1 END) AS open \
             FROM notice WHERE identity IN (SELECT identity FROM alert WHERE ends_at IS NULL) GROUP BY identity, channel"
        );
        let rows = self.read(self.query(&select)).await?;
        let read = |row: &AnyRow| {
            Ok(LastNotice {
                identity: column(row, "identity")?,
                channel: column(row, "channel")?,
                created_at: column(row, "created_at")?,
                open: column(row, "open")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Messages of a channel that are due, what matters most first, of each alert at most one; hidden from others for `hidden`. With
    /// `is_over` only those that say that something is over.
    ///
    /// # Errors
    /// As [`Self::last_notices`].
    pub async fn claim_notices(
        &self,
        channel: &str,
        limit: i64,
        is_over: bool,
        hidden: Duration,
        now: i64,
    ) -> Result<Vec<DueNotice>, StateError> {
        let limited = if is_over {
            "AND moment = 'resolved'"
        } else {
            ""
        };
        let due = format!(
            "SELECT place FROM notice AS due WHERE channel = $1 AND {OPEN} AND due_at <= $2 {limited} AND NOT EXISTS \
             (SELECT 1 FROM notice AS earlier WHERE earlier.channel = due.channel AND earlier.identity = due.identity \
             AND earlier.place < due.place AND earlier.sent_at IS NULL AND earlier.failed_at IS NULL \
             AND earlier.held_at IS NULL)"
        );
        // Looked at before anything is locked: most of the time there is nothing.
        let look = self.query(&format!("{due} LIMIT 1"));
        let look = look.bind(channel.to_owned()).bind(now);
        if self.read(look).await?.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.begin().await?;
        let update = tx
            .query(&format!(
                "UPDATE notice SET due_at = $3, attempts = attempts + 1 WHERE place IN \
                 ({due} ORDER BY urgency DESC, place LIMIT $4 {{skip_locked}}) \
                 RETURNING place, id, body, created_at, attempts"
            ))
            .bind(channel.to_owned())
            .bind(now)
            .bind(now.saturating_add(micros(hidden)))
            .bind(limit);
        let rows = tx.fetch(update).await?;
        tx.commit("notices claim").await?;
        let mut due = rows
            .iter()
            .map(DueNotice::read)
            .collect::<Result<Vec<_>, _>>()?;
        due.sort_by_key(|notice| notice.place);
        Ok(due)
    }

    /// Notes that a message was sent.
    ///
    /// # Errors
    /// As [`Self::last_notices`].
    pub async fn notice_sent(&self, place: i64, now: i64) -> Result<(), StateError> {
        let update =
            format!("UPDATE notice SET sent_at = $2, error = NULL WHERE place = $1 AND {OPEN}");
        let update = self.query(&update).bind(place).bind(now);
        self.write(update, "notice sent").await.map(drop)
    }

    /// Has a message tried again after `delay`.
    ///
    /// # Errors
    /// As [`Self::last_notices`].
    pub async fn put_notice_off(
        &self,
        place: i64,
        delay: Duration,
        error: &str,
        now: i64,
    ) -> Result<(), StateError> {
        let update =
            format!("UPDATE notice SET due_at = $2, error = $3 WHERE place = $1 AND {OPEN}");
        let update = self
            .query(&update)
            .bind(place)
            .bind(now.saturating_add(micros(delay)))
            .bind(cut(error));
        self.write(update, "notice put off").await.map(drop)
    }

    /// Notes that nobody will ever get a message.
    ///
    /// # Errors
    /// As [`Self::last_notices`].
    pub async fn give_notice_up(
        &self,
        place: i64,
        error: &str,
        now: i64,
    ) -> Result<(), StateError> {
        let update =
            format!("UPDATE notice SET failed_at = $2, error = $3 WHERE place = $1 AND {OPEN}");
        let update = self.query(&update).bind(place).bind(now).bind(cut(error));
        self.write(update, "notice given up").await.map(drop)
    }

    /// What waits, by channel.
    ///
    /// # Errors
    /// As [`Self::last_notices`].
    pub async fn notice_backlog(&self) -> Result<Vec<Backlog>, StateError> {
        let select = format!(
            "SELECT channel, count(*) AS notices, min(created_at) AS oldest FROM notice WHERE {OPEN} GROUP BY channel"
        );
        let rows = self.read(self.query(&select)).await?;
        let read = |row: &AnyRow| {
            Ok(Backlog {
                channel: column(row, "channel")?,
                notices: column(row, "notices")?,
                oldest: column(row, "oldest")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Forgets messages written before `before` and alerts that ended before it. A message that still waits by then has nobody who would
    /// send it, since its channel is no longer configured.
    ///
    /// # Errors
    /// As [`Self::last_notices`].
    pub async fn clear_notices(&self, before: i64) -> Result<(), StateError> {
        let mut tx = self.begin().await?;
        for delete in [
            "DELETE FROM notice WHERE created_at < $1",
            "DELETE FROM alert WHERE ends_at < $1",
        ] {
            let delete = tx.query(delete).bind(before);
            tx.execute(delete).await?;
        }
        tx.commit("notices cleared").await
    }

    /// One statement in a transaction of this name.
    pub(super) async fn write(
        &self,
        statement: super::Statement<'_>,
        name: &'static str,
    ) -> Result<u64, StateError> {
        let mut tx = self.begin().await?;
        let changed = tx.execute(statement).await?;
        tx.commit(name).await?;
        Ok(changed)
    }
}

impl DueNotice {
    fn read(row: &AnyRow) -> Result<Self, StateError> {
        Ok(Self {
            place: column(row, "place")?,
            id: column(row, "id")?,
            body: column(row, "body")?,
            created_at: column(row, "created_at")?,
            attempts: column(row, "attempts")?,
        })
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn cut(error: &str) -> String {
    error.chars().take(MAX_ERROR).collect()
}
