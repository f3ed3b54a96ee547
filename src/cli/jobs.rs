//! `trailkeeper jobs`.

use std::io::{self, Write};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Exit, Failure,
    config::Input,
    job,
    store::with_store,
    verify::{Format, print, print_json},
};
use crate::{
    clock::Clock,
    state::{
        StateError, Store,
        jobs::{Filter, JobView, State},
    },
};

/// Children that are shown of a job.
const MAX_CHILDREN: i64 = 1000;

/// What `jobs` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List jobs, the newest first; parts of a job are shown with it
    List(List),
    /// Show everything about a job
    Show(One),
    /// Cancel a job: at once if it waits, else its worker is asked to stop it
    Cancel(One),
    /// Queue a dead or cancelled job again, with all its attempts
    Retry(One),
}

#[derive(Debug, Args)]
struct List {
    /// Only jobs in this state; may be repeated [default: all]
    #[arg(long = "state", value_name = "STATE", value_parser = state_parser())]
    states: Vec<State>,
    /// Only jobs of this kind [default: all]
    #[arg(long)]
    kind: Option<String>,
    /// List at most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
    #[command(flatten)]
    input: Input,
}

/// One job.
#[derive(Debug, Args)]
pub(super) struct One {
    /// The job's id, or enough of its beginning or end
    pub(super) id: String,
    #[command(flatten)]
    pub(super) input: Input,
}

fn state_parser() -> impl TypedValueParser<Value = State> {
    let names = PossibleValuesParser::new(State::ALL.map(State::name));
    names.try_map(|name| {
        let found = State::ALL.into_iter().find(|state| state.name() == name);
        found.ok_or("no state")
    })
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::List(list) => self::list(list),
        Command::Show(one) => show(one, async |store| store.find_job(&one.id).await),
        Command::Cancel(one) => cancel(one),
        Command::Retry(one) => retry(one),
    }
}

fn list(list: &List) -> Result<Exit, Failure> {
    let filter = Filter {
        states: list.states.clone(),
        kind: list.kind.clone(),
        parent: None,
        limit: list.limit.into(),
    };
    let found = Found::read(&list.input, &filter)?;
    match list.input.format {
        Format::Json => print_json(&found.document())?,
        Format::Text => print(|out| found.write(out, job::list))?,
    }
    Ok(Exit::Intact)
}

/// Jobs, and whether there are more of them than asked for.
pub(super) struct Found {
    jobs: Vec<JobView>,
    has_more: bool,
}

impl Found {
    pub(super) fn read(input: &Input, filter: &Filter) -> Result<Self, Failure> {
        let one_more = Filter {
            limit: filter.limit + 1,
            ..filter.clone()
        };
        let mut jobs = with_store(input.config.as_deref(), async |_, store| {
            Ok(store.jobs(&one_more).await?)
        })?;
        let has_more = jobs.len() as i64 > filter.limit;
        jobs.truncate(filter.limit as usize);
        Ok(Self { jobs, has_more })
    }

    pub(super) fn document(&self) -> Value {
        json!({ "jobs": job::documents(&self.jobs), "has_more": self.has_more })
    }

    pub(super) fn write(
        &self,
        out: &mut dyn Write,
        table: impl Fn(&mut dyn Write, &[JobView], Timestamp) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.jobs.is_empty() {
            return writeln!(out, "no jobs");
        }
        table(out, &self.jobs, Clock.now())?;
        match self.has_more {
            true => writeln!(out, "and more; --limit says how many to list"),
            false => Ok(()),
        }
    }
}

/// Shows the job that `find` finds.
pub(super) fn show(
    one: &One,
    find: impl AsyncFnOnce(&Store) -> Result<JobView, StateError>,
) -> Result<Exit, Failure> {
    let (job, children) = with_store(one.input.config.as_deref(), async |_, store| {
        let job = find(store).await?;
        let children = Filter {
            parent: Some(job.id.clone()),
            limit: MAX_CHILDREN,
            ..Filter::default()
        };
        let children = store.jobs(&children).await?;
        Ok((job, children))
    })?;
    match one.input.format {
        Format::Json => print_json(&json!({
            "job": job::document(&job),
            "children": job::documents(&children),
        }))?,
        Format::Text => print(|out| job::show(out, &job, &children, Clock.now()))?,
    }
    Ok(Exit::Intact)
}

fn cancel(one: &One) -> Result<Exit, Failure> {
    let (job, state) = with_store(one.input.config.as_deref(), async |_, store| {
        let job = store.find_job(&one.id).await?;
        let state = store.cancel(&job.id).await?;
        Ok((job, state))
    })?;
    match one.input.format {
        Format::Json => print_json(&json!({ "id": job.id, "kind": job.kind, "state": state }))?,
        Format::Text => print(|out| match state {
            State::Cancelled => writeln!(out, "cancelled {} {}", job.kind, job.id),
            _ => writeln!(
                out,
                "{} {} is {state}; its worker was asked to stop it",
                job.kind, job.id
            ),
        })?,
    }
    Ok(Exit::Intact)
}

fn retry(one: &One) -> Result<Exit, Failure> {
    let job = with_store(one.input.config.as_deref(), async |_, store| {
        let job = store.find_job(&one.id).await?;
        store.retry(&job.id).await?;
        Ok(job)
    })?;
    match one.input.format {
        Format::Json => print_json(&json!({ "id": job.id, "kind": job.kind }))?,
        Format::Text => print(|out| writeln!(out, "queued {} {} again", job.kind, job.id))?,
    }
    Ok(Exit::Intact)
}
