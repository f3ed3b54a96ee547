//! What is told of alerts, when, and how often: on both databases, with receivers and a clock that the test holds.

mod faults;
mod limits;
mod running;
mod telling;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use trailkeeper::{
    clock::Clock,
    config::{Channel, Config, Notify, Route},
    metrics::Metrics,
    notify::{Failure, Notice, Notifier, Receiver, Retry},
    state::Store,
};

use crate::support::store::TestStore;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;
/// The channels of the tests.
const CHANNELS: [&str; 2] = ["oncall", "chat"];

/// A channel; what kind it is does not matter, since its receiver is the test's.
fn channel(name: &str) -> Channel {
    toml::from_str(&format!("name = {name:?}\ntype = \"webhook\"\nurl = \"https://hooks.example.org\"\nsecret = \"0123456789abcdef0123456789abcdef\"")).expect("a channel")
}

/// Two channels that hear of trails that were tampered with. Others begin by themselves when the clock is put forward.
fn config() -> Notify {
    Notify {
        channels: CHANNELS.map(channel).to_vec(),
        routes: vec![Route {
            channels: CHANNELS.map(str::to_owned).to_vec(),
            min_severity: None,
            organizations: Vec::new(),
            alerts: vec!["TrailkeeperIntegrityFailed".to_owned()],
        }],
        ..Config::default().notify
    }
}

/// What a receiver does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Takes,
    IsAway,
    Refuses,
    Hangs,
}

/// A receiver that notes what it takes.
struct Noting {
    manner: Mutex<Manner>,
    taken: Mutex<Vec<Notice>>,
    tried: AtomicI64,
}

impl Noting {
    fn behave(&self, manner: Manner) {
        *self.manner.lock().expect("no panic") = manner;
    }

    /// Moment, organisation or summary of what it took, and forgets it.
    fn take(&self) -> Vec<(&'static str, String)> {
        let notices = std::mem::take(&mut *self.taken.lock().expect("no panic"));
        let of = |notice: &Notice| {
            let alert = &notice.alert;
            let organization = alert.labels.get("organization").cloned();
            organization.unwrap_or_else(|| alert.summary.clone())
        };
        let told = notices.iter();
        told.map(|notice| (notice.moment.name(), of(notice)))
            .collect()
    }
}

#[async_trait]
impl Receiver for Noting {
    async fn send(&self, notice: &Notice) -> Result<(), Failure> {
        self.tried.fetch_add(1, SeqCst);
        let manner = *self.manner.lock().expect("no panic");
        let fail = |retry| {
            let reason = "no".to_owned();
            Err(Failure { reason, retry })
        };
        match manner {
            Manner::Takes => {
                self.taken.lock().expect("no panic").push(notice.clone());
                Ok(())
            }
            Manner::IsAway => fail(Retry::After(None)),
            Manner::Refuses => fail(Retry::Never),
            Manner::Hangs => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                fail(Retry::Never)
            }
        }
    }
}

/// The state, a clock, and who is told.
struct Scene {
    test: TestStore,
    clock: Arc<AtomicI64>,
    oncall: Arc<Noting>,
    chat: Arc<Noting>,
    metrics: Metrics,
    config: Notify,
}

impl Scene {
    fn new(test: TestStore) -> Self {
        let receiver = || {
            Arc::new(Noting {
                manner: Mutex::new(Manner::Takes),
                taken: Mutex::default(),
                tried: AtomicI64::new(0),
            })
        };
        Self {
            test,
            clock: Arc::new(AtomicI64::new(Clock.now().as_microsecond())),
            oncall: receiver(),
            chat: receiver(),
            metrics: Metrics::new(),
            config: config(),
        }
    }

    /// A worker's notifier.
    fn notifier(&self) -> Notifier {
        self.notifier_on(self.test.store.clone())
    }

    fn notifier_on(&self, store: Store) -> Notifier {
        let clock = Arc::clone(&self.clock);
        let now = move || Timestamp::from_microsecond(clock.load(SeqCst)).expect("a time");
        let receivers: [(String, Arc<dyn Receiver>); 2] = [
            ("oncall".to_owned(), Arc::clone(&self.oncall) as _),
            ("chat".to_owned(), Arc::clone(&self.chat) as _),
        ];
        Notifier::new(
            store,
            self.config.clone(),
            BTreeMap::from(receivers),
            self.metrics.clone(),
            Arc::new(now),
        )
    }

    fn pass(&self, micros: i64) {
        self.clock.fetch_add(micros, SeqCst);
    }

    /// A verdict on the trail of an organisation.
    async fn verdict(&self, organization: i64, verdict: &str) {
        self.test
            .execute(&format!(
                "INSERT INTO verdict (organization, verdict, since, checked_at, entries, findings, job_id, first_at) \
                 VALUES ('{organization}', '{verdict}', 1, 1, 1, 1, 'job', 1) ON CONFLICT (organization) DO UPDATE SET \
                 verdict = excluded.verdict"
            ))
            .await;
    }

    /// One look of a worker, and everything sent that is due.
    async fn round(&self, notifier: &mut Notifier) {
        notifier.look().await.expect("look");
        notifier.send_due().await.expect("send");
    }

    fn counted(&self, channel: &str, result: &str) -> u64 {
        let counter = &self.metrics.notifications;
        counter.with_label_values(&[channel, result]).get()
    }

    async fn number(&self, what: &str) -> i64 {
        self.test
            .number(&format!("SELECT count(*) FROM {what}"))
            .await
    }
}

/// What is told of organisation 7.
fn of_7(moment: &'static str) -> Vec<(&'static str, String)> {
    vec![(moment, "7".to_owned())]
}
