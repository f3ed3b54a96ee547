//! The vectors of Certificate Transparency's own tests (and of RFC 6962's reference code).

use std::collections::HashMap;

use super::*;

const LEAVES: [&[u8]; 8] = [
    b"",
    &[0x00],
    &[0x10],
    &[0x20, 0x21],
    &[0x30, 0x31],
    &[0x40, 0x41, 0x42, 0x43],
    &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
    &[
        0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e,
        0x6f,
    ],
];

const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

const L1: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
const L4: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
const L6: &str = "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f";
const L23: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
const L45: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
const L67: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
const L4567: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";

fn hash(hex: &str) -> Hash {
    Hash::from_hex(hex).expect("a hash")
}

fn hashes(hex: &[&str]) -> Vec<Hash> {
    hex.iter().map(|hex| hash(hex)).collect()
}

/// Every node that is complete in a tree of these leaves.
fn nodes(leaves: &[Hash]) -> HashMap<Node, Hash> {
    let mut level = leaves.to_vec();
    let mut nodes = HashMap::new();
    for depth in 0.. {
        let hashes = level.iter().enumerate();
        nodes.extend(hashes.map(|(index, &hash)| {
            let index = index as u64;
            let level = depth;
            (Node { level, index }, hash)
        }));
        if level.len() < 2 {
            break;
        }
        let pairs = level.chunks_exact(2);
        level = pairs.map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    nodes
}

fn source() -> HashMap<Node, Hash> {
    nodes(&LEAVES.map(leaf_hash))
}

#[test]
fn roots_are_those_of_certificate_transparency() {
    let mut range = Range::empty_at(0);
    let mut source = source();
    for (size, root) in ROOTS.into_iter().enumerate() {
        assert_eq!(range.root(), Some(hash(root)), "{size}");
        assert_eq!(root_of(&mut source, size as u64), Ok(hash(root)), "{size}");
        if let Some(leaf) = LEAVES.get(size) {
            range.append(leaf_hash(leaf));
        }
    }
    assert_eq!(Hash::EMPTY, hash(ROOTS[0]));
}

#[test]
fn inclusion_proofs_are_those_of_certificate_transparency() {
    let mut source = source();
    for (index, size, proof) in [
        (0, 1, &[] as &[&str]),
        (0, 8, &[L1, L23, L4567]),
        (5, 8, &[L4, L67, ROOTS[4]]),
        (2, 3, &[ROOTS[2]]),
        (1, 5, &[ROOTS[1], L23, L4]),
    ] {
        let proof = hashes(proof);
        assert_eq!(
            inclusion_proof(&mut source, index, size).as_ref(),
            Ok(&proof)
        );
        let leaf = leaf_hash(LEAVES[index as usize]);
        let root = hash(ROOTS[size as usize]);
        assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()));
    }
}

#[test]
fn consistency_proofs_are_those_of_certificate_transparency() {
    let mut source = source();
    for (old, new, proof) in [
        (0, 8, &[] as &[&str]),
        (1, 1, &[]),
        (1, 8, &[L1, L23, L4567]),
        (2, 5, &[L23, L4]),
        (6, 7, &[L45, L6, ROOTS[4]]),
        (6, 8, &[L45, L67, ROOTS[4]]),
    ] {
        let proof = hashes(proof);
        assert_eq!(
            consistency_proof(&mut source, old, new).as_ref(),
            Ok(&proof)
        );
        let roots = (hash(ROOTS[old as usize]), hash(ROOTS[new as usize]));
        assert_eq!(
            verify_consistency(old, &roots.0, new, &roots.1, &proof),
            Ok(())
        );
    }
}

#[test]
fn any_size_is_checked_in_as_many_steps_as_the_proof_has() {
    let some = Hash([7; 32]);
    let ends = [0, 1, 2, 3, 1 << 32, 1 << 63, u64::MAX - 1, u64::MAX];
    for a in ends {
        for b in ends {
            for length in 0..130 {
                let proof = vec![some; length];
                assert!(verify_inclusion(&some, a, b, &proof, &Hash([8; 32])).is_err());
                let consistent = verify_consistency(a, &some, b, &Hash([8; 32]), &proof);
                assert!(consistent.is_err(), "{a} {b} {length}");
            }
            // Proofs are as long as their plans say, whatever the size.
            if let Some(spans) = inclusion_spans(a, b) {
                let proof = vec![some; spans.len()];
                let verified = verify_inclusion(&some, a, b, &proof, &Hash([8; 32]));
                assert_eq!(verified, Err(ProofError::Root));
                for node in spans.iter().flat_map(|span| span.nodes()) {
                    assert!(node.end().is_some_and(|end| end <= b));
                }
            }
            if let Some(spans) = consistency_spans(a, b).filter(|_| a != 0 && a != b) {
                let proof = vec![some; spans.len()];
                let verified = verify_consistency(a, &some, b, &Hash([8; 32]), &proof);
                assert!(matches!(
                    verified,
                    Err(ProofError::Root | ProofError::OldRoot)
                ));
            }
        }
    }
}

#[test]
fn tiles_hold_what_nodes_are_folded_from() {
    let leaves: Vec<Hash> = (0..1000_u32)
        .map(|at| leaf_hash(&at.to_be_bytes()))
        .collect();
    let mut source = nodes(&leaves);
    for (&node, hash) in &source.clone() {
        let tile = Tile::of(node, 1000).expect("a node of the tree");
        let hashes: Vec<Hash> = (0..tile.width)
            .map(|slot| {
                source
                    .node(tile.node(slot).expect("a slot"))
                    .expect("a node")
            })
            .collect();
        assert_eq!(tile.hash(&hashes, node), Some(*hash), "{node:?} {tile:?}");
        assert_eq!(tile.node(tile.width), None);
    }
    let tile = |level, index| Tile::of(Node { level, index }, 1000);
    let expected = |level, index, width| {
        Some(Tile {
            level,
            index,
            width,
        })
    };
    assert_eq!(tile(0, 999), expected(0, 3, 232));
    assert_eq!(tile(8, 2), expected(1, 0, 3));
    assert_eq!(tile(9, 0), expected(1, 0, 3));
    assert_eq!(tile(7, 1), expected(0, 0, 256));
    assert_eq!(tile(0, 1000), None);
    assert_eq!(tile(8, 3), None);
    assert_eq!(tile(64, 0), None);
}

#[test]
fn ranges_refuse_what_does_not_fit() {
    let mut range = Range::empty_at(3);
    range.append(Hash::EMPTY);
    assert_eq!(range.root(), None);
    let gap = RangeError::Gap { end: 4, begin: 5 };
    assert_eq!(range.append_range(&Range::empty_at(5)), Err(gap));
    let bounds = |begin, end| Range::from_parts(begin, end, Vec::new());
    assert!(matches!(bounds(2, 1), Err(RangeError::Bounds { .. })));
    assert!(matches!(
        bounds(0, u64::MAX),
        Err(RangeError::Bounds { .. })
    ));
    assert!(matches!(
        bounds(0, MAX_LEAVES),
        Err(RangeError::Nodes { .. })
    ));
    assert_eq!(bounds(7, 7), Ok(Range::empty_at(7)));
}

#[test]
fn hashes_are_read_as_written_and_in_no_other_form() {
    let hash = leaf_hash(b"x");
    let text = hash.to_string();
    assert_eq!(text.parse(), Ok(hash));
    for bad in [
        &text[1..],
        &text[..43],
        "",
        &format!("{text}\n"),
        &text.replace('=', "A"),
    ] {
        assert_eq!(bad.parse::<Hash>(), Err(HashError), "{bad:?}");
    }
    // The last character before the padding holds two bits that say nothing; they must be zero.
    let last = text.as_bytes()[42];
    let odd = text.replace(
        &format!("{}=", last as char),
        &format!("{}=", (last + 1) as char),
    );
    assert_eq!(odd.parse::<Hash>(), Err(HashError), "{odd:?}");
}
