//! What must be survived. Each test asserts that the bridge works again by itself and that nothing was lost or doubled.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use lapin::options::QueueDeleteOptions;
use serde_json::Value;
use trailkeeper::runtime::amqp::{
    dead,
    ports::Reason,
    status::Published,
    topology::{DEAD, JOBS},
};

use crate::support::amqp_client::{Client, header, properties};

use super::{
    Bridge,
    memory::{Memory, POISON},
    settings, until,
};
use crate::support::rabbitmq::RabbitMq;

fn ids(name: &str, count: u32) -> Vec<String> {
    (0..count)
        .map(|number| format!("{name} {number:04}"))
        .collect()
}

/// Checks that these and no others were taken in, and that those told since the last check are the last ones, `new`. An
/// event may come twice, but only with the same id.
async fn assert_complete(bridge: &Bridge, client: &Client, all: &[String], new: usize) {
    until("all are taken in and told", async || {
        bridge.memory.len() >= all.len() && bridge.memory.waiting() == 0
    })
    .await;
    let sorted = |ids: &[String]| {
        let mut ids = ids.to_vec();
        ids.sort();
        ids
    };
    assert_eq!(bridge.memory.ids(), sorted(all));
    let mut told: HashMap<String, String> = HashMap::new();
    for event in client.drain("events").await {
        let data: Value = serde_json::from_slice(&event.data).expect("JSON");
        let job = data["id"].as_str().expect("an id").to_owned();
        let id = header(&event, "cloudEvents:id").expect("an id");
        let first = told.entry(job).or_insert_with(|| id.clone());
        assert_eq!(*first, id);
    }
    let told: Vec<String> = told.into_keys().collect();
    assert_eq!(sorted(&told), sorted(&all[all.len() - new..]));
    until("all is acked", async || client.count(JOBS).await == 0).await;
    assert_eq!(client.count(DEAD).await, 0);
}

async fn start(broker: &RabbitMq) -> (Bridge, Client) {
    let bridge = Bridge::start(settings(&broker.url())).await;
    let client = Client::connect(&broker.url()).await;
    client.subscribe("events", "#").await;
    (bridge, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_is_killed_and_comes_back() {
    let mut broker = RabbitMq::start();
    let (bridge, client) = start(&broker).await;
    // RabbitMQ 3.10 forgets a quorum queue for good if it is killed in the first moments after the queue was declared
    // (Ra writes its directory of members twice a second), which is nothing that a client could mend.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut sent = ids("before", 500);
    client.send_many(sent.clone()).await;
    until("it has begun", async || bridge.memory.len() > 0).await;
    broker.kill();
    until("it is noticed", async || {
        !bridge.status.consuming() && !bridge.status.publishing()
    })
    .await;
    assert!(bridge.status.last_error().is_some());
    broker.restart();
    bridge.works().await;
    assert_eq!(bridge.status.last_error(), None);
    let client = Client::connect(&broker.url()).await;
    let after = ids("after", 500);
    client.send_many(after.clone()).await;
    sent.extend(after);
    assert_complete(&bridge, &client, &sent, 1_000).await;
    assert!(bridge.status.reconnects() >= 2);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_and_channels_are_closed() {
    let broker = RabbitMq::start();
    let (bridge, client) = start(&broker).await;
    let mut sent = ids("connection", 500);
    client.send_many(sent.clone()).await;
    broker.close_connections();
    let client = Client::connect(&broker.url()).await;
    until("it reconnected", async || bridge.status.reconnects() >= 2).await;
    bridge.works().await;
    let after = ids("after", 100);
    client.send_many(after.clone()).await;
    sent.extend(after);
    assert_complete(&bridge, &client, &sent, 600).await;

    // The broker closes the consumer's channel only, as it does when an ack takes too long. The batch was committed
    // then, so that its redelivery finds it done.
    broker.ctl(&[
        "eval",
        "application:set_env(rabbit, consumer_timeout, 1000), \
         application:set_env(rabbit, channel_tick_interval, 500).",
    ]);
    broker.close_connections();
    let client = Client::connect(&broker.url()).await;
    until("it reconnected", async || bridge.status.reconnects() >= 4).await;
    bridge.works().await;
    let before = bridge.status.reconnects();
    bridge.memory.slow.store(1, SeqCst);
    client.send_many(ids("slow", 10)).await;
    sent.extend(ids("slow", 10));
    until("it noticed", async || bridge.status.reconnects() > before).await;
    bridge.works().await;
    let after = ids("channel", 100);
    client.send_many(after.clone()).await;
    sent.extend(after);
    assert_complete(&bridge, &client, &sent, 110).await;
    assert!(bridge.status.duplicates() > 0);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_deleted() {
    let broker = RabbitMq::start();
    let (bridge, client) = start(&broker).await;
    let mut sent = ids("before", 100);
    client.send_many(sent.clone()).await;
    until("all is acked", async || {
        bridge.memory.len() == 100 && client.count(JOBS).await == 0
    })
    .await;
    // What is in a deleted queue is lost by the operator's will, so it is empty here.
    client
        .channel
        .queue_delete(JOBS.into(), QueueDeleteOptions::default())
        .await
        .expect("delete the queue");
    until("it is declared anew", async || {
        bridge.status.reconnects() > 0 && bridge.status.consuming()
    })
    .await;
    let after = ids("after", 100);
    client.send_many(after.clone()).await;
    sent.extend(after);
    assert_complete(&bridge, &client, &sent, 200).await;

    // The same for the dead queue, which is missed when something has to go there.
    broker.delete_queue(DEAD);
    client.send("trail.verify", properties("bad"), b"{").await;
    until("the bad one is dead", async || {
        let client = Client::connect(&broker.url()).await;
        broker.ctl(&["list_queues", "name"]).contains(DEAD) && client.count(DEAD).await == 1
    })
    .await;
    assert!(bridge.status.rejected(Reason::InvalidJson) >= 1);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_alarm_blocks_publishers() {
    let broker = RabbitMq::start();
    let (bridge, client) = start(&broker).await;
    let mut sent = ids("before", 100);
    client.send_many(sent.clone()).await;
    until("all are told", async || {
        bridge.memory.len() == 100 && bridge.memory.waiting() == 0
    })
    .await;

    // Messages that are in the queue when the alarm comes are taken in all the same; the events about them wait.
    bridge.memory.not_ready.store(u32::MAX, SeqCst);
    broker.close_connections();
    let client = Client::connect(&broker.url()).await;
    let during = ids("during", 300);
    client.send_many(during.clone()).await;
    client.send("trail.verify", properties("bad"), b"{").await;
    broker.set_memory_alarm(true);
    bridge.memory.not_ready.store(0, SeqCst);
    until("they are taken in and the block is noticed", async || {
        bridge.memory.len() == 400 && !bridge.status.publishing()
    })
    .await;
    let reconnects = bridge.status.reconnects();
    // Longer than any wait between attempts: it must neither give up nor connect again and again.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(bridge.memory.waiting() > 0);
    assert!(bridge.status.reconnects() <= reconnects + 1);

    broker.set_memory_alarm(false);
    until("the bad one is dead", async || {
        client.count(DEAD).await == 1 && bridge.memory.waiting() == 0
    })
    .await;
    bridge.works().await;
    let letters = client.dead().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(bridge.memory.rejected().len(), 1);
    sent.extend(during);
    sent.extend(ids("after", 100));
    client.send_many(ids("after", 100)).await;
    // The event about the bad one.
    sent.push("bad".to_owned());
    sent.sort();
    until("all are told", async || {
        bridge.memory.len() == 500 && bridge.memory.waiting() == 0
    })
    .await;
    let mut told: Vec<String> = Vec::new();
    for event in client.drain("events").await {
        let data: Value = serde_json::from_slice(&event.data).expect("JSON");
        told.push(data["id"].as_str().expect("an id").to_owned());
    }
    told.sort();
    assert_eq!(told, sent);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_bridge_can_be_stopped() {
    let broker = RabbitMq::start();
    let (bridge, client) = start(&broker).await;
    broker.set_memory_alarm(true);
    bridge
        .memory
        .put(|id| super::memory::event("e", serde_json::json!({})).outgoing(id));
    until("it is blocked", async || !bridge.status.publishing()).await;
    let memory = bridge.stop().await;
    // It is still in the outbox, for the next one. Its copy under way is published once the alarm is over or, as the
    // connection was cut, never.
    assert_eq!(memory.waiting(), 1);
    broker.set_memory_alarm(false);
    let bridge = Bridge::launch(settings(&broker.url()), memory);
    bridge.memory.unclaim();
    until("it is told", async || bridge.memory.waiting() == 0).await;
    let events = client.drain("events").await;
    let ids: HashSet<_> = events.iter().map(|e| header(e, "cloudEvents:id")).collect();
    assert_eq!(ids.len(), 1);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_fails_before_or_after_its_commit() {
    let broker = RabbitMq::start();
    let (bridge, client) = start(&broker).await;
    let mut sent = ids("before", 300);
    bridge.memory.fail.store(3, SeqCst);
    client.send_many(sent.clone()).await;
    assert_complete(&bridge, &client, &sent, 300).await;
    assert_eq!(bridge.status.duplicates(), 0);

    bridge.memory.fail_after_commit.store(2, SeqCst);
    let after = ids("committed", 300);
    client.send_many(after.clone()).await;
    sent.extend(after);
    until("the redelivery was absorbed", async || {
        bridge.status.duplicates() > 0
    })
    .await;
    assert_complete(&bridge, &client, &sent, 300).await;
    assert_eq!(bridge.status.last_error(), None);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_outage_of_the_store_costs_no_message_its_life() {
    let broker = RabbitMq::start();
    let (bridge, client) = start(&broker).await;
    // Far more attempts than the delivery limit, half of which get as far as trying to write.
    let memory: &Arc<Memory> = &bridge.memory;
    memory.fail.store(4, SeqCst);
    let sent = ids("patient", 50);
    client.send_many(sent.clone()).await;
    until("it failed", async || memory.fail.load(SeqCst) < 4).await;
    memory.not_ready.store(15, SeqCst);
    assert_complete(&bridge, &client, &sent, 50).await;
    assert!(bridge.status.reconnects() > 15);
    assert_eq!(bridge.status.published(Published::Dropped), 0);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_the_store_cannot_hold_dies_alone() {
    let broker = RabbitMq::start();
    let (bridge, client) = start(&broker).await;
    let mut sent = ids("before", 30);
    sent.push(POISON.to_owned());
    sent.extend(ids("behind", 30));
    client.send_many(sent.clone()).await;
    until("all others are taken in", async || {
        bridge.memory.len() == 60
    })
    .await;
    until("it is dead", async || client.count(DEAD).await == 1).await;
    let (_, letters) = dead::list(&settings(&broker.url()), 10)
        .await
        .expect("list");
    assert_eq!(letters[0].message_id.as_deref(), Some(POISON));
    assert_eq!(letters[0].reason.as_deref(), Some("delivery_limit"));
    assert_eq!(letters[0].routing_key.as_deref(), Some("trail.verify"));
    bridge.works().await;
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_broker_for_a_while() {
    let mut broker = RabbitMq::start();
    broker.kill();
    let bridge = Bridge::launch(settings(&broker.url()), Arc::default());
    until("it says why", async || {
        let error = bridge.status.last_error().unwrap_or_default();
        error.contains("cannot connect to amqp://guest@127.0.0.1:")
    })
    .await;
    broker.restart();
    bridge.works().await;
    bridge.stop().await;
}
