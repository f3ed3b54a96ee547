//! From a delivery to a [`Message`], or to the reason why not. Pure.
//!
//! Three forms are read: plain AMQP (`message_id`, `app_id`, routing key), and CloudEvents 1.0 in binary mode (attributes
//! in headers) and structured mode (one JSON object). Bytes are never changed: what is out of bounds is refused.

use lapin::{
    BasicProperties,
    types::{AMQPValue, ShortString},
};
use serde_json::{Map, Value};

use super::{
    events::{self, TRACEPARENT},
    ports::{Message, Reason, Rejected},
    topology,
};
use crate::trace::TraceParent;

/// Longest id, source or kind, in bytes: AMQP's own limit for short strings.
pub const MAX_NAME_BYTES: usize = 255;
/// The source of plain messages that name no `app_id`.
pub const DEFAULT_SOURCE: &str = "amqp";
/// Most bytes of a refusal's words: they travel in a header.
const MAX_DETAIL_BYTES: usize = 1_000;
/// Prefixes of CloudEvents headers: the binding's own, its variant for JMS, and that of HTTP, which people copy.
const PREFIXES: [&str; 4] = [events::PREFIX, "cloudEvents_", "ce-", "ce_"];

/// Reads a delivery. Whether the kind exists is not known here.
///
/// # Errors
/// The refusal, with what is known about the message.
pub fn read(
    properties: &BasicProperties,
    routing_key: &str,
    body: &[u8],
) -> Result<Message, Rejected> {
    let mut draft = Draft::default();
    draft
        .read(properties, routing_key, body)
        .map_err(|refusal| {
            let Refused(reason, detail) = refusal;
            let known = |name: &str| bounded(name).is_ok().then(|| name.to_owned());
            rejected(
                reason,
                &detail,
                draft.source.as_deref().and_then(known),
                draft.id.as_deref().and_then(known),
                draft.kind.as_deref().and_then(known),
            )
        })
}

/// The refusal of a body that is too large to be read: only properties are looked at.
#[must_use]
pub fn too_large(
    properties: &BasicProperties,
    routing_key: &str,
    bytes: usize,
    limit: usize,
) -> Rejected {
    let known = |name: &Option<ShortString>| {
        let name = name.as_ref()?.as_str();
        bounded(name).is_ok().then(|| name.to_owned())
    };
    rejected(
        Reason::TooLarge,
        &format!("the body has {bytes} bytes, more than {limit}"),
        known(properties.app_id()),
        known(properties.message_id()),
        bounded(routing_key).is_ok().then(|| routing_key.to_owned()),
    )
}

/// The refusal of a message that was read but is not wanted.
#[must_use]
pub fn refuse(message: &Message, reason: Reason, detail: &str) -> Rejected {
    rejected(
        reason,
        detail,
        Some(message.source.clone()),
        Some(message.message_id.clone()),
        Some(message.kind.clone()),
    )
}

fn rejected(
    reason: Reason,
    detail: &str,
    source: Option<String>,
    message_id: Option<String>,
    kind: Option<String>,
) -> Rejected {
    // A header with a line break would be legal, but nobody expects one where it is printed.
    let clean: String = detail
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    Rejected {
        reason,
        detail: clean[..clean.floor_char_boundary(MAX_DETAIL_BYTES)].to_owned(),
        source,
        message_id,
        kind,
    }
}

struct Refused(Reason, String);

type Read<T> = Result<T, Refused>;

fn no<T>(reason: Reason, detail: impl Into<String>) -> Read<T> {
    Err(Refused(reason, detail.into()))
}

/// What has been found so far.
#[derive(Default)]
struct Draft {
    source: Option<String>,
    id: Option<String>,
    kind: Option<String>,
    /// The trace that the event itself names, which is where it was made.
    trace: Option<String>,
}

impl Draft {
    fn read(
        &mut self,
        properties: &BasicProperties,
        routing_key: &str,
        body: &[u8],
    ) -> Read<Message> {
        let text =
            |value: &Option<ShortString>| value.as_ref().map(|text| text.as_str().to_owned());
        let content_type = text(properties.content_type()).unwrap_or_default();
        let media_type = media_type(&content_type);
        let cloud_event = attribute(properties, "specversion");

        let payload = if media_type == "application/cloudevents+json" {
            let mut event = self.structured(body)?;
            event.remove("data").unwrap_or(Value::Null)
        } else if let Some(version) = cloud_event {
            self.source = attribute(properties, "source");
            self.id = attribute(properties, "id");
            self.kind = attribute(properties, "type");
            self.trace = attribute(properties, TRACEPARENT);
            self.check_cloud_event(&version)?;
            json(&media_type, properties, body)?
        } else {
            self.source = text(properties.app_id())
                .filter(|source| !source.is_empty())
                .or_else(|| Some(DEFAULT_SOURCE.to_owned()));
            self.id = text(properties.message_id());
            self.kind = Some(routing_key.to_owned());
            if self.id.as_ref().is_none_or(String::is_empty) {
                return no(
                    Reason::MissingMessageId,
                    "the message has no message_id, so a second delivery could not be told from a second request",
                );
            }
            json(&media_type, properties, body)?
        };

        let name = |what: &str, value: &Option<String>| {
            let value = value.clone().unwrap_or_default();
            match bounded(&value) {
                Ok(()) => Ok(value),
                Err(problem) => no(Reason::InvalidProperty, format!("the {what} {problem}")),
            }
        };
        let message_id = name("id", &self.id)?;
        let reply_to = text(properties.reply_to()).filter(|queue| !queue.is_empty());
        if let Some(queue) = &reply_to {
            name("reply_to", &reply_to)?;
            // Its own answers would come back to it as requests.
            if [topology::JOBS, topology::DEAD].contains(&queue.as_str()) {
                return no(
                    Reason::InvalidProperty,
                    "the reply_to names a queue of trailkeeper itself",
                );
            }
        }
        let correlation_id = text(properties.correlation_id())
            .filter(|id| !id.is_empty())
            .unwrap_or_else(|| message_id.clone());
        Ok(Message {
            source: name("source", &self.source)?,
            kind: name("kind", &self.kind)?,
            payload,
            priority: properties.priority().map(i64::from),
            reply_to,
            correlation_id: Some(name("correlation_id", &Some(correlation_id))?),
            // The message's own header is of its last hop, and nearer than what the event says.
            trace: [header(properties, TRACEPARENT), self.trace.clone()]
                .into_iter()
                .flatten()
                .find_map(|text| TraceParent::parse(&text)),
            message_id,
        })
    }

    fn structured(&mut self, body: &[u8]) -> Read<Map<String, Value>> {
        let event = match parse(body)? {
            Value::Object(event) => event,
            _ => {
                return no(
                    Reason::InvalidCloudEvent,
                    "a structured CloudEvent is a JSON object",
                );
            }
        };
        let text = |name: &str| event.get(name).and_then(Value::as_str).map(str::to_owned);
        self.source = text("source");
        self.id = text("id");
        self.kind = text("type");
        self.trace = text(TRACEPARENT);
        self.check_cloud_event(&text("specversion").unwrap_or_default())?;
        if event.contains_key("data_base64") {
            return no(
                Reason::InvalidContentType,
                "the CloudEvent's data is binary (data_base64), and a payload is JSON",
            );
        }
        let data_type = text("datacontenttype").unwrap_or_default();
        if !is_json(&media_type(&data_type)) {
            return no(
                Reason::InvalidContentType,
                format!("the CloudEvent's datacontenttype is {data_type:?}, not JSON"),
            );
        }
        Ok(event)
    }

    fn check_cloud_event(&self, version: &str) -> Read<()> {
        let is_missing = |value: &Option<String>| value.as_ref().is_none_or(String::is_empty);
        if version != "1.0" {
            return no(
                Reason::InvalidCloudEvent,
                format!("the CloudEvent's specversion is {version:?}, not \"1.0\""),
            );
        }
        if is_missing(&self.id) {
            return no(Reason::MissingMessageId, "the CloudEvent has no id");
        }
        for (name, value) in [("source", &self.source), ("type", &self.kind)] {
            if is_missing(value) {
                return no(
                    Reason::InvalidCloudEvent,
                    format!("the CloudEvent has no {name}"),
                );
            }
        }
        Ok(())
    }
}

/// The body of a message that is JSON by its content type, or says nothing of it.
fn json(media_type: &str, properties: &BasicProperties, body: &[u8]) -> Read<Value> {
    if !is_json(media_type) {
        return no(
            Reason::InvalidContentType,
            format!("the content type is {media_type:?}, not application/json"),
        );
    }
    let encoding = properties.content_encoding().as_ref();
    let encoding = encoding.map(ShortString::as_str).unwrap_or_default();
    if !["", "identity", "utf-8", "utf8"].contains(&encoding.to_ascii_lowercase().as_str()) {
        return no(
            Reason::InvalidContentType,
            format!("the content encoding is {encoding:?}; bodies are plain UTF-8"),
        );
    }
    parse(body)
}

/// serde_json bounds the nesting by itself. Its errors name a place, never the content.
fn parse(body: &[u8]) -> Read<Value> {
    serde_json::from_slice(body).or_else(|error| {
        no(
            Reason::InvalidJson,
            format!("the body is not JSON: {error}"),
        )
    })
}

/// Without parameters, in lower case.
fn media_type(content_type: &str) -> String {
    let (media_type, _) = content_type.split_once(';').unwrap_or((content_type, ""));
    media_type.trim().to_ascii_lowercase()
}

fn is_json(media_type: &str) -> bool {
    matches!(media_type, "" | "application/json" | "text/json")
        || (media_type.ends_with("+json") && !media_type.starts_with("application/cloudevents"))
}

/// A CloudEvents attribute of binary mode.
fn attribute(properties: &BasicProperties, name: &str) -> Option<String> {
    let mut prefixes = PREFIXES.iter();
    prefixes.find_map(|prefix| header(properties, &format!("{prefix}{name}")))
}

/// A header that is text.
fn header(properties: &BasicProperties, name: &str) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

/// Neither empty nor too long, and nothing that a terminal or PostgreSQL's text would choke on.
fn bounded(name: &str) -> Result<(), String> {
    if name.is_empty() {
        Err("is empty".to_owned())
    } else if name.len() > MAX_NAME_BYTES {
        Err(format!(
            "has {} bytes, more than {MAX_NAME_BYTES}",
            name.len()
        ))
    } else if name.chars().any(char::is_control) {
        Err("holds a control character".to_owned())
    } else {
        Ok(())
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
