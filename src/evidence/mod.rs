//! Floor 2: QWED's records as CSV that auditors take away: the audit trail and the security events of one organisation and period.
//!
//! ```text
//! rows in order of id ──┬─ full: each judged as it passes, beside its anchored leaf ───────────────────▶ CSV, the oldest first
//!                       └─ qwed: as QWED's own export spells it ──▶ sorted on disk (newest_first) ──▶ CSV, the newest first
//! ```
//!
//! [`write_log`] and [`write_events`] write to anything; [`to_file`] and [`deliver`] also say in a manifest what it is, with its
//! SHA-256. Memory is bounded by a window of rows, whatever there is. Left out: who may have it, which is for the caller to
//! know; and verdicts on whole trails, which are a verification's: what an entry alone cannot show (that others are missing) is
//! not here.

mod deliver;
mod events;
mod full_profile;
mod leaves;
mod line;
mod log;
mod manifest;
mod newest_first;
pub mod qwed_profile;

use std::io;

use jiff::{Timestamp, ToSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::{
    deliver::{Delivered, Order, deliver, manifest_path, to_file},
    events::write_events,
    full_profile::EntryVerdict,
    log::{Trail, write_log},
    manifest::{Manifest, Written},
};
use crate::{
    objects::VaultError,
    qwed::{Period, ReadError},
    state::StateError,
    tombstones::OpenError,
    trail::time::{Time, stored_text},
};

/// How far QWED's own export looks back.
const QWED_DAYS: i64 = 30;

/// How rows are spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Every column as it is stored, and what this program says of each entry; the oldest first. No cell is a formula.
    #[default]
    Full,
    /// Byte for byte as QWED's own export, the newest first. Formulas are not defused, as QWED does not.
    Qwed,
}

/// Which records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// The audit trail.
    #[default]
    VerificationLog,
    /// What QWED blocked or found suspicious.
    SecurityEvents,
}

impl Content {
    /// As files are named.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::VerificationLog => "verification_log",
            Self::SecurityEvents => "security_events",
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The organisation.
    pub organization_id: i64,
    /// Only records of this period; all where it has no ends.
    pub period: Period,
    /// How they are spelled.
    pub profile: Profile,
}

impl Asked {
    /// The same, with the period that QWED's own export has if none is given: the last thirty days.
    #[must_use]
    pub fn with_qweds_period(mut self, now: Timestamp) -> Self {
        if self.profile == Profile::Qwed && self.period == Period::default() {
            let from = now.checked_sub((QWED_DAYS * 24).hours());
            self.period = Period {
                from: from.ok().map(Timestamp::as_microsecond),
                to: Some(now.as_microsecond()),
            };
        }
        self
    }
}

/// Why there is no evidence. What is wrong with entries is no error but part of it.
#[derive(Debug, Error)]
pub enum EvidenceError {
    /// QWED's database could not be read.
    #[error(transparent)]
    Qwed(#[from] ReadError),
    /// Our database could not be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The object store failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// It could not be written.
    #[error("cannot write the evidence: {0}")]
    Write(#[from] io::Error),
    /// There is a file of this name, which stays as it is.
    #[error("{0} is there already, and nothing is overwritten; give another name")]
    Exists(String),
    /// Nobody ever was of this organisation.
    #[error("there is no organisation {0}, and no record that names it")]
    NoOrganization(i64),
    /// Entries were erased beside each attempt.
    #[error("entries were erased all the time while they were exported; try again later")]
    Erasing,
    /// Stopped on request.
    #[error("interrupted")]
    Interrupted,
}

impl EvidenceError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Qwed(error) => !matches!(error, ReadError::NotQwed { .. }),
            Self::Vault(error) => error.is_transient(),
            Self::State(error) => error.is_transient(),
            Self::Write(_) | Self::Erasing | Self::Interrupted => true,
            Self::Exists(_) | Self::NoOrganization(_) => false,
        }
    }
}

impl From<OpenError> for EvidenceError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Read(error) => Self::Qwed(error),
            OpenError::State(error) => Self::State(error),
        }
    }
}

/// Says which times lie in a period, both ends included, by the rule of whichever database holds them.
struct Within {
    period: Period,
    /// The ends as SQLite compares them for QWED: as text.
    from: Option<String>,
    to: Option<String>,
}

impl Within {
    fn new(period: Period) -> Self {
        Self {
            period,
            from: period.from.map(stored_text),
            to: period.to.map(stored_text),
        }
    }

    fn holds(&self, time: Time<'_>) -> bool {
        if self.period == Period::default() {
            return true;
        }
        let (from, to) = (&self.from, &self.to);
        match time {
            Time::Text(text) => {
                from.as_ref().is_none_or(|from| text >= from.as_bytes())
                    && to.as_ref().is_none_or(|to| text <= to.as_bytes())
            }
            Time::Micros(micros) => {
                self.period.from.is_none_or(|from| micros >= from)
                    && self.period.to.is_none_or(|to| micros <= to)
            }
            Time::Invalid => false,
        }
    }
}
