//! `trailkeeper schema`.

use clap::Args;
use serde::Serialize;

use super::{
    Exit, Failure,
    config::Input,
    table::{Cell, table},
    verify::{Format, print, print_json},
};
use crate::{
    config::{Config, Environment},
    http::openapi,
    jobs::registry,
    metrics,
    runtime::{job::Uniqueness, registry::Kind},
    when,
};

/// The document that describes the HTTP interface.
const OPENAPI: &str = "openapi";
/// The document that explains the metrics.
const METRICS: &str = "metrics";

/// What `schema` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The job kind, "openapi" for the HTTP interface, or "metrics" for what Prometheus is told [default: list all kinds]
    kind: Option<String>,
    #[command(flatten)]
    input: Input,
}

/// The document without a kind.
#[derive(Serialize)]
struct List<'k> {
    kinds: Vec<Entry<'k>>,
}

#[derive(Serialize)]
struct Entry<'k> {
    kind: &'k str,
    description: &'k str,
    queue: &'k str,
    timeout_seconds: u64,
    /// Whether a job that waits to be claimed stands for equal ones.
    unique_while_queued: bool,
    /// None for as many as the worker has room for.
    concurrency: Option<usize>,
    /// Whether only other jobs may ask for it.
    internal: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let input = &arguments.input;
    let config = Config::load(input.config.as_deref(), &Environment::of_process())
        .map_err(Failure::usage)?;
    if arguments.kind.as_deref() == Some(OPENAPI) {
        match input.format {
            Format::Json => print_json(&openapi::document())?,
            Format::Text => print(|out| out.write_all(openapi::yaml().as_bytes()))?,
        }
        return Ok(Exit::Intact);
    }
    if arguments.kind.as_deref() == Some(METRICS) {
        match input.format {
            Format::Json => print_json(&metrics::ALL)?,
            Format::Text => print(|out| out.write_all(metrics::markdown().as_bytes()))?,
        }
        return Ok(Exit::Intact);
    }
    let registry = registry(&config);
    if let Some(name) = &arguments.kind {
        let kind = registry.find(name).map_err(Failure::usage)?;
        match input.format {
            Format::Json => print_json(&kind.schema)?,
            Format::Text => print(|out| writeln!(out, "{:#}", kind.schema))?,
        }
        return Ok(Exit::Intact);
    }
    let kinds: Vec<Entry<'_>> = registry.kinds().map(entry).collect();
    match input.format {
        Format::Json => print_json(&List { kinds })?,
        Format::Text => print(|out| {
            let rows: Vec<_> = registry.kinds().zip(&kinds).map(row).collect();
            let head = [
                "KIND",
                "QUEUE",
                "TIMEOUT",
                "SIDE BY SIDE",
                "EQUAL JOBS",
                "DESCRIPTION",
            ];
            table(out, head, &rows)
        })?,
    }
    Ok(Exit::Intact)
}

fn entry<S>(kind: &Kind<S>) -> Entry<'_> {
    let description = kind.schema["description"].as_str().unwrap_or_default();
    Entry {
        kind: kind.name,
        // The first paragraph; what follows explains fields.
        description: description.split("\n\n").next().unwrap_or_default(),
        queue: kind.queue,
        timeout_seconds: kind.timeout.as_secs(),
        unique_while_queued: kind.uniqueness == Uniqueness::WhileQueued,
        concurrency: kind.concurrency,
        internal: kind.is_internal,
    }
}

fn row<S>((kind, entry): (&Kind<S>, &Entry<'_>)) -> [Cell; 6] {
    let description = match entry.internal {
        true => format!("(only for other jobs) {}", entry.description),
        false => entry.description.to_owned(),
    };
    [
        entry.kind.into(),
        entry.queue.into(),
        when::exact(kind.timeout).into(),
        entry
            .concurrency
            .map_or("no limit".to_owned(), |limit| limit.to_string())
            .into(),
        match kind.uniqueness {
            Uniqueness::None => "each runs",
            Uniqueness::WhileQueued => "one while queued",
        }
        .into(),
        description.into(),
    ]
}
