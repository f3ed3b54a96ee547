//! `trailkeeper dead`.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Exit, Failure,
    config::Input,
    job,
    jobs::{Found, One, show},
    store::with_store,
    verify::{Format, print, print_json},
};
use crate::state::{
    StateError, Store,
    jobs::{Filter, JobView, State},
};

/// Jobs that one command runs again; who has more of them repeats it.
const MAX_REPLAYED: i64 = 100_000;

/// What `dead` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List dead jobs, the newest first
    List(List),
    /// Show everything about a dead job
    Show(One),
    /// Queue dead jobs again, with all their attempts
    Replay(Chosen),
    /// Delete dead jobs for good
    Purge(Purge),
}

#[derive(Debug, Args)]
struct List {
    /// Only jobs of this kind [default: all]
    #[arg(long)]
    kind: Option<String>,
    /// List at most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
    #[command(flatten)]
    input: Input,
}

/// One job or all.
#[derive(Debug, Args)]
struct Chosen {
    /// The job's id, or enough of its beginning or end
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<String>,
    /// All dead jobs
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    input: Input,
}

#[derive(Debug, Args)]
struct Purge {
    #[command(flatten)]
    chosen: Chosen,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// The one place that decides where dead jobs are looked for: so far, in our own database.
pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::List(list) => self::list(list),
        Command::Show(one) => show(one, async |store| find(store, &one.id).await),
        Command::Replay(chosen) => replay(chosen),
        Command::Purge(purge) => self::purge(purge),
    }
}

fn list(list: &List) -> Result<Exit, Failure> {
    let filter = Filter {
        states: vec![State::Dead],
        kind: list.kind.clone(),
        parent: None,
        limit: list.limit.into(),
    };
    let found = Found::read(&list.input, &filter)?;
    found.print(list.input.format, job::list_dead)
}

async fn find(store: &Store, id: &str) -> Result<JobView, StateError> {
    let job = store.find_job(id).await?;
    match job.state {
        State::Dead => Ok(job),
        state => Err(StateError::Refused(format!(
            "job {} is not dead: it is {state}",
            job.id
        ))),
    }
}

fn replay(chosen: &Chosen) -> Result<Exit, Failure> {
    let input = &chosen.input;
    let replayed = with_store(input.config.as_deref(), async |_, store| {
        if let Some(id) = &chosen.id {
            let job = find(store, id).await?;
            store.retry(&job.id).await?;
            return Ok(1);
        }
        let mut replayed = 0_u64;
        for id in store.dead_jobs(MAX_REPLAYED).await? {
            match store.retry(&id).await {
                Ok(()) => replayed += 1,
                // Somebody else was faster.
                Err(StateError::Refused(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(replayed)
    })?;
    match input.format {
        Format::Json => print_json(&json!({ "replayed": replayed }))?,
        Format::Text => print(|out| writeln!(out, "queued {} again", jobs(replayed)))?,
    }
    Ok(Exit::Intact)
}

/// What a purge came to.
enum Purged {
    Deleted(u64),
    Unconfirmed,
}

fn purge(purge: &Purge) -> Result<Exit, Failure> {
    let Chosen { id, input, .. } = &purge.chosen;
    let purged = with_store(input.config.as_deref(), async |_, store| {
        let job = match id {
            Some(id) => Some(find(store, id).await?),
            None => None,
        };
        if let Some(JobView {
            id,
            parent_id: Some(parent),
            ..
        }) = &job
        {
            let problem = format!("job {id} is a part of job {parent}; purge that one");
            return Err(StateError::Refused(problem).into());
        }
        if !purge.yes {
            let what = match &job {
                Some(job) => format!("the dead job {}", job.id),
                None => count_dead(store).await?,
            };
            if !confirmed(&what)? {
                return Ok(Purged::Unconfirmed);
            }
        }
        let id = job.as_ref().map(|job| job.id.as_str());
        Ok(Purged::Deleted(store.purge_dead(id).await?))
    })?;
    let Purged::Deleted(deleted) = purged else {
        return Err(Failure::usage(anyhow::anyhow!(
            "nothing was deleted; --yes confirms it"
        )));
    };
    match input.format {
        Format::Json => print_json(&json!({ "purged": deleted }))?,
        Format::Text => print(|out| writeln!(out, "deleted {}", jobs(deleted)))?,
    }
    Ok(Exit::Intact)
}

async fn count_dead(store: &Store) -> Result<String, StateError> {
    let dead = store.dead_jobs(MAX_REPLAYED).await?;
    Ok(match dead.len() as i64 {
        MAX_REPLAYED => format!("all dead jobs, {MAX_REPLAYED} or more"),
        number => format!("all dead jobs, {number}"),
    })
}

/// Asks at a terminal; elsewhere nobody could answer.
fn confirmed(what: &str) -> io::Result<bool> {
    let mut input = io::stdin().lock();
    if !input.is_terminal() {
        return Ok(false);
    }
    let mut out = anstream::stderr();
    write!(out, "Delete {what}, for good? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn jobs(number: u64) -> String {
    match number {
        1 => "1 dead job".to_owned(),
        number => format!("{} dead jobs", indicatif::HumanCount(number)),
    }
}
