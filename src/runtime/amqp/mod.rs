//! The bridge between RabbitMQ and the database. The database is the truth, RabbitMQ only transports.
//!
//! - *In*: a delivery is checked ([`message`]), taken in together with its batch in one transaction
//!   ([`ports::Intake`]) and acked after the commit. What cannot be taken in goes to the dead queue.
//! - *Out*: events wait in the outbox ([`ports::Outbox`]) until the broker has confirmed and routed them.
//! - Both directions have connections of their own, and a supervisor that drops everything at any error and starts
//!   anew, for ever ([`supervisor`]). Nothing is recovered in place: that is what makes each fault the same fault.
//!
//! Delivery is at least once on both sides. Incoming duplicates are absorbed by the inbox; outgoing ones carry the same
//! CloudEvents `id`. Left out on purpose: running jobs, and knowing what a kind means.
//!
//! lapin logs the content of returned messages. Whoever sets up logging must silence it with [`LOG_DIRECTIVE`]; all that
//! matters is logged here.

mod backoff;
pub mod connection;
mod consume;
pub mod dead;
mod error;
pub mod events;
mod letter;
pub mod message;
pub mod ports;
mod publish;
mod publisher;
mod settings;
pub mod status;
pub mod supervisor;
pub mod tls;
pub mod topology;

pub use error::AmqpError;
pub use settings::Settings;

/// For the log filter: lapin prints whole messages and every error that is handled here anyway.
pub const LOG_DIRECTIVE: &str = "lapin=off";
