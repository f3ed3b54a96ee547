//! Making proofs from the stored nodes of a tree.
//!
//! What a proof consists of follows from the sizes alone ([`inclusion_spans`], [`consistency_spans`]), so whoever must
//! fetch nodes can do so beforehand, put them into a map, and use that as the source.

use std::collections::HashMap;

use thiserror::Error;

use super::hash::Hash;
use super::node::{Node, Span, fold};

/// Where the hashes of complete subtrees come from.
pub trait NodeSource {
    /// Why a hash cannot be had.
    type Error;

    /// The hash of a node; asked only for nodes that are complete in the tree.
    ///
    /// # Errors
    /// If it cannot be had.
    fn node(&mut self, node: Node) -> Result<Hash, Self::Error>;
}

impl<S: NodeSource + ?Sized> NodeSource for &mut S {
    type Error = S::Error;

    fn node(&mut self, node: Node) -> Result<Hash, S::Error> {
        (**self).node(node)
    }
}

/// A node that is not in the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the node {} of level {} is missing", .0.index, .0.level)]
pub struct MissingNode(pub Node);

impl<S: core::hash::BuildHasher> NodeSource for HashMap<Node, Hash, S> {
    type Error = MissingNode;

    fn node(&mut self, node: Node) -> Result<Hash, MissingNode> {
        self.get(&node).copied().ok_or(MissingNode(node))
    }
}

/// Why there is no proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProveError<E> {
    /// The tree has no such leaf.
    #[error("there is no entry {index} in a tree of {size}")]
    NoLeaf {
        /// The leaf.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// A tree can only be consistent with a smaller one.
    #[error("a tree of {old} entries cannot be the beginning of one of {new}")]
    Shrunk {
        /// The size that should be the smaller.
        old: u64,
        /// The other.
        new: u64,
    },
    /// A hash could not be had.
    #[error(transparent)]
    Source(E),
}

/// The subtrees whose hashes prove that the leaf `index` is in a tree of `size`, in the proof's order: the leaf's
/// sibling first (`PATH` of RFC 9162, 2.1.3.1). `None` where there is no such leaf.
#[must_use]
pub fn inclusion_spans(index: u64, size: u64) -> Option<Vec<Span>> {
    if index >= size {
        return None;
    }
    let (mut begin, mut end) = (0, size);
    let mut spans = Vec::new();
    while end - begin > 1 {
        let middle = begin + left_size(end - begin);
        if index < middle {
            spans.push(Span { begin: middle, end });
            end = middle;
        } else {
            spans.push(Span { begin, end: middle });
            begin = middle;
        }
    }
    spans.reverse();
    Some(spans)
}

/// The subtrees whose hashes prove that a tree of `old` leaves is the beginning of one of `new`, in the proof's order
/// (`SUBPROOF` of RFC 9162, 2.1.4.1). None are needed where `old` is 0 or `new`; `None` where `old` is more than
/// `new`.
#[must_use]
pub fn consistency_spans(old: u64, new: u64) -> Option<Vec<Span>> {
    if old > new {
        return None;
    }
    let mut spans = Vec::new();
    if old == 0 {
        return Some(spans);
    }
    let (mut begin, mut end) = (0, new);
    // Invariant: begin < old <= end.
    while end != old {
        let middle = begin + left_size(end - begin);
        if old <= middle {
            spans.push(Span { begin: middle, end });
            end = middle;
        } else {
            spans.push(Span { begin, end: middle });
            begin = middle;
        }
    }
    // What is left is the whole old tree, whose root the verifier has, or else a subtree that both trees share.
    if begin != 0 {
        spans.push(Span { begin, end });
    }
    spans.reverse();
    Some(spans)
}

/// The hashes that prove that the leaf `index` is in the tree of the first `size` leaves.
///
/// # Errors
/// If there is no such leaf, or the source fails.
pub fn inclusion_proof<S: NodeSource>(
    source: &mut S,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, ProveError<S::Error>> {
    let spans = inclusion_spans(index, size).ok_or(ProveError::NoLeaf { index, size })?;
    hashes(source, &spans)
}

/// The hashes that prove that the tree of the first `old` leaves is the beginning of that of the first `new`.
///
/// # Errors
/// If `old` is more than `new`, or the source fails.
pub fn consistency_proof<S: NodeSource>(
    source: &mut S,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, ProveError<S::Error>> {
    let spans = consistency_spans(old, new).ok_or(ProveError::Shrunk { old, new })?;
    hashes(source, &spans)
}

/// The root of the tree of the first `size` leaves.
///
/// # Errors
/// If the source fails.
pub fn root_of<S: NodeSource>(source: &mut S, size: u64) -> Result<Hash, S::Error> {
    hash(source, Span::tree(size))
}

fn hashes<S: NodeSource>(
    source: &mut S,
    spans: &[Span],
) -> Result<Vec<Hash>, ProveError<S::Error>> {
    let hashes = spans.iter().map(|&span| hash(source, span));
    hashes.collect::<Result<_, _>>().map_err(ProveError::Source)
}

fn hash<S: NodeSource>(source: &mut S, span: Span) -> Result<Hash, S::Error> {
    let edge: Vec<Hash> = span
        .nodes()
        .map(|node| source.node(node))
        .collect::<Result<_, _>>()?;
    Ok(fold(&edge))
}

/// How many of `size` leaves, at least two, go to the left: the largest power of two below `size`.
fn left_size(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}
