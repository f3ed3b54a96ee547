//! One channel's way out: claims what is due for it, sends it, and notes what became of it.
//!
//! Order of a message: claimed (hidden from others), sent, noted. Whoever dies in between has it sent again once it is no longer hidden, under
//! the same id.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{Failure, Now, Receiver, Retry, sum::sum};
use crate::{
    config::{Channel, Notify},
    metrics::Metrics,
    notify::Notice,
    state::{StateError, Store, notices::DueNotice},
};

/// Messages that are sent side by side. They are of different alerts.
const BATCH: i64 = 4;
/// How long one attempt may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// For how long a message that somebody sends is hidden from others: longer than an attempt, and what is written of it.
const HIDDEN: Duration = Duration::from_secs(120);
/// How often it looks by itself: for what other workers wrote, and what was put off.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_secs(600);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// A channel, and who takes what is sent there.
pub(super) struct Outlet {
    pub(super) channel: Channel,
    pub(super) receiver: Arc<dyn Receiver>,
    pub(super) config: Notify,
    pub(super) store: Store,
    pub(super) metrics: Metrics,
    pub(super) now: Now,
}

/// What became of an attempt.
enum Ended {
    Sent,
    Later(String, Duration),
    GivenUp(String),
}

impl Outlet {
    /// Sends what is due until cancelled, and then what is under way for up to `drain`.
    pub(super) async fn run(
        self,
        mut stirred: watch::Receiver<u64>,
        stop: CancellationToken,
        drain: Duration,
    ) {
        while !stop.is_cancelled() {
            let drained = async {
                stop.cancelled().await;
                tokio::time::sleep(drain).await;
            };
            let sent = tokio::select! {
                sent = self.send_due() => sent,
                () = drained => {
                    tracing::warn!(channel = self.channel.name, "messages under way were not waited for; they are sent again");
                    return;
                }
            };
            match sent {
                Ok(0) => {}
                Ok(_) => continue,
                Err(error) => {
                    tracing::debug!(%error, channel = self.channel.name, "cannot look for messages");
                }
            }
            tokio::select! {
                _ = stirred.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Sends one batch of what is due, and answers how many messages it had.
    pub(super) async fn send_due(&self) -> Result<usize, StateError> {
        let (room, now) = (self.room().await?, (self.now)());
        let name = &self.channel.name;
        let at = now.as_microsecond();
        if room == 0 {
            let held = self.store.hold_notices(name, at).await?;
            if held > 0 {
                tracing::warn!(
                    channel = name,
                    held,
                    "there is more to tell than the channel may be sent"
                );
            }
        } else if self.store.has_held_notices(name).await? {
            let summed = |held: &_| sum(&self.config, &self.channel, held, now);
            self.store.sum_held_notices(name, at, summed).await?;
        }
        let limit = if room == 0 { BATCH } else { BATCH.min(room) };
        let due = self.store.claim_notices(name, limit, room == 0, HIDDEN, at);
        let due = due.await?;
        let ends = join_all(due.iter().map(|notice| self.send(notice))).await;
        ends.into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(due.len())
    }

    /// How many messages the channel may be sent now.
    async fn room(&self) -> Result<i64, StateError> {
        if self.channel.resends() {
            // It wants each alert each minute, and sums up by itself.
            return Ok(i64::MAX);
        }
        let since = ((self.now)() - HOUR).as_microsecond();
        let sent = self.store.notices_sent_since(&self.channel.name, since);
        Ok((i64::from(self.config.max_per_hour) - sent.await?).max(0))
    }

    /// One attempt, and what is noted of it.
    async fn send(&self, due: &DueNotice) -> Result<(), StateError> {
        let ended = match serde_json::from_str::<Notice>(&due.body) {
            Ok(notice) => self.attempt(&notice, due).await,
            Err(error) => Ended::GivenUp(format!("it cannot be read: {error}")),
        };
        let (name, now) = (self.channel.name.as_str(), (self.now)().as_microsecond());
        let (result, noted) = match &ended {
            Ended::Sent => ("sent", self.store.notice_sent(due.place, now).await),
            Ended::Later(reason, delay) => {
                tracing::warn!(
                    channel = name,
                    notice = due.id,
                    reason,
                    "a message was not sent; it is tried again"
                );
                let noted = self.store.put_notice_off(due.place, *delay, reason, now);
                ("failed", noted.await)
            }
            Ended::GivenUp(reason) => {
                tracing::error!(
                    channel = name,
                    notice = due.id,
                    reason,
                    "a message was given up"
                );
                let noted = self.store.give_notice_up(due.place, reason, now);
                ("given_up", noted.await)
            }
        };
        self.metrics
            .notifications
            .with_label_values(&[name, result])
            .inc();
        noted
    }

    async fn attempt(&self, notice: &Notice, due: &DueNotice) -> Ended {
        let sent = timeout(SEND_TIMEOUT, self.receiver.send(notice)).await;
        let failure = match sent {
            Ok(Ok(())) => return Ended::Sent,
            Ok(Err(failure)) => failure,
            Err(_) => Failure {
                reason: format!("no answer within {} s", SEND_TIMEOUT.as_secs()),
                retry: Retry::After(None),
            },
        };
        let Retry::After(wanted) = failure.retry else {
            return Ended::GivenUp(failure.reason);
        };
        let created_at = Timestamp::from_microsecond(due.created_at).unwrap_or_default();
        let limit = SignedDuration::from_hours(self.config.give_up_after_hours.into());
        if (self.now)().duration_since(created_at) >= limit {
            return Ended::GivenUp(failure.reason);
        }
        let delay = backoff(due.attempts).max(wanted.unwrap_or_default());
        Ended::Later(failure.reason, delay)
    }
}

/// How long to wait after so many attempts: twice as long each time, and not in step with others.
fn backoff(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.clamp(1, 20) - 1).unwrap_or_default();
    let longest = FIRST_RETRY
        .saturating_mul(2_u32.saturating_pow(doublings))
        .min(LONGEST_RETRY);
    longest.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit() {
        for (attempts, longest) in [(0, 5), (1, 5), (2, 10), (5, 80), (8, 600), (i64::MAX, 600)] {
            let pause = backoff(attempts);
            let longest = Duration::from_secs(longest);
            assert!(
                pause >= longest / 2 && pause <= longest,
                "{attempts}: {pause:?}"
            );
        }
    }
}
