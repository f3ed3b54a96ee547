//! What is done with which table.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{self, EraseActivity, EraseEntries, EraseKeys};

/// What is done with which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Entries of the trail.
    pub entries: EraseEntries,
    /// Security events.
    pub security_events: EraseEntries,
    /// API keys, once they are revoked.
    pub api_keys: EraseKeys,
    /// Activities of the subject's agents.
    pub agent_activity: EraseActivity,
    /// The user itself.
    pub user: EraseEntries,
}

/// What a request wants done otherwise than configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Override {
    /// Entries of the trail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<EraseEntries>,
    /// Security events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_events: Option<EraseEntries>,
    /// API keys, once they are revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_keys: Option<EraseKeys>,
    /// Activities of the subject's agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_activity: Option<EraseActivity>,
    /// The user itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<EraseEntries>,
}

impl Policy {
    /// As configured, but for what a request wants otherwise.
    #[must_use]
    pub fn new(settings: &config::Erasure, wanted: Override) -> Self {
        Self {
            entries: wanted.entries.unwrap_or(settings.entries),
            security_events: wanted.security_events.unwrap_or(settings.security_events),
            api_keys: wanted.api_keys.unwrap_or(settings.api_keys),
            agent_activity: wanted.agent_activity.unwrap_or(settings.agent_activity),
            user: wanted.user.unwrap_or(settings.user),
        }
    }
}
