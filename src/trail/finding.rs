//! What a verification says: findings, and the verdict that follows from them.

use core::fmt;

use serde::{Deserialize, Serialize};

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing, and no doubt about the trail.
    Info,
    /// Something outside the trail should be put right.
    Warning,
    /// Something cannot be verified, though nothing speaks against it.
    Incomplete,
    /// The trail is not as QWED wrote it.
    Tampered,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The content is not what was hashed.
    ContentChanged,
    /// The signature was not made with any key for this hash.
    SignatureInvalid,
    /// There is no signature.
    SignatureMissing,
    /// There is no hash, though the chain had begun.
    HashMissing,
    /// The entry that this one follows is gone.
    PredecessorMissing,
    /// The entry that this one follows stands elsewhere in the organisation.
    Reordered,
    /// Another entry follows the same predecessor.
    Forked,
    /// The entry that this one follows is in another organisation.
    MovedOrganisation,
    /// `result` is not JSON.
    ResultMalformed,
    /// A stretch of entries is signed with no key of the ring.
    UnknownKey,
    /// Written before 5.3.0, chained across organisations, and sound.
    GlobalChain,
    /// A process of a release before 5.3.0 started anew: nothing links to what came before.
    ChainRestarted,
    /// Written before the chain began: nothing to verify.
    Legacy,
    /// The newest entries that an anchor covers are gone.
    TailRemoved,
    /// Entries are not those that an anchor covers.
    HistoryRewritten,
    /// Entries without hash are not as they were when they were anchored.
    LegacyRowsChanged,
    /// An organisation that an anchor covers has no entries any more.
    OrganisationVanished,
    /// An anchor that there was is gone, or is not what was signed.
    AnchorMissing,
    /// The numbering of anchors has a gap.
    AnchorGap,
    /// Anchors are signed for another origin than configured.
    AnchorMoved,
    /// A signing key that proves less than it should.
    WeakKey,
    /// What was erased is there again.
    ErasureUndone,
    /// What stands for erased entries is not what was signed.
    TombstoneInvalid,
}

impl Kind {
    /// How much findings of this kind weigh.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::GlobalChain => Severity::Info,
            Self::WeakKey => Severity::Warning,
            Self::Legacy | Self::ChainRestarted | Self::AnchorMoved => Severity::Incomplete,
            Self::ContentChanged
            | Self::SignatureInvalid
            | Self::SignatureMissing
            | Self::HashMissing
            | Self::PredecessorMissing
            | Self::Reordered
            | Self::Forked
            | Self::MovedOrganisation
            | Self::ResultMalformed
            | Self::UnknownKey
            | Self::TailRemoved
            | Self::HistoryRewritten
            | Self::LegacyRowsChanged
            | Self::OrganisationVanished
            | Self::AnchorMissing
            | Self::AnchorGap
            | Self::ErasureUndone
            | Self::TombstoneInvalid => Severity::Tampered,
        }
    }

    /// The name in reports, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ContentChanged => "content_changed",
            Self::SignatureInvalid => "signature_invalid",
            Self::SignatureMissing => "signature_missing",
            Self::HashMissing => "hash_missing",
            Self::PredecessorMissing => "predecessor_missing",
            Self::Reordered => "reordered",
            Self::Forked => "forked",
            Self::MovedOrganisation => "moved_organisation",
            Self::ResultMalformed => "result_malformed",
            Self::UnknownKey => "unknown_key",
            Self::GlobalChain => "global_chain",
            Self::ChainRestarted => "chain_restarted",
            Self::Legacy => "legacy",
            Self::TailRemoved => "tail_removed",
            Self::HistoryRewritten => "history_rewritten",
            Self::LegacyRowsChanged => "legacy_rows_changed",
            Self::OrganisationVanished => "organisation_vanished",
            Self::AnchorMissing => "anchor_missing",
            Self::AnchorGap => "anchor_gap",
            Self::AnchorMoved => "anchor_moved",
            Self::WeakKey => "weak_key",
            Self::ErasureUndone => "erasure_undone",
            Self::TombstoneInvalid => "tombstone_invalid",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One thing that is worth telling about a trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The entry, or the first of several.
    pub entry_id: i64,
    /// The last of several entries that share the cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_entry_id: Option<i64>,
    /// How many entries share the cause, where it is more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
    /// What it is.
    pub kind: Kind,
    /// How much it weighs.
    pub severity: Severity,
    /// In plain words: what was found, and what it may mean.
    pub detail: String,
}

impl Finding {
    /// A finding about one entry.
    #[must_use]
    pub fn new(entry_id: i64, kind: Kind, detail: impl Into<String>) -> Self {
        let severity = kind.severity();
        Self {
            entry_id,
            last_entry_id: None,
            entries: None,
            kind,
            severity,
            detail: detail.into(),
        }
    }

    /// Makes it one about `entries` entries up to `last_entry_id`.
    #[must_use]
    pub fn over(mut self, last_entry_id: i64, entries: u64) -> Self {
        if entries > 1 {
            self.last_entry_id = Some(last_entry_id);
            self.entries = Some(entries);
        }
        self
    }
}

/// What was found about the anchors themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorFinding {
    /// `anchor_missing`, `anchor_gap` or `anchor_moved`.
    pub kind: Kind,
    /// How much it weighs.
    pub severity: Severity,
    /// In plain words.
    pub detail: String,
}

impl AnchorFinding {
    /// A finding.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            severity: kind.severity(),
            detail: detail.into(),
        }
    }
}

/// What a trail is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every entry is as QWED wrote it and linked to the one before.
    Intact,
    /// Nothing speaks against the trail, but some entries cannot be verified.
    Incomplete,
    /// The trail is not as QWED wrote it.
    Tampered,
}

impl Verdict {
    /// The verdict that a finding of this severity alone leads to.
    #[must_use]
    pub fn of(severity: Severity) -> Self {
        match severity {
            Severity::Info | Severity::Warning => Self::Intact,
            Severity::Incomplete => Self::Incomplete,
            Severity::Tampered => Self::Tampered,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Intact => "intact",
            Self::Incomplete => "incomplete",
            Self::Tampered => "tampered",
        })
    }
}
