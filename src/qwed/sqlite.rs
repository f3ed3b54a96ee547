//! QWED on SQLite: bounded pages, each a read transaction of a few milliseconds.
//!
//! QWED leaves SQLite in rollback-journal mode, where a reader with an open cursor keeps a writer from
//! committing and QWED gives up after five seconds. So a page ends after `PAGE_ROWS` rows or
//! `PAGE_BYTES`, whichever comes first, and nothing is held between pages. rusqlite steps through rows several
//! times faster than sqlx and lends out the text where SQLite has it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Statement, types::ValueRef};

use super::{
    HashSet, IdRange, Occurrence, Period, PeriodRange, ReadError, among, owned::OwnedRow, schema,
};
use crate::trail::{
    row::{Row, Value},
    time::{self, Time},
};

const PAGE_ROWS: i64 = 500;
const PAGE_BYTES: usize = 2 << 20;
/// A larger row is copied and handed on after its page is closed, as checking it takes long.
const GIANT_BYTES: usize = 1 << 20;
/// Ids per page of look-ups that scan columns.
const SCAN_IDS: u64 = 20_000;
/// Each page of a scan is read once: a cache that fits the processor's own is faster than SQLite's default of 2,000.
const CACHE_PAGES: i64 = 64;
/// How long to wait for a writer; QWED's appends take milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// A SQLite database of QWED's.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    select_list: String,
}

impl Database {
    /// Opens the file and checks its tables.
    ///
    /// # Errors
    /// If it does not exist, is no database, or not QWED's.
    pub(super) fn open(path: &Path) -> Result<Self, ReadError> {
        expect_file(path)?;
        let mut reader = Reader {
            connection: connect(path)?,
            path: path.to_owned(),
            select_list: String::new(),
        };
        let tables =
            reader.strings("SELECT lower(name) FROM sqlite_schema WHERE type = 'table'")?;
        let columns =
            reader.strings("SELECT lower(name) FROM pragma_table_xinfo('verificationlog')")?;
        let location = format!("sqlite:///{}", path.display());
        let select_list = schema::select_list(&location, &tables, &columns)?;
        // Names in SQLite have no case, and only xinfo lists generated columns. An id that is not the row's key could be
        // text, or stand twice, and the walk would pass it by.
        let keys = reader.strings(
            "SELECT 'key' FROM pragma_table_xinfo('verificationlog') \
             WHERE lower(name) = 'id' AND upper(type) = 'INTEGER' AND pk = 1 \
             AND (SELECT max(pk) FROM pragma_table_xinfo('verificationlog')) = 1 \
             AND NOT (SELECT wr FROM pragma_table_list('verificationlog'))",
        )?;
        if keys.is_empty() {
            return Err(schema::no_key(&location));
        }
        Ok(Self {
            path: path.to_owned(),
            select_list,
        })
    }

    pub(super) fn reader(&self) -> Result<Reader, ReadError> {
        Ok(Reader {
            connection: connect(&self.path)?,
            path: self.path.clone(),
            select_list: self.select_list.clone(),
        })
    }
}

/// Refuses what cannot be a database with words that tell why.
pub(super) fn expect_file(path: &Path) -> Result<(), ReadError> {
    // SQLite itself says no more than "unable to open database file".
    match path.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(ReadError::NoFile(path.to_owned()));
        }
        Err(error) => return Err(read_error(path, error.to_string())),
        Ok(metadata) if metadata.is_dir() => {
            return Err(read_error(path, "it is a directory".to_owned()));
        }
        Ok(metadata) if metadata.len() == 0 => {
            return Err(read_error(path, "the file is empty".to_owned()));
        }
        Ok(_) => {}
    }
    Ok(())
}

fn read_error(path: &Path, problem: String) -> ReadError {
    ReadError::Sqlite {
        path: path.to_owned(),
        problem,
    }
}

pub(super) fn explain(path: &Path, error: &rusqlite::Error) -> ReadError {
    let problem = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            "it is not a SQLite database, or it is encrypted; check the path".to_owned()
        }
        Some(ErrorCode::DatabaseCorrupt) => format!(
            "it is damaged or cut off ({error}); restore it from a backup, and keep this file as evidence"
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => format!(
            "another program has kept it locked for {} s; try again when that has finished",
            BUSY_TIMEOUT.as_secs()
        ),
        Some(ErrorCode::PermissionDenied | ErrorCode::CannotOpen | ErrorCode::ReadOnly) => format!(
            "{error}; trailkeeper needs to read the file and its directory, and after a crash of QWED's, QWED must \
             be started once so that it can undo the interrupted write"
        ),
        _ => error.to_string(),
    };
    read_error(path, problem)
}

pub(super) fn connect(path: &Path) -> Result<Connection, ReadError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "cache_size", CACHE_PAGES)?;
        Ok(connection)
    };
    open().map_err(|error| explain(path, &error))
}

/// Reads on one thread.
#[derive(Debug)]
pub struct Reader {
    pub(super) connection: Connection,
    path: PathBuf,
    select_list: String,
}

impl Reader {
    pub(super) fn explain(&self, error: &rusqlite::Error) -> ReadError {
        explain(&self.path, error)
    }

    fn strings(&mut self, sql: &str) -> Result<Vec<String>, ReadError> {
        let read = || {
            let mut statement = self.connection.prepare(sql)?;
            statement
                .query_map((), |row| row.get(0))?
                .collect::<Result<_, _>>()
        };
        read().map_err(|error| self.explain(&error))
    }

    pub(super) fn integers(&mut self, sql: &str) -> Result<Vec<i64>, ReadError> {
        let read = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut rows = statement.query(())?;
            let mut integers = Vec::new();
            while let Some(row) = rows.next()? {
                // What is not an integer cannot be an id of QWED's and is nobody's organisation.
                if let ValueRef::Integer(integer) = row.get_ref(0)? {
                    integers.push(integer);
                }
            }
            Ok(integers)
        };
        read().map_err(|error| self.explain(&error))
    }

    pub(super) fn select(
        &mut self,
        rest: &str,
        visit: &mut impl FnMut(&Row<'_>),
    ) -> Result<(), ReadError> {
        let sql = format!(
            "SELECT {} FROM verificationlog WHERE {rest}",
            self.select_list
        );
        let mut read = || {
            let mut statement = self.connection.prepare(&sql)?;
            page(&mut statement, &[], visit)
        };
        read().map(|_| ()).map_err(|error| self.explain(&error))
    }

    pub(super) fn read(
        &mut self,
        organization: Option<i64>,
        range: IdRange,
        visit: &mut impl FnMut(&Row<'_>),
    ) -> Result<(), ReadError> {
        let mut filter = among(
            organization,
            IdRange {
                low: i64::MIN,
                high: i64::MAX,
            },
        );
        filter += " AND id >= ?1 AND id <= ?2";
        let sql = format!(
            "SELECT {} FROM verificationlog WHERE {filter} ORDER BY id LIMIT {PAGE_ROWS}",
            self.select_list
        );
        let mut read = || {
            let mut statement = self.connection.prepare_cached(&sql)?;
            let mut low = range.low;
            while let Some(last) = page(&mut statement, &[low, range.high], visit)? {
                if last >= range.high {
                    break;
                }
                low = last + 1;
            }
            Ok(())
        };
        read().map_err(|error| self.explain(&error))
    }

    pub(super) fn period_ranges(
        &mut self,
        period: Period,
        range: IdRange,
    ) -> Result<Vec<PeriodRange>, ReadError> {
        // Compared as text, as SQLite compares them for QWED.
        let bound = |micros: Option<i64>, operator: &str| match micros {
            Some(micros) => format!(" AND timestamp {operator} '{}'", time::stored_text(micros)),
            None => String::new(),
        };
        let filter = bound(period.from, ">=") + &bound(period.to, "<=");
        let mut ranges = Vec::new();
        self.scan(range, |connection, chunk| {
            let sql = format!(
                "SELECT organization_id, min(id), max(id) FROM verificationlog WHERE {}{filter} GROUP BY 1",
                among(None, chunk)
            );
            let mut statement = connection.prepare(&sql)?;
            let mut rows = statement.query(())?;
            while let Some(row) = rows.next()? {
                if let ValueRef::Integer(organization_id) = row.get_ref(0)? {
                    let range = IdRange { low: row.get(1)?, high: row.get(2)? };
                    ranges.push(PeriodRange { organization_id, range });
                }
            }
            Ok(())
        })?;
        Ok(ranges)
    }

    pub(super) fn occurrences(
        &mut self,
        hashes: &HashSet,
        range: IdRange,
    ) -> Result<Vec<Occurrence>, ReadError> {
        let mut found = Vec::new();
        self.scan(range, |connection, chunk| {
            let sql = format!(
                "SELECT id, organization_id, entry_hash, previous_hash FROM verificationlog WHERE {}",
                among(None, chunk)
            );
            let mut statement = connection.prepare(&sql)?;
            let mut rows = statement.query(())?;
            while let Some(row) = rows.next()? {
                for (column, is_own) in [(2, true), (3, false)] {
                    if let ValueRef::Text(text) = row.get_ref(column)?
                        && hashes.contains(text)
                    {
                        found.push(Occurrence {
                            id: row.get(0)?,
                            organization_id: value(row.get_ref(1)?).integer(),
                            hash: text.to_vec(),
                            is_own,
                        });
                    }
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Calls `visit` for one bounded stretch of `range` after the other.
    fn scan(
        &mut self,
        range: IdRange,
        mut visit: impl FnMut(&Connection, IdRange) -> rusqlite::Result<()>,
    ) -> Result<(), ReadError> {
        let mut low = range.low;
        loop {
            // Ids may be sparse: the next stretch starts where the next row is.
            let sql = format!(
                "SELECT id FROM verificationlog WHERE {} ORDER BY id LIMIT 1",
                among(None, IdRange { low, ..range })
            );
            let Some(&first) = self.integers(&sql)?.first() else {
                return Ok(());
            };
            let high = first.saturating_add_unsigned(SCAN_IDS - 1).min(range.high);
            visit(&self.connection, IdRange { low: first, high })
                .map_err(|error| self.explain(&error))?;
            if high == range.high {
                return Ok(());
            }
            low = high + 1;
        }
    }
}

/// Hands one page of rows to `visit`; answers the last id, or `None` where there was no row.
#[inline]
fn page(
    statement: &mut Statement<'_>,
    parameters: &[i64],
    visit: &mut impl FnMut(&Row<'_>),
) -> rusqlite::Result<Option<i64>> {
    let mut rows = statement.query(rusqlite::params_from_iter(parameters))?;
    let mut last = None;
    let mut bytes = 0;
    let mut giant = None;
    while let Some(row) = rows.next()? {
        let column = |index: usize| row.get_ref(index).map(value);
        let id: i64 = row.get(0)?;
        let row = Row {
            id,
            organization_id: column(1)?,
            user_id: column(2)?,
            query: column(3)?,
            result: column(4)?,
            is_verified: column(5)?,
            domain: column(6)?,
            timestamp: match column(7)? {
                Value::Text(text) => Time::Text(text),
                _ => Time::Invalid,
            },
            entry_hash: column(8)?,
            hmac_signature: column(9)?,
            previous_hash: column(10)?,
            raw_llm_output: column(11)?,
            api_key_id: column(12)?,
            verifier_version: column(13)?,
            admission: column(14)?,
            erased: None,
        };
        let length = |value: Value<'_>| value.text().map_or(0, <[u8]>::len);
        let row_bytes = length(row.query) + length(row.result) + length(row.raw_llm_output);
        last = Some(id);
        if row_bytes > GIANT_BYTES {
            giant = Some(OwnedRow::from(&row));
            break;
        }
        visit(&row);
        bytes += row_bytes;
        if bytes > PAGE_BYTES {
            break;
        }
    }
    drop(rows);
    if let Some(giant) = giant {
        visit(&giant.row());
    }
    Ok(last)
}

#[inline]
fn value(value: ValueRef<'_>) -> Value<'_> {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(text),
        ValueRef::Blob(bytes) => Value::Blob(bytes),
    }
}
