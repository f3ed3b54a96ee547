//! Keys on PostgreSQL: read in one read-only snapshot, flagged by a connection and perhaps a role of its own.
//!
//! What the flagging role needs, and no more: `GRANT SELECT (id, is_active, revoked_at, created_at, rotation_required),
//! UPDATE (rotation_required) ON apikey TO …`. The columns to read are those of the condition; PostgreSQL asks for them.

use super::{ApiKey, Columns, Due, FlagError, Moment, no_key, preview};
use crate::qwed::{
    ReadError,
    postgres::{Session, connect_options, explain},
    url::{DatabaseUrl, PostgresUrl},
};

const PAGE_ROWS: usize = 2000;

/// A page's columns, in the order in which they are selected.
type Columned = (
    i64,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<bool>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<bool>,
);

#[derive(Debug)]
pub(super) struct Reader {
    session: Session,
    pub(super) columns: Columns,
    /// Without the condition for the page.
    sql: String,
    after: Option<i64>,
    is_done: bool,
}

fn connect(url: &PostgresUrl) -> Result<Session, ReadError> {
    let location = DatabaseUrl::Postgres(url.clone()).to_string();
    let options = connect_options(url).map_err(|problem| ReadError::Postgres {
        location: location.clone(),
        problem,
    })?;
    Session::connect(&options, &location)
}

impl Reader {
    pub(super) fn open(url: &PostgresUrl, organizations: &[i64]) -> Result<Self, ReadError> {
        let location = DatabaseUrl::Postgres(url.clone()).to_string();
        let mut session = connect(url)?;
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        // Between pages we may wait for the flagger, which is no reason to end the snapshot.
        session.execute(
            "SET LOCAL row_security = off; SET LOCAL statement_timeout = 0; \
             SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = '30s'",
        )?;
        let described: Vec<(String, String)> = session.rows(
            "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute \
             WHERE attrelid = to_regclass('apikey') AND attnum > 0 AND NOT attisdropped",
        )?;
        let names: Vec<String> = described.iter().map(|(name, _)| name.clone()).collect();
        let columns = Columns::new(&location, &names)?;
        expect_types(&location, &described)?;
        let keys: Vec<(bool,)> = session.rows(
            "SELECT true FROM pg_index JOIN pg_class ON pg_class.oid = indrelid \
             JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0] \
             WHERE indrelid = to_regclass('apikey') AND relkind IN ('r', 'p') AND indisunique \
             AND indisvalid AND indnkeyatts = 1 AND indpred IS NULL AND attname = 'id' AND attnotnull LIMIT 1",
        )?;
        if keys.is_empty() {
            return Err(no_key(&location));
        }
        let time = |column: &str| {
            let expression = micros(column);
            columns.or(column, &expression, "NULL::bigint").to_owned()
        };
        let mut sql = format!(
            "SELECT id::bigint, organization_id::bigint, {}, {}, is_active, {}, {}, {}, {}, {} FROM apikey WHERE ",
            columns.or("user_id", "user_id::bigint", "NULL::bigint"),
            columns.or("key_preview", "left(key_preview::text, 64)", "NULL::text"),
            time("created_at"),
            time("last_used_at"),
            time("revoked_at"),
            time("expires_at"),
            columns.or("rotation_required", "rotation_required", "NULL::boolean"),
        );
        if !organizations.is_empty() {
            let list: Vec<String> = organizations.iter().map(i64::to_string).collect();
            sql += &format!(
                "organization_id = ANY ('{{{}}}'::bigint[]) AND ",
                list.join(",")
            );
        }
        Ok(Self {
            session,
            columns,
            sql,
            after: None,
            is_done: false,
        })
    }

    pub(super) fn integers(&mut self, sql: &str) -> Result<Vec<i64>, ReadError> {
        let sql = format!("SELECT id::bigint FROM ({sql}) AS ids(id)");
        let rows: Vec<(i64,)> = self.session.rows(&sql)?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    pub(super) fn next_page(&mut self) -> Result<Option<Vec<ApiKey>>, ReadError> {
        if self.is_done {
            return Ok(None);
        }
        let page = match self.after {
            Some(after) => format!("id > '{after}'::bigint"),
            None => "true".to_owned(),
        };
        let sql = format!("{}{page} ORDER BY id LIMIT {PAGE_ROWS}", self.sql);
        let rows: Vec<Columned> = self.session.rows(&sql)?;
        self.is_done = rows.len() < PAGE_ROWS;
        self.after = rows.last().map(|row| row.0);
        let keys: Vec<ApiKey> = rows.into_iter().map(api_key).collect();
        Ok((!keys.is_empty()).then_some(keys))
    }
}

/// Refuses a table whose columns are of other types than QWED's ever were: what they mean could only be guessed.
fn expect_types(location: &str, described: &[(String, String)]) -> Result<(), ReadError> {
    for (name, kind) in described {
        let fits = match name.as_str() {
            "id" | "organization_id" | "user_id" => {
                matches!(kind.as_str(), "smallint" | "integer" | "bigint")
            }
            "is_active" | "rotation_required" => kind == "boolean",
            "created_at" | "last_used_at" | "revoked_at" | "expires_at" => {
                matches!(
                    kind.as_str(),
                    "timestamp with time zone" | "timestamp without time zone"
                )
            }
            _ => true,
        };
        if !fits {
            return Err(ReadError::NotQwed {
                location: location.to_owned(),
                problem: format!(
                    "the column {name:?} of its table \"apikey\" is of type {kind}, unlike QWED's"
                ),
            });
        }
    }
    Ok(())
}

/// A time column in microseconds since 1970; what lies beyond the calendar, infinities included, as the ends of the range.
/// Both kinds of timestamp have the same `epoch`, as QWED keeps UTC in the one without zone.
fn micros(column: &str) -> String {
    format!(
        "CASE WHEN {column} > '9999-12-31' THEN '{}'::bigint WHEN {column} < '0001-01-02' THEN '{}'::bigint \
         ELSE round(extract(epoch FROM {column}) * 1000000)::bigint END",
        i64::MAX,
        i64::MIN
    )
}

fn api_key(row: Columned) -> ApiKey {
    let moment = |micros: Option<i64>| micros.map_or(Moment::Missing, Moment::Micros);
    ApiKey {
        id: row.0,
        organization_id: row.1,
        user_id: row.2,
        preview: row.3.as_deref().map(preview).unwrap_or_default(),
        is_active: row.4 == Some(true),
        created_at: moment(row.5),
        last_used_at: moment(row.6),
        revoked_at: moment(row.7),
        expires_at: moment(row.8),
        rotation_required: row.9,
    }
}

#[derive(Debug)]
pub(super) struct Flagger {
    session: Session,
    condition: String,
}

impl Flagger {
    pub(super) fn open(url: &PostgresUrl, columns: &Columns) -> Result<Self, FlagError> {
        let session = connect(url).map_err(|error| FlagError(error.to_string()))?;
        let condition = format!(
            "key.is_active AND {} AND key.rotation_required IS NOT TRUE AND {} = due.created",
            columns.or("revoked_at", "key.revoked_at IS NULL", "true"),
            columns.or("created_at", &micros("key.created_at"), "NULL::bigint"),
        );
        Ok(Self { session, condition })
    }

    pub(super) fn flag(&mut self, due: &[Due]) -> Result<Vec<i64>, FlagError> {
        if due.is_empty() {
            return Ok(Vec::new());
        }
        self.try_flag(due).map_err(|error| {
            // The connection may be gone; then the server has rolled back by itself.
            let _ = self.session.run("ROLLBACK");
            refusal(&error)
        })
    }

    fn try_flag(&mut self, due: &[Due]) -> Result<Vec<i64>, sqlx::Error> {
        // QWED writes a key's last_used_at with each request: we hold its row for one statement, and wait for it as briefly.
        self.session.run(
            "BEGIN; SET LOCAL row_security = off; SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '30s'",
        )?;
        let values: Vec<String> = due
            .iter()
            .map(|key| format!("('{}'::bigint,'{}'::bigint)", key.id, key.created_micros))
            .collect();
        let sql = format!(
            "UPDATE apikey AS key SET rotation_required = true FROM (VALUES {}) AS due(id, created) \
             WHERE key.id = due.id AND {} RETURNING key.id::bigint",
            values.join(","),
            self.condition
        );
        let flagged: Vec<(i64,)> = self.session.ask(&sql)?;
        self.session.run("COMMIT")?;
        Ok(flagged.into_iter().map(|(id,)| id).collect())
    }
}

fn refusal(error: &sqlx::Error) -> FlagError {
    let code = error.as_database_error().and_then(|e| e.code());
    let advice = match code.as_deref() {
        Some("42501") => {
            "grant it SELECT (id, is_active, revoked_at, created_at, rotation_required) and UPDATE (rotation_required) on \
             apikey, or give a role that has them"
        }
        Some("25006") => {
            "the database is read-only, as a standby is; give the primary's URL for flagging"
        }
        Some("42P01") => {
            "this role does not see QWED's table; check its search_path and the database's name"
        }
        Some("55P03" | "57014" | "40P01") => {
            "another session held the rows for long; the next run tries again"
        }
        _ => return FlagError(explain(error)),
    };
    let message = error
        .as_database_error()
        .map_or_else(|| error.to_string(), |e| e.message().to_owned());
    FlagError(format!("{message}; {advice}"))
}
