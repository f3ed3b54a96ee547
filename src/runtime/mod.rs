//! Floor 3: what keeps jobs going. It knows no job kind: kinds come from the floor above, in a registry.
//!
//! ```text
//! AMQP ──┐                         ┌─ heartbeat: extends leases, brings wishes to cancel
//! cron ──┼→ state: job rows → worker: claim → run → finisher ─→ outcome + events ─→ outbox → AMQP
//! CLI ───┘                         └─ rescue: takes leases of vanished workers away
//! ```
//!
//! The database is the truth. Every arrow out of it is a claim with a lease, every arrow into it one transaction,
//! and whoever dies in between is made up for by the next one who looks.

pub mod amqp;
mod attempt;
pub mod bridge;
mod finisher;
mod heartbeat;
mod house;
pub mod job;
pub mod registry;
pub mod schedule;
pub mod scheduler;
pub mod worker;
