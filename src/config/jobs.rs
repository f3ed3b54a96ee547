//! The section of jobs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Invalid, nearest};

/// Jobs, their schedules and how they are run.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jobs {
    /// Directory of schedules; empty for those that are part of the program.
    pub dir: PathBuf,
    /// Queues that this worker serves; all where empty.
    pub queues: Vec<String>,
    /// Jobs that run at the same time, 1 to 1024.
    #[schemars(range(min = 1, max = 1024))]
    pub concurrency: u32,
    /// A worker that has not been heard of for so long has lost its jobs, 1 to 3600.
    #[schemars(range(min = 1, max = 3600))]
    pub lease_seconds: u32,
    /// Attempts before a job counts as dead, 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub max_attempts: u32,
    /// First pause before another attempt; in between it doubles.
    #[schemars(range(min = 0, max = 86_400))]
    pub retry_base_seconds: u32,
    /// Longest pause before another attempt, at least the first.
    #[schemars(range(min = 0, max = 86_400))]
    pub retry_max_seconds: u32,
    /// How long results are kept.
    #[schemars(range(min = 1, max = 36_500))]
    pub keep_results_days: u32,
    /// How long it is remembered which messages were seen.
    #[schemars(range(min = 1, max = 36_500))]
    pub keep_inbox_days: u32,
    /// How long running jobs may take to end when the program is asked to.
    #[schemars(range(min = 0, max = 3600))]
    pub drain_seconds: u32,
    /// What differs for a kind of job.
    pub kinds: BTreeMap<String, Kind>,
}

/// What differs for one kind of job.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    /// Jobs of this kind that run at the same time, 1 to 1024; otherwise all that [`Jobs`] allows.
    #[schemars(range(min = 1, max = 1024))]
    pub concurrency: Option<u32>,
    /// Longest time that one attempt may take, 1 to 604800 (a week).
    #[schemars(range(min = 1, max = 604_800))]
    pub timeout_seconds: Option<u32>,
    /// Attempts before a job counts as dead, 1 to 100; otherwise as in [`Jobs`].
    #[schemars(range(min = 1, max = 100))]
    pub max_attempts: Option<u32>,
    /// The higher comes first, -1000 to 1000; otherwise 0.
    #[schemars(range(min = -1000, max = 1000))]
    pub priority: Option<i16>,
}

impl Jobs {
    /// The directory of schedules, if there is one.
    #[must_use]
    pub fn schedules(&self) -> Option<&Path> {
        Some(self.dir.as_path()).filter(|dir| !dir.as_os_str().is_empty())
    }

    /// What is wrong with the values.
    #[must_use]
    pub fn validate(&self) -> Vec<Invalid> {
        let mut broken = Vec::new();
        if self.retry_max_seconds < self.retry_base_seconds {
            let problem = "has to be at least jobs.retry_base_seconds";
            broken.push(Invalid::new("jobs.retry_max_seconds", problem));
        }
        broken
    }

    /// The kinds that are configured and do not exist. The known ones are passed in, as the configuration stands
    /// below the jobs.
    #[must_use]
    pub fn validate_kinds(&self, known: &[&str]) -> Vec<Invalid> {
        let unknown = self
            .kinds
            .keys()
            .filter(|kind| !known.contains(&kind.as_str()));
        let broken = unknown.map(|kind| {
            let hint = match nearest(kind, known.iter().copied()) {
                Some(near) => format!("; did you mean {near}?"),
                None => format!("; there are {}", known.join(", ")),
            };
            Invalid::new(
                format!("jobs.kinds.{kind}"),
                format!("is no kind of job{hint}"),
            )
        });
        broken.collect()
    }
}
