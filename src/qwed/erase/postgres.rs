//! Erasing on PostgreSQL, by a connection and perhaps a role of its own. Rows before the newest one are nobody's but ours: what QWED
//! holds while it appends is an advisory lock for the organisation, and the user's row for its foreign key.
//!
//! What the role needs: `SELECT` on QWED's tables, `UPDATE` and, by policy, `DELETE` on `verificationlog`, `securityevent`, `apikey`,
//! `agent`, `agentactivity`, `toolcall` and `"user"`.

use std::time::Duration;

use super::{Column, EraseError};
use crate::qwed::ReadError;
use crate::qwed::{
    postgres::{Session, connect_options, explain},
    url::{DatabaseUrl, PostgresUrl},
};

#[derive(Debug)]
pub(super) struct Writer {
    session: Session,
    location: String,
}

impl Writer {
    pub(super) fn open(url: &PostgresUrl) -> Result<Self, EraseError> {
        let location = DatabaseUrl::Postgres(url.clone()).to_string();
        let options = connect_options(url).map_err(|problem| ReadError::Postgres {
            location: location.clone(),
            problem,
        })?;
        let session = Session::connect(&options, &location)?;
        Ok(Self { session, location })
    }

    pub(super) fn columns(&mut self, table: &str) -> Result<Vec<Column>, EraseError> {
        let sql = format!(
            "SELECT lower(attname::text), NOT attnotnull FROM pg_attribute WHERE attrelid = to_regclass('\"{table}\"') \
             AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        );
        let rows: Vec<(String, bool)> = self.session.rows(&sql)?;
        let column = |(name, is_nullable)| Column { name, is_nullable };
        Ok(rows.into_iter().map(column).collect())
    }

    pub(super) fn may_change(&mut self, table: &str) -> Result<bool, EraseError> {
        let sql =
            format!("SELECT has_any_column_privilege(to_regclass('\"{table}\"')::oid, 'UPDATE')");
        let rows: Vec<(Option<bool>,)> = self.session.rows(&sql)?;
        Ok(rows.first().is_some_and(|(may,)| *may == Some(true)))
    }

    pub(super) fn integers(&mut self, sql: &str) -> Result<Vec<i64>, EraseError> {
        let sql = format!("SELECT id::bigint FROM ({sql}) AS ids(id) WHERE id IS NOT NULL");
        let rows: Vec<(i64,)> = self.session.rows(&sql)?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    pub(super) fn write(&mut self, statements: &[String]) -> Result<u64, EraseError> {
        self.try_write(statements).map_err(|error| {
            // The connection may be gone; then the server has rolled back by itself.
            let _ = self.session.run("ROLLBACK");
            self.refusal(&error)
        })
    }

    fn try_write(&mut self, statements: &[String]) -> Result<u64, sqlx::Error> {
        self.session.run(
            "BEGIN; SET LOCAL row_security = off; SET LOCAL lock_timeout = '5s'; SET LOCAL TIME ZONE 'UTC'; \
             SET LOCAL statement_timeout = '60s'",
        )?;
        let mut changed = 0;
        for statement in statements {
            let counted =
                format!("WITH done AS ({statement} RETURNING 1) SELECT count(*) FROM done");
            let rows: Vec<(i64,)> = self.session.ask(&counted)?;
            changed += rows.first().map_or(0, |row| row.0.unsigned_abs());
        }
        self.session.run("COMMIT")?;
        Ok(changed)
    }

    /// As [`Self::give_way`].
    pub(super) fn let_in(&mut self) {}

    /// Writers do not keep each other waiting here, unless they want the same row.
    pub(super) fn give_way(&mut self, _: Duration) {}

    fn refusal(&self, error: &sqlx::Error) -> EraseError {
        let code = error.as_database_error().and_then(|e| e.code());
        let (advice, is_transient) = match code.as_deref() {
            Some("42501") => (
                "; grant its role UPDATE and DELETE on QWED's tables, or give one that has them (erasure.database_url)",
                false,
            ),
            Some("25006") => (
                "; the database is read-only, as a standby is; give the primary's URL (erasure.database_url)",
                false,
            ),
            Some("55P03" | "57014" | "40P01" | "40001") => {
                ("; another session held the rows for long", true)
            }
            Some("23503") => ("; something still refers to the row", true),
            Some(_) => ("", false),
            None => ("", true),
        };
        EraseError::Write {
            location: self.location.clone(),
            problem: explain(error) + advice,
            is_transient,
            is_referred_to: code.as_deref() == Some("23503"),
        }
    }
}
