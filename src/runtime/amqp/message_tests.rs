use lapin::types::FieldTable;
use serde_json::json;

use super::*;

fn plain() -> BasicProperties {
    BasicProperties::default()
        .with_message_id("m1".into())
        .with_app_id("billing".into())
}

fn with_headers(properties: BasicProperties, headers: &[(&str, &str)]) -> BasicProperties {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert((*name).into(), AMQPValue::LongString((*value).into()));
    }
    properties.with_headers(table)
}

#[track_caller]
fn refused(properties: &BasicProperties, body: &[u8], reason: Reason, part: &str) -> Rejected {
    let rejected = read(properties, "trail.verify", body).unwrap_err();
    assert_eq!(rejected.reason, reason, "{rejected:?}");
    assert!(rejected.detail.contains(part), "{rejected:?}");
    rejected
}

#[test]
fn a_plain_message() {
    let properties = plain()
        .with_content_type("application/json; charset=utf-8".into())
        .with_priority(4)
        .with_reply_to("answers".into());
    let message = read(&properties, "trail.verify", br#"{"org":1}"#).unwrap();
    let expected = Message {
        source: "billing".into(),
        message_id: "m1".into(),
        kind: "trail.verify".into(),
        payload: json!({"org": 1}),
        priority: Some(4),
        reply_to: Some("answers".into()),
        correlation_id: Some("m1".into()),
        trace: None,
    };
    assert_eq!(message, expected);
    let properties = properties.with_correlation_id("c1".into());
    let message = read(&properties, "trail.verify", b"{}").unwrap();
    assert_eq!(message.correlation_id.as_deref(), Some("c1"));
}

#[test]
fn the_source_has_a_default_and_the_id_has_none() {
    let properties = BasicProperties::default().with_message_id("m1".into());
    assert_eq!(read(&properties, "k", b"1").unwrap().source, DEFAULT_SOURCE);
    let nameless = BasicProperties::default().with_app_id("billing".into());
    let rejected = refused(&nameless, b"{}", Reason::MissingMessageId, "no message_id");
    assert_eq!(rejected.source.as_deref(), Some("billing"));
    assert_eq!(rejected.kind.as_deref(), Some("trail.verify"));
    let empty = nameless.with_message_id("".into());
    refused(&empty, b"{}", Reason::MissingMessageId, "no message_id");
}

#[test]
fn every_prefix_of_binary_mode() {
    for prefix in ["cloudEvents:", "cloudEvents_", "ce-", "ce_"] {
        let names = ["specversion", "id", "source", "type"].map(|name| format!("{prefix}{name}"));
        let headers: Vec<(&str, &str)> = names
            .iter()
            .map(String::as_str)
            .zip(["1.0", "e1", "/shop", "trail.anchor"])
            .collect();
        // The attributes take the places of properties and routing key.
        let properties = with_headers(plain(), &headers);
        let message = read(&properties, "elsewhere", br#"{"a":1}"#).unwrap();
        assert_eq!(
            (message.message_id, message.source, message.kind),
            ("e1".into(), "/shop".into(), "trail.anchor".into())
        );
        assert_eq!(message.payload, json!({"a": 1}));
    }
}

#[test]
fn structured_mode() {
    let properties = plain().with_content_type("application/cloudevents+json".into());
    let body = br#"{"specversion":"1.0","id":"e1","source":"/shop","type":"k","data":{"a":1}}"#;
    let message = read(&properties, "elsewhere", body).unwrap();
    assert_eq!(
        (message.message_id, message.source, message.kind),
        ("e1".into(), "/shop".into(), "k".into())
    );
    assert_eq!(message.payload, json!({"a": 1}));
    let without_data = br#"{"specversion":"1.0","id":"e1","source":"/shop","type":"k"}"#;
    let message = read(&properties, "elsewhere", without_data).unwrap();
    assert_eq!(message.payload, Value::Null);
}

#[test]
fn the_trace_of_the_last_hop_counts() {
    let of = |span: char| format!("00-{}-{}-01", "a".repeat(32), span.to_string().repeat(16));
    let (near, far) = (of('1'), of('2'));
    let own = ("traceparent", near.as_str());
    let attribute = ("ce-traceparent", far.as_str());
    let spoilt = ("traceparent", "00-1");
    let event = [
        ("ce-specversion", "1.0"),
        ("ce-id", "e1"),
        ("ce-source", "/shop"),
        ("ce-type", "k"),
    ];
    for (headers, expected) in [
        (vec![], None),
        (vec![own], Some(&near)),
        (vec![attribute], None),
        (vec![spoilt], None),
        ([&event[..], &[attribute]].concat(), Some(&far)),
        ([&event[..], &[attribute, own]].concat(), Some(&near)),
        ([&event[..], &[attribute, spoilt]].concat(), Some(&far)),
    ] {
        let message = read(&with_headers(plain(), &headers), "k", b"{}").unwrap();
        let found = message.trace.map(|trace| trace.to_string());
        assert_eq!(found.as_ref(), expected, "{headers:?}");
    }
    let properties = plain().with_content_type("application/cloudevents+json".into());
    let mut body = json!({"specversion": "1.0", "id": "e1", "source": "/shop", "type": "k"});
    body["traceparent"] = far.clone().into();
    let message = read(&properties, "k", body.to_string().as_bytes()).unwrap();
    assert_eq!(message.trace.unwrap().as_str(), far);
}

#[test]
fn cloud_events_that_are_none() {
    let structured = plain().with_content_type("application/cloudevents+json".into());
    for (body, reason, part) in [
        ("[]", Reason::InvalidCloudEvent, "JSON object"),
        ("{", Reason::InvalidJson, "not JSON"),
        ("{}", Reason::InvalidCloudEvent, "specversion"),
        (
            r#"{"specversion":"0.3","id":"e","source":"s","type":"t"}"#,
            Reason::InvalidCloudEvent,
            "\"0.3\"",
        ),
        (
            r#"{"specversion":"1.0","source":"s","type":"t"}"#,
            Reason::MissingMessageId,
            "no id",
        ),
        (
            r#"{"specversion":"1.0","id":7,"source":"s","type":"t"}"#,
            Reason::MissingMessageId,
            "no id",
        ),
        (
            r#"{"specversion":"1.0","id":"e","type":"t"}"#,
            Reason::InvalidCloudEvent,
            "no source",
        ),
        (
            r#"{"specversion":"1.0","id":"e","source":"s"}"#,
            Reason::InvalidCloudEvent,
            "no type",
        ),
        (
            r#"{"specversion":"1.0","id":"e","source":"s","type":"t","data_base64":"AA=="}"#,
            Reason::InvalidContentType,
            "binary",
        ),
        (
            r#"{"specversion":"1.0","id":"e","source":"s","type":"t","datacontenttype":"text/xml","data":"<a/>"}"#,
            Reason::InvalidContentType,
            "text/xml",
        ),
    ] {
        refused(&structured, body.as_bytes(), reason, part);
    }
    let binary = with_headers(plain(), &[("ce-specversion", "1.0"), ("ce-id", "e")]);
    refused(&binary, b"{}", Reason::InvalidCloudEvent, "no source");
    // Its properties do not stand in for attributes.
    let binary = with_headers(plain(), &[("ce-specversion", "1.0")]);
    refused(&binary, b"{}", Reason::MissingMessageId, "no id");
    let batch = plain().with_content_type("application/cloudevents-batch+json".into());
    refused(&batch, b"[]", Reason::InvalidContentType, "batch");
}

#[test]
fn bodies_that_are_not_json() {
    let properties = plain();
    for body in [&b""[..], b"{", b"{} {}", b"\xff", b"NaN", &[b'['; 100_000]] {
        let rejected = refused(&properties, body, Reason::InvalidJson, "not JSON");
        assert_eq!(rejected.message_id.as_deref(), Some("m1"));
    }
    let xml = plain().with_content_type("text/xml".into());
    refused(&xml, b"{}", Reason::InvalidContentType, "text/xml");
    let zipped = plain().with_content_encoding("gzip".into());
    refused(&zipped, b"{}", Reason::InvalidContentType, "gzip");
    let vendor = plain().with_content_type("application/vnd.shop+JSON".into());
    assert!(read(&vendor, "k", b"{}").is_ok());
}

#[test]
fn names_out_of_bounds() {
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    let control = plain().with_message_id("a\0b".into());
    let rejected = refused(&control, b"{}", Reason::InvalidProperty, "control");
    assert_eq!(rejected.message_id, None);
    let source = with_headers(
        plain(),
        &[
            ("ce-specversion", "1.0"),
            ("ce-id", "e"),
            ("ce-source", &long),
            ("ce-type", "t"),
        ],
    );
    let rejected = refused(
        &source,
        b"{}",
        Reason::InvalidProperty,
        "the source has 256",
    );
    assert_eq!(rejected.source, None);
    let own = plain().with_reply_to(topology::JOBS.into());
    refused(&own, b"{}", Reason::InvalidProperty, "reply_to");
    let no_kind = read(&plain(), "", b"{}").unwrap_err();
    assert_eq!(no_kind.reason, Reason::InvalidProperty);
    let longest = plain().with_message_id(long[1..].into());
    assert_eq!(read(&longest, "k", b"{}").unwrap().message_id, long[1..]);
}

#[test]
fn details_are_bounded_and_one_line() {
    let message = read(&plain(), "k", b"{}").unwrap();
    let rejected = refuse(&message, Reason::InvalidPayload, &"ä\n".repeat(1_000));
    assert!(rejected.detail.len() <= 1_000 && rejected.detail.len() > 990);
    assert!(!rejected.detail.contains('\n'));
}

#[test]
fn what_is_too_large_is_known_by_its_properties() {
    let rejected = too_large(&plain(), "k", 11, 10);
    assert_eq!(rejected.reason, Reason::TooLarge);
    assert_eq!(rejected.detail, "the body has 11 bytes, more than 10");
    assert_eq!(rejected.message_id.as_deref(), Some("m1"));
}
