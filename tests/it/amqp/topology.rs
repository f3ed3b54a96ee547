//! What is said about a topology that others made.

use lapin::{
    ExchangeKind,
    options::{ExchangeDeclareOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use trailkeeper::runtime::amqp::topology::{self, Argument, JOBS, QUEUES};

use super::{Bridge, settings, until};
use crate::support::{amqp_client::Client, rabbitmq::RabbitMq};

#[tokio::test(flavor = "multi_thread")]
async fn says_what_differs_in_the_topology() {
    let broker = RabbitMq::start();
    let client = Client::connect(&broker.url()).await;
    let durable = QueueDeclareOptions {
        durable: true,
        ..Default::default()
    };
    let queue = QUEUES.iter().find(|queue| queue.name == JOBS).unwrap();
    let mut arguments = FieldTable::default();
    for (name, argument) in queue.arguments {
        let value = match *argument {
            Argument::Text(text) => AMQPValue::LongString(text.into()),
            Argument::Number(_) => AMQPValue::LongInt(5),
        };
        arguments.insert((*name).into(), value);
    }
    client
        .channel
        .queue_declare(JOBS.into(), durable, arguments)
        .await
        .unwrap();

    let bridge = Bridge::launch(settings(&broker.url()), Default::default());
    let error = async |part: &str| {
        until(part, async || {
            let error = bridge.status.last_error();
            error.is_some_and(|error| error.contains(part))
        })
        .await;
        bridge.status.last_error().unwrap()
    };
    let text = error("x-delivery-limit").await;
    assert!(
        text.contains(
            "the queue trailkeeper.jobs exists with x-delivery-limit = 5 where trailkeeper needs 10"
        ),
        "{text}"
    );
    assert!(text.contains("delete it"), "{text}");
    assert!(!bridge.status.consuming() && !bridge.status.publishing());
    let checked = topology::check(&settings(&broker.url())).await;
    assert_eq!(checked.unwrap_err().to_string(), text);

    bridge.stop().await;

    // An exchange of another type.
    broker.delete_queue(JOBS);
    client
        .channel
        .exchange_delete(JOBS.into(), Default::default())
        .await
        .unwrap();
    let options = ExchangeDeclareOptions {
        durable: true,
        ..Default::default()
    };
    client
        .channel
        .exchange_declare(
            JOBS.into(),
            ExchangeKind::Direct,
            options,
            FieldTable::default(),
        )
        .await
        .unwrap();
    let bridge = Bridge::launch(settings(&broker.url()), Default::default());
    until("it says so", async || {
        let error = bridge.status.last_error().unwrap_or_default();
        error.contains(
            "the exchange trailkeeper.jobs exists with type = direct where trailkeeper needs topic",
        )
    })
    .await;

    // It works as soon as the difference is gone.
    client
        .channel
        .exchange_delete(JOBS.into(), Default::default())
        .await
        .unwrap();
    bridge.works().await;
    assert_eq!(bridge.status.last_error(), None);
    bridge.stop().await;
}
