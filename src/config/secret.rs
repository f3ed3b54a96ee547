//! Values that must never be printed.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use zeroize::Zeroize;

/// Stands for what is hidden.
const MASK: &str = "***";

/// Options of URLs whose values are shown: none of them can hold a secret.
const HARMLESS: [&str; 9] = [
    "connect_timeout",
    "heartbeat",
    "host",
    "mode",
    "port",
    "sslmode",
    "sslrootcert",
    "timeout",
    "uri",
];

/// A value that may be or hold a secret. `Debug` and `Display` mask it; only [`Secret::expose`] gives it away. Wiped from memory
/// when it is dropped.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A secret.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is not set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self::new(value)
    }
}

impl fmt::Display for Secret {
    /// A URL without its password and without options that could hold one, one of HTTP also without its path, which is all that
    /// protects an incoming webhook; anything else as `***`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        match self.0.trim().split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => {
                let shown = masked(rest);
                let is_http = ["http", "https"]
                    .iter()
                    .any(|it| scheme.eq_ignore_ascii_case(it));
                match shown.split_once(['/', '?']) {
                    Some((host, path)) if is_http && !path.is_empty() => {
                        write!(f, "{scheme}://{host}/{MASK}")
                    }
                    _ => write!(f, "{scheme}://{shown}"),
                }
            }
            _ => f.write_str(MASK),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({self})")
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    /// `writeOnly` is JSON Schema's word for "may be given, is never shown"; the rest of this module goes by it.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true })
    }
}

fn is_scheme(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

/// What follows the scheme. As QWED reads URLs, a password reaches to the last "@", whatever it holds; where that
/// leaves any doubt about what belongs to it, everything is hidden.
fn masked(rest: &str) -> String {
    let (credentials, rest) = match rest.rsplit_once('@') {
        Some((credentials, rest)) if !credentials.starts_with('/') => (Some(credentials), rest),
        _ => (None, rest),
    };
    let (location, options) = match rest.split_once('?') {
        Some((location, options)) => (location, Some(options)),
        None => (rest, None),
    };
    let user = credentials.map(|text| {
        text.split_once(':')
            .map_or((text, false), |(u, _)| (u, true))
    });
    if location.contains('#') || user.is_some_and(|(user, _)| user.contains(['/', '?', '#', '@'])) {
        return MASK.to_owned();
    }
    let mut text = match user {
        Some((user, true)) => format!("{user}:{MASK}@"),
        Some((user, false)) => format!("{user}@"),
        None => String::new(),
    };
    text.push_str(location);
    for (index, option) in options.into_iter().flat_map(|o| o.split('&')).enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        match option.split_once('=') {
            Some((key, _)) if !HARMLESS.contains(&key) => {
                text.push_str(key);
                text.push('=');
                text.push_str(MASK);
            }
            Some(_) => text.push_str(option),
            None => text.push_str(MASK),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_where_but_never_the_password() {
        for (value, shown) in [
            ("", ""),
            ("hunter2", "***"),
            ("host=db password=hunter2", "***"),
            ("a b://hunter2", "***"),
            (
                "postgresql://q:hunter2@db:5432/q",
                "postgresql://q:***@db:5432/q",
            ),
            ("postgresql://q:hun/te?r@2@db/q", "postgresql://q:***@db/q"),
            ("postgresql://q@db/q", "postgresql://q@db/q"),
            ("postgresql://q@hunter2@db/q", "postgresql://***"),
            (
                "postgresql://db/q?password=hunter2&sslmode=require",
                "postgresql://db/q?password=***&sslmode=require",
            ),
            ("postgresql://db/q?password=hun:ter2@x", "postgresql://***"),
            ("postgresql:///q?hunter2", "postgresql:///q?***"),
            ("sqlite:////var/lib/a@b:c.db", "sqlite:////var/lib/a@b:c.db"),
            (
                "https://hooks.example.com/services/hunter2",
                "https://hooks.example.com/***",
            ),
            ("https://host?hunter2", "https://host/***"),
            ("https://host/", "https://host/"),
            (
                "amqps://t:hunter2@mq/%2f?heartbeat=9",
                "amqps://t:***@mq/%2f?heartbeat=9",
            ),
        ] {
            assert_eq!(Secret::new(value).to_string(), shown);
            assert!(!format!("{:?}", Secret::new(value)).contains("hunter2"));
        }
    }
}
