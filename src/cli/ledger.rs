//! `trailkeeper ledger`, and entries that commands add to it.

use std::io::{self, Write};

use anyhow::Context;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{
    Exit, Failure,
    anchors::Sources,
    config::Input,
    store::{block_on, with_store},
    table::{table, visible},
    text::{BAD, GOOD},
    verify::{Format, print, print_json},
};
use crate::{
    anchor, backup,
    checkpoint::note::SecretKey,
    clock::Clock,
    config::Config,
    ledger::{self, Act, Entry, Report, Scribe},
    objects::Vault,
    state::Store,
};

const AFTER: &str = "\
The ledger has what this program did that an auditor asks about. Entries are signed with the anchor key and chained, and backups \
carry them into the archive.

Exit codes:
  0  done
  1  entries are missing or not what was signed
  2  wrong usage or configuration
  3  the database cannot be reached";

const NO_KEY: &str = "not in the ledger: the anchor key, which signs entries, is not here";

/// What `ledger` takes.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List entries, the newest first
    List(List),
    /// Authenticate all entries and their chain, and compare them with those in the archive
    Verify(Input),
}

#[derive(Debug, Args)]
struct List {
    /// List at most so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Only entries of this act, such as archive.drill
    #[arg(long, value_name = "ACT")]
    act: Option<String>,
    #[command(flatten)]
    input: Input,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::List(arguments) => list(arguments),
        Command::Verify(input) => verify(input),
    }
}

/// Who runs this command.
pub(super) fn actor(command: &str) -> String {
    let name = |variable| std::env::var(variable).ok().filter(|name| !name.is_empty());
    let user = name("SUDO_USER")
        .or_else(|| name("USER"))
        .or_else(|| name("LOGNAME"));
    match user {
        Some(user) => format!("trailkeeper {command}, run by {user}"),
        None => format!("trailkeeper {command}"),
    }
}

/// Runs what adds entries in transactions of its own; without a key it says that there will be none.
pub(super) async fn with_scribe<T>(
    config: &Config,
    command: &str,
    act: impl AsyncFnOnce(&str, Timestamp, Option<&Scribe<'_>>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let (actor, now) = (actor(command), Clock.now());
    let key = anchor::load_key(&config.anchor_key_file())?;
    let scribe = key.as_ref().map(|key| Scribe {
        origin: &config.anchors.origin,
        key,
        actor: &actor,
        now,
    });
    if scribe.is_none() {
        eprintln!("{NO_KEY}");
    }
    act(&actor, now, scribe.as_ref()).await
}

/// Adds an entry; without a key it says that it did not.
pub(super) async fn record(
    store: &Store,
    config: &Config,
    key: Option<&SecretKey>,
    actor: &str,
    act: Act,
    detail: Value,
) -> anyhow::Result<()> {
    let Some(key) = key else {
        eprintln!("{NO_KEY}");
        return Ok(());
    };
    let scribe = Scribe {
        origin: &config.anchors.origin,
        key,
        actor,
        now: Clock.now(),
    };
    Ok(scribe.note(store, act, detail).await?)
}

/// Adds an export to the ledger, if this machine has the key.
pub(super) fn note_export(
    config: &Config,
    key: Option<&SecretKey>,
    command: &str,
    act: Act,
    detail: &impl Serialize,
) -> Result<(), Failure> {
    if key.is_none() {
        return Ok(());
    }
    let noted = block_on(async {
        let store = Store::open(config.state_url().expose(), config.state.max_connections).await?;
        store.prepare().await?;
        let (actor, detail) = (actor(command), serde_json::to_value(detail)?);
        let recorded = record(&store, config, key, &actor, act, detail).await;
        store.close().await;
        recorded
    })?;
    noted
        .context("the export is complete, and the ledger does not have it")
        .map_err(Failure::could_not_check)
}

#[derive(Serialize)]
struct Listed {
    entries: Vec<Entry>,
    /// Entries that are not what was signed.
    findings: Vec<ledger::Finding>,
}

fn list(arguments: &List) -> Result<Exit, Failure> {
    let List { limit, act, input } = arguments;
    let listed = with_store(input.config.as_deref(), async |config, store| {
        let keys = Sources::configured(config)?.keys;
        let mut listed = Listed {
            entries: Vec::new(),
            findings: Vec::new(),
        };
        for row in store.newest_ledger(act.as_deref(), *limit).await? {
            match ledger::open(&row, &config.anchors.origin, &keys) {
                Ok(entry) => listed.entries.push(entry),
                Err(detail) => listed.findings.push(ledger::Finding {
                    number: row.number,
                    detail,
                }),
            }
        }
        Ok(listed)
    })?;
    match input.format {
        Format::Json => print_json(&listed)?,
        Format::Text => print(|out| {
            if listed.entries.is_empty() && listed.findings.is_empty() {
                return writeln!(out, "no entries");
            }
            let row = |entry: &Entry| {
                [
                    entry.number.to_string().into(),
                    entry.at.to_string().into(),
                    visible(&entry.act).to_string().into(),
                    visible(&entry.actor).to_string().into(),
                ]
            };
            let rows: Vec<_> = listed.entries.iter().map(row).collect();
            table(out, ["NUMBER", "TIME", "ACT", "BY"], &rows)?;
            write_findings(out, &listed.findings)
        })?,
    }
    Ok(exit(&listed.findings))
}

/// All entries, authenticated and compared with those in the archive.
pub(super) async fn verified(config: &Config, store: &Store) -> anyhow::Result<Report> {
    let keys = Sources::configured(config)?.keys;
    let origin = &config.anchors.origin;
    let mut report = ledger::verify(store, origin, &keys).await?;
    let compared = async {
        let vault = Vault::open(config)?;
        backup::compare_ledger(&vault, store, origin, &keys).await
    };
    match compared.await {
        Ok(Some((number, detail))) => report.findings.push(ledger::Finding { number, detail }),
        Ok(None) => {}
        // The entries themselves were verified all the same; that their end was not must show.
        Err(error) => eprintln!(
            "not compared with the archive, so newest entries may have been cut off: {error}"
        ),
    }
    Ok(report)
}

fn verify(input: &Input) -> Result<Exit, Failure> {
    let report = with_store(input.config.as_deref(), verified)?;
    match input.format {
        Format::Json => print_json(&report)?,
        Format::Text => print(|out| {
            write_findings(out, &report.findings)?;
            match (report.findings.len(), report.entries) {
                (0, 0) => writeln!(out, "no entries"),
                (0, entries) => writeln!(
                    out,
                    "{GOOD}{entries} entries are as they were signed{GOOD:#}"
                ),
                (found, entries) => writeln!(
                    out,
                    "{found} findings; {entries} entries are as they were signed"
                ),
            }
        })?,
    }
    Ok(exit(&report.findings))
}

pub(super) fn write_findings(out: &mut dyn Write, findings: &[ledger::Finding]) -> io::Result<()> {
    for finding in findings {
        let detail = visible(&finding.detail);
        writeln!(out, "{BAD}entry {}{BAD:#}: {detail}", finding.number)?;
    }
    Ok(())
}

fn exit(findings: &[ledger::Finding]) -> Exit {
    match findings.is_empty() {
        true => Exit::Intact,
        false => Exit::Tampered,
    }
}
