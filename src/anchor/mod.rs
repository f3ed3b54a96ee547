//! Floor 2: makes anchors, and authenticates those that there are.
//!
//! An anchor is one numbered, signed inventory of all organisations: how many entries each had and the root of the Merkle tree
//! over them, chained to the inventory before. Organisations whose trail had grown get a signed checkpoint as well, which
//! proofs for single entries lead to.
//!
//! ```text
//! QWED's new entries ──▶ make ──▶ tiles (their own transactions) ──▶ run + checkpoints (one transaction)
//! state ──▶ load: signatures, numbering, chain, tiles against signed roots ──▶ Anchored ──▶ verify compares
//! ```
//!
//! | what fails between two writes | what is left |
//! |---|---|
//! | after tiles, before the run | leaves behind the signed size, which nobody reads; the next run writes over them |
//! | the run's answer is lost | the run is there; who tries again makes the next one |
//! | two workers at once | the number is taken: the second fails and tries again |
//!
//! A tree only ever grows. Entries that were removed after they were anchored stay in it, so that each verification says so.

mod key;
mod load;
mod make;
mod pages;
mod prove;
mod walk;

use thiserror::Error;

pub(crate) use self::pages::read_pages;
pub use self::{
    key::{Keys, generate_key, load_key, load_or_make_key, may_make_key, public_keys},
    load::{Loaded, load, load_organization, sizes_at},
    make::{Made, make},
    prove::{prove_consistency, prove_inclusion},
    walk::{Signed, Walked, signed, walk},
};
use crate::{
    checkpoint::{anchored::KeptLeaf, merkle::Hash},
    qwed::ReadError,
    state::StateError,
    tombstones::OpenError,
};

/// Why there is no anchor. What is wrong with anchors that there are is a finding.
#[derive(Debug, Error)]
pub enum AnchorError {
    /// QWED's database could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Our database failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The key cannot be had.
    #[error("the anchor key {path}: {problem}")]
    Key {
        /// The file.
        path: String,
        /// Why.
        problem: String,
    },
    /// There are anchors, and no key to authenticate them by.
    #[error(
        "there are {anchors} anchors, and no key to tell whether they were signed: copy the anchor key from the worker that \
         made them, or give its public key (anchors.public_keys, --public-key)"
    )]
    NoKey {
        /// The newest one's number.
        anchors: i64,
    },
    /// What is kept of former anchors cannot be gone on from.
    #[error("anchor {number} cannot be gone on from: {problem}")]
    Broken {
        /// Its number.
        number: i64,
        /// Why.
        problem: String,
    },
    /// An entry, an organisation or an anchor that there is not.
    #[error("{0}")]
    Unknown(String),
    /// Stopped on request.
    #[error("interrupted")]
    Interrupted,
}

impl From<OpenError> for AnchorError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Read(error) => Self::Read(error),
            OpenError::State(error) => Self::State(error),
        }
    }
}

impl AnchorError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Read(error) => !matches!(error, ReadError::NotQwed { .. }),
            Self::State(_) | Self::Interrupted => true,
            Self::Key { .. } | Self::NoKey { .. } | Self::Broken { .. } | Self::Unknown(_) => false,
        }
    }
}

/// The origin of an organisation's checkpoints.
#[must_use]
pub fn checkpoint_origin(origin: &str, organization_id: i64) -> String {
    format!("{origin}/organization/{organization_id}")
}

fn encode(leaves: &[KeptLeaf]) -> Vec<u8> {
    let rows: Vec<(i64, bool, [u8; 32])> = leaves
        .iter()
        .map(|leaf| (leaf.id, leaf.is_sealed, leaf.hash.0))
        .collect();
    postcard::to_stdvec(&rows).expect("a vector grows, and the length of every list is known")
}

fn decode(bytes: &[u8]) -> Option<Vec<KeptLeaf>> {
    let rows: Vec<(i64, bool, [u8; 32])> = postcard::from_bytes(bytes).ok()?;
    let leaf = |(id, is_sealed, hash)| KeptLeaf {
        id,
        is_sealed,
        hash: Hash(hash),
    };
    Some(rows.into_iter().map(leaf).collect())
}
