//! Tombstones as text, and what they say of rows.

use super::*;
use crate::trail::payload::Form;

const DIGEST: [u8; 32] = [0xa7; 32];

fn row<'a>(hash: &'a Hex, query: &'a str) -> Row<'a> {
    Row {
        id: 12,
        organization_id: Value::Integer(3),
        user_id: Value::Integer(7),
        query: Value::Text(query.as_bytes()),
        result: Value::Text(b"{}"),
        is_verified: Value::Integer(1),
        domain: Value::Text(b"math"),
        timestamp: Time::Text(b"2026-05-08 12:30:00.000000"),
        entry_hash: Value::Text(hash),
        hmac_signature: Value::Text(hash),
        previous_hash: Value::Null,
        raw_llm_output: Value::Null,
        api_key_id: Value::Integer(4),
        verifier_version: Value::Null,
        admission: Value::Null,
        erased: None,
    }
}

fn seals() -> Vec<Seal> {
    let mut seals: Vec<Seal> = Form::ALL.into_iter().map(Seal::Sound).collect();
    seals.extend([Seal::Failed, Seal::Absent]);
    seals
}

#[test]
fn what_is_written_is_read_back_and_nothing_else() {
    let hash = to_hex(&DIGEST);
    let row = row(&hash, "who am I");
    let mut all = Vec::new();
    for seal in seals() {
        for unsealed in [None, Some(false), Some(true)] {
            let unsealed = unsealed.map(|is_raw| Unsealed {
                is_raw,
                digest: hash,
            });
            all.push(Tombstone::anonymised(&row, 3, seal, unsealed));
        }
    }
    all.push(Tombstone::deleted(&row, 3, Form::ALL[0]).expect("a sound row"));
    let followed = Row {
        previous_hash: Value::Text(&hash),
        ..row
    };
    all.push(Tombstone::deleted(&followed, 3, Form::ALL[7]).expect("a sound row"));
    for tombstone in all {
        let line = tombstone.to_string();
        assert_eq!(Tombstone::parse(&line, 3), Ok(tombstone), "{line}");
        for wrong in [
            format!("{line} "),
            format!(" {line}"),
            format!("+{line}"),
            format!("0{line}"),
            line.replace(" anonymised ", " Anonymised ")
                .replace(" deleted ", " gone "),
            line.to_uppercase(),
            line[..line.len() - 1].to_owned(),
            format!("{line} raw:{}", show(&hash)) + " x",
        ] {
            assert_eq!(Tombstone::parse(&wrong, 3), Err(NoTombstone), "{wrong}");
        }
    }
}

#[test]
fn a_row_passes_only_as_it_was_left() {
    let hash = to_hex(&DIGEST);
    let before = row(&hash, "who am I");
    let mut tombstone = Tombstone::anonymised(&before, 3, Seal::Sound(Form::ALL[0]), None);
    let left = anonymise(&before);
    assert!(looks_anonymised(&left) && !looks_anonymised(&before));
    assert_eq!(tombstone.on(&before), None);
    assert_eq!(tombstone.on(&left), Some(Erased::As(&tombstone)));
    let other = to_hex(&[1; 32]);
    let changes = [
        Row {
            user_id: Value::Integer(8),
            ..left
        },
        Row {
            query: Value::Text(b"[erased] "),
            ..left
        },
        Row {
            is_verified: Value::Integer(0),
            ..left
        },
        Row {
            domain: Value::Text(b"logic"),
            ..left
        },
        Row {
            entry_hash: Value::Text(&other),
            ..left
        },
        Row {
            hmac_signature: Value::Text(&other),
            ..left
        },
        Row {
            previous_hash: Value::Text(&other),
            ..left
        },
        Row {
            raw_llm_output: Value::Text(b"[erased]"),
            ..left
        },
        Row {
            organization_id: Value::Integer(4),
            ..left
        },
        Row {
            timestamp: Time::Text(b"2026-05-08 12:30:00.000001"),
            ..left
        },
    ];
    for changed in &changes {
        assert_eq!(tombstone.on(changed), None, "{changed:?}");
    }
    tombstone.complete();
    assert_eq!(tombstone.on(&before), Some(Erased::Undone));
    // A time is the same in either kind of database.
    let micros = Row {
        timestamp: Time::Micros(before.timestamp.micros().expect("a time")),
        is_verified: Value::Bool(true),
        ..left
    };
    assert_eq!(tombstone.on(&micros), Some(Erased::As(&tombstone)));
}

#[test]
fn what_the_chain_cannot_do_without_is_not_deleted() {
    let hash = to_hex(&DIGEST);
    let sound = row(&hash, "who am I");
    let odd = to_hex(&DIGEST).map(|byte| byte.to_ascii_uppercase());
    for row in [
        Row {
            entry_hash: Value::Null,
            ..sound
        },
        Row {
            hmac_signature: Value::Text(b""),
            ..sound
        },
        Row {
            previous_hash: Value::Text(&odd),
            ..sound
        },
        Row {
            timestamp: Time::Invalid,
            ..sound
        },
    ] {
        assert_eq!(Tombstone::deleted(&row, 3, Form::ALL[0]), Err(CannotDelete));
    }
}

#[test]
fn the_last_of_several_on_one_entry_counts() {
    let hash = to_hex(&DIGEST);
    let row = row(&hash, "who am I");
    let first = Tombstone::anonymised(&row, 3, Seal::Failed, None);
    let last = Tombstone::deleted(&row, 3, Form::ALL[0]).expect("a sound row");
    let all = Tombstones::new(vec![first, last.clone()]);
    assert_eq!(all.get(12), Some(&last));
    assert_eq!(all.between(i64::MIN, i64::MAX), [last]);
    assert_eq!(all.between(13, 12), []);
    assert_eq!(all.get(11), None);
}
