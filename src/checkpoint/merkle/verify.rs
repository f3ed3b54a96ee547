//! Checking proofs, by the algorithms of RFC 9162, 2.1.3.2 and 2.1.4.2. Anything may be handed in: sizes, indexes and
//! proofs of whatever length end in an error, after no more hashes than the proof has.

use thiserror::Error;

use super::hash::{Hash, node_hash};

/// Why a proof does not prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProofError {
    /// The tree has no such leaf.
    #[error("there is no entry {index} in a tree of {size}")]
    NoLeaf {
        /// The leaf.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// The newer tree is the smaller one.
    #[error("a tree of {old} entries cannot be the beginning of one of {new}")]
    Shrunk {
        /// The older tree's size.
        old: u64,
        /// The newer tree's.
        new: u64,
    },
    /// Not as many hashes as trees of these sizes need.
    #[error("the proof has too many or too few hashes: {0}")]
    Length(usize),
    /// The hashes lead to another root, so the tree does not hold this leaf there.
    #[error("the proof leads to another root than the tree's")]
    Root,
    /// The hashes lead to another root than the older tree's.
    #[error("the proof leads to another root than the older tree's")]
    OldRoot,
}

/// Checks that the leaf with the hash `leaf` stands at `index` in the tree with this size and root.
///
/// # Errors
/// If the proof does not prove it.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::NoLeaf { index, size });
    }
    let wrong_length = ProofError::Length(proof.len());
    let mut path = Path {
        at: index,
        last: size - 1,
    };
    let mut hash = *leaf;
    for node in proof {
        match path.step().ok_or(wrong_length)? {
            Side::Left => hash = node_hash(node, &hash),
            Side::Right => hash = node_hash(&hash, node),
        }
    }
    if path.last != 0 {
        return Err(wrong_length);
    }
    if hash != *root {
        return Err(ProofError::Root);
    }
    Ok(())
}

/// Checks that the tree with the size `old` is the beginning of the one with the size `new`.
///
/// The tree without leaves is the beginning of any, and equal trees need no hashes: both by an empty proof.
///
/// # Errors
/// If the proof does not prove it.
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::Shrunk { old, new });
    }
    let wrong_length = ProofError::Length(proof.len());
    if old == 0 && *old_root != Hash::EMPTY {
        return Err(ProofError::OldRoot);
    }
    if new == old && new_root != old_root {
        return Err(ProofError::Root);
    }
    if old == 0 || old == new {
        return if proof.is_empty() {
            Ok(())
        } else {
            Err(wrong_length)
        };
    }
    // Both paths begin at the largest complete subtree that ends the older tree. If that is the whole older tree, its
    // root is known and so not part of the proof.
    let level = old.trailing_zeros();
    let mut path = Path {
        at: (old - 1) >> level,
        last: (new - 1) >> level,
    };
    let (start, proof) = if old.is_power_of_two() {
        (old_root, proof)
    } else {
        proof.split_first().ok_or(wrong_length)?
    };
    let (mut old_hash, mut new_hash) = (*start, *start);
    for node in proof {
        match path.step().ok_or(wrong_length)? {
            Side::Left => {
                old_hash = node_hash(node, &old_hash);
                new_hash = node_hash(node, &new_hash);
            }
            Side::Right => new_hash = node_hash(&new_hash, node),
        }
    }
    if path.last != 0 {
        return Err(wrong_length);
    }
    if old_hash != *old_root {
        return Err(ProofError::OldRoot);
    }
    if new_hash != *new_root {
        return Err(ProofError::Root);
    }
    Ok(())
}

/// On which side of the path a proof's hash stands.
enum Side {
    Left,
    Right,
}

/// The way from a node to the root: its index in its level, and that of the level's last node (RFC 9162 calls them
/// `fn` and `sn`).
struct Path {
    at: u64,
    last: u64,
}

impl Path {
    /// One hash further; `None` where the root was reached already.
    fn step(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        let side = if self.at & 1 == 1 || self.at == self.last {
            // Where the node is its level's last one and has no sibling, it is the one of the level above as well.
            let lonely = self.at.trailing_zeros();
            self.at >>= lonely;
            self.last >>= lonely;
            Side::Left
        } else {
            Side::Right
        };
        self.at >>= 1;
        self.last >>= 1;
        Some(side)
    }
}
