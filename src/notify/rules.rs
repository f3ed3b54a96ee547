//! What is told by itself: names, severities and words, the same as in `config/alerts.yml`, to which a test holds them.
//!
//! The words have Prometheus' own places in them (`{{ $labels.kind }}`), so that one text serves both.

use std::collections::BTreeMap;

use super::Severity;

/// An alert that a worker can judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// For how many seconds it has to be so before anybody is told.
    pub wait_seconds: i64,
    /// What is wrong, in a line.
    summary: &'static str,
    /// What it means.
    description: &'static str,
    /// The page of the status page that shows it.
    pub page: &'static str,
}

/// All of them.
pub const RULES: &[Rule] = &[
    Rule {
        name: "TrailkeeperIntegrityFailed",
        severity: Severity::Critical,
        wait_seconds: 0,
        summary: "The audit trail of organisation {{ $labels.organization }} was tampered with",
        description: "A verification found that the trail of organisation \"{{ $labels.organization }}\" is not as QWED wrote it \
                      (\"anchors\" stands for the anchors themselves, \"other\" for those beyond metrics.max_organizations). The outcome \
                      of the verification names entry and cause.",
        page: "/status",
    },
    Rule {
        name: "TrailkeeperIntegrityDegraded",
        severity: Severity::Warning,
        wait_seconds: 300,
        summary: "Entries of organisation {{ $labels.organization }} can no longer be verified",
        description: "The trail of organisation \"{{ $labels.organization }}\" was intact within the last 14 days, and now some of its \
                      entries cannot be verified. Whoever blanks hashes makes a trail so.",
        page: "/status",
    },
    Rule {
        name: "TrailkeeperVerificationStale",
        severity: Severity::Critical,
        wait_seconds: 900,
        summary: "The trail has not been verified for {{ $value | humanizeDuration }}",
        description: "Neither a whole verification nor a slice of a rolling one has come to its end for {{ $value | humanizeDuration \
                      }}. The nightly one should have run at least once in 36 hours.",
        page: "/status",
    },
    Rule {
        name: "TrailkeeperVerificationNeverSucceeded",
        severity: Severity::Critical,
        wait_seconds: 900,
        summary: "The trail was never verified",
        description: "The state database is more than 26 hours old, and no verification of all organisations has ever come to its \
                      end.",
        page: "/status",
    },
    Rule {
        name: "TrailkeeperFullCheckOverdue",
        severity: Severity::Warning,
        wait_seconds: 900,
        summary: "Some anchored entries were not checked in full for {{ $value | humanizeDuration }}",
        description: "The rolling verification should check everything within verify.rolling_days (7) and a day. The entries that \
                      have waited for longest were last checked {{ $value | humanizeDuration }} ago.",
        page: "/status",
    },
    Rule {
        name: "TrailkeeperAnchorStale",
        severity: Severity::Warning,
        wait_seconds: 900,
        summary: "No anchor was made for more than three hours",
        description: "Anchors are made every hour. What was written since the newest one can be removed from the end of a trail \
                      without a trace.",
        page: "/status",
    },
    Rule {
        name: "TrailkeeperArchiveFailed",
        severity: Severity::Critical,
        wait_seconds: 900,
        summary: "No backup has reached the archive for more than 36 hours",
        description: "The nightly backup did not run or does not come to its end, or there never was one. What was written since the \
                      newest backup exists only in QWED's database.",
        page: "/status/archive",
    },
    Rule {
        name: "TrailkeeperArchiveNotLocked",
        severity: Severity::Critical,
        wait_seconds: 300,
        summary: "{{ $value }} objects of the newest backup are not locked as configured",
        description: "Whoever may write to the store may also delete or replace {{ $value }} objects of the newest backup. The store \
                      did not lock them as objects.lock_mode wants.",
        page: "/status/archive",
    },
    Rule {
        name: "TrailkeeperDrillFailed",
        severity: Severity::Critical,
        wait_seconds: 300,
        summary: "The newest drill of the archive failed",
        description: "The newest backup could not be restored, or is not what was anchored, or not what the live trail is.",
        page: "/status/archive",
    },
    Rule {
        name: "TrailkeeperDrillStale",
        severity: Severity::Warning,
        wait_seconds: 900,
        summary: "The archive was not restored to try it for more than eight days",
        description: "The weekly drill did not run, or does not come to its end, or there never was one. That the archive can be \
                      restored is a guess until it does.",
        page: "/status/archive",
    },
    Rule {
        name: "TrailkeeperDeadJobs",
        severity: Severity::Warning,
        wait_seconds: 60,
        summary: "{{ $value }} jobs of the kind {{ $labels.kind }} failed for good",
        description: "{{ $value }} jobs of the kind {{ $labels.kind }} used up their attempts, or failed in a way that no other \
                      attempt mends. They stay until somebody looks.",
        page: "/status/jobs",
    },
    Rule {
        name: "TrailkeeperQueueOld",
        severity: Severity::Warning,
        wait_seconds: 300,
        summary: "A job has been waiting for {{ $value | humanizeDuration }}",
        description: "The oldest job that is due has been waiting for {{ $value | humanizeDuration }}. There are too few workers, \
                      one of them hangs, or none serves its queue.",
        page: "/status/jobs",
    },
    Rule {
        name: "TrailkeeperOutboxStuck",
        severity: Severity::Warning,
        wait_seconds: 300,
        summary: "An event has been waiting for {{ $value | humanizeDuration }} to be sent",
        description: "The oldest event has been waiting for {{ $value | humanizeDuration }}. RabbitMQ is away, refuses events, or \
                      has no queue that takes them.",
        page: "/status",
    },
    Rule {
        name: "TrailkeeperErasureDeadlineNear",
        severity: Severity::Warning,
        wait_seconds: 900,
        summary: "A request for erasure has to be carried out within {{ $value | humanizeDuration }}",
        description: "The law gives a month (Art. 12(3) GDPR), and of the most urgent request {{ $value | humanizeDuration }} are \
                      left. It waits for an approval, a hold, or an entry after the organisation's newest.",
        page: "/status/erasures",
    },
    Rule {
        name: "TrailkeeperErasureDeadlinePassed",
        severity: Severity::Critical,
        wait_seconds: 0,
        summary: "{{ $value }} requests for erasure were not carried out in time",
        description: "The time that the law gives for {{ $value }} requests for erasure is over (Art. 12(3) GDPR), and they are \
                      still open.",
        page: "/status/erasures",
    },
    Rule {
        name: "TrailkeeperErasureAwaitsApproval",
        severity: Severity::Info,
        wait_seconds: 86_400,
        summary: "{{ $value }} plans of erasures wait for an approval",
        description: "For a day there have been plans of erasures that somebody has to approve; now there are {{ $value }}. Their \
                      time goes on meanwhile.",
        page: "/status/erasures",
    },
    Rule {
        name: "TrailkeeperKeysOverdue",
        severity: Severity::Warning,
        wait_seconds: 3_600,
        summary: "{{ $value }} API keys of organisation {{ $labels.organization }} are due for rotation",
        description: "{{ $value }} active API keys of organisation \"{{ $labels.organization }}\" are older than keys.max_age_days.",
        page: "/status/keys",
    },
    Rule {
        name: "TrailkeeperChecklistFailing",
        severity: Severity::Warning,
        wait_seconds: 3_600,
        summary: "The item {{ $labels.item }} of the compliance checklist fails",
        description: "The newest checklist of all organisations says that {{ $labels.item }} is not fulfilled, and what to do about \
                      it.",
        page: "/status",
    },
];

/// Rules of `config/alerts.yml` that no worker judges, and why.
pub const FOR_PROMETHEUS: &[(&str, &str)] = &[
    (
        "TrailkeeperSchedulerBehind",
        "when a fire is due is known to each worker's ticker and not to the database; a worker that hangs tells nothing",
    ),
    (
        "TrailkeeperAmqpDown",
        "it is about one worker's connection; what it leads to, events that wait, is TrailkeeperOutboxStuck",
    ),
    ("TrailkeeperWorkerAbsent", "no worker is there to tell it"),
    (
        "TrailkeeperWorkerVanished",
        "it counts what happened to leases, which the database does not keep",
    ),
    (
        "TrailkeeperStateUnreachable",
        "alerts are kept in the database that cannot be reached",
    ),
    (
        "TrailkeeperNotificationFailing",
        "what cannot be sent cannot say so",
    ),
];

/// The rule of that name.
#[must_use]
pub fn rule(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}

impl Rule {
    /// Summary and description with these labels and this value in their places.
    #[must_use]
    pub fn words(&self, labels: &BTreeMap<String, String>, value: i64) -> (String, String) {
        let filled = |text: &str| {
            let mut text = text
                .replace("{{ $value | humanizeDuration }}", &duration(value))
                .replace("{{ $value }}", &value.to_string());
            for (name, label) in labels {
                text = text.replace(&format!("{{{{ $labels.{name} }}}}"), label);
            }
            text
        };
        (filled(self.summary), filled(self.description))
    }

    /// Where the runbook is, below this address or directory.
    #[must_use]
    pub fn runbook(&self, base: &str) -> String {
        format!("{}/{}.md", base.trim_end_matches('/'), self.name)
    }
}

/// Seconds as Prometheus' `humanizeDuration` writes them.
fn duration(seconds: i64) -> String {
    let sign = if seconds < 0 { "-" } else { "" };
    let seconds = seconds.unsigned_abs();
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match seconds {
        86_400.. => format!("{sign}{days}d {hours}h {minutes}m {rest}s"),
        3600.. => format!("{sign}{hours}h {minutes}m {rest}s"),
        60.. => format!("{sign}{minutes}m {rest}s"),
        _ => format!("{sign}{rest}s"),
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
