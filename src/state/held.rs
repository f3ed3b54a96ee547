//! Messages about alerts that are held back, since their channel was told enough: counted, and summed up in one.

use sqlx::any::AnyRow;

use super::{
    StateError, Store, column,
    notices::{NewNotice, OPEN},
};

/// A message that was held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldNotice {
    /// How much it mattered.
    pub urgency: i64,
    /// JSON.
    pub body: String,
}

/// What a limit is about: that something is over is always told.
const LIMITED: &str = "moment IN ('firing', 'reminder')";

impl Store {
    /// How many messages a channel was sent after `since`, but for those that say that something is over.
    ///
    /// # Errors
    /// If the database fails; so all methods here.
    pub async fn notices_sent_since(&self, channel: &str, since: i64) -> Result<i64, StateError> {
        let select = format!(
            "SELECT count(*) AS sent FROM notice WHERE channel = $1 AND sent_at > $2 AND {LIMITED}"
        );
        let select = self.query(&select).bind(channel.to_owned()).bind(since);
        let rows = self.read(select).await?;
        rows.first().map_or(Ok(0), |row| column(row, "sent"))
    }

    /// Holds back what is due for a channel that was told enough, but for what is over. Answers how many messages that were.
    ///
    /// # Errors
    /// As [`Self::notices_sent_since`].
    pub async fn hold_notices(&self, channel: &str, now: i64) -> Result<u64, StateError> {
        let due = format!("channel = $1 AND {OPEN} AND {LIMITED} AND due_at <= $2");
        let look = self.query(&format!("SELECT 1 AS due FROM notice WHERE {due} LIMIT 1"));
        let look = look.bind(channel.to_owned()).bind(now);
        if self.read(look).await?.is_empty() {
            return Ok(0);
        }
        let update = self.query(&format!("UPDATE notice SET held_at = $2 WHERE {due}"));
        let update = update.bind(channel.to_owned()).bind(now);
        self.write(update, "notices held").await
    }

    /// Whether anything was held back that no message has counted.
    ///
    /// # Errors
    /// As [`Self::notices_sent_since`].
    pub async fn has_held_notices(&self, channel: &str) -> Result<bool, StateError> {
        let select = self
            .query(
                "SELECT 1 AS held FROM notice WHERE channel = $1 AND held_at IS NOT NULL AND summed_at IS NULL LIMIT 1",
            )
            .bind(channel.to_owned());
        Ok(!self.read(select).await?.is_empty())
    }

    /// Writes one message about all that were held back for a channel; `sum` makes it of them. Of several workers one does.
    ///
    /// # Errors
    /// As [`Self::notices_sent_since`].
    pub async fn sum_held_notices(
        &self,
        channel: &str,
        now: i64,
        sum: impl FnOnce(&[HeldNotice]) -> Option<NewNotice> + Send,
    ) -> Result<(), StateError> {
        let mut tx = self.begin().await?;
        let update = tx
            .query(
                "UPDATE notice SET summed_at = $2 WHERE channel = $1 AND held_at IS NOT NULL AND summed_at IS NULL \
                 RETURNING urgency, body",
            )
            .bind(channel.to_owned())
            .bind(now);
        let rows = tx.fetch(update).await?;
        let read = |row: &AnyRow| {
            Ok(HeldNotice {
                urgency: column(row, "urgency")?,
                body: column(row, "body")?,
            })
        };
        let held = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if let Some(notice) = sum(&held) {
            tx.insert_notice(&notice, now).await?;
        }
        tx.commit("notices summed").await
    }
}
