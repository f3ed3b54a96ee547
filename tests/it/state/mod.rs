//! How our own database behaves, the same on SQLite and PostgreSQL.

mod coverage;
pub(crate) mod faults;
mod jobs;
mod messages;
mod migrations;
