//! What is told: an alert, and the message about it to one receiver.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much an alert matters, as in `config/alerts.yml`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Somebody should know.
    Info,
    /// Somebody should act on a working day.
    Warning,
    /// Somebody should act now.
    Critical,
}

impl Severity {
    /// All of them, from the least on.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Something that is wrong, or was.
///
/// It holds no personal data: organisations, kinds of jobs and counts, never users, keys or what entries say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Its name, the same as the rule's in `config/alerts.yml`, such as `TrailkeeperIntegrityFailed`.
    pub name: String,
    /// What tells it from others of its name, such as `organization` or `kind`. With the name they are its identity.
    pub labels: BTreeMap<String, String>,
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong, in a line.
    pub summary: String,
    /// What it means, and with which numbers.
    pub description: String,
    /// What to do.
    pub runbook_url: String,
    /// Where to look, if there is a status page.
    pub link: Option<String>,
    /// Since when.
    pub starts_at: Timestamp,
    /// When it was over; not yet without it.
    pub ends_at: Option<Timestamp>,
}

impl Alert {
    /// Name and labels in one, the same for ever: `TrailkeeperIntegrityFailed{organization="7"}`.
    #[must_use]
    pub fn identity(&self) -> String {
        let labels: Vec<String> = self
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        format!("{}{{{}}}", self.name, labels.join(","))
    }
}

/// Why a notice is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// The alert began.
    Firing,
    /// It goes on.
    Reminder,
    /// It is over.
    Resolved,
    /// Somebody wants to know whether messages arrive.
    Test,
}

impl Moment {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Firing, Self::Reminder, Self::Resolved, Self::Test];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Reminder => "reminder",
            Self::Resolved => "resolved",
            Self::Test => "test",
        }
    }
}

/// One message about an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// A UUID, the same at each attempt, by which a receiver knows a second delivery.
    pub id: String,
    /// Why.
    pub moment: Moment,
    /// About what.
    pub alert: Alert,
    /// When it was written.
    pub at: Timestamp,
}
