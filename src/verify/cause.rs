//! What was done to a row whose content and hash disagree.
//!
//! Each guess undoes one change and hashes again: if the stored hash then matches, that change was made, and nothing
//! else. SHA-256 leaves no room for coincidence, so a guess that fits is a proof. The guesses are those that one
//! SQL statement makes and whose undoing is known; other content changes stay "changed".

use crate::trail::{
    check::{Checker, HashState, Oddity, RowCheck},
    hash::HashText,
    payload::Unhashable,
    row::{Row, Value},
};

/// What is known around a row.
#[derive(Default)]
pub(super) struct Around<'a> {
    /// Hash of the organisation's row before it.
    pub(super) before: Option<HashText>,
    /// What the organisation's next row names as its predecessor.
    pub(super) named_by_next: Option<HashText>,
    /// Organisations that hold the entry which the row names as its predecessor.
    pub(super) predecessor_in: &'a [i64],
}

/// A change that explains a row completely.
pub(super) enum Change {
    /// One column, in words.
    Column(String),
    /// The row belongs to this organisation.
    Organization(i64),
    /// Only `entry_hash`: the next entry still vouches for the content.
    OnlyHash,
}

/// Finds the one change after which the row's hash is right again.
pub(super) fn single_change(
    checker: &mut Checker,
    row: &Row<'_>,
    around: &Around<'_>,
) -> Option<Change> {
    let mut fits = |guess: &Row<'_>| checker.check(guess).hash_valid();
    for &organization_id in around.predecessor_in {
        if fits(&Row {
            organization_id: Value::Integer(organization_id),
            ..*row
        }) {
            return Some(Change::Organization(organization_id));
        }
    }
    let flipped = match row.is_verified {
        Value::Bool(truth) => Value::Bool(!truth),
        Value::Integer(number) => Value::Integer(i64::from(number == 0)),
        _ => Value::Integer(1),
    };
    let column = |text: &str| Some(Change::Column(text.to_owned()));
    if fits(&Row {
        is_verified: flipped,
        ..*row
    }) {
        return column("is_verified was set to the opposite");
    }
    if row.admission != Value::Null
        && fits(&Row {
            admission: Value::Null,
            ..*row
        })
    {
        return column("admission was set on an entry that was signed without one");
    }
    let uncalled = Row {
        api_key_id: Value::Null,
        verifier_version: Value::Null,
        ..*row
    };
    if uncalled != *row && fits(&uncalled) {
        return column(
            "api_key_id or verifier_version was set on an entry that was signed without them",
        );
    }
    if row.raw_llm_output != Value::Null
        && fits(&Row {
            raw_llm_output: Value::Null,
            ..*row
        })
    {
        return column("raw_llm_output was set on an entry that was signed without one");
    }
    let before = value(around.before.as_ref());
    if before != row.previous_hash
        && fits(&Row {
            previous_hash: before,
            ..*row
        })
    {
        return column("previous_hash was changed");
    }
    let named = around.named_by_next.as_ref().and_then(HashText::text)?;
    let vouched = checker
        .accepted_hashes(row)
        .iter()
        .any(|hash| hash == named);
    vouched.then_some(Change::OnlyHash)
}

/// Whether the next entry names the hash that the row's content has, with the link to the entry before it as it stands or
/// as it should be.
pub(super) fn is_vouched_for(
    checker: &mut Checker,
    row: &Row<'_>,
    before: Option<HashText>,
    named_by_next: Option<HashText>,
) -> bool {
    let Some(HashText::Hex(named)) = named_by_next else {
        return false;
    };
    let relinked = Row {
        previous_hash: value(before.as_ref()),
        ..*row
    };
    [row, &relinked]
        .into_iter()
        .any(|row| checker.accepted_hashes(row).contains(&named))
}

fn value(hash: Option<&HashText>) -> Value<'_> {
    hash.and_then(HashText::text)
        .map_or(Value::Null, Value::Text)
}

/// Why the row is no row of QWED's at all, where that is the case.
pub(super) fn foreign(check: &RowCheck) -> Option<String> {
    match (check.hash, check.oddity) {
        (HashState::Unhashable(reason), _) => Some(match reason {
            Unhashable::Result(error) => format!("result is not JSON: {error}"),
            other => other.to_string(),
        }),
        (_, Some(Oddity::Timestamp)) => Some(
            "timestamp is not spelled as QWED writes it (YYYY-MM-DD HH:MM:SS.ffffff): something else wrote it, \
             though it denotes the time that was signed"
                .to_owned(),
        ),
        (_, Some(Oddity::IsVerified)) => Some(
            "is_verified is neither 0 nor 1: something else wrote it, though QWED reads it as the value that was \
             signed"
                .to_owned(),
        ),
        _ => None,
    }
}
