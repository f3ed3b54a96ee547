//! Readers that are kept open between looks and see what is there at each of them.
//!
//! A [`super::Database`]'s readers all see one state and are done with then. Who answers requests looks at the present, again and
//! again, and must not pay for a connection each time. Between looks nothing is held: an open transaction would keep PostgreSQL
//! from clearing away old rows.

use std::sync::Arc;

use sqlx::Row as _;

use super::{Database, ReadError, Reader, Source, postgres, sqlite, url::DatabaseUrl};
use crate::trail::tombstone::Tombstones;

/// One row of a look-up: its columns as text.
pub(crate) type Texts = Vec<Option<String>>;

impl Reader {
    /// Connects a reader that sees nothing until [`Self::look`].
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn connect(url: &DatabaseUrl) -> Result<Self, ReadError> {
        let mut reader = Database::open(url)?.reader()?;
        reader.rest()?;
        Ok(reader)
    }

    /// Begins to see what is there now, and on PostgreSQL nothing that comes later.
    ///
    /// # Errors
    /// If the connection is lost.
    pub fn look(&mut self) -> Result<(), ReadError> {
        match &mut self.source {
            Source::Sqlite(_) => Ok(()),
            Source::Postgres(reader) => reader.begin(),
        }
    }

    /// Goes by these tombstones from now on.
    pub fn set_erased(&mut self, erased: Arc<Tombstones>) {
        self.erased = erased;
    }

    /// Lets go of what [`Self::look`] holds.
    ///
    /// # Errors
    /// If the connection is lost.
    pub fn rest(&mut self) -> Result<(), ReadError> {
        match &mut self.source {
            Source::Sqlite(_) => Ok(()),
            Source::Postgres(reader) => reader.end(),
        }
    }

    /// The few rows of a statement that both kinds of database understand. Columns have to be text, or numbers.
    pub(crate) fn texts(&mut self, sql: &str) -> Result<Vec<Texts>, ReadError> {
        match &mut self.source {
            Source::Sqlite(reader) => reader.texts(sql),
            Source::Postgres(reader) => reader.texts(sql),
        }
    }

    /// `column`, a time, as microseconds since 1970 in SQL; where SQLite holds text, as that text.
    pub(crate) fn time_column(&self, column: &str) -> String {
        match &self.source {
            Source::Sqlite(_) => column.to_owned(),
            Source::Postgres(_) => {
                format!("CAST(extract(epoch FROM {column}) * 1000000 AS bigint)")
            }
        }
    }

    /// A time in SQL to compare a column with.
    pub(crate) fn time_literal(&self, micros: i64) -> String {
        let text = crate::trail::time::stored_text(micros);
        match &self.source {
            // Compared as text, as SQLite compares them for QWED.
            Source::Sqlite(_) => format!("'{text}'"),
            // Without time zone, PostgreSQL ignores the offset: the column is in UTC then.
            Source::Postgres(_) => format!("'{text}+00'"),
        }
    }
}

/// What [`Reader::time_column`] answers, in microseconds.
pub(crate) fn micros(text: &str) -> Option<i64> {
    match text.parse() {
        Ok(micros) => Some(micros),
        Err(_) => crate::trail::time::Time::Text(text.as_bytes()).micros(),
    }
}

impl postgres::Reader {
    fn begin(&mut self) -> Result<(), ReadError> {
        self.session.execute(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL row_security = off; \
             SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30s'",
        )
    }

    fn end(&mut self) -> Result<(), ReadError> {
        self.session.execute("ROLLBACK")
    }

    fn texts(&mut self, sql: &str) -> Result<Vec<Texts>, ReadError> {
        let rows = self.session.fetch(sql)?;
        let text = |row: &sqlx::postgres::PgRow, index| {
            let value = row.try_get_raw(index)?;
            if sqlx::ValueRef::is_null(&value) {
                return Ok(None);
            }
            let text = value.as_str().map_err(sqlx::Error::Decode)?;
            Ok(Some(text.to_owned()))
        };
        let rows = rows
            .iter()
            .map(|row| (0..row.len()).map(|index| text(row, index)).collect());
        rows.collect::<Result<_, sqlx::Error>>()
            .map_err(|error| self.session.fail(&error))
    }
}

impl sqlite::Reader {
    fn texts(&mut self, sql: &str) -> Result<Vec<Texts>, ReadError> {
        use rusqlite::types::ValueRef;
        let text = |value: ValueRef<'_>| match value {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(number.to_string()),
            ValueRef::Real(number) => Some(number.to_string()),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                Some(String::from_utf8_lossy(bytes).into_owned())
            }
        };
        let read = || {
            let mut statement = self.connection.prepare(sql)?;
            let columns = statement.column_count();
            let mut rows = statement.query(())?;
            let mut texts = Vec::new();
            while let Some(row) = rows.next()? {
                let row = (0..columns).map(|index| row.get_ref(index).map(text));
                texts.push(row.collect::<Result<_, _>>()?);
            }
            Ok(texts)
        };
        read().map_err(|error| self.explain(&error))
    }
}
