//! `trailkeeper dead`.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Exit, Failure,
    config::Input,
    job,
    jobs::{Found, One, show},
    letters::{self, Broker, Letters},
    store::{load, with_store},
    text::{BAD, FAINT},
    verify::{Format, print, print_json},
};
use crate::{
    runtime::amqp::topology::DEAD,
    state::{
        StateError, Store,
        jobs::{Filter, JobView, State},
    },
};

/// Jobs that one command runs again; who has more of them repeats it.
const MAX_REPLAYED: i64 = 100_000;

const AFTER: &str = "\
A job that failed for good is dead; so is a message that no job could be made of, in RabbitMQ's queue trailkeeper.dead. With \
--amqp these commands are about such messages. One without an id is listed under a digest of it, which stands for it as an id would.

Exit codes:
  0  done
  2  wrong usage or configuration, nothing of that id, or not confirmed
  3  the state database, or with --amqp RabbitMQ, cannot be reached";

/// What `dead` takes.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List dead jobs, the newest first, and messages in RabbitMQ's dead queue if amqp.url is set
    List(List),
    /// Show everything about a dead job, or a message with its body
    Show(Show),
    /// Queue dead jobs again, with all their attempts, or send messages again
    Replay(Chosen),
    /// Delete dead jobs for good, or all messages
    Purge(Purge),
}

#[derive(Debug, Args)]
struct List {
    /// Only jobs of this kind, and messages that ask for one [default: all]
    #[arg(long)]
    kind: Option<String>,
    /// List at most so many of each
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
    /// Only messages in RabbitMQ's dead queue, no jobs
    #[arg(long)]
    amqp: bool,
    #[command(flatten)]
    input: Input,
}

#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    one: One,
    /// A message in RabbitMQ's dead queue, by its id or digest
    #[arg(long)]
    amqp: bool,
}

/// One or all.
#[derive(Debug, Args)]
struct Chosen {
    /// The job's id, or enough of its beginning or end
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<String>,
    /// All that are dead
    #[arg(long)]
    all: bool,
    /// Messages in RabbitMQ's dead queue; one by its id or digest
    #[arg(long)]
    amqp: bool,
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

/// The one place that decides where to look: in our own database, or in RabbitMQ.
pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::List(list) if list.amqp => list_letters(list),
        Command::List(list) => self::list(list),
        Command::Show(Show { one, amqp: true }) => letters::show(&one.input, &one.id),
        Command::Show(Show { one, .. }) => show(one, async |store| find(store, &one.id).await),
        Command::Replay(chosen) if chosen.amqp => {
            letters::replay(&chosen.input, chosen.id.as_deref())
        }
        Command::Replay(chosen) => replay(chosen),
        Command::Purge(purge) if purge.chosen.amqp => purge_letters(purge),
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
    let broker = Broker::of(&load(list.input.config.as_deref())?)?;
    // The jobs are worth showing whatever becomes of the broker.
    let letters = broker.map(|broker| broker.list(list.limit, list.kind.as_deref()));
    match (list.input.format, &letters) {
        (Format::Json, None) => print_json(&found.document())?,
        (Format::Json, Some(letters)) => {
            let mut document = found.document();
            letters::add_to(&mut document, letters);
            print_json(&document)?;
        }
        (Format::Text, None) => print(|out| found.write(out, job::list_dead))?,
        (Format::Text, Some(letters)) => print(|out| {
            writeln!(out, "{FAINT}jobs{FAINT:#}")?;
            found.write(out, job::list_dead)?;
            writeln!(out, "\n{FAINT}messages in {DEAD} of RabbitMQ{FAINT:#}")?;
            match letters {
                Ok(letters) => letters.write(out),
                Err(failure) => writeln!(out, "{BAD}not known{BAD:#}: {:#}", failure.error),
            }
        })?,
    }
    Ok(Exit::Intact)
}

fn list_letters(list: &List) -> Result<Exit, Failure> {
    let broker = Broker::needed(&list.input)?;
    let letters: Letters = broker.list(list.limit, list.kind.as_deref())?;
    match list.input.format {
        Format::Json => print_json(&letters.document())?,
        Format::Text => print(|out| letters.write(out))?,
    }
    Ok(Exit::Intact)
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
        return Err(unconfirmed());
    };
    match input.format {
        Format::Json => print_json(&json!({ "purged": deleted }))?,
        Format::Text => print(|out| writeln!(out, "deleted {}", jobs(deleted)))?,
    }
    Ok(Exit::Intact)
}

fn purge_letters(purge: &Purge) -> Result<Exit, Failure> {
    let Chosen { id, input, .. } = &purge.chosen;
    if id.is_some() {
        return Err(Failure::usage(anyhow::anyhow!(
            "RabbitMQ can only empty the whole queue {DEAD}; give --all instead of an id"
        )));
    }
    let broker = Broker::needed(input)?;
    if !purge.yes {
        let what = format!(
            "all {} in {DEAD} of RabbitMQ",
            letters::count(broker.count()?)
        );
        if !confirmed(&what).map_err(Failure::could_not_check)? {
            return Err(unconfirmed());
        }
    }
    let deleted = broker.purge()?;
    match input.format {
        Format::Json => print_json(&json!({ "purged": deleted }))?,
        Format::Text => print(|out| writeln!(out, "deleted {}", letters::count(deleted)))?,
    }
    Ok(Exit::Intact)
}

fn unconfirmed() -> Failure {
    Failure::usage(anyhow::anyhow!("nothing was deleted; --yes confirms it"))
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
