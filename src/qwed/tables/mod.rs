//! QWED's tables as they are: every column of every row with its exact type, for an archive that a restore makes the same
//! rows of.
//!
//! Nothing is interpreted here. SQLite lets any value stand in any column, so each value carries its own type; PostgreSQL's
//! values come as the text that its own input functions read back to the same value.

mod postgres;
mod sqlite;

use serde::{Deserialize, Serialize};

pub(crate) use postgres::EXACT;

use super::{Dialect, ReadError, url::DatabaseUrl};

/// Rows of one page.
const PAGE_ROWS: usize = 500;
/// A page ends when it has so many bytes.
const PAGE_BYTES: usize = 2 << 20;

/// A value with its type.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// NULL.
    Null,
    /// A boolean (PostgreSQL).
    Bool(bool),
    /// An integer.
    Integer(i64),
    /// A floating-point number (SQLite).
    Real(f64),
    /// Text, on SQLite not necessarily UTF-8. On PostgreSQL also everything that is none of the others.
    Text(Vec<u8>),
    /// Bytes (SQLite).
    Blob(Vec<u8>),
}

impl Cell {
    /// The value of an integer.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            _ => None,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Text(bytes) | Self::Blob(bytes) => bytes.len(),
            _ => 8,
        }
    }
}

/// How a table was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    /// Its name.
    pub name: String,
    /// Its columns, in order.
    pub columns: Vec<ColumnSchema>,
    /// SQLite: the statements that make the table and its indexes. PostgreSQL: those that add constraints and indexes.
    pub statements: Vec<String>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnSchema {
    /// Its name.
    pub name: String,
    /// Its type as it was declared (SQLite) or is called (PostgreSQL).
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether NULL is refused.
    pub is_required: bool,
    /// Whether it is the primary key, or a part of it.
    pub is_key: bool,
    /// The expression that fills it.
    pub default: Option<String>,
}

/// Which rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of them.
    All,
    /// Those of one organisation, or those whose organisation is no integer.
    Organization(Option<i64>),
    /// Those that hold this integer in this column.
    Holding(&'static str, i64),
    /// Those of agents that hold this integer in this column of theirs.
    OfAgents(&'static str, i64),
    /// Tool calls that this user approved, as QWED writes it.
    ApprovedBy(i64),
}

impl Part {
    /// The condition of the parts that both kinds of database spell alike, each of which may match few rows far apart.
    fn condition(self) -> Option<String> {
        match self {
            Self::All | Self::Organization(_) => None,
            Self::Holding(column, value) => Some(format!("{} = {value}", quoted(column))),
            Self::OfAgents(column, value) => Some(format!(
                "agent_id IN (SELECT id FROM agent WHERE {} = {value})",
                quoted(column)
            )),
            Self::ApprovedBy(user) => Some(format!("approved_by = 'user:{user}'")),
        }
    }
}

/// A row: its id, and its values in the order of the table's columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its id.
    pub id: i64,
    /// Its values.
    pub cells: Vec<Cell>,
}

impl Record {
    /// What its values take.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.cells.iter().map(Cell::size).sum()
    }
}

/// QWED's tables, open for reading on one thread. On PostgreSQL all that is read is of one instant; on SQLite each page is,
/// as a reader must not keep QWED from writing for long.
#[derive(Debug)]
pub struct Tables {
    schemas: Vec<TableSchema>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Sqlite(sqlite::Source),
    Postgres(Box<postgres::Source>),
}

macro_rules! either {
    ($self:expr, $inner:ident => $call:expr) => {
        match &mut $self.source {
            Source::Sqlite($inner) => $call,
            Source::Postgres($inner) => $call,
        }
    };
}

impl Tables {
    /// Opens those of these tables that there are.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn open(url: &DatabaseUrl, names: &[&str]) -> Result<Self, ReadError> {
        let mut source = match url {
            DatabaseUrl::Sqlite(path) => Source::Sqlite(sqlite::Source::open(path)?),
            DatabaseUrl::Postgres(url) => Source::Postgres(Box::new(postgres::Source::open(url)?)),
        };
        let mut schemas = Vec::new();
        for name in names {
            let schema = match &mut source {
                Source::Sqlite(source) => source.schema(name)?,
                Source::Postgres(source) => source.schema(name)?,
            };
            schemas.extend(schema);
        }
        Ok(Self { schemas, source })
    }

    /// The tables that there are, in the order in which they were asked for.
    #[must_use]
    pub fn schemas(&self) -> &[TableSchema] {
        &self.schemas
    }

    /// Which kind of server.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self.source {
            Source::Sqlite(_) => Dialect::Sqlite,
            Source::Postgres(_) => Dialect::Postgresql,
        }
    }

    /// The organisations that a table has rows of, in order; `None` stands for rows whose organisation is no integer.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn organizations(&mut self, table: &str) -> Result<Vec<Option<i64>>, ReadError> {
        either!(self, source => source.organizations(table))
    }

    /// Begins to read rows with higher ids than `after`, in order of id.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn begin(
        &mut self,
        schema: &TableSchema,
        part: Part,
        after: Option<i64>,
    ) -> Result<(), ReadError> {
        either!(self, source => source.begin(schema, part, after))
    }

    /// The next rows; none at the end.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn next_page(&mut self) -> Result<Vec<Record>, ReadError> {
        either!(self, source => source.next_page())
    }
}

/// A name as SQL wants it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn column_list(schema: &TableSchema) -> String {
    let names: Vec<String> = schema.columns.iter().map(|it| quoted(&it.name)).collect();
    names.join(", ")
}
