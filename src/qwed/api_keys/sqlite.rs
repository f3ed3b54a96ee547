//! Keys in a SQLite file: pages that are closed at once, and writes that a running QWED does not notice.
//!
//! In rollback-journal mode a writer that waits for readers to leave keeps new readers out, and QWED gives up after five
//! seconds. So we wait long only before we hold anything; once the rows are written, the commit has to succeed soon or is
//! undone and tried again.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, types::ValueRef,
};

use super::{ApiKey, Columns, Due, FlagError, Moment, no_key, preview};
use crate::{
    qwed::{
        ReadError,
        sqlite::{connect, expect_file, explain},
    },
    trail::time::Time,
};

/// As QWED's own pages.
const PAGE_ROWS: usize = 500;
/// How long to wait, holding no lock, for another writer.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to keep readers out while waiting for those inside to leave.
const COMMIT_TIMEOUT: Duration = Duration::from_millis(200);
const COMMIT_ATTEMPTS: u32 = 5;
const MAX_PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Reader {
    connection: Connection,
    path: PathBuf,
    pub(super) columns: Columns,
    organizations: Vec<i64>,
    sql: String,
    after: Option<i64>,
    is_done: bool,
}

impl Reader {
    pub(super) fn open(path: &Path, organizations: &[i64]) -> Result<Self, ReadError> {
        expect_file(path)?;
        let connection = connect(path)?;
        let found: Vec<(String, bool)> = read_table(&connection).map_err(|e| explain(path, &e))?;
        let names: Vec<String> = found.iter().map(|(name, _)| name.clone()).collect();
        let location = format!("sqlite:///{}", path.display());
        let columns = Columns::new(&location, &names)?;
        // An id that is not the row's own could stand twice or be text, and paging would pass it by.
        if !found.iter().any(|(name, is_key)| name == "id" && *is_key) {
            return Err(no_key(&location));
        }
        let or_null = |column: &'static str| columns.or(column, column, "NULL");
        let sql = format!(
            "SELECT id, organization_id, {}, {}, is_active, {}, {}, {}, {}, {} FROM apikey \
             WHERE id >= ?1 ORDER BY id LIMIT {PAGE_ROWS}",
            or_null("user_id"),
            columns.or("key_preview", "substr(key_preview, 1, 64)", "NULL"),
            or_null("created_at"),
            or_null("last_used_at"),
            or_null("revoked_at"),
            or_null("expires_at"),
            or_null("rotation_required"),
        );
        Ok(Self {
            connection,
            path: path.to_owned(),
            columns,
            organizations: organizations.to_vec(),
            sql,
            after: None,
            is_done: false,
        })
    }

    pub(super) fn integers(&mut self, sql: &str) -> Result<Vec<i64>, ReadError> {
        let read = || {
            self.connection
                .prepare(sql)?
                .query_map((), |row| row.get(0))?
                .collect::<Result<_, _>>()
        };
        read().map_err(|error| explain(&self.path, &error))
    }

    /// Other organisations' keys are left out here and not by SQLite: a page that has to be filled from far apart would hold
    /// its lock for long.
    pub(super) fn next_page(&mut self) -> Result<Option<Vec<ApiKey>>, ReadError> {
        let low = match self.after {
            _ if self.is_done => return Ok(None),
            None => i64::MIN,
            Some(i64::MAX) => return Ok(None),
            Some(after) => after + 1,
        };
        let read = || -> rusqlite::Result<(usize, Vec<ApiKey>, Option<i64>)> {
            let mut statement = self.connection.prepare_cached(&self.sql)?;
            let mut rows = statement.query([low])?;
            let (mut count, mut keys, mut last) = (0, Vec::new(), None);
            while let Some(row) = rows.next()? {
                let key = api_key(row)?;
                count += 1;
                last = Some(key.id);
                let organization = key.organization_id;
                let is_wanted = self.organizations.is_empty()
                    || organization.is_some_and(|id| self.organizations.contains(&id));
                if is_wanted {
                    keys.push(key);
                }
            }
            Ok((count, keys, last))
        };
        let (count, keys, last) = read().map_err(|error| explain(&self.path, &error))?;
        self.is_done = count < PAGE_ROWS;
        self.after = last;
        Ok((count > 0).then_some(keys))
    }
}

/// The table's columns in lower case, and whether each is its rowid under another name.
fn read_table(connection: &Connection) -> rusqlite::Result<Vec<(String, bool)>> {
    let mut statement = connection.prepare(
        "SELECT lower(name), upper(type) = 'INTEGER' AND pk = 1 \
           AND (SELECT max(pk) FROM pragma_table_xinfo('apikey')) = 1 \
           AND NOT (SELECT wr FROM pragma_table_list('apikey')) \
         FROM pragma_table_xinfo('apikey')",
    )?;
    statement
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

fn api_key(row: &rusqlite::Row<'_>) -> rusqlite::Result<ApiKey> {
    let integer = |index: usize| -> rusqlite::Result<Option<i64>> {
        Ok(match row.get_ref(index)? {
            ValueRef::Integer(number) => Some(number),
            _ => None,
        })
    };
    let flag = |index: usize| row.get_ref(index).map(flag);
    let moment = |index: usize| row.get_ref(index).map(moment);
    Ok(ApiKey {
        id: row.get(0)?,
        organization_id: integer(1)?,
        user_id: integer(2)?,
        preview: row.get_ref(3)?.as_str().map(preview).unwrap_or_default(),
        is_active: flag(4)? == Some(true),
        created_at: moment(5)?,
        last_used_at: moment(6)?,
        revoked_at: moment(7)?,
        expires_at: moment(8)?,
        rotation_required: flag(9)?,
    })
}

/// As SQL's `<> 0` takes it, so that the reader and the flagger's condition agree whatever the column holds.
fn flag(value: ValueRef<'_>) -> Option<bool> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number != 0),
        ValueRef::Real(number) => Some(number != 0.0),
        ValueRef::Text(_) | ValueRef::Blob(_) => Some(true),
    }
}

fn moment(value: ValueRef<'_>) -> Moment {
    match value {
        ValueRef::Null => Moment::Missing,
        ValueRef::Text(text) => Time::Text(text)
            .micros()
            .map_or(Moment::Unreadable, Moment::Micros),
        _ => Moment::Unreadable,
    }
}

#[derive(Debug)]
pub(super) struct Flagger {
    connection: Connection,
    path: PathBuf,
    select: String,
}

impl Flagger {
    pub(super) fn open(path: &Path, reader: &Reader) -> Result<Self, FlagError> {
        let canonical = |path: &Path| {
            path.canonicalize()
                .map_err(|error| FlagError(format!("cannot open {}: {error}", path.display())))
        };
        if canonical(path)? != canonical(&reader.path)? {
            return Err(FlagError(format!(
                "{} is another file than the one that is read",
                path.display()
            )));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = Connection::open_with_flags(path, flags)?;
            let is_readonly = connection.is_readonly("main")?;
            Ok((connection, is_readonly))
        };
        let (connection, is_readonly) = open().map_err(|error| refusal(path, &error))?;
        if is_readonly {
            return Err(FlagError(format!(
                "{} may not be written by this user",
                path.display()
            )));
        }
        let select = format!(
            "SELECT {} FROM apikey WHERE id = ?1 AND is_active <> 0 AND {} AND coalesce(rotation_required, 0) = 0",
            reader.columns.or("created_at", "created_at", "NULL"),
            reader
                .columns
                .or("revoked_at", "revoked_at IS NULL", "true"),
        );
        Ok(Self {
            connection,
            path: path.to_owned(),
            select,
        })
    }

    pub(super) fn flag(&mut self, due: &[Due]) -> Result<Vec<i64>, FlagError> {
        for _ in 0..COMMIT_ATTEMPTS {
            let started = Instant::now();
            match self.try_flag(due) {
                Ok(Some(flagged)) => {
                    give_way(started.elapsed());
                    return Ok(flagged);
                }
                Ok(None) => {}
                Err(error) => return Err(refusal(&self.path, &error)),
            }
        }
        Err(FlagError(format!(
            "{} is being read without a pause, so that nothing could be written; the next run tries again",
            self.path.display()
        )))
    }

    /// `None` where readers did not leave in time; then nothing was written.
    fn try_flag(&mut self, due: &[Due]) -> rusqlite::Result<Option<Vec<i64>>> {
        self.connection.busy_timeout(BEGIN_TIMEOUT)?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut flagged = Vec::with_capacity(due.len());
        {
            let mut select = transaction.prepare_cached(&self.select)?;
            let mut update = transaction
                .prepare_cached("UPDATE apikey SET rotation_required = 1 WHERE id = ?1")?;
            for key in due {
                let found = select
                    .query_row([key.id], |row| row.get_ref(0).map(moment))
                    .optional()?;
                if found == Some(Moment::Micros(key.created_micros)) {
                    update.execute([key.id])?;
                    flagged.push(key.id);
                }
            }
        }
        transaction.busy_timeout(COMMIT_TIMEOUT)?;
        // A commit that fails is undone when the transaction is dropped, which lets waiting readers in.
        match transaction.commit() {
            Ok(()) => Ok(Some(flagged)),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// SQLite's lock is not a queue: who finds it taken looks again after up to 100 ms. Without a pause between our transactions, QWED
/// could find it taken each time until it gives up; so the file is left alone for twice as long as it was held.
#[expect(
    clippy::disallowed_methods,
    reason = "at most 200 ms, and for others: there is nothing of ours to wait on"
)]
fn give_way(held: Duration) {
    std::thread::sleep((held * 2).min(MAX_PAUSE));
}

fn refusal(path: &Path, error: &rusqlite::Error) -> FlagError {
    let path = path.display();
    FlagError(match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => format!(
            "another program kept {path} locked for {} s; the next run tries again",
            BEGIN_TIMEOUT.as_secs()
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            format!("{path} and its directory may not be written by this user ({error})")
        }
        _ => format!("cannot write {path}: {error}"),
    })
}
