//! `trailkeeper enqueue`.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::{Value, json};

use super::{
    Exit, Failure,
    config::Input,
    job,
    store::with_store,
    text::GOOD,
    verify::{Format, print, print_json},
    wait::{Signals, Waited, wait},
};
use crate::{
    config::{Config, Environment},
    jobs::registry,
    state::{
        StateError, Store,
        inbox::Arrival,
        jobs::{JobView, NewJob, State},
    },
    trace::TraceParent,
};

/// Who wants the job, and who sent the message that `--id` names.
const SOURCE: &str = "cli";
/// How often a database that fails is asked again.
const TRIES: u32 = 4;

const EXITS: &str = "\
Exit codes:
  0    queued, or an equal job was; with --wait: the job succeeded (its outcome says what it found)
  2    wrong usage or configuration: unknown kind, or a payload that does not fit it
  3    the database cannot be reached; with --wait: the job is dead, or was cancelled or deleted
  130  stopped waiting; the job goes on

\"trailkeeper schema KIND\" shows what a payload may hold. TRACEPARENT in the environment names the trace that the job belongs to.";

/// What `enqueue` takes.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(super) struct Arguments {
    /// The job kind
    kind: String,
    /// What the job is to do, as JSON; @FILE reads it from a file, @- from standard input
    #[arg(long, value_name = "JSON|@FILE|@-", default_value = "{}")]
    payload: String,
    /// Higher ones go first, -1000 to 1000 [default: the kind's]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-1000..=1000))]
    priority: Option<i64>,
    /// Run it no sooner than this many seconds from now, up to a year
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=31_622_400))]
    delay: u32,
    /// A name for this request, up to 255 characters: a second one of the same name changes nothing
    #[arg(long, value_name = "MESSAGE_ID", value_parser = message_id)]
    id: Option<String>,
    /// Wait until the job has ended, and print its outcome; Ctrl-C stops waiting, not the job
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    input: Input,
}

fn message_id(text: &str) -> Result<String, &'static str> {
    match text.len() {
        1..=255 => Ok(text.to_owned()),
        _ => Err("has to have 1 to 255 characters"),
    }
}

/// A job that is in the queue, or was.
struct Queued {
    id: String,
    is_new: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<Exit, Failure> {
    // Refused before the database is asked for anything.
    let (new, redacted) = new_job(&arguments).map_err(Failure::usage)?;
    let format = arguments.input.format;
    let (queued, waited) = with_store(arguments.input.config.as_deref(), async |_, store| {
        let mut signals = match arguments.wait {
            true => Some(Signals::catch()?),
            false => None,
        };
        let queued = enqueue(store, &new, redacted.as_ref(), arguments.id.as_deref()).await?;
        let job = store.job(&queued.id).await?;
        if format == Format::Text {
            // At once, so that whoever stops waiting knows the id.
            print(|out| tell(out, &new.kind, &queued, job.as_ref()))
                .map_err(|failure| failure.error)?;
        }
        let waited = match (&mut signals, job) {
            (Some(signals), _) => wait(store, &queued.id, signals).await?,
            (None, Some(job)) => Waited::Ended(Box::new(job)),
            (None, None) => Waited::Gone,
        };
        Ok((queued, waited))
    })?;
    let job = match &waited {
        Waited::Ended(job) => Some(job.as_ref()),
        _ => None,
    };
    if format == Format::Json {
        print_json(&json!({
            "id": queued.id,
            "new": queued.is_new,
            "job": job.map(job::document),
        }))?;
    }
    let id = &queued.id;
    match (arguments.wait, &waited) {
        (false, _) => Ok(Exit::Intact),
        (true, Waited::Ended(job)) => {
            if format == Format::Text {
                print(|out| job::end(out, job))?;
            }
            Ok(match job.state {
                State::Succeeded => Exit::Intact,
                _ => Exit::CouldNotCheck,
            })
        }
        (true, Waited::Gone) => Err(Failure::could_not_check(anyhow!(
            "job {id} is not there any more: somebody deleted it"
        ))),
        (true, Waited::Interrupted) => Err(Failure {
            exit: Exit::Interrupted,
            error: anyhow!("stopped waiting; the job goes on: trailkeeper jobs show {id}"),
        }),
    }
}

/// The job, and what is kept of its payload once it has succeeded, where that is not all.
fn new_job(arguments: &Arguments) -> anyhow::Result<(NewJob, Option<Value>)> {
    let config = Config::load(
        arguments.input.config.as_deref(),
        &Environment::of_process(),
    )?;
    let payload = payload(&arguments.payload, config.amqp.max_body_bytes)?;
    let registry = registry(&config);
    let redacted = registry.find(&arguments.kind)?.redacted(&payload);
    let mut job = registry.new_job(&arguments.kind, payload, SOURCE)?;
    job.priority = arguments.priority.unwrap_or(job.priority);
    job.delay_micros = i64::from(arguments.delay) * 1_000_000;
    job.trace = env::var("TRACEPARENT")
        .ok()
        .and_then(|text| TraceParent::parse(&text));
    Ok((job, redacted))
}

/// Reads the payload, of which there may be as much as in a message.
fn payload(text: &str, max_bytes: u32) -> anyhow::Result<Value> {
    let read = |source: &mut dyn Read| {
        let mut bytes = Vec::new();
        let read = source
            .take(u64::from(max_bytes) + 1)
            .read_to_end(&mut bytes);
        read.map(|_| bytes)
    };
    let bytes = match text.strip_prefix('@') {
        None => text.as_bytes().to_vec(),
        Some("-") => read(&mut io::stdin()).context("cannot read the payload")?,
        Some(path) => File::open(path)
            .and_then(|mut file| read(&mut file))
            .with_context(|| format!("cannot read the payload from {path:?}"))?,
    };
    if bytes.len() > max_bytes as usize {
        anyhow::bail!("the payload has more than {max_bytes} bytes (amqp.max_body_bytes)");
    }
    serde_json::from_slice(&bytes).context("the payload is no JSON")
}

/// Queues the job, or finds the one that stands for it.
async fn enqueue(
    store: &Store,
    new: &NewJob,
    redacted: Option<&Value>,
    message_id: Option<&str>,
) -> anyhow::Result<Queued> {
    let Some(message_id) = message_id else {
        let queued = persist(async || store.enqueue(std::slice::from_ref(new)).await).await?;
        let queued = queued.into_iter().next().context("no job was queued")?;
        return Ok(Queued {
            id: queued.id,
            is_new: queued.is_new,
        });
    };
    let arrival = Arrival {
        source: SOURCE.to_owned(),
        message_id: message_id.to_owned(),
        reply_to: None,
        correlation_id: None,
        job: new.clone(),
    };
    persist(async || store.take_in(vec![arrival.clone()], &[]).await).await?;
    let id = store.job_of_message(SOURCE, message_id).await?;
    let id = id.context("the message was forgotten at once; its database is being cleared")?;
    let is_new = id == new.id;
    // What was taken out of a payload cannot be compared any more.
    let is_same = |job: &JobView| {
        let is_known = job.payload == new.payload || Some(&job.payload) == redacted;
        job.kind == new.kind && is_known
    };
    if let Some(job) = store.job(&id).await?
        && !is_same(&job)
    {
        let problem = format!(
            "--id {message_id:?} was used before for another job, {} {id}; nothing was queued",
            job.kind
        );
        return Err(StateError::Refused(problem).into());
    }
    Ok(Queued { id, is_new })
}

/// Asks again after a failure. An answer that was lost does no harm: the job has its id already.
async fn persist<T>(call: impl AsyncFn() -> Result<T, StateError>) -> Result<T, StateError> {
    let mut tries = 1;
    loop {
        match call().await {
            Err(error) if error.is_transient() && tries < TRIES => {
                tokio::time::sleep(Duration::from_millis(100 << tries)).await;
                tries += 1;
            }
            done => return done,
        }
    }
}

fn tell(
    out: &mut dyn io::Write,
    kind: &str,
    queued: &Queued,
    job: Option<&JobView>,
) -> io::Result<()> {
    let id = &queued.id;
    if queued.is_new {
        return writeln!(out, "{GOOD}queued{GOOD:#} {kind} {id}");
    }
    let state = match job {
        Some(job) => job.state.name(),
        None => "deleted since",
    };
    writeln!(out, "nothing new: {kind} {id} stands for it ({state})")
}

#[cfg(all(test, feature = "probe"))]
mod tests {
    use super::*;
    use crate::state::{
        fault::{self, Way},
        jobs::Filter,
    };

    /// Both ways of queueing, through answers that were lost and writes that failed.
    #[tokio::test(flavor = "current_thread")]
    async fn a_database_that_fails_now_and_then_queues_one_job() {
        let directory = tempfile::tempdir().expect("make a directory");
        let url = format!("sqlite://{}/state.db", directory.path().display());
        let store = Store::open(&url, 3).await.expect("open");
        store.migrate().await.expect("make the tables");
        let registry = registry(&Config::default());
        for (write, message_id, way) in [
            ("enqueue", None, Way::Failed),
            ("enqueue", None, Way::FailedButPersisted),
            ("take_in", Some("failed"), Way::Failed),
            ("take_in", Some("lost"), Way::FailedButPersisted),
        ] {
            let new = registry.new_job("probe", json!({}), SOURCE).expect("a job");
            fault::set(write, way, 1);
            let queued = enqueue(&store, &new, None, message_id)
                .await
                .expect("enqueue");
            assert!(queued.is_new && queued.id == new.id);
            assert_eq!(fault::left(write), 0);
        }
        let filter = Filter {
            limit: 10,
            ..Filter::default()
        };
        assert_eq!(store.jobs(&filter).await.expect("list").len(), 4);
        // Not for ever.
        let new = registry.new_job("probe", json!({}), SOURCE).expect("a job");
        fault::set("enqueue", Way::Failed, TRIES);
        assert!(enqueue(&store, &new, None, None).await.is_err());
    }
}
