//! `trailkeeper export`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use tokio::runtime::Handle;

use super::{
    Exit, Failure,
    anchors::runtime,
    config::Input,
    evidence,
    ledger::note_export,
    progress::watch,
    store::{load, qwed_url},
    table::{table, visible},
    text::FAINT,
    verify::{Format, print, print_json},
};
use crate::{
    anchor,
    clock::Clock,
    config::Config,
    export::{self, Asked, ExportError, Made, Notice, OwnRecords, Source, Target},
    jobs::own_records,
    ledger::Act,
    progress::Progress,
    state::{Found, Store, masked},
};

const AFTER: &str = "\
The zip has what QWED's tables say about the user or the organisation, and the consents, requests for erasure and legal holds of the \
state database: README.html to read, CSV tables, data.json, and a manifest with checksums. Password and key hashes are never in it. It holds personal data in the clear: only its owner may read the file.

Exit codes:
  0    exported
  2    wrong usage or configuration: no such user in this organisation, an address that several users have or that is none, or \
a file that exists
  3    the database cannot be read, or the file not be written
  130  interrupted";

/// What `export` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write what is held about a user, or about a whole organisation, to a zip (GDPR Art. 15 and 20)
    #[command(after_help = AFTER)]
    Subject(SubjectArguments),
    /// Write an organisation's audit trail, or its security events, as CSV for auditors
    #[command(after_help = evidence::AFTER)]
    Evidence(evidence::Arguments),
}

#[derive(Debug, Args)]
struct SubjectArguments {
    /// The organisation
    #[arg(long = "org", value_name = "ID")]
    organization: i64,
    #[command(flatten)]
    asked: AskedArguments,
    /// New file for the zip
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// QWED's database, as in QWED's own DATABASE_URL [default: configuration, then DATABASE_URL]
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    #[command(flatten)]
    input: Input,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct AskedArguments {
    /// The user, by id
    #[arg(long, value_name = "ID")]
    user: Option<i64>,
    /// The user, by e-mail address
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Everything about the organisation and its users
    #[arg(long)]
    all: bool,
}

impl AskedArguments {
    fn asked(&self) -> Asked {
        match (self.user, &self.email) {
            (Some(id), _) => Asked::User(id),
            (None, Some(email)) => Asked::Email(email.clone()),
            (None, None) => Asked::Organization,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::Subject(arguments) => subject(arguments),
        Command::Evidence(arguments) => evidence::run(arguments),
    }
}

fn subject(arguments: &SubjectArguments) -> Result<Exit, Failure> {
    let SubjectArguments { input, out, .. } = arguments;
    let config = load(input.config.as_deref())?;
    let url = qwed_url(arguments.database.as_deref(), &config).map_err(Failure::usage)?;
    // Before anything is made: whoever has the key wants the entry.
    let key = anchor::load_key(&config.anchor_key_file()).map_err(Failure::could_not_check)?;
    let asked = arguments.asked.asked();
    let resolved = export::resolve(&url, arguments.organization, &asked);
    let target = resolved
        .map_err(Failure::could_not_check)?
        .map_err(Failure::usage)?;
    // Its connections go on while this thread waits for them.
    let runtime = runtime().map_err(Failure::could_not_check)?;
    let own = runtime.block_on(own_records(&config, &target, runtime.handle()));
    let own = own.map_err(Failure::could_not_check)?;
    let is_without = own.is_none();
    let mut own = own.unwrap_or_default();
    let progress = Arc::new(Progress::default());
    let watching = watch(&progress, input.format == Format::Text);
    let source = Source {
        url: &url,
        target: &target,
        notice: &Notice::from(&config.export),
        made_at: Clock.now(),
    };
    let made = export::to_file(source, &mut own, out, &progress);
    drop(watching);
    let made = made.map_err(|error| match error {
        ExportError::Interrupted => Failure::interrupted(error),
        ExportError::Exists(_) => Failure::usage(error),
        _ => Failure::could_not_check(error),
    })?;
    if is_without {
        // There may be one that this machine does not know.
        eprintln!(
            "not in it: consents, requests for erasure and legal holds, as there is no state database {}",
            masked(config.state_url().expose())
        );
    }
    note_export(&config, key.as_ref(), "export subject", Act::Export, &made)?;
    match input.format {
        Format::Json => print_json(&made)?,
        Format::Text => print_text(arguments, &made)?,
    }
    Ok(Exit::Intact)
}

/// What our own database holds about the target; `None` where there is none yet, which is not made for it.
async fn own_records(
    config: &Config,
    target: &Target,
    handle: &Handle,
) -> anyhow::Result<Option<Vec<Box<dyn OwnRecords>>>> {
    let url = config.state_url();
    if let Found::NoFile | Found::Database { applied: 0, .. } = Store::look(url.expose()).await? {
        return Ok(None);
    }
    let store = Store::open(url.expose(), config.state.max_connections).await?;
    store.prepare().await?;
    Ok(Some(own_records::about(
        target,
        &store,
        handle,
        Clock.now(),
    )))
}

fn print_text(arguments: &SubjectArguments, made: &Made) -> Result<(), Failure> {
    print(|out| {
        let path = arguments.out.display().to_string();
        writeln!(
            out,
            "{} records in {} ({} bytes)",
            made.records,
            visible(&path),
            made.size_bytes
        )?;
        writeln!(out, "{FAINT}sha256 {}{FAINT:#}", made.sha256)?;
        if !made.organization_is_active {
            writeln!(
                out,
                "the organisation is not active; its data are exported all the same"
            )?;
        }
        let rows = made.tables.iter();
        let rows: Vec<_> = rows
            .map(|(name, records)| [name.as_str().into(), records.to_string().into()])
            .collect();
        table(out, ["DATA", "RECORDS"], &rows)
    })
}
