//! What it means that a trail is not as it was when it was anchored.
//!
//! Reading compared every tile of 256 entries with the anchored one. Those that differ are looked at again, entry by entry,
//! beside the leaves that were kept: what is gone, what was changed, what was put in between.

use std::collections::BTreeMap;

use super::{
    conclude::Bounds,
    report::{AnchorReport, OrganizationReport, organization_of},
    scan::Worker,
};
use crate::{
    checkpoint::{
        anchored::{Anchored, AnchoredTree, KeptLeaf},
        tiles::{Compared, Stretch, Tree, WIDTH},
    },
    qwed::{IdRange, ReadError},
    trail::finding::{Finding, Kind},
};

/// Tiles that differ and are looked at entry by entry; of more of them only the number is told.
const EXAMINED_TILES: usize = 64;
/// Entries of one tile's key range that are looked at. There are 256 unless somebody put more in.
const EXAMINED_ENTRIES: usize = 4 * WIDTH as usize;

/// Compares what was read with an anchor.
pub(super) struct Comparison<'a> {
    pub(super) anchored: &'a Anchored,
    pub(super) bounds: &'a Bounds,
    pub(super) limit: usize,
}

/// Where no entries are left at all.
pub(super) fn nothing(
    anchored: &Anchored,
    organizations: &mut Vec<OrganizationReport>,
    is_wanted: impl Fn(i64) -> bool,
) {
    for (&id, tree) in anchored.trees.iter().filter(|&(&id, _)| is_wanted(id)) {
        let report = organization_of(organizations, id);
        let compared = Stretch::default().finish(&tree.tree);
        report.anchor = Some(anchor_report(anchored, tree, &compared));
        if tree.tree.size > 0 {
            report.doubt(vanished(anchored, &tree.tree), usize::MAX);
        }
    }
}

impl Comparison<'_> {
    /// Adds to the reports what the anchor says of each organisation.
    pub(super) fn apply(
        &self,
        worker: &mut Worker,
        mut stretches: BTreeMap<i64, Stretch>,
        organizations: &mut Vec<OrganizationReport>,
        is_wanted: impl Fn(i64) -> bool,
    ) -> Result<(), ReadError> {
        let trees = self.anchored.trees.iter();
        for (&id, tree) in trees.filter(|&(&id, _)| is_wanted(id)) {
            let stretch = stretches.remove(&id).unwrap_or_default();
            let compared = stretch.finish(&tree.tree);
            let findings = if compared.wrong.is_empty() {
                Vec::new()
            } else {
                self.diagnose(worker, id, &tree.tree, &compared)?
            };
            let report = organization_of(organizations, id);
            report.anchor = Some(anchor_report(self.anchored, tree, &compared));
            for finding in findings {
                report.doubt(finding, self.limit);
            }
            if compared.wrong.is_empty() {
                report.vouch_for_legacy(tree);
            }
        }
        Ok(())
    }

    fn diagnose(
        &self,
        worker: &mut Worker,
        id: i64,
        tree: &Tree,
        compared: &Compared,
    ) -> Result<Vec<Finding>, ReadError> {
        let newest = worker.reader.before(id, tree.last_id.saturating_add(1))?;
        let Some(newest) = newest.map(|row| row.row().id) else {
            return Ok(vec![if compared.behind.entries == 0 {
                vanished(self.anchored, tree)
            } else {
                let detail = format!(
                    "all {} entries that {} covers are gone, and others came after them",
                    tree.size,
                    self.anchor()
                );
                span(tree, 0, tree.size, Kind::HistoryRewritten, detail)
            }]);
        };
        let mut findings = Vec::new();
        let is_cut = newest < tree.last_id && compared.behind.entries == 0;
        let mut end = tree.last_id;
        if is_cut {
            findings.push(self.tail(id, tree, newest));
            end = newest;
        }
        let end_tile = tree.tile_of(end);
        let mut wrong = compared
            .wrong
            .iter()
            .flat_map(|&(first, last)| first..=last)
            .filter(|&tile| tile <= end_tile);
        let mut seen = Differences::default();
        let examined: Vec<u64> = wrong.by_ref().take(EXAMINED_TILES).collect();
        let kept: BTreeMap<u64, Vec<KeptLeaf>> = examined
            .iter()
            .filter_map(|&tile| Some((tile, self.anchored.kept(id, tile).ok()?)))
            .collect();
        // Where a tile begins is believed only together with its leaves; its neighbour ends there.
        let is_known = |tile: &u64| !examined.contains(tile) || kept.contains_key(tile);
        for &tile in &examined {
            let (low, high) = tree.ids(tile, tile);
            let range = IdRange {
                low,
                high: high.min(end).min(self.bounds.head(id)),
            };
            let Some(kept) = kept.get(&tile).filter(|_| is_known(&(tile + 1))) else {
                seen.unknown.add(tree.first_ids[tile as usize], high);
                continue;
            };
            let kept: Vec<KeptLeaf> = kept.iter().copied().filter(|leaf| leaf.id <= end).collect();
            let live = live_leaves(worker, id, range)?;
            seen.compare(&kept, &live);
        }
        let more = wrong.count();
        findings.extend(seen.findings(&self.anchor(), more));
        if findings.is_empty() {
            // The tile with the trail's end differs only by what was cut off, or was put right meanwhile.
            let (first, _) = compared.wrong[0];
            let at = tree.first_ids.get(first as usize).copied();
            let detail = format!(
                "differed from what {} covers while it was read, and did not any more when it was looked at again",
                self.anchor()
            );
            findings.push(Finding::new(
                at.unwrap_or_default(),
                Kind::HistoryRewritten,
                detail,
            ));
        }
        Ok(findings)
    }

    /// The finding about everything behind `newest` being gone.
    fn tail(&self, id: i64, tree: &Tree, newest: i64) -> Finding {
        let tile = tree.tile_of(newest);
        let begin = tile * WIDTH;
        let index = match self.anchored.kept(id, tile) {
            Ok(leaves) => {
                let kept = leaves.partition_point(|leaf| leaf.id <= newest);
                let first = leaves.get(kept).map(|leaf| leaf.id);
                (begin + kept as u64, first)
            }
            Err(_) => (begin + 1, None),
        };
        let (index, first) = index;
        let next_tile = tree.first_ids.get(tile as usize + 1).copied();
        let first = first.or(next_tile).unwrap_or(newest.saturating_add(1));
        let gone = tree.size.saturating_sub(index).max(1);
        let detail = format!(
            "the trail ends at entry {newest}, and {} covers {gone} more, from {first} to {}: they were removed",
            self.anchor(),
            tree.last_id
        );
        Finding::new(first, Kind::TailRemoved, detail).over(tree.last_id, gone)
    }

    fn anchor(&self) -> String {
        name(self.anchored)
    }
}

fn name(anchored: &Anchored) -> String {
    format!("anchor {} of {}", anchored.number, anchored.time)
}

fn vanished(anchored: &Anchored, tree: &Tree) -> Finding {
    let detail = format!(
        "{} covers {} entries of this organisation, and none is left",
        name(anchored),
        tree.size
    );
    span(tree, 0, tree.size, Kind::OrganisationVanished, detail)
}

fn span(tree: &Tree, tile: u64, entries: u64, kind: Kind, detail: String) -> Finding {
    let first = tree.first_ids.get(tile as usize).copied();
    Finding::new(first.unwrap_or_default(), kind, detail).over(tree.last_id, entries)
}

fn anchor_report(anchored: &Anchored, tree: &AnchoredTree, compared: &Compared) -> AnchorReport {
    let behind = compared.behind;
    AnchorReport {
        number: anchored.number,
        time: tree.time.to_string(),
        entries: tree.tree.size,
        is_extended: compared.wrong.is_empty(),
        unanchored_entries: behind.entries,
        first_unanchored_id: (behind.entries > 0).then_some(behind.first_id),
        last_unanchored_id: (behind.entries > 0).then_some(behind.last_id),
    }
}

fn live_leaves(
    worker: &mut Worker,
    organization_id: i64,
    range: IdRange,
) -> Result<Vec<KeptLeaf>, ReadError> {
    let mut leaves = Vec::new();
    if range.low > range.high {
        return Ok(leaves);
    }
    let Worker { reader, hasher, .. } = worker;
    reader.read(Some(organization_id), range, |row| {
        if leaves.len() < EXAMINED_ENTRIES {
            leaves.push(KeptLeaf::of_row(row, hasher));
        }
    })?;
    Ok(leaves)
}

/// Entries that differ in the same way.
#[derive(Debug, Default)]
struct Several {
    entries: u64,
    first_id: i64,
    last_id: i64,
}

impl Several {
    fn add(&mut self, first_id: i64, last_id: i64) {
        if self.entries == 0 {
            self.first_id = first_id;
        }
        self.entries += 1;
        self.last_id = last_id;
    }
}

#[derive(Debug, Default)]
struct Differences {
    gone: Several,
    rewritten: Several,
    blanked: Several,
    inserted: Several,
    legacy: Several,
    /// Whole tiles whose leaves cannot be had.
    unknown: Several,
}

impl Differences {
    /// Both in order of id.
    fn compare(&mut self, kept: &[KeptLeaf], live: &[KeptLeaf]) {
        let (mut kept, mut live) = (kept.iter().peekable(), live.iter().peekable());
        loop {
            match (kept.peek(), live.peek()) {
                (None, None) => return,
                (Some(was), is) if is.is_none_or(|is| was.id < is.id) => {
                    self.gone.add(was.id, was.id);
                    kept.next();
                }
                (Some(was), Some(is)) if was.id == is.id => {
                    if was.hash != is.hash {
                        let several = match (was.is_sealed, is.is_sealed) {
                            (true, true) => &mut self.rewritten,
                            (true, false) => &mut self.blanked,
                            (false, _) => &mut self.legacy,
                        };
                        several.add(is.id, is.id);
                    }
                    kept.next();
                    live.next();
                }
                (_, Some(is)) => {
                    self.inserted.add(is.id, is.id);
                    live.next();
                }
                (Some(_), None) => unreachable!("a kept leaf without a live one is gone"),
            }
        }
    }

    fn findings(self, anchor: &str, more_tiles: usize) -> Vec<Finding> {
        let rewritten = Kind::HistoryRewritten;
        let said = [
            (
                self.rewritten,
                rewritten,
                "has another hash than the one that",
                "covers: it was written anew, as only a holder of the audit key can, or its hash was changed",
            ),
            (
                self.blanked,
                rewritten,
                "had a hash when",
                "was made, and has none any more",
            ),
            (self.gone, rewritten, "is gone, though", "covers it"),
            (
                self.inserted,
                rewritten,
                "was put in among entries that",
                "covers",
            ),
            (
                self.legacy,
                Kind::LegacyRowsChanged,
                "has no hash of its own, and is not as it was when",
                "was made",
            ),
            (
                self.unknown,
                Kind::AnchorMissing,
                "and those behind it cannot be compared with",
                "entry by entry: what is kept of their leaves is not what was signed",
            ),
        ];
        let mut findings: Vec<Finding> = said
            .into_iter()
            .filter(|(several, ..)| several.entries > 0)
            .map(|(several, kind, before, after)| {
                let more = match (several.entries, more_tiles) {
                    (1, 0) => String::new(),
                    (entries, 0) => format!(" ({entries} entries)"),
                    (entries, tiles) => format!(
                        " ({entries} entries, and more in {tiles} further stretches of {WIDTH})"
                    ),
                };
                let detail = format!("{before} {anchor} {after}{more}");
                Finding::new(several.first_id, kind, detail).over(several.last_id, several.entries)
            })
            .collect();
        findings.sort_by_key(|finding| finding.entry_id);
        findings
    }
}
