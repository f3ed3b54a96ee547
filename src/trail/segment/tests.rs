//! Folding against a plain model of QWED's walk, over any way to cut the table into ranges.

use proptest::prelude::*;

use super::*;
use crate::trail::{
    check::{Erasure, HashState, SignatureState},
    payload::{Form, Shape},
    row::Value,
    time::Time,
    tombstone::Manner,
};

/// A row, reduced to what the chain depends on. Hashes are small numbers; 0 is NULL, 1 is `''`.
#[derive(Debug, Clone, Copy)]
struct Sketch {
    organization_id: i64,
    hash: u8,
    previous: u8,
    signed: bool,
    hash_valid: bool,
    old: bool,
    counted: bool,
    erasure: Option<Erasure>,
}

fn sketch() -> impl Strategy<Value = Sketch> {
    (
        1..=2i64,
        0..8u8,
        0..8u8,
        any::<bool>(),
        prop::bool::weighted(0.8),
        any::<bool>(),
        prop::bool::weighted(0.9),
    )
        .prop_map(
            |(organization_id, hash, previous, signed, hash_valid, old, counted)| Sketch {
                organization_id,
                hash,
                previous,
                signed,
                hash_valid,
                old,
                counted,
                erasure: None,
            },
        )
}

/// Mostly well-formed: each row names the row before it in its organisation or in the table.
fn table() -> impl Strategy<Value = Vec<Sketch>> {
    prop::collection::vec((sketch(), 0..10u8, 0..12u8), 0..40).prop_map(|rows| {
        let mut heads = [0; 3];
        let mut global = 0;
        rows.into_iter()
            .enumerate()
            .map(|(index, (mut row, luck, fate))| {
                let head = &mut heads[row.organization_id as usize];
                match luck {
                    0..5 => row.previous = *head,
                    5..7 => row.previous = global,
                    _ => {}
                }
                if luck < 6 && row.hash > 1 {
                    (row.hash_valid, row.signed) = (true, true);
                }
                row.erasure = match fate {
                    0 | 1 if row.hash > 1 => {
                        // Only what is sound is deleted; a hash of its own, so that nothing else leads to it.
                        (row.hash_valid, row.signed) = (true, true);
                        row.hash = 8 + index as u8;
                        Some(Erasure::Sound(Manner::Deleted))
                    }
                    2 | 3 => Some(Erasure::Sound(Manner::Anonymised)),
                    4 => Some(Erasure::Undone),
                    _ => None,
                };
                *head = row.hash;
                if row.hash > 1 {
                    global = row.hash;
                }
                row
            })
            .collect()
    })
}

const TEXTS: &[u8; 48] = b"--cdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUV";

fn value(code: u8) -> Value<'static> {
    match code {
        0 => Value::Null,
        1 => Value::Text(b""),
        _ => Value::Text(&TEXTS[usize::from(code)..=usize::from(code)]),
    }
}

fn row(id: i64, sketch: Sketch) -> (Row<'static>, RowCheck) {
    let row = Row {
        id,
        organization_id: Value::Integer(sketch.organization_id),
        user_id: Value::Null,
        query: Value::Null,
        result: Value::Null,
        is_verified: Value::Null,
        domain: Value::Null,
        timestamp: Time::Invalid,
        entry_hash: value(sketch.hash),
        hmac_signature: value(if sketch.signed { 7 } else { 0 }),
        previous_hash: value(sketch.previous),
        raw_llm_output: Value::Null,
        api_key_id: Value::Null,
        verifier_version: Value::Null,
        admission: Value::Null,
        erased: None,
    };
    let hashless = row.entry_hash.is_blank();
    let shape = if sketch.old { Shape::D } else { Shape::C };
    let form = Form {
        shape,
        ..Form::ALL[0]
    };
    let check = RowCheck {
        hash: match (hashless, sketch.hash_valid) {
            (true, _) => HashState::Missing,
            (_, true) => HashState::Valid(form),
            (_, false) => HashState::Mismatch,
        },
        signature: match (hashless, sketch.signed) {
            (true, _) => SignatureState::Missing,
            (_, true) => SignatureState::Valid(0),
            (_, false) => SignatureState::Invalid,
        },
        oddity: None,
        erasure: sketch.erasure,
    };
    (row, check)
}

const FOLDER: Folder = Folder {
    limit: 1000,
    whole_table: true,
};

/// Folds `rows`, cut before each of `cuts`, joined from the left or by halves.
fn fold(rows: &[Sketch], cuts: &[usize], by_halves: bool) -> Segment {
    let mut pieces = Vec::new();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (rows.len() + 1)).collect();
    cuts.extend([0, rows.len()]);
    cuts.sort_unstable();
    for range in cuts.windows(2) {
        let mut segment = Segment::default();
        for (index, &sketch) in rows.iter().enumerate().take(range[1]).skip(range[0]) {
            let (row, check) = row(index as i64 + 1, sketch);
            FOLDER.push(&mut segment, &row, &check, sketch.counted);
        }
        pieces.push(segment);
    }
    while by_halves && pieces.len() > 1 {
        let mut halves = pieces.into_iter();
        let mut joined = Vec::new();
        while let Some(left) = halves.next() {
            joined.push(match halves.next() {
                Some(right) => FOLDER.join(left, right),
                None => left,
            });
        }
        pieces = joined;
    }
    let mut segment = pieces
        .into_iter()
        .reduce(|left, right| FOLDER.join(left, right))
        .unwrap_or_default();
    FOLDER.finish(&mut segment, |_| None);
    segment
}

/// QWED's walk, as plainly as it can be written: ids verified, failed, legacy.
fn walk(rows: &[Sketch], organization_id: i64) -> [Vec<i64>; 3] {
    let [mut verified, mut failed, mut legacy] = [const { Vec::new() }; 3];
    let mut previous: Option<Sketch> = None;
    let mut chained_before = false;
    for (index, &sketch) in rows.iter().enumerate() {
        if sketch.organization_id != organization_id {
            continue;
        }
        let (row, check) = row(index as i64 + 1, sketch);
        let chain_valid = match previous {
            _ if sketch.previous == 0 && !chained_before => true,
            None => sketch.previous == 0,
            Some(previous) if previous.erasure == Some(Erasure::Sound(Manner::Deleted)) => false,
            Some(previous) => previous.hash > 1 && previous.hash == sketch.previous,
        };
        let is_erased = sketch.erasure == Some(Erasure::Sound(Manner::Anonymised));
        if sketch.erasure == Some(Erasure::Sound(Manner::Deleted)) {
            // QWED sees nothing of it. What comes next fails by its rules, whatever it names: what QWED might take for
            // legacy, for a first entry or for a fork, we do not.
            (chained_before, previous) = (true, Some(sketch));
            continue;
        }
        if !sketch.counted {
        } else if row.is_unchained() && !chained_before {
            legacy.push(row.id);
        } else if check.hash_valid() && !is_erased && check.signature_valid() && chain_valid {
            verified.push(row.id);
        } else {
            failed.push(row.id);
        }
        chained_before |= sketch.hash > 1;
        previous = Some(sketch);
    }
    [verified, failed, legacy]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn counts_what_qwed_counts(rows in table(), cuts: Vec<usize>) {
        let segment = fold(&rows, &cuts, false);
        for organization_id in 1..=2 {
            let [verified, failed, legacy] = walk(&rows, organization_id);
            let trail = segment.trails.get(&organization_id).cloned().unwrap_or_default();
            prop_assert_eq!(&trail.tally.failed_ids, &failed);
            prop_assert_eq!(trail.tally.failed, failed.len() as u64);
            prop_assert_eq!(trail.tally.verified, verified.len() as u64);
            prop_assert_eq!(&trail.tally.legacy_ids, &legacy);
            prop_assert_eq!(trail.tally.legacy.entries, legacy.len() as u64);
        }
    }

    #[test]
    fn does_not_depend_on_cuts_or_on_the_order_of_joins(rows in table(), cuts: Vec<usize>) {
        let mut whole = fold(&rows, &[], false);
        for by_halves in [false, true] {
            let mut cut = fold(&rows, &cuts, by_halves);
            // A link to the row before in the table is left to the look-up where that row is not known.
            for segment in [&mut whole, &mut cut] {
                for trail in segment.trails.values_mut() {
                    trail.old_links = Default::default();
                    trail.global = crate::trail::chain::Span::default();
                }
            }
            prop_assert_eq!(&whole, &cut);
        }
    }
}
