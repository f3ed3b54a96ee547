//! Into a new SQLite file.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{
    Connection,
    types::{ToSqlOutput, ValueRef},
};

use super::{
    BackupError, Target,
    types::{sqlite_type, sqlite_value},
};
use crate::qwed::{
    Dialect, ReadError,
    tables::{Cell, TableSchema, quoted},
};

/// Runs a restore into a file, which is made readable for its owner alone and goes again if that fails.
pub(super) fn into_file<T>(
    path: &Path,
    restore: impl FnOnce(&mut dyn Target) -> Result<T, BackupError>,
) -> Result<T, BackupError> {
    let fail = |error: std::io::Error| {
        BackupError::Qwed(ReadError::Sqlite {
            path: path.to_owned(),
            problem: error.to_string(),
        })
    };
    let mut options = std::fs::OpenOptions::new();
    let made = options.write(true).create_new(true).mode(0o600).open(path);
    let is_new = match made {
        Ok(_) => true,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(fail(error)),
    };
    let restored = File::open(path).and_then(|mut file| restore(&mut file));
    if restored.is_err() && is_new {
        // It holds nothing; what failed is what is told.
        let _ = std::fs::remove_file(path);
    }
    restored
}

struct File {
    connection: Connection,
    path: PathBuf,
}

impl File {
    fn open(path: &Path) -> Result<Self, BackupError> {
        let fail = |error: &rusqlite::Error| failed(path, error);
        let connection = Connection::open(path).map_err(|error| fail(&error))?;
        let file = Self {
            connection,
            path: path.to_owned(),
        };
        let count = "SELECT count(*) FROM sqlite_schema";
        let count: rusqlite::Result<i64> = file.connection.query_row(count, (), |row| row.get(0));
        if count.map_err(|error| fail(&error))? > 0 {
            return Err(BackupError::Refused(format!(
                "{} is not empty: an archive is restored into an empty database only",
                path.display()
            )));
        }
        file.run("PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE")?;
        Ok(file)
    }

    fn run(&self, sql: &str) -> Result<(), BackupError> {
        let done = self.connection.execute_batch(sql);
        done.map_err(|error| failed(&self.path, &error))
    }
}

fn failed(path: &Path, error: &rusqlite::Error) -> BackupError {
    BackupError::Qwed(ReadError::Sqlite {
        path: path.to_owned(),
        problem: error.to_string(),
    })
}

fn makes_table(sql: &str) -> bool {
    let start = sql.get(..12).unwrap_or_default();
    start.eq_ignore_ascii_case("CREATE TABLE")
}

impl Target for File {
    fn make(&mut self, schema: &TableSchema, from: Dialect) -> Result<(), BackupError> {
        if from == Dialect::Sqlite {
            let statements = schema.statements.iter();
            return statements
                .filter(|sql| makes_table(sql))
                .try_for_each(|sql| self.run(sql));
        }
        let mut parts: Vec<String> = Vec::new();
        for column in &schema.columns {
            let required = if column.is_required { " NOT NULL" } else { "" };
            let kind = sqlite_type(&column.kind);
            parts.push(format!("{} {kind}{required}", quoted(&column.name)));
        }
        let keys = schema.columns.iter().filter(|column| column.is_key);
        let keys: Vec<String> = keys.map(|column| quoted(&column.name)).collect();
        if !keys.is_empty() {
            parts.push(format!("PRIMARY KEY ({})", keys.join(", ")));
        }
        self.run(&format!(
            "CREATE TABLE {} ({})",
            quoted(&schema.name),
            parts.join(", ")
        ))
    }

    fn write(
        &mut self,
        schema: &TableSchema,
        from: Dialect,
        next: &mut dyn FnMut() -> Result<Option<Vec<Cell>>, BackupError>,
    ) -> Result<u64, BackupError> {
        let names: Vec<String> = schema.columns.iter().map(|it| quoted(&it.name)).collect();
        let places = vec!["?"; names.len()].join(", ");
        let insert = format!(
            "INSERT INTO {} ({}) VALUES ({places})",
            quoted(&schema.name),
            names.join(", ")
        );
        let fail = |error: &rusqlite::Error| failed(&self.path, error);
        let mut insert = self
            .connection
            .prepare(&insert)
            .map_err(|error| fail(&error))?;
        let mut rows = 0;
        while let Some(cells) = next()? {
            let cells: Vec<Cell> = match from {
                Dialect::Sqlite => cells,
                Dialect::Postgresql => {
                    let columns = schema.columns.iter();
                    let cells = columns.zip(cells);
                    cells
                        .map(|(column, cell)| sqlite_value(&column.kind, cell))
                        .collect()
                }
            };
            let values = cells.iter().map(|cell| ToSqlOutput::Borrowed(value(cell)));
            insert
                .execute(rusqlite::params_from_iter(values))
                .map_err(|error| fail(&error))?;
            rows += 1;
        }
        Ok(rows)
    }

    fn finish(&mut self, schemas: &[TableSchema], from: Dialect) -> Result<(), BackupError> {
        for schema in schemas {
            if from == Dialect::Sqlite {
                let rest = schema.statements.iter().filter(|sql| !makes_table(sql));
                rest.into_iter().try_for_each(|sql| self.run(sql))?;
            } else if schema.columns.iter().any(|it| it.name == "organization_id") {
                self.run(&index(schema))?;
            }
        }
        self.run("COMMIT")
    }
}

/// The index that reading one organisation's rows takes, by QWED's name for it.
pub(super) fn index(schema: &TableSchema) -> String {
    format!(
        "CREATE INDEX {} ON {} (organization_id)",
        quoted(&format!("ix_{}_organization_id", schema.name)),
        quoted(&schema.name)
    )
}

fn value(cell: &Cell) -> ValueRef<'_> {
    match cell {
        Cell::Null => ValueRef::Null,
        Cell::Bool(truth) => ValueRef::Integer((*truth).into()),
        Cell::Integer(number) => ValueRef::Integer(*number),
        Cell::Real(number) => ValueRef::Real(*number),
        Cell::Text(text) => ValueRef::Text(text),
        Cell::Blob(bytes) => ValueRef::Blob(bytes),
    }
}
