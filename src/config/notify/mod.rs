//! The section `[notify]`: who is told what.

mod address;
mod channel;
mod rules;

use schemars::JsonSchema;
use serde::Deserialize;

pub use address::is_public;
pub use channel::{Channel, ChannelKind, SmtpTls};
pub use rules::literal_address;

use super::Invalid;

/// Who is told when something is wrong.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// Receivers.
    pub channels: Vec<Channel>,
}

impl Notify {
    /// What is wrong with the values.
    #[must_use]
    pub fn validate(&self) -> Vec<Invalid> {
        let mut broken = Vec::new();
        let mut fail = |problem: String| broken.push(Invalid::new("notify.channels", problem));
        for (index, channel) in self.channels.iter().enumerate() {
            let name = &channel.name;
            for problem in channel.problems() {
                let comma = if problem.starts_with(';') {
                    ""
                } else {
                    ", which "
                };
                fail(format!("lists {name:?}{comma}{problem}"));
            }
            let others = &self.channels[..index];
            if others.iter().any(|other| other.name == *name) {
                fail(format!("lists {name:?} twice"));
            }
        }
        broken
    }

    /// The channel of that name.
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels.iter().find(|it| it.name == name)
    }
}

#[cfg(test)]
mod tests;
