//! Waits for a job's end. Stopping to wait does not stop the job.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::job;
use crate::state::{
    StateError, Store,
    jobs::{JobView, State},
};

/// How often the job is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A database that fails so often in a row is given up: after a minute at least.
const MAX_FAILURES: u32 = 240;

/// How a wait ended.
pub(super) enum Waited {
    /// The job has ended.
    Ended(Box<JobView>),
    /// Somebody deleted it.
    Gone,
    /// Ctrl-C or SIGTERM.
    Interrupted,
}

/// The signals that end a wait. Once this exists they no longer end the process.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn catch() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Waits, with a bar where standard error is a terminal.
pub(super) async fn wait(
    store: &Store,
    id: &str,
    signals: &mut Signals,
) -> Result<Waited, StateError> {
    // Draws nothing where there is no terminal.
    let bar = ProgressBar::no_length();
    let waited = tokio::select! {
        waited = look(store, id, &bar) => waited,
        () = signals.any() => Ok(Waited::Interrupted),
    };
    bar.finish_and_clear();
    waited
}

async fn look(store: &Store, id: &str, bar: &ProgressBar) -> Result<Waited, StateError> {
    let mut failures = 0;
    loop {
        match store.job(id).await {
            Ok(Some(job)) if job.state.is_final() => return Ok(Waited::Ended(Box::new(job))),
            Ok(Some(job)) => {
                failures = 0;
                draw(bar, &job);
            }
            Ok(None) => return Ok(Waited::Gone),
            // The job goes on without us while its database restarts.
            Err(error) if error.is_transient() && failures < MAX_FAILURES => failures += 1,
            Err(error) => return Err(error),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn draw(bar: &ProgressBar, job: &JobView) {
    let template = match (job.progress_done, job.progress_total) {
        (Some(done), Some(total)) if total > 0 => {
            bar.set_length(total.unsigned_abs());
            bar.set_position(done.unsigned_abs());
            "{wide_bar} {msg}"
        }
        _ => "{spinner} {msg}",
    };
    // The templates are constants; a wrong one shows in the first run.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    let state = match job.state {
        State::Retrying => format!("retrying after attempt {}", job.attempt),
        state => state.to_string(),
    };
    bar.set_message(match job.progress_done {
        Some(_) => format!("{state} {}", job::progress(job)),
        None => state,
    });
    bar.tick();
}
