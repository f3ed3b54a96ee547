//! The manifest: what is in the zip, for programs.

use serde::Serialize;
use serde_json::Value;

use super::{
    content::Plan,
    write::{FORMAT, FileEntry, Source},
};
use crate::qwed::Dialect;

#[derive(Serialize)]
struct Manifest<'a> {
    format: &'static str,
    program: String,
    made_at: String,
    subject: Value,
    organization_is_active: bool,
    database: Dialect,
    tables_read: Vec<&'a str>,
    /// Tables of QWED's newest release that this database does not have.
    tables_absent: &'a [&'static str],
    columns_withheld: &'a [String],
    /// All files but this one.
    files: &'a [FileEntry],
}

pub(super) fn json(
    source: &Source<'_>,
    plan: &Plan,
    dialect: Dialect,
    files: &[FileEntry],
) -> Vec<u8> {
    let mut tables_read: Vec<&str> = plan.extracts.iter().map(|it| &*it.schema.name).collect();
    tables_read.dedup();
    let manifest = Manifest {
        format: FORMAT,
        program: concat!("trailkeeper ", env!("CARGO_PKG_VERSION")).to_owned(),
        made_at: source.made_at.to_string(),
        subject: source.target.ids(),
        organization_is_active: source.target.organization_is_active(),
        database: dialect,
        tables_read,
        tables_absent: &plan.absent,
        columns_withheld: &plan.withheld,
        files,
    };
    let mut json = serde_json::to_vec_pretty(&manifest).expect("it has no map");
    json.push(b'\n');
    json
}
