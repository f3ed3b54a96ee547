//! Cutting a trail into pieces of about equal size without reading it.
//!
//! How an organisation's entries lie among the ids is estimated from a sample: on SQLite every n-th entry of the index, on
//! PostgreSQL pages at random. Estimates decide about sizes only, never about what is checked.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Layout, Piece, Plan};
use crate::{
    progress::Progress,
    qwed::{Database, IdRange, Period, survey::Sample},
    trail::{
        check::{Checker, HashState},
        keys::KeyRing,
        payload::Shape,
    },
    verify::{Options, Scope, VerifyError, conclude::Asked, scan::Scanner},
};

/// Samples for each piece: parts differ by an eighth or so.
const SAMPLES_PER_PIECE: u64 = 64;
/// Where there is nothing to sample by, ids are cut evenly, into at most so many parts however sparse they are.
const MAX_EVEN_PIECES: u64 = 256;

/// How to cut a trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planning {
    /// About how many entries a piece has at most.
    pub piece_entries: u64,
    /// Cut by key range of the whole table even where organisations can be judged alone. Of no effect where only some
    /// organisations or a period are verified.
    pub by_key: bool,
}

impl Default for Planning {
    fn default() -> Self {
        Self {
            piece_entries: 250_000,
            by_key: false,
        }
    }
}

/// Cuts what `scope` says into pieces, and fixes up to where it is verified.
///
/// Normally each organisation that has entries becomes a piece, or several if it has more than
/// [`Planning::piece_entries`]. See [`Layout`] for when it is otherwise.
///
/// # Errors
/// If the database could not be read, or an organisation that was asked for does not exist.
pub fn plan(
    database: &Database,
    ring: &Arc<KeyRing>,
    scope: &Scope,
    planning: Planning,
    options: &Options,
    progress: &Progress,
) -> Result<Plan, VerifyError> {
    let scanner = Scanner::new(database, ring, *options, progress)?;
    let mut worker = scanner.worker()?;
    let asked = Asked::of(&mut worker, scope, options.anchored)?;
    let is_indexed = worker.reader.has_organization_index()?;
    scanner.give_back(worker);
    let mut plan = Plan {
        pieces: Vec::new(),
        entries_estimate: 0,
        scope: scope.clone(),
        layout: Layout::Uncut,
        heads: BTreeMap::new(),
        walks: BTreeMap::new(),
        max_findings: options.max_findings.max(1),
        keys: ring.keys().iter().map(|key| key.id().to_owned()).collect(),
        asked,
    };
    let Some(whole) = plan.asked.whole else {
        return Ok(plan);
    };
    let draft = Draft {
        scanner: &scanner,
        ring,
        whole,
        piece_entries: planning.piece_entries.max(1),
    };
    let has_period = scope.period != Period::default();
    let is_partial = has_period || !plan.asked.named().is_empty();
    if has_period {
        plan.walks = scanner.extents(scope.period, whole)?.into_iter().collect();
    }
    if is_indexed {
        draft.by_index(&mut plan, planning.by_key && !is_partial)?;
    } else if !is_partial {
        let extents = scanner.extents(Period::default(), whole)?;
        plan.heads = extents
            .iter()
            .map(|(&id, extent)| (id, extent.high))
            .collect();
        plan.layout = Layout::Table;
        draft.even(&mut plan);
    }
    plan.entries_estimate = match plan.layout {
        Layout::Uncut => draft.uncut_estimate(&plan),
        _ => plan.pieces.iter().map(|piece| piece.entries_estimate).sum(),
    };
    Ok(plan)
}

/// What is found out of one organisation.
#[derive(Debug, Clone, Copy)]
struct Found {
    organization_id: i64,
    head: i64,
    /// Whether a release before 5.3.0 wrote its first entry.
    is_old: bool,
}

struct Draft<'a> {
    scanner: &'a Scanner<'a>,
    ring: &'a Arc<KeyRing>,
    whole: IdRange,
    piece_entries: u64,
}

impl Draft<'_> {
    fn every(&self) -> u64 {
        (self.piece_entries / SAMPLES_PER_PIECE).max(1)
    }

    fn by_index(&self, plan: &mut Plan, by_key: bool) -> Result<(), VerifyError> {
        let has_period = plan.scope.period != Period::default();
        let mut organizations = plan.asked.named().to_vec();
        if organizations.is_empty() {
            organizations = self.all_organizations()?;
        }
        let mut found = self.look_at(plan, &organizations)?;
        let is_old = found.iter().any(|found| found.is_old);
        if is_old && has_period {
            return Ok(());
        }
        if is_old && !plan.asked.named().is_empty() {
            // The others are needed to judge those asked for.
            organizations = self.all_organizations()?;
            found = self.look_at(plan, &organizations)?;
        }
        plan.heads = found
            .iter()
            .map(|found| (found.organization_id, found.head))
            .collect();
        let mut samples = self.sample(&organizations)?;
        if is_old || by_key {
            plan.layout = Layout::Table;
            samples.sort_unstable_by_key(|sample| sample.id);
            let ids: Vec<i64> = samples.iter().map(|sample| sample.id).collect();
            plan.pieces = self.cut(plan, None, self.whole, &ids);
            return Ok(());
        }
        plan.layout = Layout::Organizations;
        let mut ids: HashMap<i64, Vec<i64>> = HashMap::new();
        for Sample {
            id,
            organization_id,
        } in samples
        {
            ids.entry(organization_id).or_default().push(id);
        }
        for Found {
            organization_id,
            head,
            ..
        } in found
        {
            let range = if has_period {
                match plan.walks.get(&organization_id) {
                    Some(&walk) => walk,
                    None => continue,
                }
            } else {
                IdRange {
                    high: head,
                    ..self.whole
                }
            };
            let mut ids = ids.remove(&organization_id).unwrap_or_default();
            ids.retain(|id| (range.low..=range.high).contains(id));
            let pieces = self.cut(plan, Some(organization_id), range, &ids);
            plan.pieces.extend(pieces);
        }
        Ok(())
    }

    fn all_organizations(&self) -> Result<Vec<i64>, VerifyError> {
        let mut worker = self.scanner.worker()?;
        let organizations = worker.reader.organizations_in_trail()?;
        self.scanner.give_back(worker);
        Ok(organizations)
    }

    /// Of each organisation that has entries, in the order given, its head and its first entry that has a hash.
    fn look_at(&self, plan: &Plan, organizations: &[i64]) -> Result<Vec<Found>, VerifyError> {
        let one = |&organization_id: &i64| {
            let mut worker = self.scanner.worker()?;
            let Some(head) = worker.reader.head(organization_id, self.whole)? else {
                self.scanner.give_back(worker);
                return Ok(Vec::new());
            };
            let range = match plan.walks.get(&organization_id) {
                Some(&walk) => walk,
                None => IdRange {
                    high: head,
                    ..self.whole
                },
            };
            let first = worker.reader.first_hashed_in(organization_id, range)?;
            let is_old = first.is_some_and(|first| {
                let mut checker = Checker::new(Arc::clone(self.ring));
                let check = checker.check(&first.row());
                matches!(check.hash, HashState::Valid(form) if form.shape == Shape::D)
            });
            self.scanner.give_back(worker);
            Ok(vec![Found {
                organization_id,
                head,
                is_old,
            }])
        };
        self.scanner
            .each(organizations, &one, &|mut left: Vec<Found>, right| {
                left.extend(right);
                left
            })
    }

    fn sample(&self, organizations: &[i64]) -> Result<Vec<Sample>, VerifyError> {
        let mut worker = self.scanner.worker()?;
        let samples = worker
            .reader
            .sample(organizations, self.whole, self.every())?;
        self.scanner.give_back(worker);
        Ok(samples)
    }

    /// Cuts `range`, of whose entries `ids` are a sample, into parts with about as many each.
    fn cut(
        &self,
        plan: &Plan,
        organization: Option<i64>,
        range: IdRange,
        ids: &[i64],
    ) -> Vec<Piece> {
        let every = self.every();
        // Up to `every` - 1 entries may stand behind the last of the sample.
        let entries = (ids.len() as u64)
            .saturating_mul(every)
            .saturating_add(every - 1);
        let parts = entries
            .div_ceil(self.piece_entries)
            .clamp(1, ids.len().max(1) as u64) as usize;
        let mut low = range.low;
        let mut pieces = Vec::with_capacity(parts);
        for part in 1..=parts {
            let (start, end) = ((part - 1) * ids.len() / parts, part * ids.len() / parts);
            let high = if part == parts {
                range.high
            } else {
                ids[end - 1]
            };
            let sampled = ((end - start) as u64).saturating_mul(every);
            pieces.push(Piece {
                organization,
                low,
                high,
                period: plan.scope.period,
                entries_estimate: sampled.max(every / 2).max(1),
                max_findings: plan.max_findings,
                anchor: self.scanner.anchored.map(|anchored| anchored.number),
                trees: self
                    .scanner
                    .anchored
                    .map_or(0, |anchored| anchored.trees.len()),
            });
            low = high.saturating_add(1);
        }
        pieces
    }

    /// Cuts the whole table by ids alone.
    fn even(&self, plan: &mut Plan) {
        let width = self.whole.width();
        let parts = width.div_ceil(self.piece_entries).min(MAX_EVEN_PIECES);
        let step = width.div_ceil(parts);
        let mut low = self.whole.low;
        loop {
            let high = low.saturating_add_unsigned(step - 1).min(self.whole.high);
            plan.pieces.push(Piece {
                organization: None,
                low,
                high,
                period: Period::default(),
                entries_estimate: step,
                max_findings: plan.max_findings,
                anchor: self.scanner.anchored.map(|anchored| anchored.number),
                trees: self
                    .scanner
                    .anchored
                    .map_or(0, |anchored| anchored.trees.len()),
            });
            if high == self.whole.high {
                break;
            }
            low = high + 1;
        }
    }

    /// As if each id within what is walked were an entry.
    fn uncut_estimate(&self, plan: &Plan) -> u64 {
        let low = plan.walks.values().map(|walk| walk.low).min();
        let high = plan.walks.values().map(|walk| walk.high).max();
        match (low, high) {
            (Some(low), Some(high)) => IdRange { low, high }.width(),
            _ if plan.scope.period == Period::default() => self.whole.width(),
            _ => 0,
        }
    }
}
