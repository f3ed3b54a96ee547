//! Verifying only what came after an anchor.
//!
//! What an anchor covers was verified when it was anchored or will be when everything is read again; reading it each time
//! is what makes a verification long. Here each trail is walked from its newest anchored entry on, which has to be as it
//! was anchored, so that the first new entry links to what the anchor covers. This never finds a trail tampered: whatever
//! does not fit is left to a verification of everything, which knows what it means.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{
    Options, Scope, VerifyError,
    conclude::{Asked, Bounds, Case, has_old_chain},
    report::Report,
    scan::{Filter, Scanner, Worker},
};
use crate::{
    checkpoint::{
        anchored::{Anchored, KeptLeaf},
        tiles::Tree,
    },
    progress::Progress,
    qwed::{Database, IdRange, Period, ReadError},
    trail::{finding::Verdict, keys::KeyRing, segment::Folder},
};

/// A verification of what is new.
#[derive(Debug)]
pub struct Since {
    /// About the new entries alone.
    pub report: Report,
    /// How many entries were not read, since the anchor covers them.
    pub unread_entries: u64,
}

/// Verifies what came after `anchored`, of these organisations or of all. `None`: something does not fit, or cannot be
/// judged by the new entries alone, so that everything has to be verified.
///
/// # Errors
/// If something kept it from an answer.
pub fn verify_since(
    database: &Database,
    ring: &Arc<KeyRing>,
    anchored: &Anchored,
    organizations: &[i64],
    options: &Options<'_>,
    progress: &Progress,
) -> Result<Option<Since>, VerifyError> {
    let options = Options {
        anchored: None,
        ..*options
    };
    let scanner = Scanner::new(database, ring, options, progress)?;
    let mut worker = scanner.worker()?;
    let scope = Scope {
        organizations: organizations.to_vec(),
        period: Period::default(),
    };
    let asked = Asked::of(&mut worker, &scope, Some(anchored))?;
    let trees = anchored.trees.iter();
    let trees: Vec<_> = trees.filter(|&(&id, _)| asked.is_wanted(id)).collect();
    let Some(whole) = asked.whole else {
        // Where nothing was anchored, nothing is missing.
        let report = asked.report_of_nothing(database, ring, None);
        return Ok(trees.is_empty().then_some(Since {
            report,
            unread_entries: 0,
        }));
    };
    // Without QWED's index each look would read the table, and entries of no organisation would not be seen.
    if !worker.reader.has_organization_index()? || worker.reader.homeless(whole, 1)?.1 > 0 {
        return Ok(None);
    }
    let mut unread_entries = 0;
    for &(&id, anchored_tree) in &trees {
        let tree = &anchored_tree.tree;
        if !is_as_anchored(&mut worker, anchored, id, tree)? {
            return Ok(None);
        }
        unread_entries += tree.size;
    }
    let mut ids: BTreeSet<i64> = trees.iter().map(|&(&id, _)| id).collect();
    ids.extend(worker.reader.organizations_in_trail()?);
    ids.retain(|&id| asked.is_wanted(id));
    let mut walks = HashMap::new();
    for &id in &ids {
        let low = match anchored.tree(id) {
            Some(tree) => tree.last_id.saturating_add(1),
            None => whole.low,
        };
        let range = IdRange {
            low,
            high: whole.high,
        };
        if low <= whole.high
            && let Some(new) = worker.reader.bounds(Some(id), range)?
        {
            walks.insert(id, new);
        }
    }
    scanner.give_back(worker);
    let new: Vec<i64> = walks.keys().copied().collect();
    let filter = Filter::of_period(Period::default(), walks);
    let bounds = Bounds {
        whole,
        heads: std::collections::BTreeMap::new(),
    };
    let case = Case {
        asked: &asked,
        bounds: &bounds,
        filter: &filter,
        limit: options.max_findings.max(1),
    };
    let folder = Folder {
        limit: case.limit,
        whole_table: false,
    };
    let part = scanner.organizations(&folder, &filter, &new, whole)?;
    if has_old_chain(&part.segment) {
        return Ok(None);
    }
    let report = case.report(&scanner, part)?;
    let is_sound = report.verdict == Verdict::Intact;
    Ok(is_sound.then_some(Since {
        report,
        unread_entries,
    }))
}

/// Whether the newest anchored entry is there, as it was.
fn is_as_anchored(
    worker: &mut Worker,
    anchored: &Anchored,
    id: i64,
    tree: &Tree,
) -> Result<bool, ReadError> {
    let Some(last_tile) = tree.tiles().checked_sub(1) else {
        return Ok(true);
    };
    let kept = anchored.kept(id, last_tile);
    let Some(kept) = kept.ok().and_then(|leaves| leaves.last().copied()) else {
        return Ok(false);
    };
    let live = worker.reader.entry(tree.last_id)?;
    Ok(live.is_some_and(|live| {
        let row = live.row();
        let check = worker.checker.check(&row);
        row.organization_id.integer() == Some(id)
            && KeptLeaf::of_row(&row, &mut worker.hasher) == kept
            // Its leaf covers the hash alone; without one, the content.
            && (!kept.is_sealed
                || check.hash_valid() && check.signature_valid() && check.oddity.is_none())
    }))
}
