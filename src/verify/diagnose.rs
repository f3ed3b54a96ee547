//! What broken places mean: one finding for each cause, where that can be told.
//!
//! The scan leaves faulty rows ([`Suspect`]) and broken links ([`BrokenLink`]). Here every hash that a broken link
//! names is looked up in the whole table, in one more pass, and the rows around each broken place are read again.
//! A link that broke because of its neighbour is not reported beside the neighbour. Links of releases before
//! 5.3.0, which chained across organisations, are judged against the whole table and may turn out sound.
//!
//! The pass is made only if something is broken, and its look-ups are bounded by the limit of findings; only old links
//! are all looked up, as the verdict depends on them.

mod links;
mod suspects;

use std::collections::HashMap;

use super::{
    VerifyError,
    conclude::Bounds,
    report::OrganizationReport,
    scan::{Filter, Scanner, Worker},
};
use crate::{
    qwed::{HashSet, IdRange, Occurrence, ReadError, owned::OwnedRow},
    trail::{
        chain::{Span, Trail},
        check::{Checker, HashState},
        finding::{Finding, Kind, Severity, Verdict},
        hash::HashText,
        payload::Shape,
        segment::Segment,
    },
};

/// Process starts of old releases that are looked at; beyond them the first ones speak for all.
const MAX_STARTS: usize = 10_000;

/// An entry at which a process of an old release started anew.
struct Restart {
    id: i64,
    organization_id: Option<i64>,
    /// An earlier such entry with the same hash: no restart then, but a copy of that entry.
    copy_of: Option<i64>,
}

/// A place at which the chain that old releases shared between organisations is broken, so that an entry of any of them
/// may be lost.
#[derive(Clone, Copy)]
struct Hole {
    id: i64,
    organization_id: i64,
}

impl Hole {
    fn finding(self) -> Finding {
        let Self {
            id,
            organization_id,
        } = self;
        let detail = format!(
            "the chain that releases before 5.3.0 shared between organisations is broken at entry {id} (of organisation \
             {organization_id}): whether an entry of this organisation is lost there, nothing can show"
        );
        Finding {
            severity: Severity::Incomplete,
            ..Finding::new(id, Kind::GlobalChain, detail)
        }
    }
}

/// What was found out about one organisation.
struct Diagnosis {
    report: OrganizationReport,
    hole: Option<Hole>,
}

/// Knows the whole table's broken places.
pub(super) struct Doctor<'s> {
    segment: &'s Segment,
    filter: &'s Filter,
    bounds: &'s Bounds,
    occurrences: HashMap<Vec<u8>, Vec<Occurrence>>,
    restarts: Vec<Restart>,
    limit: usize,
}

impl<'s> Doctor<'s> {
    /// Looks up what has to be known of the whole table.
    pub(super) fn new(
        scanner: &Scanner<'_>,
        segment: &'s Segment,
        filter: &'s Filter,
        bounds: &'s Bounds,
        limit: usize,
    ) -> Result<Self, VerifyError> {
        let whole = bounds.whole;
        let hashes: HashSet = segment
            .trails
            .values()
            .flat_map(Trail::links)
            .filter_map(|link| link.previous_hash.text().map(<[u8]>::to_vec))
            .collect();
        let mut occurrences: HashMap<Vec<u8>, Vec<Occurrence>> = HashMap::new();
        if !hashes.is_empty() {
            let found = scanner.fold(
                whole,
                &|worker: &mut Worker, range| Ok(worker.reader.occurrences(&hashes, range)?),
                &|mut left: Vec<Occurrence>, right| {
                    left.extend(right);
                    left
                },
            )?;
            for occurrence in found {
                // Appended since the bounds were fixed, though with a lower id than an entry of another organisation.
                let head = occurrence.organization_id.map(|id| bounds.head(id));
                if head.is_some_and(|head| occurrence.id > head) {
                    continue;
                }
                occurrences
                    .entry(occurrence.hash.clone())
                    .or_default()
                    .push(occurrence);
            }
        }
        let restarts = match segment
            .trails
            .values()
            .filter_map(|trail| trail.last_old_id)
            .max()
        {
            Some(last) if last > whole.low => {
                let range = IdRange {
                    low: whole.low,
                    high: last,
                };
                restarts(scanner, range)?
            }
            _ => Vec::new(),
        };
        Ok(Self {
            segment,
            filter,
            bounds,
            occurrences,
            restarts,
            limit,
        })
    }

    /// The reports of the organisations that are wanted and have entries.
    pub(super) fn organizations(
        &self,
        worker: &mut Worker,
        is_wanted: impl Fn(i64) -> bool,
    ) -> Result<Vec<OrganizationReport>, ReadError> {
        let mut reports = Vec::new();
        let mut hole: Option<Hole> = None;
        let has_old = self
            .segment
            .trails
            .values()
            .any(|trail| trail.last_old_id.is_some());
        for (&organization_id, trail) in &self.segment.trails {
            // Of a chain that all organisations share, all have to be looked at to judge one.
            if !trail.is_empty() && (is_wanted(organization_id) || has_old) {
                let diagnosis = self.organization(worker, organization_id, trail)?;
                hole = hole
                    .into_iter()
                    .chain(diagnosis.hole)
                    .min_by_key(|hole| hole.id);
                reports.push(diagnosis.report);
            }
        }
        if let Some(hole) = hole {
            for report in &mut reports {
                let trail = report
                    .organization_id
                    .and_then(|id| self.segment.trails.get(&id));
                if report.verdict == Verdict::Intact
                    && trail.is_some_and(|trail| trail.last_old_id.is_some())
                {
                    report.doubt(hole.finding(), self.limit);
                }
            }
        }
        reports.retain(|report| report.organization_id.is_some_and(&is_wanted));
        Ok(reports)
    }

    fn organization(
        &self,
        worker: &mut Worker,
        organization_id: i64,
        trail: &Trail,
    ) -> Result<Diagnosis, ReadError> {
        let mut findings = Vec::new();
        let mut total = trail.suspects_total;
        let mut hole = None;
        for suspect in &trail.suspects {
            let (finding, is_attributed) = self.suspect(worker, organization_id, trail, suspect)?;
            if !is_attributed && self.is_old(suspect.first_id) {
                hole.get_or_insert(Hole {
                    id: suspect.first_id,
                    organization_id,
                });
            }
            findings.push(finding);
        }
        total -= merge_unknown_keys(trail, &mut findings);
        let links = self.links(worker, organization_id, trail)?;
        total += links.findings.len() as u64;
        if let Some(id) = links.first_old {
            hole = Some(Hole {
                id,
                organization_id,
            });
        }
        // Beyond the limit nothing is looked at: each broken link counts as a finding.
        let unread = trail.broken_links.unlisted() + trail.old_links.unlisted();
        total += unread;
        findings.extend(links.findings);
        let benign = self.benign(organization_id, trail, links.global);
        if let Some(copy) = benign.iter().find(|finding| finding.kind == Kind::Forked) {
            hole = Some(Hole {
                id: copy.entry_id,
                organization_id,
            });
        }
        total += benign.len() as u64;
        findings.extend(benign);

        let copies = self.restarts.iter().filter(|restart| {
            restart.copy_of.is_some() && restart.organization_id == Some(organization_id)
        });
        let excused = trail.restarts.saturating_sub(copies.count() as u64)
            + links.global.entries
            + trail.erased.excused;
        let excused = excused.saturating_sub(trail.erased.uncounted);
        let worst = findings.iter().map(|finding| finding.severity).max();
        let mut verdict = worst.map_or(Verdict::Intact, Verdict::of);
        if unread > 0 {
            verdict = Verdict::Tampered;
        }
        if verdict != Verdict::Tampered && trail.tally.failed > excused + links.explained_elsewhere
        {
            // Every failed entry has a finding, is excused, or is explained by another organisation's. Should this ever
            // be wrong, the trail must not pass.
            let id = trail.tally.failed_ids.first().copied().unwrap_or_default();
            let detail = "fails QWED's checks, and the cause could not be told";
            findings.push(Finding::new(id, Kind::ContentChanged, detail));
            total += 1;
            verdict = Verdict::Tampered;
        }
        findings.sort_by_key(|finding| (finding.entry_id, finding.kind));
        findings.truncate(self.limit);
        let report =
            OrganizationReport::new(organization_id, trail, verdict, findings, total, excused);
        Ok(Diagnosis { report, hole })
    }

    /// The organisation's entry behind `id`, unless it was appended later than what is verified.
    pub(super) fn behind(
        &self,
        worker: &mut Worker,
        organization_id: i64,
        id: i64,
    ) -> Result<Option<OwnedRow>, ReadError> {
        let next = worker.reader.behind(organization_id, id)?;
        let head = self.bounds.head(organization_id);
        Ok(next.filter(|next| next.row().id <= head))
    }

    /// The table's entry behind `id` that has a hash, unless it was appended later than what is verified.
    pub(super) fn following(
        &self,
        worker: &mut Worker,
        id: i64,
    ) -> Result<Option<OwnedRow>, ReadError> {
        let next = worker.reader.following(id)?;
        Ok(next.filter(|next| next.row().id <= self.bounds.whole.high))
    }

    /// Whether entries of releases before 5.3.0 stand at or behind this id.
    pub(super) fn is_old(&self, id: i64) -> bool {
        self.segment
            .trails
            .values()
            .any(|trail| trail.last_old_id >= Some(id))
    }

    /// What speaks of the trail's age, and not against it.
    fn benign(&self, organization_id: i64, trail: &Trail, global: Span) -> Vec<Finding> {
        let mut findings = Vec::new();
        let legacy = trail.tally.legacy;
        if legacy.entries > 0 {
            let detail = format!(
                "{} written before the chain began, without hash or signature: nothing can show whether they \
                 are as they were",
                plural(legacy.entries, "entry was", "entries were")
            );
            let finding = Finding::new(legacy.first_id, Kind::Legacy, detail);
            findings.push(finding.over(legacy.last_id, legacy.entries));
        }
        if global.entries > 0 {
            let detail = format!(
                "{} written by a QWED before 5.3.0, which chained all organisations into one: sound against the \
                 entry before in the whole table, though QWED 8.0.0 counts them as failed",
                plural(global.entries, "entry was", "entries were")
            );
            let finding = Finding::new(global.first_id, Kind::GlobalChain, detail);
            findings.push(finding.over(global.last_id, global.entries));
        }
        // What lies before the period is not asked for.
        let first_id = self.filter.ranges.as_ref().and(trail.tally.first_id);
        for restart in &self.restarts {
            let Restart {
                id,
                organization_id: in_organization,
                copy_of,
            } = *restart;
            let is_here = in_organization == Some(organization_id);
            if let (Some(original), true) = (copy_of, is_here) {
                let detail = format!("is a copy of entry {original}, with its hash and signature");
                findings.push(Finding::new(id, Kind::Forked, detail));
            } else if copy_of.is_none()
                && Some(id) <= trail.last_old_id
                && first_id.is_none_or(|first| id >= first)
            {
                let place = match in_organization {
                    Some(other) if !is_here => format!(" (of organisation {other})"),
                    _ => String::new(),
                };
                let detail = format!(
                    "a QWED before 5.3.0 started anew at entry {id}{place} and linked to nothing before it: whether \
                     entries of this organisation were removed just before, nothing can show"
                );
                findings.push(Finding::new(id, Kind::ChainRestarted, detail));
            }
        }
        findings
    }

    /// Entries whose own hash is `hash`.
    pub(super) fn owners(&self, hash: &HashText) -> impl Iterator<Item = &Occurrence> {
        let found = hash.text().and_then(|text| self.occurrences.get(text));
        found
            .into_iter()
            .flatten()
            .filter(|occurrence| occurrence.is_own)
    }
}

/// The entries up to `range.high` at which an old release's process started anew.
fn restarts(scanner: &Scanner<'_>, range: IdRange) -> Result<Vec<Restart>, VerifyError> {
    // Newer releases start each organisation's chain without predecessor too; these are told apart where they are read.
    let starts = scanner.fold(
        range,
        &|worker: &mut Worker, range| {
            let mut old = Vec::new();
            for id in worker.reader.chain_starts(range)? {
                if let Some(stored) = worker.reader.entry(id)?
                    && let HashState::Valid(form) = worker.checker.check(&stored.row()).hash
                    && form.shape == Shape::D
                {
                    old.push(id);
                }
            }
            Ok(old)
        },
        &|mut left: Vec<i64>, right| {
            left.extend(right);
            left.truncate(MAX_STARTS);
            left
        },
    )?;
    let mut worker = scanner.worker()?;
    let mut restarts = Vec::new();
    let mut seen: HashMap<HashText, i64> = HashMap::new();
    for id in starts {
        let Some(stored) = worker.reader.entry(id)? else {
            continue;
        };
        let row = stored.row();
        let first = *seen.entry(row.entry_hash.into()).or_insert(id);
        // The table's first entry starts anew behind nothing.
        if first != id || worker.reader.hashed_before(id)?.is_some() {
            let copy_of = (first != id).then_some(first);
            let organization_id = row.organization_id.integer();
            restarts.push(Restart {
                id,
                organization_id,
                copy_of,
            });
        }
    }
    scanner.give_back(worker);
    Ok(restarts)
}

/// Where no signature of the trail matches a key, that has one cause, whatever else is wrong in between. Answers by how
/// many the findings became fewer.
fn merge_unknown_keys(trail: &Trail, findings: &mut Vec<Finding>) -> u64 {
    if trail.signed() > 0 {
        return 0;
    }
    let before = findings.len();
    let mut whole: Option<Finding> = None;
    findings.retain(|finding| {
        if finding.kind != Kind::UnknownKey {
            return true;
        }
        let last = finding.last_entry_id.unwrap_or(finding.entry_id);
        let entries = finding.entries.unwrap_or(1);
        let sum = whole.as_ref().map_or(0, |whole| whole.entries.unwrap_or(1));
        let first = whole.take().unwrap_or_else(|| finding.clone());
        whole = Some(first.over(last, sum + entries));
        false
    });
    findings.extend(whole);
    (before - findings.len()) as u64
}

/// Whether the row's signature is that of `hash`, which is not its own.
fn is_signature_of(checker: &Checker, stored: &OwnedRow, hash: &[u8]) -> bool {
    let signature = stored.row().hmac_signature.text();
    signature.is_some_and(|signature| checker.ring().signer_at_any_time(hash, signature).is_some())
}

fn plural(count: u64, one: &str, many: &str) -> String {
    if count == 1 {
        format!("1 {one}")
    } else {
        format!("{count} {many}")
    }
}
