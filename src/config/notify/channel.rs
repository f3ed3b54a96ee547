//! A receiver of notices, and how it is reached.

use schemars::JsonSchema;
use serde::Deserialize;

/// A receiver of notices.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// Its name, by which routes and metrics know it.
    pub name: String,
}

impl Channel {
    /// Whether it wants an alert again and again for as long as it goes on, as an Alertmanager does, which takes it for ended otherwise.
    /// Such a channel has limits and reminders of its own.
    #[must_use]
    pub fn resends(&self) -> bool {
        false
    }
}
