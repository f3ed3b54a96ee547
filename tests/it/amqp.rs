//! The bridge to RabbitMQ, run in this process against a real broker, with stores in memory behind it.

mod description;
mod faults;
mod memory;
mod messages;
mod tls;
mod topology;

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use trailkeeper::runtime::amqp::{LOG_DIRECTIVE, Settings, status::Status, supervisor};

use memory::Memory;

/// Recovery takes moments; machines that test are slow.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running bridge.
struct Bridge {
    memory: Arc<Memory>,
    status: Arc<Status>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Settings with short waits.
fn settings(url: &str) -> Settings {
    let mut settings = Settings::new(url).expect("a usable URL");
    settings.first_backoff = Duration::from_millis(100);
    settings.longest_backoff = Duration::from_secs(1);
    settings.answer_timeout = Duration::from_secs(5);
    settings
}

impl Bridge {
    /// Starts it and waits until both directions work.
    async fn start(settings: Settings) -> Self {
        let bridge = Self::launch(settings, Arc::default());
        bridge.works().await;
        bridge
    }

    fn launch(settings: Settings, memory: Arc<Memory>) -> Self {
        // Shown when a test fails. Set once for the process; later calls find it done.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(format!("debug,{LOG_DIRECTIVE}"))
            .with_ansi(false)
            .with_test_writer()
            .try_init();
        let status = Arc::new(Status::default());
        let stop = CancellationToken::new();
        let task = tokio::spawn({
            let (memory, status, stop) = (Arc::clone(&memory), Arc::clone(&status), stop.clone());
            async move { supervisor::run(&settings, &*memory, &*memory, &status, &stop).await }
        });
        Self {
            memory,
            status,
            stop,
            task,
        }
    }

    async fn works(&self) {
        until("the bridge works", async || {
            self.status.consuming() && self.status.publishing()
        })
        .await;
    }

    /// Stops it in order, within its own time limits.
    async fn stop(self) -> Arc<Memory> {
        self.stop.cancel();
        let stopped = tokio::time::timeout(Duration::from_secs(30), self.task).await;
        stopped.expect("it stops in time").expect("no panic");
        self.memory
    }
}

/// Waits until something is so.
#[track_caller]
fn until(what: &str, is_so: impl AsyncFn() -> bool) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + PATIENCE;
        while !is_so().await {
            assert!(
                Instant::now() < deadline,
                "not in time: {what} (at {place})"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
