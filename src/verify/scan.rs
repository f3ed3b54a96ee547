//! Reads key ranges side by side and folds each where it is read.
//!
//! The id range is halved until pieces are small, with the ends drawn in to where rows are, so that sparse ids
//! cost nothing and work is spread however they lie; rayon's pool steals halves. Handing rows from reader
//! threads to checking threads was measured to cost more than it gains: a piece is read and checked in one place,
//! and only segments are handed on.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::{
    Options, VerifyError,
    part::{Joiner, Part},
    report::Coverage,
};
use crate::{
    checkpoint::anchored::{Anchored, KeptLeaf},
    progress::Progress,
    qwed::{Database, Dialect, IdRange, Period, ReadError, Reader},
    trail::{
        check::Checker,
        keys::KeyRing,
        payload::PayloadHasher,
        row::Row,
        segment::Folder,
        time::{self, Time},
        tombstone::Tombstones,
    },
};

/// What one thread works with.
pub(super) struct Worker {
    pub(super) reader: Reader,
    pub(super) checker: Checker,
    pub(super) hasher: PayloadHasher,
}

/// Which rows count.
#[derive(Default)]
pub(super) struct Filter {
    /// By organisation, the walk's range; `None` where everything counts.
    pub(super) ranges: Option<HashMap<i64, IdRange>>,
    /// By organisation, the highest id that is looked at, and no other organisations; `None` where all are.
    heads: Option<BTreeMap<i64, i64>>,
    period: Period,
    /// The period's ends as SQLite compares them.
    from: Option<String>,
    to: Option<String>,
}

impl Filter {
    /// What lies in `period`, given each organisation's walk.
    pub(super) fn of_period(period: Period, walks: HashMap<i64, IdRange>) -> Self {
        Self {
            ranges: Some(walks),
            heads: None,
            period,
            from: period.from.map(time::stored_text),
            to: period.to.map(time::stored_text),
        }
    }

    /// Everything but the entries behind these.
    pub(super) fn up_to(heads: BTreeMap<i64, i64>) -> Self {
        Self {
            heads: Some(heads),
            ..Self::default()
        }
    }

    /// Whether the row is walked, and if so, whether it counts.
    #[inline]
    pub(super) fn counts(&self, row: &Row<'_>) -> Option<bool> {
        if let (Some(heads), Some(id)) = (&self.heads, row.organization_id.integer())
            && heads.get(&id).is_none_or(|&head| row.id > head)
        {
            return None;
        }
        let Some(ranges) = &self.ranges else {
            return Some(true);
        };
        let range = ranges.get(&row.organization_id.integer()?)?;
        if !(range.low..=range.high).contains(&row.id) {
            return None;
        }
        if self.period == Period::default() {
            return Some(true);
        }
        Some(match row.timestamp {
            Time::Text(text) => {
                self.from
                    .as_ref()
                    .is_none_or(|from| text >= from.as_bytes())
                    && self.to.as_ref().is_none_or(|to| text <= to.as_bytes())
            }
            Time::Micros(micros) => {
                self.period.from.is_none_or(|from| micros >= from)
                    && self.period.to.is_none_or(|to| micros <= to)
            }
            Time::Invalid => false,
        })
    }
}

/// A pool of threads, each with a reader of its own.
pub(super) struct Scanner<'a> {
    database: &'a Database,
    ring: &'a Arc<KeyRing>,
    progress: &'a Progress,
    pub(super) anchored: Option<&'a Anchored>,
    range_ids: u64,
    pool: rayon::ThreadPool,
    idle: Mutex<Vec<Worker>>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(
        database: &'a Database,
        ring: &'a Arc<KeyRing>,
        options: Options<'a>,
        progress: &'a Progress,
    ) -> Result<Self, VerifyError> {
        let threads = options.threads.clamp(1, database.max_readers());
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("verify-{index}"))
            .build()
            .map_err(|error| VerifyError::Threads {
                threads,
                problem: error.to_string(),
            })?;
        let range_ids = options.range_ids.max(1);
        Ok(Self {
            database,
            ring,
            progress,
            anchored: options.anchored,
            range_ids,
            pool,
            idle: Mutex::default(),
        })
    }

    /// An idle worker, or a new one. At most as many exist as threads and callers.
    pub(super) fn worker(&self) -> Result<Worker, ReadError> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        match idle {
            Some(worker) => Ok(worker),
            None => Ok(Worker {
                reader: self.database.reader()?,
                checker: Checker::new(Arc::clone(self.ring)),
                hasher: PayloadHasher::default(),
            }),
        }
    }

    pub(super) fn give_back(&self, worker: Worker) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(worker);
    }

    /// Joins what was read by `folder`.
    pub(super) fn joiner(&self, folder: &Folder) -> Joiner<'a> {
        Joiner {
            folder: *folder,
            anchored: self.anchored,
        }
    }

    pub(super) fn erased(&self) -> &Tombstones {
        self.database.erased()
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.database.dialect()
    }

    /// What counts of a period, which takes a look at the times of all entries unless it has no ends.
    pub(super) fn filter(&self, period: Period, whole: IdRange) -> Result<Filter, VerifyError> {
        if period == Period::default() {
            return Ok(Filter::default());
        }
        Ok(Filter::of_period(period, self.extents(period, whole)?))
    }

    /// Where each organisation's first and last entry of a period stand.
    pub(super) fn extents(
        &self,
        period: Period,
        whole: IdRange,
    ) -> Result<HashMap<i64, IdRange>, VerifyError> {
        self.pool.install(|| {
            self.fold(
                whole,
                &|worker: &mut Worker, range| {
                    let ranges = worker.reader.period_ranges(period, range)?;
                    Ok(ranges
                        .into_iter()
                        .map(|found| (found.organization_id, found.range))
                        .collect())
                },
                &|mut left: HashMap<i64, IdRange>, right| {
                    for (organization_id, range) in right {
                        let low = left
                            .get(&organization_id)
                            .map_or(range.low, |left| left.low);
                        left.insert(
                            organization_id,
                            IdRange {
                                low,
                                high: range.high,
                            },
                        );
                    }
                    left
                },
            )
        })
    }

    /// The whole table.
    pub(super) fn table(
        &self,
        folder: &Folder,
        filter: &Filter,
        whole: IdRange,
    ) -> Result<Part, VerifyError> {
        let range = match &filter.ranges {
            None => whole,
            Some(ranges) => {
                let low = ranges.values().map(|range| range.low).min();
                let high = ranges.values().map(|range| range.high).max();
                match (low, high) {
                    (Some(low), Some(high)) => IdRange { low, high },
                    _ => return Ok(Part::default()),
                }
            }
        };
        self.range(folder, filter, range)
    }

    /// A key range of the table, whichever organisations' rows are in it.
    pub(super) fn range(
        &self,
        folder: &Folder,
        filter: &Filter,
        range: IdRange,
    ) -> Result<Part, VerifyError> {
        self.progress.expect_ids(range.width());
        self.pool.install(|| {
            self.fold(
                range,
                &|worker: &mut Worker, range| self.piece(worker, folder, filter, None, range),
                &|left, right| self.joiner(folder).join(left, right),
            )
        })
    }

    /// Some organisations' trails, each by its own keys.
    pub(super) fn organizations(
        &self,
        folder: &Folder,
        filter: &Filter,
        wanted: &[i64],
        whole: IdRange,
    ) -> Result<Part, VerifyError> {
        let one = |&organization: &i64| {
            let range = match &filter.ranges {
                None => whole,
                Some(ranges) => match ranges.get(&organization) {
                    Some(&range) => range,
                    None => return Ok(Part::default()),
                },
            };
            self.organization(folder, filter, organization, range, None)
        };
        self.each(wanted, &one, &|left, right| {
            self.joiner(folder).join(left, right)
        })
    }

    /// One organisation's trail, or a part of it; `is_small` says, where it is known, that few entries lie in `range`.
    pub(super) fn organization(
        &self,
        folder: &Folder,
        filter: &Filter,
        organization: i64,
        range: IdRange,
        is_small: Option<bool>,
    ) -> Result<Part, VerifyError> {
        self.progress.expect_ids(range.width());
        let mut worker = self.worker()?;
        let is_small = match is_small {
            Some(is_small) => is_small,
            None => worker.reader.is_small(organization)?,
        };
        if is_small {
            let segment = self.piece(&mut worker, folder, filter, Some(organization), range)?;
            self.give_back(worker);
            return Ok(segment);
        }
        self.give_back(worker);
        self.pool.install(|| {
            self.fold(
                range,
                &|worker: &mut Worker, range| {
                    self.piece(worker, folder, filter, Some(organization), range)
                },
                &|left, right| self.joiner(folder).join(left, right),
            )
        })
    }

    /// An error once it is to stop.
    pub(super) fn go_on(&self) -> Result<(), VerifyError> {
        if self.progress.is_stopped() {
            return Err(VerifyError::Interrupted(Coverage {
                entries: self.progress.rows(),
                fraction: self.progress.fraction(),
            }));
        }
        Ok(())
    }

    /// Works on `items` side by side, and joins the results in their order.
    pub(super) fn each<I: Sync, T: Send + Default>(
        &self,
        items: &[I],
        one: &(impl Fn(&I) -> Result<T, VerifyError> + Sync),
        join: &(impl Fn(T, T) -> T + Sync),
    ) -> Result<T, VerifyError> {
        self.pool.install(|| {
            items
                .par_iter()
                .map(one)
                .try_reduce(T::default, |left, right| Ok(join(left, right)))
        })
    }

    /// Works on `range` in pieces, side by side, and joins the results in order.
    pub(super) fn fold<T: Send + Default>(
        &self,
        range: IdRange,
        piece: &(impl Fn(&mut Worker, IdRange) -> Result<T, VerifyError> + Sync),
        join: &(impl Fn(T, T) -> T + Sync),
    ) -> Result<T, VerifyError> {
        self.go_on()?;
        let halves = if range.width() > self.range_ids {
            let mut worker = self.worker()?;
            let inner = worker.reader.bounds(None, range)?;
            self.give_back(worker);
            let Some(inner) = inner else {
                self.progress.add(0, range.width());
                return Ok(T::default());
            };
            self.progress.add(0, range.width() - inner.width());
            if inner.width() > self.range_ids {
                inner.halves().ok_or(inner)
            } else {
                Err(inner)
            }
        } else {
            Err(range)
        };
        match halves {
            Ok((low, high)) => {
                let (low, high) = rayon::join(
                    || self.fold(low, piece, join),
                    || self.fold(high, piece, join),
                );
                Ok(join(low?, high?))
            }
            Err(range) => {
                let mut worker = self.worker()?;
                let result = piece(&mut worker, range)?;
                self.give_back(worker);
                Ok(result)
            }
        }
    }

    fn piece(
        &self,
        worker: &mut Worker,
        folder: &Folder,
        filter: &Filter,
        organization: Option<i64>,
        range: IdRange,
    ) -> Result<Part, VerifyError> {
        let mut part = Part::default();
        let Worker {
            reader,
            checker,
            hasher,
        } = worker;
        // A period leaves entries out; a tree has all.
        let anchored = self.anchored.filter(|_| filter.ranges.is_none());
        reader.read(organization, range, |row| match filter.counts(row) {
            Some(counted) => {
                let check = checker.check(row);
                folder.push(&mut part.segment, row, &check, counted);
                if let Some(anchored) = anchored
                    && let Some(id) = row.organization_id.integer()
                    && let Some(tree) = anchored.tree(id)
                {
                    let stretch = part.stretches.entry(id).or_default();
                    stretch.push(tree, row.id, || KeptLeaf::of_row(row, hasher).hash);
                }
            }
            None => folder.pass(&mut part.segment, row),
        })?;
        self.progress.add(part.segment.rows, range.width());
        Ok(part)
    }
}
