//! `trailkeeper audit-pack`: makes packs for auditors, and checks them offline.

mod make;
mod verify;

use clap::{Args, Subcommand};

use super::{Exit, Failure};

/// What `audit-pack` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Put a report, what it rests on, and proofs into one zip
    #[command(after_help = make::AFTER)]
    Make(Box<make::Arguments>),
    /// Check a pack offline
    #[command(after_help = verify::AFTER)]
    Verify(verify::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::Make(arguments) => make::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
    }
}
