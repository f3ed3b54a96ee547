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
