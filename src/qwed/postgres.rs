//! QWED on PostgreSQL: one exported snapshot shared by all readers, rows by binary `COPY`.
//!
//! Every connection runs one read-only transaction, so nothing can be written by mistake, and imports
//! the snapshot of the first, so that all of them see the trail at one instant. A server that cannot
//! export a snapshot gets a single reader instead. Each reader drives its connection on its own thread.

use std::fmt;
use std::time::Duration;

use futures_util::StreamExt;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use tokio::runtime::{Builder, Runtime};

use super::{
    HashSet, IdRange, Occurrence, Period, PeriodRange, ReadError, among, copy,
    copy::Column,
    schema,
    url::{DatabaseUrl, PostgresUrl},
};
use crate::trail::{row::Row, time::Time};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Hashes per look-up statement.
const HASHES_PER_QUERY: usize = 20_000;

/// A PostgreSQL database of QWED's.
pub struct Database {
    options: PgConnectOptions,
    location: String,
    select_list: String,
    columns: Vec<Column>,
    snapshot: Option<String>,
    /// Its transaction keeps the snapshot alive.
    _leader: Session,
}

impl fmt::Debug for Database {
    /// Without the options: theirs shows the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Database").field(&self.location).finish()
    }
}

impl Database {
    /// Connects, checks the tables and fixes the snapshot.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses, or the database is not QWED's.
    pub(super) fn open(url: &PostgresUrl) -> Result<Self, ReadError> {
        let location = DatabaseUrl::Postgres(url.clone()).to_string();
        let options = connect_options(url).map_err(|problem| ReadError::Postgres {
            location: location.clone(),
            problem,
        })?;
        let mut leader = Session::connect(&options, &location)?;
        leader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        leader.execute("SET LOCAL row_security = off; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30s'")?;
        let described: Vec<(String, String)> = leader.rows(
            "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute \
             WHERE attrelid = to_regclass('verificationlog') AND attnum > 0 AND NOT attisdropped",
        )?;
        let tables: Vec<(String,)> = leader.rows(
            "SELECT name FROM unnest(ARRAY['verificationlog', 'organization']) AS name \
             WHERE to_regclass(name) IS NOT NULL",
        )?;
        let tables: Vec<String> = tables.into_iter().map(|(name,)| name).collect();
        let names: Vec<String> = described.iter().map(|(name, _)| name.clone()).collect();
        let select_list = schema::select_list(&location, &tables, &names)?;
        let keys: Vec<(bool,)> = leader.rows(
            "SELECT true FROM pg_index JOIN pg_class ON pg_class.oid = indrelid \
             JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0] \
             WHERE indrelid = to_regclass('verificationlog') AND relkind IN ('r', 'p') AND indisunique \
             AND indisvalid AND indnkeyatts = 1 AND indpred IS NULL AND attname = 'id' AND attnotnull LIMIT 1",
        )?;
        if keys.is_empty() {
            return Err(schema::no_key(&location));
        }
        let columns = copy::columns(&described).map_err(|problem| ReadError::NotQwed {
            location: location.clone(),
            problem,
        })?;
        // Refused on some standbys and by some proxies; the transaction then has to start anew.
        let snapshot = match leader.rows::<(String,)>("SELECT pg_export_snapshot()") {
            Ok(rows) => rows.into_iter().next().map(|(name,)| name),
            Err(_) => {
                leader.execute("ROLLBACK")?;
                None
            }
        };
        Ok(Self {
            options,
            location,
            select_list,
            columns,
            snapshot,
            _leader: leader,
        })
    }

    /// Whether several readers see the same state.
    #[must_use]
    pub fn shares_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    pub(super) fn reader(&self) -> Result<Reader, ReadError> {
        let mut session = Session::connect(&self.options, &self.location)?;
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        if let Some(snapshot) = &self.snapshot {
            session.execute(&format!("SET TRANSACTION SNAPSHOT '{snapshot}'"))?;
        }
        // A role's own limits are for its applications; a verification may take longer.
        session.execute(
            "SET LOCAL row_security = off; SET LOCAL statement_timeout = 0; \
             SET LOCAL idle_in_transaction_session_timeout = 0; \
             SET LOCAL lock_timeout = '30s'",
        )?;
        Ok(Reader {
            session,
            select_list: self.select_list.clone(),
            columns: self.columns.clone(),
            pending: Vec::new(),
        })
    }
}

pub(crate) fn connect_options(url: &PostgresUrl) -> Result<PgConnectOptions, String> {
    // Takes PGHOST, PGUSER, PGPASSWORD and the like, and ~/.pgpass, for what the URL leaves out.
    let mut options = PgConnectOptions::new()
        .application_name("trailkeeper")
        .extra_float_digits(None)
        .statement_cache_capacity(0);
    if let Some(host) = &url.host {
        options = options.host(host);
    }
    if let Some(port) = url.port {
        options = options.port(port);
    }
    if let Some(user) = &url.user {
        options = options.username(user);
    }
    if let Some(password) = &url.password {
        options = options.password(password.expose());
    }
    if let Some(database) = &url.database {
        options = options.database(database);
    }
    for (key, value) in &url.options {
        let value = value.expose();
        options = match key.as_str() {
            "host" => options.host(value),
            "port" => options.port(
                value
                    .parse()
                    .map_err(|_| "the port is not a number".to_owned())?,
            ),
            "user" => options.username(value),
            "password" => options.password(value),
            "dbname" | "database" => options.database(value),
            // asyncpg calls it "ssl".
            "sslmode" | "ssl" => options.ssl_mode(ssl_mode(value)?),
            "sslrootcert" => options.ssl_root_cert(value),
            "sslcert" => options.ssl_client_cert(value),
            "sslkey" => options.ssl_client_key(value),
            "options" => options.options(startup_options(value)?),
            "application_name"
            | "connect_timeout"
            | "client_encoding"
            | "target_session_attrs"
            | "async_fallback"
            | "prepared_statement_cache_size"
            | "keepalives"
            | "keepalives_idle"
            | "keepalives_interval"
            | "keepalives_count"
            | "gssencmode"
            | "channel_binding" => options,
            _ => {
                return Err(format!(
                    "the URL's option {key:?} is not supported; remove it"
                ));
            }
        };
    }
    Ok(options.disable_statement_logging())
}

fn ssl_mode(value: &str) -> Result<PgSslMode, String> {
    match value {
        "true" | "True" => Ok(PgSslMode::Require),
        "false" | "False" => Ok(PgSslMode::Disable),
        _ => value.parse().map_err(|_| {
            format!(
                "sslmode {value:?} is not disable, allow, prefer, require, verify-ca or verify-full"
            )
        }),
    }
}

/// `-c name=value` pairs, the form in which `search_path` and the like are passed.
fn startup_options(value: &str) -> Result<Vec<(String, String)>, String> {
    value
        .replace("-c", " ")
        .split_whitespace()
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            Some((key.to_owned(), value.to_owned()))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| "the URL's \"options\" are not of the form \"-c name=value\"".to_owned())
}

/// A connection and the event loop of its thread.
pub(crate) struct Session {
    connection: PgConnection,
    runtime: Runtime,
    location: String,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({})", self.location)
    }
}

impl Session {
    pub(crate) fn connect(options: &PgConnectOptions, location: &str) -> Result<Self, ReadError> {
        let fail = |problem: String| ReadError::Postgres {
            location: location.to_owned(),
            problem,
        };
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| fail(e.to_string()))?;
        let connect = async {
            tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(options)).await
        };
        let connection = runtime
            .block_on(connect)
            .map_err(|_| {
                fail(format!(
                    "no answer within {} s; check host, port and firewall",
                    CONNECT_TIMEOUT.as_secs()
                ))
            })?
            .map_err(|error| fail(explain(&error)))?;
        Ok(Self {
            connection,
            runtime,
            location: location.to_owned(),
        })
    }

    pub(crate) fn fail(&self, error: &sqlx::Error) -> ReadError {
        ReadError::Postgres {
            location: self.location.clone(),
            problem: explain(error),
        }
    }

    /// Runs statements without parameters, which answer nothing.
    pub(super) fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let Self {
            connection,
            runtime,
            ..
        } = self;
        let done = runtime.block_on(sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection));
        done.map(|_| ())
    }

    pub(crate) fn execute(&mut self, sql: &str) -> Result<(), ReadError> {
        self.run(sql).map_err(|error| self.fail(&error))
    }

    /// The rows that one statement answers.
    pub(super) fn ask<T>(&mut self, sql: &str) -> Result<Vec<T>, sqlx::Error>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        let Self {
            connection,
            runtime,
            ..
        } = self;
        let query = sqlx::query_as(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_all(connection);
        runtime.block_on(query)
    }

    /// The rows of one statement with its parameters.
    pub(super) fn fetch_query(
        &mut self,
        query: sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments>,
    ) -> Result<Vec<sqlx::postgres::PgRow>, sqlx::Error> {
        let Self {
            connection,
            runtime,
            ..
        } = self;
        runtime.block_on(query.fetch_all(connection))
    }

    /// The rows of one statement without parameters, their values as text.
    pub(super) fn fetch(&mut self, sql: &str) -> Result<Vec<sqlx::postgres::PgRow>, ReadError> {
        let Self {
            connection,
            runtime,
            ..
        } = self;
        let fetched = runtime.block_on(sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection));
        fetched.map_err(|error| self.fail(&error))
    }

    /// Copies rows into a table, in PostgreSQL's text format, as `next` hands them out.
    pub(crate) fn copy_in<E: From<ReadError>>(
        &mut self,
        sql: &str,
        mut next: impl FnMut() -> Result<Option<Vec<u8>>, E>,
    ) -> Result<u64, E> {
        let Self {
            connection,
            runtime,
            location,
        } = self;
        let fail = |error: &sqlx::Error| {
            E::from(ReadError::Postgres {
                location: location.clone(),
                problem: explain(error),
            })
        };
        let copying = runtime.block_on(connection.copy_in_raw(sql));
        let mut copying = copying.map_err(|error| fail(&error))?;
        loop {
            match next() {
                Ok(Some(bytes)) => {
                    runtime
                        .block_on(copying.send(bytes))
                        .map_err(|error| fail(&error))?;
                }
                Ok(None) => return runtime.block_on(copying.finish()).map_err(|e| fail(&e)),
                Err(error) => {
                    // The transaction is lost either way; what went wrong here is what is told.
                    let _ = runtime.block_on(copying.abort("the archive cannot be read"));
                    return Err(error);
                }
            }
        }
    }

    pub(crate) fn rows<T>(&mut self, sql: &str) -> Result<Vec<T>, ReadError>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        self.ask(sql).map_err(|error| self.fail(&error))
    }
}

pub(super) fn explain(error: &sqlx::Error) -> String {
    let advice = match error {
        sqlx::Error::Database(database) => {
            let advice = match database.code().as_deref() {
                Some("28P01" | "28000") => "check user and password, and pg_hba.conf",
                Some("3D000") => "check the database's name",
                Some("42501") => "grant the role SELECT on QWED's tables",
                Some("53300") => "the server has no connection left; use fewer --threads",
                Some("57P01" | "57P02" | "57P03") => {
                    "the server is starting or stopping; try again"
                }
                Some("40001") => {
                    "a standby cancelled the query; raise max_standby_streaming_delay or read from the primary"
                }
                Some("55P03") => {
                    "another session holds a lock on the table; try again when it has finished"
                }
                _ => "",
            };
            return match advice {
                "" => database.message().to_owned(),
                _ => format!("{}; {advice}", database.message()),
            };
        }
        sqlx::Error::Io(io) => match io.kind() {
            std::io::ErrorKind::ConnectionRefused => {
                "; is the server running, and are host and port right?"
            }
            std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset => {
                "; the server closed the connection, see its log"
            }
            _ => "; check host and port",
        },
        sqlx::Error::Tls(_) => "; check sslmode and the certificates",
        _ => "",
    };
    format!("{error}{advice}")
}

/// Reads on one thread.
#[derive(Debug)]
pub struct Reader {
    pub(super) session: Session,
    select_list: String,
    columns: Vec<Column>,
    /// Bytes of a row that has not arrived whole; PostgreSQL sends whole rows, the protocol does not promise it.
    pending: Vec<u8>,
}

impl Reader {
    pub(super) fn integers(&mut self, sql: &str) -> Result<Vec<i64>, ReadError> {
        let sql = format!("SELECT id::bigint FROM ({sql}) AS ids(id)");
        let rows: Vec<(Option<i64>,)> = self.session.rows(&sql)?;
        Ok(rows.into_iter().filter_map(|(id,)| id).collect())
    }

    pub(super) fn pairs(&mut self, sql: &str) -> Result<Vec<(i64, i64)>, ReadError> {
        self.session.rows(sql)
    }

    pub(super) fn read(
        &mut self,
        organization: Option<i64>,
        range: IdRange,
        visit: &mut impl FnMut(&Row<'_>),
    ) -> Result<(), ReadError> {
        self.select(
            &format!("{} ORDER BY id", among(organization, range)),
            visit,
        )
    }

    pub(super) fn select(
        &mut self,
        rest: &str,
        visit: &mut impl FnMut(&Row<'_>),
    ) -> Result<(), ReadError> {
        let Self {
            session,
            select_list,
            columns,
            pending,
        } = self;
        let sql = format!(
            "COPY (SELECT {select_list} FROM verificationlog WHERE {rest}) TO STDOUT (FORMAT binary)"
        );
        pending.clear();
        let mut decoder = copy::Decoder::new(columns);
        let Session {
            connection,
            runtime,
            ..
        } = session;
        let copied = runtime.block_on(async {
            let mut chunks = connection.copy_out_raw(&sql).await?;
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk?;
                let rest = if pending.is_empty() {
                    let read = decoder.rows(&chunk, visit);
                    &chunk[read..]
                } else {
                    pending.extend_from_slice(&chunk);
                    let read = decoder.rows(pending, visit);
                    pending.drain(..read);
                    &[]
                };
                pending.extend_from_slice(rest);
            }
            Ok::<_, sqlx::Error>(())
        });
        copied.map_err(|error| session.fail(&error))?;
        if decoder.is_done() {
            Ok(())
        } else {
            let problem = "the server's COPY ended in the middle of a row".to_owned();
            Err(ReadError::Postgres {
                location: session.location.clone(),
                problem,
            })
        }
    }

    pub(super) fn period_ranges(
        &mut self,
        period: Period,
        range: IdRange,
    ) -> Result<Vec<PeriodRange>, ReadError> {
        let bound = |micros: Option<i64>, operator: &str| {
            micros.map_or_else(String::new, |micros| {
                let mut iso = Vec::new();
                let text = if Time::Micros(micros).write_iso(&mut iso) {
                    // Without time zone, PostgreSQL ignores the offset: the column is in UTC then.
                    String::from_utf8_lossy(&iso).into_owned() + "+00"
                } else {
                    let end = if micros < 0 { "-infinity" } else { "infinity" };
                    end.to_owned()
                };
                format!(" AND timestamp {operator} '{text}'")
            })
        };
        let sql = format!(
            "SELECT organization_id::bigint, min(id)::bigint, max(id)::bigint FROM verificationlog \
             WHERE {}{}{} AND organization_id IS NOT NULL GROUP BY 1",
            among(None, range),
            bound(period.from, ">="),
            bound(period.to, "<="),
        );
        let rows: Vec<(i64, i64, i64)> = self.session.rows(&sql)?;
        Ok(rows
            .into_iter()
            .map(|(organization_id, low, high)| PeriodRange {
                organization_id,
                range: IdRange { low, high },
            })
            .collect())
    }

    pub(super) fn occurrences(
        &mut self,
        hashes: &HashSet,
        range: IdRange,
    ) -> Result<Vec<Occurrence>, ReadError> {
        let texts: Vec<&str> = hashes
            .iter()
            .filter_map(|hash| std::str::from_utf8(hash).ok())
            .collect();
        let condition = among(None, range);
        let mut found = Vec::new();
        for texts in texts.chunks(HASHES_PER_QUERY) {
            for (column, is_own) in [("entry_hash", true), ("previous_hash", false)] {
                let sql = format!(
                    "SELECT id::bigint, organization_id::bigint, {column}::text FROM verificationlog \
                     WHERE {condition} AND {column} = ANY($1::text[]) ORDER BY id"
                );
                let Session {
                    connection,
                    runtime,
                    ..
                } = &mut self.session;
                let query = sqlx::query_as(AssertSqlSafe(sql))
                    .bind(texts)
                    .persistent(false);
                let rows: Vec<(i64, Option<i64>, String)> = runtime
                    .block_on(query.fetch_all(connection))
                    .map_err(|error| self.session.fail(&error))?;
                found.extend(
                    rows.into_iter()
                        .map(|(id, organization_id, hash)| Occurrence {
                            id,
                            organization_id,
                            hash: hash.into_bytes(),
                            is_own,
                        }),
                );
            }
        }
        Ok(found)
    }
}
