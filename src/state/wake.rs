//! Tells those who wait for work that there may be some.
//!
//! PostgreSQL says so itself (LISTEN). SQLite cannot, so one connection asks for the file's change counter fifty times
//! a second, which costs a look at shared memory. Either way waiters also look by themselves now and then: a
//! message lost on the way delays work and loses none.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Dialect, SCHEMA, StateError, Store, column};

/// How often the change counter of a SQLite file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long to wait before listening again to a server that went away.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

impl Store {
    /// Changes whenever there may be something to do.
    #[must_use]
    pub fn wakes(&self) -> watch::Receiver<u64> {
        self.wake.subscribe()
    }

    pub(super) fn wake_here(&self) {
        self.wake
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Listens for what others write, until cancelled. A database that goes away is listened to again.
    pub async fn listen(&self, stop: CancellationToken) {
        loop {
            let done = match self.dialect {
                Dialect::Postgres => stop.run_until_cancelled(self.listen_to_server()).await,
                Dialect::Sqlite => stop.run_until_cancelled(self.watch_file()).await,
            };
            match done {
                None => return,
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::debug!(%error, "cannot listen for new jobs"),
            }
            if stop
                .run_until_cancelled(tokio::time::sleep(RECONNECT_AFTER))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    async fn listen_to_server(&self) -> Result<(), StateError> {
        let fail = |error| self.failed(error);
        let mut listener = PgListener::connect(self.url.expose()).await.map_err(fail)?;
        listener.listen(SCHEMA).await.map_err(fail)?;
        loop {
            // What was written before we listened.
            self.wake_here();
            listener.try_recv().await.map_err(fail)?;
        }
    }

    async fn watch_file(&self) -> Result<(), StateError> {
        let fail = |error| self.failed(error);
        // The counter shows what *other* connections changed, so it has to be one and the same that asks.
        let mut connection = self.readers.acquire().await.map_err(fail)?;
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last = None;
        loop {
            ticks.tick().await;
            let row = sqlx::query("PRAGMA data_version")
                .fetch_one(&mut *connection)
                .await
                .map_err(fail)?;
            let version: i64 = column(&row, "data_version")?;
            if last.replace(version) != Some(version) {
                self.wake_here();
            }
        }
    }
}
