//! Verifies all chains with the engine that verifies QWED's trail, and compares their ends with those that the ledger has.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::row::{Record, trail_row};
use crate::{
    ledger::ConsentHead,
    state::{StateError, Store},
    trail::{
        chain::{Fault, Trail},
        check::Checker,
        finding::{Finding, Kind, Severity, Verdict},
        keys::KeyRing,
        segment::{Folder, Segment},
    },
};

/// Records that are read at a time.
const PAGE: u32 = 500;

/// What verifying a chain came to. In findings an entry's id is the record's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// Whose.
    pub organization_id: i64,
    /// What it is worth.
    pub verdict: Verdict,
    /// Its records.
    pub records: u64,
    /// Of them, those that are as they were signed and follow the one before.
    pub verified: u64,
    /// What the newest hashes to.
    pub head_hash: Option<String>,
    /// What is wrong, the first of it.
    pub findings: Vec<Finding>,
    /// How much is.
    pub findings_total: u64,
}

/// What is known of a chain beside its links.
#[derive(Default)]
struct Seen {
    last: i64,
    last_hash: Option<String>,
    /// The hash that stands where the ledger's newest entry says that the chain ended.
    at_head: Option<String>,
    findings: Vec<Finding>,
    /// With those beyond the limit.
    findings_total: u64,
}

/// Verifies all chains. `heads` are their ends as the ledger has them; `limit` findings of each are listed.
///
/// # Errors
/// If the database fails. Tampering is no error but a verdict.
pub async fn verify(
    store: &Store,
    ring: &Arc<KeyRing>,
    heads: &BTreeMap<i64, ConsentHead>,
    limit: usize,
) -> Result<Vec<Chain>, StateError> {
    let mut checker = Checker::new(Arc::clone(ring));
    let folder = Folder {
        limit,
        whole_table: false,
    };
    let mut segment = Segment::default();
    let mut seen: BTreeMap<i64, Seen> = BTreeMap::new();
    let mut after = (i64::MIN, 0);
    loop {
        let page = store.consents_after(after, PAGE).await?;
        let Some(last) = page.last() else {
            break;
        };
        after = (last.organization_id, last.sequence);
        for row in &page {
            let trail_row = trail_row(row);
            let check = checker.check(&trail_row);
            folder.push(&mut segment, &trail_row, &check, true);
            let seen = seen.entry(row.organization_id).or_default();
            // What does not match its hash is told of as such.
            if check.hash_valid()
                && let Err(problem) = Record::read(row)
            {
                seen.add(
                    Finding::new(row.sequence, Kind::ContentChanged, problem),
                    limit,
                );
            }
            seen.note(row.sequence, limit);
            seen.last_hash = Some(row.entry_hash.clone());
            let head = heads.get(&row.organization_id);
            if head.is_some_and(|head| head.records == row.sequence) {
                seen.at_head = Some(row.entry_hash.clone());
            }
        }
    }
    folder.finish(&mut segment, |_| None);
    for &organization in heads.keys() {
        seen.entry(organization).or_default();
    }
    let chains = seen.into_iter().map(|(organization, mut seen)| {
        let trail = segment.trails.remove(&organization).unwrap_or_default();
        seen.judge(&trail, limit);
        seen.compare(heads.get(&organization), limit);
        seen.chain(organization, &trail)
    });
    Ok(chains.collect())
}

/// Adds what was found elsewhere about an organisation's chain, such as in the archive.
pub fn add_finding(chains: &mut Vec<Chain>, organization_id: i64, finding: Finding) {
    let index = chains
        .iter()
        .position(|chain| chain.organization_id == organization_id);
    let index = index.unwrap_or_else(|| {
        chains.push(Seen::default().chain(organization_id, &Trail::default()));
        chains.len() - 1
    });
    let chain = &mut chains[index];
    chain.verdict = chain.verdict.max(Verdict::of(finding.severity));
    chain.findings.push(finding);
    chain.findings_total += 1;
}

impl Seen {
    fn add(&mut self, finding: Finding, limit: usize) {
        self.findings_total += 1;
        if self.findings.len() < limit {
            self.findings.push(finding);
        }
    }

    /// A record stands at this place.
    fn note(&mut self, sequence: i64, limit: usize) {
        let last = std::mem::replace(&mut self.last, sequence);
        if sequence != last + 1 {
            let (first, before) = (last + 1, sequence - 1);
            let detail = match first == before {
                true => format!("record {first} is gone"),
                false => format!("records {first} to {before} are gone"),
            };
            self.add(
                Finding::new(sequence, Kind::PredecessorMissing, detail),
                limit,
            );
        }
    }

    /// What the engine found.
    fn judge(&mut self, trail: &Trail, limit: usize) {
        for suspect in &trail.suspects {
            let (kind, detail) = match suspect.fault {
                Fault::Content => (Kind::ContentChanged, "it is not what was hashed"),
                Fault::Result => (Kind::ResultMalformed, "what was noted about it is no JSON"),
                Fault::NoHash => (Kind::HashMissing, "it has no hash"),
                Fault::NoSignature => (Kind::SignatureMissing, "it is not signed"),
                Fault::Signature => (Kind::SignatureInvalid, "no key of the ring signed it"),
                // Records have no tombstones.
                Fault::Undone | Fault::LegacyUndone => continue,
            };
            let finding = Finding::new(suspect.first_id, kind, detail);
            self.add(finding.over(suspect.last_id, suspect.entries), limit);
        }
        // Unlike QWED's trail a chain of ours has hashes from its first record on.
        let legacy = trail.tally.legacy;
        if legacy.entries > 0 {
            let finding = Finding::new(legacy.first_id, Kind::HashMissing, "it has no hash");
            self.add(finding.over(legacy.last_id, legacy.entries), limit);
        }
        for link in trail.links() {
            // That the one before is gone says as much.
            let is_told = |finding: &Finding| {
                finding.entry_id == link.id && finding.kind == Kind::PredecessorMissing
            };
            if !self.findings.iter().any(is_told) {
                let detail = "it does not follow the record before";
                self.add(
                    Finding::new(link.id, Kind::PredecessorMissing, detail),
                    limit,
                );
            }
        }
    }

    /// Whether the chain still ends where the ledger says, or behind it.
    fn compare(&mut self, head: Option<&ConsentHead>, limit: usize) {
        let records = head.map_or(0, |head| head.records);
        let entry = head.map_or(0, |head| head.entry);
        let finding = match head {
            Some(_) if self.last == 0 => Finding::new(
                0,
                Kind::OrganisationVanished,
                format!("all {records} records are gone that entry {entry} of the ledger is about"),
            ),
            Some(_) if self.last < records => Finding::new(
                self.last,
                Kind::TailRemoved,
                format!("there were {records} records by entry {entry} of the ledger: the newest are gone"),
            ),
            Some(head) if self.at_head.as_ref() != Some(&head.hash) => Finding::new(
                records,
                Kind::HistoryRewritten,
                format!("record {records} is another than the one in entry {entry} of the ledger"),
            ),
            _ if self.last > records => Finding {
                severity: Severity::Incomplete,
                ..Finding::new(
                    records + 1,
                    Kind::AnchorMissing,
                    "no entry of the ledger says that there is this record: it was recorded without the key that signs entries, \
                     or put there by somebody else",
                )
            }
            .over(self.last, u64::try_from(self.last - records).unwrap_or(0)),
            _ => return,
        };
        self.add(finding, limit);
    }

    fn chain(mut self, organization_id: i64, trail: &Trail) -> Chain {
        self.findings.sort_by_key(|finding| finding.entry_id);
        let worst = self.findings.iter().map(|finding| finding.severity).max();
        let unlisted = trail.suspects_total - trail.suspects.len() as u64;
        Chain {
            organization_id,
            verdict: worst.map_or(Verdict::Intact, Verdict::of),
            records: trail.tally.total,
            verified: trail.tally.verified,
            head_hash: self.last_hash,
            findings_total: self.findings_total + unlisted,
            findings: self.findings,
        }
    }
}
