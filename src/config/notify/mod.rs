//! The section `[notify]`: who is told what.

mod channel;

use schemars::JsonSchema;
use serde::Deserialize;

pub use channel::Channel;

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
        Vec::new()
    }

    /// The channel of that name.
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels.iter().find(|it| it.name == name)
    }
}
