//! Single entries, as QWED 8.0.0's `verify_log_entry` answers for them, in its own words.

use std::sync::Arc;

use serde::Serialize;
use thiserror::Error;

use crate::{
    qwed::{Database, ReadError, Reader, owned::OwnedRow},
    trail::{
        check::{Checker, HashState, RowCheck},
        hash::HashText,
        keys::KeyRing,
        payload::Unhashable,
        row::{Row, Value},
    },
};

/// QWED's answer for one entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntryReport {
    /// The entry.
    pub log_id: i64,
    /// Whether every check passed.
    pub valid: bool,
    /// Whether it was written before the chain began, so that nothing can be checked.
    pub legacy: bool,
    /// The checks.
    pub checks: Checks,
    /// What failed, in QWED's words.
    pub errors: Vec<String>,
    /// When it was written, RFC 3339; `None` where the column holds no time.
    pub timestamp: Option<String>,
    /// Its organisation.
    pub organization_id: Option<i64>,
}

/// The checks of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are QWED's")]
pub struct Checks {
    pub hash_valid: bool,
    pub signature_valid: bool,
    pub chain_valid: bool,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum EntryError {
    /// The database could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No such entry.
    #[error("there is no entry {0}")]
    NoEntry(i64),
}

/// Checks the entries with these ids, in the order given.
///
/// # Errors
/// If the database cannot be read or an id does not exist.
pub fn verify_entries(
    database: &Database,
    ring: &Arc<KeyRing>,
    ids: &[i64],
) -> Result<Vec<EntryReport>, EntryError> {
    let mut reader = database.reader()?;
    let mut checker = Checker::new(Arc::clone(ring));
    ids.iter()
        .map(|&id| verify_entry(&mut reader, &mut checker, id))
        .collect()
}

/// Checks one entry by key look-ups.
///
/// # Errors
/// If the database cannot be read or there is no such entry.
pub fn verify_entry(
    reader: &mut Reader,
    checker: &mut Checker,
    id: i64,
) -> Result<EntryReport, EntryError> {
    let stored = reader.entry(id)?.ok_or(EntryError::NoEntry(id))?;
    Ok(verify_row(reader, checker, &stored)?)
}

/// Checks an entry that was looked up already.
///
/// # Errors
/// If the database cannot be read.
pub fn verify_row(
    reader: &mut Reader,
    checker: &mut Checker,
    stored: &OwnedRow,
) -> Result<EntryReport, ReadError> {
    let row = stored.row();
    let id = row.id;
    let organization_id = row.organization_id.integer();
    let (before, chained_before) = match organization_id {
        Some(organization_id) => {
            let before = reader.before(organization_id, id)?;
            let before = before.map(|before| HashText::from(before.row().entry_hash));
            // Most often the entry before says so itself.
            let chained_before = match &before {
                None => false,
                Some(before) if !before.is_blank() => true,
                Some(_) => reader.is_chained_before(organization_id, id)?,
            };
            (before, chained_before)
        }
        None => (None, false),
    };
    let judged = judge(checker, &row, before.as_ref(), chained_before);
    Ok(EntryReport {
        log_id: id,
        valid: judged.is_valid(),
        legacy: judged.legacy,
        checks: judged.checks,
        errors: judged.errors.into_iter().map(str::to_owned).collect(),
        timestamp: iso(&row),
        organization_id,
    })
}

/// A row's time as Python's `isoformat()` has it, with its zone; none where the column holds no time.
fn iso(row: &Row<'_>) -> Option<String> {
    let mut iso = Vec::new();
    let is_time = row.timestamp.write_iso(&mut iso);
    is_time.then(|| String::from_utf8_lossy(&iso).into_owned() + "+00:00")
}

/// What the checks of one entry came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Whether it was written before the chain began, so that nothing can be checked.
    pub legacy: bool,
    /// QWED's checks.
    pub checks: Checks,
    /// What failed, in QWED's words.
    pub errors: Vec<&'static str>,
    /// What else is known of hash, signature and erasure.
    pub check: RowCheck,
}

impl Judged {
    /// Whether every check passed.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let checks = self.checks;
        checks.hash_valid && checks.signature_valid && checks.chain_valid
    }
}

/// Goes along one organisation's entries in order of id, and judges each as [`verify_entries`] would.
#[derive(Debug)]
pub struct Walk {
    checker: Checker,
    before: Option<HashText>,
    is_chained: bool,
}

impl Walk {
    /// A walk that begins with this entry.
    ///
    /// # Errors
    /// If what stands before it cannot be read.
    pub fn begin(
        reader: &mut Reader,
        ring: &Arc<KeyRing>,
        organization_id: i64,
        first_id: i64,
    ) -> Result<Self, ReadError> {
        let before = reader.before(organization_id, first_id)?;
        Ok(Self {
            checker: Checker::new(Arc::clone(ring)),
            before: before.map(|before| HashText::from(before.row().entry_hash)),
            is_chained: reader.is_chained_before(organization_id, first_id)?,
        })
    }

    /// Judges the next entry.
    pub fn judge(&mut self, row: &Row<'_>) -> Judged {
        let judged = judge(
            &mut self.checker,
            row,
            self.before.as_ref(),
            self.is_chained,
        );
        self.before = Some(HashText::from(row.entry_hash));
        self.is_chained |= !row.entry_hash.is_blank();
        judged
    }
}

/// Checks a row against the hash of its organisation's row before it; `chained_before` says whether any of those has one.
pub(super) fn judge(
    checker: &mut Checker,
    row: &Row<'_>,
    before: Option<&HashText>,
    chained_before: bool,
) -> Judged {
    let check = checker.check(row);
    if row.is_unchained() && !chained_before {
        return Judged {
            legacy: true,
            checks: Checks {
                hash_valid: false,
                signature_valid: false,
                chain_valid: false,
            },
            errors: vec![
                "Entry predates the audit chain (no hash or signature); it cannot be verified",
            ],
            check,
        };
    }
    let mut errors = Vec::new();
    match check.hash {
        HashState::Valid(_) => {}
        HashState::Missing => errors.push("Hash missing from audit entry"),
        HashState::Unhashable(Unhashable::Result(_) | Unhashable::ResultType(_)) => {
            errors.push("Audit entry result payload is malformed; cannot verify integrity");
        }
        HashState::Mismatch | HashState::Unhashable(_) => {
            errors.push("Hash mismatch: audit entry does not match any accepted canonical payload");
        }
    }
    if !check.signature_valid() {
        errors.push("HMAC signature invalid");
    }
    let chain_error = chain_error(row, before, chained_before);
    errors.extend(chain_error);
    Judged {
        legacy: false,
        checks: Checks {
            hash_valid: check.hash_valid(),
            signature_valid: check.signature_valid(),
            chain_valid: chain_error.is_none(),
        },
        errors,
        check,
    }
}

fn chain_error(
    row: &Row<'_>,
    before: Option<&HashText>,
    chained_before: bool,
) -> Option<&'static str> {
    let names_none = row.previous_hash == Value::Null;
    match before {
        _ if names_none && !chained_before => None,
        None if names_none => None,
        None => Some("Hash chain broken: genesis entry must not reference a previous hash"),
        Some(before) if before.is_blank() => {
            Some("Hash chain broken: previous entry is missing its hash")
        }
        Some(before) if *before != HashText::from(row.previous_hash) => {
            Some("Hash chain broken: previous hash doesn't match")
        }
        Some(_) => None,
    }
}
