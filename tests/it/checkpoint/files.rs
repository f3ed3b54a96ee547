//! Statements and proofs as text: read as written, refused when anything is changed, and no text makes a parser panic.

use jiff::Timestamp;
use proptest::{collection::vec, option, prelude::*, sample::Index};
use trailkeeper::checkpoint::{
    head::{Head, HeadHash},
    inventory::{Inventory, Organization},
    leaf::{Leaf, LeafKind},
    merkle::{Hash, Range, leaf_hash},
    note::{Note, SecretKey, VerifierKey},
    proof::{ConsistencyProof, InclusionProof},
    tree_head::Checkpoint,
};

fn secret(seed: u8) -> SecretKey {
    SecretKey::from_seed("example.com/trail", &[seed; 32]).expect("a key")
}

fn public(seed: u8) -> [VerifierKey; 1] {
    [secret(seed).verifier()]
}

fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash)
}

fn head() -> impl Strategy<Value = Head> {
    // Mostly what is hostile to lines and words.
    let text = prop_oneof!["[0-9a-f]{64}", "[ \n%:.\u{e9}a-]{0,9}", "\\PC{0,300}"];
    let hash = option::of(prop_oneof![
        text.prop_map(String::into_bytes),
        vec(any::<u8>(), 0..300)
    ]);
    (any::<i64>(), hash).prop_map(|(id, hash)| Head {
        id,
        hash: HeadHash::of(hash.as_deref()),
    })
}

fn time() -> impl Strategy<Value = Timestamp> {
    (-60_000_000_000_000_000..250_000_000_000_000_000_i64)
        .prop_map(|micros| Timestamp::from_microsecond(micros).expect("a time"))
}

prop_compose! {
    fn checkpoint()(
        origin in "[a-z./]{1,20}",
        size in any::<u64>(),
        root in hash(),
        head in option::of(option::of(head())),
        time in option::of(time()),
        anchor in option::of(any::<u64>()),
        extensions in vec("x[ -~]{0,20}", 0..3),
    ) -> Checkpoint {
        Checkpoint { origin, size, root, head, time, anchor, extensions }
    }
}

prop_compose! {
    fn inventory()(
        origin in "[a-z./]{1,20}",
        number in any::<u64>(),
        time in time(),
        previous in option::of(any::<[u8; 32]>()),
        organizations in prop::collection::btree_map(
            option::of(any::<i64>()), (any::<u64>(), hash(), option::of(head())), 0..9),
    ) -> Inventory {
        let organizations = organizations.into_iter()
            .map(|(id, (size, root, head))| Organization { id, size, root, head })
            .collect();
        Inventory { origin, number, time, previous, organizations }
    }
}

/// A proof of the leaf 2 of 5, and one that 3 leaves became 5, by the key of `seed`.
fn proofs(seed: u8) -> (Hash, InclusionProof, ConsistencyProof) {
    let leaves: Vec<Hash> = (0..5_u8).map(|at| leaf_hash(&[at])).collect();
    let statement = |size: usize| {
        let mut range = Range::empty_at(0);
        leaves[..size].iter().for_each(|&leaf| range.append(leaf));
        let checkpoint = Checkpoint {
            origin: "example.com/trail/7".to_owned(),
            size: size as u64,
            root: range.root().expect("a root"),
            head: Some(None),
            time: None,
            anchor: Some(3),
            extensions: Vec::new(),
        };
        checkpoint.sign(&secret(seed)).expect("sign")
    };
    let mut nodes = std::collections::HashMap::new();
    for (level, width) in [(0_u8, 1_usize), (1, 2), (2, 4)] {
        for (index, chunk) in leaves.chunks_exact(width).enumerate() {
            let mut range = Range::empty_at(0);
            chunk.iter().for_each(|&leaf| range.append(leaf));
            let index = index as u64;
            let node = trailkeeper::checkpoint::merkle::Node { level, index };
            nodes.insert(node, range.root().expect("a root"));
        }
    }
    use trailkeeper::checkpoint::merkle::{consistency_proof, inclusion_proof};
    let inclusion = InclusionProof {
        extra: None,
        index: 2,
        hashes: inclusion_proof(&mut nodes, 2, 5).expect("a proof"),
        checkpoint: statement(5),
    };
    let consistency = ConsistencyProof {
        hashes: consistency_proof(&mut nodes, 3, 5).expect("a proof"),
        old: statement(3),
        new: statement(5),
    };
    (leaves[2], inclusion, consistency)
}

#[test]
fn proofs_are_read_as_written() {
    let (leaf, mut inclusion, mut consistency) = proofs(1);
    for extra in [None, Some(Vec::new()), Some(b"abc".to_vec())] {
        inclusion.extra = extra;
        let file = inclusion.to_string();
        assert_eq!(file.parse().as_ref(), Ok(&inclusion), "{file}");
    }
    let file = consistency.to_string();
    assert_eq!(file.parse().as_ref(), Ok(&consistency), "{file}");
    assert_eq!(inclusion.verify(&leaf, &public(1)).expect("proven").size, 5);
    assert_eq!(consistency.verify(&public(1)).expect("proven").0.size, 3);
    // Without hashes.
    inclusion.hashes.clear();
    consistency.hashes.clear();
    assert_eq!(inclusion.to_string().parse(), Ok(inclusion));
    assert_eq!(consistency.to_string().parse(), Ok(consistency));
}

#[test]
fn proofs_prove_nothing_else() {
    let (leaf, inclusion, consistency) = proofs(1);
    assert!(inclusion.verify(&leaf_hash(b"x"), &public(1)).is_err());
    assert!(inclusion.verify(&leaf, &public(2)).is_err());
    assert!(inclusion.verify(&leaf, &[]).is_err());
    assert!(consistency.verify(&public(2)).is_err());
    let (old, new) = (consistency.new.clone(), consistency.old.clone());
    let swapped = ConsistencyProof {
        old,
        new,
        ..consistency.clone()
    };
    assert!(swapped.verify(&public(1)).is_err());
    // Checkpoints of two trails by one key.
    let (mut other, _) = Checkpoint::open(&consistency.old, &public(1)).expect("open");
    other.origin.push('x');
    let old = other.sign(&secret(1)).expect("sign");
    let mixed = ConsistencyProof { old, ..consistency };
    assert!(mixed.verify(&public(1)).is_err());
}

#[test]
fn an_extension_cannot_pass_for_a_line_of_ours() {
    let (_, inclusion, _) = proofs(1);
    let (mut checkpoint, _) = Checkpoint::open(&inclusion.checkpoint, &public(1)).expect("open");
    for line in ["time 2026-01-01T00:00:00Z", "anchor 4", "", "a\nb"] {
        checkpoint.extensions = vec![line.to_owned()];
        assert!(checkpoint.sign(&secret(1)).is_err(), "{line:?}");
    }
}

#[test]
fn an_inventory_out_of_order_is_not_signed() {
    let organization = |id| Organization {
        id,
        size: 0,
        root: Hash::EMPTY,
        head: None,
    };
    let mut inventory = Inventory {
        origin: "o".to_owned(),
        number: 1,
        time: Timestamp::UNIX_EPOCH,
        previous: None,
        organizations: vec![organization(Some(1)), organization(None)],
    };
    assert!(inventory.sign(&secret(1)).is_err());
    inventory.organizations.reverse();
    let note = inventory.sign(&secret(1)).expect("sign");
    assert_eq!(Inventory::open(&note, &public(1)), Ok(inventory));
    assert!(Inventory::open(&note, &public(2)).is_err());
}

proptest! {
    #[test]
    fn checkpoints_are_read_as_written(checkpoint in checkpoint(), seed in any::<u8>()) {
        let note = checkpoint.sign(&secret(seed)).expect("sign");
        let note: Note = note.to_string().parse().expect("a note");
        let keys = public(seed);
        let (read, signers) = Checkpoint::open(&note, &keys).expect("open");
        prop_assert_eq!(read, checkpoint);
        prop_assert_eq!(signers, vec![&keys[0]]);
    }

    #[test]
    fn inventories_are_read_as_written(inventory in inventory()) {
        let note = inventory.sign(&secret(1)).expect("sign");
        let note: Note = note.to_string().parse().expect("a note");
        prop_assert_eq!(Inventory::open(&note, &public(1)), Ok(inventory));
    }

    #[test]
    fn a_byte_changed_anywhere_spoils_a_proof(at in any::<Index>(), byte in any::<u8>()) {
        let (leaf, inclusion, consistency) = proofs(1);
        for (file, proves) in [
            (inclusion.to_string(), &(|file: &str| {
                file.parse::<InclusionProof>().is_ok_and(|proof| proof.verify(&leaf, &public(1)).is_ok())
            }) as &dyn Fn(&str) -> bool),
            (consistency.to_string(), &|file: &str| {
                file.parse::<ConsistencyProof>().is_ok_and(|proof| proof.verify(&public(1)).is_ok())
            }),
        ] {
            prop_assert!(proves(&file));
            let mut bytes = file.clone().into_bytes();
            let at = at.index(bytes.len());
            let is_same = bytes[at] == byte;
            bytes[at] = byte;
            if let Ok(changed) = String::from_utf8(bytes.clone()) {
                prop_assert_eq!(proves(&changed), is_same, "{}", changed);
            }
            bytes.truncate(at);
            if let Ok(cut) = String::from_utf8(bytes) {
                prop_assert!(!proves(&cut), "{}", cut);
            }
        }
    }

    #[test]
    fn what_any_parser_accepts_is_written_the_same(
        text in prop_oneof![
            "\\PC{0,200}",
            "([a-z]{0,5}[ \n]|[0-9]{1,3}\n|\u{2014} |head |time |index |organization |previous none\n){0,20}",
            "(o\n|[0-9]{1,2}\n|CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n|head none\n|anchor 1\n|\n){3,8}",
        ],
        cut in any::<Index>(),
    ) {
        let (_, inclusion, consistency) = proofs(1);
        // Noise alone, and noise within what is nearly right.
        let mut texts = vec![text.clone()];
        for whole in [inclusion.to_string(), consistency.to_string()] {
            let mut at = cut.index(whole.len());
            while !whole.is_char_boundary(at) {
                at -= 1;
            }
            texts.push(format!("{}{text}{}", &whole[..at], &whole[at..]));
            texts.push(format!("{}{text}", &whole[..at]));
        }
        for text in &texts {
            if let Ok(note) = text.parse::<Note>() {
                prop_assert_eq!(&note.to_string(), text);
            }
            if let Ok(proof) = text.parse::<InclusionProof>() {
                prop_assert_eq!(&proof.to_string(), text);
            }
            if let Ok(proof) = text.parse::<ConsistencyProof>() {
                prop_assert_eq!(&proof.to_string(), text);
            }
            if let Ok(inventory) = Inventory::parse(text) {
                prop_assert_eq!(&inventory.to_text(), text);
            }
            if let Ok(checkpoint) = Checkpoint::parse(text) {
                // Ours may stand in another order, and are then put into ours.
                let written = checkpoint.to_text();
                prop_assert_eq!(written.len(), text.len());
                prop_assert_eq!(Checkpoint::parse(&written), Ok(checkpoint));
            }
            let _ = text.parse::<VerifierKey>();
            let _ = text.parse::<SecretKey>();
            let _ = Note::from_bytes(text.as_bytes());
        }
    }

    #[test]
    fn heads_have_one_word_each(head in head()) {
        let words = head.to_words();
        prop_assert!(words.bytes().all(|byte| byte >= b' '));
        prop_assert_eq!(words.matches(' ').count(), 1);
        prop_assert_eq!(Head::from_words(&words), Some(head));
    }

    #[test]
    fn leaves_are_told_apart(
        ids in prop::array::uniform2(-9..9_i64),
        hashes in prop::array::uniform2("[0-9\nselagcyd]{0,12}"),
        kinds in prop::array::uniform2(any::<bool>()),
    ) {
        let kinds = kinds.map(|sealed| if sealed { LeafKind::Sealed } else { LeafKind::Legacy });
        let leaf = |at: usize| Leaf { id: ids[at], kind: kinds[at], hash: hashes[at].as_bytes() };
        let (a, b) = (leaf(0), leaf(1));
        prop_assert_eq!(a.data() == b.data(), a == b);
        prop_assert_eq!(a.leaf_hash() == b.leaf_hash(), a == b);
        prop_assert_eq!(a.leaf_hash(), leaf_hash(&a.data()));
    }
}
