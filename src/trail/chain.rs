//! One organisation's chain, folded from rows and joined from stretches.
//!
//! Rules are QWED 8.0.0's, `chained_before` being "some lower row of the organisation has an entry hash".
//! A stretch that starts in the middle of the trail cannot decide everything; kept open until the join are
//!
//! - the link of its first row to the row before the stretch;
//! - rows without hash before its first hashed row: legacy, unless the chain had begun earlier;
//! - a first hashed row that names no predecessor: the start of the chain, unless it had begun earlier.
//!
//! An entry that was deleted, and for which a tombstone stands, takes its place in the chain; QWED does not see it. So it
//! counts nowhere in QWED's tally, and the entry after it, whose link holds, is one that QWED counts as failed.
//!
//! What a broken link *means* is not decided here, as that needs a look elsewhere in the trail.

use serde::{Deserialize, Serialize};

pub use super::broken::{BrokenLink, Fault, Links, Span, Suspect};
use super::{
    broken::{MAX_OLD_LINKS, MIN_LINKS, extend_limited, push_limited},
    check::{Erasure, HashState, RowCheck, SignatureState},
    hash::HashText,
    payload::Shape,
    row::{Row, Value},
    tombstone::Manner,
};

/// What QWED's `verify_audit_trail` counts, lists cut at the limit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named after the fields of QWED's answer")]
pub struct Tally {
    pub total: u64,
    pub verified: u64,
    pub failed: u64,
    pub failed_ids: Vec<i64>,
    pub legacy: Span,
    pub legacy_ids: Vec<i64>,
    pub first_id: Option<i64>,
    pub last_id: Option<i64>,
    pub head_hash: HashText,
}

/// Entries that were erased, and vouched for by tombstones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ErasedTally {
    /// Whose personal columns were replaced.
    pub anonymised: u64,
    /// Whose rows are gone.
    pub deleted: u64,
    /// Entries that QWED counts as failed for no other reason than that they, or those before them, were erased.
    pub excused: u64,
    /// Entries that are gone and began an old process's chain anew; QWED does not count them as failed.
    pub uncounted: u64,
}

impl ErasedTally {
    fn join(&mut self, other: Self) {
        self.anonymised += other.anonymised;
        self.deleted += other.deleted;
        self.excused += other.excused;
        self.uncounted += other.uncounted;
    }
}

/// The first hashed row of a range, while it is open whether its link holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OpenLink {
    link: BrokenLink,
    /// No row of the organisation stands before it in the range.
    is_first: bool,
    counted: bool,
    /// Its content was erased, so that QWED counts it as failed however its link is.
    is_erased: bool,
    /// It was deleted, so that QWED counts it nowhere.
    is_gone: bool,
    /// Whether it names the entry before it in the whole table; `None` while that one is unknown.
    follows_globally: Option<bool>,
}

/// A stretch of one organisation's trail.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Trail {
    /// QWED's count. Rows still open are not in `verified`, `failed` or `legacy` yet.
    pub tally: Tally,
    /// Faulty rows in id order, up to the limit.
    pub suspects: Vec<Suspect>,
    /// How many suspects there are, with those beyond the limit.
    pub suspects_total: u64,
    /// Broken links that newer releases wrote.
    pub broken_links: Links<MIN_LINKS>,
    /// Broken links that releases before 5.3.0 wrote, and that do not lead to the entry before in the whole table.
    pub old_links: Links<MAX_OLD_LINKS>,
    /// Rows of releases before 5.3.0 that follow the entry before them in the whole table.
    pub global: Span,
    /// How many rows of releases before 5.3.0 name no predecessor though the chain had begun.
    pub restarts: u64,
    /// Rows whose signature a key made, by the key's place in the ring.
    pub signed_by_key: Vec<u64>,
    /// Highest id of a row of a release before 5.3.0.
    pub last_old_id: Option<i64>,
    /// What was erased.
    pub erased: ErasedTally,
    /// The newest row is gone, and only a tombstone stands for it.
    last_is_gone: bool,
    /// Whether any row, counted or not, was seen.
    has_rows: bool,
    /// Whether any row has an entry hash.
    chained: bool,
    /// Hash of the newest row.
    last_hash: HashText,
    open: Option<OpenLink>,
    /// Unchained rows before the first hashed row.
    unchained: Span,
    unchained_ids: Vec<i64>,
    /// All counted rows before the first hashed row, and how many suspects they make by themselves.
    prologue: Span,
    prologue_suspects: u64,
    /// The fault that the first and the last counted row have, where it can run on across a join.
    first_fault: Option<Fault>,
    last_fault: Option<Fault>,
    /// A hashed row that is not counted stands before the first counted one; it ends runs.
    starts_apart: bool,
}

impl Trail {
    /// What stands before the first row of a period: whether any hash does, and the newest row's.
    #[must_use]
    pub fn before_period(previous: Option<HashText>, chained_before: bool) -> Self {
        Self {
            has_rows: previous.is_some(),
            chained: chained_before,
            last_hash: previous.unwrap_or_default(),
            ..Self::default()
        }
    }

    /// Says whether only a tombstone stands for the row that is before the period.
    #[must_use]
    pub fn behind_gone(self, last_is_gone: bool) -> Self {
        Self {
            last_is_gone,
            ..self
        }
    }

    /// Tells the stretch the hash of the entry before its first hashed row in the whole table.
    pub(super) fn set_preceding(&mut self, hash: &HashText) {
        if let Some(open) = &mut self.open
            && open.follows_globally.is_none()
        {
            open.follows_globally = Some(*hash == open.link.previous_hash);
        }
    }

    /// The suspect that the row with this id belongs to.
    #[must_use]
    pub fn suspect(&self, id: i64) -> Option<&Suspect> {
        let after = self
            .suspects
            .partition_point(|suspect| suspect.first_id <= id);
        self.suspects[..after]
            .last()
            .filter(|suspect| id <= suspect.last_id)
    }

    /// All broken links that are listed.
    pub fn links(&self) -> impl Iterator<Item = &BrokenLink> {
        self.broken_links.list.iter().chain(&self.old_links.list)
    }

    /// Rows whose signature a key made.
    #[must_use]
    pub fn signed(&self) -> u64 {
        self.signed_by_key.iter().sum()
    }

    /// Whether no row was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.has_rows
    }

    pub(super) fn push(
        &mut self,
        row: &Row<'_>,
        check: &RowCheck,
        counted: bool,
        preceding: Option<&HashText>,
        limit: usize,
    ) {
        let had_rows = core::mem::replace(&mut self.has_rows, true);
        let is_gone = check.erasure == Some(Erasure::Sound(Manner::Deleted));
        let is_erased = check.erasure == Some(Erasure::Sound(Manner::Anonymised));
        if counted {
            self.erased.deleted += u64::from(is_gone);
            self.erased.anonymised += u64::from(is_erased);
        }
        let is_asked_for = counted;
        let counted = counted && !is_gone;
        if counted {
            self.tally.total += 1;
            self.tally.first_id.get_or_insert(row.id);
            self.tally.last_id = Some(row.id);
        }
        let fault = Fault::of(check);
        if row.entry_hash.is_blank() {
            self.push_hashless(row, check, counted, limit);
        } else {
            let old_writer = matches!(check.hash, HashState::Valid(form) if form.shape == Shape::D);
            let sound = check.hash_valid() && check.signature_valid();
            if counted {
                self.add_fault(row.id, fault, limit);
                if let SignatureState::Valid(key) = check.signature {
                    if self.signed_by_key.len() <= key {
                        self.signed_by_key.resize(key + 1, 0);
                    }
                    self.signed_by_key[key] += 1;
                }
                if old_writer {
                    self.last_old_id = Some(row.id);
                }
            } else {
                self.last_fault = None;
                self.starts_apart |= self.tally.total == 0;
            }
            let is_open = !self.chained && (row.previous_hash == Value::Null || !had_rows);
            let links = self.chained
                && !self.last_hash.is_blank()
                && matches_value(&self.last_hash, row.previous_hash);
            if links {
                let is_seen = !is_erased && !self.last_is_gone;
                self.settle(row.id, sound, is_seen, counted, limit);
            } else {
                let open = OpenLink {
                    link: BrokenLink {
                        id: row.id,
                        previous_hash: row.previous_hash.into(),
                        old_writer,
                        hash_valid: check.hash_valid(),
                        sound,
                    },
                    is_first: !had_rows,
                    counted: is_asked_for,
                    is_erased,
                    is_gone,
                    follows_globally: preceding.map(|hash| matches_value(hash, row.previous_hash)),
                };
                if is_open {
                    self.open = Some(open);
                } else {
                    self.settle_broken(open, limit);
                }
            }
            self.chained = true;
        }
        self.last_hash = row.entry_hash.into();
        self.last_is_gone = is_gone;
        if counted {
            self.tally.head_hash.clone_from(&self.last_hash);
        }
    }

    fn push_hashless(&mut self, row: &Row<'_>, check: &RowCheck, counted: bool, limit: usize) {
        if !counted {
            return;
        }
        if self.chained {
            self.add_fault(row.id, Some(Fault::NoHash), limit);
            self.fail(row.id, limit);
            return;
        }
        self.prologue.add(row.id);
        if row.is_unchained() {
            self.unchained.add(row.id);
            push_limited(&mut self.unchained_ids, row.id, limit);
            let before = self.suspects_total;
            let is_undone = check.erasure == Some(Erasure::Undone);
            self.add_fault(row.id, is_undone.then_some(Fault::LegacyUndone), limit);
            self.prologue_suspects += self.suspects_total - before;
        } else {
            let before = self.suspects_total;
            self.add_fault(row.id, Some(Fault::NoHash), limit);
            self.prologue_suspects += self.suspects_total - before;
            self.fail(row.id, limit);
        }
    }

    /// Counts a row whose link holds; `is_seen` says whether that can be seen without tombstones, as QWED looks.
    #[inline]
    fn settle(&mut self, id: i64, sound: bool, is_seen: bool, counted: bool, limit: usize) {
        if !counted {
        } else if sound && is_seen {
            self.tally.verified += 1;
        } else {
            self.erased.excused += u64::from(sound);
            self.fail(id, limit);
        }
    }

    /// Counts a row whose link does not hold.
    fn settle_broken(&mut self, open: OpenLink, limit: usize) {
        if !open.counted {
            return;
        }
        let OpenLink {
            link,
            follows_globally,
            is_gone,
            ..
        } = open;
        let sound = link.sound;
        if !is_gone {
            self.fail(link.id, limit);
        }
        // What stood before an entry that is gone must not go unnoticed with it.
        if link.old_writer && sound && link.previous_hash == HashText::Null {
            self.restarts += 1;
            self.erased.uncounted += u64::from(is_gone);
        } else if link.old_writer && sound && follows_globally == Some(true) {
            if !is_gone {
                self.global.add(link.id);
            }
        } else if link.old_writer {
            self.old_links.push(link, limit);
        } else {
            self.broken_links.push(link, limit);
        }
    }

    fn fail(&mut self, id: i64, limit: usize) {
        self.tally.failed += 1;
        push_limited(&mut self.tally.failed_ids, id, limit);
    }

    #[inline]
    fn note_fault_edge(&mut self, fault: Option<Fault>) {
        if self.tally.total == 1 && !self.starts_apart {
            self.first_fault = fault;
        }
        self.last_fault = fault;
    }

    #[inline]
    fn add_fault(&mut self, id: i64, fault: Option<Fault>, limit: usize) {
        let runs_on = fault.filter(|fault| fault.runs_on());
        if let Some(fault) = fault {
            let continues = runs_on.is_some() && self.last_fault == runs_on;
            let suspect = Suspect {
                first_id: id,
                last_id: id,
                entries: 1,
                fault,
            };
            self.add_suspect(suspect, continues, limit);
        }
        self.note_fault_edge(runs_on);
    }

    fn add_suspect(&mut self, suspect: Suspect, continues: bool, limit: usize) {
        if !continues {
            self.suspects_total += 1;
            push_limited(&mut self.suspects, suspect, limit);
        } else if self.suspects_total == self.suspects.len() as u64
            && let Some(last) = self.suspects.last_mut()
        {
            last.last_id = suspect.last_id;
            last.entries += suspect.entries;
        }
    }

    /// Appends the stretch that follows.
    #[must_use]
    pub(super) fn join(mut self, mut next: Self, limit: usize) -> Self {
        if !next.has_rows {
            return self;
        }
        if !self.has_rows && !self.chained {
            return next;
        }
        if self.chained {
            next.settle_prologue(limit);
        }
        if let Some(mut open) = next.open.take() {
            let names_none = open.link.previous_hash == HashText::Null;
            if names_none && !self.chained {
                open.is_first = false;
                next.open = Some(open);
            } else if open.is_first
                && !self.last_hash.is_blank()
                && self.last_hash == open.link.previous_hash
            {
                next.settle_late(open, true, self.last_is_gone, limit);
            } else {
                next.settle_late(open, false, false, limit);
            }
        }
        self.append(next, limit);
        self
    }

    /// The chain had begun before this stretch: its leading rows without hash are not legacy.
    fn settle_prologue(&mut self, limit: usize) {
        let prologue = core::mem::take(&mut self.prologue);
        if prologue.entries == 0 {
            return;
        }
        // All of them have no hash, those that already were suspects included: one run.
        self.suspects_total -= core::mem::take(&mut self.prologue_suspects);
        self.suspects
            .retain(|suspect| suspect.first_id > prologue.last_id);
        self.suspects_total += 1;
        let run = Suspect {
            first_id: prologue.first_id,
            last_id: prologue.last_id,
            entries: prologue.entries,
            fault: Fault::NoHash,
        };
        self.suspects.insert(0, run);
        self.suspects.truncate(limit);
        self.first_fault = Some(Fault::NoHash);
        if !self.chained {
            self.last_fault = Some(Fault::NoHash);
        }
        self.tally.failed += core::mem::take(&mut self.unchained).entries;
        let ids = core::mem::take(&mut self.unchained_ids);
        self.tally.failed_ids.extend(ids);
        self.tally.failed_ids.sort_unstable();
        self.tally.failed_ids.truncate(limit);
    }

    /// Settles the open link, whose row may stand before others that failed.
    fn settle_late(&mut self, open: OpenLink, holds: bool, follows_gone: bool, limit: usize) {
        let mut early = Self::default();
        if holds {
            let is_seen = !open.is_erased && !follows_gone;
            let counted = open.counted && !open.is_gone;
            early.settle(open.link.id, open.link.sound, is_seen, counted, limit);
        } else {
            early.settle_broken(open, limit);
        }
        self.tally.verified += early.tally.verified;
        self.tally.failed += early.tally.failed;
        self.tally.failed_ids.extend(early.tally.failed_ids);
        self.tally.failed_ids.sort_unstable();
        self.tally.failed_ids.truncate(limit);
        self.erased.join(early.erased);
        self.global.join(early.global);
        self.restarts += early.restarts;
        // The row stands before all others whose links were judged.
        self.broken_links = early
            .broken_links
            .join(core::mem::take(&mut self.broken_links), limit);
        self.old_links = early
            .old_links
            .join(core::mem::take(&mut self.old_links), limit);
    }

    fn append(&mut self, next: Self, limit: usize) {
        let joins_run = next.first_fault.is_some() && next.first_fault == self.last_fault;
        let counted_any = next.tally.total > 0;
        let mut suspects = next.suspects.into_iter();
        let mut total = next.suspects_total;
        if joins_run && let Some(first) = suspects.next() {
            self.add_suspect(first, true, limit);
            total -= 1;
        }
        self.suspects_total += total;
        extend_limited(&mut self.suspects, suspects, limit);
        if self.tally.total == 0 {
            if !self.starts_apart {
                self.first_fault = next.first_fault;
            }
            self.starts_apart |= next.starts_apart;
        }
        if counted_any || next.starts_apart {
            self.last_fault = next.last_fault;
        }

        self.tally.total += next.tally.total;
        self.tally.verified += next.tally.verified;
        self.tally.failed += next.tally.failed;
        extend_limited(&mut self.tally.failed_ids, next.tally.failed_ids, limit);
        self.tally.first_id = self.tally.first_id.or(next.tally.first_id);
        if counted_any {
            self.tally.last_id = next.tally.last_id;
            self.tally.head_hash = next.tally.head_hash;
        }
        self.broken_links = core::mem::take(&mut self.broken_links).join(next.broken_links, limit);
        self.old_links = core::mem::take(&mut self.old_links).join(next.old_links, limit);
        self.erased.join(next.erased);
        self.global.join(next.global);
        self.restarts += next.restarts;
        if self.signed_by_key.len() < next.signed_by_key.len() {
            self.signed_by_key.resize(next.signed_by_key.len(), 0);
        }
        for (ours, theirs) in self.signed_by_key.iter_mut().zip(next.signed_by_key) {
            *ours += theirs;
        }
        self.last_old_id = next.last_old_id.or(self.last_old_id);

        if !self.chained {
            self.open = next.open;
            self.unchained.join(next.unchained);
            extend_limited(&mut self.unchained_ids, next.unchained_ids, limit);
            self.prologue_suspects += next.prologue_suspects;
            // The prologue's first suspect went on with ours.
            self.prologue_suspects -= u64::from(joins_run && next.prologue.entries > 0);
            self.prologue.join(next.prologue);
        }
        self.has_rows = true;
        self.chained |= next.chained;
        self.last_hash = next.last_hash;
        self.last_is_gone = next.last_is_gone;
    }

    /// Decides what is still open, nothing standing before this stretch.
    pub(super) fn finish(&mut self, limit: usize) {
        let unchained = core::mem::take(&mut self.unchained);
        self.tally.legacy = unchained;
        self.tally.legacy_ids = core::mem::take(&mut self.unchained_ids);
        if let Some(open) = self.open.take() {
            let holds = open.link.previous_hash == HashText::Null;
            self.settle_late(open, holds, false, limit);
        }
    }
}

fn matches_value(hash: &HashText, value: Value<'_>) -> bool {
    match (hash, value) {
        (HashText::Hex(hex), Value::Text(text)) => hex == text,
        (HashText::Null, Value::Null) => true,
        (HashText::Hex(_), _) | (HashText::Null, _) => false,
        (hash, value) => *hash == HashText::from(value),
    }
}
