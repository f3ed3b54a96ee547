//! HTTP to receivers, who may be anybody's: addresses are checked at each connection, redirects are followed on the same host only,
//! and time and length of an answer are limited.
//!
//! Proxies of the environment are not used: what they connect to could not be checked.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use reqwest::redirect::Policy;
use rustls_platform_verifier::Verifier;
use url::Url;

use super::{
    authorities::authorities,
    channel::{SendError, SetupError, chain},
    guard::{Guard, resolver},
};
use crate::{
    clock::Clock,
    config::{Channel, literal_address},
};

/// One hop for each reason that a careful operator may have, and no loops.
const MAX_REDIRECTS: usize = 3;
/// What is read of an answer.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// What is told of one.
const MAX_TOLD_CHARS: usize = 200;
/// What a receiver may ask us to wait.
const MAX_PAUSE: Duration = Duration::from_secs(3600);
/// A shorter part of a URL keeps no secret, and stands in many an answer.
const MIN_SECRET_CHARS: usize = 8;

/// Posts to one receiver.
pub(super) struct Client {
    inner: reqwest::Client,
    guard: Guard,
    url: Url,
    timeout: Duration,
    secrets: Vec<String>,
}

impl Client {
    /// For a channel with a URL.
    pub(super) fn new(channel: &Channel) -> Result<Self, SetupError> {
        let url = channel.url().ok_or(SetupError::Url)?;
        let guard = Guard::new(channel, url.scheme() == "https");
        let timeout = channel.timeout();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier::new_with_extra_roots(authorities(channel)?, provider.clone())
            .map_err(SetupError::tls)?;
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(SetupError::tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        let inner = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .dns_resolver(resolver(guard))
            .redirect(Policy::none())
            // A connection that is kept would keep the address that was checked long ago.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("trailkeeper/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(SetupError::tls)?;
        let parts = url.path_segments().into_iter().flatten().chain(url.query());
        let mut secrets: Vec<String> = parts
            .filter(|part| part.len() >= MIN_SECRET_CHARS)
            .map(str::to_owned)
            .collect();
        if !channel.secret.is_empty() {
            secrets.push(channel.secret.expose().to_owned());
        }
        Ok(Self {
            inner,
            guard,
            url,
            timeout,
            secrets,
        })
    }

    /// The URL of the channel.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Posts `body`, and is content with any answer of success.
    pub(super) async fn post(
        &self,
        url: &Url,
        headers: &HeaderMap,
        body: &str,
    ) -> Result<(), SendError> {
        let host = self.url.host_str().unwrap_or_default();
        let posted = tokio::time::timeout(self.timeout, self.follow(url, headers, body)).await;
        let posted = posted.unwrap_or_else(|_| {
            let seconds = self.timeout.as_secs();
            Err(SendError::later(format!(
                "no answer within {seconds} seconds"
            )))
        });
        posted.map_err(|error| error.of(host))
    }

    async fn follow(&self, url: &Url, headers: &HeaderMap, body: &str) -> Result<(), SendError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.once(&url, headers, body).await?;
            let status = answer.status();
            if status.is_success() {
                return Ok(());
            }
            if !status.is_redirection() {
                return Err(self.refusal(answer).await);
            }
            let place = answer.headers().get(header::LOCATION);
            url = redirected(&url, status, place)?;
        }
        Err(SendError::never("redirects without end"))
    }

    async fn once(
        &self,
        url: &Url,
        headers: &HeaderMap,
        body: &str,
    ) -> Result<reqwest::Response, SendError> {
        if let Some(address) = literal_address(url) {
            let checked = self.guard.check(address);
            checked.map_err(|barred| SendError::later(barred.to_string()))?;
        }
        let request = self.inner.post(url.clone()).headers(headers.clone());
        let sent = request.body(body.to_owned()).send().await;
        // Without the URL, which may be a secret.
        let sent = sent.map_err(reqwest::Error::without_url);
        sent.map_err(|error| SendError::later(chain(&error)))
    }

    /// What an answer that is neither success nor redirect means.
    async fn refusal(&self, mut answer: reqwest::Response) -> SendError {
        let status = answer.status();
        let after = answer.headers().get(header::RETRY_AFTER);
        let after = after.and_then(|value| pause(value, Clock.now()));
        let mut body = Vec::new();
        while body.len() < MAX_ANSWER_BYTES {
            let Ok(Some(chunk)) = answer.chunk().await else {
                break;
            };
            body.extend_from_slice(&chunk);
        }
        body.truncate(MAX_ANSWER_BYTES);
        let told = match self.told(&body) {
            Some(told) => format!("answers {status}: {told}"),
            None => format!("answers {status}"),
        };
        match status {
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                SendError::later_after(told, after)
            }
            status if status.is_server_error() => SendError::later_after(told, after),
            _ => SendError::never(told),
        }
    }

    /// The beginning of an answer, on one line; nothing of one that repeats what is secret.
    fn told(&self, body: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(body);
        if self.secrets.iter().any(|secret| text.contains(secret)) {
            return None;
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        let line = words.join(" ");
        let shown = line.chars().filter(|c| !c.is_control());
        let shown: String = shown.take(MAX_TOLD_CHARS).collect();
        // A page is for browsers.
        (!shown.is_empty() && !shown.starts_with('<')).then_some(shown)
    }
}

/// Where a redirect leads, if what was sent may be sent there too: to the same host and port, or from http to https.
fn redirected(
    from: &Url,
    status: StatusCode,
    place: Option<&HeaderValue>,
) -> Result<Url, SendError> {
    let never = |problem: &str| {
        SendError::never(format!(
            "redirects ({}) {problem}; give the URL where it really is",
            status.as_u16()
        ))
    };
    let kept = [
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    if !kept.contains(&status) {
        return Err(never("in a way that loses what is sent"));
    }
    let place = place.and_then(|value| value.to_str().ok());
    let to = place.and_then(|text| from.join(text).ok());
    let to = to.ok_or_else(|| never("to nowhere"))?;
    let is_upgrade = from.scheme() == "http" && to.scheme() == "https";
    let is_same =
        from.scheme() == to.scheme() && from.port_or_known_default() == to.port_or_known_default();
    if from.host() != to.host() {
        return Err(never("to another host"));
    }
    if !is_upgrade && !is_same {
        return Err(never("to another port or scheme"));
    }
    if !to.username().is_empty() || to.password().is_some() {
        return Err(never("with a user or password"));
    }
    Ok(to)
}

/// How long to wait, as seconds or a date. <https://www.rfc-editor.org/rfc/rfc9110#name-retry-after>
fn pause(value: &HeaderValue, now: Timestamp) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let pause = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let time = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text);
            let wait = time.ok()?.duration_since(now);
            // One that is over already.
            Duration::try_from(wait).unwrap_or_default()
        }
    };
    Some(pause.min(MAX_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_on_the_host() {
        let go = |from: &str, status, to: &'static str| {
            let from = Url::parse(from).expect("a URL");
            let to = HeaderValue::from_static(to);
            redirected(&from, status, Some(&to)).map(|url| url.to_string())
        };
        let kept = StatusCode::TEMPORARY_REDIRECT;
        assert_eq!(
            go("https://a.org/x", kept, "/y").expect("same"),
            "https://a.org/y"
        );
        assert_eq!(
            go("http://a.org/x", kept, "https://a.org/y").expect("upgrade"),
            "https://a.org/y"
        );
        for to in [
            "http://a.org/x",
            "https://b.org/x",
            "https://a.org:444/x",
            "https://u:p@a.org/x",
            "file:///etc/passwd",
            "//b.org/x",
        ] {
            let error = go("https://a.org/x", kept, to).expect_err(to);
            assert!(error.is_final(), "{error}");
        }
        assert!(go("https://a.org/x", StatusCode::FOUND, "/y").is_err());
        let from = Url::parse("https://a.org").expect("a URL");
        assert!(redirected(&from, kept, None).is_err());
    }

    #[test]
    fn waits_as_long_as_it_is_asked_to_but_not_for_ever() {
        let now: Timestamp = "2026-11-23T08:00:00Z".parse().expect("a time");
        let seconds = |text| {
            let pause = pause(&HeaderValue::from_static(text), now);
            pause.map(|pause| pause.as_secs())
        };
        assert_eq!(seconds("7"), Some(7));
        assert_eq!(seconds("99999999"), Some(3600));
        assert_eq!(seconds("Mon, 23 Nov 2026 08:00:30 GMT"), Some(30));
        assert_eq!(seconds("Mon, 23 Nov 2026 07:00:30 GMT"), Some(0));
        assert_eq!(seconds("soon"), None);
    }
}
