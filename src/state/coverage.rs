//! When what anchors cover was last checked in full.
//!
//! Read outside of a transaction to plan a slice; read again, locked, in the transaction that ends the job, and written anew.
//! Two runs at once so add to each other's work, and one that does not come to its end leaves no trace.

use sqlx::any::AnyRow;

use super::{StateError, Store, Tx, column};
use crate::checkpoint::coverage::{Checked, Coverage, Place, Span};

/// In one statement, so that run and spans are of the same moment.
const ALL: &str = "SELECT ran_at, anchor, round_began_at, last_round_began_at, last_round_ended_at, organization_id, tile, \
                   checked_at, entries FROM full_check CROSS JOIN full_check_span ORDER BY organization_id, tile";

impl Store {
    /// What is known; none before everything was checked once.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn coverage(&self) -> Result<Option<Coverage>, StateError> {
        read(&self.read(self.query(ALL)).await?)
    }
}

impl Tx {
    /// Adds what a run checked.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn note_checked(&mut self, run: &Checked) -> Result<(), StateError> {
        let lock = self.query("SELECT id FROM full_check {for_update}");
        self.fetch(lock).await?;
        let select = self.query(ALL);
        let rows = self.fetch(select).await?;
        let Some(coverage) = Coverage::after(read(&rows)?, run) else {
            return Ok(());
        };
        let upsert = self
            .query(
                "INSERT INTO full_check (id, ran_at, anchor, round_began_at, last_round_began_at, last_round_ended_at) \
                 VALUES (1, $1, $2, $3, $4, $5) ON CONFLICT (id) DO UPDATE SET ran_at = excluded.ran_at, \
                 anchor = excluded.anchor, round_began_at = excluded.round_began_at, \
                 last_round_began_at = excluded.last_round_began_at, last_round_ended_at = excluded.last_round_ended_at",
            )
            .bind(coverage.ran_at)
            .bind(coverage.anchor.cast_signed())
            .bind(coverage.round_began_at)
            .bind(coverage.last_round.0)
            .bind(coverage.last_round.1);
        self.execute(upsert).await?;
        let delete = self.query("DELETE FROM full_check_span");
        self.execute(delete).await?;
        for span in &coverage.spans {
            let insert = self
                .query(
                    "INSERT INTO full_check_span (organization_id, tile, checked_at, entries) VALUES ($1, $2, $3, $4)",
                )
                .bind(span.from.organization_id)
                .bind(span.from.tile.cast_signed())
                .bind(span.checked_at)
                .bind(span.entries.cast_signed());
            self.execute(insert).await?;
        }
        Ok(())
    }
}

fn read(rows: &[AnyRow]) -> Result<Option<Coverage>, StateError> {
    let Some(run) = rows.first() else {
        return Ok(None);
    };
    let unsigned = |row: &AnyRow, name: &str| column(row, name).map(i64::cast_unsigned);
    let span = |row: &AnyRow| {
        Ok(Span {
            from: Place {
                organization_id: column(row, "organization_id")?,
                tile: unsigned(row, "tile")?,
            },
            checked_at: column(row, "checked_at")?,
            entries: unsigned(row, "entries")?,
        })
    };
    Ok(Some(Coverage {
        ran_at: column(run, "ran_at")?,
        anchor: unsigned(run, "anchor")?,
        round_began_at: column(run, "round_began_at")?,
        last_round: (
            column(run, "last_round_began_at")?,
            column(run, "last_round_ended_at")?,
        ),
        spans: rows.iter().map(span).collect::<Result<_, StateError>>()?,
    }))
}
