//! Gives a worker something to do, for benchmarks:
//! `feed_jobs COUNT --publish AMQP_URL | --enqueue STATE_URL [--kind KIND] [--payload JSON] [--pause MS..MS]`.
//!
//! Published messages are persistent and all confirmed before it ends.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use futures_util::{StreamExt as _, stream};
use lapin::{
    BasicProperties, Confirmation, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use serde_json::Value;
use trailkeeper::{
    runtime::amqp::{Settings, topology},
    state::{
        Store,
        jobs::{NewJob, new_id},
    },
};

/// Jobs of one transaction, where there is no pause between them.
const BATCH: usize = 1000;
/// Messages that wait for their confirms side by side.
const UNCONFIRMED: usize = 1000;

#[derive(Parser)]
struct Arguments {
    /// How many jobs
    count: usize,
    /// Publish messages to this RabbitMQ
    #[arg(long, value_name = "URL", required_unless_present = "enqueue")]
    publish: Option<String>,
    /// Write into this state database, as the program does itself
    #[arg(long, value_name = "URL", conflicts_with = "publish")]
    enqueue: Option<String>,
    /// Their kind
    #[arg(long, default_value = "probe")]
    kind: String,
    /// What they are to do
    #[arg(long, default_value = "{}", value_parser = json)]
    payload: Value,
    /// Enqueue one after the other, with random pauses from here to there in between
    #[arg(long, value_name = "MS..MS", value_parser = pause)]
    pause: Option<(u64, u64)>,
}

// clap would take the text itself for the value.
fn json(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(text)
}

fn pause(text: &str) -> anyhow::Result<(u64, u64)> {
    let (from, to) = text.split_once("..").context("needs two numbers")?;
    let (from, to) = (from.parse()?, to.parse()?);
    ensure!(from <= to, "the first must not be larger");
    Ok((from, to))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let began = Instant::now();
    match (&arguments.publish, &arguments.enqueue) {
        (Some(url), _) => publish(&arguments, url).await?,
        (None, Some(url)) => enqueue(&arguments, url).await?,
        (None, None) => bail!("where to?"),
    }
    println!("{:.3}", began.elapsed().as_secs_f64());
    Ok(())
}

async fn publish(arguments: &Arguments, url: &str) -> anyhow::Result<()> {
    topology::check(&Settings::new(url)?).await?;
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let body = arguments.payload.to_string();
    let confirms = stream::iter(0..arguments.count).map(|_| {
        let properties = BasicProperties::default()
            .with_message_id(new_id().into())
            .with_app_id("feed_jobs".into())
            .with_content_type("application/json".into())
            .with_delivery_mode(2);
        let (exchange, kind) = (topology::JOBS.into(), arguments.kind.as_str().into());
        let (channel, body) = (&channel, body.as_bytes());
        let options = BasicPublishOptions {
            mandatory: true,
            ..Default::default()
        };
        async move {
            let sent = channel.basic_publish(exchange, kind, options, body, properties);
            sent.await?.await
        }
    });
    let mut confirms = confirms.buffered(UNCONFIRMED);
    while let Some(confirm) = confirms.next().await {
        ensure!(
            matches!(confirm?, Confirmation::Ack(None)),
            "the broker did not take a message"
        );
    }
    connection.close(200, "OK".into()).await?;
    Ok(())
}

async fn enqueue(arguments: &Arguments, url: &str) -> anyhow::Result<()> {
    let store = Store::open(url, 3).await?;
    let Some((from, to)) = arguments.pause else {
        let jobs: Vec<NewJob> = (0..arguments.count).map(|_| job(arguments)).collect();
        for jobs in jobs.chunks(BATCH) {
            store.enqueue(jobs).await?;
        }
        return Ok(());
    };
    for _ in 0..arguments.count {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(from..=to))).await;
        store.enqueue(&[job(arguments)]).await?;
    }
    Ok(())
}

fn job(arguments: &Arguments) -> NewJob {
    NewJob {
        id: new_id(),
        kind: arguments.kind.clone(),
        queue: "default".to_owned(),
        payload: arguments.payload.clone(),
        priority: 0,
        delay_micros: 0,
        max_attempts: 5,
        unique_key: None,
        source: "feed_jobs".to_owned(),
        fired: None,
        trace: None,
    }
}
