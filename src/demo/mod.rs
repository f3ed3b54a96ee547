//! A sample QWED database, for a first look at the program, for tests and for benchmarks.

pub mod generator;
mod keys;
mod surroundings;

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use thiserror::Error;

use self::generator::{Generator, SqliteWriter};
pub use self::keys::KEYS;
use crate::{private, trail::keys::Key};

/// The key that signs the sample. It is public, and so fit for samples only.
pub const KEY: &str = "trailkeeper-demo-audit-key-0123456789abcdef";

/// Why the sample could not be made.
#[derive(Debug, Error)]
pub enum DemoError {
    /// The file system refused.
    #[error("cannot make the sample in {path}")]
    Io {
        /// Where.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is no sample is in the way.
    #[error(
        "{0} exists and is not a sample that trailkeeper made; it stays as it is, give another --directory"
    )]
    Occupied(String),
    /// SQLite refused.
    #[error("cannot make the sample database")]
    Sqlite(#[from] rusqlite::Error),
}

/// What is the matter with the sample's trails: old entries, and one that was changed behind QWED's back.
pub const TAMPERING: [&str; 3] = [
    "organisation 1: entries 1 to 12 were written before the chain began",
    "organisation 2: the verdict of one entry was set to its opposite",
    "organisation 3: nothing; it is intact",
];

/// How many entries [`remove_newest`] takes.
pub const REMOVED: i64 = 3;

/// The organisation of a user whom the demo erases.
pub const SUBJECT_ORGANIZATION: i64 = 1;
/// That user: one with entries, among them not the organisation's newest, and with an API key.
pub const SUBJECT: i64 = 103;

const ORGANIZATIONS: i64 = 3;
const ENTRIES: u32 = 3000;
/// How long before now its entries begin, and about when they end: within what a report covers.
const BEGINS: SignedDuration = SignedDuration::from_hours(24 * 60);
const ENDS: SignedDuration = SignedDuration::from_hours(24);

/// Since when the sample's key is in use, if the sample is made at `now`.
#[must_use]
pub fn key_since(now: Timestamp) -> Timestamp {
    now - BEGINS
}

/// Marks a sample as such in the file's header (`PRAGMA application_id`), so that nothing else is ever replaced.
const APPLICATION_ID: i32 = 0x746b_6470;

/// Removes the newest entries of organisation 3, as somebody would who wants something not to have happened. What is left
/// is as sound a chain as before.
///
/// # Errors
/// If the file cannot be written.
pub fn remove_newest(path: &Path) -> rusqlite::Result<usize> {
    let file = Connection::open(path)?;
    file.busy_timeout(std::time::Duration::from_secs(10))?;
    file.execute(
        "DELETE FROM verificationlog WHERE id IN (SELECT id FROM verificationlog WHERE organization_id = 3 \
         ORDER BY id DESC LIMIT ?1)",
        [REMOVED],
    )
}

/// Makes a database of three organisations with a few thousand entries at `path`, replacing a sample that is there, and
/// tampers with one entry as [`TAMPERING`] says. Its entries are of the two months before `now`, and its API keys those of [`KEYS`];
/// but for these times it is the same each time.
///
/// # Errors
/// If the file cannot be written, or is there and no sample.
pub fn make_sample(path: &Path, now: Timestamp) -> Result<(), DemoError> {
    let io = |source| DemoError::Io {
        path: path.display().to_string(),
        source,
    };
    if let Some(directory) = path.parent() {
        private::create_directory(directory).map_err(io)?;
    }
    if path.exists() {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let mark = Connection::open_with_flags(path, flags).and_then(|file| {
            file.pragma_query_value(None, "application_id", |row| row.get::<_, i32>(0))
        });
        if mark.ok() != Some(APPLICATION_ID) {
            return Err(DemoError::Occupied(path.display().to_string()));
        }
        std::fs::remove_file(path).map_err(io)?;
    }
    let mut generator = Generator::new(Key::new("demo", KEY.as_bytes()), ORGANIZATIONS, 1);
    generator.leave_unsigned(12);
    let mut writer = SqliteWriter::create(path)?;
    let micros = |at: Timestamp| at.as_microsecond();
    let (begin, end) = (micros(key_since(now)), micros(now - ENDS));
    generator.spread(begin, end, ENTRIES.into());
    writer.write(&mut generator, ENTRIES.into())?;
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    keys::add(&connection, ORGANIZATIONS, now)?;
    surroundings::add(&connection, ORGANIZATIONS, now)?;
    let flipped: i64 = connection.query_row(
        "SELECT id FROM verificationlog WHERE organization_id = 2 ORDER BY id LIMIT 1 OFFSET 50",
        (),
        |row| row.get(0),
    )?;
    connection.execute(
        "UPDATE verificationlog SET is_verified = NOT is_verified WHERE id = ?1",
        [flipped],
    )?;
    Ok(())
}
