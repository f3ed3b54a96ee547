//! Floor 5: the command line. Parses, calls a service, prints; rules of its own it has none.

mod anchor;
mod anchors;
mod archive;
mod audit;
mod audit_pack;
mod checklist;
mod config;
mod connect;
mod consent;
mod dead;
mod demo;
mod enqueue;
mod erase;
mod events;
mod evidence;
mod export;
mod generate;
mod health;
mod hold;
mod job;
mod jobs;
mod keygen;
mod ledger;
mod letters;
mod migrate;
mod notify;
mod progress;
mod report;
mod run;
mod sample;
mod schedules;
mod schema;
mod store;
mod table;
mod text;
mod token;
mod verify;
mod verify_ledger;
mod wait;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a command ends with. `docs/verification.md` explains the codes to auditors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Nothing speaks against what was checked.
    Intact = 0,
    /// Something was tampered with.
    Tampered = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// Could not check.
    CouldNotCheck = 3,
    /// Nothing speaks against it, but something cannot be verified.
    Incomplete = 4,
    /// Stopped by Ctrl-C or SIGTERM.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command's failure: one line for standard error, and the exit code.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit: Exit::Usage,
            error: error.into(),
        }
    }

    fn interrupted(error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit: Exit::Interrupted,
            error: error.into(),
        }
    }

    fn could_not_check(error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit: Exit::CouldNotCheck,
            error: error.into(),
        }
    }
}

/// Keeps QWED's audit trail verifiable.
#[derive(Debug, Parser)]
#[command(name = "trailkeeper", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Verify the audit trail of a QWED database
    Verify(Box<verify::Arguments>),
    /// Anchor trails, look at anchors, and prove that an entry is anchored
    Anchor(anchor::Arguments),
    /// Check proofs of an anchored trail, offline
    Audit(audit::Arguments),
    /// Make packs for auditors, and check them offline
    AuditPack(audit_pack::Arguments),
    /// Draw entries at random, as packs do, such that anybody draws the same
    #[command(after_help = sample::AFTER)]
    Sample(sample::Arguments),
    /// Make a key that signs anchors
    #[command(after_help = keygen::AFTER)]
    Keygen(keygen::Arguments),
    /// What was done that an auditor asks about: list it, verify it
    Ledger(ledger::Arguments),
    /// Erase data subjects: requests, plans, approvals, certificates
    Erase(Box<erase::Arguments>),
    /// Record who consents to what, and look it up
    Consent(consent::Arguments),
    /// Keep users or organisations from being erased
    Hold(hold::Arguments),
    /// Look at security events that nobody has reviewed, and say that they were
    Events(events::Arguments),
    /// Say of each item of the compliance checklist whether it is fulfilled, and how to fulfil it
    Checklist(checklist::Arguments),
    /// Look at schedules, pause them or run one now
    Schedules(schedules::Arguments),
    /// Queue a job
    Enqueue(Box<enqueue::Arguments>),
    /// Look at jobs, cancel them or try them again
    Jobs(jobs::Arguments),
    /// Look at dead jobs and messages, run them again or delete them
    Dead(dead::Arguments),
    /// List the kinds of jobs, or print the JSON Schema of a kind's payload
    Schema(schema::Arguments),
    /// Look at channels of notifications, and try one
    Notify(notify::Arguments),
    /// Make tokens for operators of the HTTP interface
    Token(token::Arguments),
    /// Bring the tables of the state database up to date
    #[command(after_help = migrate::AFTER)]
    Migrate(config::Input),
    /// Give people what is held about them, and auditors what was recorded
    Export(export::Arguments),
    /// Make evidence for auditors, and look at it
    Report(report::Arguments),
    /// Look after the store of objects that are written once
    Archive(archive::Arguments),
    /// Check the configuration, or show which one is in force
    Config(config::Arguments),
    /// Run the worker: take jobs from schedules, RabbitMQ and the command line until stopped
    Run(run::Arguments),
    /// Ask a worker on this machine whether it lives, or is ready
    #[command(after_help = health::AFTER)]
    Health(health::Arguments),
    /// Make manual pages and completions, for packages
    #[command(hide = true)]
    Generate(generate::Arguments),
    /// See the worker at work on a small sample of a QWED database
    Demo(demo::Arguments),
}

/// Runs the command that the program was called with.
pub fn run() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Anchor(arguments) => anchor::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::AuditPack(arguments) => audit_pack::run(&arguments),
        Command::Sample(arguments) => sample::run(&arguments),
        Command::Keygen(arguments) => keygen::run(&arguments),
        Command::Ledger(arguments) => ledger::run(&arguments),
        Command::Erase(arguments) => erase::run(&arguments),
        Command::Consent(arguments) => consent::run(&arguments),
        Command::Hold(arguments) => hold::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Events(arguments) => events::run(&arguments),
        Command::Checklist(arguments) => checklist::run(&arguments),
        Command::Schedules(arguments) => schedules::run(&arguments),
        Command::Enqueue(arguments) => enqueue::run(*arguments),
        Command::Jobs(arguments) => jobs::run(&arguments),
        Command::Dead(arguments) => dead::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Notify(arguments) => notify::run(&arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Migrate(input) => migrate::run(&input),
        Command::Export(arguments) => export::run(&arguments),
        Command::Archive(arguments) => archive::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Health(arguments) => health::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(Failure { exit, error }) => {
            // The whole chain on one line; a reader that has gone away cannot be told either.
            let _ = writeln!(anstream::stderr(), "trailkeeper: {error:#}");
            exit.into()
        }
    }
}

#[cfg(test)]
#[path = "runbooks_tests.rs"]
mod runbooks_tests;
