//! Floor 5: puts the worker together, keeps it going until a signal, and takes it apart again.
//!
//! Shutting down: stop claiming and consuming, say so (readiness, systemd), let runs end, cancel those that do not and give
//! their jobs back, send what is in the outbox, close. A second signal ends it at once: the leases run out.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context;
use sd_notify::NotifyState;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    anchor, backup,
    clock::Clock,
    config::{Config, Environment, Problem, Problems},
    http::{self, Check, Health, Route},
    jobs::{self, Services},
    ledger::Scribe,
    metrics::{Metrics, Start},
    notify::{self, Notifier},
    qwed::url::DatabaseUrl,
    runtime::{
        amqp::{
            self,
            status::{Published, Status},
        },
        bridge::Bridge,
        schedule::{self, Schedule},
        scheduler::Scheduler,
        worker::{Settings, Worker},
    },
    sampler::{self, Sampler},
    state::{StateError, Store, jobs::State},
};

/// Between tries to reach a database that is not there yet.
const RETRY_EVERY: Duration = Duration::from_secs(2);
/// A worker that has not looked at its queue for so long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(60);
/// How long a start waits for what the database knows.
const FIRST_SAMPLE: Duration = Duration::from_secs(10);
/// How long a shutdown waits for messages about alerts that are being sent.
const LAST_MESSAGES: Duration = Duration::from_secs(10);
/// How often numbers of the bridge are passed on to Prometheus.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// A worker that is ready to run.
pub struct Service {
    config: Config,
    services: Arc<Services>,
    schedules: Vec<Schedule>,
    metrics: Metrics,
    store: Store,
    listener: tokio::net::TcpListener,
    interface: Option<http::Interface>,
}

impl Service {
    /// Looks at everything that can be wrong before anything begins: configuration, keys, schedules, database, address.
    ///
    /// A database that cannot be reached is waited for, as it may start at the same time.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub async fn prepare(
        config: Config,
        configuration_sha256: String,
        environment: &Environment,
        stop: &CancellationToken,
    ) -> anyhow::Result<Option<Self>> {
        let qwed_url = config.qwed_url().context(
            "which QWED database? Set qwed.database_url in the configuration, or DATABASE_URL as for QWED",
        )?;
        let qwed: DatabaseUrl = qwed_url.expose().parse()?;
        let flag = config
            .flag_url()
            .map(|url| url.expose().parse())
            .transpose()?;
        let erase = config.erase_url().unwrap_or(qwed_url);
        let erase: DatabaseUrl = erase.expose().parse()?;
        let producers = config.producers(|name| environment.get(name))?;
        let ring = config.key_ring(|name| environment.get(name))?;
        let metrics = Metrics::new();
        let services = Arc::new(Services {
            qwed,
            flag,
            erase,
            producers,
            ring: Arc::new(ring),
            clock: Clock,
            metrics: metrics.clone(),
            config: config.clone(),
            configuration_sha256,
        });
        let registry = jobs::registry(&config);
        let directory = Some(config.jobs.dir.as_path()).filter(|path| *path != Path::new(""));
        let schedules = schedule::load(directory).map_err(problems)?;
        schedule::check(&schedules, &registry).map_err(problems)?;
        let listener = http::listen(config.metrics.listen).await?;
        let Some(store) = open_store(&config, stop).await? else {
            return Ok(None);
        };
        let store = store.counting(metrics.enqueued.clone());
        let routes = config.http.address().map(|_| http::routes());
        metrics.start(&Start {
            kinds: registry.kinds().map(|kind| kind.name).collect(),
            job_states: State::ALL.map(State::name).to_vec(),
            schedules: schedules.iter().map(|it| it.name.as_str()).collect(),
            routes: routes.iter().flatten().map(Route::seen).collect(),
            channels: config
                .notify
                .channels
                .iter()
                .map(|it| it.name.as_str())
                .collect(),
        });
        let interface = match config.http.address() {
            None => None,
            Some(address) => {
                let clock = services.clock;
                let api = http::Api::new(
                    Arc::clone(&services),
                    store.clone(),
                    schedules.clone(),
                    Arc::new(move || clock.now()),
                )?;
                Some(http::Interface::listen(address, api).await?)
            }
        };
        Ok(Some(Self {
            config,
            services,
            schedules,
            metrics,
            store,
            listener,
            interface,
        }))
    }

    /// Where metrics and health are told.
    ///
    /// # Errors
    /// If the socket is not bound, which it is.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where the HTTP interface answers, if it does.
    ///
    /// # Errors
    /// As [`Self::address`].
    pub fn interface_address(&self) -> std::io::Result<Option<SocketAddr>> {
        let interface = self.interface.as_ref();
        interface.map(http::Interface::address).transpose()
    }

    /// Our own database.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The schedules that it watches over.
    #[must_use]
    pub fn schedules(&self) -> &[Schedule] {
        &self.schedules
    }

    /// Has the ledger say which configuration the worker begins with, if it is another than the one before. That it cannot keeps
    /// nobody from working.
    pub async fn note_config(&self, sha256: &str) {
        let noted = async {
            let Some(key) = anchor::load_key(&self.config.anchor_key_file())? else {
                return Ok(false);
            };
            let scribe = Scribe {
                origin: &self.config.anchors.origin,
                key: &key,
                actor: &format!("worker {}", name()),
                now: self.services.clock.now(),
            };
            anyhow::Ok(scribe.note_config(&self.store, sha256).await?)
        };
        match noted.await {
            Ok(true) => tracing::info!(sha256, "the configuration is another than before"),
            Ok(false) => {}
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                "the configuration is not in the ledger; the next start tries again"
            ),
        }
    }

    fn sampler(&self) -> Sampler {
        let settings = sampler::Settings {
            rolling_days: self.config.verify.rolling_days,
            max_organizations: self.config.metrics.max_organizations as usize,
            schedules: self.schedules.iter().map(|it| it.name.clone()).collect(),
        };
        let (store, metrics) = (self.store.clone(), self.metrics.clone());
        Sampler::new(store, metrics, self.services.clock, settings)
    }

    /// Works until `stop`, then drains.
    ///
    /// # Errors
    /// If the ticker of the schedules cannot be started.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        backup::sweep_scratch(&self.config.scratch_directory());
        let registry = Arc::new(jobs::registry(&self.config));
        let worker = Worker::new(
            self.store.clone(),
            Arc::clone(&registry),
            Arc::clone(&self.services),
            worker_settings(&self.config),
            self.metrics.clone(),
            &name(),
        );
        let mut sampler = self.sampler();
        let scheduler = Scheduler::new(
            self.store.clone(),
            Arc::clone(&registry),
            self.schedules,
            Clock,
            self.metrics.clone(),
        );
        let notifier = notifier(
            &self.config,
            &self.store,
            &self.metrics,
            self.services.clock,
        )?;
        let bridge = bridge_settings(&self.config)?;
        let status = Arc::new(Status::default());
        let health = health(
            &self.store,
            &self.metrics,
            &worker,
            bridge.is_some().then(|| Arc::clone(&status)),
        );

        // Ended last, in this order: what others still need goes on for longest.
        let (no_intake, flush, rest) = (
            stop.clone(),
            CancellationToken::new(),
            CancellationToken::new(),
        );
        let tasks = TaskTracker::new();
        {
            let (store, rest) = (self.store.clone(), rest.clone());
            tasks.spawn(async move { store.listen(rest).await });
        }
        // Before anybody is told: what is known of the past must not look as if it had never been.
        if tokio::time::timeout(FIRST_SAMPLE, sampler.sample())
            .await
            .is_err()
        {
            tracing::warn!("the state database is slow; its metrics come later");
        }
        tasks.spawn(sampler.run(rest.clone()));
        tasks.spawn(watchdog(Arc::clone(&worker), rest.clone()));
        let http = http::serve(self.listener, Arc::clone(&health), rest.clone());
        tasks.spawn(async move {
            if let Err(error) = http.await {
                tracing::error!(%error, "metrics and health are no longer told");
            }
        });
        if let Some(interface) = self.interface {
            // It ends with the intake: what came by then is answered, and is in the queue.
            tasks.spawn(interface.serve(stop.clone()));
        }
        let consumer = bridge.map(|settings| {
            let bridge = Arc::new(Bridge::new(self.store.clone(), Arc::clone(&registry)));
            let publishing = {
                let (settings, bridge, status) =
                    (settings.clone(), Arc::clone(&bridge), Arc::clone(&status));
                let flush = flush.clone();
                tokio::spawn(async move {
                    amqp::supervisor::publish(&settings, &*bridge, &status, &flush).await;
                })
            };
            tasks.spawn(tell(
                Arc::clone(&status),
                self.metrics.clone(),
                rest.clone(),
            ));
            let consuming = tokio::spawn(async move {
                amqp::supervisor::consume(&settings, &*bridge, &status, &no_intake).await;
            });
            (consuming, publishing)
        });
        let notifying = (!self.config.notify.channels.is_empty()).then(|| {
            let drain = worker_settings(&self.config).drain.min(LAST_MESSAGES);
            tokio::spawn(notifier.run(flush.clone(), drain))
        });
        let mut ticker = scheduler
            .start()
            .await
            .context("cannot tick for the schedules")?;
        let announced = {
            let (health, stop) = (Arc::clone(&health), stop.clone());
            tokio::spawn(async move {
                stop.cancelled().await;
                health.is_draining.store(true, Relaxed);
                if let Err(error) = ticker.shutdown().await {
                    tracing::warn!(%error, "the schedules' ticker does not stop");
                }
                let _ = sd_notify::notify(&[NotifyState::Stopping]);
                tracing::info!("shutting down");
            })
        };
        let _ = sd_notify::notify(&[NotifyState::Ready]);
        tracing::info!(
            worker = worker.name(),
            state = self.store.location(),
            "ready"
        );

        Arc::clone(&worker).run(stop).await;

        let _ = announced.await;
        flush.cancel();
        if let Some((consuming, publishing)) = consumer {
            let _ = tokio::join!(consuming, publishing);
        }
        if let Some(notifying) = notifying {
            let _ = notifying.await;
        }
        rest.cancel();
        tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(5), tasks.wait()).await;
        let _ = tokio::time::timeout(Duration::from_secs(5), self.store.close()).await;
        tracing::info!("stopped");
        Ok(())
    }
}

fn problems(problems: Vec<Problem>) -> anyhow::Error {
    Problems(problems).into()
}

/// This worker among others: the machine's name and the process.
fn name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let host = if host.is_empty() { "worker" } else { host };
    format!("{host}/{}", std::process::id())
}

/// Opens the database and brings its tables up to date, waiting for one that is not there yet.
async fn open_store(config: &Config, stop: &CancellationToken) -> anyhow::Result<Option<Store>> {
    let url = config.state_url();
    loop {
        let opened: Result<Store, StateError> = async {
            let store = Store::open(url.expose(), config.state.max_connections).await?;
            store.migrate().await?;
            Ok(store)
        }
        .await;
        match opened {
            Ok(store) if config.amqp.url.is_empty() => return Ok(Some(store)),
            Ok(store) => return Ok(Some(store.publishing_events())),
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "waiting for the state database");
            }
            Err(error) => return Err(error.into()),
        }
        let pause = tokio::time::sleep(RETRY_EVERY);
        if stop.run_until_cancelled(pause).await.is_none() {
            return Ok(None);
        }
    }
}

fn worker_settings(config: &Config) -> Settings {
    let jobs = &config.jobs;
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    Settings {
        concurrency: jobs.concurrency as usize,
        lease: seconds(jobs.lease_seconds),
        retry_base: seconds(jobs.retry_base_seconds),
        retry_max: seconds(jobs.retry_max_seconds),
        drain: seconds(jobs.drain_seconds),
        queues: jobs.queues.clone(),
        keep_results_days: jobs.keep_results_days,
        keep_inbox_days: jobs.keep_inbox_days,
    }
}

/// How to reach RabbitMQ; `None` where there is none.
///
/// # Errors
/// If the URL or a certificate cannot be used.
pub fn bridge_settings(config: &Config) -> anyhow::Result<Option<amqp::Settings>> {
    let section = &config.amqp;
    if section.url.is_empty() {
        return Ok(None);
    }
    let file = |path: &Path| (!path.as_os_str().is_empty()).then(|| path.to_owned());
    let tls = amqp::tls::Tls::read(
        file(&section.ca_file).as_deref(),
        file(&section.client_cert_file).as_deref(),
        file(&section.client_key_file).as_deref(),
    )?;
    Ok(Some(amqp::Settings {
        tls: Arc::new(tls),
        batch: section.batch,
        prefetch: section.prefetch,
        max_body_bytes: section.max_body_bytes as usize,
        longest_backoff: Duration::from_secs(section.reconnect_max_seconds.into()),
        drop_events_after: Duration::from_secs(u64::from(section.unroutable_event_hours) * 3600),
        ..amqp::Settings::new(section.url.expose())?
    }))
}

/// What tells people and pagers.
fn notifier(
    config: &Config,
    store: &Store,
    metrics: &Metrics,
    clock: Clock,
) -> anyhow::Result<Notifier> {
    let receivers = notify::receivers(&config.notify, &config.anchors.origin);
    let receivers = receivers.map_err(|(name, error)| {
        anyhow::Error::new(error).context(format!(
            "channel {name:?} of notify.channels cannot be used"
        ))
    })?;
    Ok(Notifier::new(
        store.clone(),
        config.notify.clone(),
        receivers,
        metrics.clone(),
        Arc::new(move || clock.now()),
    ))
}

fn health(
    store: &Store,
    metrics: &Metrics,
    worker: &Arc<Worker<Services>>,
    status: Option<Arc<Status>>,
) -> Arc<Health> {
    let turning = Arc::clone(worker);
    let lives: Check = Box::new(move || {
        let silent = turning.silent_for();
        if silent > HANGS_AFTER {
            Err(format!(
                "the worker has not looked for jobs for {} s",
                silent.as_secs()
            ))
        } else {
            Ok(())
        }
    });
    let mut checks: Vec<(&'static str, Check)> = Vec::new();
    if let Some(status) = status {
        checks.push((
            "amqp",
            Box::new(move || {
                if status.consuming() && status.publishing() {
                    return Ok(());
                }
                let error = status.last_error();
                Err(error.unwrap_or_else(|| "not connected to RabbitMQ yet".to_owned()))
            }),
        ));
    }
    Arc::new(Health {
        store: store.clone(),
        metrics: metrics.clone(),
        is_draining: AtomicBool::new(false),
        lives,
        checks,
    })
}

/// Tells systemd that the worker turns, where it asked to be told.
async fn watchdog(worker: Arc<Worker<Services>>, stop: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    loop {
        if worker.silent_for() < HANGS_AFTER {
            let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        }
        let pause = tokio::time::sleep(limit / 3);
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

/// Passes the bridge's numbers on to Prometheus.
async fn tell(status: Arc<Status>, metrics: Metrics, stop: CancellationToken) {
    loop {
        let side = |name: &str, is_up: bool| {
            metrics
                .amqp_connected
                .with_label_values(&[name])
                .set(is_up.into());
        };
        side("consume", status.consuming());
        side("publish", status.publishing());
        let raise = |counter: prometheus::IntCounter, to: u64| {
            counter.inc_by(to.saturating_sub(counter.get()));
        };
        let consumed = |result: &str| metrics.amqp_consumed.with_label_values(&[result]);
        raise(consumed("new"), status.consumed());
        raise(consumed("duplicate"), status.duplicates());
        for reason in amqp::ports::Reason::ALL {
            let counter = metrics.amqp_rejected.with_label_values(&[reason.as_str()]);
            raise(counter, status.rejected(reason));
        }
        for result in Published::ALL {
            let counter = metrics.amqp_published.with_label_values(&[result.as_str()]);
            raise(counter, status.published(result));
        }
        raise(metrics.amqp_reconnects.clone(), status.reconnects());
        let pause = tokio::time::sleep(TELL_EVERY);
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}
