//! The audit trail of one organisation as CSV.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use super::{
    Asked, EvidenceError, Profile, Within,
    full_profile::{self, COLUMNS, EntryVerdict},
    leaves::Leaves,
    line::put_line,
    manifest::{Summed, Written},
    newest_first::NewestFirst,
    qwed_profile::{LOG_COLUMNS, put_log, put_log_head},
};
use crate::{
    checkpoint::anchored::Anchored,
    progress::Progress,
    qwed::{Database, IdRange, Period, Reader},
    trail::{
        keys::KeyRing,
        row::{Row, Value},
        tombstone::{Tombstone, Tombstones},
    },
    verify::entry::Walk,
};

/// Every id.
const ANYWHERE: IdRange = IdRange {
    low: i64::MIN,
    high: i64::MAX,
};
/// Ids of the first window; later ones are larger or smaller, as their rows are.
const WINDOW_IDS: u64 = 512;
const MAX_WINDOW_IDS: u64 = 64 << 10;
/// Bytes of lines that a window should have at most, and should have at least.
const LARGE_BYTES: usize = 2 << 20;
const SMALL_BYTES: usize = 512 << 10;

/// The trail, and what its entries are judged by.
#[derive(Debug, Clone, Copy)]
pub struct Trail<'a> {
    /// QWED's database, opened with the tombstones of erased entries.
    pub database: &'a Database,
    /// Keys that may have signed entries.
    pub ring: &'a Arc<KeyRing>,
    /// The newest anchor.
    pub anchored: Option<&'a Anchored>,
    /// A directory for what does not fit into memory, made if it is needed. What is in it has no name.
    pub scratch: &'a Path,
    /// Counts entries, and stops.
    pub progress: &'a Progress,
}

/// Writes entries of the audit trail. Blocking; on a thread that may wait for our own database, if there is an anchor.
///
/// # Errors
/// If there is no such organisation, the database cannot be read, or `out` fails.
pub fn write_log(
    out: &mut impl Write,
    trail: &Trail<'_>,
    asked: &Asked,
) -> Result<Written, EvidenceError> {
    let mut reader = trail.database.reader()?;
    let range = range(&mut reader, trail.database.erased(), asked)?;
    let mut out = Summed::new(out);
    let (mut written, columns) = match asked.profile {
        Profile::Full => (
            full(&mut out, trail, asked, reader, range)?,
            COLUMNS.map(str::to_owned).to_vec(),
        ),
        Profile::Qwed => (
            qwed(&mut out, trail, asked, reader, range)?,
            LOG_COLUMNS.map(str::to_owned).to_vec(),
        ),
    };
    out.flush()?;
    (written.size_bytes, written.sha256) = out.sum();
    written.columns = columns;
    Ok(written)
}

/// Where the organisation's entries of the period lie.
fn range(
    reader: &mut Reader,
    erased: &Tombstones,
    asked: &Asked,
) -> Result<Option<IdRange>, EvidenceError> {
    let id = asked.organization_id;
    let Some(whole) = reader.bounds(Some(id), ANYWHERE)? else {
        return match reader.organizations()?.contains(&id) {
            true => Ok(None),
            false => Err(EvidenceError::NoOrganization(id)),
        };
    };
    if asked.period == Period::default() {
        return Ok(Some(whole));
    }
    let ranges = reader.period_ranges(asked.period, whole)?;
    let stored = ranges.into_iter().filter(|it| it.organization_id == id);
    // Of entries that are gone only their tombstones know the time.
    let within = Within::new(asked.period);
    let gone = erased.between(whole.low, whole.high).iter();
    let gone = gone
        .filter_map(Tombstone::stand_in)
        .filter(|row| row.organization_id == Value::Integer(id) && within.holds(row.timestamp));
    let gone = gone.map(|row| IdRange {
        low: row.id,
        high: row.id,
    });
    Ok(stored
        .map(|it| it.range)
        .chain(gone)
        .reduce(|a, b| IdRange {
            low: a.low.min(b.low),
            high: a.high.max(b.high),
        }))
}

fn none() -> Written {
    Written {
        rows: 0,
        verdicts: BTreeMap::new(),
        erased: 0,
        anchor: None,
        size_bytes: 0,
        sha256: crate::objects::Digest([0; 32]),
        columns: Vec::new(),
    }
}

fn full(
    out: &mut impl Write,
    trail: &Trail<'_>,
    asked: &Asked,
    mut reader: Reader,
    range: Option<IdRange>,
) -> Result<Written, EvidenceError> {
    let mut lines = Vec::new();
    put_line(&mut lines, COLUMNS);
    let leaves = Leaves::new(trail.anchored, asked.organization_id);
    let anchor = leaves.anchor();
    let mut judged = JudgedLines { lines, leaves };
    let mut written = Written { anchor, ..none() };
    let mut verdicts = [0_u64; 5];
    if let Some(range) = range {
        let id = asked.organization_id;
        let mut walk = Walk::begin(&mut reader, trail.ring, id, range.low)?;
        let within = Within::new(asked.period);
        let visit = |gathered: &mut JudgedLines<'_>, row: &Row<'_>| {
            let JudgedLines { lines, leaves } = gathered;
            // Also where it is not asked for: the next one refers to it.
            let judged = walk.judge(row);
            if !within.holds(row.timestamp) {
                return;
            }
            let verdict = full_profile::put(lines, row, &judged, anchor, leaves.of(row));
            written.rows += 1;
            written.erased += u64::from(row.erased.is_some());
            verdicts[verdict as usize] += 1;
        };
        each(&mut reader, trail, id, range, &mut judged, visit, |it| {
            out.write_all(&it.lines)
        })?;
    }
    out.write_all(&judged.lines)?;
    for verdict in [
        EntryVerdict::Verified,
        EntryVerdict::Erased,
        EntryVerdict::Legacy,
        EntryVerdict::Unlinked,
        EntryVerdict::Failed,
    ] {
        let entries = verdicts[verdict as usize];
        if entries > 0 {
            written.verdicts.insert(verdict.name(), entries);
        }
    }
    Ok(written)
}

fn qwed(
    out: &mut impl Write,
    trail: &Trail<'_>,
    asked: &Asked,
    mut reader: Reader,
    range: Option<IdRange>,
) -> Result<Written, EvidenceError> {
    let mut head = Vec::new();
    put_log_head(&mut head);
    out.write_all(&head)?;
    let mut written = none();
    let mut sorted = NewestFirst::new(trail.scratch);
    if let Some(range) = range {
        let within = Within::new(asked.period);
        let visit = |sorted: &mut NewestFirst<'_>, row: &Row<'_>| {
            if row.is_gone() || !within.holds(row.timestamp) {
                return;
            }
            let micros = row.timestamp.micros().unwrap_or(i64::MIN);
            sorted.add(micros, row.id, |out| put_log(out, row));
            written.rows += 1;
            written.erased += u64::from(row.erased.is_some());
        };
        let id = asked.organization_id;
        each(&mut reader, trail, id, range, &mut sorted, visit, |it| {
            it.settle()
        })?;
    }
    sorted.finish(out)?;
    Ok(written)
}

/// What lines are gathered in.
trait Gathers {
    /// Bytes that wait.
    fn bytes(&self) -> usize;
    /// Forgets lines that were passed on.
    fn passed(&mut self) {}
    /// Gets ready for the rows of a window.
    fn prepare(&mut self, _: IdRange) {}
}

/// Lines, and what they are made with.
struct JudgedLines<'a> {
    lines: Vec<u8>,
    leaves: Leaves<'a>,
}

impl Gathers for JudgedLines<'_> {
    fn bytes(&self) -> usize {
        self.lines.len()
    }

    fn passed(&mut self) {
        self.lines.clear();
    }

    fn prepare(&mut self, window: IdRange) {
        self.leaves.prepare(window);
    }
}

impl Gathers for NewestFirst<'_> {
    fn bytes(&self) -> usize {
        self.waiting_bytes()
    }
}

/// Hands the organisation's rows in `range` to `visit` in windows, and what it gathered to `pass` when no statement is open: on
/// SQLite that would keep QWED from writing for as long as whoever takes the lines lets us wait.
fn each<G: Gathers>(
    reader: &mut Reader,
    trail: &Trail<'_>,
    organization_id: i64,
    range: IdRange,
    gathered: &mut G,
    mut visit: impl FnMut(&mut G, &Row<'_>),
    mut pass: impl FnMut(&mut G) -> io::Result<()>,
) -> Result<(), EvidenceError> {
    let progress = trail.progress;
    progress.expect_ids(range.width());
    let (mut low, mut width) = (range.low, WINDOW_IDS);
    loop {
        if progress.is_stopped() {
            return Err(EvidenceError::Interrupted);
        }
        let high = low.saturating_add_unsigned(width - 1).min(range.high);
        let window = IdRange { low, high };
        gathered.prepare(window);
        let (mut rows, before) = (0, gathered.bytes());
        reader.read(Some(organization_id), window, |row| {
            rows += 1;
            visit(gathered, row);
        })?;
        let bytes = gathered.bytes().saturating_sub(before);
        pass(gathered)?;
        gathered.passed();
        progress.add(rows, window.width());
        if high == range.high {
            return Ok(());
        }
        if bytes > LARGE_BYTES {
            width = (width / 2).max(1);
        } else if bytes < SMALL_BYTES {
            width = (width * 2).min(MAX_WINDOW_IDS);
        }
        low = high + 1;
        if rows == 0 {
            // Nothing lies here: on to where something does.
            let rest = IdRange { low, ..range };
            let Some(found) = reader.bounds(Some(organization_id), rest)? else {
                return Ok(());
            };
            progress.add(0, low.abs_diff(found.low));
            low = found.low;
        }
    }
}
