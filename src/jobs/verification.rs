//! What `verify_trail` and `verify_piece` share: reading and hashing apart from the threads that keep leases alive.

use std::sync::Arc;

use super::{Services, follow};
use crate::{
    progress::Progress,
    qwed::{Database, ReadError, url::DatabaseUrl},
    runtime::job::{Context, JobError},
    trail::keys::KeyRing,
    verify::{Options, VerifyError},
};

/// What verification works with.
pub(super) struct Work {
    pub(super) database: Database,
    pub(super) ring: Arc<KeyRing>,
    pub(super) options: Options<'static>,
    pub(super) progress: Arc<Progress>,
}

/// Runs `work` on threads of its own, passes its progress on, and stops it when the job is to stop.
pub(super) async fn run<T: Send + 'static>(
    context: &Context<Services>,
    work: impl FnOnce(&Work) -> Result<T, VerifyError> + Send + 'static,
) -> Result<T, JobError> {
    let services = Arc::clone(&context.services);
    let progress = Arc::new(Progress::default());
    let inner = Arc::clone(&progress);
    let thread = tokio::task::spawn_blocking(move || {
        let url: &DatabaseUrl = &services.qwed;
        let database = Database::open(url)?;
        let work_with = Work {
            options: Options::configured(&services.config.verify, database.dialect()),
            database,
            ring: Arc::clone(&services.ring),
            progress: inner,
        };
        work(&work_with)
    });
    let entries = &context.services.metrics.entries;
    let result = follow(context, &progress, thread, |rows| entries.inc_by(rows)).await;
    result.map_err(JobError::retry)?.map_err(decide)
}

/// Whether trying again may help.
fn decide(error: VerifyError) -> JobError {
    let is_permanent = match &error {
        VerifyError::NoOrganization { .. } | VerifyError::OtherPlan(_) => true,
        VerifyError::Read(ReadError::NotQwed { .. }) => true,
        VerifyError::Read(_) | VerifyError::Interrupted(_) | VerifyError::Threads { .. } => false,
    };
    if is_permanent {
        JobError::fail(error)
    } else {
        JobError::retry(error)
    }
}
