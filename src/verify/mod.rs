//! Floor 2: verifies the trails of a QWED database.
//!
//! [`verify`] scans the table in parallel (`scan`), joins the ranges' segments, finds out what the broken
//! places mean (`diagnose`) and answers a [`report::Report`]. [`entry`] checks single entries as QWED's
//! `verify_log_entry` does. Neither writes anything, prints anything or decides on exit codes.

mod cause;
mod diagnose;
pub mod entry;
pub mod progress;
pub mod report;
mod scan;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use thiserror::Error;

use self::{
    diagnose::Doctor,
    progress::Progress,
    report::{Coverage, OrganizationReport, Report},
    scan::{Filter, Scanner, Worker},
};
use crate::{
    qwed::{Database, IdRange, Period, ReadError},
    trail::{
        chain::Trail,
        hash::HashText,
        keys::KeyRing,
        segment::{Folder, Segment},
    },
};

/// What to verify.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Only these organisations; all where empty.
    pub organizations: Vec<i64>,
    /// Only entries of this period, by QWED's rule: the chain is walked from the period's first entry to its last,
    /// and entries in between that lie outside are not counted.
    pub period: Period,
}

/// How to verify.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Readers side by side, each on a thread of its own.
    pub threads: usize,
    /// How many findings, and ids of failed or legacy entries, are listed for each organisation.
    pub max_findings: usize,
    /// Key range that one reader works on at a time, in ids.
    pub range_ids: u64,
}

impl Default for Options {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            threads,
            max_findings: 1000,
            range_ids: 16 << 10,
        }
    }
}

/// Why there is no verdict.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The database could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An organisation that was asked for does not exist.
    #[error("there is no organisation {id}; the database has {known}")]
    NoOrganization {
        /// The id asked for.
        id: i64,
        /// Those that exist, in words.
        known: String,
    },
    /// Stopped on request.
    #[error("interrupted")]
    Interrupted(Coverage),
    /// The threads could not be started.
    #[error("cannot start {threads} threads: {problem}")]
    Threads {
        /// How many.
        threads: usize,
        /// Why not.
        problem: String,
    },
}

/// Verifies what `scope` says with the keys of `ring`.
///
/// The report's times are left to the caller, who has the clock.
///
/// # Errors
/// If something kept it from a verdict. Tampering is no error but a verdict.
pub fn verify(
    database: &Database,
    ring: &Arc<KeyRing>,
    scope: &Scope,
    options: &Options,
    progress: &Progress,
) -> Result<Report, VerifyError> {
    let scanner = Scanner::new(database, ring, *options, progress)?;
    let mut worker = scanner.worker()?;
    let known = worker.reader.organizations()?;
    let whole = IdRange {
        low: i64::MIN,
        high: i64::MAX,
    };
    // Fixes what is verified: rows appended from now on are left to the next time.
    let Some(whole) = worker.reader.bounds(None, whole)? else {
        return report_of_nothing(database, ring, scope, &known);
    };
    let mut folder = Folder {
        limit: options.max_findings.max(1),
        whole_table: scope.organizations.is_empty(),
    };
    let mut wanted: Vec<i64> = scope.organizations.clone();
    wanted.sort_unstable();
    wanted.dedup();
    for &id in &wanted {
        if !known.contains(&id) && worker.reader.bounds(Some(id), whole)?.is_none() {
            return Err(unknown_organization(id, &known));
        }
    }
    let filter = scanner.filter(scope, whole)?;
    scanner.give_back(worker);

    let mut segment = if wanted.is_empty() {
        scanner.table(&folder, &filter, whole)?
    } else {
        scanner.organizations(&folder, &filter, &wanted, whole)?
    };
    if !folder.whole_table
        && segment
            .trails
            .values()
            .any(|trail| trail.last_old_id.is_some())
    {
        // Releases before 5.3.0 chained all organisations into one: none can be judged without the others.
        folder.whole_table = true;
        segment = scanner.table(&folder, &filter, whole)?;
    }
    let mut worker = scanner.worker()?;
    let mut before = start_of_periods(&mut worker, &filter, &segment)?;
    folder.finish(&mut segment, |organization_id| {
        before.remove(&organization_id)
    });

    let is_wanted = |id: i64| wanted.is_empty() || wanted.binary_search(&id).is_ok();
    let doctor = Doctor::new(&scanner, &segment, &filter, whole, folder.limit)?;
    let mut organizations = doctor.organizations(&mut worker, is_wanted)?;
    if wanted.is_empty() && segment.homeless_total > 0 {
        organizations.push(OrganizationReport::homeless(&segment));
    }
    let ids = if wanted.is_empty() { &known } else { &wanted };
    for &id in ids {
        if !segment.trails.contains_key(&id) {
            organizations.push(OrganizationReport::without_entries(id));
        }
    }
    organizations.sort_by_key(|report| report.organization_id);
    let mut signed_by_key = vec![0; ring.keys().len()];
    for (_, trail) in segment.trails.iter().filter(|&(&id, _)| is_wanted(id)) {
        for (sum, entries) in signed_by_key.iter_mut().zip(&trail.signed_by_key) {
            *sum += entries;
        }
    }
    Ok(Report::new(
        database.dialect(),
        ring,
        &signed_by_key,
        organizations,
    ))
}

fn report_of_nothing(
    database: &Database,
    ring: &KeyRing,
    scope: &Scope,
    known: &[i64],
) -> Result<Report, VerifyError> {
    let wanted = if scope.organizations.is_empty() {
        known
    } else {
        &scope.organizations
    };
    for &id in wanted {
        if !known.contains(&id) {
            return Err(unknown_organization(id, known));
        }
    }
    let ids: BTreeSet<i64> = wanted.iter().copied().collect();
    let organizations = ids
        .into_iter()
        .map(OrganizationReport::without_entries)
        .collect();
    Ok(Report::new(database.dialect(), ring, &[], organizations))
}

fn unknown_organization(id: i64, known: &[i64]) -> VerifyError {
    const LISTED: usize = 20;
    let mut list: Vec<String> = known.iter().take(LISTED).map(i64::to_string).collect();
    if known.len() > LISTED {
        list.push(format!("{} more", known.len() - LISTED));
    }
    let known = if list.is_empty() {
        "none".to_owned()
    } else {
        list.join(", ")
    };
    VerifyError::NoOrganization { id, known }
}

/// What stands before the first entry of each organisation's period.
fn start_of_periods(
    worker: &mut Worker,
    filter: &Filter,
    segment: &Segment,
) -> Result<HashMap<i64, Trail>, ReadError> {
    let mut before = HashMap::new();
    for (&organization_id, &range) in filter.ranges.iter().flatten() {
        if segment.trails.contains_key(&organization_id) {
            let previous = worker.reader.before(organization_id, range.low)?;
            let chained = worker
                .reader
                .is_chained_before(organization_id, range.low)?;
            let previous = previous.map(|row| HashText::from(row.row().entry_hash));
            before.insert(organization_id, Trail::before_period(previous, chained));
        }
    }
    Ok(before)
}
