//! Floor 2: what QWED holds about a person or an organisation, in a zip that they can read (GDPR Art. 15 and 20).
//!
//! ```text
//! who is asked about ──▶ resolve ──▶ rows of each table ──┬──▶ data.json ────────────────┐
//!                                     (one pass, in pages) └──▶ CSV, in a zip of its own ─┴──▶ zip: + README.html, manifest.json
//! ```
//!
//! Each table is read once and written twice as it is read, so that JSON and CSV agree whatever happens to the database
//! meanwhile. A zip takes one member at a time; so the CSV files go into a second zip without a name, and are moved over
//! compressed as they are. Memory is bounded by a page of rows, whatever there is; the disk has to hold the export about one
//! and a half times.
//!
//! Columns that hold secrets are never selected (`content::WITHHELD`). Left out: what stands in the archive, which is copies
//! of the same; and who may ask, which is for the caller to know.

mod content;
mod deliver;
mod manifest;
mod own;
mod package;
mod readme;
mod resolve;
mod value;
mod write;

use std::io;

use thiserror::Error;

pub use self::{
    content::Words,
    deliver::{Delivered, Order, Removed, deliver, directory, forget, sweep, to_file},
    own::OwnRecords,
    resolve::{Asked, Rejection, Target, resolve},
    write::{FileEntry, Made, Notice, Source},
};
use crate::{objects::VaultError, qwed::ReadError, state::StateError};

/// Why there is no export. That there is nobody to export is no error but a [`Rejection`].
#[derive(Debug, Error)]
pub enum ExportError {
    /// QWED's database could not be read.
    #[error(transparent)]
    Qwed(#[from] ReadError),
    /// Our database could not be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The object store failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A file could not be written or read.
    #[error("cannot write the export: {0}")]
    Write(#[from] io::Error),
    /// There is a file of this name, which stays as it is.
    #[error("{0} is there already, and nothing is overwritten; give another name")]
    Exists(String),
    /// Stopped on request.
    #[error("interrupted")]
    Interrupted,
}

impl ExportError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Qwed(error) => !matches!(error, ReadError::NotQwed { .. }),
            Self::Vault(error) => error.is_transient(),
            Self::State(_) | Self::Write(_) | Self::Interrupted => true,
            Self::Exists(_) => false,
        }
    }
}
