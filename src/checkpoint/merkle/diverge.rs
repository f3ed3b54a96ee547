//! Finding where two trees part.

use super::node::Span;
use super::prove::NodeSource;

/// The first leaf in which two trees differ, among as many as both have; `None` where they agree on all of those, so
/// that the smaller is the beginning of the larger.
///
/// Reads about three nodes for each level. Of a source whose nodes are not the hashes of those below, it finds a place
/// where it contradicts the other source or itself.
///
/// # Errors
/// If a source fails.
pub fn first_divergence<A, B>(
    a: &mut A,
    a_size: u64,
    b: &mut B,
    b_size: u64,
) -> Result<Option<u64>, A::Error>
where
    A: NodeSource,
    B: NodeSource<Error = A::Error>,
{
    for node in Span::tree(a_size.min(b_size)).nodes() {
        if a.node(node)? == b.node(node)? {
            continue;
        }
        let mut differing = node;
        while let Some((left, right)) = differing.children() {
            differing = if a.node(left)? == b.node(left)? {
                right
            } else {
                left
            };
        }
        return Ok(Some(differing.index));
    }
    Ok(None)
}
