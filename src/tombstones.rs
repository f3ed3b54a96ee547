//! Floor 2: the tombstones of erased entries, as the compliance ledger keeps them.
//!
//! Tombstones are entries of the ledger, some hundreds in one: signed, chained and archived with it. Whoever reads a trail
//! needs them beside it, and both change while QWED's entries are erased. The order of reading makes that safe:
//!
//! ```text
//! which erasures are completed ──▶ open QWED's database ──▶ tombstones ──▶ read the trail ──▶ newer tombstones? again
//! ```
//!
//! Content of an erasure that was completed before the database was opened must not be there; what was erased in what
//! PostgreSQL's snapshot shows has its tombstone by then, as it is kept before anything is erased. SQLite has no snapshot: an
//! entry that is erased after the tombstones were read looks changed, so what was found counts only if no newer ones came.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::runtime::Handle;

use crate::{
    checkpoint::note::VerifierKey,
    ledger::{self, Act},
    qwed::{Database, ReadError, url::DatabaseUrl},
    state::{StateError, Store, ledger::LedgerRow},
    trail::tombstone::{Tombstone, Tombstones},
};

/// Entries of the ledger that are read at a time.
const PAGE: u32 = 100;
/// Problems that are told one by one.
const TOLD: usize = 20;

/// What an entry of the ledger says of tombstones ([`Act::Tombstones`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Which erasure they belong to.
    pub request: String,
    /// Whose entries they stand for.
    pub organization_id: i64,
    /// A line each ([`Tombstone`]).
    pub tombstones: Vec<String>,
}

/// The part of an entry that ends an erasure which matters here ([`Act::ErasureCompleted`]).
#[derive(Debug, Deserialize)]
struct Completed {
    request: String,
}

/// Why a database cannot be read together with its tombstones.
#[derive(Debug, Error)]
pub enum OpenError {
    /// QWED's cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Ours cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Where tombstones are kept, and who signed them.
#[derive(Debug, Clone)]
pub struct Graveyard {
    /// Our database.
    pub store: Store,
    /// Whose ledger it is.
    pub origin: String,
    /// Keys that may have signed it.
    pub keys: Vec<VerifierKey>,
}

impl Graveyard {
    /// Opens QWED's database together with its tombstones. Blocks; not to be called on a thread of the runtime's.
    ///
    /// # Errors
    /// If either cannot be read.
    pub fn open(&self, handle: &Handle, url: &DatabaseUrl) -> Result<Database, OpenError> {
        let completed = handle.block_on(self.completed())?;
        let database = Database::open(url)?;
        let tombstones = handle.block_on(self.load(completed))?;
        Ok(database.with_erased(Arc::new(tombstones)))
    }

    /// Whether there are newer tombstones than number `newest` of the ledger.
    ///
    /// # Errors
    /// If our database fails.
    pub async fn has_newer(&self, newest: i64) -> Result<bool, StateError> {
        Ok(self.store.newest_of(Act::Tombstones.name()).await? > newest)
    }

    /// All tombstones there are, with those marked whose content must be gone by now.
    ///
    /// # Errors
    /// If our database fails.
    pub async fn all(&self) -> Result<Tombstones, StateError> {
        let completed = self.completed().await?;
        self.load(completed).await
    }

    /// The tombstones in an entry of the ledger; none if there are none in it, or it is not authentic.
    ///
    /// # Errors
    /// If our database fails.
    pub async fn batch(&self, number: i64) -> Result<Option<Batch>, StateError> {
        let detail = self.entry(Act::Tombstones, number).await?;
        Ok(detail.and_then(|detail| serde_json::from_value(detail).ok()))
    }

    /// What an entry of the ledger says came of this act; none if there is no such entry, or it is not authentic.
    ///
    /// # Errors
    /// If our database fails.
    pub async fn entry(
        &self,
        act: Act,
        number: i64,
    ) -> Result<Option<serde_json::Value>, StateError> {
        let before = number.saturating_sub(1);
        let rows = self.store.ledger_of_act(act.name(), before, 1).await?;
        let row = rows.first().filter(|row| row.number == number);
        let entry = row.and_then(|row| ledger::open(row, &self.origin, &self.keys).ok());
        Ok(entry.map(|entry| entry.detail))
    }

    /// Which erasures are completed. To be read before QWED's database is looked at.
    ///
    /// # Errors
    /// If our database fails.
    pub async fn completed(&self) -> Result<Ended, StateError> {
        let mut requests = HashSet::new();
        let problems = self.each(Act::ErasureCompleted, |_, detail| {
            let completed: Completed = serde_json::from_value(detail).ok()?;
            requests.insert(completed.request);
            Some(())
        });
        let problems = problems.await?;
        Ok(Ended { requests, problems })
    }

    /// The tombstones there are. To be read after QWED's database is looked at.
    ///
    /// # Errors
    /// If our database fails.
    pub async fn load(&self, completed: Ended) -> Result<Tombstones, StateError> {
        let mut list = Vec::new();
        let mut newest = 0;
        let mut problems = completed.problems;
        let broken = self
            .each(Act::Tombstones, |row, detail| {
                newest = row.number;
                let batch: Batch = serde_json::from_value(detail).ok()?;
                let is_completed = completed.requests.contains(&batch.request);
                for line in &batch.tombstones {
                    let mut tombstone = Tombstone::parse(line, batch.organization_id).ok()?;
                    if is_completed {
                        tombstone.complete();
                    }
                    list.push(tombstone);
                }
                Some(())
            })
            .await?;
        problems.extend(broken);
        let hidden = problems.len().saturating_sub(TOLD);
        problems.truncate(TOLD);
        if hidden > 0 {
            problems.push(format!(
                "{hidden} more entries of the ledger on erasures are not authentic"
            ));
        }
        Ok(Tombstones::new(list).kept(newest, problems))
    }

    /// Hands what entries of an act say to `take`, and answers what is wrong with those that are not authentic or that `take`
    /// makes nothing of.
    async fn each(
        &self,
        act: Act,
        mut take: impl FnMut(&LedgerRow, serde_json::Value) -> Option<()>,
    ) -> Result<Vec<String>, StateError> {
        let mut problems = Vec::new();
        let mut after = i64::MIN;
        loop {
            let rows = self.store.ledger_of_act(act.name(), after, PAGE).await?;
            let Some(last) = rows.last() else {
                return Ok(problems);
            };
            after = last.number;
            for row in &rows {
                let number = row.number;
                let problem = match ledger::open(row, &self.origin, &self.keys) {
                    Err(problem) => problem,
                    Ok(entry) => match take(row, entry.detail) {
                        Some(()) => continue,
                        None => "it is not of a form that this program knows".to_owned(),
                    },
                };
                problems.push(format!(
                    "entry {number} of the ledger ({}) counts for nothing: {problem}",
                    act.name()
                ));
            }
        }
    }
}

/// Erasures that were completed, and what is wrong with what says so.
#[derive(Debug, Clone, Default)]
pub struct Ended {
    requests: HashSet<String>,
    problems: Vec<String>,
}
