//! What a verification answers, in the shape of its JSON document.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::rolling::CoverageReport;
use crate::{
    checkpoint::anchored::AnchoredTree,
    qwed::Dialect,
    trail::{
        chain::Trail,
        finding::{AnchorFinding, Finding, Kind, Severity, Verdict},
        keys::KeyRing,
        segment::Segment,
        tombstone::Tombstones,
    },
};

/// How much of the trail was checked before a verification was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Coverage {
    /// Entries checked.
    pub entries: u64,
    /// Part of the key range, from 0 to 1.
    pub fraction: f64,
}

/// The outcome for all organisations that were verified.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The worst of all organisations' verdicts.
    pub verdict: Verdict,
    /// The kind of database.
    pub database: Dialect,
    /// When the verification started, RFC 3339 in UTC.
    pub started_at: String,
    /// How long it took, in seconds.
    pub duration_seconds: f64,
    /// How many entries were verified.
    pub entries: u64,
    /// Entries per second over the whole time.
    pub entries_per_second: u64,
    /// How many entries each key signed, in the ring's order.
    pub keys: Vec<KeyUse>,
    /// What was found outside the trails: weak keys.
    pub findings: Vec<KeyFinding>,
    /// What is wrong with tombstones of erased entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tombstones: Vec<AnchorFinding>,
    /// The number in the ledger of the newest tombstones that were known.
    #[serde(skip)]
    pub newest_tombstones: i64,
    /// What anchors say; none if the verification was to go without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchors: Option<AnchorsReport>,
    /// When what anchors cover was last checked in full; none before it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<CoverageReport>,
    /// By organisation, in order of id; entries of none, if there are any, come first.
    pub organizations: Vec<OrganizationReport>,
}

/// How much a key was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyUse {
    /// The key's name.
    pub id: String,
    /// Entries that it signed.
    pub entries: u64,
}

/// A finding about a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFinding {
    /// The key's name.
    pub key_id: String,
    /// `weak_key`.
    pub kind: Kind,
    /// `warning`.
    pub severity: Severity,
    /// In plain words.
    pub detail: String,
}

/// The outcome for one organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationReport {
    /// The organisation; `None` for entries that belong to none.
    pub organization_id: Option<i64>,
    /// What its trail is worth.
    pub verdict: Verdict,
    /// What QWED 8.0.0 answers for it.
    pub qwed: QwedAnswer,
    /// How many entries QWED counts as failed; its list may be cut.
    pub failed_count: u64,
    /// How many entries QWED counts as legacy; its list may be cut.
    pub legacy_count: u64,
    /// Entries that QWED counts as failed though they are as releases before 5.3.0 wrote them, or though nothing happened
    /// but an erasure.
    pub excused_count: u64,
    /// Entries that were erased, and that tombstones vouch for.
    #[serde(default, skip_serializing_if = "ErasedEntries::is_none")]
    pub erased: ErasedEntries,
    /// What was found, in order of entry, up to the limit.
    pub findings: Vec<Finding>,
    /// How many findings there are; where broken places outnumber the limit, those beyond it are counted one each.
    pub findings_total: u64,
    /// What an anchor says of the trail; none where the trail was not compared with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<AnchorReport>,
}

/// How many entries were erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ErasedEntries {
    /// Their personal content was replaced, their place in the chain was left.
    pub anonymised: u64,
    /// Their rows are gone; QWED does not count them.
    pub deleted: u64,
}

impl ErasedEntries {
    /// Whether there are none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// The anchors that a verification went by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorsReport {
    /// The number of the newest one; none if there is none that can be trusted.
    pub number: Option<u64>,
    /// When it was signed, RFC 3339 in UTC.
    pub time: Option<String>,
    /// How many entries were not read, since the anchor covers them; only where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread_entries: Option<u64>,
    /// What is wrong with them.
    pub findings: Vec<AnchorFinding>,
}

/// A trail compared with an anchor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorReport {
    /// The anchor's number.
    pub number: u64,
    /// When the organisation's newest entries were anchored, RFC 3339 in UTC.
    pub time: String,
    /// How many entries it covers.
    pub entries: u64,
    /// Whether each of them is as it was, and today's trail so extends what was anchored.
    pub is_extended: bool,
    /// Entries that no anchor vouches for yet: should they be removed, nothing would show it.
    pub unanchored_entries: u64,
    /// The first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_unanchored_id: Option<i64>,
    /// The last of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_unanchored_id: Option<i64>,
}

/// The answer of QWED 8.0.0's `verify_audit_trail`, field for field. Lists are cut at the limit of findings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are QWED's")]
pub struct QwedAnswer {
    pub valid: bool,
    pub total_entries: u64,
    pub verified_entries: u64,
    pub failed_entries: Vec<i64>,
    pub legacy_entries: Vec<i64>,
    pub first_entry_id: Option<i64>,
    pub last_entry_id: Option<i64>,
    pub head_hash: Option<String>,
}

impl QwedAnswer {
    fn of(trail: &Trail) -> Self {
        let tally = &trail.tally;
        Self {
            valid: tally.verified == tally.total,
            total_entries: tally.total,
            verified_entries: tally.verified,
            failed_entries: tally.failed_ids.clone(),
            legacy_entries: tally.legacy_ids.clone(),
            first_entry_id: tally.first_id,
            last_entry_id: tally.last_id,
            head_hash: tally.head_hash.to_text(),
        }
    }
}

impl OrganizationReport {
    /// The report of a trail, given what was found in it and how many entries that makes sound after all.
    #[must_use]
    pub(super) fn new(
        organization_id: i64,
        trail: &Trail,
        verdict: Verdict,
        findings: Vec<Finding>,
        findings_total: u64,
        excused: u64,
    ) -> Self {
        Self {
            organization_id: Some(organization_id),
            verdict,
            qwed: QwedAnswer::of(trail),
            failed_count: trail.tally.failed,
            legacy_count: trail.tally.legacy.entries,
            excused_count: excused,
            erased: ErasedEntries {
                anonymised: trail.erased.anonymised,
                deleted: trail.erased.deleted,
            },
            findings,
            findings_total,
            anchor: None,
        }
    }

    /// Entries without hash that an anchor covers are as they were since then, and no longer in doubt.
    pub(crate) fn vouch_for_legacy(&mut self, anchored: &AnchoredTree) {
        let last_id = |finding: &Finding| finding.last_entry_id.unwrap_or(finding.entry_id);
        let legacy = self
            .findings
            .iter_mut()
            .find(|finding| finding.kind == Kind::Legacy);
        let Some(legacy) = legacy.filter(|legacy| last_id(legacy) <= anchored.tree.last_id) else {
            return;
        };
        let (first_time, first_head) = anchored.first;
        let since = if last_id(legacy) <= first_head {
            first_time
        } else {
            anchored.time
        };
        legacy.severity = Severity::Info;
        legacy.detail = format!(
            "{} written before the chain began, without hash or signature: unchanged since they were anchored on {since}; \
             nothing can show whether they were changed before",
            match self.legacy_count {
                1 => "1 entry was".to_owned(),
                entries => format!("{entries} entries were"),
            }
        );
        let is_complete = self.findings.len() as u64 == self.findings_total;
        if self.verdict == Verdict::Incomplete && is_complete {
            let worst = self.findings.iter().map(|finding| finding.severity).max();
            self.verdict = worst.map_or(Verdict::Intact, Verdict::of);
        }
    }

    /// The report of an organisation that has no entries.
    #[must_use]
    pub(super) fn without_entries(organization_id: i64) -> Self {
        Self::new(
            organization_id,
            &Trail::default(),
            Verdict::Intact,
            Vec::new(),
            0,
            0,
        )
    }

    /// The report of entries that belong to no organisation, which QWED never walks.
    #[must_use]
    pub(super) fn homeless(segment: &Segment) -> Self {
        let detail = "organization_id is NULL or no integer: no organisation's trail has this entry, and QWED \
                      never writes such a one";
        let findings: Vec<Finding> = segment
            .homeless
            .iter()
            .map(|&id| Finding::new(id, Kind::ContentChanged, detail))
            .collect();
        let mut trail = Trail::default();
        trail.tally.total = segment.homeless_total;
        trail.tally.failed = segment.homeless_total;
        trail.tally.failed_ids.clone_from(&segment.homeless);
        trail.tally.first_id = segment.homeless.first().copied();
        trail.tally.last_id = segment.homeless.last().copied();
        let report = Self::new(
            0,
            &trail,
            Verdict::Tampered,
            findings,
            segment.homeless_total,
            0,
        );
        Self {
            organization_id: None,
            ..report
        }
    }

    /// Adds a finding that leaves an intact trail in doubt.
    pub(crate) fn doubt(&mut self, finding: Finding, limit: usize) {
        self.verdict = self.verdict.max(Verdict::of(finding.severity));
        self.findings_total += 1;
        let at = self
            .findings
            .partition_point(|other| other.entry_id <= finding.entry_id);
        self.findings.insert(at, finding);
        self.findings.truncate(limit);
    }

    /// Entries that are as QWED wrote them, in our view rather than in QWED's.
    #[must_use]
    pub fn verified_count(&self) -> u64 {
        self.qwed.verified_entries + self.excused_count
    }
}

/// The report of an organisation among those of others, which are in order of id.
pub(super) fn organization_of(
    organizations: &mut Vec<OrganizationReport>,
    id: i64,
) -> &mut OrganizationReport {
    let at = organizations.partition_point(|report| report.organization_id < Some(id));
    let is_there = organizations
        .get(at)
        .is_some_and(|report| report.organization_id == Some(id));
    if !is_there {
        organizations.insert(at, OrganizationReport::without_entries(id));
    }
    &mut organizations[at]
}

impl Report {
    /// Notes when the verification ran, and from that its rate.
    pub fn set_times(&mut self, started: Timestamp, ended: Timestamp) {
        let seconds = ended.duration_since(started).as_secs_f64().max(1e-6);
        self.started_at = started.to_string();
        self.duration_seconds = (seconds * 1e6).round() / 1e6;
        self.entries_per_second = (self.entries as f64 / seconds) as u64;
    }

    /// What is said of an organisation, which may not have been said anything of yet.
    pub(crate) fn organization(&mut self, id: i64) -> &mut OrganizationReport {
        organization_of(&mut self.organizations, id)
    }

    /// Takes the verdict anew from those on the organisations, after they changed.
    pub(crate) fn judge_again(&mut self) {
        let verdicts = self.organizations.iter().map(|it| it.verdict);
        let of_tombstones = self.tombstones.iter().map(|it| Verdict::of(it.severity));
        self.verdict = verdicts
            .chain(of_tombstones)
            .max()
            .unwrap_or(Verdict::Intact);
    }

    /// Notes by which tombstones erased entries were judged.
    #[must_use]
    pub(super) fn judged_by(mut self, tombstones: &Tombstones) -> Self {
        let problems = tombstones.problems().iter();
        let finding =
            |problem: &String| AnchorFinding::new(Kind::TombstoneInvalid, problem.clone());
        self.tombstones = problems.map(finding).collect();
        self.newest_tombstones = tombstones.newest();
        if !self.tombstones.is_empty() {
            self.verdict = Verdict::Tampered;
        }
        self
    }

    /// What it says of one organisation, with what it says of anchors and tombstones. How much each key signed is not known of a single
    /// organisation among several.
    #[must_use]
    pub fn only(&self, organization_id: i64) -> Self {
        let mut only = self.clone();
        if self.organizations.len() > 1 {
            only.keys = Vec::new();
        }
        only.organizations
            .retain(|it| it.organization_id == Some(organization_id));
        only.entries = only
            .organizations
            .iter()
            .map(|it| it.qwed.total_entries)
            .sum();
        only.judge_again();
        if let Some(anchors) = only.anchors.take() {
            only.set_anchors(anchors);
        }
        only
    }

    /// Adds what was found about the anchors.
    pub fn set_anchors(&mut self, anchors: AnchorsReport) {
        let worst = anchors
            .findings
            .iter()
            .map(|finding| finding.severity)
            .max();
        self.verdict = self.verdict.max(worst.map_or(Verdict::Intact, Verdict::of));
        self.anchors = Some(anchors);
    }

    /// Puts the parts together; times and rate are filled in by who has the clock.
    #[must_use]
    pub(super) fn new(
        database: Dialect,
        ring: &KeyRing,
        signed_by_key: &[u64],
        organizations: Vec<OrganizationReport>,
    ) -> Self {
        let keys = ring.keys().iter().enumerate().map(|(index, key)| KeyUse {
            id: key.id().to_owned(),
            entries: signed_by_key.get(index).copied().unwrap_or(0),
        });
        let findings = ring.keys().iter().filter_map(|key| {
            key.weakness().map(|weakness| KeyFinding {
                key_id: key.id().to_owned(),
                kind: Kind::WeakKey,
                severity: Kind::WeakKey.severity(),
                detail: weakness.to_string(),
            })
        });
        Self {
            verdict: organizations
                .iter()
                .map(|o| o.verdict)
                .max()
                .unwrap_or(Verdict::Intact),
            database,
            started_at: String::new(),
            duration_seconds: 0.0,
            entries: organizations.iter().map(|o| o.qwed.total_entries).sum(),
            entries_per_second: 0,
            keys: keys.collect(),
            findings: findings.collect(),
            tombstones: Vec::new(),
            newest_tombstones: 0,
            anchors: None,
            coverage: None,
            organizations,
        }
    }
}
