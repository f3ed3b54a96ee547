//! `trailkeeper erase`.

mod execute;
mod show;
mod tombstones;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    Exit, Failure,
    anchors::threaded,
    config::Input,
    ledger::actor,
    progress::watch,
    store::load,
    verify::{Format, print, print_json},
};
use crate::{
    anchor::{self, Keys},
    clock::Clock,
    config::{Config, Environment, parse_micros},
    erasure::{
        self, Asked, ErasureError, Office, Options, Override, Refusal, Replayed, Request, State,
        Taken,
    },
    progress::Progress,
    qwed::url::DatabaseUrl,
    state::Store,
    trail::keys::KeyRing,
};

const AFTER: &str = "\
Each step works without a worker: request, plan, approve, execute. A worker goes on with what is approved every ten minutes, and \
with what waits for an entry to be no longer its organisation's newest. docs/erasure.md says what is erased, what stays, and why.

Exit codes:
  0  done
  1  the request cannot be followed (its reason is printed), a certificate is not there yet, or
     tombstones are not what was signed
  2  wrong usage or configuration, or a step that the request is not ready for
  3  a database cannot be reached, or refused
  130  interrupted; the same command goes on";

/// What `erase` takes.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take in a request about a user, and plan it
    Request(Ask),
    /// Look up what a request would erase; nothing is written to QWED's database
    Plan(One),
    /// Approve a plan by its digest
    Approve(Approve),
    /// Erase what was approved, or go on with it
    Execute(One),
    /// Show how far a request is
    Status(One),
    /// List requests, the oldest first
    List(List),
    /// Print the certificate of a request that was carried out
    Certificate(One),
    /// Print the tombstones of a request, the root of which its certificate names
    Tombstones(One),
    /// Take a request back, before anything was erased
    Cancel(Because),
    /// Give a request two more months (Art. 12(3)), once
    Extend(Because),
    /// After a restore, erase again whoever was erased
    Replay(Replay),
}

#[derive(Debug, Args)]
struct Ask {
    /// The user's organisation
    #[arg(long = "org", value_name = "ID")]
    organization: i64,
    /// The user's id
    #[arg(
        long,
        value_name = "ID",
        required_unless_present = "email",
        conflicts_with = "email"
    )]
    user: Option<i64>,
    /// The user's e-mail address
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Your number of the request; it stays in the ledger, so nobody's name belongs here
    #[arg(long = "reference", value_name = "TEXT")]
    reference: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// When the request was made (ISO 8601; UTC unless it has an offset) [default: now]
    #[arg(long = "requested-at", value_name = "TIME")]
    requested_at: Option<String>,
    /// Otherwise than configured, as JSON: {"entries": "delete", "user": "anonymise"}
    #[arg(long, value_name = "JSON")]
    policy: Option<String>,
    /// A plan may be larger than erasure.max_rows, or more than half of the organisation's entries
    #[arg(long)]
    allow_large: bool,
    /// The organisation may be left without an owner
    #[arg(long)]
    allow_only_owner: bool,
    /// The organisation need not be active
    #[arg(long)]
    allow_inactive: bool,
    #[command(flatten)]
    input: Input,
}

#[derive(Debug, Args)]
struct One {
    /// Which request
    request: String,
    #[command(flatten)]
    input: Input,
}

#[derive(Debug, Args)]
struct Approve {
    /// Which request
    request: String,
    /// The digest of the plan that is approved, or its first twelve characters
    #[arg(long, value_name = "DIGEST")]
    plan: String,
    /// The plan may be larger than erasure.max_rows, or more than half of the organisation's entries
    #[arg(long)]
    allow_large: bool,
    #[command(flatten)]
    input: Input,
}

#[derive(Debug, Args)]
struct Because {
    /// Which request
    request: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    input: Input,
}

#[derive(Debug, Args)]
struct List {
    /// Only requests in this state, such as awaiting_approval
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    #[command(flatten)]
    input: Input,
}

#[derive(Debug, Args)]
struct Replay {
    /// The database that was restored [default: erasure.database_url, or else qwed.database_url]
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    #[command(flatten)]
    input: Input,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::Request(arguments) => request(arguments),
        Command::Plan(arguments) => step(
            arguments,
            "erase plan",
            async |office, request, progress| erasure::plan(office, request, progress).await,
        ),
        Command::Approve(arguments) => approve(arguments),
        Command::Execute(arguments) => execute::run(arguments),
        Command::Status(arguments) => step(arguments, "erase status", async |_, _, _| Ok(())),
        Command::List(arguments) => list(arguments),
        Command::Certificate(arguments) => certificate(arguments),
        Command::Tombstones(arguments) => tombstones::run(arguments),
        Command::Cancel(arguments) => because(
            arguments,
            "erase cancel",
            async |office, request, reason| erasure::cancel(office, request, reason).await,
        ),
        Command::Extend(arguments) => because(
            arguments,
            "erase extend",
            async |office, request, reason| erasure::extend(office, request, reason).await,
        ),
        Command::Replay(arguments) => again(arguments),
    }
}

/// What erasures work with, as configured; `to` is the database to erase in, if it is another.
pub(super) fn office(
    config: &Config,
    store: &Store,
    command: &str,
    to: Option<&DatabaseUrl>,
) -> anyhow::Result<Office> {
    let environment = Environment::of_process();
    let url = |secret: Option<&crate::config::Secret>| -> anyhow::Result<DatabaseUrl> {
        let secret = secret.context(
            "which QWED database? Set qwed.database_url in the configuration, or DATABASE_URL as for QWED",
        )?;
        Ok(secret.expose().parse()?)
    };
    let (qwed, erase) = match to {
        Some(to) => (to.clone(), to.clone()),
        None => (url(config.qwed_url())?, url(config.erase_url())?),
    };
    let key = anchor::load_key(&config.anchor_key_file())?;
    let key = key.with_context(|| {
        format!(
            "nothing is erased without an anchor key, which signs tombstones: there is no {}; \"trailkeeper keygen\" makes one",
            config.anchor_key_file().display()
        )
    })?;
    let ring = match config.key_ring(|name| environment.get(name)) {
        Ok(ring) => ring,
        // A replay judges no entry.
        Err(_) if to.is_some() => KeyRing::new(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    Ok(Office {
        store: store.clone(),
        qwed,
        erase,
        keys: Keys::new(key, &config.anchors.public_keys),
        origin: config.anchors.origin.clone(),
        ring: Arc::new(ring),
        settings: config.erasure.clone(),
        actor: actor(command),
        now: Clock.now(),
    })
}

/// Runs a command with what erasures work with.
fn with_office<T>(
    config: Option<&Path>,
    command: &str,
    to: Option<&DatabaseUrl>,
    act: impl AsyncFnOnce(&Office) -> Result<T, ErasureError>,
) -> Result<T, Failure> {
    let config = load(config)?;
    let done = threaded(async {
        let url = config.state_url();
        let mut store = Store::open(url.expose(), config.state.max_connections).await?;
        if !config.amqp.url.is_empty() {
            store = store.publishing_events();
        }
        store.prepare().await?;
        let office = office(&config, &store, command, to)?;
        let done = act(&office).await;
        store.close().await;
        Ok(done)
    })?;
    done.map_err(|error| match error {
        ErasureError::Unknown(_) | ErasureError::Refused(_) => Failure::usage(error),
        ErasureError::Interrupted => Failure::interrupted(error),
        error => Failure::could_not_check(error),
    })
}

/// What became of a request that was asked for.
#[derive(Serialize)]
struct Answer<'a> {
    /// `new`, `known`, `done` or `rejected`.
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Refusal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a Request>,
}

fn request(arguments: &Ask) -> Result<Exit, Failure> {
    let requested_at = arguments.requested_at.as_deref().map(time).transpose()?;
    let policy: Override = match &arguments.policy {
        Some(text) => serde_json::from_str(text)
            .map_err(|error| Failure::usage(anyhow::anyhow!("--policy: {error}")))?,
        None => Override::default(),
    };
    let user = match (arguments.user, &arguments.email) {
        (Some(user), _) => Ok(user),
        (None, email) => Err(email.clone().unwrap_or_default()),
    };
    let input = &arguments.input;
    let progress = Arc::new(Progress::default());
    let _watch = watch(&progress, input.format == Format::Text);
    let taken = with_office(
        input.config.as_deref(),
        "erase request",
        None,
        async |office| {
            let asked = Asked {
                organization_id: arguments.organization,
                user,
                reference: arguments.reference.clone(),
                requested_at,
                reason: arguments.reason.clone(),
                requester: office.actor.clone(),
                policy,
                options: Options {
                    allow_large: arguments.allow_large,
                    allow_only_owner: arguments.allow_only_owner,
                    producer: None,
                },
                allow_inactive: arguments.allow_inactive,
                signature: None,
                source: format!("command {}", office.now),
            };
            let mut taken = erasure::take_in(office, asked).await?;
            match &mut taken {
                Taken::New(request) => erasure::plan(office, request, &progress).await?,
                Taken::Refused(refusal) => {
                    let mut tx = office.store.begin().await?;
                    let (organization, reference) =
                        (arguments.organization, arguments.reference.as_deref());
                    let event =
                        erasure::refuse(office, &mut tx, organization, reference, *refusal).await?;
                    tx.publish(&event).await?;
                    tx.commit("erasure refusal").await?;
                }
                Taken::Known(_) | Taken::Done(_) => {}
            }
            Ok(taken)
        },
    )?;
    let (outcome, request, refusal) = match &taken {
        Taken::New(request) => ("new", Some(request.as_ref()), None),
        Taken::Known(request) => ("known", Some(request.as_ref()), None),
        Taken::Done(request) => ("done", Some(request.as_ref()), None),
        Taken::Refused(refusal) => ("rejected", None, Some(*refusal)),
    };
    match input.format {
        Format::Json => print_json(&Answer {
            outcome,
            reason: refusal,
            detail: refusal.map(Refusal::explain),
            request,
        })?,
        Format::Text => print(|out| match (&taken, request, refusal) {
            (_, _, Some(refusal)) => {
                writeln!(out, "rejected, {}: {}", refusal.name(), refusal.explain())
            }
            (Taken::Known(_), Some(request), _) => {
                writeln!(out, "there is a request about this user already")?;
                show::request(out, request)
            }
            (Taken::Done(_), Some(request), _) => {
                writeln!(out, "this user was erased before")?;
                show::request(out, request)
            }
            (_, Some(request), _) => show::request(out, request),
            (_, None, None) => Ok(()),
        })?,
    }
    Ok(match refusal {
        Some(_) => Exit::Tampered,
        None => Exit::Intact,
    })
}

fn time(text: &str) -> Result<Timestamp, Failure> {
    let micros = parse_micros(text).and_then(|micros| Timestamp::from_microsecond(micros).ok());
    micros.ok_or_else(|| {
        Failure::usage(anyhow::anyhow!(
            "--requested-at {text:?} is not a time; use a form like 2026-05-08 or 2026-05-08T12:30:00Z"
        ))
    })
}

fn step(
    arguments: &One,
    command: &str,
    act: impl AsyncFnOnce(&Office, &mut Request, &Arc<Progress>) -> Result<(), ErasureError>,
) -> Result<Exit, Failure> {
    let request = advance(arguments, command, act)?;
    answer(&arguments.input, &request)
}

fn advance(
    arguments: &One,
    command: &str,
    act: impl AsyncFnOnce(&Office, &mut Request, &Arc<Progress>) -> Result<(), ErasureError>,
) -> Result<Request, Failure> {
    let input = &arguments.input;
    let progress = Arc::new(Progress::default());
    let _watch = watch(&progress, input.format == Format::Text);
    with_office(input.config.as_deref(), command, None, async |office| {
        let mut request = office.request(&arguments.request).await?;
        act(office, &mut request, &progress).await?;
        Ok(request)
    })
}

fn answer(input: &Input, request: &Request) -> Result<Exit, Failure> {
    match input.format {
        Format::Json => print_json(request)?,
        Format::Text => print(|out| show::request(out, request))?,
    }
    Ok(Exit::Intact)
}

fn approve(arguments: &Approve) -> Result<Exit, Failure> {
    let input = &arguments.input;
    let request = with_office(
        input.config.as_deref(),
        "erase approve",
        None,
        async |office| {
            let mut request = office.request(&arguments.request).await?;
            erasure::approve(office, &mut request, &arguments.plan, arguments.allow_large).await?;
            Ok(request)
        },
    )?;
    answer(input, &request)
}

fn because(
    arguments: &Because,
    command: &str,
    act: impl AsyncFnOnce(&Office, &mut Request, &str) -> Result<(), ErasureError>,
) -> Result<Exit, Failure> {
    let input = &arguments.input;
    let request = with_office(input.config.as_deref(), command, None, async |office| {
        let mut request = office.request(&arguments.request).await?;
        act(office, &mut request, &arguments.reason).await?;
        Ok(request)
    })?;
    answer(input, &request)
}

fn list(arguments: &List) -> Result<Exit, Failure> {
    let state = arguments.state.as_deref();
    if let Some(name) = state
        && State::from_name(name).is_none()
    {
        return Err(Failure::usage(anyhow::anyhow!(
            "--state {name:?} is none; there are received, planned, awaiting_approval, approved, executing, waiting_for_head, \
             on_hold, completed, rejected and cancelled"
        )));
    }
    let input = &arguments.input;
    let requests = super::store::with_store(input.config.as_deref(), async |_, store| {
        let rows = store.erasures_after(state, "", arguments.limit).await?;
        let requests: Result<Vec<_>, _> = rows.into_iter().map(Request::read).collect();
        Ok(requests?)
    })?;
    match input.format {
        Format::Json => print_json(&serde_json::json!({"requests": requests}))?,
        Format::Text => print(|out| show::list(out, &requests))?,
    }
    Ok(Exit::Intact)
}

fn certificate(arguments: &One) -> Result<Exit, Failure> {
    let input = &arguments.input;
    let request = super::store::with_store(input.config.as_deref(), async |_, store| {
        let row = store.erasure(&arguments.request).await?;
        Ok(row.map(Request::read).transpose()?)
    })?;
    let request =
        request.ok_or_else(|| Failure::usage(ErasureError::Unknown(arguments.request.clone())))?;
    match (erasure::certificate_of(&request), input.format) {
        (Ok(certificate), Format::Text) => print(|out| write!(out, "{certificate}"))?,
        (Ok(certificate), Format::Json) => print_json(&serde_json::json!({
            "request": request.id,
            "certificate": certificate,
        }))?,
        (Err(error), _) => {
            return Err(Failure {
                exit: Exit::Tampered,
                error: error.into(),
            });
        }
    }
    Ok(Exit::Intact)
}

fn again(arguments: &Replay) -> Result<Exit, Failure> {
    let input = &arguments.input;
    let to = arguments.database.as_deref().map(str::parse::<DatabaseUrl>);
    let to = to.transpose().map_err(Failure::usage)?;
    let progress = Arc::new(Progress::default());
    let _watch = watch(&progress, input.format == Format::Text);
    let replayed = with_office(
        input.config.as_deref(),
        "erase replay",
        to.as_ref(),
        async |office| erasure::replay(office, &progress).await,
    )?;
    match input.format {
        Format::Json => print_json(&replayed)?,
        Format::Text => print(|out| write_replayed(out, &replayed))?,
    }
    Ok(match replayed.problems.is_empty() && replayed.left == 0 {
        true => Exit::Intact,
        false => Exit::Tampered,
    })
}

/// A request in words, as every command shows it.
pub(super) fn write_request(
    out: &mut dyn std::io::Write,
    request: &Request,
) -> std::io::Result<()> {
    show::request(out, request)
}

/// What was erased again, in words.
pub(super) fn write_replayed(
    out: &mut dyn std::io::Write,
    replayed: &Replayed,
) -> std::io::Result<()> {
    show::replayed(out, replayed)
}
