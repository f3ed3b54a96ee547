//! Questions to QWED's database whose answers become evidence: one statement each, with its parameters, so that somebody else can ask
//! the same.
//!
//! On PostgreSQL all questions see one instant. On SQLite each sees its own, and a statement must not run for long, as QWED could
//! not write meanwhile; so whoever asks about the audit trail asks in windows of ids.

use std::path::PathBuf;

use rusqlite::{Connection, types::ValueRef};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Column, Row, TypeInfo, ValueRef as _, postgres::PgRow};

use super::{
    Dialect, ReadError,
    postgres::{Session, connect_options},
    sqlite::{connect, expect_file, explain},
    tables::quoted,
    url::DatabaseUrl,
};

/// Ids of one window on SQLite: a few tens of milliseconds.
const WINDOW_IDS: i64 = 20_000;

/// QWED's database, open for questions. Blocking: on PostgreSQL it drives a runtime of its own.
pub struct Questions {
    source: Source,
}

enum Source {
    Sqlite(Connection, PathBuf),
    Postgres(Box<Session>),
}

/// A parameter of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parameter {
    /// A whole number.
    Integer(i64),
    /// Text.
    Text(String),
}

impl From<&Parameter> for Value {
    fn from(parameter: &Parameter) -> Self {
        match parameter {
            Parameter::Integer(number) => Self::from(*number),
            Parameter::Text(text) => Self::from(text.clone()),
        }
    }
}

impl Questions {
    /// Connects.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn open(url: &DatabaseUrl) -> Result<Self, ReadError> {
        let source = match url {
            DatabaseUrl::Sqlite(path) => {
                expect_file(path)?;
                Source::Sqlite(connect(path)?, path.clone())
            }
            DatabaseUrl::Postgres(postgres) => {
                let location = url.to_string();
                let options = connect_options(postgres).map_err(|problem| ReadError::Postgres {
                    location: location.clone(),
                    problem,
                })?;
                let mut session = Session::connect(&options, &location)?;
                session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
                session.execute(
                    "SET LOCAL row_security = off; SET LOCAL statement_timeout = 0; SET LOCAL timezone = 'UTC'; \
                     SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = '30s'",
                )?;
                Source::Postgres(Box::new(session))
            }
        };
        Ok(Self { source })
    }

    /// Which kind of server.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self.source {
            Source::Sqlite(..) => Dialect::Sqlite,
            Source::Postgres(_) => Dialect::Postgresql,
        }
    }

    /// What the server says it is: `SQLite 3.50.4`, `PostgreSQL 17.2`.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn server(&mut self) -> Result<String, ReadError> {
        match &mut self.source {
            Source::Sqlite(..) => Ok(format!("SQLite {}", rusqlite::version())),
            Source::Postgres(session) => {
                let rows: Vec<(String,)> =
                    session.rows("SELECT current_setting('server_version')")?;
                let version = rows.into_iter().next().map(|(version,)| version);
                Ok(format!("PostgreSQL {}", version.unwrap_or_default()))
            }
        }
    }

    /// The columns that a table has, in lower case; none where there is no such table.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn columns(&mut self, table: &str) -> Result<Vec<String>, ReadError> {
        let sql = match self.dialect() {
            Dialect::Sqlite => "SELECT lower(name) FROM pragma_table_xinfo(?1)",
            Dialect::Postgresql => {
                "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass(quote_ident($1)) AND attnum > 0 \
                 AND NOT attisdropped"
            }
        };
        let rows = self.ask(sql, &[Parameter::Text(table.to_owned())])?;
        let name = |row: Vec<Value>| row.first().and_then(Value::as_str).map(str::to_owned);
        Ok(rows.into_iter().filter_map(name).collect())
    }

    /// The rows that one statement answers; its parameters are `$1` and so on, and its columns have to be whole numbers, floating-point
    /// numbers, booleans or text.
    ///
    /// # Errors
    /// If the database cannot be read, or the statement is not for it.
    pub fn ask(
        &mut self,
        sql: &str,
        parameters: &[Parameter],
    ) -> Result<Vec<Vec<Value>>, ReadError> {
        match &mut self.source {
            Source::Sqlite(connection, path) => {
                ask_sqlite(connection, sql, parameters).map_err(|error| explain(path, &error))
            }
            Source::Postgres(session) => {
                let rows = session.answer(sql, parameters);
                let rows = rows.and_then(|rows| rows.iter().map(postgres_row).collect());
                rows.map_err(|error| session.fail(&error))
            }
        }
    }

    /// Asks about a large table: the statement's last two parameters are the ids that a window begins and ends with, both included. On
    /// PostgreSQL there is one window. `fold` is given the rows of each. Answers the first and the last id; asked in one window from one to the
    /// other, the statement answers the same altogether.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn ask_in_windows(
        &mut self,
        table: &str,
        sql: &str,
        parameters: &[Parameter],
        mut fold: impl FnMut(Vec<Vec<Value>>),
    ) -> Result<(i64, i64), ReadError> {
        let bounds = format!(
            "SELECT CAST(min(id) AS BIGINT), CAST(max(id) AS BIGINT) FROM {}",
            quoted(table)
        );
        let bounds = self.ask(&bounds, &[])?;
        let bound = |index: usize| bounds.first()?.get(index)?.as_i64();
        let (Some(first), Some(last)) = (bound(0), bound(1)) else {
            return Ok((0, 0));
        };
        let mut low = first;
        loop {
            let high = match self.dialect() {
                Dialect::Sqlite => low.saturating_add(WINDOW_IDS - 1).min(last),
                Dialect::Postgresql => last,
            };
            let window = [Parameter::Integer(low), Parameter::Integer(high)];
            let all: Vec<Parameter> = parameters.iter().chain(&window).cloned().collect();
            fold(self.ask(sql, &all)?);
            if high >= last {
                return Ok((first, last));
            }
            low = high + 1;
        }
    }
}

fn ask_sqlite(
    connection: &Connection,
    sql: &str,
    parameters: &[Parameter],
) -> rusqlite::Result<Vec<Vec<Value>>> {
    let mut statement = connection.prepare_cached(sql)?;
    let count = statement.column_count();
    for (index, parameter) in parameters.iter().enumerate() {
        match parameter {
            Parameter::Integer(number) => statement.raw_bind_parameter(index + 1, number)?,
            Parameter::Text(text) => statement.raw_bind_parameter(index + 1, text)?,
        }
    }
    let mut rows = statement.raw_query();
    let mut answer = Vec::new();
    while let Some(row) = rows.next()? {
        let cells = (0..count).map(|index| {
            Ok(match row.get_ref(index)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::from(number),
                ValueRef::Real(number) => Value::from(number),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                    Value::from(String::from_utf8_lossy(bytes))
                }
            })
        });
        answer.push(cells.collect::<rusqlite::Result<_>>()?);
    }
    Ok(answer)
}

fn postgres_row(row: &PgRow) -> Result<Vec<Value>, sqlx::Error> {
    let cell = |index: usize| {
        if row.try_get_raw(index)?.is_null() {
            return Ok(Value::Null);
        }
        Ok(match row.column(index).type_info().name() {
            "INT8" => Value::from(row.try_get::<i64, _>(index)?),
            "INT4" => Value::from(row.try_get::<i32, _>(index)?),
            "FLOAT8" => Value::from(row.try_get::<f64, _>(index)?),
            "BOOL" => Value::from(row.try_get::<bool, _>(index)?),
            _ => Value::from(row.try_get::<String, _>(index)?),
        })
    };
    (0..row.len()).map(cell).collect()
}

impl Session {
    fn answer(&mut self, sql: &str, parameters: &[Parameter]) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        for parameter in parameters {
            query = match parameter {
                Parameter::Integer(number) => query.bind(*number),
                Parameter::Text(text) => query.bind(text.clone()),
            };
        }
        self.fetch_query(query)
    }
}
