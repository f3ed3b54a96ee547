//! Erasing in a SQLite file. In rollback-journal mode a writer that waits for readers keeps new ones out, and QWED gives up after
//! five seconds: we wait long only before we hold anything, and a commit that does not succeed soon is undone and tried again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, types::ValueRef};

use super::{Column, EraseError, MAX_HOLD};
use crate::qwed::sqlite::{expect_file, explain};

/// How long to wait, holding no lock, for another writer.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(30);
const COMMIT_ATTEMPTS: u32 = 200;
const MAX_PAUSE: Duration = Duration::from_millis(200);
/// SQLite's busy handler looks again after 1, 2, 5, 10, 15, 20, 25, 25 and 25 ms, then after 50 and 100.
const LOOK: Duration = Duration::from_millis(25);

#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    path: PathBuf,
}

impl Writer {
    pub(super) fn open(path: &Path) -> Result<Self, EraseError> {
        expect_file(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = Connection::open_with_flags(path, flags)?;
            // What is erased is overwritten in the file, too.
            connection.pragma_update(None, "secure_delete", true)?;
            let is_readonly = connection.is_readonly("main")?;
            Ok((connection, is_readonly))
        };
        let (connection, is_readonly) = open().map_err(|error| refusal(path, &error))?;
        if is_readonly {
            return Err(EraseError::Write {
                location: path.display().to_string(),
                problem: "this user may not write the file".to_owned(),
                is_transient: false,
                is_referred_to: false,
            });
        }
        Ok(Self {
            connection,
            path: path.to_owned(),
        })
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, EraseError> {
        let read = || {
            self.connection.busy_timeout(BEGIN_TIMEOUT)?;
            read(&self.connection)
        };
        read().map_err(|error| explain(&self.path, &error).into())
    }

    pub(super) fn columns(&mut self, table: &str) -> Result<Vec<Column>, EraseError> {
        self.read(|connection| {
            let mut statement = connection
                .prepare("SELECT lower(name), \"notnull\" FROM pragma_table_xinfo(?1)")?;
            let columns = statement.query_map([table], |row| {
                Ok(Column {
                    name: row.get(0)?,
                    is_nullable: !row.get::<_, bool>(1)?,
                })
            })?;
            columns.collect()
        })
    }

    pub(super) fn integers(&mut self, sql: &str) -> Result<Vec<i64>, EraseError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query(())?;
            let mut integers = Vec::new();
            while let Some(row) = rows.next()? {
                if let ValueRef::Integer(integer) = row.get_ref(0)? {
                    integers.push(integer);
                }
            }
            Ok(integers)
        })
    }

    pub(super) fn write(&mut self, statements: &[String]) -> Result<u64, EraseError> {
        for _ in 0..COMMIT_ATTEMPTS {
            match self.try_write(statements) {
                Ok(Some(changed)) => return Ok(changed),
                Ok(None) => pause(MAX_HOLD),
                Err(error) => return Err(refusal(&self.path, &error)),
            }
        }
        Err(EraseError::Write {
            location: self.path.display().to_string(),
            problem:
                "it is being read without a pause, so that nothing could be written; try again"
                    .to_owned(),
            is_transient: true,
            is_referred_to: false,
        })
    }

    /// `None` where readers did not leave in time; then nothing was written.
    fn try_write(&mut self, statements: &[String]) -> rusqlite::Result<Option<u64>> {
        self.connection.busy_timeout(BEGIN_TIMEOUT)?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut changed = 0;
        for statement in statements {
            changed += transaction.execute(statement, ())? as u64;
        }
        transaction.busy_timeout(MAX_HOLD / 2)?;
        // A commit that fails is undone when the transaction is dropped, which lets waiting readers in.
        match transaction.commit() {
            Ok(()) => Ok(Some(changed)),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Leaves the file alone for as long as whoever waits for it sleeps between looks, the first tenth of a second.
    pub(super) fn let_in(&mut self) {
        pause(LOOK);
    }

    /// SQLite's lock is not a queue: who finds it taken looks again after up to 100 ms. Without a pause between our
    /// transactions, QWED could find it taken each time until it gives up.
    pub(super) fn give_way(&mut self, held: Duration) {
        pause((held * 2).min(MAX_PAUSE));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "at most 200 ms, and for others: there is nothing of ours to wait on"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn refusal(path: &Path, error: &rusqlite::Error) -> EraseError {
    let (problem, is_transient) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            format!(
                "another program kept it locked for {} s",
                BEGIN_TIMEOUT.as_secs()
            ),
            true,
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => (
            format!("this user may not write the file and its directory ({error})"),
            false,
        ),
        _ => (error.to_string(), false),
    };
    EraseError::Write {
        location: path.display().to_string(),
        problem,
        is_transient,
        is_referred_to: false,
    }
}
