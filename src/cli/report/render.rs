//! `trailkeeper report render`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};

use crate::cli::{Exit, Failure};
use crate::private;
use crate::report::{model::Report, render};

pub(super) const AFTER: &str = "\
Nothing is computed: what the JSON says is shown, and nobody vouches here for that it is what was reported. The same report gives \
the same bytes each time.

In CSV a text that a spreadsheet could take for a formula has an apostrophe in front, as has a text that begins with one.

Exit codes:
  0  written
  2  wrong usage, no such report, or a file that exists
  3  a file could not be written";

/// What `render` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The report, as JSON
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The form
    #[arg(long, value_enum)]
    format: Rendering,
    /// New file; for csv a directory, in which each table gets one
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Rendering {
    /// One file that needs no network
    Html,
    /// Tagged PDF (PDF/A-2a, PDF/UA-1)
    Pdf,
    /// Each table that a control has
    Csv,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let report = read(&arguments.input).map_err(Failure::usage)?;
    let output = &arguments.output;
    match arguments.format {
        Rendering::Html => write(output, render::html(&report).as_bytes())?,
        Rendering::Pdf => {
            let pdf = render::pdf(&report).map_err(Failure::could_not_check)?;
            write(output, &pdf)?;
        }
        Rendering::Csv => {
            for (name, table) in render::csv_files(&report) {
                let mut csv = Vec::new();
                render::csv(table, &mut csv).map_err(Failure::could_not_check)?;
                write(&output.join(name), &csv)?;
            }
        }
    }
    Ok(Exit::Intact)
}

fn read(path: &Path) -> anyhow::Result<Report> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no report", path.display()))
}

/// Only its owner may read it: populations name users.
fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    private::create_file(path, content).map_err(|error| {
        let is_usage = error.kind() == ErrorKind::AlreadyExists;
        let error = anyhow::Error::new(error).context(format!("cannot write {}", path.display()));
        match is_usage {
            true => Failure::usage(error),
            false => Failure::could_not_check(error),
        }
    })
}
