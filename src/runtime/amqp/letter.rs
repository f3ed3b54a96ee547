//! A message of the dead queue: what is added to it on the way there, and what it says of itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldTable, ShortString},
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    ports::Rejected,
    publisher::Post,
    topology::{DEAD, JOBS},
};

/// Header: why a message was refused, a [`super::ports::Reason`].
pub const REASON: &str = "x-trailkeeper-reason";
/// Header: the same in words.
pub const DETAIL: &str = "x-trailkeeper-detail";
/// Header: the routing key that the message came with.
pub const ROUTING_KEY: &str = "x-trailkeeper-routing-key";

/// Headers that this program and the broker add on the way to the dead queue.
const ADDED: [&str; 5] = [
    "x-trailkeeper-",
    "x-death",
    "x-first-death-",
    "x-last-death-",
    "x-delivery-count",
];
/// Headers that make the broker send copies elsewhere. A copy must not be sent again.
const COPIES: [&str; 2] = ["CC", "BCC"];

/// A message in the dead queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// `sha256:` and 16 hexadecimal digits of a hash of key, id and body: names it where it has no id. Its place in the
    /// queue would not, since each look moves those that were looked at behind the others.
    pub digest: String,
    /// Its id, if it has one.
    pub message_id: Option<String>,
    /// The application that sent it, if it says so.
    pub app_id: Option<String>,
    /// The routing key that it came with: the kind of job.
    pub routing_key: Option<String>,
    /// A [`super::ports::Reason`], or the broker's word for what it moved itself: `rejected`, `delivery_limit`.
    pub reason: Option<String>,
    /// The reason in words.
    pub detail: Option<String>,
    /// The body's size.
    pub size_bytes: usize,
}

/// The copy of a refused delivery that goes to the dead queue.
pub(super) fn of(delivery: &Delivery, rejected: &Rejected) -> Post {
    let added = BTreeMap::from([
        (REASON, rejected.reason.as_str()),
        (DETAIL, rejected.detail.as_str()),
        (ROUTING_KEY, delivery.routing_key.as_str()),
    ]);
    Post {
        exchange: ShortString::default(),
        routing_key: DEAD.into(),
        properties: carried(&delivery.properties, added),
        body: delivery.data.clone(),
    }
}

/// A message's own properties for another way through the broker. Not carried over: `expiration`, since it must not
/// vanish; `user_id`, since the broker closes the channel when it is not ours; copies, which were sent already.
pub(super) fn carried(
    properties: &BasicProperties,
    added: BTreeMap<&str, &str>,
) -> BasicProperties {
    let mut headers = FieldTable::default();
    if let Some(own) = properties.headers() {
        for (name, value) in own {
            let is_ours = ADDED.iter().any(|prefix| name.as_str().starts_with(prefix));
            if !is_ours && !COPIES.contains(&name.as_str()) {
                headers.insert(name.clone(), value.clone());
            }
        }
    }
    for (name, value) in added {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    let mut carried = BasicProperties::default()
        .with_delivery_mode(2)
        .with_headers(headers);
    macro_rules! carry {
        ($($from:ident => $to:ident),*) => {
            $(if let Some(value) = properties.$from() {
                carried = carried.$to(value.clone());
            })*
        };
    }
    carry!(
        content_type => with_content_type,
        content_encoding => with_content_encoding,
        priority => with_priority,
        correlation_id => with_correlation_id,
        reply_to => with_reply_to,
        message_id => with_message_id,
        timestamp => with_timestamp,
        kind => with_type,
        app_id => with_app_id
    );
    carried
}

pub(super) fn describe(delivery: &Delivery) -> DeadLetter {
    let properties = &delivery.properties;
    let text = |value: &Option<ShortString>| value.as_ref().map(|text| text.as_str().to_owned());
    let message_id = text(properties.message_id());
    let routing_key = original_key(properties);
    DeadLetter {
        digest: digest(
            [routing_key.as_deref(), message_id.as_deref()],
            &delivery.data,
        ),
        message_id,
        app_id: text(properties.app_id()),
        routing_key,
        reason: header(properties, REASON).or_else(|| death(properties, "reason")),
        detail: header(properties, DETAIL),
        size_bytes: delivery.data.len(),
    }
}

fn digest(names: [Option<&str>; 2], body: &[u8]) -> String {
    let mut hash = Sha256::new();
    for name in names {
        hash.update(name.unwrap_or_default());
        hash.update([0]);
    }
    hash.update(body);
    let mut text = "sha256:".to_owned();
    for byte in &hash.finalize()[..8] {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn header(properties: &BasicProperties, name: &str) -> Option<String> {
    let headers = properties.headers().as_ref()?.inner();
    text_of(headers.get(name)?)
}

fn text_of(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        AMQPValue::FieldArray(values) => text_of(values.as_slice().first()?),
        _ => None,
    }
}

/// A field of the broker's record of how the message left the jobs queue.
fn death(properties: &BasicProperties, field: &str) -> Option<String> {
    let headers = properties.headers().as_ref()?.inner();
    let AMQPValue::FieldArray(deaths) = headers.get("x-death")? else {
        return None;
    };
    deaths.as_slice().iter().find_map(|death| {
        let AMQPValue::FieldTable(death) = death else {
            return None;
        };
        let is_ours = text_of(death.inner().get("queue")?)? == JOBS;
        is_ours.then(|| death.inner().get(field).and_then(text_of))?
    })
}

pub(super) fn original_key(properties: &BasicProperties) -> Option<String> {
    header(properties, ROUTING_KEY).or_else(|| death(properties, "routing-keys"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_what_is_the_senders_own() {
        let mut headers = FieldTable::default();
        for name in [
            "mine",
            "CC",
            "BCC",
            REASON,
            "x-death",
            "x-first-death-queue",
            "x-delivery-count",
        ] {
            headers.insert(name.into(), AMQPValue::LongString("v".into()));
        }
        let properties = BasicProperties::default()
            .with_message_id("m".into())
            .with_type("t".into())
            .with_reply_to("r".into())
            .with_expiration("1000".into())
            .with_user_id("guest".into())
            .with_headers(headers);
        let mut expected = FieldTable::default();
        expected.insert("mine".into(), AMQPValue::LongString("v".into()));
        expected.insert(REASON.into(), AMQPValue::LongString("new".into()));
        let expected = BasicProperties::default()
            .with_message_id("m".into())
            .with_type("t".into())
            .with_reply_to("r".into())
            .with_delivery_mode(2)
            .with_headers(expected);
        assert_eq!(
            carried(&properties, BTreeMap::from([(REASON, "new")])),
            expected
        );
    }

    #[test]
    fn finds_the_key_in_the_brokers_record() {
        let mut death = FieldTable::default();
        death.insert("queue".into(), AMQPValue::LongString(JOBS.into()));
        death.insert("reason".into(), AMQPValue::LongString("rejected".into()));
        let keys = vec![AMQPValue::LongString("trail.verify".into())];
        death.insert("routing-keys".into(), AMQPValue::FieldArray(keys.into()));
        let mut headers = FieldTable::default();
        let deaths = vec![AMQPValue::FieldTable(death)];
        headers.insert("x-death".into(), AMQPValue::FieldArray(deaths.into()));
        let properties = BasicProperties::default().with_headers(headers);
        assert_eq!(original_key(&properties).as_deref(), Some("trail.verify"));
        let reason = super::death(&properties, "reason");
        assert_eq!(reason.as_deref(), Some("rejected"));
    }
}
