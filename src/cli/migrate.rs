//! `trailkeeper migrate`.

use serde::Serialize;

use super::{
    Exit, Failure,
    config::Input,
    store::with_migrated_store,
    verify::{Format, print, print_json},
};

pub(super) const AFTER: &str = "\
A worker does this at its start, and every command makes the tables where there are none; only this one and the worker change tables \
of an older release. Doing it apart lets a role with the right to make tables do it before one without that right runs the worker.

Exit codes:
  0  up to date
  2  wrong usage or configuration
  3  the database cannot be reached, or is newer than this program";

#[derive(Serialize)]
struct Document {
    database: String,
    migrations: usize,
}

pub(super) fn run(input: &Input) -> Result<Exit, Failure> {
    let document = with_migrated_store(input.config.as_deref(), async |config, store| {
        Ok(Document {
            database: config.state_url().to_string(),
            migrations: store.migrate().await?,
        })
    })?;
    match input.format {
        Format::Json => print_json(&document)?,
        Format::Text => print(|out| {
            let Document {
                database,
                migrations,
            } = &document;
            writeln!(
                out,
                "the state database {database} is up to date: it has {migrations} migrations"
            )
        })?,
    }
    Ok(Exit::Intact)
}
