//! `trailkeeper verify`.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{
    Exit, Failure,
    anchors::{Anchors, Opener, Sources, archived},
    progress,
    store::qwed_url,
    text, verify_ledger,
};
use crate::{
    backup::{BackupError, Vouchers},
    clock::Clock,
    config::{Config, ConfigError, Environment, parse_micros},
    progress::Progress,
    qwed::{Database, Period, url::DatabaseUrl},
    state::masked,
    trail::{finding::Verdict, keys::KeyRing},
    verify::{
        self, CoverageReport, Options, Scope, VerifyError,
        entry::{EntryError, EntryReport, verify_entries},
        report::{AnchorsReport, Coverage, Report},
        verify_since,
    },
};

const EXITS: &str = "\
Exit codes:
  0    intact
  1    tampered (with --entry: at least one entry is not valid)
  2    wrong usage or configuration
  3    could not check: database unreachable or not QWED's, no key, unknown organisation or entry
  4    incomplete: nothing speaks against the trail, but some entries cannot be verified
  130  interrupted

The signing key is read from QWED_AUDIT_SECRET_KEY, or else AUDIT_SECRET_KEY; further keys from the \
configuration file. Nothing is ever written to QWED's database.

Where the worker has anchored the trail, it is compared with the newest anchor: entries that were removed at its end, or written \
anew by somebody who holds the signing key, are found only by that.";

/// How often a verification begins anew because entries were erased meanwhile.
const ATTEMPTS: u32 = 4;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// One JSON document on standard output
    Json,
}

/// What `verify` takes.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(super) struct Arguments {
    /// QWED's database, as in QWED's own DATABASE_URL [default: configuration, then DATABASE_URL]
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Configuration file, for the database and a ring of keys
    #[arg(long, value_name = "FILE", env = "TRAILKEEPER_CONFIG")]
    config: Option<PathBuf>,
    /// Only this organisation; may be repeated [default: all]
    #[arg(long = "org", value_name = "ID")]
    organizations: Vec<i64>,
    /// Only entries from this time on (ISO 8601; UTC unless it has an offset; a date is its first moment)
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only entries up to this time, itself included
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Check single entries instead of trails; may be repeated
    #[arg(long = "entry", value_name = "ID", conflicts_with_all = ["organizations", "from", "to"])]
    entries: Vec<i64>,
    /// How to print the result
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Readers side by side [default: configuration, or one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// How many findings and entry ids to list for each organisation; the rest is counted [default: configuration, or
    /// 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_findings: Option<u32>,
    /// Check only what came after the newest anchor, if it fits to that; everything otherwise
    #[arg(long, conflicts_with_all = ["from", "to", "entries"])]
    since_anchor: bool,
    /// Anchors to compare with: the URL of the state database that has them, "archive" for those in the configured archive, or
    /// "none" [default: the configured state database]
    #[arg(long, value_name = "URL|archive|none")]
    anchors: Option<String>,
    /// The public key that anchors are signed with, or @ and a file that holds it [default: configuration]
    #[arg(long, value_name = "KEY")]
    public_key: Option<String>,
    /// Verify the compliance ledger and all consents instead of QWED's trail
    #[arg(long, conflicts_with_all = ["database", "organizations", "from", "to", "entries", "since_anchor", "anchors", "public_key", "threads"])]
    ledger: bool,
    /// Exit with 0 instead of 4 if the verdict is "incomplete"
    #[arg(long)]
    allow_incomplete: bool,
    /// No progress bar
    #[arg(long)]
    no_progress: bool,
}

/// The document of `--entry`.
#[derive(Serialize)]
struct EntriesDocument {
    entries: Vec<EntryReport>,
}

/// The document of an interrupted verification: no verdict.
#[derive(Serialize)]
struct InterruptedDocument {
    verdict: Option<Verdict>,
    interrupted: bool,
    covered: Coverage,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    if arguments.ledger {
        return verify_ledger::run(
            arguments.config.as_deref(),
            arguments.max_findings,
            arguments.format,
            arguments.allow_incomplete,
        );
    }
    let environment = Environment::of_process();
    let config = Config::load(arguments.config.as_deref(), &environment).map_err(Failure::usage)?;
    let period = period(arguments)?;
    let url = qwed_url(arguments.database.as_deref(), &config).map_err(Failure::usage)?;
    let ring = config
        .key_ring(|name| environment.get(name))
        .map_err(|error| match error {
            ConfigError::NoKey => Failure::could_not_check(error),
            _ => Failure::usage(error),
        })?;
    let ring = Arc::new(ring);
    let opener = opener(arguments, &config).map_err(Failure::could_not_check)?;
    if arguments.entries.is_empty() {
        let scope = Scope {
            organizations: arguments.organizations.clone(),
            period,
        };
        trails(arguments, &config, &opener, &url, &ring, &scope)
    } else {
        let database = opener.open(&url).map_err(Failure::could_not_check)?;
        entries(arguments, &database, &ring)
    }
}

fn opener(arguments: &Arguments, config: &Config) -> anyhow::Result<Opener> {
    let state = config.state_url();
    let url = match arguments.anchors.as_deref() {
        Some("none") => None,
        Some("archive") | None => Some(state.expose()),
        Some(url) => Some(url),
    };
    let keys = sources(arguments, config)?.keys;
    Opener::new(url, &config.anchors.origin, &keys)
}

fn period(arguments: &Arguments) -> Result<Period, Failure> {
    let time = |text: &Option<String>, option: &str| {
        match text {
        None => Ok(None),
        Some(text) => parse_micros(text).map(Some).ok_or_else(|| {
            Failure::usage(anyhow::anyhow!(
                "{option} {text:?} is not a time; use a form like 2026-05-08 or 2026-05-08T12:30:00Z"
            ))
        }),
    }
    };
    let period = Period {
        from: time(&arguments.from, "--from")?,
        to: time(&arguments.to, "--to")?,
    };
    match (period.from, period.to) {
        (Some(from), Some(to)) if from > to => Err(Failure::usage(anyhow::anyhow!(
            "--from must not be after --to"
        ))),
        _ => Ok(period),
    }
}

fn trails(
    arguments: &Arguments,
    config: &Config,
    opener: &Opener,
    url: &DatabaseUrl,
    ring: &Arc<KeyRing>,
    scope: &Scope,
) -> Result<Exit, Failure> {
    let mut database = opener.open(url).map_err(Failure::could_not_check)?;
    let mut options = Options::configured(&config.verify, database.dialect());
    if let Some(max_findings) = arguments.max_findings {
        options.max_findings = max_findings as usize;
    }
    if let Some(threads) = arguments.threads {
        options.threads = threads.into();
    }
    let started = Clock.now();
    let vouchers = vouchers(arguments, config).map_err(Failure::could_not_check)?;
    let anchors = match vouchers {
        Some(_) => None,
        None => anchors(arguments, config).map_err(Failure::could_not_check)?,
    };
    let anchored = anchors
        .as_ref()
        .and_then(|anchors| anchors.loaded.anchored.clone());
    let options = Options {
        anchored: anchored.as_deref(),
        ..options
    };
    let progress = Arc::new(Progress::default());
    let watch = progress::watch(&progress, !arguments.no_progress);
    let since = match (&anchored, arguments.since_anchor) {
        (Some(anchored), true) => {
            let organizations = &scope.organizations;
            verify_since(
                &database,
                ring,
                anchored,
                organizations,
                &options,
                &progress,
            )
        }
        _ => Ok(None),
    };
    let mut unread_entries = None;
    let verified = match since {
        Ok(Some(since)) => {
            unread_entries = Some(since.unread_entries);
            Ok(since.report)
        }
        Ok(None) => verify::verify(&database, ring, scope, &options, &progress),
        Err(error) => Err(error),
    };
    let mut verified = verified;
    // What was found may be an erasure that went on beside it.
    for _ in 0..ATTEMPTS {
        let Ok(report) = &verified else { break };
        let newer = || opener.has_newer(report.newest_tombstones);
        if report.verdict != Verdict::Tampered || !newer().map_err(Failure::could_not_check)? {
            break;
        }
        database = opener.open(url).map_err(Failure::could_not_check)?;
        verified = verify::verify(&database, ring, scope, &options, &progress);
    }
    let verified = match (verified, &vouchers) {
        (Ok(mut report), Some(vouchers)) => {
            let (organizations, limit) = (&scope.organizations, options.max_findings);
            let vouched = vouchers.vouch(&database, organizations, limit, &mut report, &progress);
            match vouched {
                Err(BackupError::Interrupted) => Err(VerifyError::Interrupted(Coverage {
                    entries: progress.rows(),
                    fraction: progress.fraction(),
                })),
                Err(error) => return Err(Failure::could_not_check(error)),
                Ok(()) => Ok(report),
            }
        }
        (verified, _) => verified,
    };
    drop(watch);
    match verified {
        Ok(mut report) => {
            report.set_times(started, Clock.now());
            if let Some(anchors) = &anchors {
                report.set_anchors(AnchorsReport {
                    unread_entries,
                    ..anchors.report()
                });
                // Of everything that is checked now there is no need to say when it was before.
                let known = anchors
                    .coverage
                    .as_ref()
                    .filter(|_| unread_entries.is_some());
                let (now, days) = (Clock.now().as_microsecond(), config.verify.rolling_days);
                report.coverage =
                    known.map(|known| CoverageReport::of(known, anchored.as_deref(), now, days));
            }
            match arguments.format {
                Format::Json => print_json(&report)?,
                Format::Text => print(|out| text::report(out, &report))?,
            }
            Ok(exit_of(&report, arguments.allow_incomplete))
        }
        Err(VerifyError::Interrupted(covered)) => {
            if arguments.format == Format::Json {
                print_json(&InterruptedDocument {
                    verdict: None,
                    interrupted: true,
                    covered,
                })?;
            } else {
                print(|out| text::interrupted(out, covered))?;
            }
            Ok(Exit::Interrupted)
        }
        Err(error) => Err(Failure::could_not_check(error)),
    }
}

/// The archive's anchors, where those are asked for.
fn vouchers(arguments: &Arguments, config: &Config) -> anyhow::Result<Option<Vouchers>> {
    if arguments.anchors.as_deref() != Some("archive") {
        return Ok(None);
    }
    if arguments.since_anchor || arguments.from.is_some() || arguments.to.is_some() {
        anyhow::bail!(
            "--anchors archive compares whole trails; leave out --since-anchor, --from and --to"
        );
    }
    archived(config, &sources(arguments, config)?.keys).map(Some)
}

fn sources(arguments: &Arguments, config: &Config) -> anyhow::Result<Sources> {
    match &arguments.public_key {
        Some(key) => Sources::given(key),
        None => Sources::configured(config),
    }
}

/// The anchors that the command line or the configuration names; `None` where there are none to be had.
fn anchors(arguments: &Arguments, config: &Config) -> anyhow::Result<Option<Anchors>> {
    let state = config.state_url();
    let url = match arguments.anchors.as_deref() {
        Some("none") if arguments.since_anchor => {
            anyhow::bail!("--since-anchor needs anchors; leave out --anchors none")
        }
        Some("none") => return Ok(None),
        Some(url) => url,
        None => state.expose(),
    };
    let sources = sources(arguments, config)?;
    let anchors = Anchors::load(url, &config.anchors.origin, &sources.keys)?;
    let is_asked_for =
        arguments.anchors.is_some() || arguments.public_key.is_some() || arguments.since_anchor;
    let is_there = anchors.as_ref().is_some_and(|anchors| {
        anchors.loaded.anchored.is_some() || !anchors.loaded.findings.is_empty()
    });
    // Who asks for anchors must not take a trail without any for one that was compared.
    if is_asked_for && !is_there {
        anyhow::bail!(
            "there are no anchors in {}; \"trailkeeper anchor create\" makes one",
            masked(url)
        );
    }
    Ok(anchors)
}

fn exit_of(report: &Report, allow_incomplete: bool) -> Exit {
    match report.verdict {
        Verdict::Intact => Exit::Intact,
        Verdict::Incomplete if allow_incomplete => Exit::Intact,
        Verdict::Incomplete => Exit::Incomplete,
        Verdict::Tampered => Exit::Tampered,
    }
}

fn entries(
    arguments: &Arguments,
    database: &Database,
    ring: &Arc<KeyRing>,
) -> Result<Exit, Failure> {
    let entries =
        verify_entries(database, ring, &arguments.entries).map_err(|error| match error {
            EntryError::Read(_) | EntryError::NoEntry(_) => Failure::could_not_check(error),
        })?;
    let all_valid = entries.iter().all(|entry| entry.valid);
    match arguments.format {
        Format::Json => print_json(&EntriesDocument { entries })?,
        Format::Text => print(|out| text::entries(out, &entries))?,
    }
    Ok(if all_valid {
        Exit::Intact
    } else {
        Exit::Tampered
    })
}

/// Prints a document and a newline.
pub(super) fn print_json(document: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(document).map_err(Failure::could_not_check)?;
    print(|out| writeln!(out, "{text}"))
}

/// Prints to standard output; a reader that went away early (`| head`) is no failure.
pub(super) fn print(
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(
            Failure::could_not_check(anyhow::Error::new(error).context("cannot print the result")),
        ),
        _ => Ok(()),
    }
}
