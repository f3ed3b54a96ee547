//! Keeps both directions running for ever: one session after the other, with a wait between them when one failed.

use std::{future::Future, time::Duration};

use tokio::{
    join, select,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    AmqpError, Settings,
    backoff::Backoff,
    consume,
    ports::{Intake, Outbox},
    publish,
    status::{Side, Status},
};

/// A session that lived this long makes the next failure a first one.
const HEALTHY: Duration = Duration::from_secs(30);

/// Both directions. When `stop` is cancelled, consuming ends first, then the outbox is flushed.
///
/// Who has work to do between the two calls [`consume()`] and [`publish()`] with tokens of their own.
pub async fn run<I: Intake, O: Outbox>(
    settings: &Settings,
    intake: &I,
    outbox: &O,
    status: &Status,
    stop: &CancellationToken,
) {
    let consumed = CancellationToken::new();
    join!(
        async {
            consume(settings, intake, status, stop).await;
            consumed.cancel();
        },
        publish(settings, outbox, status, &consumed),
    );
}

/// Takes messages in until `stop` is cancelled; then finishes the batch at hand. Returns within
/// [`Settings::stop_timeout`] after that.
pub async fn consume<I: Intake>(
    settings: &Settings,
    intake: &I,
    status: &Status,
    stop: &CancellationToken,
) {
    let direction = Consuming {
        settings,
        intake,
        status,
        stop,
    };
    supervise(direction, settings, status, stop).await;
}

/// Publishes what the outbox holds until `stop` is cancelled; then publishes what is due and returns, within
/// [`Settings::stop_timeout`].
pub async fn publish<O: Outbox>(
    settings: &Settings,
    outbox: &O,
    status: &Status,
    stop: &CancellationToken,
) {
    let direction = Publishing {
        settings,
        outbox,
        status,
        stop,
    };
    supervise(direction, settings, status, stop).await;
}

/// A trait rather than a closure: of an async closure's future nobody can say that it is `Send`.
trait Direction {
    const SIDE: Side;

    /// Returns whether that was all.
    fn session(&self, careful: bool) -> impl Future<Output = Result<bool, AmqpError>> + Send;
}

struct Consuming<'a, I> {
    settings: &'a Settings,
    intake: &'a I,
    status: &'a Status,
    stop: &'a CancellationToken,
}

impl<I: Intake> Direction for Consuming<'_, I> {
    const SIDE: Side = Side::Consume;

    async fn session(&self, careful: bool) -> Result<bool, AmqpError> {
        let end =
            consume::session(self.settings, self.intake, self.status, careful, self.stop).await?;
        Ok(end == consume::End::Stopped)
    }
}

struct Publishing<'a, O> {
    settings: &'a Settings,
    outbox: &'a O,
    status: &'a Status,
    stop: &'a CancellationToken,
}

impl<O: Outbox> Direction for Publishing<'_, O> {
    const SIDE: Side = Side::Publish;

    async fn session(&self, careful: bool) -> Result<bool, AmqpError> {
        publish::session(self.settings, self.outbox, self.status, careful, self.stop).await?;
        Ok(self.stop.is_cancelled())
    }
}

async fn supervise<D: Direction>(
    direction: D,
    settings: &Settings,
    status: &Status,
    stop: &CancellationToken,
) {
    let side = D::SIDE;
    let mut backoff = Backoff::new(settings.first_backoff, settings.longest_backoff);
    let mut careful = false;
    let out_of_time = async {
        stop.cancelled().await;
        sleep(settings.stop_timeout).await;
    };
    tokio::pin!(out_of_time);
    loop {
        let started = Instant::now();
        let is_last = stop.is_cancelled();
        let result = select! {
            result = direction.session(careful) => result,
            () = &mut out_of_time => {
                tracing::warn!(%side, "RabbitMQ: gave up finishing, time is over");
                break;
            }
        };
        match result {
            Ok(true) => break,
            Ok(false) => {
                careful = false;
                backoff.reset();
                continue;
            }
            Err(error) => {
                status.set_running(side, false);
                // What never got as far as failing over messages gives no reason for care.
                careful |= !matches!(
                    error,
                    AmqpError::Connect { .. } | AmqpError::Topology(_) | AmqpError::Address(_)
                );
                let text = error.to_string();
                if status.set_error(side, Some(text.clone())) {
                    tracing::warn!(%side, error = text, "RabbitMQ: trying again until it works");
                } else {
                    tracing::debug!(%side, error = text, "RabbitMQ: still not working");
                }
            }
        }
        if started.elapsed() >= HEALTHY {
            backoff.reset();
        }
        if is_last {
            break;
        }
        select! {
            () = sleep(backoff.next()) => status.count_reconnect(),
            // There may be something to flush, and it is tried once more. Consuming has nothing to finish.
            () = stop.cancelled() => if side == Side::Consume { break },
        }
    }
    status.set_running(side, false);
}
