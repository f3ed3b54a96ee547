//! The writes of an erasure to QWED's tables, each short enough that QWED does not notice.
//!
//! Beside the flag on API keys ([`super::api_keys`]) these are the only ones. Statements are made of numbers and of words that
//! are ours: nothing that somebody typed is ever part of one. Several make one transaction; what the newest entry of an organisation
//! is gets looked at within it, as QWED's next append goes by that row.

mod postgres;
mod sqlite;

use std::time::Duration;

use thiserror::Error;

use super::{ReadError, url::DatabaseUrl};
use crate::trail::tombstone::{JSON_MARKER, MARKER};

/// How long QWED may have to wait for us.
pub const MAX_HOLD: Duration = Duration::from_millis(50);
/// What a transaction is made to last, so that it never lasts that long. Writing one row to a disk takes some milliseconds.
const AIM: Duration = Duration::from_millis(20);
/// Rows of the first transaction, and the most of any.
const FIRST_ROWS: usize = 20;
const MAX_ROWS: usize = 500;

/// Why nothing was written.
#[derive(Debug, Error)]
pub enum EraseError {
    /// The database cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It cannot be written.
    #[error("cannot erase in {location}: {problem}")]
    Write {
        /// The URL without its password.
        location: String,
        /// What is wrong and what to do.
        problem: String,
        /// Whether the same may succeed later.
        is_transient: bool,
        /// Whether other rows refer to what was to be deleted.
        is_referred_to: bool,
    },
}

impl EraseError {
    #[cfg(feature = "probe")]
    fn on_demand() -> Self {
        Self::Write {
            location: "QWED's database".to_owned(),
            problem: "broken on demand".to_owned(),
            is_transient: true,
            is_referred_to: false,
        }
    }

    /// Whether the database did not answer at all, or only for the moment not: anything else it refused.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Read(_) => true,
            Self::Write {
                is_transient,
                is_referred_to,
                ..
            } => *is_transient && !is_referred_to,
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Read(error) => !matches!(error, ReadError::NotQwed { .. }),
            Self::Write { is_transient, .. } => *is_transient,
        }
    }
}

/// A column, as far as erasing depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, in lower case.
    pub name: String,
    /// Whether it takes NULL.
    pub is_nullable: bool,
}

/// Writes to QWED's tables.
#[derive(Debug)]
pub struct Eraser {
    inner: Inner,
    pace: Pace,
}

#[derive(Debug)]
enum Inner {
    Sqlite(sqlite::Writer),
    Postgres(Box<postgres::Writer>),
}

macro_rules! either {
    ($eraser:expr, $inner:ident => $call:expr) => {
        match &mut $eraser.inner {
            Inner::Sqlite($inner) => $call,
            Inner::Postgres($inner) => $call,
        }
    };
}

impl Eraser {
    /// Opens the database for writing. Blocking, as all methods: on PostgreSQL it drives a runtime of its own.
    ///
    /// # Errors
    /// If it cannot be reached, or not written.
    pub fn open(url: &DatabaseUrl) -> Result<Self, EraseError> {
        let inner = match url {
            DatabaseUrl::Sqlite(path) => Inner::Sqlite(sqlite::Writer::open(path)?),
            DatabaseUrl::Postgres(url) => Inner::Postgres(Box::new(postgres::Writer::open(url)?)),
        };
        Ok(Self {
            inner,
            pace: Pace::default(),
        })
    }

    /// The columns of a table; none if there is no such table.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn columns(&mut self, table: &str) -> Result<Vec<Column>, EraseError> {
        either!(self, writer => writer.columns(table))
    }

    /// Whether the role may change rows of a table, or some columns of them. Whoever may write a file may change all of it.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn may_change(&mut self, table: &str) -> Result<bool, EraseError> {
        match &mut self.inner {
            Inner::Sqlite(_) => Ok(true),
            Inner::Postgres(writer) => writer.may_change(table),
        }
    }

    /// The numbers that a statement answers.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn integers(&mut self, sql: &str) -> Result<Vec<i64>, EraseError> {
        either!(self, writer => writer.integers(sql))
    }

    /// Runs statements in one transaction, and answers how many rows they changed.
    ///
    /// # Errors
    /// If the database refuses, or is kept busy by others; then nothing was written, unless only the answer was lost.
    pub fn write(&mut self, statements: &[String]) -> Result<u64, EraseError> {
        #[cfg(feature = "probe")]
        let broken = crate::fault::strike("erased rows");
        #[cfg(feature = "probe")]
        if broken == Some(crate::fault::Way::Failed) {
            return Err(EraseError::on_demand());
        }
        let started = std::time::Instant::now();
        let changed = either!(self, writer => writer.write(statements));
        let held = started.elapsed();
        self.pace.adapt(held);
        either!(self, writer => writer.give_way(held));
        #[cfg(feature = "probe")]
        if broken == Some(crate::fault::Way::FailedButPersisted) {
            return Err(EraseError::on_demand());
        }
        changed
    }

    /// Runs the statement that `sql` makes of a condition on `id` for these rows, some at a time. `sql` gets the condition's
    /// text: `id IN (…)`.
    ///
    /// # Errors
    /// As [`Self::write`]; rows of earlier transactions stay changed.
    pub fn write_rows(
        &mut self,
        ids: &[i64],
        sql: impl Fn(&str) -> String,
    ) -> Result<u64, EraseError> {
        let (mut rest, mut changed) = (ids, 0);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.pace.rows.min(rest.len()));
            changed += self.write(&[sql(&among(now))])?;
            rest = later;
            if !rest.is_empty() {
                either!(self, writer => writer.let_in());
            }
        }
        Ok(changed)
    }

    /// How long the longest transaction took.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.pace.longest
    }
}

/// How many rows one transaction may have: what the machine writes in a few milliseconds.
#[derive(Debug)]
struct Pace {
    rows: usize,
    longest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            rows: FIRST_ROWS,
            longest: Duration::ZERO,
        }
    }
}

impl Pace {
    fn adapt(&mut self, held: Duration) {
        self.longest = self.longest.max(held);
        self.rows = if held > AIM {
            // One row alone takes what the disk takes; fewer of them would not be faster.
            let least = if held < MAX_HOLD { FIRST_ROWS } else { 1 };
            (self.rows / 2).max(least).min(self.rows.max(least))
        } else if held < AIM * 2 / 3 {
            (self.rows * 2).min(MAX_ROWS)
        } else {
            self.rows
        };
    }
}

/// The condition that a row has one of these ids.
#[must_use]
pub fn among(ids: &[i64]) -> String {
    let list: Vec<String> = ids.iter().map(i64::to_string).collect();
    format!("id IN ({})", list.join(","))
}

/// What an erased column of text is set to: the marker, where there was anything.
#[must_use]
pub fn marked(column: &str) -> String {
    marked_by(column, MARKER)
}

/// The same of a column of JSON.
#[must_use]
pub fn marked_json(column: &str) -> String {
    marked_by(column, JSON_MARKER)
}

/// Both ways are of the column's type: on PostgreSQL a text is none for a column of JSON.
fn marked_by(column: &str, marker: &str) -> String {
    format!("{column} = CASE WHEN {column} IS NULL THEN {column} ELSE '{marker}' END")
}

/// The condition that an entry of the trail is not the newest of its organisation.
pub const NOT_NEWEST: &str = "EXISTS (SELECT 1 FROM verificationlog AS newer WHERE \
     newer.organization_id = verificationlog.organization_id AND newer.id > verificationlog.id)";
