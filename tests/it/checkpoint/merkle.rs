//! Trees.

use std::collections::HashMap;

use proptest::{prelude::*, sample::Index};
use sha2::{Digest, Sha256};
use trailkeeper::checkpoint::merkle::{
    Hash, Node, NodeSource, Range, Span, Tile, consistency_proof, consistency_spans,
    first_divergence, inclusion_proof, inclusion_spans, leaf_hash, node_hash, root_of,
    verify_consistency, verify_inclusion,
};

/// `MTH` of RFC 6962, 2.1, word for word; shares no code with what it is compared with.
fn mth(data: &[Vec<u8>]) -> [u8; 32] {
    match data {
        [] => Sha256::digest([]).into(),
        [leaf] => Sha256::digest([&[0], leaf.as_slice()].concat()).into(),
        _ => {
            let mut k = 1;
            while k * 2 < data.len() {
                k *= 2;
            }
            let (left, right) = data.split_at(k);
            Sha256::digest([&[1], &mth(left)[..], &mth(right)[..]].concat()).into()
        }
    }
}

/// `PATH(m, D[n])` of RFC 6962, 2.1.1, word for word.
fn path(m: usize, data: &[Vec<u8>]) -> Vec<Hash> {
    if data.len() == 1 {
        return Vec::new();
    }
    let k = data.len().next_power_of_two() / 2;
    let (left, right) = data.split_at(k);
    let (mut proof, sibling) = if m < k {
        (path(m, left), mth(right))
    } else {
        (path(m - k, right), mth(left))
    };
    proof.push(Hash(sibling));
    proof
}

/// `SUBPROOF(m, D[n], b)` of RFC 6962, 2.1.2, word for word.
fn subproof(m: usize, data: &[Vec<u8>], whole: bool) -> Vec<Hash> {
    if m == data.len() {
        return if whole {
            Vec::new()
        } else {
            vec![Hash(mth(data))]
        };
    }
    let k = data.len().next_power_of_two() / 2;
    let (left, right) = data.split_at(k);
    let (mut proof, sibling) = if m <= k {
        (subproof(m, left, whole), mth(right))
    } else {
        (subproof(m - k, right, false), mth(left))
    };
    proof.push(Hash(sibling));
    proof
}

/// A tree with all its complete nodes, that counts what is read of it.
struct Tree {
    levels: Vec<Vec<Hash>>,
    reads: usize,
}

impl Tree {
    fn of(data: &[Vec<u8>]) -> Self {
        let mut levels = vec![data.iter().map(|leaf| leaf_hash(leaf)).collect::<Vec<_>>()];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let pairs = below.chunks_exact(2);
            let level = pairs.map(|pair| node_hash(&pair[0], &pair[1])).collect();
            levels.push(level);
        }
        Self { levels, reads: 0 }
    }
}

impl NodeSource for Tree {
    type Error = Node;

    fn node(&mut self, node: Node) -> Result<Hash, Node> {
        self.reads += 1;
        let level = self.levels.get(usize::from(node.level)).ok_or(node)?;
        level.get(node.index as usize).copied().ok_or(node)
    }
}

/// Leaves that all differ.
fn leaves(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|at| format!("entry {at}").into()).collect()
}

fn data() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop_oneof![
        3 => (1..70_usize).prop_map(leaves),
        1 => (70..1200_usize).prop_map(leaves),
    ]
}

#[test]
fn every_proof_of_small_trees_is_the_models() {
    for size in 1..=33 {
        let data = leaves(size);
        let mut tree = Tree::of(&data);
        let root = Hash(mth(&data));
        assert_eq!(root_of(&mut tree, size as u64), Ok(root));
        for index in 0..size {
            let proof = inclusion_proof(&mut tree, index as u64, size as u64).expect("a proof");
            assert_eq!(proof, path(index, &data), "{index} in {size}");
            let leaf = leaf_hash(&data[index]);
            let (index, size) = (index as u64, size as u64);
            assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()));
            for other in 0..40 {
                let verified = verify_inclusion(&leaf, other, size, &proof, &root);
                assert_eq!(
                    verified.is_ok(),
                    other == index,
                    "{index} as {other} in {size}"
                );
            }
        }
        for old in 1..=size {
            let proof = consistency_proof(&mut tree, old as u64, size as u64).expect("a proof");
            assert_eq!(proof, subproof(old, &data, true), "{old} in {size}");
            let old_root = Hash(mth(&data[..old]));
            let (old, size) = (old as u64, size as u64);
            let verified = verify_consistency(old, &old_root, size, &root, &proof);
            assert_eq!(verified, Ok(()), "{old} in {size}");
            for other in 1..40 {
                let verified = verify_consistency(other, &old_root, size, &root, &proof);
                assert_eq!(verified.is_ok(), other == old, "{old} as {other} in {size}");
            }
        }
    }
}

proptest! {
    #[test]
    fn roots_and_proofs_are_the_models(data in data(), at in any::<Index>(), old in any::<Index>()) {
        let (index, old) = (at.index(data.len()), 1 + old.index(data.len()));
        let size = data.len() as u64;
        let mut tree = Tree::of(&data);
        let mut range = Range::empty_at(0);
        data.iter().for_each(|leaf| range.append(leaf_hash(leaf)));
        let root = Hash(mth(&data));
        prop_assert_eq!(range.root(), Some(root));

        let proof = inclusion_proof(&mut tree, index as u64, size).expect("a proof");
        prop_assert_eq!(&proof, &path(index, &data));
        let leaf = leaf_hash(&data[index]);
        prop_assert_eq!(verify_inclusion(&leaf, index as u64, size, &proof, &root), Ok(()));

        let proof = consistency_proof(&mut tree, old as u64, size).expect("a proof");
        prop_assert_eq!(&proof, &subproof(old, &data, true));
        let old_root = Hash(mth(&data[..old]));
        prop_assert_eq!(verify_consistency(old as u64, &old_root, size, &root, &proof), Ok(()));
    }

    #[test]
    fn nodes_fetched_beforehand_are_all_that_a_proof_needs(
        data in data(), at in any::<Index>(), old in any::<Index>(),
    ) {
        let (index, old) = (at.index(data.len()) as u64, 1 + old.index(data.len()) as u64);
        let size = data.len() as u64;
        let mut tree = Tree::of(&data);
        let spans = [
            inclusion_spans(index, size).expect("a leaf"),
            consistency_spans(old, size).expect("sizes"),
        ];
        let mut fetched = HashMap::new();
        // By way of tiles, as they are stored.
        for node in spans.iter().flatten().flat_map(|span| span.nodes()) {
            let tile = Tile::of(node, size).expect("a node of the tree");
            let hashes: Vec<Hash> = (0..tile.width)
                .map(|slot| tree.node(tile.node(slot).expect("a slot")).expect("a node"))
                .collect();
            fetched.insert(node, tile.hash(&hashes, node).expect("a hash"));
        }
        prop_assert_eq!(
            inclusion_proof(&mut fetched, index, size).expect("a proof"),
            inclusion_proof(&mut tree, index, size).expect("a proof")
        );
        prop_assert_eq!(
            consistency_proof(&mut fetched, old, size).expect("a proof"),
            consistency_proof(&mut tree, old, size).expect("a proof")
        );
    }

    #[test]
    fn ranges_cut_anywhere_join_to_what_one_pass_gives(
        first in 0..300_u64,
        count in 0..300_usize,
        cuts in prop::collection::vec(any::<Index>(), 0..6),
        joins in prop::collection::vec(any::<Index>(), 6),
    ) {
        let leaves: Vec<Hash> = leaves(count).iter().map(|leaf| leaf_hash(leaf)).collect();
        let mut whole = Range::empty_at(first);
        leaves.iter().for_each(|&leaf| whole.append(leaf));
        prop_assert_eq!(whole.end(), first + count as u64);

        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(count + 1)).collect();
        cuts.extend([0, count]);
        cuts.sort_unstable();
        let mut ranges: Vec<Range> = cuts.windows(2).map(|cut| {
            let mut range = Range::empty_at(first + cut[0] as u64);
            leaves[cut[0]..cut[1]].iter().for_each(|&leaf| range.append(leaf));
            range
        }).collect();
        for join in joins {
            if ranges.len() > 1 {
                let at = join.index(ranges.len() - 1);
                let next = ranges.remove(at + 1);
                prop_assert_eq!(ranges[at].append_range(&next), Ok(()));
            }
        }
        prop_assert_eq!(&ranges[0], &whole);

        // Taken apart and put together, as text and as bytes.
        let parts = Range::from_parts(whole.begin(), whole.end(), whole.nodes().to_vec());
        prop_assert_eq!(parts.as_ref(), Ok(&whole));
        let json = serde_json::to_string(&whole).expect("write");
        prop_assert_eq!(&serde_json::from_str::<Range>(&json).expect("read"), &whole);
        let bytes = postcard::to_allocvec(&whole).expect("write");
        prop_assert_eq!(&postcard::from_bytes::<Range>(&bytes).expect("read"), &whole);
        let mut nodes = whole.nodes().to_vec();
        nodes.push(Hash::EMPTY);
        prop_assert!(Range::from_parts(whole.begin(), whole.end(), nodes).is_err());
    }

    #[test]
    fn a_changed_inclusion_proof_proves_nothing(
        data in data(), at in any::<Index>(), which in any::<Index>(), bit in 0..256_usize,
    ) {
        let index = at.index(data.len()) as u64;
        let size = data.len() as u64;
        let root = Hash(mth(&data));
        let leaf = leaf_hash(&data[index as usize]);
        let proof = path(index as usize, &data);
        let proves = |leaf: &Hash, index, size, proof: &[Hash], root: &Hash| {
            verify_inclusion(leaf, index, size, proof, root).is_ok()
        };
        prop_assert!(proves(&leaf, index, size, &proof, &root));
        prop_assert!(!proves(&flipped(&leaf, bit), index, size, &proof, &root));
        prop_assert!(!proves(&leaf, index, size, &proof, &flipped(&root, bit)));
        for other in [index + 1, index.wrapping_sub(1), index ^ 1, index ^ (1 << (bit % 64))] {
            prop_assert!(!proves(&leaf, other, size, &proof, &root), "as {}", other);
        }
        for changed in changes(&proof, &which, bit) {
            prop_assert!(!proves(&leaf, index, size, &changed, &root), "{:?}", changed);
        }
    }

    #[test]
    fn a_changed_consistency_proof_proves_nothing(
        data in data(), old in any::<Index>(), which in any::<Index>(), bit in 0..256_usize,
    ) {
        let old = 1 + old.index(data.len()) as u64;
        let new = data.len() as u64;
        let roots = (Hash(mth(&data[..old as usize])), Hash(mth(&data)));
        let proof = subproof(old as usize, &data, true);
        let proves = |old, old_root: &Hash, new, new_root: &Hash, proof: &[Hash]| {
            verify_consistency(old, old_root, new, new_root, proof).is_ok()
        };
        prop_assert!(proves(old, &roots.0, new, &roots.1, &proof));
        prop_assert!(!proves(old, &flipped(&roots.0, bit), new, &roots.1, &proof));
        prop_assert!(!proves(old, &roots.0, new, &flipped(&roots.1, bit), &proof));
        for other in [old + 1, old - 1, old ^ (1 << (bit % 64))] {
            // A tree without leaves is a beginning only by its own root.
            prop_assert!(!proves(other, &roots.0, new, &roots.1, &proof), "as {}", other);
        }
        for changed in changes(&proof, &which, bit) {
            prop_assert!(!proves(old, &roots.0, new, &roots.1, &changed), "{:?}", changed);
        }
    }

    #[test]
    fn the_first_difference_is_found_in_few_reads(
        a in data(), size in any::<Index>(), change in any::<Option<Index>>(),
    ) {
        let mut b = a.clone();
        let changed = change.map(|change| change.index(a.len()));
        if let Some(changed) = changed {
            for leaf in &mut b[changed..] {
                leaf.push(b'!');
            }
        }
        let b_size = 1 + size.index(b.len());
        b.truncate(b_size);
        let (mut first, mut second) = (Tree::of(&a), Tree::of(&b));
        let found = first_divergence(&mut first, a.len() as u64, &mut second, b_size as u64);
        let expected = changed.filter(|&changed| changed < b_size).map(|at| at as u64);
        prop_assert_eq!(found, Ok(expected));
        let depth = a.len().ilog2() as usize + 1;
        prop_assert!(first.reads <= 2 * depth && second.reads <= 2 * depth);
        let (mut first, mut second) = (Tree::of(&a), Tree::of(&b));
        let found = first_divergence(&mut second, b_size as u64, &mut first, a.len() as u64);
        prop_assert_eq!(found, Ok(expected));
    }

    #[test]
    fn hostile_proofs_are_refused_and_never_panic(
        sizes in prop::array::uniform2(any::<u64>()), index in any::<u64>(), length in 0..140_usize,
    ) {
        let (some, other) = (Hash([1; 32]), Hash([2; 32]));
        let proof = vec![some; length];
        for size in sizes {
            prop_assert!(verify_inclusion(&some, index, size, &proof, &other).is_err());
            let spans = inclusion_spans(index, size).into_iter().flatten();
            for node in spans.flat_map(Span::nodes) {
                prop_assert!(Tile::of(node, size).is_some());
                prop_assert!(Tile::of(node, index).is_none_or(|tile| tile.slots(node).is_some()));
            }
        }
        let [old, new] = sizes;
        prop_assert!(verify_consistency(old, &some, new, &other, &proof).is_err());
        prop_assert_eq!(consistency_spans(old, new).is_some(), old <= new);
        let _ = Range::from_parts(old, new, proof);
    }
}

/// A proof with a bit flipped, a hash left out, one more, and two that changed places.
fn changes(proof: &[Hash], which: &Index, bit: usize) -> Vec<Vec<Hash>> {
    let mut changes = vec![
        [proof, &[Hash::EMPTY]].concat(),
        [&[Hash::EMPTY], proof].concat(),
    ];
    if !proof.is_empty() {
        let at = which.index(proof.len());
        let mut other = proof.to_vec();
        other[at] = flipped(&other[at], bit);
        changes.push(other);
        let mut other = proof.to_vec();
        other.remove(at);
        changes.push(other);
        let mut other = proof.to_vec();
        other.insert(at, proof[at]);
        changes.push(other);
        if at > 0 {
            let mut other = proof.to_vec();
            other.swap(at - 1, at);
            changes.push(other);
        }
    }
    changes
}

fn flipped(hash: &Hash, bit: usize) -> Hash {
    let mut hash = *hash;
    hash.0[bit / 8] ^= 1 << (bit % 8);
    hash
}
