//! The section `[notify]`: who is told what, how often, and for how long it is tried.

mod address;
mod channel;
mod route;
mod rules;

use schemars::JsonSchema;
use serde::Deserialize;

pub use address::is_public;
pub use channel::{Channel, ChannelKind, SmtpTls};
pub use route::Route;
pub use rules::literal_address;

use super::Invalid;
use crate::notify::Alert;

/// Who is told when something is wrong.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// Where people reach the HTTP interface, for links to its status page; empty for no links.
    pub status_url: String,
    /// Where the runbooks are: an address, or the directory of the repository.
    pub runbooks_url: String,
    /// How long after a message about an alert that goes on the next one is sent.
    #[schemars(range(min = 300, max = 604_800))]
    pub remind_after_seconds: u32,
    /// The same for channels that want an alert again and again for as long as it goes on; see [`Channel::resends`].
    #[schemars(range(min = 10, max = 3600))]
    pub resend_seconds: u32,
    /// Messages an hour that one channel is sent, but for those that say that something is over.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_per_hour: u32,
    /// How long a message is tried.
    #[schemars(range(min = 1, max = 720))]
    pub give_up_after_hours: u32,
    /// Receivers.
    pub channels: Vec<Channel>,
    /// Who of them hears of what; all of everything where there are none.
    pub routes: Vec<Route>,
}

impl Notify {
    /// What is wrong with the values.
    #[must_use]
    pub fn validate(&self) -> Vec<Invalid> {
        let mut broken = Vec::new();
        let is_web = |url: &str| url.starts_with("https://") || url.starts_with("http://");
        if !self.status_url.is_empty() && !is_web(&self.status_url) {
            let problem = "has to begin with https:// or http://";
            broken.push(Invalid::new("notify.status_url", problem));
        }
        if self.runbooks_url.is_empty() {
            let problem = "is empty; leave it out for the directory of the repository";
            broken.push(Invalid::new("notify.runbooks_url", problem));
        }
        for (index, channel) in self.channels.iter().enumerate() {
            let name = &channel.name;
            for problem in channel.problems() {
                let comma = if problem.starts_with(';') {
                    ""
                } else {
                    ", which "
                };
                broken.push(Invalid::new(
                    "notify.channels",
                    format!("lists {name:?}{comma}{problem}"),
                ));
            }
            let others = &self.channels[..index];
            if others.iter().any(|other| other.name == *name) {
                broken.push(Invalid::new(
                    "notify.channels",
                    format!("lists {name:?} twice"),
                ));
            }
        }
        for (place, route) in self.routes.iter().enumerate() {
            broken.extend(route.validate(place, &self.channels));
        }
        broken
    }

    /// The channel of that name.
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels.iter().find(|it| it.name == name)
    }

    /// The channels that are to hear of an alert, each once, in the order in which they are configured.
    #[must_use]
    pub fn receivers(&self, alert: &Alert) -> Vec<&Channel> {
        let takes = |channel: &&Channel| {
            let mut routes = self.routes.iter();
            self.routes.is_empty()
                || routes.any(|it| it.channels.contains(&channel.name) && it.takes(alert))
        };
        self.channels.iter().filter(takes).collect()
    }
}

#[cfg(test)]
mod route_tests;
#[cfg(test)]
mod tests;
