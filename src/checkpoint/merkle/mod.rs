//! Merkle trees over a trail's entries, hashed as in RFC 6962 and RFC 9162.
//!
//! [`Range`] hashes entries as they are read, and joins with its neighbours. From the [`Node`]s that were stored
//! ([`Tile`]s of 256 each), [`inclusion_proof`] and [`consistency_proof`] make proofs; [`verify_inclusion`] and
//! [`verify_consistency`] need nothing but the roots. [`first_divergence`] says where two trees part.
//!
//! All sizes and indexes count leaves from zero.

mod diverge;
mod hash;
mod node;
mod prove;
mod range;
#[cfg(test)]
mod tests;
mod verify;

pub use diverge::first_divergence;
pub use hash::{Hash, HashError, leaf_hash, node_hash};
pub use node::{Node, Span, TILE_HEIGHT, TILE_WIDTH, Tile};
pub use prove::{
    MissingNode, NodeSource, ProveError, consistency_proof, consistency_spans, inclusion_proof,
    inclusion_spans, root_of,
};
pub use range::{MAX_LEAVES, Range, RangeError};
pub use verify::{ProofError, verify_consistency, verify_inclusion};
