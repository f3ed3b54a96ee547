//! Floor 2: verifies the trails of a QWED database.
//!
//! [`verify`] scans the table in parallel (`scan`), joins the ranges' segments, finds out what the broken
//! places mean (`conclude`, `diagnose`) and answers a [`report::Report`]. [`pieces`] spreads the same over processes. [`entry`]
//! checks single entries as QWED's `verify_log_entry` does. None of them writes anything, prints anything or decides on
//! exit codes.

mod advice;
mod cause;
mod compare;
mod conclude;
mod diagnose;
pub mod entry;
pub mod part;
pub mod pieces;
pub mod report;
mod rolling;
mod scan;
mod since;
pub mod walk;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::{
    advice::advice,
    rolling::{CoverageReport, NextCheck, verify_tiles},
    since::{Since, verify_since},
};
use self::{
    conclude::{Asked, Case},
    report::{Coverage, Report},
    scan::Scanner,
};
use crate::{
    checkpoint::anchored::Anchored,
    config,
    progress::Progress,
    qwed::{Database, Dialect, Period, ReadError},
    state::StateError,
    tombstones::OpenError,
    trail::keys::KeyRing,
};

/// What to verify.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Scope {
    /// Only these organisations; all where empty.
    pub organizations: Vec<i64>,
    /// Only entries of this period, by QWED's rule: the chain is walked from the period's first entry to its last,
    /// and entries in between that lie outside are not counted.
    pub period: Period,
}

/// How to verify.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Readers side by side, each on a thread of its own.
    pub threads: usize,
    /// How many findings, and ids of failed or legacy entries, are listed for each organisation.
    pub max_findings: usize,
    /// Key range that one reader works on at a time, in ids.
    pub range_ids: u64,
    /// The anchor that the trail is compared with while it is read; of no effect on a period.
    pub anchored: Option<&'a Anchored>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            threads,
            max_findings: 1000,
            range_ids: 16 << 10,
            anchored: None,
        }
    }
}

impl Options<'_> {
    /// As the configuration has it.
    #[must_use]
    pub fn configured(section: &config::Verify, dialect: Dialect) -> Self {
        let mut options = Self {
            max_findings: section.max_findings as usize,
            ..Self::default()
        };
        if section.threads > 0 {
            options.threads = section.threads.into();
        } else if dialect == Dialect::Postgresql {
            // A reader waits for its server now and then; one more keeps the cores busy.
            options.threads += 1;
        }
        options
    }
}

/// Why there is no verdict.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The database could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The tombstones of erased entries could not be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// An organisation that was asked for does not exist.
    #[error("there is no organisation {id}; the database has {known}")]
    NoOrganization {
        /// The id asked for.
        id: i64,
        /// Those that exist, in words.
        known: String,
    },
    /// Stopped on request.
    #[error("interrupted")]
    Interrupted(Coverage),
    /// The threads could not be started.
    #[error("cannot start {threads} threads: {problem}")]
    Threads {
        /// How many.
        threads: usize,
        /// Why not.
        problem: String,
    },
    /// A plan, and what it is to be concluded with, are not of one verification.
    #[error("the plan of this verification cannot be concluded: {0}; start it anew")]
    OtherPlan(String),
}

impl From<OpenError> for VerifyError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Read(error) => Self::Read(error),
            OpenError::State(error) => Self::State(error),
        }
    }
}

/// Verifies what `scope` says with the keys of `ring`.
///
/// The report's times are left to the caller, who has the clock.
///
/// # Errors
/// If something kept it from a verdict. Tampering is no error but a verdict.
pub fn verify(
    database: &Database,
    ring: &Arc<KeyRing>,
    scope: &Scope,
    options: &Options,
    progress: &Progress,
) -> Result<Report, VerifyError> {
    let scanner = Scanner::new(database, ring, *options, progress)?;
    let mut worker = scanner.worker()?;
    let asked = Asked::of(&mut worker, scope, options.anchored)?;
    scanner.give_back(worker);
    let Some(bounds) = asked.bounds() else {
        let anchored = options
            .anchored
            .filter(|_| scope.period == Period::default());
        return Ok(asked.report_of_nothing(database, ring, anchored));
    };
    let filter = scanner.filter(scope.period, bounds.whole)?;
    let case = Case {
        asked: &asked,
        bounds: &bounds,
        filter: &filter,
        limit: options.max_findings.max(1),
    };
    let part = case.read(&scanner)?;
    case.report(&scanner, part)
}
