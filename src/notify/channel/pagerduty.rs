//! `PagerDuty`'s Events API v2. <https://developer.pagerduty.com/docs/send-alert-event>

use serde_json::{Map, Value, json};

use super::{SendError, SetupError, cut, digest, facts, is_link, line, links, post_json};
use crate::{
    config::{Channel, Secret},
    notify::{Moment, Notice, http::Client},
};

/// `PagerDuty`'s limit is 1024 characters.
const MAX_SUMMARY: usize = 1000;
const MAX_DETAIL: usize = 4000;

pub(super) struct Pagerduty {
    client: Client,
    routing_key: Secret,
}

impl Pagerduty {
    pub(super) fn new(channel: &Channel) -> Result<Self, SetupError> {
        Ok(Self {
            client: Client::new(channel)?,
            routing_key: channel.secret.clone(),
        })
    }

    pub(super) async fn send(&self, notice: &Notice, source: &str) -> Result<(), SendError> {
        for action in actions(notice.moment) {
            let mut event = event(notice, source, action);
            event["routing_key"] = self.routing_key.expose().into();
            post_json(&self.client, &event).await?;
        }
        Ok(())
    }
}

/// A reminder triggers again, which adds to the incident that is open; a test leaves none behind.
pub(super) fn actions(moment: Moment) -> &'static [&'static str] {
    match moment {
        Moment::Firing | Moment::Reminder => &["trigger"],
        Moment::Resolved => &["resolve"],
        Moment::Test => &["trigger", "resolve"],
    }
}

/// The event, without the key.
pub(super) fn event(notice: &Notice, source: &str, action: &str) -> Value {
    let alert = &notice.alert;
    // An identity may be longer than the 255 characters that a key may have.
    let mut event = json!({
        "event_action": action,
        "dedup_key": digest(&alert.identity()),
    });
    if action != "trigger" {
        return event;
    }
    let mut details = Map::new();
    if !alert.description.is_empty() {
        let text = cut(&alert.description, MAX_DETAIL);
        details.insert("description".to_owned(), text.into());
    }
    for (name, value) in facts(notice, source) {
        details.insert(name, value.into());
    }
    event["payload"] = json!({
        "summary": cut(&line(&alert.summary), MAX_SUMMARY),
        "source": source,
        "severity": alert.severity.name(),
        "timestamp": alert.starts_at,
        "component": "trailkeeper",
        "class": alert.name,
        "custom_details": details,
    });
    let links: Vec<Value> = links(alert)
        .into_iter()
        .map(|(name, url)| json!({"href": url, "text": name}))
        .collect();
    event["links"] = links.into();
    event["client"] = "trailkeeper".into();
    if let Some(link) = alert.link.as_deref().filter(|link| is_link(link)) {
        event["client_url"] = link.into();
    }
    event
}
