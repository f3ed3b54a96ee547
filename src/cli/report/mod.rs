//! `trailkeeper report`.

mod render;
mod show;
mod soc2;

use clap::{Args, Subcommand};

pub(super) use soc2::write_report;

use super::{Exit, Failure};

/// What `report` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make SOC 2 evidence reports now, and keep them
    #[command(after_help = soc2::AFTER)]
    Soc2(soc2::Arguments),
    /// List the reports that were kept, the newest first
    List(show::List),
    /// Show a report that was kept
    Show(show::Show),
    /// Write a report that was kept as JSON in a form for people
    #[command(after_help = render::AFTER)]
    Render(render::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::Soc2(arguments) => soc2::run(arguments),
        Command::List(arguments) => show::list(arguments),
        Command::Show(arguments) => show::show(arguments),
        Command::Render(arguments) => render::run(arguments),
    }
}
