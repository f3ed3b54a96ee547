//! The subject's entries of the trail: which there are, and how they are erased.

use std::sync::Arc;

use super::{ErasureError, Office};
use crate::{
    checkpoint::leaf::{Leaf, LeafKind},
    config::EraseEntries,
    progress::Progress,
    qwed::{
        Database, IdRange, Reader,
        erase::{Eraser, NOT_NEWEST, marked, marked_json},
        url::DatabaseUrl,
    },
    trail::{
        check::{Checker, HashState},
        hash::{HEX_LENGTH, Hex},
        payload::PayloadHasher,
        row::{Row, Value},
        tombstone::{Erased, Seal, Tombstone, Unsealed},
    },
};

/// The organisation's trail as far as an erasure depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Survey {
    /// Entries of the organisation.
    pub(super) all: u64,
    /// Ids of the subject's, in order, but for the newest of the organisation.
    pub(super) ids: Vec<i64>,
    /// The organisation's newest, where it is the subject's.
    pub(super) newest: Option<i64>,
    /// How many of the subject's fail their checks.
    pub(super) faulty: u64,
    /// How many of them have no hash.
    pub(super) unsealed: u64,
    /// Others' entries that mention the subject: the first, and how many.
    pub(super) mentions: Vec<i64>,
    pub(super) mentioned: u64,
}

/// Mentions that are listed.
const LISTED: usize = 100;
/// Ids between two looks at whether to stop.
const PAGE_IDS: u64 = 1 << 16;

/// Looks through an organisation's trail once.
pub(super) fn survey(
    office: &Office,
    database: &Database,
    organization_id: i64,
    user_id: i64,
    email: Option<&str>,
    progress: &Progress,
) -> Result<Survey, ErasureError> {
    let mut reader = database.reader()?;
    let mut checker = Checker::new(Arc::clone(&office.ring));
    let mut survey = Survey::default();
    let everything = IdRange {
        low: i64::MIN,
        high: i64::MAX,
    };
    let needle = email
        .filter(|email| !email.is_empty())
        .map(str::to_lowercase);
    let Some(whole) = reader.bounds(Some(organization_id), everything)? else {
        return Ok(survey);
    };
    let newest = reader.head(organization_id, everything)?;
    let mut low = whole.low;
    while low <= whole.high {
        if progress.is_stopped() {
            return Err(ErasureError::Interrupted);
        }
        let page = IdRange {
            low,
            high: low.saturating_add_unsigned(PAGE_IDS).min(whole.high),
        };
        let mut rows = 0;
        reader.read(Some(organization_id), page, |row| {
            rows += 1;
            if matches!(row.erased, Some(Erased::As(_))) {
                return;
            }
            survey.all += 1;
            if row.user_id == Value::Integer(user_id) {
                survey.take(row, &mut checker, newest);
            } else if needle.as_ref().is_some_and(|needle| mentions(row, needle)) {
                survey.mentioned += 1;
                if survey.mentions.len() < LISTED {
                    survey.mentions.push(row.id);
                }
            }
        })?;
        progress.add(rows, page.width());
        let Some(next) = page.high.checked_add(1) else {
            break;
        };
        low = next;
    }
    Ok(survey)
}

impl Survey {
    fn take(&mut self, row: &Row<'_>, checker: &mut Checker, newest: Option<i64>) {
        if Some(row.id) == newest {
            self.newest = newest;
        } else {
            self.ids.push(row.id);
        }
        if row.entry_hash.is_blank() {
            self.unsealed += 1;
        } else {
            let check = checker.check(row);
            let is_sound = check.hash_valid() && check.signature_valid() && check.oddity.is_none();
            self.faulty += u64::from(!is_sound);
        }
    }
}

/// Whether the entry's text has the address in it, in whatever case.
fn mentions(row: &Row<'_>, needle: &str) -> bool {
    let first = needle.as_bytes().first().copied().unwrap_or_default();
    [row.query, row.result, row.raw_llm_output]
        .iter()
        .any(|value| {
            let Some(text) = value.text() else {
                return false;
            };
            if !needle.is_ascii() {
                return String::from_utf8_lossy(text)
                    .to_lowercase()
                    .contains(needle);
            }
            text.windows(needle.len()).any(|window| {
                window[0].eq_ignore_ascii_case(&first)
                    && window.eq_ignore_ascii_case(needle.as_bytes())
            })
        })
}

/// Makes tombstones of entries as they are.
pub(super) struct Sexton {
    reader: Reader,
    checker: Checker,
    hasher: PayloadHasher,
}

impl Sexton {
    /// Reads QWED's entries themselves, not what stands for them.
    pub(super) fn new(office: &Office, url: &DatabaseUrl) -> Result<Self, ErasureError> {
        Ok(Self {
            reader: Database::open(url)?.reader()?,
            checker: Checker::new(Arc::clone(&office.ring)),
            hasher: PayloadHasher::default(),
        })
    }

    /// Tombstones of those of these entries that are there and the subject's.
    pub(super) fn tombstones(
        &mut self,
        ids: &[i64],
        organization_id: i64,
        user_id: i64,
        manner: EraseEntries,
    ) -> Result<Vec<Tombstone>, ErasureError> {
        let mut tombstones = Vec::with_capacity(ids.len());
        for &id in ids {
            let Some(stored) = self.reader.entry(id)? else {
                continue;
            };
            let row = stored.row();
            let is_subjects = row.user_id == Value::Integer(user_id)
                && row.organization_id == Value::Integer(organization_id);
            if is_subjects {
                tombstones.push(self.tombstone(&row, organization_id, manner));
            }
        }
        Ok(tombstones)
    }

    fn tombstone(
        &mut self,
        row: &Row<'_>,
        organization_id: i64,
        manner: EraseEntries,
    ) -> Tombstone {
        let check = self.checker.check(row);
        let seal = match check.hash {
            HashState::Valid(form) if check.oddity.is_none() => Seal::Sound(form),
            HashState::Missing => Seal::Absent,
            _ => Seal::Failed,
        };
        if manner == EraseEntries::Delete
            && let Seal::Sound(form) = seal
            && check.signature_valid()
            && let Ok(tombstone) = Tombstone::deleted(row, organization_id, form)
        {
            return tombstone;
        }
        let mut space: Hex = [0; HEX_LENGTH];
        let leaf = Leaf::of_row(row, &mut self.hasher, &mut space);
        let unsealed = match leaf.kind {
            LeafKind::Sealed => None,
            kind => leaf.hash.try_into().ok().map(|digest| Unsealed {
                is_raw: kind == LeafKind::Raw,
                digest,
            }),
        };
        Tombstone::anonymised(row, organization_id, seal, unsealed)
    }

    /// Which of these entries are still to be anonymised, and which to be deleted: those that are there, are not as they will
    /// be, and are the ones that the tombstones were made of.
    pub(super) fn left(
        &mut self,
        tombstones: &[Tombstone],
    ) -> Result<(Vec<i64>, Vec<i64>), ErasureError> {
        let (mut anonymise, mut delete) = (Vec::new(), Vec::new());
        for tombstone in tombstones {
            let Some(stored) = self.reader.entry(tombstone.id())? else {
                continue;
            };
            let row = stored.row();
            if !tombstone.fits(&row) || matches!(tombstone.on(&row), Some(Erased::As(_))) {
                continue;
            }
            match tombstone.manner() {
                crate::trail::tombstone::Manner::Anonymised => anonymise.push(row.id),
                crate::trail::tombstone::Manner::Deleted => delete.push(row.id),
            }
        }
        Ok((anonymise, delete))
    }
}

/// Erases what is left of these entries. Answers how many were anonymised, and how many deleted.
pub(super) fn erase(
    sexton: &mut Sexton,
    eraser: &mut Eraser,
    tombstones: &[Tombstone],
) -> Result<(u64, u64), ErasureError> {
    let (anonymise, delete) = sexton.left(tombstones)?;
    let columns = eraser.columns("verificationlog")?;
    let has = |name: &str| columns.iter().any(|column| column.name == name);
    let mut set = vec![
        "user_id = NULL".to_owned(),
        marked("query"),
        marked_json("result"),
    ];
    if has("raw_llm_output") {
        set.push(marked("raw_llm_output"));
    }
    if has("api_key_id") {
        set.push("api_key_id = NULL".to_owned());
    }
    let set = set.join(", ");
    let anonymised = eraser.write_rows(&anonymise, |rows| {
        format!("UPDATE verificationlog SET {set} WHERE {rows} AND {NOT_NEWEST}")
    })?;
    let deleted = eraser.write_rows(&delete, |rows| {
        format!("DELETE FROM verificationlog WHERE {rows} AND {NOT_NEWEST}")
    })?;
    Ok((anonymised, deleted))
}
