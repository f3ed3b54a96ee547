//! From one kind of database to the other: names of types, and values that they write differently.

use crate::qwed::tables::{Cell, ColumnSchema};

/// What SQLAlchemy calls a type of PostgreSQL's on SQLite.
pub(super) fn sqlite_type(kind: &str) -> String {
    match kind {
        "integer" | "bigint" | "smallint" => "INTEGER".to_owned(),
        "double precision" | "real" => "FLOAT".to_owned(),
        kind if kind.starts_with("timestamp") => "DATETIME".to_owned(),
        kind if kind.starts_with("character varying") => "VARCHAR".to_owned(),
        kind => kind.to_uppercase(),
    }
}

/// What SQLAlchemy calls a type of SQLite's on PostgreSQL.
pub(super) fn postgres_type(column: &ColumnSchema) -> String {
    match column.kind.to_uppercase().as_str() {
        "INTEGER" if column.is_key => "SERIAL".to_owned(),
        "DATETIME" | "TIMESTAMP" => "timestamp with time zone".to_owned(),
        "FLOAT" => "double precision".to_owned(),
        "BLOB" => "bytea".to_owned(),
        "" => "text".to_owned(),
        kind => kind.to_owned(),
    }
}

/// A value of PostgreSQL's as QWED writes it on SQLite.
pub(super) fn sqlite_value(kind: &str, cell: Cell) -> Cell {
    match cell {
        Cell::Bool(truth) => Cell::Integer(truth.into()),
        Cell::Text(text) if kind.starts_with("timestamp") => {
            let shown = String::from_utf8_lossy(&text);
            let time = shown.strip_suffix("+00").unwrap_or(&shown);
            let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
            Cell::Text(format!("{seconds}.{fraction:0<6}").into_bytes())
        }
        cell => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_qwed_does() {
        for (postgres, sqlite) in [
            ("2026-05-08 00:00:00+00", "2026-05-08 00:00:00.000000"),
            ("2026-05-08 00:00:00.25+00", "2026-05-08 00:00:00.250000"),
            ("2026-05-08 00:00:00.123456", "2026-05-08 00:00:00.123456"),
        ] {
            let cell = Cell::Text(postgres.into());
            let cell = sqlite_value("timestamp with time zone", cell);
            assert_eq!(cell, Cell::Text(sqlite.into()));
        }
    }
}
