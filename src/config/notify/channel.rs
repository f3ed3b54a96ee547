//! A receiver of notices, and how it is reached.

use std::path::PathBuf;
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use crate::config::Secret;

/// Where PagerDuty takes events.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";
/// What a webhook's secret begins with whose rest is base64.
/// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
const ENCODED_SECRET: &str = "whsec_";

/// What a receiver speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChannelKind {
    /// Prometheus' Alertmanager, by its API v2.
    Alertmanager,
    /// `CloudEvents`, signed as Standard Webhooks are.
    Webhook,
    /// An incoming webhook of Slack, or of what takes the same.
    Slack,
    /// Mail.
    Smtp,
    /// `PagerDuty`'s Events API v2.
    Pagerduty,
}

impl ChannelKind {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Alertmanager => "alertmanager",
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::Smtp => "smtp",
            Self::Pagerduty => "pagerduty",
        }
    }
}

/// How mail is encrypted on its way to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// The connection begins in the clear and goes on only if the server begins TLS.
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// Not at all: to a server on this machine.
    None,
}

impl SmtpTls {
    fn port(self) -> u16 {
        match self {
            Self::Starttls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

/// A receiver of notices. What a kind has no use for has to be left out.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// Its name, by which routes and metrics know it.
    pub name: String,
    /// What it speaks.
    #[serde(rename = "type")]
    pub kind: ChannelKind,
    /// Where it is, except for mail. It may be all that keeps others from writing there.
    #[serde(default)]
    pub url: Secret,
    /// The file that holds it.
    #[serde(default)]
    pub url_file: PathBuf,
    /// What webhooks are signed with, `PagerDuty`'s routing key, or a password.
    #[serde(default)]
    pub secret: Secret,
    /// The file that holds it.
    #[serde(default)]
    pub secret_file: PathBuf,
    /// Whose password `secret` is, for mail and Alertmanager.
    #[serde(default)]
    pub username: String,
    /// The mail server.
    #[serde(default)]
    pub host: String,
    /// Its port; see [`Channel::smtp_port`].
    pub port: Option<u16>,
    /// How mail is encrypted; see [`Channel::smtp_tls`].
    pub tls: Option<SmtpTls>,
    /// The sender of mail.
    #[serde(default)]
    pub from: String,
    /// Receivers of mail.
    #[serde(default)]
    pub to: Vec<String>,
    /// Authorities that are trusted beside the system's, in PEM form.
    #[serde(default)]
    pub ca_file: PathBuf,
    /// Whether it may be at an address that is not public.
    #[serde(default)]
    pub allow_private: bool,
    /// How long one attempt may take.
    #[serde(default = "timeout_seconds")]
    #[schemars(range(min = 1, max = 300))]
    pub timeout_seconds: u32,
}

fn timeout_seconds() -> u32 {
    10
}

impl Channel {
    /// Where it is; none for mail, and where it is no URL.
    #[must_use]
    pub fn url(&self) -> Option<Url> {
        match (self.kind, self.url.is_empty()) {
            (ChannelKind::Smtp, _) => None,
            (ChannelKind::Pagerduty, true) => Url::parse(PAGERDUTY).ok(),
            _ => Url::parse(self.url.expose()).ok(),
        }
    }

    /// The name of the machine that is connected to, which is no secret.
    #[must_use]
    pub fn host_name(&self) -> String {
        match self.url() {
            Some(url) => url.host_str().unwrap_or_default().to_owned(),
            None => self.host.clone(),
        }
    }

    /// How long one attempt may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.into())
    }

    /// How mail is encrypted.
    #[must_use]
    pub fn smtp_tls(&self) -> SmtpTls {
        self.tls.unwrap_or(SmtpTls::Starttls)
    }

    /// The mail server's port.
    #[must_use]
    pub fn smtp_port(&self) -> u16 {
        self.port.unwrap_or_else(|| self.smtp_tls().port())
    }

    /// The bytes that webhooks are signed with; none if what follows `whsec_` is no base64.
    #[must_use]
    pub fn signing_key(&self) -> Option<Zeroizing<Vec<u8>>> {
        let secret = self.secret.expose();
        match secret.strip_prefix(ENCODED_SECRET) {
            Some(encoded) => STANDARD.decode(encoded).ok().map(Zeroizing::new),
            None => Some(Zeroizing::new(secret.as_bytes().to_vec())),
        }
    }
}

impl Channel {
    /// Whether it wants an alert again and again for as long as it goes on, as an Alertmanager does, which takes it for ended otherwise.
    /// Such a channel has limits and reminders of its own.
    #[must_use]
    pub fn resends(&self) -> bool {
        self.kind == ChannelKind::Alertmanager
    }
}
