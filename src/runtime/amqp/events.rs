//! Events as CloudEvents 1.0, in the binary mode of its AMQP binding: attributes are headers, the body is the data.

use jiff::Timestamp;
use serde_json::Value;

use super::{ports::OutgoingEvent, topology::EVENTS};

/// The prefix of attributes, as the AMQP binding writes it.
pub(super) const PREFIX: &str = "cloudEvents:";
/// The attribute of CloudEvents' extension for distributed tracing, and the header of the message itself.
pub(super) const TRACEPARENT: &str = "traceparent";

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct CloudEvent {
    /// Unique within `source`, and the same however often the event is published.
    pub id: String,
    /// Which trailkeeper it happened in, a URI reference.
    pub source: String,
    /// Such as `job.succeeded`; also the routing key.
    pub kind: String,
    /// What it happened to, such as a job's id.
    pub subject: Option<String>,
    /// When.
    pub time: Timestamp,
    /// The trace that it belongs to, as a `traceparent`.
    pub trace: Option<String>,
    /// The rest.
    pub data: Value,
}

impl CloudEvent {
    /// The event as the outbox holds it for subscribers, new from now on.
    #[must_use]
    pub fn outgoing(&self, outbox_id: impl Into<String>) -> OutgoingEvent {
        OutgoingEvent {
            id: outbox_id.into(),
            exchange: EVENTS.to_owned(),
            routing_key: self.kind.clone(),
            body: self.data.to_string().into_bytes(),
            headers: self.headers(),
            content_type: "application/json".to_owned(),
            correlation_id: None,
            created_at: self.time,
            attempts: 0,
        }
    }

    /// The same event as a reply to one sender.
    #[must_use]
    pub fn reply(
        &self,
        outbox_id: impl Into<String>,
        reply_to: &str,
        correlation_id: &str,
    ) -> OutgoingEvent {
        OutgoingEvent {
            exchange: String::new(),
            routing_key: reply_to.to_owned(),
            correlation_id: Some(correlation_id.to_owned()),
            ..self.outgoing(outbox_id)
        }
    }

    fn headers(&self) -> Vec<(String, String)> {
        let time = self.time.to_string();
        [
            ("specversion", Some("1.0")),
            ("id", Some(self.id.as_str())),
            ("source", Some(self.source.as_str())),
            ("type", Some(self.kind.as_str())),
            ("time", Some(time.as_str())),
            ("subject", self.subject.as_deref()),
            (TRACEPARENT, self.trace.as_deref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((format!("{PREFIX}{name}"), value?.to_owned())))
        // Whoever traces messages looks for it under its own name.
        .chain(
            self.trace
                .clone()
                .map(|trace| (TRACEPARENT.to_owned(), trace)),
        )
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_headers() {
        let event = CloudEvent {
            id: "e1".into(),
            source: "/trailkeeper/eu".into(),
            kind: "job.succeeded".into(),
            subject: None,
            time: Timestamp::UNIX_EPOCH,
            trace: Some("00-1-2-01".into()),
            data: serde_json::json!({"job": 7}),
        };
        let out = event.outgoing("12");
        assert_eq!(out.body, br#"{"job":7}"#);
        assert_eq!((out.exchange.as_str(), out.is_reply()), (EVENTS, false));
        let headers: Vec<String> = out
            .headers
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            headers,
            [
                "cloudEvents:specversion=1.0",
                "cloudEvents:id=e1",
                "cloudEvents:source=/trailkeeper/eu",
                "cloudEvents:type=job.succeeded",
                "cloudEvents:time=1970-01-01T00:00:00Z",
                "cloudEvents:traceparent=00-1-2-01",
                "traceparent=00-1-2-01",
            ]
        );
        let reply = event.reply("13", "answers", "m1");
        assert!(reply.is_reply());
        assert_eq!(reply.routing_key, "answers");
        assert_eq!(reply.correlation_id.as_deref(), Some("m1"));
    }
}
