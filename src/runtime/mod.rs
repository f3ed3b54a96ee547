//! The runtime: what starts jobs, and when.

pub mod schedule;
