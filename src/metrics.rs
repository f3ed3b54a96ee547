//! What Prometheus is told. One struct; a field's doc comment is the metric's help text.

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

/// Makes a metric of a type from its name, help and labels.
trait Make: prometheus::core::Collector + Clone + 'static {
    fn make(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self>;
}

macro_rules! plain {
    ($($type:ty),*) => {$(
        impl Make for $type {
            fn make(name: &str, help: &str, _: &[&str]) -> prometheus::Result<Self> {
                Self::with_opts(Opts::new(name, help))
            }
        }
    )*};
}

macro_rules! labelled {
    ($($type:ty),*) => {$(
        impl Make for $type {
            fn make(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self> {
                Self::new(Opts::new(name, help), labels)
            }
        }
    )*};
}

plain!(IntCounter, IntGauge, Gauge);
labelled!(IntCounterVec, IntGaugeVec, GaugeVec);

/// From a no-op to a verification of hours.
const SECONDS: &[f64] = &[
    0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0, 1800.0, 7200.0,
];

impl Make for Histogram {
    fn make(name: &str, help: &str, _: &[&str]) -> prometheus::Result<Self> {
        Self::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()))
    }
}

/// From a look-up by key to a walk over a trail.
const REQUEST_SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0,
];

/// How long requests take, which is less than jobs do.
#[derive(Debug, Clone)]
pub struct RequestSeconds(HistogramVec);

impl std::ops::Deref for RequestSeconds {
    type Target = HistogramVec;

    fn deref(&self) -> &HistogramVec {
        &self.0
    }
}

impl prometheus::core::Collector for RequestSeconds {
    fn desc(&self) -> Vec<&prometheus::core::Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.0.collect()
    }
}

impl Make for RequestSeconds {
    fn make(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self> {
        let options = HistogramOpts::new(name, help).buckets(REQUEST_SECONDS.to_vec());
        HistogramVec::new(options, labels).map(Self)
    }
}

impl Make for HistogramVec {
    fn make(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self> {
        Self::new(
            HistogramOpts::new(name, help).buckets(SECONDS.to_vec()),
            labels,
        )
    }
}

macro_rules! metrics {
    ($(#[doc = $help:literal] $field:ident: $type:ty = $name:literal [$($label:literal),*];)*) => {
        /// All metrics.
        #[derive(Debug, Clone)]
        pub struct Metrics {
            registry: Registry,
            $(#[doc = $help] pub $field: $type,)*
        }

        impl Metrics {
            /// Makes and registers them.
            ///
            /// # Panics
            /// If two have the same name, which a test would notice.
            #[must_use]
            pub fn new() -> Self {
                let registry = Registry::new();
                let metrics = Self {
                    $($field: {
                        let metric = <$type as Make>::make($name, $help.trim(), &[$($label),*])
                            .expect("metrics have valid names");
                        registry.register(Box::new(metric.clone())).expect("metrics have names of their own");
                        metric
                    },)*
                    registry,
                };
                #[cfg(target_os = "linux")]
                metrics
                    .registry
                    .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
                    .expect("process metrics have names of their own");
                metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
                metrics
            }
        }
    };
}

metrics! {
    /// The running program; always 1.
    build_info: IntGaugeVec = "trailkeeper_build_info" ["version"];
    /// Jobs in the database by state and kind.
    jobs: IntGaugeVec = "trailkeeper_jobs" ["state", "kind"];
    /// How long the oldest job that is due has been waiting, in seconds; 0 where none is.
    queue_age_seconds: Gauge = "trailkeeper_queue_oldest_age_seconds" [];
    /// Runs that this worker ended, by kind and how: succeeded, retrying, dead, cancelled, waiting, released, lease_lost.
    runs: IntCounterVec = "trailkeeper_job_runs_total" ["kind", "ending"];
    /// Runs that this worker has under way, by kind.
    running: IntGaugeVec = "trailkeeper_job_runs_in_progress" ["kind"];
    /// How long runs took, in seconds.
    run_seconds: HistogramVec = "trailkeeper_job_run_seconds" ["kind"];
    /// How long jobs waited after they were due, in seconds.
    wait_seconds: HistogramVec = "trailkeeper_job_wait_seconds" ["kind"];
    /// Jobs that were taken over from workers that vanished: retried, dead, cancelled.
    rescued: IntCounterVec = "trailkeeper_jobs_rescued_total" ["state"];
    /// Heartbeats that did not reach the database.
    heartbeat_failures: IntCounter = "trailkeeper_heartbeat_failures_total" [];
    /// How late heartbeats were, in seconds: what CPU work costs the leases.
    heartbeat_delay_seconds: Histogram = "trailkeeper_heartbeat_delay_seconds" [];
    /// Fires of schedules by what became of them: fired, skipped_late, skipped_overlap.
    fires: IntCounterVec = "trailkeeper_schedule_fires_total" ["schedule", "decision"];
    /// When the newest fire of a schedule was due, in seconds since 1970.
    last_fire_seconds: GaugeVec = "trailkeeper_schedule_last_fire_timestamp_seconds" ["schedule"];
    /// Whether the connections to RabbitMQ stand: consume, publish.
    amqp_connected: IntGaugeVec = "trailkeeper_amqp_connected" ["connection"];
    /// Messages from RabbitMQ by what became of them: new, duplicate, rejected.
    amqp_consumed: IntCounterVec = "trailkeeper_amqp_messages_total" ["result"];
    /// Messages from RabbitMQ that were rejected, by reason.
    amqp_rejected: IntCounterVec = "trailkeeper_amqp_rejected_total" ["reason"];
    /// Events sent to RabbitMQ by result: confirmed, unroutable, failed, dropped.
    amqp_published: IntCounterVec = "trailkeeper_amqp_published_total" ["result"];
    /// Connections to RabbitMQ that had to be made again.
    amqp_reconnects: IntCounter = "trailkeeper_amqp_reconnects_total" [];
    /// Events that wait to be sent.
    outbox_depth: IntGauge = "trailkeeper_outbox_messages" [];
    /// The newest verdict on each trail: 1 for the one that holds. Organisation "" is entries that belong to none.
    verdict: IntGaugeVec = "trailkeeper_trail_verdict" ["organization", "verdict"];
    /// When each trail was last verified, in seconds since 1970.
    verified_seconds: GaugeVec = "trailkeeper_trail_last_verified_timestamp_seconds" ["organization"];
    /// When the anchored entries were last checked in full that were not for longest, in seconds since 1970; 0 before all were.
    full_check_oldest_seconds: Gauge = "trailkeeper_full_check_oldest_timestamp_seconds" [];
    /// Anchored entries at the last full check of any: all, and those checked in full in the last verify.rolling_days days.
    full_check_entries: IntGaugeVec = "trailkeeper_full_check_entries" ["which"];
    /// Entries that this worker checked.
    entries: IntCounter = "trailkeeper_entries_checked_total" [];
    /// When the newest backup was made, in seconds since 1970; 0 where there is none.
    backup_seconds: Gauge = "trailkeeper_backup_newest_timestamp_seconds" [];
    /// Objects that the newest backup put and that are not locked as configured.
    not_locked: IntGauge = "trailkeeper_backup_objects_not_locked" [];
    /// When the newest drill of the archive ended, in seconds since 1970; 0 where there was none.
    drill_seconds: Gauge = "trailkeeper_drill_last_timestamp_seconds" [];
    /// Whether the newest drill passed.
    drill_passed: IntGauge = "trailkeeper_drill_passed" [];
    /// How long restoring took in the newest drill, in seconds.
    drill_recovery_seconds: Gauge = "trailkeeper_drill_recovery_seconds" [];
    /// Requests for erasure that are not ended, by state.
    erasures: IntGaugeVec = "trailkeeper_erasures" ["state"];
    /// Requests for erasure that are not ended and whose time is over.
    erasures_overdue: IntGauge = "trailkeeper_erasures_overdue" [];
    /// Seconds until the first request for erasure has to be done; negative when its time is over, absent where none is open.
    erasure_due_seconds: GaugeVec = "trailkeeper_erasure_due_seconds" [];
    /// How the items of the compliance checklist stood when all organisations were last looked at: 1 for the status that holds.
    checklist_items: IntGaugeVec = "trailkeeper_checklist_items" ["item", "status"];
    /// Requests to the HTTP interface, by route, method and status.
    http_requests: IntCounterVec = "trailkeeper_http_requests_total" ["route", "method", "status"];
    /// How long requests took until their answer began, in seconds.
    http_request_seconds: RequestSeconds = "trailkeeper_http_request_seconds" ["route"];
    /// Active API keys by organisation and status.
    api_keys: IntGaugeVec = "trailkeeper_api_keys" ["organization", "status"];
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All values in Prometheus' text format.
    ///
    /// # Errors
    /// If a value cannot be written, which does not happen.
    pub fn text(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
