//! A verification spread over processes: [`plan`] cuts the trail into pieces, [`check`] reads one of them wherever and
//! whenever that may be, and [`conclude`] joins what the pieces answered into the report that [`super::verify`] gives.
//!
//! The pieces are read at different times while QWED appends, so the plan fixes up to where each organisation is
//! verified. QWED's appends to one organisation come one after the other, and so do their ids; those of different
//! organisations become visible in any order. A piece of one organisation therefore ends at an id, while a piece of the
//! whole table may have seen entries that the plan does not know; such a piece is read again when the report is made.
//!
//! What was changed or removed between the plan and the report may be seen as it was or as it is, as ever.

mod encoding;
mod planning;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    encoding::PartError,
    planning::{Planning, plan},
};
use super::{
    Options, Scope, VerifyError,
    conclude::{Asked, Bounds, Case, has_old_chain},
    part::Part,
    report::Report,
    scan::{Filter, Scanner},
};
use crate::{
    progress::Progress,
    qwed::{Database, IdRange, Period, SMALL_ENTRIES},
    trail::{keys::KeyRing, segment::Folder},
};

/// An organisation with fewer entries than one in this many ids is read by its index, however many there are: its key range
/// is mostly other organisations' entries.
const SPARSE_IDS_PER_ENTRY: u64 = 32;

/// A part of the trail that is checked in one go; the payload of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// Only this organisation's entries; all entries of the key range where it is null.
    pub organization: Option<i64>,
    /// The lowest id.
    pub low: i64,
    /// The highest id.
    pub high: i64,
    /// The period that is verified. Only an organisation's piece has one.
    #[serde(default)]
    pub period: Period,
    /// About how many entries it has.
    pub entries_estimate: u64,
    /// How many findings are listed for each organisation; the same for all pieces.
    pub max_findings: usize,
    /// The anchor that all pieces are compared with, by its number; none where it is null.
    #[serde(default)]
    pub anchor: Option<u64>,
    /// How many trees that anchor has: should one of them no longer be usable, no piece may do without it.
    #[serde(default)]
    pub trees: usize,
}

impl Piece {
    fn range(&self) -> IdRange {
        IdRange {
            low: self.low,
            high: self.high,
        }
    }

    fn folder(&self) -> Folder {
        Folder {
            limit: self.max_findings.max(1),
            whole_table: self.organization.is_none(),
        }
    }
}

/// How a trail is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Into organisations, large ones by key range.
    Organizations,
    /// The whole table by key range: releases before 5.3.0 chained all organisations into one, so that none can be judged
    /// alone; or the table has lost QWED's index.
    Table,
    /// Not at all: [`conclude`] reads everything itself. Cutting would take other means for a period of such a chain, and
    /// for an empty table or single organisations without an index it is not worth it.
    Uncut,
}

/// How a verification is spread; kept by whoever waits for its pieces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The pieces, in the order in which [`conclude`] wants their segments. None where it is to read everything itself.
    pub pieces: Vec<Piece>,
    /// About how many entries there are to check.
    pub entries_estimate: u64,
    /// What is verified.
    pub scope: Scope,
    /// How the trail is cut.
    pub layout: Layout,
    asked: Asked,
    /// Of each organisation in question, the newest entry that is verified.
    heads: BTreeMap<i64, i64>,
    /// In a period, of each organisation the first and the last entry.
    walks: BTreeMap<i64, IdRange>,
    max_findings: usize,
    /// The names of the ring's keys: segments count by their place.
    keys: Vec<String>,
}

impl Plan {
    /// The table's lowest and highest id; none where it is empty.
    #[must_use]
    pub fn whole(&self) -> Option<IdRange> {
        self.asked.whole
    }

    /// Of each organisation in question, the newest entry that is verified; empty where the trail is not cut.
    #[must_use]
    pub fn heads(&self) -> &BTreeMap<i64, i64> {
        &self.heads
    }

    fn filter(&self) -> Filter {
        if self.scope.period == Period::default() {
            return Filter::default();
        }
        let walks: HashMap<i64, IdRange> =
            self.walks.iter().map(|(&id, &walk)| (id, walk)).collect();
        Filter::of_period(self.scope.period, walks)
    }

    /// Whether these segments and this ring can conclude the plan.
    fn fits(&self, ring: &KeyRing, segments: usize) -> Result<(), VerifyError> {
        if segments != self.pieces.len() {
            return Err(VerifyError::OtherPlan(format!(
                "it has {} pieces, and {segments} were checked",
                self.pieces.len()
            )));
        }
        // Newer keys may have come; no entry that is verified here can be signed with them.
        let ids: Vec<&str> = ring.keys().iter().map(|key| key.id()).collect();
        if !ids
            .iter()
            .zip(&self.keys)
            .all(|(id, planned)| id == planned)
            || ids.len() < self.keys.len()
        {
            return Err(VerifyError::OtherPlan(
                "the audit keys were others when it was planned".to_owned(),
            ));
        }
        Ok(())
    }
}

/// Checks one piece.
///
/// Of the options the number of threads and the key ranges count; how many findings are listed is the plan's.
///
/// # Errors
/// If something kept it from being checked.
pub fn check(
    database: &Database,
    ring: &Arc<KeyRing>,
    piece: &Piece,
    options: &Options,
    progress: &Progress,
) -> Result<Part, VerifyError> {
    let scanner = Scanner::new(database, ring, *options, progress)?;
    let folder = piece.folder();
    let range = piece.range();
    let has_period = piece.period != Period::default();
    match piece.organization {
        Some(organization) => {
            let filter = if has_period {
                Filter::of_period(piece.period, HashMap::from([(organization, range)]))
            } else {
                Filter::default()
            };
            let entries = piece.entries_estimate.max(1);
            let is_small = entries < SMALL_ENTRIES.unsigned_abs()
                || range.width() / entries >= SPARSE_IDS_PER_ENTRY;
            scanner.organization(&folder, &filter, organization, range, Some(is_small))
        }
        None if has_period => Err(VerifyError::OtherPlan(
            "a piece of all organisations cannot have a period".to_owned(),
        )),
        None => scanner.range(&folder, &Filter::default(), range),
    }
}

/// The report on all of the plan, `segments` being what [`check`] answered for its pieces, in their order.
///
/// Looks into the database again: for what broken places mean, and for entries that no piece could have. Should it turn out
/// that an organisation cannot be judged alone though the plan thought so, everything is read here.
///
/// The report's times are left to the caller, who has the clock.
///
/// # Errors
/// If something kept it from a verdict. Tampering is no error but a verdict.
pub fn conclude(
    database: &Database,
    ring: &Arc<KeyRing>,
    plan: &Plan,
    segments: Vec<Part>,
    options: &Options,
    progress: &Progress,
) -> Result<Report, VerifyError> {
    plan.fits(ring, segments.len())?;
    let Some(mut bounds) = plan.asked.bounds() else {
        let has_period = plan.scope.period != Period::default();
        let anchored = options.anchored.filter(|_| !has_period);
        return Ok(plan.asked.report_of_nothing(database, ring, anchored));
    };
    bounds.heads.clone_from(&plan.heads);
    let scanner = Scanner::new(database, ring, *options, progress)?;
    let filter = plan.filter();
    let case = Case {
        asked: &plan.asked,
        bounds: &bounds,
        filter: &filter,
        limit: plan.max_findings,
    };
    let part = match plan.layout {
        Layout::Uncut => case.read(&scanner)?,
        Layout::Table => join_table(&scanner, plan, segments)?,
        Layout::Organizations => {
            let mut joined = join(&scanner, plan, segments, false);
            if has_old_chain(&joined.segment) {
                return conclude_anew(&scanner, plan, &case);
            }
            // No organisation's piece has the entries that belong to none.
            if plan.asked.named().is_empty() && plan.scope.period == Period::default() {
                let mut worker = scanner.worker()?;
                let (ids, total) = worker.reader.homeless(bounds.whole, case.limit)?;
                scanner.give_back(worker);
                (joined.segment.homeless, joined.segment.homeless_total) = (ids, total);
            }
            joined
        }
    };
    case.report(&scanner, part)
}

/// Reads the whole table, whose organisations turned out to share a chain.
fn conclude_anew(
    scanner: &Scanner<'_>,
    plan: &Plan,
    case: &Case<'_>,
) -> Result<Report, VerifyError> {
    let all_known = plan.asked.named().is_empty();
    if plan.scope.period == Period::default() && all_known {
        let filter = Filter::up_to(plan.heads.clone());
        let segment = Case {
            filter: &filter,
            ..*case
        }
        .read_table(scanner)?;
        return case.report(scanner, segment);
    }
    // Heads of some organisations only would make those of the others seem to end later.
    let bounds = Bounds {
        heads: BTreeMap::new(),
        ..case.bounds.clone()
    };
    let case = Case {
        bounds: &bounds,
        ..*case
    };
    case.report(scanner, case.read_table(scanner)?)
}

fn join(scanner: &Scanner<'_>, plan: &Plan, segments: Vec<Part>, whole_table: bool) -> Part {
    let folder = Folder {
        limit: plan.max_findings,
        whole_table,
    };
    let joined = segments.into_iter();
    let joiner = scanner.joiner(&folder);
    joined.fold(Part::default(), |left, right| joiner.join(left, right))
}

/// Joins pieces of the whole table, after reading those again that saw entries which the plan does not know: of two such
/// entries the first may have been invisible when its piece was read.
fn join_table(
    scanner: &Scanner<'_>,
    plan: &Plan,
    mut segments: Vec<Part>,
) -> Result<Part, VerifyError> {
    for (piece, segment) in plan.pieces.iter().zip(&mut segments) {
        let is_late = segment.segment.trails.iter().any(|(id, trail)| {
            let head = plan.heads.get(id);
            head.is_none_or(|&head| trail.tally.last_id > Some(head))
        });
        if is_late {
            let filter = Filter::up_to(plan.heads.clone());
            *segment = scanner.range(&piece.folder(), &filter, piece.range())?;
        }
    }
    Ok(join(scanner, plan, segments, true))
}
