//! What broken places mean: one finding for each cause, where that can be told.
//!
//! The scan leaves faulty rows ([`Suspect`]) and broken links ([`BrokenLink`]). Here every hash that a broken link
//! names is looked up in the whole table, in one more pass, and the rows around each broken place are read again.
//! A link that broke because of its neighbour is not reported beside the neighbour. Links of releases before
//! 5.3.0, which chained across organisations, are judged against the whole table and may turn out sound.
//!
//! The pass is made only if something is broken, and its look-ups are bounded by the limit of findings; only old links
//! are all looked up, as the verdict depends on them.

use std::collections::{HashMap, HashSet as Set};

use super::{
    VerifyError,
    cause::{self, Around, Change},
    report::OrganizationReport,
    scan::{Scanner, Worker},
};
use crate::{
    qwed::{HashSet, IdRange, Occurrence, ReadError, owned::OwnedRow},
    trail::{
        chain::{BrokenLink, Fault, Span, Suspect, Trail},
        check::{Checker, HashState},
        finding::{Finding, Kind, Verdict},
        hash::HashText,
        payload::Shape,
        segment::Segment,
    },
};

/// Process starts of old releases that are looked at; beyond them the first ones speak for all.
const MAX_STARTS: usize = 10_000;
/// Rows walked back to see whether all between an entry and its predecessor are faulty.
const MAX_STEPS_BACK: usize = 1000;

/// What a broken link turns out to be.
enum Link {
    /// A consequence of something that is reported elsewhere.
    Explained,
    /// Sound: a release before 5.3.0 wrote it.
    Global,
    /// Its predecessor stands at another place of the organisation.
    Reordered { predecessor: i64 },
    /// Tampered with.
    Broken(Kind, String),
}

/// Knows the whole table's broken places.
pub(super) struct Doctor<'s> {
    segment: &'s Segment,
    occurrences: HashMap<Vec<u8>, Vec<Occurrence>>,
    /// Entries at which a process of an old release started anew: id, organisation.
    restarts: Vec<(i64, Option<i64>)>,
    limit: usize,
}

impl<'s> Doctor<'s> {
    /// Looks up what has to be known of the whole table.
    pub(super) fn new(
        scanner: &Scanner<'_>,
        segment: &'s Segment,
        whole: IdRange,
        limit: usize,
    ) -> Result<Self, VerifyError> {
        let hashes: HashSet = segment
            .trails
            .values()
            .flat_map(|trail| &trail.broken_links)
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
            occurrences,
            restarts,
            limit,
        })
    }

    /// The reports of all organisations that have entries.
    pub(super) fn organizations(
        &self,
        worker: &mut Worker,
    ) -> Result<Vec<OrganizationReport>, ReadError> {
        let mut reports = Vec::new();
        if self.segment.homeless_total > 0 {
            reports.push(OrganizationReport::homeless(self.segment));
        }
        for (&organization_id, trail) in &self.segment.trails {
            if !trail.is_empty() {
                reports.push(self.organization(worker, organization_id, trail)?);
            }
        }
        Ok(reports)
    }

    fn organization(
        &self,
        worker: &mut Worker,
        organization_id: i64,
        trail: &Trail,
    ) -> Result<OrganizationReport, ReadError> {
        let mut findings = Vec::new();
        let mut total = trail.suspects_total;
        for suspect in &trail.suspects {
            findings.push(self.suspect(worker, organization_id, trail, suspect)?);
        }
        let (links, global) = self.links(worker, organization_id, trail)?;
        total += links.len() as u64;
        // Beyond the limit nothing is looked at: each broken link counts as a finding.
        let unread = trail.broken_links_total - trail.broken_links.len() as u64;
        total += unread;
        findings.extend(links);
        let benign = self.benign(organization_id, trail, global);
        total += benign.len() as u64;
        findings.extend(benign);

        let worst = findings.iter().map(|finding| finding.severity).max();
        let mut verdict = worst.map_or(Verdict::Intact, Verdict::of);
        if unread > 0 {
            verdict = Verdict::Tampered;
        }
        findings.sort_by_key(|finding| (finding.entry_id, finding.kind));
        findings.truncate(self.limit);
        let excused = trail.restarts + global.entries;
        Ok(OrganizationReport::new(
            organization_id,
            trail,
            verdict,
            findings,
            total,
            excused,
        ))
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
        let restarts = self
            .restarts
            .iter()
            .filter(|&&(id, _)| Some(id) <= trail.last_old_id);
        findings.extend(restarts.map(|&(id, in_organization)| {
            let place = match in_organization {
                Some(other) if other != organization_id => format!(" (of organisation {other})"),
                _ => String::new(),
            };
            let detail = format!(
                "a QWED before 5.3.0 started anew at entry {id}{place} and linked to nothing before it: whether entries \
                 of this organisation were removed just before, nothing can show"
            );
            Finding::new(id, Kind::ChainRestarted, detail)
        }));
        findings
    }

    fn suspect(
        &self,
        worker: &mut Worker,
        organization_id: i64,
        trail: &Trail,
        suspect: &Suspect,
    ) -> Result<Finding, ReadError> {
        let Suspect {
            first_id,
            last_id,
            entries,
            fault,
        } = *suspect;
        let finding =
            |kind, detail: String| Ok(Finding::new(first_id, kind, detail).over(last_id, entries));
        let Worker { reader, checker } = worker;
        let Some(stored) = reader.entry(first_id)? else {
            let detail = "failed when it was checked, and was gone a moment later".to_owned();
            return finding(Kind::ContentChanged, detail);
        };
        let row = stored.row();
        let check = checker.check(&row);
        let next = reader.behind(organization_id, last_id)?;
        let named_by_next = next.map(|next| HashText::from(next.row().previous_hash));
        match fault {
            Fault::Result => finding(
                Kind::ResultMalformed,
                cause::foreign(&check).unwrap_or_else(|| "result is not JSON".to_owned()),
            ),
            Fault::Content => {
                let before = reader.before(organization_id, first_id)?;
                let named = HashText::from(row.previous_hash);
                let elsewhere: Vec<i64> = self
                    .owners(&named)
                    .filter_map(|owner| owner.organization_id)
                    .filter(|&other| other != organization_id)
                    .collect();
                let around = Around {
                    before: before.map(|before| HashText::from(before.row().entry_hash)),
                    named_by_next,
                    predecessor_in: &elsewhere,
                };
                let (kind, detail) = content(checker, &stored, &around);
                finding(kind, detail)
            }
            Fault::NoHash if entries > 1 => finding(
                Kind::HashMissing,
                format!("{entries} entries in a row have no hash, though the chain began before them: written past QWED, or blanked"),
            ),
            Fault::NoHash => {
                let before = reader.before(organization_id, first_id)?;
                let before = before.map(|before| HashText::from(before.row().entry_hash));
                let detail = if cause::is_vouched_for(checker, &row, before, named_by_next) {
                    "its place in the chain was blanked; the content is as it was, the next entry still names its hash"
                } else if row.is_unchained() {
                    "neither hash nor signature, though the chain began before it: written past QWED, or blanked"
                } else {
                    "the hash was blanked, and no other entry vouches for the content"
                };
                finding(Kind::HashMissing, detail.to_owned())
            }
            Fault::NoSignature => finding(
                Kind::SignatureMissing,
                "hash and content agree, but there is no signature: anyone could have written that hash".to_owned(),
            ),
            Fault::Signature => {
                let (kind, detail) = signature(checker, &stored, suspect, trail, named_by_next);
                finding(kind, detail)
            }
        }
    }

    /// Entries whose own hash is `hash`.
    fn owners(&self, hash: &HashText) -> impl Iterator<Item = &Occurrence> {
        let found = hash.text().and_then(|text| self.occurrences.get(text));
        found
            .into_iter()
            .flatten()
            .filter(|occurrence| occurrence.is_own)
    }

    /// Findings for broken links, and the entries whose links are sound after all.
    fn links(
        &self,
        worker: &mut Worker,
        organization_id: i64,
        trail: &Trail,
    ) -> Result<(Vec<Finding>, Span), ReadError> {
        let mut global = trail.global;
        let mut findings = Vec::new();
        let mut reordered: HashMap<i64, i64> = HashMap::new();
        for link in &trail.broken_links {
            match self.link(worker, organization_id, trail, link)? {
                Link::Explained => {}
                Link::Global => global.join(Span {
                    first_id: link.id,
                    last_id: link.id,
                    entries: 1,
                }),
                Link::Reordered { predecessor } => {
                    reordered.insert(link.id, predecessor);
                }
                Link::Broken(kind, detail) => findings.push(Finding::new(link.id, kind, detail)),
            }
        }
        // An entry stands at a wrong place if neither its own link nor its successor's holds. A link to such
        // an entry is broken because of it.
        let mut displaced = Set::new();
        for &id in reordered.keys() {
            let next = worker.reader.behind(organization_id, id)?;
            if next.is_none_or(|next| reordered.contains_key(&next.row().id)) {
                displaced.insert(id);
            }
        }
        for (&id, predecessor) in &reordered {
            if displaced.contains(&id) || !displaced.contains(predecessor) {
                let detail = format!(
                    "follows entry {predecessor} by its hash, but stands elsewhere: entries were given other ids"
                );
                findings.push(Finding::new(id, Kind::Reordered, detail));
            }
        }
        Ok((findings, global))
    }

    fn link(
        &self,
        worker: &mut Worker,
        organization_id: i64,
        trail: &Trail,
        link: &BrokenLink,
    ) -> Result<Link, ReadError> {
        let alone = |suspect: &Suspect| suspect.entries == 1;
        if !link.hash_valid || trail.suspect(link.id).is_some_and(alone) {
            return Ok(Link::Explained);
        }
        // Old releases followed the table's entry before, whichever organisation's it was.
        let before = if link.old_writer {
            worker.reader.hashed_before(link.id)?
        } else {
            worker.reader.before(organization_id, link.id)?
        };
        if let Some(before) = &before {
            let id = before.row().id;
            let suspect = before
                .row()
                .organization_id
                .integer()
                .and_then(|organization| self.segment.trails.get(&organization))
                .and_then(|trail| trail.suspect(id));
            if let Some(suspect) = suspect
                && self.is_explained(worker, organization_id, trail, link, before, suspect)?
            {
                return Ok(Link::Explained);
            }
        }
        Ok(self.judge(
            organization_id,
            link,
            before.as_ref().map(|before| before.row().id),
        ))
    }

    /// Whether the link broke only because of the faulty row before it.
    fn is_explained(
        &self,
        worker: &mut Worker,
        organization_id: i64,
        trail: &Trail,
        link: &BrokenLink,
        before: &OwnedRow,
        suspect: &Suspect,
    ) -> Result<bool, ReadError> {
        let Some(named) = link.previous_hash.text() else {
            return Ok(false);
        };
        let row = before.row();
        // Its hash column was changed, and the link names the hash that its content has.
        if worker
            .checker
            .accepted_hashes(&row)
            .iter()
            .any(|hash| hash == named)
        {
            return Ok(true);
        }
        // Its content and hash were rewritten, and its signature is still that of the hash named here.
        if is_signature_of(&worker.checker, before, named) {
            return Ok(true);
        }
        // It was put between this entry and its predecessor, alone or with others that are faulty too.
        let owner = self
            .owners(&link.previous_hash)
            .find(|owner| owner.organization_id == Some(organization_id) && owner.id < link.id);
        if let Some(owner) = owner {
            return self.all_faulty_between(worker, organization_id, trail, owner.id, link.id);
        }
        let is_nowhere = self.owners(&link.previous_hash).next().is_none();
        let authentic = worker.checker.check(&row).signature_valid();
        Ok(is_nowhere && !authentic && (suspect.entries == 1 || suspect.fault == Fault::NoHash))
    }

    fn all_faulty_between(
        &self,
        worker: &mut Worker,
        organization_id: i64,
        trail: &Trail,
        low: i64,
        high: i64,
    ) -> Result<bool, ReadError> {
        let mut at = high;
        for _ in 0..MAX_STEPS_BACK {
            let Some(before) = worker.reader.before(organization_id, at)? else {
                return Ok(false);
            };
            let id = before.row().id;
            if id == low {
                return Ok(true);
            }
            match trail.suspect(id) {
                Some(suspect) if id > low => at = suspect.first_id.max(low + 1),
                _ => return Ok(false),
            }
        }
        Ok(false)
    }

    /// What a link of a sound row says, whose predecessor is not the sound row before it.
    fn judge(&self, organization_id: i64, link: &BrokenLink, before: Option<i64>) -> Link {
        let Some(named) = link.previous_hash.text() else {
            return Link::Broken(
                Kind::Forked,
                "claims to be the organisation's first entry, though others stand before it"
                    .to_owned(),
            );
        };
        let found = self.occurrences.get(named).map_or(&[][..], Vec::as_slice);
        let rival = found
            .iter()
            .find(|claim| !claim.is_own && claim.id != link.id);
        let here = |owner: &&Occurrence| owner.organization_id == Some(organization_id);
        let owners = || found.iter().filter(|occurrence| occurrence.is_own);
        let owner = owners().find(here).or_else(|| owners().next());
        let Some(owner) = owner else {
            let place = match before {
                Some(before) => format!("between entries {before} and {}", link.id),
                None => format!("before entry {}", link.id),
            };
            return Link::Broken(
                Kind::PredecessorMissing,
                format!("the entry that it follows is gone: one or more were removed {place}"),
            );
        };
        if link.old_writer && owner.id < link.id && rival.is_none() {
            return Link::Global;
        }
        if let Some(rival) = rival
            && owner.id < link.id
            && (link.old_writer || here(&owner))
        {
            return Link::Broken(
                Kind::Forked,
                format!("follows entry {}, and so does entry {}", owner.id, rival.id),
            );
        }
        match owner.organization_id {
            Some(other) if other != organization_id => Link::Broken(
                Kind::MovedOrganisation,
                format!(
                    "the entry that it follows, {}, is now in organisation {other}",
                    owner.id
                ),
            ),
            _ => Link::Reordered {
                predecessor: owner.id,
            },
        }
    }
}

/// The entries up to `range.high` at which an old release's process started anew.
fn restarts(scanner: &Scanner<'_>, range: IdRange) -> Result<Vec<(i64, Option<i64>)>, VerifyError> {
    let mut starts = scanner.fold(
        range,
        &|worker: &mut Worker, range| Ok(worker.reader.chain_starts(range, MAX_STARTS)?),
        &|mut left: Vec<i64>, right| {
            left.extend(right);
            left.truncate(MAX_STARTS);
            left
        },
    )?;
    let mut worker = scanner.worker()?;
    if let Some(&first) = starts.first()
        && worker.reader.hashed_before(first)?.is_none()
    {
        starts.remove(0);
    }
    let mut restarts = Vec::new();
    for id in starts {
        let Some(stored) = worker.reader.entry(id)? else {
            continue;
        };
        let check = worker.checker.check(&stored.row());
        // Newer releases start each organisation's chain this way.
        if matches!(check.hash, HashState::Valid(form) if form.shape == Shape::D) {
            restarts.push((id, stored.row().organization_id.integer()));
        }
    }
    scanner.give_back(worker);
    Ok(restarts)
}

fn content(checker: &mut Checker, stored: &OwnedRow, around: &Around<'_>) -> (Kind, String) {
    let row = stored.row();
    let check = checker.check(&row);
    if let Some(reason) = cause::foreign(&check) {
        return (Kind::ContentChanged, reason);
    }
    match cause::single_change(checker, &row, around) {
        Some(Change::Organization(other)) => (
            Kind::MovedOrganisation,
            format!("was written for organisation {other} and moved here afterwards"),
        ),
        Some(Change::Column(what)) => {
            (Kind::ContentChanged, format!("changed after it was signed: {what}, and nothing else"))
        }
        Some(Change::OnlyHash) => (
            Kind::ContentChanged,
            "entry_hash was changed; the content is as it was, the next entry still names its hash".to_owned(),
        ),
        None if check.signature_valid() => (
            Kind::ContentChanged,
            "changed after it was signed: hash and signature are genuine and belong to other content".to_owned(),
        ),
        None => (
            Kind::ContentChanged,
            "neither hash nor signature belong to the content".to_owned(),
        ),
    }
}

fn signature(
    checker: &Checker,
    stored: &OwnedRow,
    suspect: &Suspect,
    trail: &Trail,
    named_by_next: Option<HashText>,
) -> (Kind, String) {
    let row = stored.row();
    let entries = suspect.entries;
    if trail.signed == 0 && trail.signed_by_others > 1 {
        return (
            Kind::UnknownKey,
            "no signature of this trail matches a key: the key may be the wrong one (check QWED_AUDIT_SECRET_KEY), \
             or somebody without the key signed everything anew"
                .to_owned(),
        );
    }
    let known = match (row.entry_hash.text(), row.hmac_signature.text()) {
        (Some(hash), Some(signature)) => checker.ring().signer_at_any_time(hash, signature),
        _ => None,
    };
    if let Some(key) = known {
        let detail = format!(
            "signed with the key {:?} outside the time in which that key was valid",
            key.id()
        );
        return (Kind::SignatureInvalid, detail);
    }
    if entries > 1 {
        return (
            Kind::UnknownKey,
            format!(
                "{entries} entries in a row are signed with no known key: a key of that time may be missing from the \
                 ring, or somebody without the key signed them anew"
            ),
        );
    }
    match named_by_next.as_ref().and_then(HashText::text) {
        Some(named) if is_signature_of(checker, stored, named) => (
            Kind::ContentChanged,
            "content and hash were rewritten together; signature and next entry still belong to the original".to_owned(),
        ),
        _ => (
            Kind::SignatureInvalid,
            "hash and content agree, but the signature was not made with any key for that hash".to_owned(),
        ),
    }
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
