//! Reads key ranges side by side and folds each where it is read.
//!
//! The id range is halved until pieces are small, with the ends drawn in to where rows are, so that sparse ids
//! cost nothing and work is spread however they lie; rayon's pool steals halves. Handing rows from reader
//! threads to checking threads was measured to cost more than it gains: a piece is read and checked in one place,
//! and only segments are handed on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::{Options, Scope, VerifyError, progress::Progress, report::Coverage};
use crate::{
    qwed::{Database, IdRange, Period, ReadError, Reader},
    trail::{
        check::Checker,
        keys::KeyRing,
        row::Row,
        segment::{Folder, Segment},
        time::{self, Time},
    },
};

/// What one thread works with.
pub(super) struct Worker {
    pub(super) reader: Reader,
    pub(super) checker: Checker,
}

/// Which rows count.
#[derive(Default)]
pub(super) struct Filter {
    /// By organisation, the walk's range; `None` where everything counts.
    pub(super) ranges: Option<HashMap<i64, IdRange>>,
    period: Period,
    /// The period's ends as SQLite compares them.
    from: Option<String>,
    to: Option<String>,
}

impl Filter {
    /// Whether the row is walked, and if so, whether it counts.
    #[inline]
    pub(super) fn counts(&self, row: &Row<'_>) -> Option<bool> {
        let Some(ranges) = &self.ranges else {
            return Some(true);
        };
        let range = ranges.get(&row.organization_id.integer()?)?;
        if !(range.low..=range.high).contains(&row.id) {
            return None;
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
    range_ids: u64,
    pool: rayon::ThreadPool,
    idle: Mutex<Vec<Worker>>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(
        database: &'a Database,
        ring: &'a Arc<KeyRing>,
        options: Options,
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
            }),
        }
    }

    pub(super) fn give_back(&self, worker: Worker) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(worker);
    }

    /// What counts of `scope`, which takes a look at the times of all entries if it has a period.
    pub(super) fn filter(&self, scope: &Scope, whole: IdRange) -> Result<Filter, VerifyError> {
        let period = scope.period;
        if period == Period::default() {
            return Ok(Filter::default());
        }
        let found = self.pool.install(|| {
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
        })?;
        Ok(Filter {
            ranges: Some(found),
            period,
            from: period.from.map(time::stored_text),
            to: period.to.map(time::stored_text),
        })
    }

    /// The whole table.
    pub(super) fn table(
        &self,
        folder: &Folder,
        filter: &Filter,
        whole: IdRange,
    ) -> Result<Segment, VerifyError> {
        let range = match &filter.ranges {
            None => whole,
            Some(ranges) => {
                let low = ranges.values().map(|range| range.low).min();
                let high = ranges.values().map(|range| range.high).max();
                match (low, high) {
                    (Some(low), Some(high)) => IdRange { low, high },
                    _ => return Ok(Segment::default()),
                }
            }
        };
        self.progress.expect_ids(range.width());
        self.pool.install(|| {
            self.fold(
                range,
                &|worker: &mut Worker, range| self.piece(worker, folder, filter, None, range),
                &|left, right| folder.join(left, right),
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
    ) -> Result<Segment, VerifyError> {
        let one = |&organization: &i64| {
            let range = match &filter.ranges {
                None => whole,
                Some(ranges) => match ranges.get(&organization) {
                    Some(&range) => range,
                    None => return Ok(Segment::default()),
                },
            };
            self.progress.expect_ids(range.width());
            let mut worker = self.worker()?;
            let small = worker.reader.is_small(organization)?;
            let segment = if small {
                self.piece(&mut worker, folder, filter, Some(organization), range)?
            } else {
                self.fold(
                    range,
                    &|worker: &mut Worker, range| {
                        self.piece(worker, folder, filter, Some(organization), range)
                    },
                    &|left, right| folder.join(left, right),
                )?
            };
            self.give_back(worker);
            Ok(segment)
        };
        self.pool.install(|| {
            wanted
                .par_iter()
                .map(one)
                // Trails of different organisations meet in no place; the order is theirs all the same.
                .try_reduce(Segment::default, |left, right| Ok(folder.join(left, right)))
        })
    }

    /// Works on `range` in pieces, side by side, and joins the results in order.
    pub(super) fn fold<T: Send + Default>(
        &self,
        range: IdRange,
        piece: &(impl Fn(&mut Worker, IdRange) -> Result<T, VerifyError> + Sync),
        join: &(impl Fn(T, T) -> T + Sync),
    ) -> Result<T, VerifyError> {
        if self.progress.is_stopped() {
            return Err(VerifyError::Interrupted(Coverage {
                entries: self.progress.rows(),
                fraction: self.progress.fraction(),
            }));
        }
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
    ) -> Result<Segment, VerifyError> {
        let mut segment = Segment::default();
        let Worker { reader, checker } = worker;
        reader.read(organization, range, |row| match filter.counts(row) {
            Some(counted) => {
                let check = checker.check(row);
                folder.push(&mut segment, row, &check, counted);
            }
            None => folder.pass(&mut segment, row),
        })?;
        self.progress.add(segment.rows, range.width());
        Ok(segment)
    }
}
