//! `trailkeeper run`.

use std::future::Future;
use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Exit, Failure};
use crate::{
    config::{Environment, Loaded},
    service::Service,
    telemetry,
};

const SIGNALS: &str = "\
SIGTERM or Ctrl-C drains: nothing new is begun, running jobs get jobs.drain_seconds to end, and what has not \
ended by then goes back to the queue. A second signal ends the worker at once; its jobs are taken over by others \
when their leases run out.

Exit codes: 0 after a clean stop, 2 wrong configuration, 3 cannot start, 130 ended by a second signal.";

/// What `run` takes.
#[derive(Debug, Args)]
#[command(after_help = SIGNALS)]
pub(super) struct Arguments {
    /// Configuration file
    #[arg(long, value_name = "FILE", env = "TRAILKEEPER_CONFIG")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let environment = Environment::of_process();
    let loaded = Loaded::load(arguments.config.as_deref(), &environment).map_err(Failure::usage)?;
    let (sha256, config) = (loaded.sha256(), loaded.config);
    let _telemetry = telemetry::init(&config.log, &environment).map_err(Failure::usage)?;
    until_signals(async |stop| {
        let prepared = Service::prepare(config, sha256.clone(), &environment, &stop).await;
        match prepared.map_err(Failure::could_not_check)? {
            None => Ok(Exit::Intact),
            Some(service) => {
                let address = service.address().map_err(Failure::could_not_check)?;
                tracing::info!(%address, "metrics and health");
                if let Some(address) = service
                    .interface_address()
                    .map_err(Failure::could_not_check)?
                {
                    tracing::info!(%address, "HTTP interface");
                }
                service.note_config(&sha256).await;
                service.run(stop).await.map_err(Failure::could_not_check)?;
                Ok(Exit::Intact)
            }
        }
    })
}

/// Runs `work` with a token that the first signal cancels; a second one ends it where it is.
pub(super) fn until_signals<W>(work: impl FnOnce(CancellationToken) -> W) -> Result<Exit, Failure>
where
    W: Future<Output = Result<Exit, Failure>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::could_not_check)?;
    let ended = runtime.block_on(async {
        let stop = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::could_not_check)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::could_not_check)?;
        let twice = {
            let stop = stop.clone();
            async move {
                for _ in 0..2 {
                    tokio::select! {
                        _ = terminate.recv() => {}
                        _ = interrupt.recv() => {}
                    }
                    if stop.is_cancelled() {
                        return;
                    }
                    stop.cancel();
                }
            }
        };
        tokio::select! {
            ended = work(stop) => ended,
            () = twice => Ok(Exit::Interrupted),
        }
    });
    // Threads that read or hash are not waited for.
    runtime.shutdown_background();
    ended
}
