//! Brings our tables up to date, and refuses a database that a newer program has changed.

use std::str::FromStr;
use std::sync::Arc;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, SqlSafeStr};

use super::{Dialect, SCHEMA, StateError, Store, column, masked, statement};

/// Number, description, PostgreSQL's text, SQLite's text.
type Step = (i64, &'static str, &'static str, &'static str);

macro_rules! steps {
    ($($number:literal $description:literal $file:literal,)*) => {
        &[$((
            $number,
            $description,
            include_str!(concat!("../../migrations/postgres/", $file)),
            include_str!(concat!("../../migrations/sqlite/", $file)),
        ),)*]
    };
}

const STEPS: &[Step] = steps![
    1 "jobs" "0001_jobs.sql",
    2 "schedules" "0002_schedules.sql",
    3 "verdicts" "0003_verdicts.sql",
    4 "API keys" "0004_api_keys.sql",
    5 "anchors" "0005_anchors.sql",
    6 "archive" "0006_archive.sql",
    7 "full checks" "0007_full_checks.sql",
    8 "ledger" "0008_ledger.sql",
    9 "retention of the archive" "0009_retention.sql",
    10 "consents" "0010_consents.sql",
    11 "legal holds" "0011_holds.sql",
    12 "erasures" "0012_erasures.sql",
    13 "reports" "0013_reports.sql",
    14 "sessions" "0014_sessions.sql",
    15 "first verdicts" "0015_first_verdicts.sql",
    16 "notices" "0016_notices.sql",
    17 "traces" "0017_traces.sql",
];

/// SQLite has no lock that spans migrations: a second program that starts at the same moment may find a table that the
/// first has just made, and all done when it looks again.
const TRIES: u32 = 5;

/// What there is of a database before anything is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// No file yet; the first program that writes makes it.
    NoFile,
    /// A database that can be reached.
    Database {
        /// Migrations that it has.
        applied: usize,
        /// Migrations that this program knows.
        known: usize,
    },
}

impl Store {
    /// Looks at a database and changes nothing in it.
    ///
    /// # Errors
    /// If it cannot be reached, or has a migration that this program does not know.
    pub async fn look(url: &str) -> Result<Found, StateError> {
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url);
            let options = options.map_err(|_| StateError::Url(masked(url)))?;
            if !options.get_filename().exists() {
                return Ok(Found::NoFile);
            }
        }
        let store = Self::open(url, 1).await?;
        let found = store.migrations().await;
        store.close().await;
        found
    }

    /// What a command that is no worker does before it uses the database: makes the tables where there are none, and
    /// leaves those of an older release as they are. Workers of that release may be using them, and must not be stopped by
    /// a newer program that somebody tried next to them.
    ///
    /// # Errors
    /// If the database is older or newer than this program, or cannot be reached.
    pub async fn prepare(&self) -> Result<(), StateError> {
        match self.migrations().await? {
            Found::Database { applied: 0, .. } | Found::NoFile => self.migrate().await.map(drop),
            Found::Database { applied, known } if applied < known => Err(StateError::Older {
                location: Arc::clone(&self.location),
                applied,
                known,
            }),
            Found::Database { .. } => Ok(()),
        }
    }

    async fn migrations(&self) -> Result<Found, StateError> {
        let table = match self.dialect {
            Dialect::Sqlite => "SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations'",
            Dialect::Postgres => {
                "SELECT 1 FROM pg_tables WHERE schemaname = 'trailkeeper' AND tablename = '_sqlx_migrations'"
            }
        };
        let versions = "SELECT version FROM _sqlx_migrations ORDER BY version";
        let rows = match self.read(self.query(table)).await?.is_empty() {
            true => Vec::new(),
            false => self.read(self.query(versions)).await?,
        };
        for row in &rows {
            let found = column(row, "version")?;
            if !STEPS.iter().any(|(number, ..)| *number == found) {
                return Err(StateError::Newer {
                    location: Arc::clone(&self.location),
                    found,
                });
            }
        }
        Ok(Found::Database {
            applied: rows.len(),
            known: STEPS.len(),
        })
    }

    /// Runs the migrations that the database lacks, and answers how many of them it has then.
    ///
    /// # Errors
    /// If a migration fails, or the database has one that this program does not know.
    pub async fn migrate(&self) -> Result<usize, StateError> {
        let migrator = self.migrator();
        let mut tries = 0;
        loop {
            if self.dialect == Dialect::Postgres {
                let mut connection = self.writers.acquire().await.map_err(|e| self.failed(e))?;
                // "IF NOT EXISTS" asks for the right to make schemas even where there is nothing to make.
                let found = statement(format!(
                    "SELECT 1 FROM pg_namespace WHERE nspname = '{SCHEMA}'"
                ))
                .fetch_optional(&mut *connection)
                .await
                .map_err(|e| self.failed(e))?;
                if found.is_none() {
                    let made = statement(format!("CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
                        .execute(&mut *connection)
                        .await;
                    // Two that make it at once can both find it missing.
                    if let Err(error) = made
                        && tries >= TRIES
                    {
                        return Err(self.failed(error));
                    }
                }
            }
            match migrator.run(&self.writers).await {
                Ok(()) => return Ok(STEPS.len()),
                Err(MigrateError::VersionMissing(found)) => {
                    return Err(StateError::Newer {
                        location: Arc::clone(&self.location),
                        found,
                    });
                }
                Err(MigrateError::Execute(_) | MigrateError::ExecuteMigration(..))
                    if tries < TRIES =>
                {
                    tries += 1;
                    tokio::time::sleep(std::time::Duration::from_millis(100 << tries)).await;
                }
                Err(error) => {
                    return Err(StateError::Migration {
                        location: Arc::clone(&self.location),
                        problem: error.to_string(),
                    });
                }
            }
        }
    }

    fn migrator(&self) -> Migrator {
        let migrations = STEPS
            .iter()
            .map(|&(number, description, postgres, sqlite)| {
                let text = match self.dialect {
                    Dialect::Postgres => postgres,
                    Dialect::Sqlite => sqlite,
                };
                let sql = AssertSqlSafe(text.to_owned()).into_sql_str();
                let kind = MigrationType::Simple;
                Migration::new(number, description.into(), kind, sql, false)
            });
        Migrator::with_migrations(migrations.collect())
    }
}
