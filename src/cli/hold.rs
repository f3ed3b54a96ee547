//! `trailkeeper hold`.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::{
    Exit, Failure,
    config::Input,
    ledger::with_scribe,
    store::with_store,
    table::{table, visible},
    verify::{Format, print, print_json},
};
use crate::{
    clock::Clock,
    config::parse_micros,
    holds::{self, Hold, Keeper, NewHold, Standing},
};

const AFTER: &str = "\
A hold keeps this program from erasing a user, or anybody of an organisation. Placing and releasing one is an entry of the ledger, \
which keeps the reason for good: give a case's number, nobody's name.

Exit codes:
  0  done
  2  wrong usage or configuration, or the hold does not count any more
  3  the database cannot be reached";

/// What `hold` takes.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Place a hold
    Add(Add),
    /// List all holds that there ever were, the newest first
    List(List),
    /// Release a hold
    Release(Release),
}

#[derive(Debug, Args)]
struct Add {
    /// The organisation
    #[arg(long = "org", value_name = "ID")]
    organization: i64,
    /// Only this user of it [default: everybody]
    #[arg(long, value_name = "ID")]
    user: Option<i64>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// When it ends by itself (ISO 8601; UTC unless it has an offset; a date is its first moment) [default: when it is released]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    input: Input,
}

#[derive(Debug, Args)]
struct List {
    /// Only holds of this organisation
    #[arg(long = "org", value_name = "ID")]
    organization: Option<i64>,
    /// Only holds that count
    #[arg(long)]
    active: bool,
    #[command(flatten)]
    input: Input,
}

#[derive(Debug, Args)]
struct Release {
    /// Which
    id: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    input: Input,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::Add(arguments) => add(arguments),
        Command::List(arguments) => list(arguments),
        Command::Release(arguments) => release(arguments),
    }
}

fn add(arguments: &Add) -> Result<Exit, Failure> {
    let until = arguments.until.as_deref().map(until).transpose()?;
    let new = NewHold {
        organization: arguments.organization,
        user: arguments.user,
        reason: arguments.reason.clone(),
        until,
    };
    let hold = with_store(arguments.input.config.as_deref(), async |config, store| {
        with_scribe(config, "hold add", async |actor, now, scribe| {
            let keeper = Keeper { actor, now, scribe };
            Ok(keeper.place(store, new).await?)
        })
        .await
    })?;
    show(arguments.input.format, &hold)
}

fn release(arguments: &Release) -> Result<Exit, Failure> {
    let Release { id, reason, input } = arguments;
    let hold = with_store(input.config.as_deref(), async |config, store| {
        with_scribe(config, "hold release", async |actor, now, scribe| {
            let keeper = Keeper { actor, now, scribe };
            Ok(keeper.release(store, id, reason).await?)
        })
        .await
    })?;
    show(input.format, &hold)
}

fn show(format: Format, hold: &Hold) -> Result<Exit, Failure> {
    match format {
        Format::Json => print_json(hold)?,
        Format::Text => print(|out| {
            let verb = match hold.standing {
                Standing::Active => "holds",
                Standing::Ended | Standing::Released => "no longer holds",
            };
            writeln!(out, "{} {verb} {}", hold.id, whom(hold))
        })?,
    }
    Ok(Exit::Intact)
}

fn list(arguments: &List) -> Result<Exit, Failure> {
    let input = &arguments.input;
    let mut found = with_store(input.config.as_deref(), async |_, store| {
        Ok(holds::all(store, arguments.organization, Clock.now()).await?)
    })?;
    if arguments.active {
        found.retain(|hold| hold.standing == Standing::Active);
    }
    match input.format {
        Format::Json => print_json(&found)?,
        Format::Text => print(|out| write_list(out, &found))?,
    }
    Ok(Exit::Intact)
}

fn write_list(out: &mut dyn Write, found: &[Hold]) -> io::Result<()> {
    if found.is_empty() {
        return writeln!(out, "no holds");
    }
    let date = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M").to_string();
    let rows: Vec<_> = found
        .iter()
        .map(|hold| {
            let end = match &hold.release {
                Some(release) => date(release.at),
                None => hold.until.map_or_else(|| "-".to_owned(), date),
            };
            [
                hold.id.as_str().into(),
                whom(hold).into(),
                hold.standing.name().into(),
                date(hold.placed_at).into(),
                end.into(),
                visible(&hold.reason).into(),
            ]
        })
        .collect();
    let head = ["ID", "WHOM", "STANDING", "SINCE", "UNTIL", "REASON"];
    table(out, head, &rows)
}

fn whom(hold: &Hold) -> String {
    match hold.user_id {
        Some(user) => format!("user {user} of organisation {}", hold.organization_id),
        None => format!("organisation {}", hold.organization_id),
    }
}

fn until(text: &str) -> Result<Timestamp, Failure> {
    let micros = parse_micros(text);
    let time = micros.and_then(|micros| Timestamp::from_microsecond(micros).ok());
    time.ok_or_else(|| {
        Failure::usage(anyhow::anyhow!(
            "--until {text:?} is not a time; use a form like 2026-05-08 or 2026-05-08T12:30:00Z"
        ))
    })
}
