//! Behaviour through the real parts: the built program, QWED's own databases, a real PostgreSQL, the real QWED.

mod amqp;
mod anchors;
mod api_keys;
mod backup;
mod canonical;
mod checkpoint;
mod cli;
mod config;
mod consent;
mod diagnosis;
mod export;
mod fixtures;
mod holds;
mod ledger;
mod limits;
mod live_writer;
mod objects;
mod operator;
mod pieces;
mod postgres;
mod properties;
mod schedules;
mod schemas;
mod state;
mod support;
mod worker;
