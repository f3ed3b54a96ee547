//! Broken places of a trail, as the fold records them: faulty rows, broken links, and spans of rows.

use serde::{Deserialize, Serialize};

use super::{
    check::{Erasure, HashState, RowCheck, SignatureState},
    hash::HashText,
    payload::Unhashable,
};

/// Broken links that are kept however low the limit of findings is: what one means can depend on the others.
pub(super) const MIN_LINKS: usize = 1000;
/// Broken links of entries before 5.3.0 that are kept for looking up. Such links are the rule in such
/// trails and may turn out sound, so their limit is far above that of findings.
pub(super) const MAX_OLD_LINKS: usize = 1_000_000;

/// What is wrong with a row by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// Content and hash disagree, or a column holds what QWED did not write.
    Content,
    /// `result` is not JSON.
    Result,
    /// No hash though the chain had begun.
    NoHash,
    /// No signature.
    NoSignature,
    /// A signature that no key made.
    Signature,
    /// Erased, and there again.
    Undone,
    /// The same of an entry from before the chain began.
    LegacyUndone,
}

impl Fault {
    /// Whether neighbours with the same fault share one cause.
    pub(super) fn runs_on(self) -> bool {
        matches!(
            self,
            Self::NoHash | Self::NoSignature | Self::Signature | Self::Undone | Self::LegacyUndone
        )
    }

    pub(super) fn of(check: &RowCheck) -> Option<Self> {
        match (check.hash, check.signature) {
            (HashState::Missing, _) => Some(Self::NoHash),
            (HashState::Unhashable(Unhashable::Result(_) | Unhashable::ResultType(_)), _) => {
                Some(Self::Result)
            }
            (HashState::Unhashable(_) | HashState::Mismatch, _) => Some(Self::Content),
            (HashState::Valid(_), _) if check.oddity.is_some() => Some(Self::Content),
            (HashState::Valid(_), SignatureState::Missing) => Some(Self::NoSignature),
            (HashState::Valid(_), SignatureState::Invalid) => Some(Self::Signature),
            (HashState::Valid(_), SignatureState::Valid(_)) => {
                (check.erasure == Some(Erasure::Undone)).then_some(Self::Undone)
            }
        }
    }
}

/// Rows that follow each other and share a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// Id of the first.
    pub first_id: i64,
    /// Id of the last.
    pub last_id: i64,
    /// How many.
    pub entries: u64,
    /// What is wrong with them.
    pub fault: Fault,
}

/// A row whose `previous_hash` is not the hash of the organisation's row before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenLink {
    /// The row.
    pub id: i64,
    /// What it names as its predecessor.
    pub previous_hash: HashText,
    /// Whether a release before 5.3.0 wrote it, which chained across organisations.
    pub old_writer: bool,
    /// Whether its content matches its hash, so that `previous_hash` is what was written.
    pub hash_valid: bool,
    /// Whether a key signed it, too.
    pub sound: bool,
}

/// Broken links in id order, up to the limit of findings or `KEPT`, whichever is more.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Links<const KEPT: usize> {
    /// The first of them.
    pub list: Vec<BrokenLink>,
    /// How many there are.
    pub total: u64,
}

impl<const KEPT: usize> Links<KEPT> {
    pub(super) fn push(&mut self, link: BrokenLink, limit: usize) {
        self.total += 1;
        push_limited(&mut self.list, link, limit.max(KEPT));
    }

    pub(super) fn join(mut self, next: Self, limit: usize) -> Self {
        self.total += next.total;
        extend_limited(&mut self.list, next.list, limit.max(KEPT));
        self
    }

    /// How many are not in the list.
    #[must_use]
    pub fn unlisted(&self) -> u64 {
        self.total - self.list.len() as u64
    }
}

/// Rows that share a benign cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Span {
    /// Id of the first.
    pub first_id: i64,
    /// Id of the last.
    pub last_id: i64,
    /// How many.
    pub entries: u64,
}

impl Span {
    pub(super) fn add(&mut self, id: i64) {
        self.join(Self {
            first_id: id,
            last_id: id,
            entries: 1,
        });
    }

    /// Adds `other`, wherever it lies.
    pub fn join(&mut self, other: Self) {
        if self.entries == 0 {
            *self = other;
        } else if other.entries > 0 {
            self.first_id = self.first_id.min(other.first_id);
            self.last_id = self.last_id.max(other.last_id);
            self.entries += other.entries;
        }
    }
}

pub(super) fn push_limited<T>(list: &mut Vec<T>, item: T, limit: usize) {
    if list.len() < limit {
        list.push(item);
    }
}

pub(super) fn extend_limited<T>(
    list: &mut Vec<T>,
    items: impl IntoIterator<Item = T>,
    limit: usize,
) {
    let room = limit.saturating_sub(list.len());
    list.extend(items.into_iter().take(room));
}
