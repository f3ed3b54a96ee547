//! A table as CSV (RFC 4180). What a spreadsheet could take for a formula has an apostrophe in front, as in an export.

use std::borrow::Cow;
use std::io;

use csv::{Terminator, WriterBuilder};
use serde_json::Value;

use super::page::Anchors;
use crate::{
    report::model::{Report, Table},
    spreadsheet::harmless,
};

/// All tables of a report, each with the name of its file, which stays while controls and tables keep theirs:
/// `security_events-unreviewed.csv`.
#[must_use]
pub fn csv_files(report: &Report) -> Vec<(String, &Table)> {
    let mut names = Anchors::default();
    let mut files = Vec::new();
    for control in &report.controls {
        for table in &control.tables {
            let name = names.take(&format!("{}-{}", control.id, table.name));
            files.push((format!("{name}.csv"), table));
        }
    }
    files
}

/// Writes the rows that a table lists, below its columns. Nothing is cut; times and numbers stand as they do in JSON.
///
/// # Errors
/// If `out` cannot be written to.
pub fn csv(table: &Table, out: impl io::Write) -> io::Result<()> {
    let mut writer = WriterBuilder::new()
        .terminator(Terminator::CRLF)
        // Too short a row is written as it is, rather than not at all.
        .flexible(true)
        .from_writer(out);
    let columns = table.columns.iter().map(|it| harmless(it));
    writer.write_record(columns.map(bytes)).map_err(failed)?;
    for row in &table.rows {
        writer
            .write_record(row.iter().map(cell).map(bytes))
            .map_err(failed)?;
    }
    writer.flush()
}

fn cell(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => "".into(),
        Value::String(text) => harmless(text),
        Value::Bool(_) | Value::Number(_) => value.to_string().into(),
        // Begins with a bracket, and so is no formula.
        Value::Array(_) | Value::Object(_) => value.to_string().into(),
    }
}

fn bytes(text: Cow<'_, str>) -> Vec<u8> {
    text.into_owned().into_bytes()
}

fn failed(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_none_is_lost() {
        let row = |values: Value| values.as_array().expect("an array").clone();
        let table = Table {
            name: "t".into(),
            title: "T".into(),
            columns: vec!["id".into(), "=cmd".into(), "b,\"c".into()],
            rows: vec![
                row(json!([-1, "-1", null])),
                row(json!([1.5, "=1+1", true])),
                row(json!([10_000_000, "@a\r\nb", "\tx"])),
                row(json!([0, "'quoted", "\u{0}\u{202e}"])),
            ],
            rows_total: 9,
        };
        let mut out = Vec::new();
        csv(&table, &mut out).expect("memory takes all");
        assert_eq!(
            String::from_utf8(out).expect("UTF-8"),
            "id,'=cmd,\"b,\"\"c\"\r\n-1,'-1,\r\n1.5,'=1+1,true\r\n10000000,\"'@a\r\nb\",'\tx\r\n0,''quoted,\u{0}\u{202e}\r\n"
        );
    }
}
