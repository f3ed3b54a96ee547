//! What `verify_trail` and `verify_piece` share: reading and hashing apart from the threads that keep leases alive.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::{Services, anchoring, follow};
use crate::{
    anchor,
    progress::Progress,
    qwed::{Database, ReadError, url::DatabaseUrl},
    runtime::job::{Context, JobError},
    state::Store,
    tombstones::Graveyard,
    trail::{finding::Verdict, keys::KeyRing},
    verify::{Options, VerifyError, report::Report},
};

/// How often a verification begins anew because entries were erased meanwhile.
const ATTEMPTS: u32 = 5;

/// What verification works with.
pub(super) struct Work {
    pub(super) database: Database,
    pub(super) ring: Arc<KeyRing>,
    pub(super) options: Options<'static>,
    pub(super) progress: Arc<Progress>,
    graveyard: Graveyard,
    handle: Handle,
    url: DatabaseUrl,
}

impl Work {
    /// Opens the database once more, as it is now.
    pub(super) fn reopen(&self) -> Result<Database, VerifyError> {
        Ok(self.graveyard.open(&self.handle, &self.url)?)
    }
}

/// Where tombstones are kept.
pub(super) fn graveyard(services: &Services, store: &Store) -> Result<Graveyard, JobError> {
    let anchors = &services.config.anchors;
    let keys = anchor::public_keys(&services.config.anchor_key_file(), &anchors.public_keys);
    Ok(Graveyard {
        store: store.clone(),
        origin: anchors.origin.clone(),
        keys: keys.map_err(anchoring::decide)?,
    })
}

/// Runs `work` on threads of its own, passes its progress on, and stops it when the job is to stop.
pub(super) async fn run<T: Send + 'static>(
    context: &Context<Services>,
    work: impl FnOnce(&Work) -> Result<T, VerifyError> + Send + 'static,
) -> Result<T, JobError> {
    let services = Arc::clone(&context.services);
    let progress = Arc::new(Progress::default());
    let inner = Arc::clone(&progress);
    let graveyard = graveyard(&services, &context.store)?;
    let handle = Handle::current();
    let thread = tokio::task::spawn_blocking(move || {
        let url = services.qwed.clone();
        let database = graveyard.open(&handle, &url)?;
        let work_with = Work {
            options: Options::configured(&services.config.verify, database.dialect()),
            database,
            ring: Arc::clone(&services.ring),
            progress: inner,
            graveyard,
            handle,
            url,
        };
        work(&work_with)
    });
    let entries = &context.services.metrics.entries;
    let result = follow(context, &progress, thread, |rows| entries.inc_by(rows)).await;
    result.map_err(JobError::retry)?.map_err(decide)
}

/// Runs `first`, and, if what it found may be an erasure that went on beside it, `again` until none did.
pub(super) async fn settled(
    context: &Context<Services>,
    first: impl FnOnce(&Work) -> Result<Report, VerifyError> + Send + 'static,
    again: impl Fn(&Work) -> Result<Report, VerifyError> + Clone + Send + 'static,
) -> Result<Report, JobError> {
    let mut report = run(context, first).await?;
    for _ in 1..ATTEMPTS {
        let newest = report.newest_tombstones;
        if report.verdict != Verdict::Tampered {
            return Ok(report);
        }
        let graveyard = graveyard(&context.services, &context.store)?;
        if !graveyard.has_newer(newest).await.map_err(JobError::retry)? {
            return Ok(report);
        }
        report = run(context, again.clone()).await?;
    }
    Err(JobError::retry(anyhow::anyhow!(
        "entries were erased all the time while the trail was verified"
    )))
}

/// Whether trying again may help.
fn decide(error: VerifyError) -> JobError {
    let is_permanent = match &error {
        VerifyError::NoOrganization { .. } | VerifyError::OtherPlan(_) => true,
        VerifyError::Read(ReadError::NotQwed { .. }) => true,
        VerifyError::State(error) => !error.is_transient(),
        VerifyError::Read(_) | VerifyError::Interrupted(_) | VerifyError::Threads { .. } => false,
    };
    if is_permanent {
        JobError::fail(error)
    } else {
        JobError::retry(error)
    }
}
