//! One organisation's trail as QWED 8.0.0's `verify_audit_trail` walks it, in its own words: row after row, with the errors of
//! those that fail.
//!
//! What anchors, tombstones and several readers know is [`super::verify`]'s; here entries that were erased are what their
//! tombstones say, and everything else is QWED's. Memory does not grow with the trail.

use std::sync::Arc;

use super::entry::judge;
use crate::{
    qwed::{IdRange, Period, ReadError, Reader},
    trail::{check::Checker, hash::HashText, keys::KeyRing, row::Row},
};

/// Errors that QWED's answers list.
pub const LISTED_ERRORS: usize = 20;
/// Ids that are read between two looks at `is_stopped`.
const STRETCH: u64 = 100_000;

/// What the walk came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Walk {
    /// Entries in the period.
    pub total: u64,
    /// Those that passed every check.
    pub verified: u64,
    /// Those that did not.
    pub failed: u64,
    /// The lowest id among them.
    pub first_failed_id: Option<i64>,
    /// Those from before the chain began.
    pub legacy: u64,
    /// What failed, [`LISTED_ERRORS`] at most.
    pub errors: Vec<String>,
    /// How many errors there are.
    pub total_errors: u64,
    /// The first entry in the period.
    pub first_id: Option<i64>,
    /// The last entry in the period.
    pub last_id: Option<i64>,
    /// Its hash, where it is text.
    pub head_hash: Option<String>,
}

impl Walk {
    /// Whether every entry passed.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.verified == self.total
    }

    fn add_error(&mut self, error: &str) {
        self.total_errors += 1;
        if self.errors.len() < LISTED_ERRORS {
            self.errors.push(error.to_owned());
        }
    }
}

/// Walks the trail of an organisation over a period; answers nothing once `is_stopped`.
///
/// # Errors
/// If the database cannot be read.
pub fn walk(
    reader: &mut Reader,
    ring: &Arc<KeyRing>,
    organization_id: i64,
    period: Period,
    is_stopped: impl Fn() -> bool,
) -> Result<Option<Walk>, ReadError> {
    let mut walk = Walk::default();
    let anywhere = IdRange {
        low: i64::MIN,
        high: i64::MAX,
    };
    let Some(bounds) = reader.bounds(Some(organization_id), anywhere)? else {
        return Ok(Some(walk));
    };
    let range = if period == Period::default() {
        bounds
    } else {
        match reader.period_range_of(organization_id, period, bounds)? {
            Some(range) => range,
            None => return Ok(Some(walk)),
        }
    };
    let before = reader.before(organization_id, range.low)?;
    let mut before = before.map(|before| HashText::from(before.row().entry_hash));
    let mut chained_before = match &before {
        Some(before) if before.is_blank() => {
            reader.is_chained_before(organization_id, range.low)?
        }
        before => before.is_some(),
    };
    let mut checker = Checker::new(Arc::clone(ring));
    let mut low = range.low;
    loop {
        if is_stopped() {
            return Ok(None);
        }
        let high = low.saturating_add_unsigned(STRETCH - 1).min(range.high);
        reader.read(Some(organization_id), IdRange { low, high }, |row| {
            // One that was erased as a whole is not there to be counted, and still holds the chain together.
            if !row.is_gone() && is_within(row, period) {
                count(
                    &mut walk,
                    &mut checker,
                    row,
                    before.as_ref(),
                    chained_before,
                );
            }
            chained_before |= !row.entry_hash.is_blank();
            before = Some(HashText::from(row.entry_hash));
        })?;
        if high == range.high {
            break;
        }
        low = high + 1;
    }
    if walk.legacy > 0 {
        let error = format!(
            "{} entries predate the audit chain and cannot be verified",
            walk.legacy
        );
        walk.add_error(&error);
    }
    Ok(Some(walk))
}

fn count(
    walk: &mut Walk,
    checker: &mut Checker,
    row: &Row<'_>,
    before: Option<&HashText>,
    chained_before: bool,
) {
    let judged = judge(checker, row, before, chained_before);
    walk.total += 1;
    walk.first_id.get_or_insert(row.id);
    walk.last_id = Some(row.id);
    walk.head_hash = HashText::from(row.entry_hash).to_text();
    if judged.is_valid() {
        walk.verified += 1;
    } else if judged.legacy {
        walk.legacy += 1;
    } else {
        walk.failed += 1;
        walk.first_failed_id.get_or_insert(row.id);
        for error in judged.errors {
            walk.add_error(error);
        }
    }
}

/// Whether a row lies in a period. One without a time lies in none that has ends.
fn is_within(row: &Row<'_>, period: Period) -> bool {
    if period == Period::default() {
        return true;
    }
    row.timestamp.micros().is_some_and(|at| {
        period.from.is_none_or(|from| at >= from) && period.to.is_none_or(|to| at <= to)
    })
}
