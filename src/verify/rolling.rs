//! Checking in full a slice of what an anchor covers, so that a few runs check all of it.
//!
//! A slice is tiles of the anchored trees. Each is read with all that a verification of everything looks at: content against
//! hash, signature, link to the entry before, and the leaves against the tile that was anchored. The first entry of a stretch links to
//! an anchored one, which has to be as it was. As with what is new, whatever does not fit is left to a verification of
//! everything.
//!
//! Releases before 5.3.0 chained all organisations into one, so the links of their entries are judged only by that. Here
//! they have to be what was anchored: an entry's hash covers the hash that it names.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Options, VerifyError,
    scan::{Filter, Scanner},
};
use crate::{
    checkpoint::{
        anchored::{Anchored, KeptLeaf},
        coverage::{Coverage, Tiles},
    },
    progress::Progress,
    qwed::{Database, IdRange, ReadError},
    trail::{chain::Trail, hash::HashText, keys::KeyRing, segment::Folder},
};

/// Tiles that one thread checks at a time.
const AT_A_TIME: u64 = 64;

/// Whether the entries of these tiles are sound and as they were anchored. Needs QWED's index.
///
/// # Errors
/// If something kept it from an answer.
pub fn verify_tiles(
    database: &Database,
    ring: &Arc<KeyRing>,
    anchored: &Anchored,
    tiles: &[Tiles],
    options: &Options<'_>,
    progress: &Progress,
) -> Result<bool, VerifyError> {
    let options = Options {
        anchored: Some(anchored),
        ..*options
    };
    let scanner = Scanner::new(database, ring, options, progress)?;
    let parts: Vec<Tiles> = tiles
        .iter()
        .flat_map(|tiles| tiles.parts(AT_A_TIME))
        .collect();
    let is_broken = |&part: &Tiles| {
        scanner.go_on()?;
        Ok(!is_sound(&scanner, anchored, part)?)
    };
    Ok(!scanner.each(&parts, &is_broken, &|left, right| left || right)?)
}

fn is_sound(scanner: &Scanner<'_>, anchored: &Anchored, tiles: Tiles) -> Result<bool, VerifyError> {
    let id = tiles.organization_id;
    let tree = anchored.tree(id).filter(|tree| tiles.end <= tree.tiles());
    let (Some(tree), Some(last)) = (tree, tiles.end.checked_sub(1)) else {
        return Ok(false);
    };
    let (low, high) = tree.ids(tiles.first, last);
    let Some(mut before) = before(scanner, anchored, tiles, low)? else {
        return Ok(false);
    };
    // Nobody else reads entries that were put in before the first.
    let mut worker = scanner.worker()?;
    let range = worker.reader.bounds(Some(id), IdRange { low, high })?;
    scanner.give_back(worker);
    let Some(range) = range else {
        return Ok(false);
    };
    let folder = Folder {
        limit: 1,
        whole_table: false,
    };
    let mut part = scanner.organization(&folder, &Filter::default(), id, range, Some(true))?;
    folder.finish(&mut part.segment, |_| Some(core::mem::take(&mut before)));
    let trail = part.segment.trails.remove(&id).unwrap_or_default();
    let compared = part.stretches.remove(&id).unwrap_or_default().finish(tree);
    let is_ours = |&(first, end): &(u64, u64)| first <= last && end >= tiles.first;
    Ok(trail.suspects_total == 0
        && trail.broken_links.total == 0
        && !compared.wrong.iter().any(is_ours))
}

/// What stands before these tiles, whose lowest id is `low`; none if it is not as it was anchored.
fn before(
    scanner: &Scanner<'_>,
    anchored: &Anchored,
    tiles: Tiles,
    low: i64,
) -> Result<Option<Trail>, ReadError> {
    let Some(tile) = tiles.first.checked_sub(1) else {
        return Ok(Some(Trail::default()));
    };
    let id = tiles.organization_id;
    let kept = anchored.kept(id, tile);
    let Some(kept) = kept.ok().and_then(|leaves| leaves.last().copied()) else {
        return Ok(None);
    };
    let mut worker = scanner.worker()?;
    let mut trail = None;
    if let Some(previous) = worker.reader.before(id, low)?
        && KeptLeaf::of_row(&previous.row(), &mut worker.hasher) == kept
    {
        let is_chained = kept.is_sealed || worker.reader.is_chained_before(id, low)?;
        let hash = HashText::from(previous.row().entry_hash);
        trail = Some(Trail::before_period(Some(hash), is_chained));
    }
    scanner.give_back(worker);
    Ok(trail)
}

/// When what anchors cover was last checked in full: content, hash, signature, link and anchored tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CoverageReport {
    /// Within how many days everything is to be checked (`verify.rolling_days`).
    pub days: u32,
    /// How many entries anchors covered at the last run that checked any in full.
    pub entries: u64,
    /// How many of them were checked in full in these days.
    pub covered_entries: u64,
    /// The same of a hundred.
    pub percent: f64,
    /// When the entries were last checked that were not for longest, RFC 3339 in UTC.
    pub oldest_check: Option<String>,
    /// When the last complete round began and ended, RFC 3339 in UTC.
    pub last_round: (String, String),
    /// Where the next slice begins.
    pub next: Option<NextCheck>,
    /// How many anchored entries this run checked in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_entries: Option<u64>,
}

/// Where a slice begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextCheck {
    /// The organisation.
    pub organization_id: i64,
    /// The entry.
    pub entry_id: i64,
}

impl CoverageReport {
    /// What is known at a time, in microseconds since 1970.
    #[must_use]
    pub fn of(coverage: &Coverage, anchored: Option<&Anchored>, now: i64, days: u32) -> Self {
        let (entries, covered_entries) = coverage.entries(now, days);
        let time = |micros| Timestamp::from_microsecond(micros).unwrap_or_default();
        let (began, ended) = coverage.last_round;
        let next = anchored.and_then(|anchored| {
            let next = coverage.next(&anchored.sizes())?;
            let tree = anchored.tree(next.organization_id)?;
            Some(NextCheck {
                organization_id: next.organization_id,
                entry_id: *tree.first_ids.get(usize::try_from(next.first).ok()?)?,
            })
        });
        Self {
            days,
            entries,
            covered_entries,
            percent: match entries {
                0 => 100.0,
                // Cut, since what is not everything is not 100 %.
                _ => (covered_entries as f64 / entries as f64 * 1e4).floor() / 1e2,
            },
            oldest_check: coverage
                .oldest()
                .map(|span| time(span.checked_at).to_string()),
            last_round: (time(began).to_string(), time(ended).to_string()),
            next,
            checked_entries: None,
        }
    }
}
