//! `trailkeeper notify`.

use std::io::{self, Write};
use std::time::Instant;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Exit, Failure,
    config::Input,
    store::{block_on, load},
    table::{Cell, table, visible},
    verify::{Format, print, print_json},
};
use crate::{
    clock::Clock,
    config::{Channel, Config, nearest},
    notify::{Prospect, Sender, test_notice},
};

const AFTER: &str = "\
The channels are those of notify.channels in the configuration; docs/notifications.md explains them. No database is read or written.

Exit codes:
  0    done; with test: the receiver took the message
  2    wrong usage or configuration: no such channel, or one that cannot be used
  3    the receiver did not take the message";

/// What `notify` takes.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the channels
    List(Input),
    /// Send a test to a channel, now and once
    Test(Test),
}

#[derive(Debug, Args)]
struct Test {
    /// The channel's name
    #[arg(value_name = "CHANNEL")]
    channel: String,
    #[command(flatten)]
    input: Input,
}

/// A channel without its secrets.
#[derive(Serialize)]
struct Listed<'c> {
    name: &'c str,
    #[serde(rename = "type")]
    kind: &'static str,
    host: String,
    allow_private: bool,
}

impl<'c> Listed<'c> {
    fn of(channel: &'c Channel) -> Self {
        Self {
            name: &channel.name,
            kind: channel.kind.name(),
            host: channel.host_name(),
            allow_private: channel.allow_private,
        }
    }
}

/// How a test went.
#[derive(Serialize)]
struct Outcome<'c> {
    #[serde(flatten)]
    channel: Listed<'c>,
    /// By which the receiver's log may know it.
    id: String,
    is_taken: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_final: Option<bool>,
    elapsed_ms: u64,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::List(input) => list(input),
        Command::Test(arguments) => test(arguments),
    }
}

fn list(input: &Input) -> Result<Exit, Failure> {
    let config = load(input.config.as_deref())?;
    let channels: Vec<Listed<'_>> = config.notify.channels.iter().map(Listed::of).collect();
    match input.format {
        Format::Json => print_json(&channels)?,
        Format::Text => print(|out| write_list(out, &channels))?,
    }
    Ok(Exit::Intact)
}

fn write_list(out: &mut dyn Write, channels: &[Listed<'_>]) -> io::Result<()> {
    if channels.is_empty() {
        return writeln!(out, "no channels: notify.channels is empty");
    }
    let row = |it: &Listed<'_>| -> [Cell; 4] {
        let addresses = if it.allow_private { "any" } else { "public" };
        [
            it.name.into(),
            it.kind.into(),
            (&it.host).into(),
            addresses.into(),
        ]
    };
    let rows: Vec<_> = channels.iter().map(row).collect();
    table(out, ["CHANNEL", "TYPE", "HOST", "ADDRESSES"], &rows)
}

fn test(arguments: &Test) -> Result<Exit, Failure> {
    let input = &arguments.input;
    let config = load(input.config.as_deref())?;
    let channel = find(&config, &arguments.channel).map_err(Failure::usage)?;
    let unusable = || format!("the channel {:?} cannot be used", channel.name);
    let sender = Sender::new(channel)
        .with_context(unusable)
        .map_err(Failure::usage)?
        .source(&config.anchors.origin);
    let notice = test_notice(Clock.now());
    let begun = Instant::now();
    let sent = block_on(sender.send(&notice))?;
    let error = sent.err();
    let outcome = Outcome {
        channel: Listed::of(channel),
        id: notice.id,
        is_taken: error.is_none(),
        reason: error.as_ref().map(ToString::to_string),
        is_final: error.as_ref().map(|error| error.is_final()),
        elapsed_ms: begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
    };
    match input.format {
        Format::Json => print_json(&outcome)?,
        Format::Text if outcome.is_taken => print(|out| {
            writeln!(
                out,
                "{} took the test {} of the channel {:?} within {} ms; see whether it shows up there",
                outcome.channel.host, outcome.id, outcome.channel.name, outcome.elapsed_ms
            )
        })?,
        Format::Text => {}
    }
    let Some(error) = error else {
        return Ok(Exit::Intact);
    };
    if input.format == Format::Json {
        return Ok(Exit::CouldNotCheck);
    }
    let advice = match error.kind {
        Prospect::Never => {
            "the channel is wrong, or the receiver does not want it: look at its keys in notify.channels"
        }
        Prospect::Later { .. } => {
            "a worker would try again; see whether the receiver runs, and can be reached from here"
        }
    };
    let reason = visible(&error.reason);
    Err(Failure::could_not_check(anyhow::anyhow!(
        "the channel {:?} did not take the test after {} ms: {reason} ({advice})",
        channel.name,
        outcome.elapsed_ms
    )))
}

fn find<'c>(config: &'c Config, name: &str) -> anyhow::Result<&'c Channel> {
    let channels = &config.notify.channels;
    config.notify.channel(name).with_context(|| {
        let names = channels.iter().map(|channel| channel.name.as_str());
        match nearest(name, names) {
            Some(near) => format!("there is no channel {name:?}; did you mean {near:?}?"),
            None if channels.is_empty() => {
                format!("there is no channel {name:?}: notify.channels is empty")
            }
            None => format!("there is no channel {name:?}; see \"trailkeeper notify list\""),
        }
    })
}
