//! Floor 2: the archive: the trail and what a restore needs with it, in write-once storage, readable without this program
//! (`docs/archive-format.md`).
//!
//! ```text
//! QWED's new rows ──▶ lines, personal fields in blocks ──▶ segments ──┐
//! QWED's other tables, whole ────────────────────────────▶ segments ──┼──▶ manifest: signed, chained, written last
//! anchors that are not archived yet ─────────────────────▶ notes ─────┘
//! ```
//!
//! Every object is noted in our database before it is put, and again when the store was seen to have it. Who goes on after a
//! run that was killed first settles what was noted and not seen: it is there, and then it is taken over as it is, or it is
//! not, and then it is forgotten and made anew.
//!
//! | what fails between two writes | what is left |
//! |---|---|
//! | after data keys, before the note of an object | keys that nothing was encrypted with; the next run uses them |
//! | after the note, before the object | a note of nothing, which the next run takes away |
//! | after the object, before the note that it is there | an object that the next run finds by its note and takes over |
//! | after objects, before the manifest's note | segments of the trail that the next manifest names; those of whole tables, which it names as superseded |
//! | after a lock was prolonged, before the note of it | it is prolonged to the same time once more |
//! | after the note of a prolonged lock, before the manifest's note | the next manifest names it |
//! | after the manifest's note, before the manifest | the same bytes are put by the next run, before anything else |
//! | after the manifest, before the note that it is there | the same, which finds it and changes nothing |
//!
//! Data keys stand in our database and nowhere in the archive, so that destroying one erases a person from all locked copies.
//! Nothing is removed but by order ([`prune()`]), except exports of these keys, which end by themselves ([`export_keys`]).
//! Left out: a lock between two runs at once (the second fails at a write, and an object may be left that no manifest names,
//! which `verify` lists).

mod agreed;
mod anchors;
mod archived;
mod consents;
mod drill;
mod envelope;
mod kek;
mod keyring;
mod ledger;
mod manifest;
mod owner;
mod produce;
mod prune;
mod put;
mod recovery;
mod renew;
mod restart;
mod restore;
mod run;
mod scratch;
mod segment;
mod verify;
mod vouch;

use thiserror::Error;

pub use self::{
    anchors::archive_anchors,
    archived::{Archived, Manifests, load},
    consents::{ConsentDiffers, compare_consents},
    drill::{Drill, Drilled, drill},
    envelope::{DataKey, KEY_BYTES, Kek, Place},
    kek::{kek, load_or_make_kek, read_kek},
    keyring::{rewrap, subject},
    ledger::compare_ledger,
    manifest::{Kind, Manifest, Object, Renewed},
    prune::{Expired, Kept, Plan, Pruned, Reason, apply as prune, plan as plan_prune},
    recovery::{Exported, NO_EXPORT, Recovered, export_keys, identities, recover_keys},
    restart::restart,
    restore::{Restored, Wanted, restore},
    run::{Made, Options, Unlocked, run},
    scratch::{scratch_server, sweep_scratch},
    verify::{Finding, FindingKind, Report, verify},
    vouch::{Vouchers, compare_archived},
};
use crate::{
    objects::VaultError,
    qwed::{ReadError, personal},
    state::StateError,
    tombstones::OpenError,
};

/// Why there is no backup, or none could be read. What is wrong with an archive that there is, is a finding.
#[derive(Debug, Error)]
pub enum BackupError {
    /// A database of QWED's could not be read or written.
    #[error(transparent)]
    Qwed(#[from] ReadError),
    /// Our database failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The object store failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The key-encryption key cannot be had.
    #[error("the key-encryption key {path}: {problem}")]
    Kek {
        /// The file, or the configuration's key.
        path: String,
        /// Why.
        problem: String,
    },
    /// A data key was wrapped with another key-encryption key, or is not what it was.
    #[error(
        "the data key of {subject} was wrapped with the key-encryption key {wanted}, and {given} is given; after a change of \
         the key run \"trailkeeper archive rewrap --former-kek-file FILE\""
    )]
    OtherKek {
        /// Whose.
        subject: String,
        /// The key that wrapped it.
        wanted: String,
        /// The key that there is.
        given: String,
    },
    /// The operating system has no random bytes.
    #[error("no random bytes: {0}")]
    Random(String),
    /// A row, a segment or a manifest that cannot be archived.
    #[error("{0}")]
    TooLarge(String),
    /// The archive is not what was written.
    #[error("the archive cannot be read: {object}: {problem}")]
    Broken {
        /// Which object.
        object: String,
        /// Why.
        problem: String,
    },
    /// An order that cannot be followed.
    #[error("{0}")]
    Refused(String),
    /// Stopped on request.
    #[error("interrupted")]
    Interrupted,
}

impl From<OpenError> for BackupError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Read(error) => Self::Qwed(error),
            OpenError::State(error) => Self::State(error),
        }
    }
}

impl BackupError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Qwed(error) => !matches!(error, ReadError::NotQwed { .. }),
            Self::Vault(error) => error.is_transient(),
            Self::State(_) | Self::Interrupted => true,
            _ => false,
        }
    }

    fn broken(object: &str, problem: impl ToString) -> Self {
        Self::Broken {
            object: object.to_owned(),
            problem: problem.to_string(),
        }
    }
}
