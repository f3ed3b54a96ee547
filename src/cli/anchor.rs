//! `trailkeeper anchor`: makes anchors, lists and authenticates them, and writes proofs for auditors.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Exit, Failure,
    anchors::{Sources, threaded},
    config::Input,
    progress::watch,
    store::load,
    table::table,
    text::{BAD, GOOD},
    verify::{Format, print, print_json},
};
use crate::{
    anchor::{self, AnchorError, Keys},
    clock::Clock,
    config::Config,
    progress::Progress,
    qwed::{Database, url::DatabaseUrl},
    state::Store,
    trail::finding::{AnchorFinding, Severity},
};

const AFTER: &str = "\
An anchor is a signed statement of how many entries every organisation's trail has and what they hash to. Later verifications \
prove by it that nothing of that was removed or written anew, not even by somebody who holds QWED's audit key.

Exit codes:
  0  done
  1  anchors are missing or not what was signed (verify)
  2  wrong usage or configuration
  3  a database cannot be reached, there is no key, or no such entry or anchor";

/// What `anchor` takes.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Anchor all trails now
    Create(Input),
    /// List anchors, the newest first
    List(List),
    /// Authenticate all anchors back to the first; "trailkeeper verify" compares trails with them
    Verify(Input),
    /// Write the proof that an entry is anchored, for "trailkeeper audit verify"
    Prove(Prove),
}

#[derive(Debug, Args)]
struct List {
    /// List at most so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    #[command(flatten)]
    input: Input,
}

#[derive(Debug, Args)]
struct Prove {
    /// The entry's id
    #[arg(required_unless_present = "since", conflicts_with = "since")]
    entry: Option<i64>,
    /// Prove instead that the trail as of this anchor is the beginning of the newest
    #[arg(long, value_name = "ANCHOR", requires = "organization")]
    since: Option<u64>,
    /// The organisation [default: the entry's]
    #[arg(long = "org", value_name = "ID")]
    organization: Option<i64>,
    /// Write to this file instead of standard output; it must not exist
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Configuration file
    #[arg(long, value_name = "FILE", env = "TRAILKEEPER_CONFIG")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::Create(input) => create(input),
        Command::List(arguments) => list(arguments),
        Command::Verify(input) => verify(input),
        Command::Prove(arguments) => prove(arguments),
    }
}

#[derive(Serialize)]
struct Created {
    number: i64,
    entries: i64,
    new_entries: u64,
    organizations: i64,
    public_key: String,
}

fn create(input: &Input) -> Result<Exit, Failure> {
    let config = load(input.config.as_deref())?;
    let created = threaded(async {
        let store = open(&config).await?;
        let created = create_in(&config, &store, input.format == Format::Text).await;
        store.close().await;
        created
    })?;
    match input.format {
        Format::Json => print_json(&created)?,
        Format::Text => print(|out| {
            writeln!(
                out,
                "anchor {}: {} entries of {} organisations, {} of them new",
                created.number, created.entries, created.organizations, created.new_entries
            )?;
            writeln!(out, "public key: {}", created.public_key)
        })?,
    }
    Ok(Exit::Intact)
}

async fn open(config: &Config) -> anyhow::Result<Store> {
    let store = Store::open(config.state_url().expose(), config.state.max_connections).await?;
    store.prepare().await?;
    Ok(store)
}

async fn create_in(
    config: &Config,
    store: &Store,
    shows_progress: bool,
) -> anyhow::Result<Created> {
    let url = config.qwed_url().context(
        "which QWED database? Set qwed.database_url in the configuration, or DATABASE_URL as for QWED",
    )?;
    let url: DatabaseUrl = url.expose().parse()?;
    let may_make = anchor::may_make_key(store).await?;
    let origin = &config.anchors.origin;
    let key = anchor::load_or_make_key(&config.anchor_key_file(), origin, may_make)?;
    let keys = Keys::new(key, &config.anchors.public_keys);
    let progress = Arc::new(Progress::default());
    let _watch = watch(&progress, shows_progress);
    let made = anchor::make(store, &url, origin, &keys, Clock.now(), &progress).await?;
    let mut tx = store.begin().await?;
    tx.insert_anchor(&made.run, &made.checkpoints, &made.last_tiles)
        .await?;
    tx.commit("anchor").await?;
    Ok(Created {
        number: made.run.number,
        entries: made.run.entries,
        new_entries: made.new_entries,
        organizations: made.run.organizations,
        public_key: keys.signer.verifier().to_string(),
    })
}

#[derive(Serialize)]
struct Listed {
    anchors: Vec<ListedAnchor>,
}

#[derive(Serialize)]
struct ListedAnchor {
    number: i64,
    made_at: String,
    organizations: i64,
    entries: i64,
    note: String,
}

fn list(arguments: &List) -> Result<Exit, Failure> {
    let config = load(arguments.input.config.as_deref())?;
    let runs = threaded(async {
        let store = open(&config).await?;
        let runs = store.anchors_before(i64::MAX, arguments.limit).await;
        store.close().await;
        anyhow::Ok(runs?)
    })?;
    let anchors = runs.into_iter().map(|run| ListedAnchor {
        number: run.number,
        made_at: crate::when::rfc3339(run.made_at),
        organizations: run.organizations,
        entries: run.entries,
        note: run.note,
    });
    let anchors: Vec<ListedAnchor> = anchors.collect();
    match arguments.input.format {
        Format::Json => print_json(&Listed { anchors })?,
        Format::Text if anchors.is_empty() => print(|out| {
            writeln!(
                out,
                "no anchors yet; \"trailkeeper anchor create\" makes one"
            )
        })?,
        Format::Text => {
            let row = |anchor: &ListedAnchor| {
                [
                    anchor.number.to_string().into(),
                    anchor.made_at.as_str().into(),
                    anchor.organizations.to_string().into(),
                    anchor.entries.to_string().into(),
                ]
            };
            let rows: Vec<_> = anchors.iter().map(row).collect();
            let head = ["ANCHOR", "MADE", "ORGANISATIONS", "ENTRIES"];
            print(|out| table(out, head, &rows))?;
        }
    }
    Ok(Exit::Intact)
}

#[derive(Serialize)]
struct Verified {
    newest: Option<u64>,
    authenticated: u64,
    findings: Vec<AnchorFinding>,
}

fn verify(input: &Input) -> Result<Exit, Failure> {
    let config = load(input.config.as_deref())?;
    let sources = Sources::configured(&config).map_err(Failure::could_not_check)?;
    let loaded = threaded(async {
        let store = open(&config).await?;
        let origin = &config.anchors.origin;
        let loaded = anchor::load(&store, origin, &sources.keys, None, u64::MAX - 1).await;
        store.close().await;
        anyhow::Ok(loaded?)
    })?;
    let verified = Verified {
        newest: loaded.anchored.as_ref().map(|anchored| anchored.number),
        authenticated: loaded.inventories,
        findings: loaded.findings,
    };
    match input.format {
        Format::Json => print_json(&verified)?,
        Format::Text => print(|out| {
            for finding in &verified.findings {
                writeln!(out, "{BAD}{}{BAD:#}: {}", finding.kind, finding.detail)?;
            }
            match verified.newest {
                None if verified.findings.is_empty() => writeln!(out, "no anchors yet"),
                _ if verified.findings.is_empty() => writeln!(
                    out,
                    "{GOOD}{} anchors are as they were signed{GOOD:#}, each chained to the one before",
                    verified.authenticated
                ),
                _ => writeln!(out, "{} anchors authenticated", verified.authenticated),
            }
        })?,
    }
    let is_fine = |finding: &AnchorFinding| finding.severity < Severity::Incomplete;
    Ok(if verified.findings.iter().all(is_fine) {
        Exit::Intact
    } else {
        Exit::Tampered
    })
}

fn prove(arguments: &Prove) -> Result<Exit, Failure> {
    let config = load(arguments.config.as_deref())?;
    let sources = Sources::configured(&config).map_err(Failure::could_not_check)?;
    let proof = threaded(async {
        let store = open(&config).await?;
        let origin = &config.anchors.origin;
        let organization = match (arguments.organization, arguments.entry) {
            (Some(id), _) => id,
            (None, Some(entry)) => organization_of(&config, entry)?,
            (None, None) => unreachable!("one of them is required"),
        };
        let loaded = anchor::load_organization(&store, origin, &sources.keys, organization).await?;
        let handle = tokio::runtime::Handle::current();
        let (inner, entry, since) = (store.clone(), arguments.entry, arguments.since);
        let proof = tokio::task::spawn_blocking(move || match (entry, since) {
            (Some(entry), _) => {
                anchor::prove_inclusion(&handle, &inner, &loaded, organization, entry)
                    .map(|proof| proof.to_string())
            }
            (None, since) => {
                let since = since.unwrap_or_default();
                anchor::prove_consistency(&handle, &inner, &loaded, organization, since)
                    .map(|proof| proof.to_string())
            }
        });
        let proof = proof.await?;
        store.close().await;
        anyhow::Ok(proof?)
    })?;
    match &arguments.out {
        None => print(|out| write!(out, "{proof}"))?,
        Some(path) => {
            let mut file = std::fs::File::create_new(path)
                .with_context(|| format!("cannot make {}", path.display()))
                .map_err(Failure::usage)?;
            file.write_all(proof.as_bytes())
                .map_err(Failure::could_not_check)?;
        }
    }
    Ok(Exit::Intact)
}

fn organization_of(config: &Config, entry: i64) -> anyhow::Result<i64> {
    let url = config
        .qwed_url()
        .context("which QWED database? Set qwed.database_url, or give --org")?;
    let url: DatabaseUrl = url.expose().parse()?;
    let mut reader = Database::open(&url)?.reader()?;
    let row = reader.entry(entry)?;
    let id = row.and_then(|row| row.row().organization_id.integer());
    id.ok_or_else(|| {
        AnchorError::Unknown(format!(
            "QWED's database has no entry {entry}; if it was removed, give its organisation by --org"
        ))
        .into()
    })
}
