//! What broken links mean.

use std::collections::{HashMap, HashSet};

use super::{Doctor, is_signature_of};
use crate::{
    qwed::{Occurrence, ReadError, owned::OwnedRow},
    trail::{
        chain::{BrokenLink, Fault, Span, Suspect, Trail},
        finding::{Finding, Kind},
    },
    verify::scan::Worker,
};

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

impl Doctor<'_> {
    /// Findings for broken links, and the entries whose links are sound after all.
    pub(super) fn links(
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
        let mut displaced = HashSet::new();
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
