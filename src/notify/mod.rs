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

mod authorities;
mod channel;
mod dispatch;
mod guard;
mod http;
mod notice;
pub mod rules;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::config;

pub use self::{
    channel::{KEEP_FOR, Prospect, SendError, Sender, SetupError, test_notice},
    dispatch::{Failure, MORE_ALERTS, Notifier, Now, Receiver, Retry},
    notice::{Alert, Moment, Notice, Severity},
    watch::{facts, judge},
};

/// The receivers of the configured channels, by their names; `source` says whose worker tells them.
///
/// # Errors
/// If what a channel names cannot be used, such as its `ca_file`.
pub fn receivers(
    config: &config::Notify,
    source: &str,
) -> Result<BTreeMap<String, Arc<dyn Receiver>>, (String, SetupError)> {
    // Told again so many times before it is taken for ended: a lost message or two, and a restart, end nothing.
    let keep_for =
        Duration::from_secs(u64::from(config.resend_seconds) * 10).max(Duration::from_secs(300));
    let sender = |channel: &config::Channel| {
        let sender = Sender::new(channel).map_err(|error| (channel.name.clone(), error))?;
        let sender = sender.source(source).keep_for(keep_for);
        let receiver: Arc<dyn Receiver> = Arc::new(sender);
        Ok((channel.name.clone(), receiver))
    };
    config.channels.iter().map(sender).collect()
}

#[async_trait]
impl Receiver for Sender {
    async fn send(&self, notice: &Notice) -> Result<(), Failure> {
        // The method of its own, not this one.
        Self::send(self, notice).await.map_err(|error| Failure {
            retry: match error.kind {
                Prospect::Later { after } => Retry::After(after),
                Prospect::Never => Retry::Never,
            },
            reason: error.reason,
        })
    }
}
