//! `trailkeeper demo`: the worker at work, with nothing to set up.

mod erasure;
mod report;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use jiff::Timestamp;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{Exit, Failure, checklist, run::until_signals, text, token, verify::print};
use crate::{
    checklist::Checklist,
    clock::Clock,
    config::{Config, Environment, Loaded, Scope},
    demo,
    http::hash_of_token,
    jobs,
    keys::report::KeyReport,
    private,
    runtime::scheduler::job_of,
    service::Service,
    state::{
        Store,
        jobs::{JobView, NewJob, State},
    },
    telemetry,
    verify::report::Report,
};

/// The schedules that are shown, in the order of the night.
const NIGHT: [&str; 6] = [
    "nightly_verification",
    "nightly_backup",
    "weekly_drill",
    "hourly_anchor",
    "daily_key_check",
    "daily_checklist",
];
/// Where the status page is, unless somebody listens there.
const HTTP_PORT: u16 = 8420;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What `demo` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where to make the sample; a sample that is there is made anew [default: a directory for temporary files]
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// End when the nightly jobs are done
    #[arg(long)]
    once: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let directory = arguments
        .directory
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join("trailkeeper-demo"));
    let directory = std::path::absolute(&directory).map_err(Failure::could_not_check)?;
    let sample = directory.join("trailkeeper-demo.db");
    let now = Clock.now();
    demo::make_sample(&sample, now).map_err(Failure::could_not_check)?;
    let demo =
        configure(&directory, &sample, now, arguments.once).map_err(Failure::could_not_check)?;
    print(|out| {
        writeln!(
            out,
            "Made a sample QWED database, {}, and tampered with one entry:",
            sample.display()
        )?;
        for what in demo::TAMPERING {
            writeln!(out, "  {what}")?;
        }
        writeln!(
            out,
            "\nEach organisation has {} API keys:",
            demo::KEYS.len()
        )?;
        for what in demo::KEYS {
            writeln!(out, "  {what}")?;
        }
        Ok(())
    })?;
    // Not the process's own environment: what is set for a real deployment must not reach the sample.
    let environment = Environment::default();
    let loaded = Loaded::load(Some(&demo.file), &environment).map_err(Failure::usage)?;
    let (sha256, config) = (loaded.sha256(), loaded.config);
    let _telemetry = telemetry::init(&config.log, &environment).map_err(Failure::usage)?;
    until_signals(async |stop| {
        work(config, sha256, &environment, &demo, arguments.once, stop)
            .await
            .map_err(Failure::could_not_check)
    })
}

/// Where the demo's files are.
struct Demo {
    sample: PathBuf,
    /// The configuration.
    file: PathBuf,
    /// What the status page is signed in to with.
    token: Zeroizing<String>,
}

/// Writes the configuration, so that every other command can be tried on the sample as well; what an earlier demo did is
/// forgotten.
fn configure(directory: &Path, sample: &Path, now: Timestamp, once: bool) -> anyhow::Result<Demo> {
    let state = directory.join("state");
    if state.join("trailkeeper.db").exists() {
        std::fs::remove_dir_all(&state).context("cannot clear an earlier demo's state")?;
    }
    let key = directory.join("audit.key");
    // A sample that is there is made anew.
    let _ = std::fs::remove_file(&key);
    private::create_file(&key, demo::KEY.as_bytes()).context("cannot write the sample's key")?;
    let file = directory.join("trailkeeper.toml");
    let token = token::make()?;
    let mut qwed = toml::Table::new();
    qwed.insert(
        "database_url".to_owned(),
        format!("sqlite:///{}", sample.display()).into(),
    );
    let mut ring = toml::Table::new();
    ring.insert("id".to_owned(), "demo".into());
    ring.insert("file".to_owned(), key.display().to_string().into());
    ring.insert(
        "not_before".to_owned(),
        demo::key_since(now).to_string().into(),
    );
    qwed.insert("keys".to_owned(), vec![toml::Value::from(ring)].into());
    let mut metrics = toml::Table::new();
    let usual = Config::default().metrics.listen;
    metrics.insert(
        "listen".to_owned(),
        free_address(usual, once).to_string().into(),
    );
    let mut log = toml::Table::new();
    log.insert("level".to_owned(), "error".into());
    let mut config = toml::Table::new();
    config.insert("data_dir".to_owned(), state.display().to_string().into());
    config.insert("qwed".to_owned(), qwed.into());
    config.insert("metrics".to_owned(), metrics.into());
    config.insert("http".to_owned(), http(&token, once).into());
    config.insert("log".to_owned(), log.into());
    std::fs::write(&file, config.to_string()).context("cannot write the configuration")?;
    Ok(Demo {
        sample: sample.to_owned(),
        file,
        token,
    })
}

/// The HTTP interface, with an operator who may do everything.
fn http(token: &str, once: bool) -> toml::Table {
    let scopes: Vec<toml::Value> = Scope::ALL.map(|scope| scope.name().into()).to_vec();
    let mut operator = toml::Table::new();
    operator.insert("name".to_owned(), "demo".into());
    operator.insert("sha256".to_owned(), hash_of_token(token).into());
    operator.insert("scopes".to_owned(), scopes.into());
    let address = free_address(SocketAddr::from((Ipv4Addr::LOCALHOST, HTTP_PORT)), once);
    let mut http = toml::Table::new();
    http.insert("listen".to_owned(), address.to_string().into());
    http.insert(
        "tokens".to_owned(),
        vec![toml::Value::from(operator)].into(),
    );
    http
}

/// The usual address, or another if somebody listens there. A demo that ends by itself keeps nobody from the usual one.
fn free_address(usual: SocketAddr, once: bool) -> SocketAddr {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let wanted = if once { any } else { usual };
    let found = TcpListener::bind(wanted).or_else(|_| TcpListener::bind(any));
    found
        .and_then(|listener| listener.local_addr())
        .unwrap_or(usual)
}

async fn work(
    config: Config,
    configuration_sha256: String,
    environment: &Environment,
    demo: &Demo,
    once: bool,
    stop: CancellationToken,
) -> anyhow::Result<Exit> {
    let Some(service) =
        Service::prepare(config.clone(), configuration_sha256, environment, &stop).await?
    else {
        return Ok(Exit::Intact);
    };
    let address = service.address()?;
    let interface = service.interface_address()?;
    let store = service.store().clone();
    let schedules = service.schedules().to_vec();
    let worker = tokio::spawn(service.run(stop.clone()));
    let registry = jobs::registry(&config);
    for name in NIGHT {
        let Some(schedule) = schedules.iter().find(|it| it.name == name) else {
            continue;
        };
        say(|out| {
            writeln!(
                out,
                "\nRunning {}, which is due at \"{}\" {} ...\n",
                schedule.name, schedule.cron, schedule.timezone
            )
        })?;
        do_job(&store, job_of(&registry, schedule)?, &stop).await?;
    }
    if !stop.is_cancelled() {
        let removed = demo::remove_newest(&demo.sample)?;
        say(|out| {
            writeln!(
                out,
                "\nBehind the worker's back, the newest {removed} entries of organisation 3 were just deleted. No chain can show that; \
                 the anchor does:\n"
            )
        })?;
        let job = registry.new_job("verify_trail", serde_json::json!({}), "demo")?;
        do_job(&store, job, &stop).await?;
    }
    let mut shown = None;
    if !stop.is_cancelled() {
        let directory = demo.file.parent().unwrap_or(Path::new("."));
        shown = erasure::erase_somebody(&config, &registry, &store, directory, &stop).await?;
    }
    let mut reported = None;
    if !stop.is_cancelled() {
        let directory = demo.file.parent().unwrap_or(Path::new("."));
        reported = report::report_on_one(&registry, &store, directory, &stop).await?;
    }
    if !stop.is_cancelled() {
        let address = (!once).then_some(address);
        let status = interface.filter(|_| !once);
        say(|out| look(out, &demo.file, address, shown.as_ref(), reported.as_ref()))?;
        if let Some(status) = status {
            let token = demo.token.as_str();
            say(|out| {
                writeln!(
                    out,
                    "\nThe status page: http://{status}/status\n  sign in with the operator's token {token}"
                )
            })?;
        }
    }
    if once {
        stop.cancel();
    } else if !stop.is_cancelled() {
        say(|out| writeln!(out, "\nThe worker goes on with its schedules until Ctrl-C."))?;
    }
    worker.await??;
    Ok(Exit::Intact)
}

/// Queues a job, waits for it and shows what it found; nothing when told to stop before.
async fn do_job(store: &Store, job: NewJob, stop: &CancellationToken) -> anyhow::Result<()> {
    let kind = job.kind.clone();
    match ended(store, job, stop).await? {
        Some(outcome) => show(&kind, outcome),
        None => Ok(()),
    }
}

/// Queues a job, waits for it and answers its outcome; `None` when told to stop before.
async fn ended(
    store: &Store,
    job: NewJob,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Value>> {
    let (id, kind) = (job.id.clone(), job.kind.clone());
    store.enqueue(&[job]).await?;
    let Some(job) = wait(store, &id, stop).await? else {
        return Ok(None);
    };
    if job.state != State::Succeeded {
        bail!("{kind} is {}: {}", job.state, job.error.unwrap_or_default());
    }
    Ok(Some(job.outcome.unwrap_or_default()))
}

/// Waits until a job has ended; `None` when told to stop before.
async fn wait(
    store: &Store,
    id: &str,
    stop: &CancellationToken,
) -> anyhow::Result<Option<JobView>> {
    loop {
        let job = store.job(id).await?.context("the job is gone")?;
        if job.state.is_final() {
            return Ok(Some(job));
        }
        let pause = tokio::time::sleep(LOOK_EVERY);
        if stop.run_until_cancelled(pause).await.is_none() {
            return Ok(None);
        }
    }
}

/// Shows what a job found, as it was stored.
fn show(kind: &str, outcome: Value) -> anyhow::Result<()> {
    match kind {
        "verify_trail" => {
            let report: Report = serde_json::from_value(outcome)?;
            say(|out| text::report(out, &report))
        }
        "check_api_keys" => {
            let report: KeyReport = serde_json::from_value(outcome)?;
            say(|out| text::keys(out, &report))
        }
        "backup" => say(|out| {
            let number = |key: &str| outcome[key].as_i64().unwrap_or_default();
            let not_locked = outcome["not_locked"].as_array().map_or(0, Vec::len);
            writeln!(
                out,
                "backup {}: {} new entries, {} rows of all tables, {} anchors; {not_locked} objects are not locked, since they are \
                 files",
                number("number"),
                number("entries"),
                number("rows"),
                number("anchors")
            )
        }),
        "anchor" => say(|out| {
            writeln!(
                out,
                "anchor {}: signed where {} entries of {} organisations stand, {} of them new",
                outcome["number"],
                outcome["entries"],
                outcome["organizations"],
                outcome["new_entries"]
            )
        }),
        "compliance_checklist" => {
            let checklist: Checklist = serde_json::from_value(outcome)?;
            say(|out| checklist::write(out, &checklist))
        }
        // What became of the request is shown next.
        "continue_erasures" => Ok(()),
        "drill" => say(|out| {
            let word = if outcome["passed"] == true {
                "passed"
            } else {
                "did not pass"
            };
            writeln!(
                out,
                "backup {} was restored into a scratch database and compared: the drill {word}",
                outcome["manifest"]
            )
        }),
        _ => say(|out| writeln!(out, "{outcome:#}")),
    }
}

fn look(
    out: &mut dyn Write,
    file: &Path,
    address: Option<SocketAddr>,
    shown: Option<&erasure::Shown>,
    reported: Option<&report::Shown>,
) -> std::io::Result<()> {
    let file = file.display().to_string();
    writeln!(out, "\nWhere to look:")?;
    if let Some(address) = address {
        writeln!(
            out,
            "  http://{address}/metrics   what Prometheus sees; /readyz and /livez beside it"
        )?;
    }
    writeln!(
        out,
        "  trailkeeper jobs list --config {file}\n  \
         trailkeeper schedules list --config {file}\n  \
         trailkeeper enqueue verify_trail --wait --config {file}\n  \
         trailkeeper verify --config {file}\n  \
         trailkeeper anchor list --config {file}"
    )?;
    shown.map_or(Ok(()), |shown| shown.write(out, &file))?;
    reported.map_or(Ok(()), |reported| reported.write(out, &file))
}

fn say(write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> anyhow::Result<()> {
    print(write).map_err(|failure| failure.error)
}
