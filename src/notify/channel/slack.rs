//! Slack's incoming webhooks. <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>

use serde_json::{Value, json};

use super::{SendError, SetupError, cut, facts, line, links, post_json, tag};
use crate::{
    config::Channel,
    notify::{Moment, Notice, Severity, http::Client},
};

/// Slack's limit is 3000 characters, after escaping.
const MAX_TEXT: usize = 2000;
const MAX_FACT: usize = 200;
/// Slack's limit.
const MAX_FACTS: usize = 10;

pub(super) struct Slack {
    client: Client,
}

impl Slack {
    pub(super) fn new(channel: &Channel) -> Result<Self, SetupError> {
        let client = Client::new(channel)?;
        Ok(Self { client })
    }

    pub(super) async fn send(&self, notice: &Notice, source: &str) -> Result<(), SendError> {
        post_json(&self.client, &message(notice, source)).await
    }
}

/// The message: a line that notifications show as well, and below it, behind a bar of colour, the rest.
pub(super) fn message(notice: &Notice, source: &str) -> Value {
    let alert = &notice.alert;
    let title = format!(
        "*[{}]* {}",
        tag(notice),
        escaped(&cut(&line(&alert.summary), MAX_FACT))
    );
    let facts = facts(notice, source).into_iter().take(MAX_FACTS);
    let fields: Vec<Value> = facts
        .map(|(name, value)| {
            let value = cut(&line(&value), MAX_FACT);
            json!({"type": "mrkdwn", "text": format!("*{}*\n{}", escaped(&name), escaped(&value))})
        })
        .collect();
    let mut blocks = Vec::new();
    if !alert.description.is_empty() {
        let text = escaped(&cut(&alert.description, MAX_TEXT));
        blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": text}}));
    }
    blocks.push(json!({"type": "section", "fields": fields}));
    let links: Vec<String> = links(alert)
        .into_iter()
        .map(|(name, url)| format!("<{}|{name}>", address(url)))
        .collect();
    if !links.is_empty() {
        let text = links.join(" · ");
        let elements = json!([{"type": "mrkdwn", "text": text}]);
        blocks.push(json!({"type": "context", "elements": elements}));
    }
    json!({
        "text": title,
        "attachments": [{"color": colour(notice), "blocks": blocks}],
    })
}

/// The three characters that mean something to Slack: `<!channel>` would call everybody.
/// <https://docs.slack.dev/messaging/formatting-message-text/#escaping>
fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;");
    text.replace('<', "&lt;").replace('>', "&gt;")
}

/// A URL between `<` and `|`.
fn address(url: &str) -> String {
    escaped(
        &url.replace('|', "%7C")
            .replace('<', "%3C")
            .replace('>', "%3E"),
    )
}

fn colour(notice: &Notice) -> &'static str {
    match (notice.moment, notice.alert.severity) {
        (Moment::Resolved, _) => "#2e7d32",
        (Moment::Test, _) | (_, Severity::Info) => "#1565c0",
        (_, Severity::Warning) => "#f9a825",
        (_, Severity::Critical) => "#c62828",
    }
}
