//! Those who send jobs and listen for events.

use std::collections::HashMap;

use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    message::Delivery,
    options::{
        BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
        QueueBindOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use trailkeeper::runtime::amqp::topology::{DEAD, EVENTS, JOBS};

/// A connection of a test.
pub(crate) struct Client {
    _connection: Connection,
    pub(crate) channel: Channel,
}

/// Properties of an ordinary message.
pub(crate) fn properties(id: &str) -> BasicProperties {
    BasicProperties::default()
        .with_message_id(id.into())
        .with_app_id("billing".into())
        .with_delivery_mode(2)
}

pub(crate) fn with_headers(
    properties: BasicProperties,
    headers: &[(&str, &str)],
) -> BasicProperties {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert((*name).into(), AMQPValue::LongString((*value).into()));
    }
    properties.with_headers(table)
}

pub(crate) fn header(delivery: &Delivery, name: &str) -> Option<String> {
    match delivery.properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        other => panic!("{name} is {other:?}"),
    }
}

impl Client {
    pub(crate) async fn connect(url: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default())
            .await
            .expect("connect");
        let channel = connection.create_channel().await.expect("open a channel");
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .expect("ask for confirms");
        Self {
            _connection: connection,
            channel,
        }
    }

    /// Sends and waits for the broker to have it. Just after a restart it may refuse for a moment.
    pub(crate) async fn send(&self, kind: &str, properties: BasicProperties, body: &[u8]) {
        self.send_to(JOBS, kind, properties, body).await;
    }

    pub(crate) async fn send_to(
        &self,
        exchange: &str,
        routing_key: &str,
        properties: BasicProperties,
        body: &[u8],
    ) {
        for _ in 0..200 {
            let confirm = self.channel.basic_publish(
                exchange.into(),
                routing_key.into(),
                BasicPublishOptions::default(),
                body,
                properties.clone(),
            );
            let confirmation = confirm.await.expect("publish").await.expect("a confirm");
            if confirmation == Confirmation::Ack(None) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("the broker refuses the message");
    }

    /// Sends ordinary messages, without waiting in between.
    pub(crate) async fn send_many(&self, ids: impl IntoIterator<Item = String>) {
        let mut confirms = Vec::new();
        for id in ids {
            let confirm = self.channel.basic_publish(
                JOBS.into(),
                "trail.verify".into(),
                BasicPublishOptions::default(),
                br#"{"org":1}"#,
                properties(&id),
            );
            confirms.push(confirm.await.expect("publish"));
        }
        for confirm in confirms {
            assert!(confirm.await.expect("a confirm").is_ack());
        }
    }

    /// A queue of its own for answers.
    pub(crate) async fn queue(&self, name: &str) {
        let options = QueueDeclareOptions {
            durable: true,
            ..Default::default()
        };
        self.channel
            .queue_declare(name.into(), options, FieldTable::default())
            .await
            .expect("declare a queue");
    }

    /// A queue of its own for events whose type matches.
    pub(crate) async fn subscribe(&self, name: &str, pattern: &str) {
        self.queue(name).await;
        self.channel
            .queue_bind(
                name.into(),
                EVENTS.into(),
                pattern.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
            .expect("bind the queue");
    }

    pub(crate) async fn count(&self, queue: &str) -> u32 {
        let options = QueueDeclareOptions {
            passive: true,
            ..Default::default()
        };
        self.channel
            .queue_declare(queue.into(), options, FieldTable::default())
            .await
            .expect("count messages")
            .message_count()
    }

    /// Takes everything out of a queue.
    pub(crate) async fn drain(&self, queue: &str) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        while let Some(message) = self
            .channel
            .basic_get(queue.into(), BasicGetOptions::default())
            .await
            .expect("get a message")
        {
            let ack = message.ack(BasicAckOptions::default());
            assert!(ack.await.expect("ack"));
            deliveries.push(message.delivery);
        }
        deliveries
    }

    /// Takes the dead letters, by message id.
    pub(crate) async fn dead(&self) -> HashMap<String, Delivery> {
        let letters = self.drain(DEAD).await;
        letters
            .into_iter()
            .map(|letter| {
                let id = letter.properties.message_id();
                let id = id.as_ref().map(|id| id.as_str().to_owned());
                (id.unwrap_or_default(), letter)
            })
            .collect()
    }
}
