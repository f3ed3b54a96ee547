//! Floor 5: HTTP. Two listeners: [`health`] for metrics and probes, and the interface of which the rest here is made.
//!
//! ```text
//! connection (TLS) ──▶ request id ──▶ limits ──▶ who? ──▶ may they? ──▶ body ──▶ handler ──▶ headers, log, metrics
//! ```
//!
//! All of that is done in one place (`dispatch`) by one table of routes ([`routes`]), in which each has its rule: what is not in the
//! table cannot be reached, and what is in it cannot be reached without its rule. Handlers parse, call a service and print; rules
//! of their own they have none. [`qwed`] answers as QWED's own server does, byte for byte, [`v1`] is ours, and `pages` is the status page
//! for people.

pub mod api;
mod auth;
mod body;
mod client;
mod dispatch;
mod error;
pub mod health;
pub mod kinds;
mod limit;
pub mod openapi;
mod pages;
pub mod qwed;
mod route;
mod server;
mod tls;
pub mod v1;

pub use api::{Api, Now};
pub use auth::{Caller, Operator, Visitor, hash_of_token};
pub use error::{Fault, Style};
pub use health::{Check, Health, listen, serve};
pub use route::{Answer, Call, Doc, Param, ParamKind, Place, Route, Rule, routes};
pub use server::{Interface, router};
