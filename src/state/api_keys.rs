//! Which API keys were overdue at the last check, so that each is told of once.

use std::collections::HashSet;

use super::{StateError, Tx, column};

impl Tx {
    /// Notes that these keys are overdue and, unless only a part was checked, that no others are. Answers those that
    /// were not overdue before.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn note_overdue_keys(
        &mut self,
        overdue: &[i64],
        is_complete: bool,
    ) -> Result<Vec<i64>, StateError> {
        let rows = self
            .fetch(self.query("SELECT key_id FROM overdue_api_key"))
            .await?;
        let before: HashSet<i64> = rows
            .iter()
            .map(|row| column(row, "key_id"))
            .collect::<Result<_, _>>()?;
        let now: HashSet<i64> = overdue.iter().copied().collect();
        if is_complete {
            for &key in before.difference(&now) {
                let delete = self
                    .query("DELETE FROM overdue_api_key WHERE key_id = $1")
                    .bind(key);
                self.execute(delete).await?;
            }
        }
        let mut new = Vec::new();
        for &key in overdue {
            if before.contains(&key) {
                continue;
            }
            let insert = self
                .query(
                    "INSERT INTO overdue_api_key (key_id, noticed_at) VALUES ($1, {now}) ON CONFLICT DO NOTHING",
                )
                .bind(key);
            if self.execute(insert).await? > 0 {
                new.push(key);
            }
        }
        Ok(new)
    }
}
