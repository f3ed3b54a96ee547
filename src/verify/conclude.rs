//! From the segment of all that was read to the report, wherever it was read.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::{
    Scope, VerifyError,
    compare::{self, Comparison},
    diagnose::Doctor,
    part::Part,
    report::{OrganizationReport, Report},
    scan::{Filter, Scanner, Worker},
};
use crate::{
    checkpoint::anchored::Anchored,
    qwed::{Database, IdRange, Period, ReadError},
    trail::{
        chain::Trail,
        hash::HashText,
        keys::KeyRing,
        segment::{Folder, Segment},
    },
};

/// Up to where the trail is verified: entries appended later are left to the next time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The whole table.
    pub(super) whole: IdRange,
    /// The highest id of each organisation, where it was looked up; elsewhere it is the table's.
    pub(super) heads: BTreeMap<i64, i64>,
}

impl Bounds {
    /// The highest id that may belong to an organisation.
    pub(super) fn head(&self, organization_id: i64) -> i64 {
        let head = self.heads.get(&organization_id);
        head.map_or(self.whole.high, |&head| head.min(self.whole.high))
    }
}

/// What was asked, and how much of it there was to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    /// Organisations, in order of id; all where empty.
    wanted: Vec<i64>,
    /// All that QWED's table of organisations has.
    known: Vec<i64>,
    /// The table's lowest and highest id; none where it is empty.
    pub(super) whole: Option<IdRange>,
}

impl Asked {
    /// Looks up what has to be known first. An organisation that is asked for has to be there or in `anchored`, so that it
    /// can be said that it vanished; a period is compared with no anchor.
    pub(super) fn of(
        worker: &mut Worker,
        scope: &Scope,
        anchored: Option<&Anchored>,
    ) -> Result<Self, VerifyError> {
        let known = worker.reader.organizations()?;
        let anchored = anchored.filter(|_| scope.period == Period::default());
        let everything = IdRange {
            low: i64::MIN,
            high: i64::MAX,
        };
        // Fixes what is verified: rows appended from now on are left to the next time.
        let whole = worker.reader.bounds(None, everything)?;
        let mut wanted: Vec<i64> = scope.organizations.clone();
        wanted.sort_unstable();
        wanted.dedup();
        for &id in &wanted {
            let exists = known.contains(&id)
                || anchored.is_some_and(|anchored| anchored.tree(id).is_some())
                || match whole {
                    Some(whole) => worker.reader.bounds(Some(id), whole)?.is_some(),
                    None => false,
                };
            if !exists {
                return Err(unknown_organization(id, &known));
            }
        }
        Ok(Self {
            wanted,
            known,
            whole,
        })
    }

    /// Bounds that say nothing of single organisations; `None` where the table is empty.
    pub(super) fn bounds(&self) -> Option<Bounds> {
        self.whole.map(|whole| Bounds {
            whole,
            heads: BTreeMap::new(),
        })
    }

    /// Organisations that were asked for by name; none where all are.
    pub(super) fn named(&self) -> &[i64] {
        &self.wanted
    }

    pub(super) fn is_wanted(&self, id: i64) -> bool {
        self.wanted.is_empty() || self.wanted.binary_search(&id).is_ok()
    }

    /// Organisations that get a report even without entries.
    fn listed(&self) -> &[i64] {
        if self.wanted.is_empty() {
            &self.known
        } else {
            &self.wanted
        }
    }

    /// The report where the table is empty.
    pub(super) fn report_of_nothing(
        &self,
        database: &Database,
        ring: &KeyRing,
        anchored: Option<&Anchored>,
    ) -> Report {
        let ids: BTreeSet<i64> = self.listed().iter().copied().collect();
        let mut organizations = ids
            .into_iter()
            .map(OrganizationReport::without_entries)
            .collect();
        if let Some(anchored) = anchored {
            compare::nothing(anchored, &mut organizations, |id| self.is_wanted(id));
        }
        Report::new(database.dialect(), ring, &[], organizations).judged_by(database.erased())
    }
}

/// A verification whose bounds are fixed.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) asked: &'a Asked,
    pub(super) bounds: &'a Bounds,
    pub(super) filter: &'a Filter,
    /// How many findings are listed for each organisation.
    pub(super) limit: usize,
}

impl Case<'_> {
    /// Reads all that was asked for, within this process.
    pub(super) fn read(&self, scanner: &Scanner<'_>) -> Result<Part, VerifyError> {
        if self.asked.named().is_empty() {
            return self.read_table(scanner);
        }
        let folder = Folder {
            limit: self.limit,
            whole_table: false,
        };
        let whole = self.bounds.whole;
        let part = scanner.organizations(&folder, self.filter, self.asked.named(), whole)?;
        if has_old_chain(&part.segment) {
            return self.read_table(scanner);
        }
        Ok(part)
    }

    /// Reads the whole table. Releases before 5.3.0 chained all organisations into one: none can be judged without the
    /// others.
    pub(super) fn read_table(&self, scanner: &Scanner<'_>) -> Result<Part, VerifyError> {
        let folder = Folder {
            limit: self.limit,
            whole_table: true,
        };
        scanner.table(&folder, self.filter, self.bounds.whole)
    }

    /// Decides what is still open in the segment of all that was asked for, and finds out what its broken places mean.
    pub(super) fn report(&self, scanner: &Scanner<'_>, part: Part) -> Result<Report, VerifyError> {
        let Part {
            mut segment,
            stretches,
        } = part;
        let asked = self.asked;
        let mut worker = scanner.worker()?;
        let mut before = start_of_periods(&mut worker, self.filter, &segment)?;
        let folder = Folder {
            limit: self.limit,
            whole_table: true,
        };
        folder.finish(&mut segment, |organization_id| {
            before.remove(&organization_id)
        });

        let doctor = Doctor::new(scanner, &segment, self.filter, self.bounds, self.limit)?;
        let mut organizations = doctor.organizations(&mut worker, |id| asked.is_wanted(id))?;
        if asked.wanted.is_empty() && segment.homeless_total > 0 {
            organizations.push(OrganizationReport::homeless(&segment));
        }
        for &id in asked.listed() {
            if !segment.trails.contains_key(&id) {
                organizations.push(OrganizationReport::without_entries(id));
            }
        }
        organizations.sort_by_key(|report| report.organization_id);
        if let (Some(anchored), true) = (scanner.anchored, self.filter.ranges.is_none()) {
            let comparison = Comparison {
                anchored,
                bounds: self.bounds,
                limit: self.limit,
            };
            comparison.apply(&mut worker, stretches, &mut organizations, |id| {
                asked.is_wanted(id)
            })?;
        }
        let ring = worker.checker.ring();
        let mut signed_by_key = vec![0; ring.keys().len()];
        for (_, trail) in segment
            .trails
            .iter()
            .filter(|&(&id, _)| asked.is_wanted(id))
        {
            for (sum, entries) in signed_by_key.iter_mut().zip(&trail.signed_by_key) {
                *sum += entries;
            }
        }
        Ok(
            Report::new(scanner.dialect(), ring, &signed_by_key, organizations)
                .judged_by(scanner.erased()),
        )
    }
}

/// Whether any trail has entries of releases before 5.3.0.
pub(super) fn has_old_chain(segment: &Segment) -> bool {
    let mut trails = segment.trails.values();
    trails.any(|trail| trail.last_old_id.is_some())
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
            let is_gone = previous.as_ref().is_some_and(|row| row.row().is_gone());
            let previous = previous.map(|row| HashText::from(row.row().entry_hash));
            let start = Trail::before_period(previous, chained).behind_gone(is_gone);
            before.insert(organization_id, start);
        }
    }
    Ok(before)
}
