//! Floor 2: what QWED 8.0.0's compliance endpoints answer, computed from its database.
//!
//! A request looks at the present through a connection that is kept for it (`pool`), together with the tombstones of erased
//! entries, in the order that [`crate::tombstones`] explains. Nothing is written: QWED notes when an API key was last used, we
//! do not.

mod pool;
mod summary;
mod trail;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use thiserror::Error;
use tokio::runtime::Handle;

pub use self::{
    pool::Pool,
    summary::{Audited, Metrics, Organization, Span, Summary},
    trail::{Evidence, TrailAnswer, TrailStatus},
};
use crate::{
    config::Secret,
    ledger::Act,
    qwed::{
        Period, ReadError, Reader,
        caller::{Caller, Denied, KeyHash},
        url::DatabaseUrl,
    },
    state::StateError,
    tombstones::{Ended, Graveyard},
    trail::{check::Checker, keys::KeyRing, time::Time, tombstone::Tombstones},
    verify::{
        entry::{EntryReport, verify_row},
        walk::walk,
    },
};

/// How often an answer is made anew because entries were erased meanwhile.
const ATTEMPTS: u32 = 4;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum AnswerError {
    /// QWED's database cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Ours cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// All connections are in use.
    #[error("as many requests as may run at the same time are running")]
    Busy,
    /// The thread that worked on it is gone.
    #[error("the request was given up")]
    Stopped,
}

/// What answers are made with.
pub struct Sources {
    /// QWED's database.
    pub url: DatabaseUrl,
    /// Tombstones of erased entries.
    pub graveyard: Graveyard,
    /// The keys that may have signed the trail.
    pub ring: Arc<KeyRing>,
    /// By what QWED looks up API keys; where it is empty, nobody has one.
    pub lookup_secret: Secret,
    /// Connections for quick looks.
    pub readers: usize,
    /// Connections for walks over whole trails.
    pub walkers: usize,
}

/// Answers requests.
pub struct Answers {
    sources: Sources,
    quick: Pool,
    long: Pool,
    known: Mutex<Known>,
}

/// Tombstones as they were last read.
#[derive(Clone, Default)]
struct Known {
    /// The ledger's newest entry on a completed erasure then.
    completed: i64,
    ended: Ended,
    /// The ledger's newest entry with tombstones then.
    newest: i64,
    tombstones: Arc<Tombstones>,
}

/// For how long a request needs its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Quick,
    Long,
}

impl Answers {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(sources: Sources) -> Arc<Self> {
        let pool = |size| Pool::new(sources.url.clone(), size);
        Arc::new(Self {
            quick: pool(sources.readers),
            long: pool(sources.walkers),
            known: Mutex::default(),
            sources,
        })
    }

    /// Whom an API key belongs to.
    ///
    /// # Errors
    /// If QWED's database cannot be read.
    pub async fn caller(
        self: &Arc<Self>,
        key: &str,
        now: Timestamp,
    ) -> Result<Result<Caller, Denied>, AnswerError> {
        let secret = self.sources.lookup_secret.expose();
        if secret.is_empty() {
            return Ok(Err(Denied::Key));
        }
        let Some(hash) = KeyHash::of(secret, key) else {
            return Ok(Err(Denied::Key));
        };
        let now = now.as_microsecond();
        let look = move |reader: &mut Reader| Ok(reader.caller(&hash, now)?);
        self.quick.run(look).await
    }

    /// Verifies an entry of an organisation; none if it has no such entry.
    ///
    /// # Errors
    /// If a database cannot be read.
    pub async fn entry(
        self: &Arc<Self>,
        organization_id: i64,
        id: i64,
    ) -> Result<Option<EntryReport>, AnswerError> {
        let ring = Arc::clone(&self.sources.ring);
        let verify = move |reader: &mut Reader| {
            let stored = reader.entry(id)?.filter(|stored| {
                let row = stored.row();
                !row.is_gone() && row.organization_id.integer() == Some(organization_id)
            });
            let Some(stored) = stored else {
                return Ok(None);
            };
            let mut checker = Checker::new(Arc::clone(&ring));
            verify_row(reader, &mut checker, &stored).map(Some)
        };
        let is_sound = |report: &Option<EntryReport>| report.as_ref().is_none_or(|it| it.valid);
        self.look(Work::Quick, verify, is_sound).await
    }

    /// Verifies an organisation's trail over a period.
    ///
    /// # Errors
    /// If a database cannot be read, or as many trails as may be are being read.
    pub async fn trail(
        self: &Arc<Self>,
        organization_id: i64,
        period: Period,
    ) -> Result<TrailAnswer, AnswerError> {
        let ring = Arc::clone(&self.sources.ring);
        let (stop, _guard) = stop();
        let verify = move |reader: &mut Reader| {
            let walked = walk(reader, &ring, organization_id, period, || {
                stop.load(Relaxed)
            })?;
            Ok(walked.unwrap_or_default())
        };
        let walked = self
            .look(Work::Long, verify, |walk| walk.failed == 0)
            .await?;
        Ok(TrailAnswer::new(organization_id, period, walked))
    }

    /// What QWED calls a security activity summary; none where there is no such organisation.
    ///
    /// # Errors
    /// As [`Self::trail`].
    pub async fn summary(
        self: &Arc<Self>,
        organization_id: i64,
        end: Timestamp,
    ) -> Result<Option<Summary>, AnswerError> {
        let ring = Arc::clone(&self.sources.ring);
        let end = end.as_microsecond();
        let (stop, _guard) = stop();
        let summarise = move |reader: &mut Reader| {
            summary::summarise(reader, &ring, organization_id, end, || stop.load(Relaxed))
        };
        let is_sound = |summary: &Option<Summary>| {
            let audited = summary.as_ref().map(|summary| &summary.audit_trail);
            audited.is_none_or(|trail| trail.failed_entries == 0)
        };
        self.look(Work::Long, summarise, is_sound).await
    }

    /// Runs `work` on a reader of QWED's tables as they are, without tombstones, for as long as it takes.
    ///
    /// # Errors
    /// If the database cannot be read, or as many trails as may be are being read.
    pub async fn read_raw<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Fn(&mut Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, AnswerError> {
        let read = move |reader: &mut Reader| {
            reader.set_erased(Arc::default());
            reader.look()?;
            let done = work(reader);
            reader.rest()?;
            Ok(done?)
        };
        self.long.run(read).await
    }

    /// Looks at the trail together with its tombstones. On SQLite an entry that is erased meanwhile looks changed, so that what is
    /// not sound counts only if no tombstones came.
    async fn look<T: Send + 'static>(
        self: &Arc<Self>,
        work: Work,
        look: impl Fn(&mut Reader) -> Result<T, ReadError> + Send + 'static,
        is_sound: impl Fn(&T) -> bool + Send + 'static,
    ) -> Result<T, AnswerError> {
        let pool = match work {
            Work::Quick => &self.quick,
            Work::Long => &self.long,
        };
        let (this, handle) = (Arc::clone(self), Handle::current());
        let run = move |reader: &mut Reader| {
            let mut attempt = 1;
            loop {
                let newest = this.open(&handle, reader)?;
                let done = look(reader);
                reader.rest()?;
                let done = done?;
                let is_final = is_sound(&done)
                    || attempt == ATTEMPTS
                    || !handle.block_on(this.sources.graveyard.has_newer(newest))?;
                if is_final {
                    return Ok(done);
                }
                attempt += 1;
            }
        };
        pool.run(run).await
    }

    /// Has a reader see the present with its tombstones, and answers the number of the newest of them.
    fn open(&self, handle: &Handle, reader: &mut Reader) -> Result<i64, AnswerError> {
        let graveyard = &self.sources.graveyard;
        let store = &graveyard.store;
        let mut known = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let completed = handle.block_on(store.newest_of(Act::ErasureCompleted.name()))?;
        let mut is_new = completed != known.completed;
        if is_new {
            known.ended = handle.block_on(graveyard.completed())?;
            known.completed = completed;
        }
        reader.look()?;
        let newest = handle.block_on(store.newest_of(Act::Tombstones.name()))?;
        is_new |= newest != known.newest;
        if is_new {
            let tombstones = handle.block_on(graveyard.load(known.ended.clone()))?;
            known.newest = newest;
            known.tombstones = Arc::new(tombstones);
            *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known.clone();
        }
        reader.set_erased(known.tombstones);
        Ok(newest)
    }
}

/// Set once whoever waits has gone, so that nobody walks on for them.
struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn stop() -> (Arc<AtomicBool>, Guard) {
    let stop = Arc::new(AtomicBool::new(false));
    (Arc::clone(&stop), Guard(stop))
}

/// A time as Python's `isoformat()` has it, in UTC.
#[must_use]
pub fn isoformat(micros: i64) -> String {
    let mut iso = Vec::new();
    let _ = Time::Micros(micros).write_iso(&mut iso);
    String::from_utf8_lossy(&iso).into_owned() + "+00:00"
}
