//! Tables of a SQLite file, in pages.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, types::ValueRef};

use super::{
    Cell, ColumnSchema, PAGE_BYTES, PAGE_ROWS, Part, Record, TableSchema, column_list, quoted,
};
use crate::qwed::{
    ReadError,
    sqlite::{connect, expect_file, explain},
};

#[derive(Debug)]
pub(super) struct Source {
    connection: Connection,
    path: PathBuf,
    sql: String,
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
        };
        self.sql = format!(
            "SELECT rowid, {} FROM {} WHERE rowid > ?1{filter} ORDER BY rowid LIMIT {PAGE_ROWS}",
            column_list(schema),
            quoted(&schema.name)
        );
        self.after = after.unwrap_or(i64::MIN);
        self.is_done = false;
        Ok(())
    }

    pub(super) fn next_page(&mut self) -> Result<Vec<Record>, ReadError> {
        if self.is_done {
            return Ok(Vec::new());
        }
        let read = || {
            let mut statement = self.connection.prepare_cached(&self.sql)?;
            let width = statement.column_count();
            let mut rows = statement.query([self.after])?;
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
        let page: Vec<Record> = read().map_err(|error| self.explain(&error))?;
        match page.last() {
            Some(last) => self.after = last.id,
            None => self.is_done = true,
        }
        Ok(page)
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
