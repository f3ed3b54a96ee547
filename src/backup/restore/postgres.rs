//! Into a PostgreSQL database, by `COPY`. Tables that are there, empty, are filled as they are; those that are not are made.

use std::collections::HashSet;

use super::{BackupError, Target, sqlite::index, types::postgres_type};
use crate::qwed::{
    Dialect,
    postgres::{Session, connect_options},
    tables::{Cell, TableSchema, quoted},
    url::{DatabaseUrl, PostgresUrl},
};
use crate::qwed::{ReadError, tables::EXACT};

/// Bytes that are sent at once.
const CHUNK: usize = 1 << 18;

pub(super) struct Database {
    session: Session,
    location: String,
    made: HashSet<String>,
}

impl Database {
    pub(super) fn open(url: &PostgresUrl) -> Result<Self, BackupError> {
        let location = DatabaseUrl::Postgres(url.clone()).to_string();
        let options = connect_options(url).map_err(|problem| ReadError::Postgres {
            location: location.clone(),
            problem,
        })?;
        let mut session = Session::connect(&options, &location)?;
        session.execute("BEGIN")?;
        session.execute(EXACT)?;
        session.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30s'")?;
        session.execute("SET LOCAL idle_in_transaction_session_timeout = 0")?;
        Ok(Self {
            session,
            location,
            made: HashSet::new(),
        })
    }

    fn is_there(&mut self, table: &str) -> Result<bool, BackupError> {
        let found: Vec<(bool,)> = self.session.rows(&format!(
            "SELECT to_regclass('{}') IS NOT NULL",
            quoted(table)
        ))?;
        Ok(found.first().is_some_and(|(found,)| *found))
    }
}

impl Target for Database {
    fn make(&mut self, schema: &TableSchema, from: Dialect) -> Result<(), BackupError> {
        let table = quoted(&schema.name);
        if self.is_there(&schema.name)? {
            let rows: Vec<(i32,)> = self
                .session
                .rows(&format!("SELECT 1 FROM {table} LIMIT 1"))?;
            if rows.is_empty() {
                return Ok(());
            }
            return Err(BackupError::Refused(format!(
                "the table {table} of {} is not empty: an archive is restored into an empty database only",
                self.location
            )));
        }
        let mut parts: Vec<String> = Vec::new();
        for column in &schema.columns {
            let is_serial = column
                .default
                .as_ref()
                .is_some_and(|it| it.starts_with("nextval("));
            let kind = match (from, is_serial, column.kind.as_str()) {
                (Dialect::Sqlite, ..) => postgres_type(column),
                (_, true, "bigint") => "BIGSERIAL".to_owned(),
                (_, true, _) => "SERIAL".to_owned(),
                (_, false, kind) => kind.to_owned(),
            };
            let required = if column.is_required { " NOT NULL" } else { "" };
            let default = match &column.default {
                Some(default) if from == Dialect::Postgresql && !is_serial => {
                    format!(" DEFAULT {default}")
                }
                _ => String::new(),
            };
            parts.push(format!(
                "{} {kind}{default}{required}",
                quoted(&column.name)
            ));
        }
        if from == Dialect::Sqlite {
            let keys = schema.columns.iter().filter(|column| column.is_key);
            let keys: Vec<String> = keys.map(|column| quoted(&column.name)).collect();
            if !keys.is_empty() {
                parts.push(format!("PRIMARY KEY ({})", keys.join(", ")));
            }
        }
        self.session
            .execute(&format!("CREATE TABLE {table} ({})", parts.join(", ")))?;
        self.made.insert(schema.name.clone());
        Ok(())
    }

    fn write(
        &mut self,
        schema: &TableSchema,
        _: Dialect,
        next: &mut dyn FnMut() -> Result<Option<Vec<Cell>>, BackupError>,
    ) -> Result<u64, BackupError> {
        let names: Vec<String> = schema.columns.iter().map(|it| quoted(&it.name)).collect();
        let copy = format!(
            "COPY {} ({}) FROM STDIN",
            quoted(&schema.name),
            names.join(", ")
        );
        let mut is_done = false;
        self.session.copy_in(&copy, || {
            let mut chunk = Vec::with_capacity(CHUNK + (CHUNK >> 2));
            while !is_done && chunk.len() < CHUNK {
                match next()? {
                    Some(cells) => line(&mut chunk, schema, &cells)?,
                    None => is_done = true,
                }
            }
            Ok((!chunk.is_empty()).then_some(chunk))
        })
    }

    fn finish(&mut self, schemas: &[TableSchema], from: Dialect) -> Result<(), BackupError> {
        let made: Vec<&TableSchema> = schemas
            .iter()
            .filter(|schema| self.made.contains(&schema.name))
            .collect();
        if from == Dialect::Postgresql {
            // What foreign keys refer to has to have its own key first.
            for is_foreign in [false, true] {
                for sql in made.iter().flat_map(|schema| &schema.statements) {
                    if sql.contains(" FOREIGN KEY ") == is_foreign {
                        self.session.execute(sql)?;
                    }
                }
            }
        } else {
            for schema in made {
                if schema.columns.iter().any(|it| it.name == "organization_id") {
                    self.session.execute(&index(schema))?;
                }
            }
        }
        for schema in schemas {
            let table = quoted(&schema.name);
            self.session.execute(&format!(
                "SELECT setval(sequence, newest) FROM (SELECT pg_get_serial_sequence('{table}', 'id') AS sequence, \
                 (SELECT max(id) FROM {table}) AS newest) AS it WHERE sequence IS NOT NULL AND newest IS NOT NULL"
            ))?;
        }
        self.session.execute("COMMIT")?;
        Ok(())
    }
}

/// A row in the text format of `COPY`.
fn line(out: &mut Vec<u8>, schema: &TableSchema, cells: &[Cell]) -> Result<(), BackupError> {
    for (index, (cell, column)) in cells.iter().zip(&schema.columns).enumerate() {
        if index > 0 {
            out.push(b'\t');
        }
        let text = match cell {
            Cell::Null => {
                out.extend_from_slice(b"\\N");
                continue;
            }
            Cell::Text(text) if !text.contains(&0) && std::str::from_utf8(text).is_ok() => text,
            Cell::Bool(truth) => {
                out.push(if *truth { b't' } else { b'f' });
                continue;
            }
            Cell::Integer(number) => {
                out.extend_from_slice(number.to_string().as_bytes());
                continue;
            }
            Cell::Real(number) => {
                out.extend_from_slice(format!("{number:?}").as_bytes());
                continue;
            }
            Cell::Text(_) | Cell::Blob(_) => {
                return Err(BackupError::Refused(format!(
                    "the column {} of a row of {} holds bytes that PostgreSQL takes for no text; restore it into SQLite",
                    column.name, schema.name
                )));
            }
        };
        for &byte in text {
            match byte {
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                other => out.push(other),
            }
        }
    }
    out.push(b'\n');
    Ok(())
}
