//! Floor 1: our own database, in which jobs, messages, schedules and verdicts live.
//!
//! One [`Store`] serves SQLite (one machine) and PostgreSQL (a fleet) with the same SQL text: tables keep to
//! BIGINT (microseconds since 1970 UTC; 0 and 1 for no and yes), TEXT and bytes, which `sqlx::Any` carries unchanged. The few words that
//! differ are spelled `{now}`, `{skip_locked}` and `{for_update}` and filled in by `Store::sql`. Times are the
//! *database's*, so that workers whose clocks disagree still agree on leases.
//!
//! Every write is one transaction that ends in [`Tx::commit`], which names the write: tests break each of them in both
//! ways, failed and failed-but-persisted (`fault`).

pub mod alerts;
pub mod anchors;
mod api_keys;
pub mod archive;
pub mod consents;
pub mod coverage;
pub mod data_keys;
pub mod erasures;
pub mod held;
pub mod holds;
pub mod inbox;
pub mod jobs;
pub mod ledger;
mod migrate;
pub mod notices;
pub mod numbers;
pub mod outbox;
pub mod removals;
pub mod renewals;
pub mod reports;
pub mod schedules;
pub mod sessions;
pub mod verdicts;
mod wake;

use std::future::Future;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounterVec;
use sqlx::any::{Any, AnyArguments, AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::query::Query;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Connection, Executor, Row, Transaction};
use thiserror::Error;
use tokio::sync::watch;

use crate::{
    config::Secret,
    private,
    trace::{self, TraceParent},
};

#[cfg(feature = "probe")]
pub use crate::fault;
pub use migrate::Found;

/// The schema that holds our tables on PostgreSQL.
pub const SCHEMA: &str = "trailkeeper";

/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for any answer: longer than a writer waits for SQLite's lock, and than the server lets a statement run.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(65);

/// Why our own database did not do what it was asked.
#[derive(Debug, Error)]
pub enum StateError {
    /// It could not be reached, or refused.
    #[error("the state database {location} failed: {source}")]
    Database {
        /// The URL without its password.
        location: Arc<str>,
        /// Why.
        source: sqlx::Error,
    },
    /// The URL is of no kind that we know.
    #[error("state.url {0:?} is neither sqlite:// nor postgresql://")]
    Url(String),
    /// The file's directory cannot be made.
    #[error("cannot make the directory {} for the state database: {source}; set data_dir to one that the worker may write", .path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A newer program has been here.
    #[error(
        "the state database {location} is newer than this program: it has migration {found}, which trailkeeper {} does \
         not know; run the newer program, or restore the database from before its upgrade",
        env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// The URL without its password.
        location: Arc<str>,
        /// The migration's number.
        found: i64,
    },
    /// An older program made the tables, and workers of its release may be using them.
    #[error(
        "the state database {location} is of an older release: it has {applied} of {known} migrations; upgrade and restart \
         its workers, or run `trailkeeper migrate`, and then this command again"
    )]
    Older {
        /// The URL without its password.
        location: Arc<str>,
        /// Migrations that it has.
        applied: usize,
        /// Migrations that this program knows.
        known: usize,
    },
    /// The migrations could not be run.
    #[error("cannot bring the tables of the state database {location} up to date: {problem}")]
    Migration {
        /// The URL without its password.
        location: Arc<str>,
        /// Why.
        problem: String,
    },
    /// What the database holds is not what we wrote.
    #[error("the state database holds {0}")]
    Corrupt(String),
    /// An order that cannot be followed.
    #[error("{0}")]
    Refused(String),
}

impl StateError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database { source, .. } => !is_permanent(source),
            _ => false,
        }
    }
}

/// Whether no waiting mends it: a URL that is wrong, a role or a database that is not there, a right that is missing.
fn is_permanent(error: &sqlx::Error) -> bool {
    let code = match error {
        sqlx::Error::Configuration(_) => return true,
        sqlx::Error::Database(error) => error.code(),
        _ => None,
    };
    code.is_some_and(|code| code.starts_with("28") || code == "3D000" || code == "42501")
}

/// Which words the database understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// A file; one writer at a time.
    Sqlite,
    /// A server.
    Postgres,
}

/// Our database.
#[derive(Debug, Clone)]
pub struct Store {
    /// One connection on SQLite, so that writers queue here and not on the file's lock.
    writers: AnyPool,
    readers: AnyPool,
    dialect: Dialect,
    url: Secret,
    location: Arc<str>,
    publishes_events: bool,
    /// Counts jobs that are queued, by kind.
    enqueued: Option<IntCounterVec>,
    /// Counts up whenever there may be something to do.
    wake: watch::Sender<u64>,
}

/// A transaction that has to be told which write it was.
pub struct Tx {
    inner: Transaction<'static, Any>,
    store: Store,
    wakes: bool,
    /// Kinds of the jobs that it queues.
    queues: Vec<String>,
    /// The trace that jobs and messages belong to which name none.
    trace: Option<TraceParent>,
}

/// A statement and its arguments.
pub type Statement<'q> = Query<'q, Any, AnyArguments>;

/// A statement from text that is ours, its arguments bound apart.
fn statement<'q>(sql: String) -> Statement<'q> {
    sqlx::query(AssertSqlSafe(sql))
}

impl Store {
    /// Connects. Tables are not looked at: see [`Self::migrate`].
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn open(url: &str, max_connections: u32) -> Result<Self, StateError> {
        sqlx::any::install_default_drivers();
        let location: Arc<str> = masked(url).into();
        let scheme = url.split(':').next().unwrap_or_default();
        let (dialect, url) = match scheme {
            "sqlite" => (Dialect::Sqlite, sqlite_url(url)?),
            "postgres" | "postgresql" => (Dialect::Postgres, url.to_owned()),
            _ => return Err(StateError::Url(masked(url))),
        };
        let fail = |source| StateError::Database {
            location: Arc::clone(&location),
            source,
        };
        let options = AnyConnectOptions::from_str(&url).map_err(fail)?;
        // A pool tries again until its time is over and then says only that; this says why.
        let first = AnyConnection::connect_with(&options);
        match tokio::time::timeout(CONNECT_TIMEOUT, first).await {
            Ok(Ok(connection)) => connection.close().await.map_err(fail)?,
            Ok(Err(error)) => return Err(fail(error)),
            Err(_) => return Err(fail(no_answer())),
        }
        let pool = |connections: u32| {
            AnyPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(Duration::from_secs(10))
                .after_connect(move |connection, _| Box::pin(prepare(connection, dialect)))
                .connect_with(options.clone())
        };
        let (writers, readers) = match dialect {
            Dialect::Sqlite => {
                let writers = pool(1).await.map_err(fail)?;
                // One of them watches the file for good.
                (writers, pool(4).await.map_err(fail)?)
            }
            Dialect::Postgres => {
                let pool = pool(max_connections.max(3)).await.map_err(fail)?;
                (pool.clone(), pool)
            }
        };
        Ok(Self {
            writers,
            readers,
            dialect,
            url: Secret::new(url),
            location,
            publishes_events: false,
            enqueued: None,
            wake: watch::Sender::new(0),
        })
    }

    /// Has events written to the outbox from now on. Without anybody who sends them they would only pile up.
    #[must_use]
    pub fn publishing_events(mut self) -> Self {
        self.publishes_events = true;
        self
    }

    /// Has jobs counted that are queued through this store, by kind.
    #[must_use]
    pub fn counting(mut self, enqueued: IntCounterVec) -> Self {
        self.enqueued = Some(enqueued);
        self
    }

    /// Which kind of database it is.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The URL without its password.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// If it does not.
    pub async fn ping(&self) -> Result<(), StateError> {
        self.read(self.query("SELECT 1")).await.map(|_| ())
    }

    /// Ends all connections.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writers.close().await;
    }

    /// A statement with this dialect's words.
    fn sql(&self, text: &str) -> String {
        let (now, skip_locked, for_update) = match self.dialect {
            Dialect::Sqlite => (
                "CAST(unixepoch('now', 'subsec') * 1000000 AS BIGINT)",
                "",
                "",
            ),
            Dialect::Postgres => (
                "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)",
                "FOR UPDATE SKIP LOCKED",
                "FOR UPDATE",
            ),
        };
        text.replace("{now}", now)
            .replace("{skip_locked}", skip_locked)
            .replace("{for_update}", for_update)
    }

    /// A statement with this dialect's words, ready to have arguments bound.
    pub fn query<'q>(&self, text: &str) -> Statement<'q> {
        statement(self.sql(text))
    }

    /// Reads rows, outside of any transaction.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn read(&self, statement: Statement<'_>) -> Result<Vec<AnyRow>, StateError> {
        self.in_time(statement.fetch_all(&self.readers)).await
    }

    /// Waits for the database, but not for ever: one that hangs, or a network that swallows everything, is a failure.
    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StateError> {
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, answer).await;
        answer
            .unwrap_or_else(|_| Err(no_answer()))
            .map_err(|error| self.failed(error))
    }

    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn begin(&self) -> Result<Tx, StateError> {
        let begun = match self.dialect {
            // A transaction that first reads and then finds it cannot write would have to be begun again.
            Dialect::Sqlite => {
                self.in_time(self.writers.begin_with("BEGIN IMMEDIATE"))
                    .await
            }
            Dialect::Postgres => self.in_time(self.writers.begin()).await,
        };
        Ok(Tx {
            inner: begun?,
            store: self.clone(),
            wakes: false,
            queues: Vec::new(),
            trace: trace::current(),
        })
    }

    fn failed(&self, source: sqlx::Error) -> StateError {
        StateError::Database {
            location: Arc::clone(&self.location),
            source,
        }
    }
}

impl Tx {
    /// The store that it belongs to.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What is written of the trace of a job or a message that may name its own.
    fn trace_or(&self, own: Option<&TraceParent>) -> Option<String> {
        own.or(self.trace.as_ref()).map(TraceParent::to_string)
    }

    /// Runs a statement and answers how many rows it changed.
    ///
    /// # Errors
    /// If the database fails; so all methods here.
    pub async fn execute(&mut self, statement: Statement<'_>) -> Result<u64, StateError> {
        let done = self.store.in_time(statement.execute(&mut *self.inner));
        Ok(done.await?.rows_affected())
    }

    /// Runs a statement and answers its rows.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub async fn fetch(&mut self, statement: Statement<'_>) -> Result<Vec<AnyRow>, StateError> {
        let found = statement.fetch_all(&mut *self.inner);
        self.store.in_time(found).await
    }

    /// A statement with this dialect's words.
    pub fn query<'q>(&self, text: &str) -> Statement<'q> {
        self.store.query(text)
    }

    /// Has everybody who waits for work look again once this is committed.
    pub fn wake(&mut self) {
        self.wakes = true;
    }

    /// Has these jobs counted once this is committed, by their kinds.
    fn note_queued(&mut self, kinds: impl Iterator<Item = String>) {
        if self.store.enqueued.is_some() {
            self.queues.extend(kinds);
        }
    }

    /// Ends the transaction without a trace. Dropping it does so as well, only later, and locks stay until then.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub async fn rollback(self) -> Result<(), StateError> {
        let Self { inner, store, .. } = self;
        store.in_time(inner.rollback()).await
    }

    /// Commits. `write` names what was written, for tests that break it.
    ///
    /// # Errors
    /// If the database fails, in which case it is unknown whether all of it or none was written.
    pub async fn commit(mut self, write: &'static str) -> Result<(), StateError> {
        if self.wakes && self.store.dialect == Dialect::Postgres {
            self.execute(statement(format!("SELECT pg_notify('{SCHEMA}', '')")))
                .await?;
        }
        #[cfg(feature = "probe")]
        let broken = fault::strike(write);
        #[cfg(not(feature = "probe"))]
        let _ = write;
        #[cfg(feature = "probe")]
        if broken == Some(fault::Way::Failed) {
            let error = self.store.failed(fault::error());
            self.rollback().await?;
            return Err(error);
        }
        let Self {
            inner,
            store,
            wakes,
            queues,
            trace: _,
        } = self;
        store.in_time(inner.commit()).await?;
        if let Some(enqueued) = &store.enqueued {
            for kind in &queues {
                enqueued.with_label_values(&[kind]).inc();
            }
        }
        if wakes {
            store.wake_here();
        }
        #[cfg(feature = "probe")]
        if broken == Some(fault::Way::FailedButPersisted) {
            return Err(store.failed(fault::error()));
        }
        Ok(())
    }
}

fn no_answer() -> sqlx::Error {
    let what = "the database does not answer";
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, what))
}

/// Settles how a new connection behaves.
async fn prepare(connection: &mut AnyConnection, dialect: Dialect) -> Result<(), sqlx::Error> {
    let settings: &[&'static str] = match dialect {
        // What is committed survives a power cut, and readers do not stop the writer.
        Dialect::Sqlite => &[
            "PRAGMA busy_timeout = 30000",
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "PRAGMA foreign_keys = ON",
        ],
        Dialect::Postgres => &[
            "SET search_path TO trailkeeper",
            "SET application_name TO 'trailkeeper'",
            // How many jobs wait changes faster than statistics do. A plan made for few sorts the whole queue for each
            // claim, where the index has it in order: 60 ms instead of 1 with 10,000 jobs.
            "SET enable_sort TO off",
            // A worker that hangs must not hold rows for ever.
            "SET idle_in_transaction_session_timeout TO '60s'",
            "SET statement_timeout TO '60s'",
        ],
    };
    for &setting in settings {
        connection.execute(setting).await?;
    }
    Ok(())
}

/// Makes the directory and answers a URL that lets the file be made.
fn sqlite_url(url: &str) -> Result<String, StateError> {
    let unusable = |_| StateError::Url(url.to_owned());
    let options = SqliteConnectOptions::from_str(url).map_err(unusable)?;
    if let Some(directory) = options.get_filename().parent()
        && !directory.as_os_str().is_empty()
    {
        private::create_directory(directory).map_err(|source| StateError::Directory {
            path: directory.to_owned(),
            source,
        })?;
    }
    let path = url.split('?').next().unwrap_or_default();
    Ok(format!("{path}?mode=rwc"))
}

/// A URL without its password, and without its query, which may hold one. Of what is no URL only the scheme is told: an
/// unescaped password can hide anywhere in it.
#[must_use]
pub fn masked(url: &str) -> String {
    let Ok(mut parsed) = url::Url::parse(url) else {
        let scheme = url.split(':').next().unwrap_or_default();
        return format!("{scheme}://***");
    };
    if parsed.password().is_some() {
        // Cannot fail: a URL that has a password has a host.
        let _ = parsed.set_password(Some("***"));
    }
    parsed.set_query(None);
    parsed.to_string()
}

/// Reads a column.
fn column<'r, T>(row: &'r AnyRow, name: &str) -> Result<T, StateError>
where
    T: sqlx::Decode<'r, Any> + sqlx::Type<Any>,
{
    row.try_get(name)
        .map_err(|error| StateError::Corrupt(format!("an unexpected column {name}: {error}")))
}

/// `$3, $4, $5`: `count` places from the `first` on.
fn places_from(first: usize, count: usize) -> String {
    (first..first + count)
        .map(|place| format!("${place}"))
        .collect::<Vec<_>>()
        .join(", ")
}
