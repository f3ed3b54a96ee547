//! Makes series before there is anything to tell, so that the first event of a kind is a rise from 0, and alerts find what they look at.

use super::Metrics;
use crate::notify::Severity;

/// What becomes of runs.
const ENDINGS: [&str; 7] = [
    "succeeded",
    "retrying",
    "dead",
    "cancelled",
    "waiting",
    "released",
    "lease_lost",
];

/// Which label values there are.
#[derive(Debug, Clone, Default)]
pub struct Start<'a> {
    /// Kinds of jobs.
    pub kinds: Vec<&'a str>,
    /// States of jobs.
    pub job_states: Vec<&'a str>,
    /// Schedules.
    pub schedules: Vec<&'a str>,
    /// Path, method and usual status of the HTTP interface's routes; none where it is off.
    pub routes: Vec<(&'a str, &'a str, u16)>,
    /// Channels of `[notify]`.
    pub channels: Vec<&'a str>,
}

impl Metrics {
    /// Makes them, each at 0.
    pub fn start(&self, start: &Start<'_>) {
        for kind in &start.kinds {
            for state in &start.job_states {
                self.jobs.with_label_values(&[*state, *kind]);
            }
            for ending in ENDINGS {
                self.runs.with_label_values(&[*kind, ending]);
            }
            self.enqueued.with_label_values(&[*kind]);
            self.running.with_label_values(&[*kind]);
            self.run_seconds.with_label_values(&[*kind]);
            self.wait_seconds.with_label_values(&[*kind]);
        }
        for state in ["retried", "dead", "cancelled"] {
            self.rescued.with_label_values(&[state]);
        }
        for schedule in &start.schedules {
            for decision in ["fired", "skipped_late", "skipped_overlap"] {
                self.fires.with_label_values(&[*schedule, decision]);
            }
            self.last_fire_seconds.with_label_values(&[*schedule]);
            self.schedule_lag_seconds.with_label_values(&[*schedule]);
            self.schedule_paused.with_label_values(&[*schedule]);
        }
        for (route, method, status) in &start.routes {
            for status in [*status, 500] {
                let status = status.to_string();
                let labels = [*route, *method, status.as_str()];
                self.http_requests.with_label_values(&labels);
            }
            self.http_request_seconds.with_label_values(&[*route]);
        }
        for channel in &start.channels {
            for result in ["sent", "failed", "given_up"] {
                self.notifications.with_label_values(&[*channel, result]);
            }
            self.notifications_pending.with_label_values(&[*channel]);
            self.notifications_age_seconds
                .with_label_values(&[*channel]);
        }
        for severity in Severity::ALL {
            self.alerts_firing.with_label_values(&[severity.name()]);
        }
        for extent in ["whole", "part"] {
            self.verification_seconds.with_label_values(&[extent]);
            self.verification_duration_seconds
                .with_label_values(&[extent]);
            self.verification_speed.with_label_values(&[extent]);
        }
        for which in ["all", "covered"] {
            self.full_check_entries.with_label_values(&[which]);
        }
        for lock in ["locked", "not_locked"] {
            self.archive_objects.with_label_values(&[lock]);
        }
        for status in ["granted", "withdrawn"] {
            self.consents.with_label_values(&[status]);
        }
    }
}
