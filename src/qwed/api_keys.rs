//! QWED's `apikey` table: read in bounded pages, and one flag set.
//!
//! Setting `rotation_required` is the only write to QWED's tables that floor 1 knows beside erasure's. It goes through a
//! [`Flagger`], which may use a database role of its own, and only ever from false to true. The columns `key_hash` and
//! `name` are never read, so a role that may not see them is enough.

mod postgres;
mod sqlite;

use jiff::Timestamp;
use thiserror::Error;

use super::{Dialect, ReadError, url::DatabaseUrl};

/// Columns without which a table is not QWED's.
const ALWAYS: [&str; 3] = ["id", "organization_id", "is_active"];

/// Columns that some release lacks, or that somebody may have dropped: absent, they read as NULL.
const OPTIONAL: [&str; 7] = [
    "user_id",
    "key_preview",
    "created_at",
    "last_used_at",
    "revoked_at",
    "expires_at",
    "rotation_required",
];

/// Characters of `key_preview` that are kept. QWED's own previews have 18; a whole key, had somebody stored one there, has
/// at least 36 and must not reach a report.
const PREVIEW_CHARS: usize = 20;

/// A time column of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// NULL, or no such column.
    Missing,
    /// Something that denotes no time.
    Unreadable,
    /// Microseconds since 1970 UTC; PostgreSQL's infinities are the ends of the range.
    Micros(i64),
}

impl Moment {
    /// The time in microseconds, however far away.
    #[must_use]
    pub fn micros(self) -> Option<i64> {
        match self {
            Self::Micros(micros) => Some(micros),
            Self::Missing | Self::Unreadable => None,
        }
    }

    /// The time, if it lies within the calendar.
    #[must_use]
    pub fn timestamp(self) -> Option<Timestamp> {
        Timestamp::from_microsecond(self.micros()?).ok()
    }
}

/// A key as its row tells it; never with its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are QWED's columns")]
pub struct ApiKey {
    pub id: i64,
    pub organization_id: Option<i64>,
    pub user_id: Option<i64>,
    /// At most twenty characters of `key_preview`, without control characters.
    pub preview: String,
    pub is_active: bool,
    pub created_at: Moment,
    pub last_used_at: Moment,
    pub revoked_at: Moment,
    pub expires_at: Moment,
    /// `None` where the column is NULL or missing.
    pub rotation_required: Option<bool>,
}

/// A key to flag, as it was when it was found overdue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The key.
    pub id: i64,
    /// Its `created_at`: a row that has another one by now is another key.
    pub created_micros: i64,
}

/// Why a flag could not be set, in words for the report. Findings stand without it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct FlagError(String);

/// Which columns the table has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Columns {
    missing: Vec<&'static str>,
}

impl Columns {
    /// # Errors
    /// If the table is not there or not QWED's.
    fn new(location: &str, found: &[String]) -> Result<Self, ReadError> {
        let not_qwed = |problem: String| ReadError::NotQwed {
            location: location.to_owned(),
            problem,
        };
        let lacks = |name: &&str| !found.iter().any(|column| column == name);
        if found.is_empty() {
            return Err(not_qwed(
                "it has no table \"apikey\" (check that the URL is QWED's own DATABASE_URL)"
                    .to_owned(),
            ));
        }
        let missing: Vec<&str> = ALWAYS.into_iter().filter(lacks).collect();
        if !missing.is_empty() {
            return Err(not_qwed(format!(
                "its table \"apikey\" lacks {} (another program's table?)",
                missing.join(", ")
            )));
        }
        Ok(Self {
            missing: OPTIONAL.into_iter().filter(lacks).collect(),
        })
    }

    fn has(&self, column: &str) -> bool {
        !self.missing.contains(&column)
    }

    /// What to select for a column: `null` where it is missing.
    fn or<'a>(&self, column: &str, expression: &'a str, null: &'a str) -> &'a str {
        if self.has(column) { expression } else { null }
    }
}

fn no_key(location: &str) -> ReadError {
    let problem = "the column \"id\" of its table \"apikey\" is not the table's integer primary key, as in every release of \
                   QWED: somebody rebuilt the table"
        .to_owned();
    ReadError::NotQwed {
        location: location.to_owned(),
        problem,
    }
}

/// A preview that is fit for a report.
fn preview(text: &str) -> String {
    let mut characters = text.chars().filter(|c| !c.is_control());
    let mut preview: String = characters.by_ref().take(PREVIEW_CHARS).collect();
    if characters.next().is_some() {
        preview.push('…');
    }
    preview
}

/// Reads keys in order of id, a page at a time. Blocking: on PostgreSQL it drives a runtime of its own.
#[derive(Debug)]
pub struct KeyReader(Either<sqlite::Reader, Box<postgres::Reader>>);

/// Sets `rotation_required`. Blocking, as [`KeyReader`].
#[derive(Debug)]
pub struct Flagger(Either<sqlite::Flagger, Box<postgres::Flagger>>);

#[derive(Debug)]
enum Either<S, P> {
    Sqlite(S),
    Postgres(P),
}

/// Calls the same method of whichever it is.
macro_rules! either {
    ($either:expr, $inner:ident => $call:expr) => {
        match $either {
            Either::Sqlite($inner) => $call,
            Either::Postgres($inner) => $call,
        }
    };
}

impl KeyReader {
    /// Opens the table for the keys of `organizations`, or of all where that is empty.
    ///
    /// # Errors
    /// If the database cannot be read or has no table of QWED's keys.
    pub fn open(url: &DatabaseUrl, organizations: &[i64]) -> Result<Self, ReadError> {
        match url {
            DatabaseUrl::Sqlite(path) => {
                sqlite::Reader::open(path, organizations).map(|reader| Self(Either::Sqlite(reader)))
            }
            DatabaseUrl::Postgres(url) => postgres::Reader::open(url, organizations)
                .map(|reader| Self(Either::Postgres(Box::new(reader)))),
        }
    }

    /// Which kind of server.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self.0 {
            Either::Sqlite(_) => Dialect::Sqlite,
            Either::Postgres(_) => Dialect::Postgresql,
        }
    }

    /// Columns of QWED 8.0.0 that this table lacks and that therefore read as NULL.
    #[must_use]
    pub fn missing_columns(&self) -> &[&'static str] {
        either!(&self.0, reader => &reader.columns.missing)
    }

    /// Which of these ids are organisations.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn known_organizations(&mut self, ids: &[i64]) -> Result<Vec<i64>, ReadError> {
        let list: Vec<String> = ids.iter().map(i64::to_string).collect();
        let sql = format!(
            "SELECT id FROM organization WHERE id IN ({})",
            list.join(",")
        );
        either!(&mut self.0, reader => reader.integers(&sql))
    }

    /// The next keys, perhaps none of them wanted; `None` behind the last.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn next_page(&mut self) -> Result<Option<Vec<ApiKey>>, ReadError> {
        either!(&mut self.0, reader => reader.next_page())
    }
}

impl Flagger {
    /// Opens `url` to set flags in the table that `reader` reads.
    ///
    /// # Errors
    /// If there is no column to set, or the database cannot be reached or written, or is another one.
    pub fn open(url: &DatabaseUrl, reader: &KeyReader) -> Result<Self, FlagError> {
        let columns = either!(&reader.0, reader => &reader.columns);
        if !columns.has("rotation_required") {
            return Err(FlagError(
                "the table \"apikey\" has no column rotation_required; it comes with a newer release of QWED".to_owned(),
            ));
        }
        match (url, &reader.0) {
            (DatabaseUrl::Sqlite(path), Either::Sqlite(reader)) => {
                sqlite::Flagger::open(path, reader).map(|flagger| Self(Either::Sqlite(flagger)))
            }
            (DatabaseUrl::Postgres(url), Either::Postgres(reader)) => {
                postgres::Flagger::open(url, &reader.columns)
                    .map(|flagger| Self(Either::Postgres(Box::new(flagger))))
            }
            _ => Err(FlagError(format!(
                "{url} is another kind of database than the one that is read; give the same database, with the role that \
                 may set the flag"
            ))),
        }
    }

    /// Sets the flag of those that are still active, unflagged and the same keys, in one short transaction; answers which.
    ///
    /// # Errors
    /// If it was refused; then nothing of `due` was written, or, where the connection broke during the commit, perhaps all.
    pub fn flag(&mut self, due: &[Due]) -> Result<Vec<i64>, FlagError> {
        either!(&mut self.0, flagger => flagger.flag(due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_never_holds_a_whole_key() {
        assert_eq!(preview("qwed_live_****AAAA"), "qwed_live_****AAAA");
        assert_eq!(preview("a\u{1b}[2Jb\n"), "a[2Jb");
        let key = format!("qwed_live_{}", "k".repeat(43));
        assert_eq!(preview(&key), "qwed_live_kkkkkkkkkk…");
        let hash = "0123456789abcdef".repeat(4);
        assert_eq!(preview(&hash).chars().count(), 21);
    }

    #[test]
    fn what_lies_beyond_the_calendar_is_no_timestamp() {
        for end in [i64::MIN, i64::MAX] {
            assert_eq!(Moment::Micros(end).timestamp(), None);
            assert_eq!(Moment::Micros(end).micros(), Some(end));
        }
    }
}
