//! Tables of a SQLite file, in pages.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, types::ValueRef};

use super::{
    Cell, ColumnSchema, PAGE_BYTES, PAGE_ROWS, Part, Record, TableSchema, column_list, quoted,
};
use crate::qwed::{
    ReadError,
    sqlite::{connect, expect_file, explain},
};

/// Ids of one look where few rows may match: a statement that goes on until it has a page of them would lock a running QWED
/// out for as long.
const WINDOW_IDS: u64 = 20_000;

#[derive(Debug)]
pub(super) struct Source {
    connection: Connection,
    path: PathBuf,
    sql: String,
    /// Finds where the next row is, whosever; none where pages are filled without looking far.
    next_sql: Option<String>,
    after: i64,
    is_done: bool,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, ReadError> {
        expect_file(path)?;
        Ok(Self {
            connection: connect(path)?,
            path: path.to_owned(),
            sql: String::new(),
            next_sql: None,
            after: 0,
            is_done: true,
        })
    }

    fn explain(&self, error: &rusqlite::Error) -> ReadError {
        explain(&self.path, error)
    }

    pub(super) fn schema(&mut self, name: &str) -> Result<Option<TableSchema>, ReadError> {
        let read = || {
            let sql = "SELECT name, type, \"notnull\", pk, dflt_value FROM pragma_table_info(?1)";
            let mut statement = self.connection.prepare(sql)?;
            let columns = statement.query_map([name], |row| {
                Ok(ColumnSchema {
                    name: row.get(0)?,
                    kind: row.get(1)?,
                    is_required: row.get(2)?,
                    is_key: row.get::<_, i64>(3)? > 0,
                    default: row.get(4)?,
                })
            })?;
            let columns: Vec<ColumnSchema> = columns.collect::<Result<_, _>>()?;
            // The table before its indexes.
            let sql = "SELECT sql FROM sqlite_schema WHERE lower(tbl_name) = ?1 AND sql IS NOT NULL \
                       AND type IN ('table', 'index') ORDER BY type DESC, name";
            let mut statement = self.connection.prepare(sql)?;
            let statements = statement.query_map([name], |row| row.get(0))?;
            let statements: Vec<String> = statements.collect::<Result<_, _>>()?;
            Ok((!columns.is_empty()).then(|| TableSchema {
                name: name.to_owned(),
                columns,
                statements,
            }))
        };
        read().map_err(|error| self.explain(&error))
    }

    pub(super) fn organizations(&mut self, table: &str) -> Result<Vec<Option<i64>>, ReadError> {
        let read = || {
            let sql = format!(
                "SELECT DISTINCT CASE typeof(organization_id) WHEN 'integer' THEN organization_id END FROM {} ORDER BY 1",
                quoted(table)
            );
            let mut statement = self.connection.prepare(&sql)?;
            let rows = statement.query_map((), |row| row.get(0))?;
            rows.collect::<Result<_, _>>()
        };
        read().map_err(|error| self.explain(&error))
    }

    pub(super) fn begin(
        &mut self,
        schema: &TableSchema,
        part: Part,
        after: Option<i64>,
    ) -> Result<(), ReadError> {
        let filter = match part {
            Part::All => String::new(),
            Part::Organization(Some(id)) => format!(" AND organization_id = {id}"),
            Part::Organization(None) => " AND typeof(organization_id) <> 'integer'".to_owned(),
            other => format!(" AND {}", other.condition().unwrap_or_default()),
        };
        let table = quoted(&schema.name);
        self.sql = format!(
            "SELECT rowid, {} FROM {table} WHERE rowid > ?1 AND rowid <= ?2{filter} ORDER BY rowid LIMIT {PAGE_ROWS}",
            column_list(schema),
        );
        let next = || format!("SELECT rowid FROM {table} WHERE rowid > ?1 ORDER BY rowid LIMIT 1");
        self.next_sql = part.condition().map(|_| next());
        self.after = after.unwrap_or(i64::MIN);
        self.is_done = false;
        Ok(())
    }

    pub(super) fn next_page(&mut self) -> Result<Vec<Record>, ReadError> {
        while !self.is_done {
            let Some(up_to) = self.window()? else {
                break;
            };
            let page = self.page(up_to)?;
            match page.last() {
                Some(last) => {
                    self.after = last.id;
                    return Ok(page);
                }
                None if up_to == i64::MAX => break,
                None => self.after = up_to,
            }
        }
        self.is_done = true;
        Ok(Vec::new())
    }

    /// Up to which id to look for the next page; `None` behind the last row.
    fn window(&self) -> Result<Option<i64>, ReadError> {
        let Some(sql) = &self.next_sql else {
            return Ok(Some(i64::MAX));
        };
        let next = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let next = statement.query_row([self.after], |row| row.get::<_, i64>(0));
            next.optional()
        };
        let next = next().map_err(|error| self.explain(&error))?;
        Ok(next.map(|next| next.saturating_add_unsigned(WINDOW_IDS - 1)))
    }

    fn page(&self, up_to: i64) -> Result<Vec<Record>, ReadError> {
        let read = || {
            let mut statement = self.connection.prepare_cached(&self.sql)?;
            let width = statement.column_count();
            let mut rows = statement.query([self.after, up_to])?;
            let (mut page, mut bytes) = (Vec::new(), 0);
            while bytes < PAGE_BYTES
                && let Some(row) = rows.next()?
            {
                let cells = (1..width).map(|index| row.get_ref(index).map(cell));
                let record = Record {
                    id: row.get(0)?,
                    cells: cells.collect::<Result<_, _>>()?,
                };
                bytes += record.size_bytes();
                page.push(record);
            }
            Ok(page)
        };
        read().map_err(|error| self.explain(&error))
    }
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Integer(number),
        ValueRef::Real(number) => Cell::Real(number),
        ValueRef::Text(text) => Cell::Text(text.to_owned()),
        ValueRef::Blob(bytes) => Cell::Blob(bytes.to_owned()),
    }
}
