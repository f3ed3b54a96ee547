//! What Prometheus is told. One struct; a field's doc comment is the metric's help text, and `docs/metrics.md` is made of them.
//!
//! Labels are bounded: kinds, states and the like by what there is, organisations by `metrics.max_organizations`. What is counted is
//! this process's; gauges that tell of the database are the same on each worker, and are read there by `sampler`.

mod document;
mod make;
mod start;

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Registry, TextEncoder,
};

use make::Make;
pub use {document::markdown, make::RequestSeconds, start::Start};

/// What can be said of a metric without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct About {
    /// What it is about.
    pub section: &'static str,
    /// As Prometheus shows it.
    pub name: &'static str,
    /// counter, gauge or histogram.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// The help text.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($section:literal {
        $(#[doc = $help:literal] $field:ident: $type:ty = $name:literal [$($label:literal),*];)*
    })*) => {
        /// All metrics.
        #[derive(Debug, Clone)]
        pub struct Metrics {
            registry: Registry,
            $($(#[doc = $help] pub $field: $type,)*)*
        }

        /// All metrics, without those of the process.
        pub const ALL: &[About] = &[$($(About {
            section: $section,
            name: $name,
            kind: <$type as Make>::TYPE,
            labels: &[$($label),*],
            help: $help.trim_ascii(),
        },)*)*];

        impl Metrics {
            /// Makes and registers them.
            ///
            /// # Panics
            /// If two have the same name, which a test would notice.
            #[must_use]
            pub fn new() -> Self {
                let registry = Registry::new();
                let metrics = Self {
                    $($($field: {
                        let metric = <$type as Make>::make($name, $help.trim(), &[$($label),*])
                            .expect("metrics have valid names");
                        registry.register(Box::new(metric.clone())).expect("metrics have names of their own");
                        metric
                    },)*)*
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
    "The program" {
        /// The running program; always 1.
        build_info: IntGaugeVec = "trailkeeper_build_info" ["version"];
        /// When the gauges that tell of the state database were last read there in full, in seconds since 1970; 0 before they were.
        sampled_seconds: Gauge = "trailkeeper_sample_last_timestamp_seconds" [];
        /// When the state database was made, in seconds since 1970.
        state_made_seconds: Gauge = "trailkeeper_state_created_timestamp_seconds" [];
        /// Heartbeats that did not reach the database.
        heartbeat_failures: IntCounter = "trailkeeper_heartbeat_failures_total" [];
        /// How late heartbeats were, in seconds: what CPU work costs the leases.
        heartbeat_delay_seconds: Histogram = "trailkeeper_heartbeat_delay_seconds" [];
    }
    "Trails" {
        /// The newest verdict on each trail: 1 for the one that holds. Organisation "" is entries that belong to none, "anchors" the anchors, "other" the worst of those beyond metrics.max_organizations.
        verdict: IntGaugeVec = "trailkeeper_trail_verdict" ["organization", "verdict"];
        /// Entries of each trail at its newest verification: verified, failed, legacy (written before entries were hashed), erased (tombstones vouch for them).
        trail_entries: IntGaugeVec = "trailkeeper_trail_entries" ["organization", "state"];
        /// Findings about each trail at its newest verification.
        findings: IntGaugeVec = "trailkeeper_trail_findings" ["organization"];
        /// Entries of each trail that no anchor vouched for when it was last verified.
        unanchored: IntGaugeVec = "trailkeeper_trail_unanchored_entries" ["organization"];
        /// When each trail was last verified, in seconds since 1970; of "other" the one that was not for longest.
        verified_seconds: GaugeVec = "trailkeeper_trail_last_verified_timestamp_seconds" ["organization"];
        /// Until when entries were written that a verification of all organisations has looked at, in seconds since 1970: the oldest unverified one is no older. 0 before there was one.
        verified_up_to_seconds: Gauge = "trailkeeper_trail_verified_up_to_timestamp_seconds" [];
        /// When the newest verification of all organisations ended, in seconds since 1970, by extent: whole, or part (what is new, perhaps with a slice of the rest). 0 before there was one.
        verification_seconds: GaugeVec = "trailkeeper_verification_last_success_timestamp_seconds" ["extent"];
        /// How long it took, in seconds.
        verification_duration_seconds: GaugeVec = "trailkeeper_verification_last_duration_seconds" ["extent"];
        /// How many entries it verified each second.
        verification_speed: GaugeVec = "trailkeeper_verification_last_entries_per_second" ["extent"];
        /// When a verification last had its turn at everything, in seconds since 1970: a whole one, or a rolling one's slice. 0 before there was one.
        full_check_seconds: Gauge = "trailkeeper_full_check_last_timestamp_seconds" [];
        /// When the anchored entries were last checked in full that were not for longest, in seconds since 1970; 0 before all were.
        full_check_oldest_seconds: Gauge = "trailkeeper_full_check_oldest_timestamp_seconds" [];
        /// Anchored entries at the last full check of any: all, and those checked in full in the last verify.rolling_days days.
        full_check_entries: IntGaugeVec = "trailkeeper_full_check_entries" ["which"];
        /// Entries that this worker checked.
        entries: IntCounter = "trailkeeper_entries_checked_total" [];
    }
    "Anchors" {
        /// When the newest anchor was made, in seconds since 1970; 0 where there is none. Failures are runs of the kind anchor.
        anchor_seconds: Gauge = "trailkeeper_anchor_newest_timestamp_seconds" [];
        /// Entries that the newest anchor covers.
        anchor_entries: IntGauge = "trailkeeper_anchor_entries" [];
    }
    "Archive" {
        /// When the newest backup was made that the store is known to have, in seconds since 1970; 0 where there is none.
        backup_seconds: Gauge = "trailkeeper_backup_newest_timestamp_seconds" [];
        /// Objects that the newest backup put and that are not locked as configured.
        not_locked: IntGauge = "trailkeeper_backup_objects_not_locked" [];
        /// Objects of the archive by whether they are locked as configured: locked, not_locked.
        archive_objects: IntGaugeVec = "trailkeeper_archive_objects" ["lock"];
        /// Size of the archive without its manifests, in bytes.
        archive_bytes: IntGauge = "trailkeeper_archive_bytes" [];
        /// When the first lock ends of the objects that a restore of the newest state needs, in seconds since 1970; 0 where there are none.
        first_lock_end_seconds: Gauge = "trailkeeper_archive_first_lock_end_timestamp_seconds" [];
        /// When the newest drill of the archive ended, in seconds since 1970; 0 where there was none.
        drill_seconds: Gauge = "trailkeeper_drill_last_timestamp_seconds" [];
        /// Whether the newest drill passed.
        drill_passed: IntGauge = "trailkeeper_drill_passed" [];
        /// How long restoring took in the newest drill, in seconds.
        drill_recovery_seconds: Gauge = "trailkeeper_drill_recovery_seconds" [];
    }
    "Jobs" {
        /// Jobs in the database by state and kind.
        jobs: IntGaugeVec = "trailkeeper_jobs" ["state", "kind"];
        /// How long the oldest job that is due has been waiting, in seconds; 0 where none is.
        queue_age_seconds: Gauge = "trailkeeper_queue_oldest_age_seconds" [];
        /// Jobs that this worker put into the queue, by kind: for messages, schedules and requests, and as parts of others. Those of commands are not counted.
        enqueued: IntCounterVec = "trailkeeper_jobs_enqueued_total" ["kind"];
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
    }
    "Schedules" {
        /// Fires of schedules by what became of them: fired, skipped_late (missed, and not made up for), skipped_overlap.
        fires: IntCounterVec = "trailkeeper_schedule_fires_total" ["schedule", "decision"];
        /// When the newest fire of a schedule was due, in seconds since 1970; 0 where there was none.
        last_fire_seconds: GaugeVec = "trailkeeper_schedule_last_fire_timestamp_seconds" ["schedule"];
        /// How long after it was due the newest fire was decided about, in seconds.
        schedule_lag_seconds: GaugeVec = "trailkeeper_schedule_lag_seconds" ["schedule"];
        /// When the fire is due that this worker looks for next, in seconds since 1970, paused or not: in the past if nobody has decided about it. Absent before the first look, and where no fire is to come.
        next_fire_seconds: GaugeVec = "trailkeeper_schedule_next_fire_timestamp_seconds" ["schedule"];
        /// Whether a schedule is paused, by its file or by an operator.
        schedule_paused: IntGaugeVec = "trailkeeper_schedule_paused" ["schedule"];
    }
    "RabbitMQ" {
        /// Whether the connections to RabbitMQ stand: consume, publish. Absent where amqp.url is not set.
        amqp_connected: IntGaugeVec = "trailkeeper_amqp_connected" ["connection"];
        /// Messages from RabbitMQ by what became of them: new, duplicate.
        amqp_consumed: IntCounterVec = "trailkeeper_amqp_messages_total" ["result"];
        /// Messages from RabbitMQ that were rejected, by reason.
        amqp_rejected: IntCounterVec = "trailkeeper_amqp_rejected_total" ["reason"];
        /// Events sent to RabbitMQ by result: confirmed, unroutable, refused, failed, dropped.
        amqp_published: IntCounterVec = "trailkeeper_amqp_published_total" ["result"];
        /// Connections to RabbitMQ that had to be made again.
        amqp_reconnects: IntCounter = "trailkeeper_amqp_reconnects_total" [];
        /// Events that wait to be sent.
        outbox_depth: IntGauge = "trailkeeper_outbox_messages" [];
        /// How long the oldest event has been waiting to be sent, in seconds; 0 where none is.
        outbox_age_seconds: Gauge = "trailkeeper_outbox_oldest_age_seconds" [];
    }
    "Rights of data subjects" {
        /// Requests for erasure that are not ended, by state.
        erasures: IntGaugeVec = "trailkeeper_erasures" ["state"];
        /// Requests for erasure that are not ended and whose time is over.
        erasures_overdue: IntGauge = "trailkeeper_erasures_overdue" [];
        /// Seconds until the first request for erasure has to be done; negative when its time is over, absent where none is open.
        erasure_due_seconds: GaugeVec = "trailkeeper_erasure_due_seconds" [];
        /// Records of the consent ledger by status: granted, withdrawn.
        consents: IntGaugeVec = "trailkeeper_consent_records" ["status"];
    }
    "Compliance" {
        /// Active API keys by organisation and status, at their newest check. Organisation "other" is those beyond metrics.max_organizations.
        api_keys: IntGaugeVec = "trailkeeper_api_keys" ["organization", "status"];
        /// How the items of the compliance checklist stood when all organisations were last looked at: 1 for the status that holds.
        checklist_items: IntGaugeVec = "trailkeeper_checklist_items" ["item", "status"];
    }
    "Notifications" {
        /// Attempts to send messages that came to an end, by channel and result: sent, failed (it is tried again), given_up. Absent where no channels are configured.
        notifications: IntCounterVec = "trailkeeper_notifications_total" ["channel", "result"];
        /// Messages that wait to be sent, by channel.
        notifications_pending: IntGaugeVec = "trailkeeper_notifications_pending" ["channel"];
        /// How long the oldest message has been waiting to be sent, in seconds, by channel; 0 where none is.
        notifications_age_seconds: GaugeVec = "trailkeeper_notifications_oldest_seconds" ["channel"];
        /// Alerts that the worker itself found and that are not over, by severity: info, warning, critical; 0 while no channels are configured.
        alerts_firing: IntGaugeVec = "trailkeeper_alerts_firing" ["severity"];
    }
    "HTTP" {
        /// Requests to the HTTP interface, by route, method and status.
        http_requests: IntCounterVec = "trailkeeper_http_requests_total" ["route", "method", "status"];
        /// How long requests took until their answer began, in seconds.
        http_request_seconds: RequestSeconds = "trailkeeper_http_request_seconds" ["route"];
    }
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
