//! Writes the ends of runs, many in one transaction.
//!
//! A run's end is one row update, but each transaction costs a flush of the disk. Whatever ended while the last
//! transaction was under way goes into the next. An end is written until it is written: while the database is
//! away nobody else can take the lease either, and if somebody did, the fence makes the late write harmless.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::state::{
    StateError, Store,
    jobs::{Ending, Finish, Finished},
};

/// Ends written in one transaction.
const BATCH: usize = 128;
/// Waits between tries grow up to this.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// An end that fails alone so often, while the database answers, is at fault itself.
const TRIES_ALONE: u32 = 5;

pub(super) struct Request {
    pub(super) finish: Finish,
    pub(super) answer: oneshot::Sender<Finished>,
}

/// Works until all senders are gone and all ends are written.
pub(super) async fn run(store: Store, mut requests: mpsc::Receiver<Request>) {
    let mut batch = Vec::new();
    while requests.recv_many(&mut batch, BATCH).await > 0 {
        let finishes: Vec<Finish> = batch.iter().map(|request| request.finish.clone()).collect();
        let written = match store.finish(&finishes).await {
            Ok(written) => written,
            Err(error) => {
                tracing::warn!(%error, runs = finishes.len(), "cannot write how runs ended; trying them one by one");
                let mut written = Vec::with_capacity(finishes.len());
                for finish in finishes {
                    written.push(one(&store, finish).await);
                }
                written
            }
        };
        for (request, written) in batch.drain(..).zip(written) {
            // Nobody waits for the answer after a shutdown that ran out of time.
            let _ = request.answer.send(written);
        }
    }
}

async fn one(store: &Store, mut finish: Finish) -> Finished {
    let mut pause = Duration::from_millis(50);
    let mut failures = 0;
    loop {
        match store.finish(std::slice::from_ref(&finish)).await {
            Ok(written) => return written[0],
            Err(error) => {
                tracing::warn!(job = finish.id, %error, "cannot write how the run ended; trying again");
                let was_tried = failures >= TRIES_ALONE;
                failures += match error {
                    // What the run was to leave contradicts what is there, and others wait.
                    StateError::Refused(_) => TRIES_ALONE,
                    _ => u32::from(store.ping().await.is_ok()),
                };
                if failures >= TRIES_ALONE && !was_tried {
                    finish.ending = Ending::Failed {
                        error: format!("how the run ended could not be written: {error}"),
                        delay_micros: 0,
                    };
                    continue;
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}
