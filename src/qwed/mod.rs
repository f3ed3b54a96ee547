//! Floor 1: QWED's database, read and never written, but for one flag ([`api_keys`]).
//!
//! [`Database::open`] checks that the database is QWED's and can be read; each thread then takes a
//! [`Reader`] of its own. Readers hand out borrowed [`Row`]s, so that bulk reading copies nothing. All
//! readers of one [`Database`] see the same state: on PostgreSQL one exported snapshot, on SQLite what lies below
//! the highest id at the start, read in bounded pages, since an open cursor would lock a running QWED out.

pub mod api_keys;
pub mod caller;
mod copy;
pub mod erase;
mod erased;
mod live;
pub mod owned;
pub(crate) mod personal;
pub mod postgres;
pub mod questions;
pub mod schema;
pub mod sqlite;
pub mod subject;
pub mod survey;
pub mod tables;
pub mod url;

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::{
    erased::{Look as _, Overlay, Wanted, above, below},
    owned::OwnedRow,
    url::DatabaseUrl,
};
use crate::trail::{
    row::{Row, Value},
    tombstone::Tombstones,
};

/// Why QWED's database could not be read. One line each: what, where, what to do.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The SQLite file does not exist.
    #[error("there is no database file {}; check the path (relative ones start at the working directory)", .0.display())]
    NoFile(PathBuf),
    /// The SQLite file exists and cannot be read as a database.
    #[error("cannot read the SQLite database {}: {problem}", .path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The server could not be reached or refused.
    #[error("cannot read the PostgreSQL database {location}: {problem}")]
    Postgres {
        /// The URL without its password.
        location: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// It is a database, and not QWED's.
    #[error("{location} is not a QWED database: {problem}")]
    NotQwed {
        /// The URL without its password.
        location: String,
        /// What is missing or different.
        problem: String,
    },
}

/// Below this many entries an organisation is read in one piece.
pub(crate) const SMALL_ENTRIES: i64 = 100_000;

/// Ids from `low` to `high`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IdRange {
    /// Lowest id.
    pub low: i64,
    /// Highest id.
    pub high: i64,
}

impl IdRange {
    /// How many ids, rows or not, lie in the range.
    #[must_use]
    pub fn width(self) -> u64 {
        self.high.abs_diff(self.low).saturating_add(1)
    }

    /// Cuts the range in the middle; `None` where it holds one id.
    #[must_use]
    pub fn halves(self) -> Option<(Self, Self)> {
        if self.low >= self.high {
            return None;
        }
        let middle = self.low.midpoint(self.high);
        // midpoint of signed integers rounds towards zero, so it can be the upper of two.
        let middle = middle.min(self.high - 1);
        let low = Self {
            low: self.low,
            high: middle,
        };
        Some((
            low,
            Self {
                low: middle + 1,
                high: self.high,
            },
        ))
    }
}

/// The kind of server, as reports name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// A file.
    Sqlite,
    /// A server.
    Postgresql,
}

/// The times of a verification period, both ends included, in microseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Period {
    /// Start.
    pub from: Option<i64>,
    /// End.
    pub to: Option<i64>,
}

/// Where an organisation's entries of a period lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeriodRange {
    /// The organisation.
    pub organization_id: i64,
    /// From its first entry of the period to its last.
    pub range: IdRange,
}

/// Where a hash that was looked up occurs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// The entry.
    pub id: i64,
    /// Its organisation.
    pub organization_id: Option<i64>,
    /// The hash.
    pub hash: Vec<u8>,
    /// Whether it is the entry's own hash; otherwise it is what the entry names as its predecessor.
    pub is_own: bool,
}

/// An open database of QWED's.
#[derive(Debug)]
pub struct Database {
    source: Source<sqlite::Database, postgres::Database>,
    erased: Arc<Tombstones>,
}

/// Either kind.
#[derive(Debug)]
enum Source<S, P> {
    /// A file.
    Sqlite(S),
    /// A server.
    Postgres(Box<P>),
}

impl Database {
    /// Opens the database read-only and makes sure that it is QWED's.
    ///
    /// # Errors
    /// If it does not exist, cannot be reached or read, or is not QWED's.
    pub fn open(url: &DatabaseUrl) -> Result<Self, ReadError> {
        let source = match url {
            DatabaseUrl::Sqlite(path) => Source::Sqlite(sqlite::Database::open(path)?),
            DatabaseUrl::Postgres(url) => {
                Source::Postgres(Box::new(postgres::Database::open(url)?))
            }
        };
        Ok(Self {
            source,
            erased: Arc::default(),
        })
    }

    /// Has readers take erased entries for what these say they are. On PostgreSQL they have to be read after the database was
    /// opened: whatever was erased in what its readers see then has its tombstone among them.
    #[must_use]
    pub fn with_erased(self, erased: Arc<Tombstones>) -> Self {
        Self { erased, ..self }
    }

    /// The tombstones that readers go by.
    #[must_use]
    pub fn erased(&self) -> &Tombstones {
        &self.erased
    }

    /// How many readers may work side by side and still see the same state.
    #[must_use]
    pub fn max_readers(&self) -> usize {
        match &self.source {
            Source::Postgres(database) if !database.shares_snapshot() => 1,
            _ => usize::MAX,
        }
    }

    /// Which kind of server.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self.source {
            Source::Sqlite(_) => Dialect::Sqlite,
            Source::Postgres(_) => Dialect::Postgresql,
        }
    }

    /// A reader for one thread.
    ///
    /// # Errors
    /// If another connection cannot be had.
    pub fn reader(&self) -> Result<Reader, ReadError> {
        let source = match &self.source {
            Source::Sqlite(database) => Source::Sqlite(database.reader()?),
            Source::Postgres(database) => Source::Postgres(Box::new(database.reader()?)),
        };
        Ok(Reader {
            source,
            erased: Arc::clone(&self.erased),
        })
    }
}

/// Reads rows on one thread. Entries that were erased are handed out as their tombstones say; those that were deleted stand where
/// they stood.
#[derive(Debug)]
pub struct Reader {
    source: Source<sqlite::Reader, postgres::Reader>,
    erased: Arc<Tombstones>,
}

/// Calls the same method of whichever reader it is.
macro_rules! either {
    ($reader:expr, $inner:ident => $call:expr) => {
        match &mut $reader.source {
            Source::Sqlite($inner) => $call,
            Source::Postgres($inner) => $call,
        }
    };
}

impl Reader {
    /// The ids of all organisations in `organization`.
    ///
    /// # Errors
    /// If the database cannot be read; so all methods here.
    pub fn organizations(&mut self) -> Result<Vec<i64>, ReadError> {
        either!(self, reader => reader.integers("SELECT id FROM organization ORDER BY id"))
    }

    /// The lowest and highest id in the table, or of one organisation's entries, within `range`.
    ///
    /// # Errors
    /// As [`Self::organizations`].
    pub fn bounds(
        &mut self,
        organization: Option<i64>,
        range: IdRange,
    ) -> Result<Option<IdRange>, ReadError> {
        let condition = among(organization, range);
        // Two look-ups by key; min and max in one query would be a scan.
        let mut edge = |order: &str| {
            let sql = format!(
                "SELECT id FROM verificationlog WHERE {condition} ORDER BY id {order} LIMIT 1"
            );
            either!(self, reader => reader.integers(&sql)).map(|ids| ids.first().copied())
        };
        let found = match edge("ASC")? {
            Some(low) => edge("DESC")?.map(|high| IdRange { low, high }),
            None => None,
        };
        Ok(self.erased.bounds(organization, range, found))
    }

    /// Hands every row of `range`, or of one organisation in it, to `visit`, in id order.
    ///
    /// # Errors
    /// As [`Self::organizations`]; rows handed out before stay handed out.
    pub fn read(
        &mut self,
        organization: Option<i64>,
        range: IdRange,
        mut visit: impl FnMut(&Row<'_>),
    ) -> Result<(), ReadError> {
        if self.erased.is_empty() {
            return either!(self, reader => reader.read(organization, range, &mut visit));
        }
        let erased = Arc::clone(&self.erased);
        let mut overlay = Overlay::new(&erased, organization, range);
        either!(self, reader => reader.read(organization, range, &mut |row: &Row<'_>| overlay.row(row, &mut visit)))?;
        overlay.finish(&mut visit);
        Ok(())
    }

    /// The row with this id.
    ///
    /// # Errors
    /// As [`Self::organizations`].
    pub fn entry(&mut self, id: i64) -> Result<Option<OwnedRow>, ReadError> {
        self.one(&Wanted::first(IdRange { low: id, high: id }))
    }

    /// The organisation's row before `id`.
    ///
    /// # Errors
    /// As [`Self::organizations`].
    pub fn before(&mut self, organization_id: i64, id: i64) -> Result<Option<OwnedRow>, ReadError> {
        self.one(&Wanted::last(below(id)).of(organization_id))
    }

    /// The organisation's row behind `id`.
    ///
    /// # Errors
    /// As [`Self::organizations`].
    pub fn behind(&mut self, organization_id: i64, id: i64) -> Result<Option<OwnedRow>, ReadError> {
        self.one(&Wanted::first(above(id)).of(organization_id))
    }

    /// The table's row before `id`, whichever organisation's.
    ///
    /// # Errors
    /// As [`Self::organizations`].
    pub fn preceding(&mut self, id: i64) -> Result<Option<OwnedRow>, ReadError> {
        self.one(&Wanted::last(below(id)))
    }

    /// The table's row behind `id`, whichever organisation's, that has an entry hash.
    ///
    /// # Errors
    /// As [`Self::organizations`].
    pub fn following(&mut self, id: i64) -> Result<Option<OwnedRow>, ReadError> {
        self.one(&Wanted::first(above(id)).hashed())
    }

    /// The organisation's first row that has an entry hash.
    ///
    /// # Errors
    /// As [`Self::organizations`].
    pub fn first_hashed(&mut self, organization_id: i64) -> Result<Option<OwnedRow>, ReadError> {
        let anywhere = IdRange {
            low: i64::MIN,
            high: i64::MAX,
        };
        self.one(&Wanted::first(anywhere).of(organization_id).hashed())
    }

    /// The table's row before `id`, whichever organisation's, that has an entry hash.
    ///
    /// # Errors
    /// As [`Self::organizations`].
    pub fn hashed_before(&mut self, id: i64) -> Result<Option<OwnedRow>, ReadError> {
        self.one(&Wanted::last(below(id)).hashed())
    }

    /// Whether an organisation has so few entries that finding them by its index beats reading the table's
    /// key ranges past them. SQLite's index serves both at once, so the question is PostgreSQL's.
    ///
    /// # Errors
    /// As [`Self::organizations`].
    pub fn is_small(&mut self, organization: i64) -> Result<bool, ReadError> {
        let Source::Postgres(reader) = &mut self.source else {
            return Ok(false);
        };
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM verificationlog WHERE organization_id = {organization} \
             LIMIT {SMALL_ENTRIES}) AS entries"
        );
        Ok(reader
            .integers(&sql)?
            .first()
            .is_some_and(|&count| count < SMALL_ENTRIES))
    }

    /// Whether the organisation has a row with an entry hash before `id`.
    ///
    /// # Errors
    /// As [`Self::organizations`].
    pub fn is_chained_before(&mut self, organization_id: i64, id: i64) -> Result<bool, ReadError> {
        let wanted = Wanted::last(below(id)).of(organization_id).hashed();
        Ok(self.one(&wanted)?.is_some())
    }

    /// The first row or the last that is as wanted.
    fn one(&mut self, wanted: &Wanted) -> Result<Option<OwnedRow>, ReadError> {
        let erased = Arc::clone(&self.erased);
        let mut found = None;
        let rest = wanted.sql();
        either!(self, reader => reader.select(&rest, &mut |row: &Row<'_>| {
            found = Some(OwnedRow::from(&erased::seen(&erased, row)));
        }))?;
        Ok(wanted.nearer(found, &erased))
    }

    /// For each organisation with entries in `period` within `range`, where they lie.
    ///
    /// # Errors
    /// As [`Self::organizations`].
    pub fn period_ranges(
        &mut self,
        period: Period,
        range: IdRange,
    ) -> Result<Vec<PeriodRange>, ReadError> {
        either!(self, reader => reader.period_ranges(period, range))
    }

    /// One organisation's entries in `period` within `range`, as QWED's database compares times.
    fn within(&self, organization_id: i64, period: Period, range: IdRange) -> String {
        let bound = |micros: Option<i64>, operator: &str| match micros {
            Some(micros) => format!(" AND timestamp {operator} {}", self.time_literal(micros)),
            None => String::new(),
        };
        format!(
            "{}{}{}",
            among(Some(organization_id), range),
            bound(period.from, ">="),
            bound(period.to, "<=")
        )
    }

    /// Ids and times, in microseconds since 1970, of one organisation's rows in `period` within `range`, as they stand in the
    /// table: tombstones are not looked at.
    ///
    /// # Errors
    /// As [`Self::organizations`].
    pub fn times(
        &mut self,
        organization_id: i64,
        period: Period,
        range: IdRange,
    ) -> Result<Vec<(i64, i64)>, ReadError> {
        let condition = self.within(organization_id, period, range);
        let time = self.time_column("timestamp");
        if let Source::Postgres(reader) = &mut self.source {
            // Whole rows are a hundred times as large.
            return reader.pairs(&format!(
                "SELECT id::bigint, {time} FROM verificationlog WHERE {condition} AND isfinite(timestamp)"
            ));
        }
        let mut found = Vec::new();
        either!(self, reader => reader.read(Some(organization_id), range, &mut |row: &Row<'_>| {
            let is_within = |at: &i64| {
                period.from.is_none_or(|from| *at >= from) && period.to.is_none_or(|to| *at <= to)
            };
            if let Some(at) = row.timestamp.micros().filter(is_within) {
                found.push((row.id, at));
            }
        }))?;
        Ok(found)
    }

    /// Where one organisation's entries in `period` lie within `range`; none if there are none.
    ///
    /// # Errors
    /// As [`Self::organizations`].
    pub fn period_range_of(
        &mut self,
        organization_id: i64,
        period: Period,
        range: IdRange,
    ) -> Result<Option<IdRange>, ReadError> {
        let condition = self.within(organization_id, period, range);
        let mut edge = |order: &str| {
            let sql = format!(
                "SELECT id FROM verificationlog WHERE {condition} ORDER BY id {order} LIMIT 1"
            );
            either!(self, reader => reader.integers(&sql)).map(|ids| ids.first().copied())
        };
        Ok(match edge("ASC")? {
            Some(low) => edge("DESC")?.map(|high| IdRange { low, high }),
            None => None,
        })
    }

    /// Where these hashes occur within `range`, as an entry's own or as its predecessor's.
    ///
    /// # Errors
    /// As [`Self::organizations`].
    pub fn occurrences(
        &mut self,
        hashes: &HashSet,
        range: IdRange,
    ) -> Result<Vec<Occurrence>, ReadError> {
        let mut found = either!(self, reader => reader.occurrences(hashes, range))?;
        for gone in self.erased.occurrences(hashes, range) {
            if !found.contains(&gone) {
                found.push(gone);
            }
        }
        Ok(found)
    }

    /// Ids of entries within `range` that have a hash and name no predecessor, in order.
    ///
    /// # Errors
    /// As [`Self::organizations`].
    pub fn chain_starts(&mut self, range: IdRange) -> Result<Vec<i64>, ReadError> {
        let sql = format!(
            "SELECT id FROM verificationlog WHERE {} AND previous_hash IS NULL AND entry_hash <> '' ORDER BY id",
            among(None, range)
        );
        let mut starts = either!(self, reader => reader.integers(&sql))?;
        let gone = self.erased.gone(None, range);
        let begins =
            gone.filter(|row| row.previous_hash == Value::Null && !row.entry_hash.is_blank());
        starts.extend(begins.map(|row| row.id));
        starts.sort_unstable();
        starts.dedup();
        Ok(starts)
    }
}

/// Hashes to look up, as they stand in the text columns.
pub type HashSet = std::collections::HashSet<Vec<u8>>;

/// The condition that a row lies in `range` and belongs to `organization`.
fn among(organization: Option<i64>, range: IdRange) -> String {
    let IdRange { low, high } = range;
    let mut condition = match (low, high) {
        (i64::MIN, i64::MAX) => "id IS NOT NULL".to_owned(),
        // The lowest number of all is no literal that servers compare by an index.
        (i64::MIN, high) => format!("id <= {high}"),
        (low, i64::MAX) => format!("id >= {low}"),
        _ => format!("id BETWEEN {low} AND {high}"),
    };
    if let Some(id) = organization {
        condition += &format!(" AND organization_id = {id}");
    }
    condition
}
