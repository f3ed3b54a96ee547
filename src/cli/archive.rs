//! `trailkeeper archive`.

mod backups;
mod drill;
mod prune;
mod recovery;
mod restart;

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use clap::{Args, Subcommand};

use super::{
    Exit, Failure,
    config::Input,
    table::{Cell, table, visible},
    verify::{Format, print, print_json},
};
use crate::{
    config::{Config, Environment},
    objects::{
        Protection, Vault, VaultError,
        doctor::{self, Report, Status, Verdict},
    },
};

/// What `archive` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Archive what is new, now
    #[command(after_help = backups::AFTER)]
    Create(Input),
    /// List backups, the newest first
    List(Input),
    /// Read the whole archive and compare it with its signed manifests
    #[command(after_help = backups::AFTER)]
    Verify(Input),
    /// Restore the archive into an empty database
    #[command(after_help = backups::AFTER)]
    Restore(backups::Restore),
    /// Prove that the archive can be restored: into a scratch database, compared with anchors and the live trail
    #[command(after_help = drill::AFTER)]
    Drill(Input),
    /// After a change of the key-encryption key: wrap all data keys with the new one
    #[command(after_help = backups::AFTER)]
    Rewrap(backups::Rewrap),
    /// List what is over and no restore needs, and remove it
    #[command(after_help = prune::AFTER)]
    Prune(prune::Prune),
    /// After a loss of the state database: put exported data keys back into it
    #[command(after_help = recovery::AFTER)]
    RecoverKeys(recovery::RecoverKeys),
    /// Begin a new archive where there is none, and forget the one before
    #[command(after_help = restart::AFTER)]
    Restart(restart::Restart),
    /// Prove what protects the objects: put one, read it back and try to delete it
    #[command(after_help = AFTER)]
    Doctor(Input),
}

const AFTER: &str = "\
Leaves a small object under canary/ behind, locked for a day. A lifecycle rule of the bucket may remove what is older there.

Exit codes:
  0  objects are protected as configured
  1  something is not protected as configured
  2  wrong usage or configuration
  3  could not check";

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::Create(input) => backups::create(input),
        Command::List(input) => backups::list(input),
        Command::Verify(input) => backups::verify(input),
        Command::Restore(arguments) => backups::restore(arguments),
        Command::Drill(input) => drill::run(input),
        Command::Rewrap(arguments) => backups::rewrap(arguments),
        Command::Prune(arguments) => prune::run(arguments),
        Command::RecoverKeys(arguments) => recovery::recover(arguments),
        Command::Restart(arguments) => restart::run(arguments),
        Command::Doctor(input) => doctor(input),
    }
}

fn doctor(input: &Input) -> Result<Exit, Failure> {
    let environment = Environment::of_process();
    let config = Config::load(input.config.as_deref(), &environment).map_err(Failure::usage)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::could_not_check)?;
    let report = runtime.block_on(async {
        let vault = Vault::open(&config)?;
        Ok(doctor::examine(&vault).await)
    });
    let mut report = report.map_err(|error: VaultError| Failure::could_not_check(error))?;
    report.checks.push(recovery::check(&config));
    match input.format {
        Format::Json => print_json(&report)?,
        Format::Text => print(|out| write_text(out, &report))?,
    }
    Ok(match report.verdict {
        Verdict::Protected => Exit::Intact,
        Verdict::NotProtected => Exit::Tampered,
        Verdict::CouldNotCheck => Exit::CouldNotCheck,
    })
}

fn write_text(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let shown = |status| match status {
        Status::Ok => ("ok", AnsiColor::Green.on_default()),
        Status::Failed => ("failed", AnsiColor::Red.on_default()),
        Status::NotApplicable => ("-", Style::new().dimmed()),
        Status::Unknown => ("unknown", AnsiColor::Yellow.on_default()),
    };
    writeln!(out, "{}", visible(&report.location))?;
    let rows = report.checks.iter().map(|check| {
        let (word, style) = shown(check.status);
        let detail = Cell::from(&check.detail);
        [check.name.into(), Cell::styled(word, style), detail]
    });
    let rows: Vec<_> = rows.collect();
    table(out, ["CHECK", "STATUS", "DETAIL"], &rows)?;
    let verdict = match report.verdict {
        Verdict::Protected => match report.protection {
            Protection::ObjectLock => "objects are protected as configured",
            Protection::Policy { because } | Protection::None { because } => because,
        },
        Verdict::NotProtected => "objects are NOT protected as configured",
        Verdict::CouldNotCheck => "could not check whether objects are protected",
    };
    writeln!(out, "\n{verdict}")?;
    let mut remedies: Vec<&str> = Vec::new();
    for remedy in report.checks.iter().filter_map(|check| check.remedy) {
        if !remedies.contains(&remedy) {
            remedies.push(remedy);
            writeln!(out, "  {remedy}")?;
        }
    }
    Ok(())
}
