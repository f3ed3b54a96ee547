//! What is taken in, what is refused, and what goes out.

use std::collections::HashSet;

use jiff::ToSpan;
use lapin::{
    BasicProperties,
    options::BasicPublishOptions,
    types::{AMQPValue, FieldTable},
};
use serde_json::json;
use trailkeeper::{
    clock::Clock,
    runtime::amqp::{
        dead::{self, DETAIL, REASON, ROUTING_KEY, Selection},
        ports::Reason,
        status::Published,
        topology::{DEAD, JOBS},
    },
};

use crate::support::amqp_client::{Client, header, properties, with_headers};

use super::{Bridge, memory, settings, until};
use crate::support::rabbitmq::RabbitMq;

const KIND: &str = "trail.verify";
const GOOD: &[u8] = br#"{"org":1}"#;

#[tokio::test(flavor = "multi_thread")]
async fn takes_in_what_is_valid_and_answers() {
    let broker = RabbitMq::start();
    let bridge = Bridge::start(settings(&broker.url())).await;
    let client = Client::connect(&broker.url()).await;
    client.subscribe("events", "job.#").await;
    client.queue("answers").await;

    let asking = properties("plain")
        .with_priority(7)
        .with_reply_to("answers".into())
        .with_correlation_id("question 1".into());
    client.send(KIND, asking, GOOD).await;
    let binary = [
        ("cloudEvents:specversion", "1.0"),
        ("cloudEvents:id", "binary"),
        ("cloudEvents:source", "/shop"),
        ("cloudEvents:type", KIND),
    ];
    let binary = with_headers(BasicProperties::default(), &binary);
    client.send("any.key", binary, GOOD).await;
    let structured = json!({"specversion": "1.0", "id": "structured", "source": "/shop", "type": KIND, "data": {"org": 2}});
    let content_type =
        BasicProperties::default().with_content_type("application/cloudevents+json".into());
    client
        .send("any.key", content_type, structured.to_string().as_bytes())
        .await;

    until("all are taken in and told", async || {
        bridge.memory.len() == 3 && bridge.memory.waiting() == 0
    })
    .await;
    let plain = bridge.memory.message("billing", "plain").unwrap();
    assert_eq!(
        (plain.priority, plain.payload),
        (Some(7), json!({"org": 1}))
    );
    let structured = bridge.memory.message("/shop", "structured").unwrap();
    assert_eq!(structured.payload, json!({"org": 2}));
    assert!(bridge.memory.message("/shop", "binary").is_some());

    let answers = client.drain("answers").await;
    assert_eq!(answers.len(), 1);
    let correlation = answers[0].properties.correlation_id().as_ref().unwrap();
    assert_eq!(correlation.as_str(), "question 1");
    assert_eq!(answers[0].data, br#"{"id":"plain"}"#);

    let events = client.drain("events").await;
    assert_eq!(events.len(), 3);
    for event in &events {
        assert_eq!(event.routing_key.as_str(), "job.succeeded");
        assert_eq!(*event.properties.delivery_mode(), Some(2));
        let id = header(event, "cloudEvents:id").unwrap();
        assert_eq!(event.properties.message_id().as_ref().unwrap().as_str(), id);
        assert_eq!(header(event, "cloudEvents:specversion").unwrap(), "1.0");
        assert_eq!(header(event, "cloudEvents:type").unwrap(), "job.succeeded");
    }

    // A second delivery changes nothing; the same id of another source is another message.
    client.send(KIND, properties("plain"), GOOD).await;
    let other = properties("plain").with_app_id("shop".into());
    client.send(KIND, other, GOOD).await;
    until("the duplicate was recognised", async || {
        bridge.status.duplicates() == 1 && bridge.memory.len() == 4 && bridge.memory.waiting() == 0
    })
    .await;
    assert_eq!(client.drain("events").await.len(), 1);
    assert_eq!(bridge.status.consumed(), 4);
    assert_eq!(bridge.status.published(Published::Confirmed), 5);
    until("all is acked", async || client.count(JOBS).await == 0).await;
    bridge.stop().await;
    assert_eq!((client.count(JOBS).await, client.count(DEAD).await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_with_a_reason_and_replays() {
    let broker = RabbitMq::start();
    let bridge = Bridge::start(settings(&broker.url())).await;
    let client = Client::connect(&broker.url()).await;
    client.subscribe("events", "job.#").await;

    // What must not be carried along: an expiry, a foreign user and copies elsewhere.
    let mut headers = FieldTable::default();
    let copies = vec![AMQPValue::LongString("somewhere".into())];
    headers.insert("CC".into(), AMQPValue::FieldArray(copies.into()));
    headers.insert("tenant".into(), AMQPValue::LongString("eu".into()));
    let schema = properties("schema")
        .with_user_id("guest".into())
        .with_expiration("600000".into())
        .with_headers(headers);
    client.send(KIND, schema, b"{}").await;
    let nameless = BasicProperties::default().with_app_id("billing".into());
    client.send(KIND, nameless, GOOD).await;
    client.send("no.such", properties("kind"), GOOD).await;
    client.send(KIND, properties("json"), b"{").await;
    let large = vec![b' '; (1 << 20) + 1];
    client.send(KIND, properties("large"), &large).await;
    let largest = [GOOD, &large[..(1 << 20) - GOOD.len()]].concat();
    client.send(KIND, properties("largest"), &largest).await;

    until("all are dead, and their events sent", async || {
        client.count(DEAD).await == 5 && bridge.memory.waiting() == 0
    })
    .await;
    assert_eq!(bridge.memory.ids(), ["largest"]);
    let events = client.drain("events").await;
    let rejected = events
        .iter()
        .filter(|event| event.routing_key.as_str() == "job.rejected");
    assert_eq!((rejected.count(), events.len()), (5, 6));
    for reason in [
        Reason::InvalidPayload,
        Reason::MissingMessageId,
        Reason::UnknownKind,
        Reason::InvalidJson,
        Reason::TooLarge,
    ] {
        assert_eq!(bridge.status.rejected(reason), 1, "{reason:?}");
    }

    // Looking does not take away, however often.
    for _ in 0..3 {
        let (count, letters) = dead::list(&settings(&broker.url()), 100).await.unwrap();
        assert_eq!((count, letters.len()), (5, 5));
        let large = letters
            .iter()
            .find(|l| l.message_id.as_deref() == Some("large"))
            .unwrap();
        assert_eq!(large.reason.as_deref(), Some("rejected"));
        assert_eq!(large.routing_key.as_deref(), Some(KIND));
        assert_eq!(large.size_bytes, (1 << 20) + 1);
        let schema = letters
            .iter()
            .find(|l| l.message_id.as_deref() == Some("schema"))
            .unwrap();
        assert_eq!(schema.reason.as_deref(), Some("invalid_payload"));
        assert_eq!(schema.detail.as_deref(), Some("org is no integer"));
    }

    // One is replayed, is refused again and comes back.
    let one = Selection::Id("kind".into());
    let replayed = dead::replay(&settings(&broker.url()), &one).await.unwrap();
    assert_eq!((replayed.replayed, replayed.unknown_key), (1, 0));
    until("it is back", async || {
        client.count(DEAD).await == 5 && bridge.status.rejected(Reason::UnknownKind) == 2
    })
    .await;
    // All are: each once, though they come back at once.
    let replayed = dead::replay(&settings(&broker.url()), &Selection::All).await;
    assert_eq!(replayed.unwrap().replayed, 5);
    until("all are back", async || client.count(DEAD).await == 5).await;

    let letters = client.dead().await;
    for (id, reason, key) in [
        ("schema", "invalid_payload", KIND),
        ("", "missing_message_id", KIND),
        ("kind", "unknown_kind", "no.such"),
        ("json", "invalid_json", KIND),
    ] {
        let letter = &letters[id];
        assert_eq!(header(letter, REASON).as_deref(), Some(reason));
        assert_eq!(header(letter, ROUTING_KEY).as_deref(), Some(key));
        assert!(!header(letter, DETAIL).unwrap().is_empty());
    }
    let schema = &letters["schema"].properties;
    assert_eq!((schema.user_id(), schema.expiration()), (&None, &None));
    assert_eq!(header(&letters["schema"], "tenant").as_deref(), Some("eu"));
    assert!(!schema.headers().as_ref().unwrap().contains_key("CC"));

    client.send(KIND, properties("purged"), b"{").await;
    until("it is dead", async || client.count(DEAD).await == 1).await;
    assert_eq!(dead::purge(&settings(&broker.url())).await.unwrap(), 1);
    assert_eq!(client.count(DEAD).await, 0);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_malformed_messages_hold_nothing_up() {
    const MALFORMED: usize = 10_000;
    const GOOD_ONES: usize = 500;
    let broker = RabbitMq::start();
    let bridge = Bridge::start(settings(&broker.url())).await;
    let client = Client::connect(&broker.url()).await;
    client.subscribe("events", "job.*").await;
    let mut confirms = Vec::new();
    for number in 0..MALFORMED + GOOD_ONES {
        let is_good = number % 21 == 20;
        let body = if is_good { GOOD } else { b"{" };
        let confirm = client.channel.basic_publish(
            JOBS.into(),
            KIND.into(),
            BasicPublishOptions::default(),
            body,
            properties(&format!("{number:05}")),
        );
        confirms.push(confirm.await.unwrap());
    }
    for confirm in confirms {
        assert!(confirm.await.unwrap().is_ack());
    }
    until("all are sorted, and told", async || {
        bridge.memory.len() == GOOD_ONES
            && bridge.memory.rejected().len() == MALFORMED
            && bridge.memory.waiting() == 0
    })
    .await;
    let dead = client.dead().await;
    assert_eq!(dead.len(), MALFORMED);
    for (id, letter) in &dead {
        assert!(id.parse::<usize>().unwrap() % 21 != 20);
        assert_eq!(header(letter, REASON).as_deref(), Some("invalid_json"));
    }
    assert_eq!(
        bridge.status.rejected(Reason::InvalidJson),
        MALFORMED as u64
    );
    assert_eq!(bridge.status.reconnects(), 0);
    let events = client.drain("events").await;
    let ids: HashSet<_> = events
        .iter()
        .map(|e| header(e, "cloudEvents:id").unwrap())
        .collect();
    assert_eq!((events.len(), ids.len()), (10_500, 10_500));
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_is_tried_again_and_dropped_in_the_end() {
    let broker = RabbitMq::start();
    let bridge = Bridge::start(settings(&broker.url())).await;
    let client = Client::connect(&broker.url()).await;

    // Among many that are routed, exactly those that are not are told apart: lapin mixes them up.
    client.subscribe("wanted", "wanted").await;
    for number in 0..300 {
        let kind = if number % 3 == 0 {
            "unwanted"
        } else {
            "wanted"
        };
        let event = memory::event(kind, json!(number));
        bridge.memory.put(|id| event.outgoing(id));
    }
    until("the wanted are there", async || {
        client.count("wanted").await == 200 && bridge.memory.waiting() == 100
    })
    .await;
    assert!(bridge.status.published(Published::Unroutable) >= 100);
    // Once somebody wants them, they come.
    client.subscribe("unwanted", "unwanted").await;
    until("the others are there", async || {
        bridge.memory.waiting() == 0
    })
    .await;
    let mut numbers: Vec<u32> = client
        .drain("unwanted")
        .await
        .iter()
        .map(|event| String::from_utf8_lossy(&event.data).parse().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..300).step_by(3).collect::<Vec<_>>());
    assert_eq!(client.drain("wanted").await.len(), 200);

    // A reply to nobody is dropped after three tries, an event after a day.
    let event = memory::event("old.and.unwanted", json!({}));
    bridge.memory.put(|id| event.reply(id, "nowhere", "c"));
    let mut old = event.outgoing("");
    old.created_at = Clock.now() - 25.hours();
    bridge.memory.put(|id| {
        old.id = id;
        old
    });
    until("both are dropped", async || bridge.memory.waiting() == 0).await;
    assert_eq!(
        bridge.memory.dropped(),
        [
            ("302".to_owned(), "no queue wants it".to_owned()),
            ("301".to_owned(), "the reply queue is gone".to_owned()),
        ]
    );
    assert_eq!(bridge.status.published(Published::Dropped), 2);
    assert_eq!(bridge.status.reconnects(), 0);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_flushes_what_is_due() {
    let broker = RabbitMq::start();
    let bridge = Bridge::start(settings(&broker.url())).await;
    let client = Client::connect(&broker.url()).await;
    client.subscribe("events", "#").await;
    client.send_many((0..1_000).map(|n| n.to_string())).await;
    until("it has begun", async || bridge.memory.len() > 0).await;
    let memory = bridge.stop().await;
    assert_eq!(memory.waiting(), 0);
    let taken = memory.len();
    assert_eq!(client.drain("events").await.len(), taken);
    // What was not taken in is still there for the next one, and acked is only what was.
    until("the rest is back in the queue", async || {
        client.count(JOBS).await as usize == 1_000 - taken
    })
    .await;
    let bridge = Bridge::launch(settings(&broker.url()), memory);
    until("all are taken in and told", async || {
        bridge.memory.len() == 1_000 && bridge.memory.waiting() == 0
    })
    .await;
    assert_eq!(client.drain("events").await.len(), 1_000 - taken);
    assert_eq!(bridge.status.duplicates(), 0);
    bridge.stop().await;
}
