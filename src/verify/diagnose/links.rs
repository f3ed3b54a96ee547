//! What broken links mean.

use std::collections::{HashMap, HashSet};

use super::{Doctor, is_signature_of};
use crate::{
    qwed::{Occurrence, ReadError, owned::OwnedRow},
    trail::{
        chain::{BrokenLink, Span, Trail},
        finding::{Finding, Kind},
        hash::HashText,
        row::{Row, Value},
    },
    verify::scan::Worker,
};

/// Rows walked back to see whether all between an entry and its predecessor are faulty.
const MAX_STEPS_BACK: usize = 1000;

/// What a broken link turns out to be.
enum Link {
    /// A consequence of something that is reported elsewhere.
    Explained,
    /// A consequence of something that is reported in another organisation.
    ExplainedElsewhere,
    /// Sound: a release before 5.3.0 wrote it.
    Global,
    /// Its predecessor stands at another place of the organisation; without one it is the first.
    Reordered { predecessor: Option<i64> },
    /// Tampered with.
    Broken(Kind, String),
}

/// What an organisation's broken links turned out to be.
#[derive(Default)]
pub(super) struct Judged {
    pub(super) findings: Vec<Finding>,
    /// Entries whose links are sound after all.
    pub(super) global: Span,
    /// Entries whose links broke because of another organisation's entry.
    pub(super) explained_elsewhere: u64,
    /// The first entry of an old release whose link is broken.
    pub(super) first_old: Option<i64>,
}

impl Doctor<'_> {
    /// What the organisation's broken links turn out to be.
    pub(super) fn links(
        &self,
        worker: &mut Worker,
        organization_id: i64,
        trail: &Trail,
    ) -> Result<Judged, ReadError> {
        let mut judged = Judged {
            global: trail.global,
            ..Judged::default()
        };
        let mut reordered: HashMap<i64, Option<i64>> = HashMap::new();
        for link in trail.links() {
            match self.link(worker, organization_id, trail, link)? {
                Link::Explained => {}
                Link::ExplainedElsewhere => judged.explained_elsewhere += 1,
                Link::Global => {
                    judged.global.join(Span {
                        first_id: link.id,
                        last_id: link.id,
                        entries: 1,
                    });
                }
                Link::Reordered { predecessor } => {
                    reordered.insert(link.id, predecessor);
                }
                Link::Broken(kind, detail) => {
                    if link.old_writer {
                        judged.first_old.get_or_insert(link.id);
                    }
                    judged.findings.push(Finding::new(link.id, kind, detail));
                }
            }
        }
        let displaced = self.displaced(worker, organization_id, &reordered)?;
        for (&id, &predecessor) in &reordered {
            if !displaced.contains(&id)
                && (predecessor.is_some_and(|predecessor| displaced.contains(&predecessor))
                    || only_between(worker, organization_id, &displaced, predecessor, id)?)
            {
                continue;
            }
            let detail = match predecessor {
                Some(predecessor) => format!(
                    "follows entry {predecessor} by its hash, but stands elsewhere: entries were given other ids"
                ),
                None => "is the organisation's first entry by its hash, but stands elsewhere: entries were given other \
                         ids"
                    .to_owned(),
            };
            judged
                .findings
                .push(Finding::new(id, Kind::Reordered, detail));
        }
        Ok(judged)
    }

    fn link(
        &self,
        worker: &mut Worker,
        organization_id: i64,
        trail: &Trail,
        link: &BrokenLink,
    ) -> Result<Link, ReadError> {
        // What names the predecessor was changed itself, which is reported as such.
        if !link.hash_valid {
            return Ok(Link::Explained);
        }
        // Old releases followed the table's entry before, whichever organisation's it was.
        let before = if link.old_writer {
            worker.reader.preceding(link.id)?
        } else {
            worker.reader.before(organization_id, link.id)?
        };
        if let Some(before) = &before {
            let row = before.row();
            if link.old_writer && link.previous_hash == HashText::from(row.entry_hash) {
                return Ok(sound_or_explained(link));
            }
            if self.is_explained(worker, organization_id, trail, link, before)? {
                // Only what is reported itself explains anything: not a row that passes for legacy, nor one before the period.
                return Ok(if self.is_reported(worker, &row)? {
                    match row.organization_id.integer() {
                        Some(id) if id == organization_id => Link::Explained,
                        _ => Link::ExplainedElsewhere,
                    }
                } else {
                    Link::Broken(
                        Kind::PredecessorMissing,
                        format!(
                            "the entry that it follows is gone or lost its hash: entry {} stands in its place",
                            row.id
                        ),
                    )
                });
            }
        }
        let Some(named) = link.previous_hash.text() else {
            let first = worker.reader.first_hashed(organization_id)?;
            let has_rival = first.is_some_and(|first| first.row().previous_hash == Value::Null);
            return Ok(if has_rival {
                Link::Broken(
                    Kind::Forked,
                    "claims to be the organisation's first entry, and so does an earlier one"
                        .to_owned(),
                )
            } else {
                Link::Reordered { predecessor: None }
            });
        };
        Ok(self.judge(
            organization_id,
            link,
            named,
            before.as_ref().map(|before| before.row().id),
        ))
    }

    /// Whether a faulty row is reported as such in its organisation's trail, now or whenever that one is verified.
    fn is_reported(&self, worker: &mut Worker, row: &Row<'_>) -> Result<bool, ReadError> {
        let Some(organization_id) = row.organization_id.integer() else {
            return Ok(true);
        };
        let passes_for_legacy =
            row.is_unchained() && !worker.reader.is_chained_before(organization_id, row.id)?;
        Ok(!passes_for_legacy && self.filter.counts(row) == Some(true))
    }

    /// Whether the link broke only because of what was done to the row before it.
    fn is_explained(
        &self,
        worker: &mut Worker,
        organization_id: i64,
        trail: &Trail,
        link: &BrokenLink,
        before: &OwnedRow,
    ) -> Result<bool, ReadError> {
        let row = before.row();
        let check = worker.checker.check(&row);
        if check.hash_valid() && check.signature_valid() {
            return Ok(false);
        }
        let Some(named) = link.previous_hash.text() else {
            return all_faulty_between(worker, organization_id, trail, None, link.id);
        };
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
            return all_faulty_between(worker, organization_id, trail, Some(owner.id), link.id);
        }
        // Its own hash is lost, so the one named here, which is nobody's, may well have been it: neither does it fit the
        // content, or all of it is a stranger's, nor does the signature attest it.
        let is_nowhere = self.owners(&link.previous_hash).next().is_none();
        let is_resigned = matches!(HashText::from(row.hmac_signature), HashText::Hex(_));
        Ok(is_nowhere && !check.signature_valid() && (!check.hash_valid() || is_resigned))
    }

    /// What the link of a row says whose predecessor, by the hash `named`, is not the row before it.
    fn judge(
        &self,
        organization_id: i64,
        link: &BrokenLink,
        named: &[u8],
        before: Option<i64>,
    ) -> Link {
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
            return sound_or_explained(link);
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
            // Its neighbours in the chain belong to any organisation.
            _ if link.old_writer => Link::Broken(
                Kind::Reordered,
                format!(
                    "follows entry {} by its hash, which stands behind it: entries were given other ids",
                    owner.id
                ),
            ),
            Some(other) if other == organization_id => Link::Reordered {
                predecessor: Some(owner.id),
            },
            Some(other) => Link::Broken(
                Kind::MovedOrganisation,
                format!(
                    "the entry that it follows, {}, is now in organisation {other}",
                    owner.id
                ),
            ),
            None => Link::Broken(
                Kind::MovedOrganisation,
                format!(
                    "the entry that it follows, {}, now belongs to no organisation",
                    owner.id
                ),
            ),
        }
    }

    /// Entries that stand at a wrong place: neither their own link holds nor their successor's. Links of other entries are
    /// broken because of these.
    fn displaced(
        &self,
        worker: &mut Worker,
        organization_id: i64,
        reordered: &HashMap<i64, Option<i64>>,
    ) -> Result<HashSet<i64>, ReadError> {
        let mut displaced = HashSet::new();
        for &id in reordered.keys() {
            let next = self.behind(worker, organization_id, id)?;
            if next.is_none_or(|next| reordered.contains_key(&next.row().id)) {
                displaced.insert(id);
            }
        }
        Ok(displaced)
    }
}

/// An old link that holds in the whole table; if its entry is not sound, that is reported of the entry.
fn sound_or_explained(link: &BrokenLink) -> Link {
    if link.sound {
        Link::Global
    } else {
        Link::Explained
    }
}

/// Whether nothing but displaced entries stands between `predecessor` (or the organisation's start) and `id`.
fn only_between(
    worker: &mut Worker,
    organization_id: i64,
    displaced: &HashSet<i64>,
    predecessor: Option<i64>,
    id: i64,
) -> Result<bool, ReadError> {
    let mut at = id;
    for _ in 0..MAX_STEPS_BACK {
        let before = worker
            .reader
            .before(organization_id, at)?
            .map(|before| before.row().id);
        if before == predecessor {
            return Ok(true);
        }
        match before {
            Some(before) if displaced.contains(&before) => at = before,
            _ => return Ok(false),
        }
    }
    Ok(false)
}

/// Whether all entries between `low` (or the organisation's start) and `high` are faulty themselves.
fn all_faulty_between(
    worker: &mut Worker,
    organization_id: i64,
    trail: &Trail,
    low: Option<i64>,
    high: i64,
) -> Result<bool, ReadError> {
    let mut at = high;
    for _ in 0..MAX_STEPS_BACK {
        let Some(before) = worker.reader.before(organization_id, at)? else {
            return Ok(low.is_none());
        };
        let row = before.row();
        if Some(row.id) == low {
            return Ok(true);
        }
        let check = worker.checker.check(&row);
        if low.is_some_and(|low| row.id < low) || (check.hash_valid() && check.signature_valid()) {
            return Ok(false);
        }
        // A run of suspects is walked in one step.
        at = trail
            .suspect(row.id)
            .map_or(row.id, |run| run.first_id.max(low.unwrap_or(i64::MIN)));
    }
    Ok(false)
}
