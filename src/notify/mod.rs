//! Floor 2: tells people and pagers what has gone wrong with a trail or with the worker, and when it is over.
//!
//! What is told are *alerts*: states that are on or off ([`Alert`]), found in the state database and not in what just happened,
//! so that a worker that dies between a verdict and its message tells it after its restart. A change of such a state is written
//! together with one *notice* for each channel that is to hear of it ([`Notice`]); notices are sent from there, at least once.
//!
//! ```text
//! facts ──▶ judge ──▶ alert ──▶ notices (routes) ──▶ receivers
//! watch::gather       one transaction                dispatch
//! ```

mod dispatch;
mod notice;
pub mod rules;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config;

pub use self::{
    dispatch::{Failure, MORE_ALERTS, Notifier, Now, Receiver, Retry},
    notice::{Alert, Moment, Notice, Severity},
    watch::{facts, judge},
};

/// The receivers of the configured channels, by their names.
#[must_use]
pub fn receivers(_config: &config::Notify) -> BTreeMap<String, Arc<dyn Receiver>> {
    BTreeMap::new()
}
