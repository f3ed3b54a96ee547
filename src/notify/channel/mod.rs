//! Sends a notice to one receiver: one file each, all behind [`Sender`].
//!
//! A sender tries once. Whether and when it is tried again is for whoever keeps the notices; a receiver may so get one twice, and
//! knows it by its id. Each kind is given the same facts, and nothing of a secret is in what it sends or says.

mod alertmanager;
mod error;
mod pagerduty;
mod slack;
mod smtp;
mod webhook;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;
use uuid::Uuid;

pub(in crate::notify) use error::chain;
pub use error::{Prospect, SendError, SetupError};

use super::{Alert, Moment, Notice, Severity, http::Client};
use crate::{
    config::{Channel, ChannelKind},
    trail::hash::to_hex,
};

/// How long Alertmanager is to take an alert for firing that it hears no more of: longer than the pause between reminders, so
/// that one lost reminder ends nothing.
pub const KEEP_FOR: Duration = Duration::from_secs(3600);
/// Who speaks, where the configuration has no better name.
const SOURCE: &str = "trailkeeper";

/// A receiver, ready to be sent notices.
pub struct Sender {
    way: Way,
    source: String,
    keep_for: Duration,
}

enum Way {
    Alertmanager(alertmanager::Alertmanager),
    Webhook(webhook::Webhook),
    Slack(slack::Slack),
    Smtp(Box<smtp::Smtp>),
    Pagerduty(pagerduty::Pagerduty),
}

impl Sender {
    /// The one of a channel. Connects to nothing.
    ///
    /// # Errors
    /// If what the channel names cannot be used, such as its `ca_file`.
    pub fn new(channel: &Channel) -> Result<Self, SetupError> {
        let way = match channel.kind {
            ChannelKind::Alertmanager => {
                Way::Alertmanager(alertmanager::Alertmanager::new(channel)?)
            }
            ChannelKind::Webhook => Way::Webhook(webhook::Webhook::new(channel)?),
            ChannelKind::Slack => Way::Slack(slack::Slack::new(channel)?),
            ChannelKind::Smtp => Way::Smtp(Box::new(smtp::Smtp::new(channel)?)),
            ChannelKind::Pagerduty => Way::Pagerduty(pagerduty::Pagerduty::new(channel)?),
        };
        Ok(Self {
            way,
            source: SOURCE.to_owned(),
            keep_for: KEEP_FOR,
        })
    }

    /// Whose worker it is: `anchors.origin`.
    #[must_use]
    pub fn source(mut self, source: &str) -> Self {
        if !source.is_empty() {
            source.clone_into(&mut self.source);
        }
        self
    }

    /// How long Alertmanager takes an alert for firing: several times the pause between reminders.
    #[must_use]
    pub fn keep_for(mut self, keep_for: Duration) -> Self {
        self.keep_for = keep_for;
        self
    }

    /// Tries once.
    ///
    /// # Errors
    /// If it did not arrive, or nobody knows whether it did.
    pub async fn send(&self, notice: &Notice) -> Result<(), SendError> {
        match &self.way {
            Way::Alertmanager(way) => way.send(notice, self.keep_for).await,
            Way::Webhook(way) => way.send(notice, &self.source).await,
            Way::Slack(way) => way.send(notice, &self.source).await,
            Way::Smtp(way) => way.send(notice, &self.source).await,
            Way::Pagerduty(way) => way.send(notice, &self.source).await,
        }
    }
}

/// A notice by which somebody finds out whether messages arrive.
#[must_use]
pub fn test_notice(at: Timestamp) -> Notice {
    let description = "Somebody ran \"trailkeeper notify test\" to see whether messages arrive here. They do; nothing is wrong.";
    Notice {
        id: Uuid::now_v7().to_string(),
        moment: Moment::Test,
        alert: Alert {
            name: "TrailkeeperTest".to_owned(),
            labels: BTreeMap::new(),
            severity: Severity::Info,
            summary: "A test: messages of trailkeeper arrive here".to_owned(),
            description: description.to_owned(),
            runbook_url: String::new(),
            link: None,
            starts_at: at,
            ends_at: None,
        },
        at,
    }
}

/// Posts JSON as it is to be read.
async fn post_json(client: &Client, body: &Value) -> Result<(), SendError> {
    let mut headers = HeaderMap::new();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    client.post(client.url(), &headers, &body.to_string()).await
}

/// What a reader sees first: `CRITICAL`, or that it is no trouble.
fn tag(notice: &Notice) -> String {
    match notice.moment {
        Moment::Firing => notice.alert.severity.name().to_uppercase(),
        Moment::Reminder => format!("{}, still", notice.alert.severity.name().to_uppercase()),
        Moment::Resolved => "resolved".to_owned(),
        Moment::Test => "test".to_owned(),
    }
}

/// A text's first `max` characters, if it has more.
fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(max - 1).chain(['…']).collect(),
    }
}

/// On one line.
fn line(text: &str) -> String {
    let parts: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(" ")
}

/// The SHA-256 of a text, in hexadecimal.
fn digest(text: &str) -> String {
    let hash = to_hex(&Sha256::digest(text).into());
    String::from_utf8_lossy(&hash).into_owned()
}

/// What a table of an alert says, in this order.
fn facts(notice: &Notice, source: &str) -> Vec<(String, String)> {
    let alert = &notice.alert;
    let minute = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M UTC").to_string();
    let mut facts = vec![
        ("alert".to_owned(), alert.name.clone()),
        ("severity".to_owned(), alert.severity.name().to_owned()),
    ];
    let labels = alert.labels.iter();
    facts.extend(labels.map(|(name, value)| (name.clone(), value.clone())));
    facts.push(("since".to_owned(), minute(alert.starts_at)));
    if let Some(time) = alert.ends_at {
        facts.push(("until".to_owned(), minute(time)));
    }
    if !alert.runbook_url.is_empty() && !is_link(&alert.runbook_url) {
        facts.push(("runbook".to_owned(), alert.runbook_url.clone()));
    }
    facts.push(("from".to_owned(), source.to_owned()));
    facts
}

/// Where to read on: what to do, and where to look.
fn links(alert: &Alert) -> Vec<(&'static str, &str)> {
    let runbook = Some(alert.runbook_url.as_str());
    let links = [("Runbook", runbook), ("Status", alert.link.as_deref())];
    let links = links.into_iter();
    let set = links.filter_map(|(name, url)| Some((name, url.filter(|url| is_link(url))?)));
    set.collect()
}

/// Whether a reader can follow it: one runbook is a file beside the program, another a page.
fn is_link(text: &str) -> bool {
    let url = Url::parse(text);
    url.is_ok_and(|url| ["http", "https"].contains(&url.scheme()))
}
