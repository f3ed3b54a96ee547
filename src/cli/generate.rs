//! `trailkeeper generate`: what a package brings along beside the program, made of the same description of the command line.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, CommandFactory, Subcommand};
use clap_complete::Shell;

use super::{Exit, Failure, verify::print};

/// What `generate` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the manual pages of all commands
    Man {
        /// Directory, which has to be there
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Print what completes commands in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let mut program = super::Arguments::command();
    match &arguments.command {
        Command::Man { directory } => {
            clap_mangen::generate_to(program, directory)
                .with_context(|| format!("cannot write manual pages to {}", directory.display()))
                .map_err(Failure::could_not_check)?;
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            let name = program.get_name().to_owned();
            clap_complete::generate(*shell, &mut program, name, &mut script);
            print(|out| out.write_all(&script))?;
        }
    }
    Ok(Exit::Intact)
}
