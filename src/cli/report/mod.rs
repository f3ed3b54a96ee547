//! `trailkeeper report`.

mod render;

use clap::{Args, Subcommand};

use super::{Exit, Failure};

/// What `report` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a report that was kept as JSON in a form for people
    #[command(after_help = render::AFTER)]
    Render(render::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::Render(arguments) => render::run(arguments),
    }
}
