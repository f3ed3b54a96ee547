//! Looks for what is to be told, and sends it. Each channel has a task of its own, so that a slow one holds up no other.

mod outlet;
mod receiver;
mod sum;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::{sync::watch, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use self::outlet::Outlet;
use super::{Severity, watch::Watch};
use crate::{
    config::Notify,
    metrics::Metrics,
    state::{StateError, Store, alerts::AlertRow},
};

pub use self::{
    receiver::{Failure, Receiver, Retry},
    sum::NAME as MORE_ALERTS,
};

/// Tells the time.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How often it looks by itself.
const EVERY: Duration = Duration::from_secs(10);
/// How often it looks at most: a busy queue wakes it all the time.
const EVERY_AT_MOST: Duration = Duration::from_secs(3);
/// How often old messages are cleared away.
const CLEAR_EVERY: Duration = Duration::from_secs(3600);
/// For how long messages are kept, and alerts that are over. Longer than any message is tried.
const KEEP: SignedDuration = SignedDuration::from_hours(45 * 24);

/// Tells the receivers.
pub struct Notifier {
    store: Store,
    metrics: Metrics,
    now: Now,
    channels: Vec<String>,
    watch: Watch,
    outlets: Vec<Outlet>,
    /// Counts up when there is something new to send.
    stir: watch::Sender<u64>,
    cleared: Option<Instant>,
}

impl Notifier {
    /// One that has told nothing yet. Channels without a receiver get nothing; what is for them waits.
    #[must_use]
    pub fn new(
        store: Store,
        config: Notify,
        receivers: BTreeMap<String, Arc<dyn Receiver>>,
        metrics: Metrics,
        now: Now,
    ) -> Self {
        let outlet = |channel: &crate::config::Channel| {
            Some(Outlet {
                receiver: Arc::clone(receivers.get(&channel.name)?),
                channel: channel.clone(),
                config: config.clone(),
                store: store.clone(),
                metrics: metrics.clone(),
                now: Arc::clone(&now),
            })
        };
        Self {
            outlets: config.channels.iter().filter_map(outlet).collect(),
            channels: config.channels.iter().map(|it| it.name.clone()).collect(),
            watch: Watch::new(store.clone(), config),
            store,
            metrics,
            now,
            stir: watch::Sender::new(0),
            cleared: None,
        }
    }

    /// Looks and sends until cancelled; then waits for what is being sent, for up to `drain`.
    pub async fn run(mut self, stop: CancellationToken, drain: Duration) {
        let mut sending = JoinSet::new();
        for outlet in std::mem::take(&mut self.outlets) {
            sending.spawn(outlet.run(self.stir.subscribe(), stop.clone(), drain));
        }
        stop.run_until_cancelled(self.keep_looking()).await;
        while sending.join_next().await.is_some() {}
    }

    async fn keep_looking(&mut self) {
        let mut wakes = self.store.wakes();
        loop {
            if let Err(error) = self.look().await {
                tracing::debug!(%error, "cannot look for what is to be told");
            }
            tokio::time::sleep(EVERY_AT_MOST).await;
            let _ = tokio::time::timeout(EVERY - EVERY_AT_MOST, wakes.changed()).await;
        }
    }

    /// Looks once: at the facts, and at what waits.
    ///
    /// # Errors
    /// If the state database fails.
    pub async fn look(&mut self) -> Result<(), StateError> {
        let now = (self.now)();
        let (changes, open) = self.watch.look(now).await?;
        if changes > 0 {
            self.stir
                .send_modify(|count| *count = count.wrapping_add(1));
        }
        self.tell_firing(&open);
        self.tell_backlog(now).await?;
        if self.cleared.is_none_or(|at| at.elapsed() >= CLEAR_EVERY) {
            let before = (now - KEEP).as_microsecond();
            self.store.clear_notices(before).await?;
            self.cleared = Some(Instant::now());
        }
        Ok(())
    }

    /// Sends everything that is due now, channel by channel.
    ///
    /// # Errors
    /// If the state database fails.
    pub async fn send_due(&self) -> Result<(), StateError> {
        for outlet in &self.outlets {
            while outlet.send_due().await? > 0 {}
        }
        Ok(())
    }

    fn tell_firing(&self, open: &[AlertRow]) {
        for severity in Severity::ALL.map(Severity::name) {
            let fires = |row: &&AlertRow| row.fired_at.is_some() && row.severity == severity;
            let firing = open.iter().filter(fires).count();
            let gauge = self.metrics.alerts_firing.with_label_values(&[severity]);
            gauge.set(i64::try_from(firing).unwrap_or(i64::MAX));
        }
    }

    async fn tell_backlog(&self, now: Timestamp) -> Result<(), StateError> {
        let backlog = self.store.notice_backlog().await?;
        for channel in &self.channels {
            let of_it = backlog.iter().find(|it| it.channel == *channel);
            let pending = of_it.map_or(0, |it| it.notices);
            let age = of_it.map_or(0, |it| (now.as_microsecond() - it.oldest).max(0));
            let label = [channel.as_str()];
            let metrics = &self.metrics;
            metrics
                .notifications_pending
                .with_label_values(&label)
                .set(pending);
            metrics
                .notifications_age_seconds
                .with_label_values(&label)
                .set(age as f64 / 1e6);
        }
        Ok(())
    }
}
