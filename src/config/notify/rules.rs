//! What a channel has to have, and may not have.

use std::net::IpAddr;
use std::path::Path;

use url::{Host, Url};

use super::{
    address::is_public,
    channel::{Channel, ChannelKind, SmtpTls},
};

/// Names go into routes, metrics and logs.
const MAX_NAME_LENGTH: usize = 64;
/// As Standard Webhooks ask for.
const MIN_KEY_BYTES: usize = 24;

impl Channel {
    /// What is wrong with it, as predicates of it. No value is told but its name.
    pub(super) fn problems(&self) -> Vec<String> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let length = self.name.len();
        let mut problems = Vec::new();
        if !(1..=MAX_NAME_LENGTH).contains(&length) || !self.name.chars().all(is_plain) {
            problems.push("; a name has 1 to 64 letters, digits, \"-\" or \"_\"".to_owned());
        }
        self.keys(&mut problems);
        match self.kind {
            ChannelKind::Smtp => self.mail(&mut problems),
            kind => {
                if let Some(problem) = self.address() {
                    problems.push(problem);
                }
                if kind == ChannelKind::Webhook && !self.secret.is_empty() {
                    problems.extend(self.key());
                }
            }
        }
        problems
    }

    /// Which keys are there that should not be, and the other way round.
    fn keys(&self, problems: &mut Vec<String>) {
        use ChannelKind::{Alertmanager, Pagerduty, Slack, Smtp, Webhook};
        let is_path = |path: &Path| !path.as_os_str().is_empty();
        let kind = self.kind;
        let is_web = kind != Smtp;
        // Key, whether it is set, whether the kind has a use for it, whether it cannot be without.
        let keys = [
            (
                "url",
                !self.url.is_empty() || is_path(&self.url_file),
                is_web,
                matches!(kind, Alertmanager | Webhook | Slack),
            ),
            (
                "secret",
                !self.secret.is_empty() || is_path(&self.secret_file),
                kind != Slack,
                matches!(kind, Webhook | Pagerduty),
            ),
            (
                "username",
                !self.username.is_empty(),
                matches!(kind, Smtp | Alertmanager),
                kind == Smtp && !self.secret.is_empty(),
            ),
            ("host", !self.host.is_empty(), !is_web, !is_web),
            ("port", self.port.is_some(), !is_web, false),
            ("tls", self.tls.is_some(), !is_web, false),
            ("from", !self.from.is_empty(), !is_web, !is_web),
            ("to", !self.to.is_empty(), !is_web, !is_web),
        ];
        for (key, is_set, has_use, is_needed) in keys {
            if is_set && !has_use {
                problems.push(format!(
                    "has {key:?}, which means nothing to the type {:?}",
                    kind.name()
                ));
            }
            if is_needed && !is_set {
                problems.push(format!(
                    "has no {key:?}, which the type {:?} needs",
                    kind.name()
                ));
            }
        }
        if !self.username.is_empty() && self.secret.is_empty() && !is_path(&self.secret_file) {
            problems.push("has a \"username\" without a \"secret\"".to_owned());
        }
    }

    /// What is wrong with its URL; the first thing.
    fn address(&self) -> Option<String> {
        if self.url.is_empty() && self.kind != ChannelKind::Pagerduty {
            return None;
        }
        let Some(url) = self.url() else {
            return Some("has a \"url\" that is none".to_owned());
        };
        let Some(host) = url.host() else {
            return Some("has a \"url\" without a host".to_owned());
        };
        if !["http", "https"].contains(&url.scheme()) {
            return Some("has a \"url\" that begins neither with https:// nor http://".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Some(
                "has a \"url\" with a user or password in it; use \"username\" and \"secret\""
                    .to_owned(),
            );
        }
        let path_is_given = self.kind == ChannelKind::Alertmanager;
        if path_is_given && (url.query().is_some() || url.fragment().is_some()) {
            return Some(
                "has a \"url\" with more than a path; Alertmanager's begins as its pages do"
                    .to_owned(),
            );
        }
        if self.allow_private {
            return None;
        }
        if is_private(&host) {
            return Some(PRIVATE.to_owned());
        }
        (url.scheme() == "http").then(|| {
            "has a \"url\" that is not encrypted; use https://, or set allow_private for a receiver within this network".to_owned()
        })
    }

    fn key(&self) -> Option<String> {
        match self.signing_key() {
            None => Some("has a \"secret\" that is no base64 after its \"whsec_\"".to_owned()),
            Some(key) if key.len() < MIN_KEY_BYTES => Some(format!(
                "has a \"secret\" of less than {MIN_KEY_BYTES} bytes, which could be guessed"
            )),
            Some(_) => None,
        }
    }

    fn mail(&self, problems: &mut Vec<String>) {
        use lettre::message::Mailbox;
        let mut fail = |problem: &str| problems.push(problem.to_owned());
        // It is one line's worth of text to the server, and a name or address to us.
        let host = Host::parse(&self.host);
        match &host {
            _ if self.host.is_empty() => {}
            _ if self.host.contains(['/', ':', '@']) && !self.host.starts_with('[') => {
                fail("has a \"host\" with more than a name in it; use \"port\"");
            }
            Err(_) => fail("has a \"host\" that is neither a name nor an address"),
            Ok(host) => {
                let host = borrowed(host);
                if self.smtp_tls() == SmtpTls::None && !is_loopback(&host) {
                    fail("has tls = \"none\" and a \"host\" that is not this machine");
                }
                if is_private(&host) && !self.allow_private {
                    fail(PRIVATE);
                }
            }
        }
        if self.port == Some(0) {
            fail("has the \"port\" 0");
        }
        if !self.from.is_empty() && self.from.parse::<Mailbox>().is_err() {
            fail("has a \"from\" that is no address of mail");
        }
        if self.to.iter().any(|it| it.parse::<Mailbox>().is_err()) {
            fail("lists what is no address of mail in \"to\"");
        }
    }
}

const PRIVATE: &str =
    "is on this machine or in a private network, which it may be only with allow_private = true";

fn borrowed(host: &Host<String>) -> Host<&str> {
    match host {
        Host::Domain(name) => Host::Domain(name),
        Host::Ipv4(address) => Host::Ipv4(*address),
        Host::Ipv6(address) => Host::Ipv6(*address),
    }
}

fn literal(host: &Host<&str>) -> Option<IpAddr> {
    match host {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some((*address).into()),
        Host::Ipv6(address) => Some((*address).into()),
    }
}

fn is_localhost(host: &Host<&str>) -> bool {
    matches!(host, Host::Domain(name) if name.trim_end_matches('.').eq_ignore_ascii_case("localhost"))
}

fn is_loopback(host: &Host<&str>) -> bool {
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    is_localhost(host) || literal(host).is_some_and(is_loopback)
}

/// As far as it is known without asking a name server; whoever connects asks again.
fn is_private(host: &Host<&str>) -> bool {
    is_localhost(host) || literal(host).is_some_and(|address| !is_public(address))
}

/// The address that a URL names itself, which no name server is asked for.
#[must_use]
pub fn literal_address(url: &Url) -> Option<IpAddr> {
    literal(&url.host()?)
}
