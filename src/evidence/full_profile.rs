//! Entries with every column, and what this program says of each.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::{leaves::Leaf, line::Line};
use crate::{
    qwed::tables::Cell,
    spreadsheet::harmless,
    trail::{
        check::{Erasure, HashState},
        payload::Shape,
        row::{Row, Value},
        time::Time,
        tombstone::Manner,
    },
    verify::entry::Judged,
};

/// The columns: QWED's, then ours.
pub(super) const COLUMNS: [&str; 21] = [
    "id",
    "organization_id",
    "user_id",
    "query",
    "result",
    "is_verified",
    "domain",
    "timestamp",
    "entry_hash",
    "hmac_signature",
    "previous_hash",
    "raw_llm_output",
    "api_key_id",
    "verifier_version",
    "admission",
    "verdict",
    "problem",
    "erased",
    "anchor",
    "anchor_leaf",
    "anchor_state",
];

/// What this program says of an entry, which was judged beside its neighbours only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryVerdict {
    /// Content, signature and link to the entry before are right.
    Verified,
    /// It was erased, and is as its tombstone says.
    Erased,
    /// It was written before the chain began: nothing can be checked.
    Legacy,
    /// Content and signature are right, and a release before 5.3.0 wrote it, which linked entries across organisations: whether
    /// its link is right only a verification of the whole table can say.
    Unlinked,
    /// Something of it is wrong.
    Failed,
}

impl EntryVerdict {
    /// As files spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Erased => "erased",
            Self::Legacy => "legacy",
            Self::Unlinked => "unlinked",
            Self::Failed => "failed",
        }
    }

    /// What follows from the checks.
    #[must_use]
    pub fn of(judged: &Judged) -> Self {
        let check = &judged.check;
        let is_erased = matches!(check.erasure, Some(Erasure::Sound(_)));
        let is_sound = check.hash_valid() && check.signature_valid();
        let is_old = matches!(check.hash, HashState::Valid(form) if form.shape == Shape::D);
        if check.erasure == Some(Erasure::Undone) || check.oddity.is_some() {
            Self::Failed
        } else if judged.legacy {
            if is_erased {
                Self::Erased
            } else {
                Self::Legacy
            }
        } else if judged.is_valid() {
            if is_erased {
                Self::Erased
            } else {
                Self::Verified
            }
        } else if is_sound && is_old {
            Self::Unlinked
        } else {
            Self::Failed
        }
    }
}

/// What is wrong with an entry beyond QWED's checks.
fn problems<'j>(judged: &'j Judged) -> impl Iterator<Item = &'static str> + 'j {
    let check = &judged.check;
    let odd = check
        .oddity
        .map(|_| "A column is not spelled as QWED writes it");
    let undone = (check.erasure == Some(Erasure::Undone))
        .then_some("It was erased, and its content is there again");
    judged.errors.iter().copied().chain(odd).chain(undone)
}

/// Appends the line of an entry; `anchor` is the number of the newest anchor.
pub(super) fn put(
    out: &mut Vec<u8>,
    row: &Row<'_>,
    judged: &Judged,
    anchor: Option<u64>,
    leaf: Leaf,
) -> EntryVerdict {
    let verdict = EntryVerdict::of(judged);
    let mut line = Line::new(out);
    line.put(row.id.to_string());
    for value in [row.organization_id, row.user_id, row.query, row.result] {
        line.put(cell(value).as_bytes());
    }
    line.put(truth(row.is_verified).as_bytes());
    line.put(cell(row.domain).as_bytes());
    line.put(time(row.timestamp).as_bytes());
    for value in [
        row.entry_hash,
        row.hmac_signature,
        row.previous_hash,
        row.raw_llm_output,
        row.api_key_id,
        row.verifier_version,
        row.admission,
    ] {
        line.put(cell(value).as_bytes());
    }
    line.put(verdict.name());
    let problems: Vec<&str> = problems(judged).collect();
    line.put(problems.join("; "));
    line.put(match judged.check.erasure {
        None => "",
        Some(Erasure::Sound(Manner::Anonymised)) => "anonymised",
        Some(Erasure::Sound(Manner::Deleted)) => "deleted",
        Some(Erasure::Undone) => "undone",
    });
    let number = |number: Option<u64>| number.map_or_else(String::new, |it| it.to_string());
    line.put(match leaf {
        Leaf::NotYet => String::new(),
        _ => number(anchor),
    });
    line.put(number(leaf.index()));
    line.put(leaf.name());
    line.end();
    verdict
}

fn cell(value: Value<'_>) -> Cow<'_, str> {
    match value {
        Value::Null => "".into(),
        Value::Bool(truth) => if truth { "true" } else { "false" }.into(),
        Value::Integer(number) => number.to_string().into(),
        Value::Real(number) => real(number),
        Value::Text(bytes) => text(bytes),
        Value::Blob(bytes) => encoded(bytes),
    }
}

/// A value of any of QWED's tables, as a cell.
pub(super) fn table_cell(cell: &Cell) -> Cow<'_, str> {
    match cell {
        Cell::Null => "".into(),
        Cell::Bool(truth) => if *truth { "true" } else { "false" }.into(),
        Cell::Integer(number) => number.to_string().into(),
        Cell::Real(number) => real(*number),
        Cell::Text(bytes) => text(bytes),
        Cell::Blob(bytes) => encoded(bytes),
    }
}

fn real(number: f64) -> Cow<'static, str> {
    let text = format!("{number:?}");
    match number.is_finite() {
        true => text.into(),
        false => harmless(&text).into_owned().into(),
    }
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => harmless(text),
        Err(_) => encoded(bytes),
    }
}

/// What is no text.
fn encoded(bytes: &[u8]) -> Cow<'static, str> {
    format!("base64:{}", STANDARD.encode(bytes)).into()
}

/// SQLite keeps truth as 0 and 1.
fn truth(value: Value<'_>) -> Cow<'_, str> {
    match value {
        Value::Integer(0) => "false".into(),
        Value::Integer(1) => "true".into(),
        value => cell(value),
    }
}

/// In UTC, whichever database holds it; what QWED did not spell stands as it is.
pub(super) fn time(time: Time<'_>) -> Cow<'_, str> {
    let mut iso = Vec::new();
    match time {
        _ if time.is_as_written() && time.write_iso(&mut iso) => {
            iso.push(b'Z');
            String::from_utf8_lossy(&iso).into_owned().into()
        }
        Time::Text(stored) => text(stored),
        Time::Micros(micros) => micros.to_string().into(),
        Time::Invalid => "".into(),
    }
}
