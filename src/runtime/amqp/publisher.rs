//! Publishing with confirms: persistent, mandatory, and successful only when the broker has the message in a queue.

use std::{collections::HashSet, time::Duration};

use futures_util::future::join_all;
use lapin::{
    BasicProperties, Channel, Confirmation,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
};
use tokio::{pin, select, time::sleep};

use super::{
    AmqpError, Settings,
    connection::{Link, in_time},
};

/// How often a wait looks whether the broker blocks us.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A message to publish.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
}

/// What the broker made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Confirmed,
    Unroutable,
    Refused,
}

/// A connection that only publishes: the broker blocks whole connections, and acks must never wait behind that.
pub(super) struct Publisher {
    pub(super) link: Link,
    channel: Channel,
    patience: Duration,
}

impl Publisher {
    pub(super) async fn open(settings: &Settings, role: &str) -> Result<Self, AmqpError> {
        let link = Link::open(settings, role).await?;
        let channel = in_time(settings, "open a channel", async {
            let channel = link.channel().await?;
            channel
                .confirm_select(ConfirmSelectOptions::default())
                .await?;
            Ok(channel)
        })
        .await?;
        Ok(Self {
            link,
            channel,
            patience: settings.answer_timeout,
        })
    }

    /// Publishes all and waits for all answers; one outcome for each, in order. At an error any part may have arrived.
    ///
    /// While the broker blocks publishers this waits as long as it takes: giving up would only make the next attempt wait,
    /// and for messages that came in, count against their delivery limit.
    pub(super) async fn send(
        &self,
        posts: &[Post],
        on_block: impl Fn(bool),
    ) -> Result<Vec<Outcome>, AmqpError> {
        let confirms = join_all(posts.iter().map(|post| self.send_one(post)));
        pin!(confirms);
        let mut waited = Duration::ZERO;
        let mut was_blocked = false;
        let confirms = loop {
            select! {
                confirms = &mut confirms => break confirms,
                () = sleep(LOOK_EVERY) => {
                    let is_blocked = self.link.is_blocked();
                    if is_blocked != was_blocked {
                        on_block(is_blocked);
                        was_blocked = is_blocked;
                    }
                    waited = if is_blocked { Duration::ZERO } else { waited + LOOK_EVERY };
                    if waited >= self.patience {
                        return Err(AmqpError::Timeout { what: "confirm messages", after: self.patience });
                    }
                }
            }
        };
        if was_blocked {
            on_block(false);
        }
        let confirms = confirms.into_iter().collect::<Result<Vec<_>, _>>()?;

        // lapin hands a returned message out with the next confirm that comes in, which need not be its own when several
        // are under way. Once all confirms are in, all returned messages are too; where a message went decides whether
        // it was routed, so that is what they are told apart by.
        let returned: HashSet<(&str, &str)> = confirms
            .iter()
            .filter_map(|confirm| match confirm {
                Confirmation::Ack(Some(message)) | Confirmation::Nack(Some(message)) => {
                    Some((message.exchange.as_str(), message.routing_key.as_str()))
                }
                _ => None,
            })
            .collect();
        let outcome = |(post, confirm): (&Post, &Confirmation)| {
            if returned.contains(&(post.exchange.as_str(), post.routing_key.as_str())) {
                Outcome::Unroutable
            } else if confirm.is_ack() {
                Outcome::Confirmed
            } else {
                Outcome::Refused
            }
        };
        Ok(posts.iter().zip(&confirms).map(outcome).collect())
    }

    async fn send_one(&self, post: &Post) -> lapin::Result<Confirmation> {
        let options = BasicPublishOptions {
            mandatory: true,
            ..Default::default()
        };
        self.channel
            .basic_publish(
                post.exchange.clone(),
                post.routing_key.clone(),
                options,
                &post.body,
                post.properties.clone(),
            )
            .await?
            .await
    }
}
