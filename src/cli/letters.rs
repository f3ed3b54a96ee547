//! `trailkeeper dead --amqp`: messages that RabbitMQ holds because no job could be made of them.
//!
//! Lists never hold a body: it may hold anything. [`show`] prints one, cut to a size that a terminal bears.

use std::io::{self, Write};

use anyhow::anyhow;
use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};

use super::{
    Exit, Failure,
    config::Input,
    store::{block_on, load},
    table::{Cell, table, visible},
    text::FAINT,
    verify::{Format, print, print_json},
};
use crate::{
    config::Config,
    runtime::amqp::{
        AmqpError, Settings,
        dead::{self, DeadLetter, Opened, Selection},
        topology::{DEAD, JOBS},
    },
    service::bridge_settings,
};

/// As much of a body is shown.
const MAX_BODY_BYTES: usize = 16 * 1024;
/// As many messages are looked through for those of one kind.
const MAX_SEARCHED: u32 = 10_000;
/// Ids up to so many bytes stand for their messages, for others their digests do.
const MAX_ID: usize = 64;
/// What a table shows of texts whose length others decide.
const MAX_KIND: usize = 40;
const MAX_REASON: usize = 100;

/// The broker of the configuration.
pub(super) struct Broker(Settings);

impl Broker {
    /// `None` where none is configured.
    pub(super) fn of(config: &Config) -> Result<Option<Self>, Failure> {
        let settings = bridge_settings(config).map_err(Failure::usage)?;
        Ok(settings.map(Self))
    }

    pub(super) fn needed(input: &Input) -> Result<Self, Failure> {
        Self::of(&load(input.config.as_deref())?)?.ok_or_else(|| {
            Failure::usage(anyhow!(
                "--amqp needs RabbitMQ: set amqp.url in the configuration, or TRAILKEEPER__AMQP__URL"
            ))
        })
    }

    pub(super) fn list(&self, limit: u16, kind: Option<&str>) -> Result<Letters, Failure> {
        let limit = usize::from(limit);
        let searched = match kind {
            Some(_) => MAX_SEARCHED,
            None => limit as u32,
        };
        let (total, mut letters) = ask(dead::list(&self.0, searched))?;
        if let Some(kind) = kind {
            letters.retain(|letter| letter.routing_key.as_deref() == Some(kind));
        }
        let has_more = letters.len() > limit || total > searched;
        letters.truncate(limit);
        Ok(Letters {
            letters,
            total,
            has_more,
        })
    }

    pub(super) fn count(&self) -> Result<u32, Failure> {
        ask(dead::list(&self.0, 0)).map(|(count, _)| count)
    }

    pub(super) fn purge(&self) -> Result<u32, Failure> {
        ask(dead::purge(&self.0))
    }
}

fn ask<T>(answer: impl Future<Output = Result<T, AmqpError>>) -> Result<T, Failure> {
    block_on(answer)?.map_err(|error| match error {
        AmqpError::Address(_) | AmqpError::Tls(_) => Failure::usage(error),
        _ => Failure::could_not_check(error),
    })
}

/// Messages, and whether there are more of them than asked for.
pub(super) struct Letters {
    letters: Vec<DeadLetter>,
    total: u32,
    has_more: bool,
}

impl Letters {
    pub(super) fn document(&self) -> Value {
        json!({ "messages": self.letters, "messages_total": self.total })
    }

    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.letters.is_empty() {
            return writeln!(out, "no messages");
        }
        let row = |letter: &DeadLetter| {
            [
                name(letter).into(),
                Cell::cut(letter.routing_key.as_deref().unwrap_or("-"), MAX_KIND),
                Cell::cut(letter.app_id.as_deref().unwrap_or("-"), MAX_KIND),
                size(letter).into(),
                Cell::cut(&reason(letter), MAX_REASON),
            ]
        };
        let rows: Vec<_> = self.letters.iter().map(row).collect();
        table(out, ["MESSAGE ID", "KIND", "FROM", "SIZE", "REASON"], &rows)?;
        match self.has_more {
            true => writeln!(
                out,
                "and more of {}; --limit says how many to list",
                count(self.total)
            ),
            false => Ok(()),
        }
    }
}

/// Puts messages, or why they are not known, beside jobs.
pub(super) fn add_to(document: &mut Value, letters: &Result<Letters, Failure>) {
    let (messages, total, problem) = match letters {
        Ok(found) => (json!(found.letters), json!(found.total), Value::Null),
        Err(failure) => {
            let problem = format!("{:#}", failure.error);
            (Value::Null, Value::Null, problem.into())
        }
    };
    document["messages"] = messages;
    document["messages_total"] = total;
    document["messages_problem"] = problem;
}

fn nothing(id: &str) -> Failure {
    Failure::usage(anyhow!(
        "no message {id:?} is in {DEAD} of RabbitMQ; trailkeeper dead list --amqp lists those that are"
    ))
}

/// Shows the messages of that id: as nobody keeps senders from using one twice, there may be several.
pub(super) fn show(input: &Input, id: &str) -> Result<Exit, Failure> {
    let Broker(settings) = Broker::needed(input)?;
    let found = ask(dead::find(
        &settings,
        &Selection::Id(id.to_owned()),
        MAX_BODY_BYTES,
    ))?;
    if found.is_empty() {
        return Err(nothing(id));
    }
    match input.format {
        Format::Json => {
            let documents: Vec<Value> = found.iter().map(document).collect();
            print_json(&json!({ "messages": documents }))?;
        }
        Format::Text => print(|out| {
            for (index, opened) in found.iter().enumerate() {
                if index > 0 {
                    writeln!(out)?;
                }
                write_opened(out, opened)?;
            }
            Ok(())
        })?,
    }
    Ok(Exit::Intact)
}

fn document(opened: &Opened) -> Value {
    // Cannot fail: it has only texts for keys.
    let mut document = serde_json::to_value(&opened.letter).unwrap_or_default();
    document["body"] = String::from_utf8_lossy(&opened.body).into();
    document["body_is_cut"] = (opened.body.len() < opened.letter.size_bytes).into();
    document
}

fn write_opened(out: &mut dyn Write, opened: &Opened) -> io::Result<()> {
    let letter = &opened.letter;
    let mut line = |name: &str, text: &str| writeln!(out, "{name:<10}{}", visible(text));
    line("message", letter.message_id.as_deref().unwrap_or("-"))?;
    line("digest", &letter.digest)?;
    line("from", letter.app_id.as_deref().unwrap_or("-"))?;
    line("kind", letter.routing_key.as_deref().unwrap_or("-"))?;
    line("size", &size(letter))?;
    line("reason", &reason(letter))?;
    let body = String::from_utf8_lossy(&opened.body);
    writeln!(out, "\n{FAINT}body{FAINT:#}\n{}", visible(&body))?;
    match letter.size_bytes.saturating_sub(opened.body.len()) {
        0 => Ok(()),
        rest => writeln!(out, "and {} more", HumanBytes(rest as u64)),
    }
}

/// What to give to `show` and `replay`.
fn name(letter: &DeadLetter) -> &str {
    let id = letter.message_id.as_deref();
    id.filter(|id| id.len() <= MAX_ID && !id.contains(char::is_control))
        .unwrap_or(&letter.digest)
}

fn size(letter: &DeadLetter) -> String {
    HumanBytes(letter.size_bytes as u64).to_string()
}

fn reason(letter: &DeadLetter) -> String {
    match (&letter.reason, &letter.detail) {
        (Some(reason), Some(detail)) => format!("{reason}: {detail}"),
        (Some(text), None) | (None, Some(text)) => text.clone(),
        (None, None) => "-".to_owned(),
    }
}

/// Sends one message, or all, to the jobs queue again.
pub(super) fn replay(input: &Input, id: Option<&str>) -> Result<Exit, Failure> {
    let Broker(settings) = Broker::needed(input)?;
    let selected = id.map_or(Selection::All, |id| Selection::Id(id.to_owned()));
    let done = ask(dead::replay(&settings, &selected))?;
    match (id, done.replayed, done.unknown_key) {
        (Some(id), 0, 0) => return Err(nothing(id)),
        (Some(id), 0, _) => {
            return Err(Failure::usage(anyhow!(
                "message {id:?} cannot be sent again, since nothing says with which routing key it came; it stays"
            )));
        }
        _ => {}
    }
    match input.format {
        Format::Json => print_json(&json!({
            "replayed": done.replayed,
            "unknown_key": done.unknown_key,
            "left": done.left,
        }))?,
        Format::Text => print(|out| {
            writeln!(out, "sent {} to {JOBS} again", count(done.replayed))?;
            match done.unknown_key {
                0 => Ok(()),
                stay => writeln!(
                    out,
                    "left {}, since nothing says with which routing key it came",
                    count(stay)
                ),
            }
        })?,
    }
    Ok(Exit::Intact)
}

/// `1 message`, `1,200 messages`.
pub(super) fn count(number: u32) -> String {
    match number {
        1 => "1 message".to_owned(),
        number => format!("{} messages", HumanCount(number.into())),
    }
}
