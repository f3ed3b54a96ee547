//! `trailkeeper schedules`.

use std::collections::HashMap;
use std::io::{self, Write};

use anstyle::Style;
use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    Exit, Failure,
    config::Input,
    store::with_store,
    verify::{Format, print, print_json},
};
use crate::{
    clock::Clock,
    config::{Config, Environment, Problems, nearest},
    jobs::registry,
    runtime::schedule::{Schedule, load, preview},
    state::schedules::LastFire,
};

const NAME: Style = Style::new().bold();

/// What `schedules` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List all schedules with their last and next fires
    List(Input),
    /// Print the next fires of a schedule, whether or not it is paused; needs no database
    Preview {
        #[command(flatten)]
        schedule: Named,
        /// How many
        #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u16).range(1..=1000))]
        count: u16,
    },
    /// Let a schedule fire no more, whatever its file says; what falls into the pause is not made up for
    Pause(Named),
    /// Let a schedule fire again, whatever its file says
    Resume(Named),
    /// Queue a schedule's job at once, even if it is paused or an earlier one still runs
    RunNow(Named),
}

#[derive(Debug, Args)]
struct Named {
    /// The schedule's name
    name: String,
    #[command(flatten)]
    input: Input,
}

/// The document of `list`.
#[derive(Serialize)]
struct List<'s> {
    schedules: Vec<Entry<'s>>,
}

#[derive(Serialize)]
struct Entry<'s> {
    name: &'s str,
    kind: &'s str,
    cron: &'s str,
    timezone: &'s str,
    /// Whether nothing fires.
    paused: bool,
    /// Who said so: an operator's word counts more than the file's.
    decided_by: Author,
    /// By the calendar, also if it is paused.
    next: Option<Fire>,
    last: Option<Last<'s>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Author {
    File,
    Operator,
}

/// A fire to come.
#[derive(Serialize)]
struct Fire {
    utc: Timestamp,
    local: String,
}

/// The newest fire that was decided about.
#[derive(Serialize)]
struct Last<'s> {
    utc: Option<Timestamp>,
    decision: &'s str,
    job_id: Option<&'s str>,
}

/// The document of `preview`.
#[derive(Serialize)]
struct Preview<'s> {
    name: &'s str,
    cron: &'s str,
    timezone: &'s str,
    fires: Vec<Fire>,
}

/// The document of `pause` and `resume`.
#[derive(Serialize)]
struct Paused<'s> {
    name: &'s str,
    paused: bool,
}

/// The document of `run-now`.
#[derive(Serialize)]
struct Queued<'s> {
    name: &'s str,
    kind: &'s str,
    id: &'s str,
    /// Whether it is a new job, or an equal one that was queued already.
    new: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::List(input) => list(input),
        Command::Preview { schedule, count } => show_next(schedule, (*count).into()),
        Command::Pause(named) => pause(named, true),
        Command::Resume(named) => pause(named, false),
        Command::RunNow(named) => run_now(named),
    }?;
    Ok(Exit::Intact)
}

fn schedules(input: &Input) -> Result<(Config, Vec<Schedule>), Failure> {
    let config = Config::load(input.config.as_deref(), &Environment::of_process())
        .map_err(Failure::usage)?;
    let schedules =
        load(config.jobs.schedules()).map_err(|problems| Failure::usage(Problems(problems)))?;
    Ok((config, schedules))
}

impl Named {
    /// Found before any database is touched.
    fn find(&self) -> Result<(Config, Schedule), Failure> {
        let (config, mut schedules) = schedules(&self.input)?;
        let found = schedules
            .iter()
            .position(|schedule| schedule.name == self.name);
        if let Some(index) = found {
            return Ok((config, schedules.swap_remove(index)));
        }
        let names: Vec<&str> = schedules
            .iter()
            .map(|schedule| schedule.name.as_str())
            .collect();
        let hint = match nearest(&self.name, names.iter().copied()) {
            Some(near) => format!("did you mean {near:?}?"),
            None if names.is_empty() => "there is none at all".to_owned(),
            None => format!("there are {}", names.join(", ")),
        };
        let name = &self.name;
        Err(Failure::usage(anyhow!(
            "there is no schedule {name:?}; {hint}"
        )))
    }
}

fn list(input: &Input) -> Result<(), Failure> {
    let (_, schedules) = schedules(input)?;
    let (said, fires) = with_store(input.config.as_deref(), async |_, store| {
        Ok((store.paused_schedules().await?, store.last_fires().await?))
    })?;
    let list = List::of(&schedules, &said, &fires, Clock.now());
    match input.format {
        Format::Json => print_json(&list),
        Format::Text => print(|out| list.tell(out)),
    }
}

fn show_next(named: &Named, count: usize) -> Result<(), Failure> {
    let (_, schedule) = named.find()?;
    let preview = Preview::of(&schedule, Clock.now(), count);
    match named.input.format {
        Format::Json => print_json(&preview),
        Format::Text => print(|out| preview.tell(out)),
    }
}

fn pause(named: &Named, paused: bool) -> Result<(), Failure> {
    let (_, schedule) = named.find()?;
    let name = schedule.name.as_str();
    with_store(named.input.config.as_deref(), async |_, store| {
        Ok(store.pause_schedule(name, paused).await?)
    })?;
    match named.input.format {
        Format::Json => print_json(&Paused { name, paused }),
        Format::Text => print(|out| match paused {
            true => writeln!(out, "{NAME}{name}{NAME:#} is paused"),
            false => {
                let next = fires(&schedule, Clock.now(), 1).pop();
                let next = next.map_or_else(|| "never".to_owned(), |next| next.to_string());
                writeln!(out, "{NAME}{name}{NAME:#} is not paused; next {next}")
            }
        }),
    }
}

fn run_now(named: &Named) -> Result<(), Failure> {
    let (config, schedule) = named.find()?;
    let (name, kind) = (schedule.name.as_str(), schedule.kind.as_str());
    let source = format!("schedule:{name}");
    let mut job = registry(&config)
        .new_job(kind, schedule.payload, &source)
        .map_err(Failure::usage)?;
    job.priority = schedule.priority.map_or(job.priority, i64::from);
    let queued = with_store(named.input.config.as_deref(), async |_, store| {
        let queued = store.enqueue(&[job]).await?;
        queued.into_iter().next().context("no job was queued")
    })?;
    let (id, new) = (queued.id.as_str(), queued.is_new);
    match named.input.format {
        Format::Json => print_json(&Queued {
            name,
            kind,
            id,
            new,
        }),
        Format::Text => print(|out| match new {
            true => writeln!(out, "queued {kind} {id}"),
            false => writeln!(
                out,
                "nothing new: {kind} {id}, which is queued already, stands for it"
            ),
        }),
    }
}

fn fires(schedule: &Schedule, now: Timestamp, count: usize) -> Vec<Fire> {
    let upcoming = preview(schedule, now, count).into_iter();
    let fire = upcoming.map(|next| Fire {
        utc: next.fire_time,
        local: next.local,
    });
    fire.collect()
}

impl std::fmt::Display for Fire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}  {}", self.utc, self.local)
    }
}

impl<'s> List<'s> {
    fn of(
        schedules: &'s [Schedule],
        said: &HashMap<String, bool>,
        last: &'s HashMap<String, LastFire>,
        now: Timestamp,
    ) -> Self {
        let entry = |schedule: &'s Schedule| {
            let said = said.get(&schedule.name);
            let last = last.get(&schedule.name).map(|last| Last {
                utc: Timestamp::from_microsecond(last.fire_time).ok(),
                decision: &last.decision,
                job_id: last.job_id.as_deref(),
            });
            Entry {
                name: &schedule.name,
                kind: &schedule.kind,
                cron: &schedule.cron,
                timezone: &schedule.timezone,
                paused: *said.unwrap_or(&schedule.paused),
                decided_by: said.map_or(Author::File, |_| Author::Operator),
                next: fires(schedule, now, 1).pop(),
                last,
            }
        };
        Self {
            schedules: schedules.iter().map(entry).collect(),
        }
    }

    fn tell(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.schedules.is_empty() {
            return writeln!(out, "no schedules");
        }
        self.schedules.iter().try_for_each(|entry| entry.tell(out))
    }
}

impl Entry<'_> {
    fn tell(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{NAME}{}{NAME:#}  {}", self.name, self.kind)?;
        writeln!(out, "  cron  {}  {}", self.cron, self.timezone)?;
        match (self.paused, self.decided_by, &self.next) {
            (true, Author::File, _) => writeln!(out, "  next  paused by its file")?,
            (true, Author::Operator, _) => writeln!(out, "  next  paused by an operator")?,
            (false, _, Some(next)) => writeln!(out, "  next  {next}")?,
            (false, _, None) => writeln!(out, "  next  never")?,
        }
        let Some(Last {
            utc,
            decision,
            job_id,
        }) = &self.last
        else {
            return writeln!(out, "  last  never");
        };
        let utc = utc.map_or_else(|| "?".to_owned(), |utc| utc.to_string());
        let what = match (*decision, job_id) {
            ("fired", Some(id)) => format!("fired job {id}"),
            ("skipped_late", _) => "passed over: it came too late".to_owned(),
            ("skipped_overlap", _) => "passed over: the job before had not ended".to_owned(),
            (other, _) => other.to_owned(),
        };
        writeln!(out, "  last  {utc}  {what}")
    }
}

impl<'s> Preview<'s> {
    fn of(schedule: &'s Schedule, now: Timestamp, count: usize) -> Self {
        Self {
            name: &schedule.name,
            cron: &schedule.cron,
            timezone: &schedule.timezone,
            fires: fires(schedule, now, count),
        }
    }

    fn tell(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self {
            name,
            cron,
            timezone,
            fires,
        } = self;
        writeln!(out, "{NAME}{name}{NAME:#}  {cron}  {timezone}")?;
        fires.iter().try_for_each(|fire| writeln!(out, "  {fire}"))
    }
}

#[cfg(test)]
#[path = "schedules_tests.rs"]
mod tests;
