//! Floor 2: the auditor pack: a report and everything that it takes to check it, in one zip that needs neither database nor
//! configuration nor us.
//!
//! ```text
//! report, verification, renderings, logs ──┐
//! gather: newest anchor, sample, proofs ───┴──▶ make ──▶ zip ──▶ store (locked)
//!                                                        └─────▶ verify: zip, signature, digests, agreement, proofs
//! ```
//!
//! | file | what |
//! |---|---|
//! | `README.txt` | how to check it |
//! | `report.json`, `.html`, `.pdf` | the report |
//! | `tables/CONTROL-TABLE.csv` | its populations |
//! | `ocsf.json`, `oscal.json` | the report in formats of others; they follow from `report.json` |
//! | `verification.json` | the raw record of the verification that the report rests on |
//! | `logs/*.csv` | the organisation's records of the period, as the caller writes them |
//! | `anchors/run.note`, `anchors/checkpoint.note` | the newest anchor: of all trails, and of the organisation's |
//! | `sample.json`, `proofs/ENTRY.*` | entries drawn from what the anchor covers ([`sample`](crate::checkpoint::sample)), each with its leaf and the proof as `trailkeeper anchor prove` writes it |
//! | `public-key` | of the anchors and of the manifest |
//! | `manifest.note` | all files in order, each with length and SHA-256, signed with the anchor key |
//!
//! A zip of the same files is the same to the byte: order, times and modes are fixed. Whoever reads one believes nothing in it that
//! is not in the signed manifest, and bounds all that is read.

mod checks;
mod gather;
mod make;
mod manifest;
mod readme;
mod sampled;
mod store;
mod unpack;
mod verify;
mod write;

use std::io;

use thiserror::Error;

pub use self::{
    gather::{Asked, Gathered, gather},
    make::{Log, LogWriter, Made, Order, Renderings, TableWriter, make},
    manifest::{FileEntry, Manifest},
    sampled::{EntryState, Sample, SampledEntry},
    store::{StoredPack, store},
    verify::{Check, CheckName, Outcome, Verified, verify},
};
use crate::{
    anchor::AnchorError,
    checkpoint::{
        note::{NoteError, VerifyError},
        sample::SampleError,
    },
    objects::VaultError,
    qwed::ReadError,
    state::StateError,
    tombstones::OpenError,
};

/// Names of files in a pack.
pub(crate) mod names {
    pub(crate) const README: &str = "README.txt";
    pub(crate) const REPORT: &str = "report.json";
    pub(crate) const HTML: &str = "report.html";
    pub(crate) const PDF: &str = "report.pdf";
    pub(crate) const OCSF: &str = "ocsf.json";
    pub(crate) const OSCAL: &str = "oscal.json";
    pub(crate) const VERIFICATION: &str = "verification.json";
    pub(crate) const RUN: &str = "anchors/run.note";
    pub(crate) const CHECKPOINT: &str = "anchors/checkpoint.note";
    pub(crate) const SAMPLE: &str = "sample.json";
    pub(crate) const PUBLIC_KEY: &str = "public-key";
    pub(crate) const MANIFEST: &str = "manifest.note";
    pub(crate) const TABLES: &str = "tables/";
    pub(crate) const LOGS: &str = "logs/";
    pub(crate) const PROOFS: &str = "proofs/";

    pub(crate) fn proof(entry_id: i64) -> String {
        format!("{PROOFS}{entry_id}.tlog-proof")
    }

    pub(crate) fn entry(entry_id: i64) -> String {
        format!("{PROOFS}{entry_id}.entry.json")
    }
}

/// Packs have at most so many files.
pub const MAX_FILES: usize = 25_000;
/// Files that are read whole, such as the report, are refused when they are larger.
pub const MAX_WHOLE_BYTES: u64 = 256 << 20;
/// All files together are refused when they are larger.
pub const MAX_TOTAL_BYTES: u64 = 16 << 30;

/// Why there is no pack, or no verdict on one. What is wrong with a pack is no error but a [`Check`].
#[derive(Debug, Error)]
pub enum PackError {
    /// The anchors could not be had.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// QWED's database could not be read.
    #[error(transparent)]
    Qwed(#[from] ReadError),
    /// Our database could not be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The object store failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// There is no sample like that.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// It could not be written or read.
    #[error("the pack cannot be written or read: {0}")]
    Io(#[from] io::Error),
    /// The manifest could not be signed.
    #[error("the manifest cannot be signed: {0}")]
    Sign(#[from] NoteError),
    /// What was given does not belong together.
    #[error("{0}")]
    Unfit(String),
    /// Not a pack at all.
    #[error("it is no auditor pack: {0}")]
    NotAPack(String),
    /// Nobody known signed it.
    #[error("the pack's manifest cannot be trusted: {0}")]
    Stranger(VerifyError),
}

impl PackError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Anchor(error) => error.is_transient(),
            Self::Qwed(error) => !matches!(error, ReadError::NotQwed { .. }),
            Self::Vault(error) => error.is_transient(),
            Self::State(_) | Self::Io(_) => true,
            Self::Sample(_)
            | Self::Sign(_)
            | Self::Unfit(_)
            | Self::NotAPack(_)
            | Self::Stranger(_) => false,
        }
    }
}

impl From<OpenError> for PackError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Read(error) => Self::Qwed(error),
            OpenError::State(error) => Self::State(error),
        }
    }
}
