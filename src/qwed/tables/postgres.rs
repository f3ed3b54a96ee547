//! Tables of a PostgreSQL database, by a cursor in one read-only snapshot.

use sqlx::{Row, ValueRef, postgres::PgRow};

use super::{Cell, ColumnSchema, PAGE_BYTES, PAGE_ROWS, Part, Record, TableSchema, quoted};
use crate::qwed::{
    ReadError,
    postgres::{Session, connect_options},
    url::{DatabaseUrl, PostgresUrl},
};

/// Settings under which text is the same everywhere and nothing of a value is lost.
pub(crate) const EXACT: &str = "SET LOCAL datestyle = 'ISO, MDY'; SET LOCAL timezone = 'UTC'; SET LOCAL extra_float_digits = 3; \
                         SET LOCAL bytea_output = 'hex'; SET LOCAL intervalstyle = 'postgres'";

#[derive(Debug)]
pub(super) struct Source {
    session: Session,
    kinds: Vec<Kind>,
    fetch_rows: usize,
    is_open: bool,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Integer,
    Bool,
    Other,
}

type Described = (String, String, bool, bool, Option<String>);

impl Source {
    pub(super) fn open(url: &PostgresUrl) -> Result<Self, ReadError> {
        let location = DatabaseUrl::Postgres(url.clone()).to_string();
        let options = connect_options(url).map_err(|problem| ReadError::Postgres {
            location: location.clone(),
            problem,
        })?;
        let mut session = Session::connect(&options, &location)?;
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        session.execute(
            "SET LOCAL row_security = off; SET LOCAL statement_timeout = 0; \
             SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = '30s'",
        )?;
        session.execute(EXACT)?;
        Ok(Self {
            session,
            kinds: Vec::new(),
            fetch_rows: PAGE_ROWS,
            is_open: false,
        })
    }

    pub(super) fn schema(&mut self, name: &str) -> Result<Option<TableSchema>, ReadError> {
        let table = format!("to_regclass('{}')", quoted(name));
        let columns: Vec<Described> = self.session.rows(&format!(
            "SELECT attname::text, format_type(atttypid, atttypmod), attnotnull, \
             EXISTS (SELECT 1 FROM pg_index WHERE indrelid = attrelid AND indisprimary AND attnum = ANY (indkey)), \
             CASE WHEN attidentity <> '' THEN 'nextval()' ELSE pg_get_expr(adbin, adrelid) END FROM pg_attribute \
             LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum \
             WHERE attrelid = {table} AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        ))?;
        if columns.is_empty() {
            return Ok(None);
        }
        let constraints: Vec<(String, String)> = self.session.rows(&format!(
            "SELECT conname::text, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = {table} \
             AND contype IN ('p', 'u', 'f', 'c') ORDER BY contype <> 'p', contype = 'f', conname"
        ))?;
        let indexes: Vec<(String,)> = self.session.rows(&format!(
            "SELECT regexp_replace(pg_get_indexdef(indexrelid), ' ON (ONLY )?\\S+ USING ', ' ON {} USING ') FROM pg_index \
             WHERE indrelid = {table} AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid \
             AND conrelid = indrelid) ORDER BY 1",
            quoted(name)
        ))?;
        let constraint = |(constraint, definition): (String, String)| {
            format!(
                "ALTER TABLE {} ADD CONSTRAINT {} {definition}",
                quoted(name),
                quoted(&constraint)
            )
        };
        let statements = constraints.into_iter().map(constraint);
        let column = |(name, kind, is_required, is_key, default)| ColumnSchema {
            name,
            kind,
            is_required,
            is_key,
            default,
        };
        Ok(Some(TableSchema {
            name: name.to_owned(),
            columns: columns.into_iter().map(column).collect(),
            statements: statements
                .chain(indexes.into_iter().map(|(sql,)| sql))
                .collect(),
        }))
    }

    pub(super) fn organizations(&mut self, table: &str) -> Result<Vec<Option<i64>>, ReadError> {
        let rows: Vec<(Option<i64>,)> = self.session.rows(&format!(
            "SELECT DISTINCT organization_id::bigint FROM {} ORDER BY 1",
            quoted(table)
        ))?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    pub(super) fn begin(
        &mut self,
        schema: &TableSchema,
        part: Part,
        after: Option<i64>,
    ) -> Result<(), ReadError> {
        if std::mem::take(&mut self.is_open) {
            self.session.execute("CLOSE archive")?;
        }
        let filter = match part {
            Part::All => String::new(),
            Part::Organization(Some(id)) => format!(" AND organization_id = {id}"),
            Part::Organization(None) => " AND organization_id IS NULL".to_owned(),
            other => format!(" AND {}", other.condition().unwrap_or_default()),
        };
        let after = after.map_or_else(|| "true".to_owned(), |id| format!("id > {id}"));
        let kind = |kind: &str| match kind {
            "smallint" | "integer" | "bigint" => Kind::Integer,
            "boolean" => Kind::Bool,
            _ => Kind::Other,
        };
        self.kinds = schema.columns.iter().map(|it| kind(&it.kind)).collect();
        self.session.execute(&format!(
            "DECLARE archive NO SCROLL CURSOR FOR SELECT id, {} FROM {} WHERE {after}{filter} ORDER BY id",
            super::column_list(schema),
            quoted(&schema.name)
        ))?;
        self.is_open = true;
        self.fetch_rows = PAGE_ROWS;
        Ok(())
    }

    pub(super) fn next_page(&mut self) -> Result<Vec<Record>, ReadError> {
        let sql = format!("FETCH {} FROM archive", self.fetch_rows);
        let rows = self.session.fetch(&sql)?;
        let page = rows.iter().map(|row| record(row, &self.kinds));
        let page: Vec<Record> = page
            .collect::<Result<_, _>>()
            .map_err(|error| self.session.fail(&error))?;
        let size: usize = page.iter().map(Record::size_bytes).sum();
        // Rows may be large: as many as would have made one page.
        self.fetch_rows = match size.checked_div(page.len()) {
            Some(average) => (PAGE_BYTES / average.max(1)).clamp(1, PAGE_ROWS),
            None => PAGE_ROWS,
        };
        Ok(page)
    }
}

/// The values of a row as text: what the simple query protocol sends.
fn record(row: &PgRow, kinds: &[Kind]) -> Result<Record, sqlx::Error> {
    let text = |index: usize| {
        let value = row.try_get_raw(index)?;
        if value.is_null() {
            return Ok(None);
        }
        let text = value.as_str().map_err(sqlx::Error::Decode)?;
        Ok::<_, sqlx::Error>(Some(text.to_owned()))
    };
    let number = |text: &str| {
        text.parse::<i64>()
            .map_err(|error| sqlx::Error::Decode(error.into()))
    };
    let cell = |(index, kind): (usize, &Kind)| {
        Ok(match (text(index + 1)?, kind) {
            (None, _) => Cell::Null,
            (Some(text), Kind::Integer) => Cell::Integer(number(&text)?),
            (Some(text), Kind::Bool) => Cell::Bool(text == "t"),
            (Some(text), Kind::Other) => Cell::Text(text.into_bytes()),
        })
    };
    Ok(Record {
        id: number(&text(0)?.unwrap_or_default())?,
        cells: kinds
            .iter()
            .enumerate()
            .map(cell)
            .collect::<Result<_, sqlx::Error>>()?,
    })
}
