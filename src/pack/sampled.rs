//! The sample as a file: which entries were drawn, and what became of them since they were anchored.

use serde::{Deserialize, Serialize};

use crate::checkpoint::{
    leaf::{Leaf, LeafKind},
    merkle::Hash,
};

/// How entries were drawn, and which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The formula, [`crate::checkpoint::sample`].
    pub method: String,
    /// What it was drawn with.
    pub seed: String,
    /// Of how many entries: those of the organisation's that the anchor covers.
    pub population: u64,
    /// How many were asked for.
    pub count: u64,
    /// In the order in which they were drawn.
    pub entries: Vec<SampledEntry>,
}

/// The only formula so far.
pub(super) const METHOD: &str = "trailkeeper sample 1";

/// An entry that was drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampledEntry {
    /// Its place in the anchored trail, from zero.
    pub index: u64,
    /// Its id.
    pub entry_id: i64,
    /// The hash of its leaf, in base64: what the proof leads from.
    pub leaf: String,
    /// What QWED's database said of it when the pack was made.
    pub state: EntryState,
}

/// What QWED's database says of an anchored entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryState {
    /// It is as it was anchored, or was erased with a tombstone that vouches for it.
    AsAnchored,
    /// It is another.
    Changed,
    /// It is not there.
    Gone,
}

/// A leaf as `trailkeeper audit verify` reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntryFile {
    pub(super) id: i64,
    pub(super) kind: String,
    pub(super) hash: String,
}

impl EntryFile {
    /// `None` for a hash that is no text, which QWED never writes.
    pub(super) fn of(leaf: &Leaf<'_>) -> Option<Self> {
        let hash = core::str::from_utf8(leaf.hash).ok()?;
        Some(Self {
            id: leaf.id,
            kind: leaf.kind.name().to_owned(),
            hash: hash.to_owned(),
        })
    }

    pub(super) fn leaf_hash(&self) -> Option<Hash> {
        let leaf = Leaf {
            id: self.id,
            kind: LeafKind::from_name(&self.kind)?,
            hash: self.hash.as_bytes(),
        };
        Some(leaf.leaf_hash())
    }
}
