//! Deliveries to the database, batch by batch.
//!
//! Commit order: jobs and `job.rejected` events (one transaction) → copies for the dead queue (confirmed) → ack. A crash
//! at any point leads to redelivery: jobs are recognised by their ids, and what was refused is refused again, so that its
//! event or its copy may come twice, never not at all.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::{
    Channel, Consumer,
    message::Delivery,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions,
        BasicRejectOptions,
    },
    types::FieldTable,
};
use tokio::{
    select,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    AmqpError, Settings,
    connection::{Link, in_time},
    letter, message,
    ports::{Intake, Message, Rejected},
    publisher::{Outcome, Post, Publisher},
    status::{Side, Status},
    topology,
};

const TAG: &str = "trailkeeper";
/// A batch ends when its bodies come to this: parsing them must not hold up the runtime for long.
const BATCH_BYTES: usize = 4 << 20;
/// A careful session becomes an ordinary one when nothing has come for this long.
const CALM: Duration = Duration::from_millis(500);

/// How a session ended without an error.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was told to stop.
    Stopped,
    /// It was careful and no longer needs to be.
    Calm,
}

/// One connection's life. A careful session takes one message at a time: after a failure, the message that caused it
/// (if one did) is then the only one whose deliveries are counted, and reaches the delivery limit alone.
pub(super) async fn session<I: Intake>(
    settings: &Settings,
    intake: &I,
    status: &Status,
    careful: bool,
    stop: &CancellationToken,
) -> Result<End, AmqpError> {
    intake.ready().await.map_err(AmqpError::Store)?;
    let link = Link::open(settings, "consume").await?;
    let declared = topology::declare(&link);
    in_time(settings, "declare exchanges and queues", declared).await?;
    let prefetch = if careful { 1 } else { settings.prefetch };
    let started = start(&link, prefetch);
    let (channel, consumer) = in_time(settings, "start a consumer", started).await?;
    let mut session = Session {
        settings,
        intake,
        status,
        channel,
        consumer,
        publisher: None,
    };
    status.set_running(Side::Consume, true);
    let end = session.run(careful, stop).await?;
    session.stop().await;
    link.close().await;
    Ok(end)
}

async fn start(link: &Link, prefetch: u16) -> Result<(Channel, Consumer), AmqpError> {
    let channel = link.channel().await?;
    channel
        .basic_qos(prefetch, BasicQosOptions::default())
        .await?;
    let consumer = channel
        .basic_consume(
            topology::JOBS.into(),
            TAG.into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    Ok((channel, consumer))
}

struct Session<'a, I> {
    settings: &'a Settings,
    intake: &'a I,
    status: &'a Status,
    channel: Channel,
    consumer: Consumer,
    /// For the dead queue. Opened when first needed, and apart: the broker may block who publishes, never who acks.
    publisher: Option<Publisher>,
}

/// A batch, sorted by what is to happen with it.
#[derive(Default)]
struct Batch<'a> {
    messages: Vec<Message>,
    rejected: Vec<Rejected>,
    dead: Vec<Post>,
    too_large: Vec<&'a Delivery>,
    last_to_ack: Option<&'a Delivery>,
}

impl<I: Intake> Session<'_, I> {
    async fn run(&mut self, careful: bool, stop: &CancellationToken) -> Result<End, AmqpError> {
        let mut left = self.settings.batch;
        loop {
            let first = select! {
                biased;
                () = stop.cancelled() => return Ok(End::Stopped),
                delivery = self.consumer.next() => delivery.ok_or(AmqpError::ConsumerEnded)??,
                () = tokio::time::sleep(CALM), if careful => return Ok(End::Calm),
            };
            let deliveries = self.gather(first).await?;
            self.take(&deliveries).await?;
            if careful {
                left = left.saturating_sub(1);
                if left == 0 {
                    return Ok(End::Calm);
                }
            }
        }
    }

    async fn gather(&mut self, first: Delivery) -> Result<Vec<Delivery>, AmqpError> {
        let deadline = Instant::now() + self.settings.linger;
        let mut bytes = first.data.len();
        let mut deliveries = vec![first];
        while deliveries.len() < usize::from(self.settings.batch) && bytes < BATCH_BYTES {
            match timeout_at(deadline, self.consumer.next()).await {
                Ok(Some(delivery)) => {
                    let delivery = delivery?;
                    bytes += delivery.data.len();
                    deliveries.push(delivery);
                }
                Ok(None) => return Err(AmqpError::ConsumerEnded),
                Err(_) => break,
            }
        }
        Ok(deliveries)
    }

    async fn take(&mut self, deliveries: &[Delivery]) -> Result<(), AmqpError> {
        let batch = self.sort(deliveries);
        let reasons: Vec<_> = batch.rejected.iter().map(|r| r.reason).collect();
        let taken = self
            .intake
            .take_in(batch.messages, batch.rejected)
            .await
            .map_err(AmqpError::Store)?;
        self.status.count_taken_in(taken.new, taken.duplicates);
        for reason in reasons {
            self.status.count_rejected(reason);
        }
        if !batch.dead.is_empty() {
            self.bury(&batch.dead).await?;
        }
        for delivery in batch.too_large {
            let rejected = delivery
                .reject(BasicRejectOptions { requeue: false })
                .await?;
            if !rejected {
                return Err(AmqpError::AckNotSent);
            }
        }
        if let Some(delivery) = batch.last_to_ack {
            let acked = delivery.ack(BasicAckOptions { multiple: true }).await?;
            if !acked {
                return Err(AmqpError::AckNotSent);
            }
        }
        Ok(())
    }

    fn sort<'d>(&self, deliveries: &'d [Delivery]) -> Batch<'d> {
        let mut batch = Batch::default();
        let limit = self.settings.max_body_bytes;
        for delivery in deliveries {
            let (properties, key) = (&delivery.properties, delivery.routing_key.as_str());
            let bytes = delivery.data.len();
            if bytes > limit {
                // The broker moves it to the dead queue by itself, so that it need not travel once more.
                let rejected = message::too_large(properties, key, bytes, limit);
                batch.rejected.push(rejected);
                batch.too_large.push(delivery);
                continue;
            }
            batch.last_to_ack = Some(delivery);
            let read =
                message::read(properties, key, &delivery.data).and_then(|message| {
                    match self.intake.validate(&message.kind, &message.payload) {
                        Ok(()) => Ok(message),
                        Err(refusal) => {
                            Err(message::refuse(&message, refusal.reason, &refusal.detail))
                        }
                    }
                });
            match read {
                Ok(message) => batch.messages.push(message),
                Err(rejected) => {
                    batch.dead.push(letter::of(delivery, &rejected));
                    batch.rejected.push(rejected);
                }
            }
        }
        batch
    }

    async fn bury(&mut self, letters: &[Post]) -> Result<(), AmqpError> {
        let publisher = match &mut self.publisher {
            Some(publisher) => publisher,
            none => none.insert(Publisher::open(self.settings, "dead letters").await?),
        };
        for outcome in publisher.send(letters, |_| ()).await? {
            let outcome = match outcome {
                Outcome::Confirmed => continue,
                Outcome::Unroutable => "unroutable",
                Outcome::Refused => "refused",
            };
            return Err(AmqpError::NotAccepted {
                queue: topology::DEAD,
                outcome,
            });
        }
        Ok(())
    }

    /// What was sent ahead and not taken goes back to the queue.
    async fn stop(self) {
        // Failing is fine: the connection is closed next.
        let _ = self
            .channel
            .basic_cancel(TAG.into(), BasicCancelOptions::default())
            .await;
        if let Some(publisher) = self.publisher {
            publisher.link.close().await;
        }
    }
}
