//! trailkeeper keeps the audit trail of a QWED deployment verifiable.
//!
//! The library is built in floors, and a module imports only from floors below it; see
//! `docs/architecture.md`. Floor 0, [`trail`], is pure and compiles alone
//! (`--no-default-features`): what an auditor's offline verifier needs.

#[cfg(feature = "cli")]
pub mod anchor;
#[cfg(feature = "cli")]
pub mod backup;
pub mod checkpoint;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod clock;
#[cfg(feature = "cli")]
pub mod config;
#[cfg(feature = "cli")]
pub mod consent;
#[cfg(feature = "cli")]
pub mod demo;
#[cfg(feature = "cli")]
pub mod erasure;
#[cfg(feature = "cli")]
pub mod export;
#[cfg(feature = "probe")]
pub mod fault;
#[cfg(feature = "cli")]
pub mod holds;
#[cfg(feature = "cli")]
pub mod http;
#[cfg(feature = "cli")]
pub mod jobs;
#[cfg(feature = "cli")]
pub mod keys;
#[cfg(feature = "cli")]
pub mod ledger;
#[cfg(feature = "cli")]
pub mod metrics;
#[cfg(feature = "cli")]
pub mod objects;
#[cfg(feature = "cli")]
pub mod pack;
#[cfg(feature = "cli")]
pub mod private;
#[cfg(feature = "cli")]
pub mod progress;
#[cfg(feature = "cli")]
pub mod qwed;
#[cfg(feature = "cli")]
pub mod report;
#[cfg(feature = "cli")]
pub mod runtime;
#[cfg(feature = "cli")]
pub mod sampler;
#[cfg(feature = "cli")]
pub mod service;
#[cfg(feature = "cli")]
pub mod state;
#[cfg(feature = "cli")]
pub mod telemetry;
#[cfg(feature = "cli")]
pub mod tombstones;
pub mod trail;
#[cfg(feature = "cli")]
pub mod verify;
