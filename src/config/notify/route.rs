//! Which channels hear of which alerts.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{super::nearest, Channel, Invalid};
use crate::notify::{Alert, Severity, rules::RULES};

/// Sends alerts to channels: all that fit every condition of it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The names of the channels.
    pub channels: Vec<String>,
    /// The least severity; `info` without it.
    pub min_severity: Option<Severity>,
    /// The ids of the organisations that it is for; all, and what is of none, where it is empty.
    #[serde(default)]
    pub organizations: Vec<i64>,
    /// The names of the alerts that it is for; all where it is empty.
    #[serde(default)]
    pub alerts: Vec<String>,
}

impl Route {
    /// Whether an alert takes it.
    #[must_use]
    pub fn takes(&self, alert: &Alert) -> bool {
        let organization = || alert.labels.get("organization")?.parse().ok();
        self.min_severity
            .is_none_or(|least| alert.severity >= least)
            && (self.alerts.is_empty() || self.alerts.contains(&alert.name))
            && (self.organizations.is_empty()
                || organization().is_some_and(|id| self.organizations.contains(&id)))
    }

    /// What is wrong with the values of the route at `place`, counted from 0.
    pub(super) fn validate(&self, place: usize, channels: &[Channel]) -> Vec<Invalid> {
        let mut broken = Vec::new();
        let key = |name: &str| format!("notify.routes[{place}].{name}");
        if self.channels.is_empty() {
            broken.push(Invalid::new(key("channels"), "is empty: it leads nowhere"));
        }
        let known = || channels.iter().map(|channel| channel.name.as_str());
        for name in &self.channels {
            if !known().any(|it| it == name) {
                let problem = unknown("channel", name, known());
                broken.push(Invalid::new(key("channels"), problem));
            }
        }
        let known = || RULES.iter().map(|rule| rule.name);
        for name in &self.alerts {
            if !known().any(|it| it == name) {
                let problem = unknown("alert", name, known());
                broken.push(Invalid::new(key("alerts"), problem));
            }
        }
        broken
    }
}

fn unknown<'n>(what: &str, name: &str, known: impl Iterator<Item = &'n str>) -> String {
    let hint = nearest(name, known).map(|near| format!("; did you mean {near:?}?"));
    format!(
        "names the {what} {name:?}, which there is not{}",
        hint.unwrap_or_default()
    )
}
