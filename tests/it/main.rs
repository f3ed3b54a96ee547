//! Behaviour through the real parts: the built program, QWED's own databases, a real PostgreSQL, the real QWED.

mod api_keys;
mod canonical;
mod cli;
mod config;
mod diagnosis;
mod fixtures;
mod limits;
mod live_writer;
mod operator;
mod postgres;
mod properties;
mod schemas;
mod state;
mod support;
