//! Prometheus' Alertmanager, as Prometheus itself speaks to it.
//! <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>
//!
//! Alertmanager takes an alert for the same if its labels are, and for over at its `endsAt`: each notice moves that on.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use url::Url;
use zeroize::Zeroizing;

use super::{SendError, SetupError, is_link};
use crate::{
    clock::Clock,
    config::Channel,
    notify::{Moment, Notice, http::Client},
};

/// How long a test is shown.
const TEST: Duration = Duration::from_secs(60);

pub(super) struct Alertmanager {
    client: Client,
    url: Url,
    headers: HeaderMap,
}

impl Alertmanager {
    pub(super) fn new(channel: &Channel) -> Result<Self, SetupError> {
        let client = Client::new(channel)?;
        let mut url = client.url().clone();
        let path = format!("{}/api/v2/alerts", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(value) = authorization(channel)? {
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(Self {
            client,
            url,
            headers,
        })
    }

    pub(super) async fn send(&self, notice: &Notice, keep_for: Duration) -> Result<(), SendError> {
        let body = json!([alert(notice, Clock.now(), keep_for)]).to_string();
        self.client.post(&self.url, &self.headers, &body).await
    }
}

/// A bearer token, or a user's password.
fn authorization(channel: &Channel) -> Result<Option<HeaderValue>, SetupError> {
    let secret = channel.secret.expose();
    if secret.is_empty() {
        return Ok(None);
    }
    let text = Zeroizing::new(match channel.username.as_str() {
        "" => format!("Bearer {secret}"),
        name => {
            let pair = Zeroizing::new(format!("{name}:{secret}"));
            format!("Basic {}", STANDARD.encode(pair.as_bytes()))
        }
    });
    let mut value = HeaderValue::try_from(text.as_str()).map_err(|_| {
        SetupError::Secret("a header cannot hold a line break or the like".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// The alert as of `now`: a notice that waited for long is as good as a new one.
pub(super) fn alert(notice: &Notice, now: Timestamp, keep_for: Duration) -> Value {
    let alert = &notice.alert;
    let now = now.max(notice.at);
    let ends_at = match notice.moment {
        Moment::Resolved => alert.ends_at.unwrap_or(notice.at),
        Moment::Test => now.saturating_add(TEST).unwrap_or(now),
        Moment::Firing | Moment::Reminder => now.saturating_add(keep_for).unwrap_or(now),
    };
    let mut labels = Map::new();
    for (name, value) in &alert.labels {
        labels.insert(name.clone(), value.as_str().into());
    }
    // Routes go by it. An alert keeps its severity while it lasts; with another it would be another alert here.
    labels.insert("severity".to_owned(), alert.severity.name().into());
    labels.insert("alertname".to_owned(), alert.name.as_str().into());
    let mut annotations = Map::new();
    for (name, text) in [
        ("summary", &alert.summary),
        ("description", &alert.description),
        ("runbook_url", &alert.runbook_url),
    ] {
        if !text.is_empty() {
            annotations.insert(name.to_owned(), text.as_str().into());
        }
    }
    let mut object = json!({
        "labels": labels,
        "annotations": annotations,
        "startsAt": alert.starts_at,
        // One that ended before it began would be refused.
        "endsAt": ends_at.max(alert.starts_at),
    });
    if let Some(link) = alert.link.as_deref().filter(|link| is_link(link)) {
        object["generatorURL"] = link.into();
    }
    object
}
