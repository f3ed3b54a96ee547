//! `trailkeeper audit`: what an auditor checks offline, without QWED's database and without its secret.

mod entry_file;
mod verify;

use clap::{Args, Subcommand};

use super::{Exit, Failure};

/// What `audit` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check offline that one entry is in an anchored trail
    #[command(after_help = verify::AFTER)]
    Verify(verify::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::Verify(arguments) => verify::run(arguments),
    }
}
