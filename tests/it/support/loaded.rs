//! QWED's tables on PostgreSQL, filled from a fixture or a generator.

use std::fmt::Write;
use std::path::Path;

use rusqlite::types::ValueRef;
use trailkeeper::{
    demo::generator::{Entry, Generator},
    trail::time::stored_text,
};

use super::{postgres::Postgres, trails};

/// How QWED's SQLModel declares times: newer ones and older ones.
pub(crate) const TIME_TYPES: [&str; 2] =
    ["timestamp with time zone", "timestamp without time zone"];

const TABLES: &str = r#"
DROP TABLE IF EXISTS apikey, verificationlog, organization, "user" CASCADE;
CREATE TABLE organization (id SERIAL PRIMARY KEY, name VARCHAR NOT NULL UNIQUE, display_name VARCHAR NOT NULL,
  tier VARCHAR NOT NULL, is_active BOOLEAN NOT NULL, created_at TIME_TYPE NOT NULL);
CREATE TABLE verificationlog (id SERIAL PRIMARY KEY, organization_id INTEGER NOT NULL, user_id INTEGER,
  query VARCHAR NOT NULL, result VARCHAR NOT NULL, is_verified BOOLEAN NOT NULL, domain VARCHAR NOT NULL,
  timestamp TIME_TYPE NOT NULL, entry_hash VARCHAR, hmac_signature VARCHAR, previous_hash VARCHAR,
  raw_llm_output VARCHAR, api_key_id INTEGER, verifier_version VARCHAR, admission VARCHAR);
CREATE INDEX ix_verificationlog_organization_id ON verificationlog (organization_id);
"#;

pub(crate) const KEY_TABLES: &str = r#"
CREATE TABLE "user" (id SERIAL NOT NULL, email VARCHAR NOT NULL, password_hash VARCHAR NOT NULL, organization_id INTEGER NOT NULL,
  role VARCHAR NOT NULL, permissions VARCHAR, is_active BOOLEAN NOT NULL, created_at TIME_TYPE NOT NULL, PRIMARY KEY (id),
  FOREIGN KEY(organization_id) REFERENCES organization (id));
CREATE UNIQUE INDEX ix_user_email ON "user" (email);
CREATE TABLE apikey (id SERIAL NOT NULL, key_hash VARCHAR NOT NULL, key_preview VARCHAR NOT NULL, organization_id INTEGER NOT NULL,
  user_id INTEGER, name VARCHAR, is_active BOOLEAN NOT NULL, created_at TIME_TYPE NOT NULL, last_used_at TIME_TYPE,
  revoked_at TIME_TYPE, expires_at TIME_TYPE, rotation_required BOOLEAN NOT NULL, PRIMARY KEY (id),
  FOREIGN KEY(organization_id) REFERENCES organization (id), FOREIGN KEY(user_id) REFERENCES "user" (id));
CREATE UNIQUE INDEX ix_apikey_key_hash ON apikey (key_hash);
"#;

/// Makes the tables of [`make_tables`] anew, and those of users and API keys.
pub(crate) fn make_key_tables(server: &Postgres, database: &str, time_type: &str) {
    make_tables(server, database, time_type);
    server.psql(database, &KEY_TABLES.replace("TIME_TYPE", time_type));
}

/// Makes QWED 8.0.0's tables anew, as far as verification looks at them.
pub(crate) fn make_tables(server: &Postgres, database: &str, time_type: &str) {
    server.psql(database, &TABLES.replace("TIME_TYPE", time_type));
}

/// Copies a fixture to tables with times of this type; columns that it lacks are dropped.
pub(crate) fn load_fixture(server: &Postgres, database: &str, name: &str, time_type: &str) {
    make_tables(server, database, time_type);
    let fixture = trails::fixture(name);
    let mut sql = String::new();
    for column in ["api_key_id", "verifier_version", "admission"] {
        if !columns(&fixture, "verificationlog")
            .iter()
            .any(|c| c == column)
        {
            let _ = writeln!(sql, "ALTER TABLE verificationlog DROP COLUMN {column};");
        }
    }
    for table in ["organization", "verificationlog"] {
        copy_table(&fixture, table, &mut sql);
    }
    server.psql(database, &sql);
}

pub(crate) fn columns(file: &Path, table: &str) -> Vec<String> {
    let connection = trails::open(file);
    let mut statement = connection
        .prepare("SELECT name FROM pragma_table_info(?1)")
        .expect("prepare");
    statement
        .query_map([table], |row| row.get(0))
        .expect("query")
        .collect::<Result<_, _>>()
        .expect("read columns")
}

pub(crate) fn copy_table(file: &Path, table: &str, sql: &mut String) {
    let columns = columns(file, table);
    let list = format!("\"{}\"", columns.join("\",\""));
    let connection = trails::open(file);
    let mut statement = connection
        .prepare(&format!("SELECT {list} FROM \"{table}\""))
        .expect("prepare");
    let mut rows = statement.query(()).expect("query");
    let _ = writeln!(sql, "COPY \"{table}\" ({list}) FROM STDIN;");
    while let Some(row) = rows.next().expect("read a row") {
        for index in 0..columns.len() {
            if index > 0 {
                sql.push('\t');
            }
            match row.get_ref(index).expect("read a value") {
                ValueRef::Null => sql.push_str("\\N"),
                ValueRef::Integer(number) => {
                    let _ = write!(sql, "{number}");
                }
                ValueRef::Text(text) => {
                    escape(std::str::from_utf8(text).expect("text is UTF-8"), sql);
                }
                other => panic!("{table} of {} holds {other:?}", file.display()),
            }
        }
        sql.push('\n');
    }
    sql.push_str("\\.\n");
}

fn escape(text: &str, out: &mut String) {
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            other => out.push(other),
        }
    }
}

/// Adds the organisations that generated entries belong to.
pub(crate) fn add_organizations(server: &Postgres, database: &str, organizations: i64) {
    server.psql(
        database,
        &format!(
            "INSERT INTO organization SELECT id, 'org' || id, 'Organisation ' || id, 'pro', true, now() \
             FROM generate_series(1, {organizations}) AS id"
        ),
    );
}

/// `COPY` of these entries. Ids are not hashed, so `place` may give others.
pub(crate) fn copy_entries(
    generator: &mut Generator,
    entries: usize,
    mut place: impl FnMut(&Entry) -> Option<i64>,
) -> String {
    let mut sql = String::from(
        "COPY verificationlog (id, organization_id, user_id, query, result, is_verified, domain, timestamp, entry_hash, \
         hmac_signature, previous_hash, raw_llm_output, api_key_id, verifier_version, admission) FROM STDIN;\n",
    );
    for _ in 0..entries {
        let entry = generator.next_entry();
        if let Some(id) = place(&entry) {
            copy_entry(&entry, id, &mut sql);
        }
    }
    sql.push_str("\\.\n");
    sql
}

fn copy_entry(entry: &Entry, id: i64, sql: &mut String) {
    let hex = |hex: &[u8; 64]| String::from_utf8_lossy(hex).into_owned();
    let optional = |text: Option<String>| text.unwrap_or_else(|| "\\N".to_owned());
    let chain = entry.chain.as_ref().expect("generated entries are signed");
    let _ = write!(
        sql,
        "{id}\t{}\t{}\t",
        entry.organization_id,
        optional(entry.user_id.map(|user| user.to_string()))
    );
    escape(&entry.query, sql);
    sql.push('\t');
    escape(&entry.result, sql);
    let _ = write!(
        sql,
        "\tt\tMATH\t{}+00\t{}\t{}\t{}\t",
        stored_text(entry.timestamp),
        hex(&chain.entry_hash),
        hex(&chain.hmac_signature),
        optional(chain.previous_hash.as_ref().map(hex))
    );
    match &entry.raw_llm_output {
        Some(text) => escape(text, sql),
        None => sql.push_str("\\N"),
    }
    let _ = writeln!(sql, "\t{}\t8.0.0\tADMIT", entry.organization_id);
}
