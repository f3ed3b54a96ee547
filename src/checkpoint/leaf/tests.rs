//! Leaves of usual rows and of odd ones.

use super::*;
use crate::{
    checkpoint::merkle::leaf_hash,
    trail::{row::Value, time::Time},
};

#[test]
fn is_hashed_like_its_data() {
    for id in [0, 1, -1, 42, i64::MAX, i64::MIN] {
        for length in [0, 1, 64, 97, 98, 99, 100, 128, 5000] {
            for kind in [LeafKind::Sealed, LeafKind::Legacy] {
                let hash = vec![b'a'; length];
                let leaf = Leaf {
                    id,
                    kind,
                    hash: &hash,
                };
                assert_eq!(leaf.leaf_hash(), leaf_hash(&leaf.data()), "{leaf:?}");
            }
        }
    }
    assert_eq!(Leaf::sealed(-7, b"ab").data(), b"-7\nsealed\nab\n");
    assert_eq!(LeafKind::from_name("legacy"), Some(LeafKind::Legacy));
}

#[test]
fn differs_wherever_a_field_does() {
    // What would collide if the hash could end a line and begin another.
    let a = Leaf::sealed(1, b"x\n2\nsealed\ny").data();
    let b = [Leaf::sealed(1, b"x").data(), Leaf::sealed(2, b"y").data()].concat();
    assert_eq!(a, b, "so leaves must never be joined into one");
    assert_ne!(Leaf::sealed(1, b"x\n").data(), Leaf::sealed(1, b"x").data());
    let leaf = |kind| Leaf {
        id: 1,
        kind,
        hash: b"x",
    };
    let kinds = [LeafKind::Sealed, LeafKind::Legacy, LeafKind::Raw];
    let data = kinds.map(|kind| leaf(kind).data());
    assert!(data[0] != data[1] && data[1] != data[2] && data[0] != data[2]);
    assert_eq!(
        kinds.map(|kind| LeafKind::from_name(kind.name())),
        kinds.map(Some)
    );
}
fn row(result: &str) -> Row<'_> {
    let text = |text: &'static str| Value::Text(text.as_bytes());
    Row {
        id: 5,
        organization_id: Value::Integer(1),
        user_id: Value::Null,
        query: text("2+2"),
        result: Value::Text(result.as_bytes()),
        is_verified: Value::Integer(1),
        domain: text("math"),
        timestamp: Time::Text(b"2026-05-08 12:30:00.000000"),
        entry_hash: Value::Null,
        hmac_signature: Value::Null,
        previous_hash: Value::Null,
        raw_llm_output: Value::Null,
        api_key_id: Value::Null,
        verifier_version: Value::Null,
        admission: Value::Null,
        erased: None,
    }
}

fn of(row: &Row<'_>) -> (LeafKind, Vec<u8>) {
    let mut space = [0; 64];
    let leaf = Leaf::of_row(row, &mut PayloadHasher::default(), &mut space);
    assert_eq!(leaf.id, 5);
    (leaf.kind, leaf.hash.to_vec())
}

#[test]
fn every_row_has_one() {
    let mut hasher = PayloadHasher::default();
    let sound = row("{}");
    let payload = hasher.payload(&sound, LEGACY_FORM);
    let digest = to_hex(&Sha256::digest(payload).into());
    assert_eq!(of(&sound), (LeafKind::Legacy, digest.to_vec()));
    let blank = Row {
        entry_hash: Value::Text(b""),
        ..sound
    };
    assert_eq!(of(&blank), of(&sound));
    let sealed = Row {
        entry_hash: Value::Text(b"any\nthing"),
        ..row("{'no': json}")
    };
    assert_eq!(of(&sealed), (LeafKind::Sealed, b"any\nthing".to_vec()));
    let foreign = Row {
        entry_hash: Value::Integer(7),
        ..sound
    };
    assert_eq!(of(&foreign).0, LeafKind::Raw);
}

#[test]
fn what_cannot_be_hashed_is_covered_by_column() {
    let raw = row("{'no': json}");
    let (kind, hash) = of(&raw);
    assert_eq!(kind, LeafKind::Raw);
    let text = |text: &'static str| Value::Text(text.as_bytes());
    // What PostgreSQL holds where SQLite holds this.
    let same = Row {
        is_verified: Value::Bool(true),
        timestamp: Time::Micros(1_778_243_400_000_000),
        ..raw
    };
    assert_eq!(of(&same), (kind, hash.clone()));
    let changed = [
        Row {
            organization_id: Value::Null,
            ..raw
        },
        Row {
            user_id: Value::Integer(0),
            ..raw
        },
        Row {
            query: text("2+3"),
            ..raw
        },
        Row {
            result: text("{'no': jso}"),
            ..raw
        },
        Row {
            is_verified: Value::Integer(0),
            ..raw
        },
        Row {
            domain: Value::Blob(b"math"),
            ..raw
        },
        Row {
            timestamp: Time::Text(b"2026-05-08 12:30:01.000000"),
            ..raw
        },
        Row {
            timestamp: Time::Invalid,
            ..raw
        },
        Row {
            entry_hash: text(""),
            ..raw
        },
        Row {
            previous_hash: text(""),
            ..raw
        },
        Row {
            raw_llm_output: text("x"),
            ..raw
        },
        Row {
            api_key_id: Value::Integer(1),
            ..raw
        },
        Row {
            verifier_version: text("x"),
            ..raw
        },
        Row {
            admission: text("x"),
            ..raw
        },
        // The same bytes, cut elsewhere.
        Row {
            query: text("2+2m"),
            domain: text("ath"),
            ..raw
        },
    ];
    for row in changed {
        assert_ne!(of(&row).1, hash, "{row:?}");
    }
}
