//! `trailkeeper audit-pack verify`.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::super::{
    Exit, Failure,
    audit::public_keys,
    table::visible,
    text::{BAD, DOUBTFUL, FAINT, GOOD},
    verify::{Format, print, print_json},
};
use crate::pack::{self, Check, Outcome, Verified};

pub(super) const AFTER: &str = "\
Exit codes:
  0    the pack is as one of the keys signed it, its parts agree, and its sample is proven
  1    disproved: something was changed, removed or added, or parts contradict each other
  2    wrong usage
  3    could not check: a file that cannot be read or is no pack, or a pack that none of the keys signed
  4    nothing speaks against it, but something stays open: no key was given, or there is no anchor or log in the pack

Nothing else is read: no database, no configuration, no secret. Nothing is extracted.";

/// What `audit-pack verify` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The pack
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Public key that signs the anchors, or @FILE with it, from elsewhere than the pack; may be repeated
    #[arg(long = "key", visible_alias = "public-key", value_name = "KEY|@FILE")]
    keys: Vec<String>,
    /// How to print the result
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let keys = public_keys(&arguments.keys)?;
    let path = arguments.file.display();
    let file = File::open(&arguments.file).with_context(|| format!("cannot read {path}"));
    let verified = pack::verify(file.map_err(Failure::could_not_check)?, &keys);
    let verified = verified
        .with_context(|| format!("cannot check {path}"))
        .map_err(Failure::could_not_check)?;
    match arguments.format {
        Format::Json => print_json(&verified)?,
        Format::Text => print(|out| write_text(out, &verified))?,
    }
    Ok(match verified.outcome {
        Outcome::Passed => Exit::Intact,
        Outcome::Open => Exit::Incomplete,
        Outcome::Failed => Exit::Tampered,
    })
}

fn write_text(out: &mut dyn Write, verified: &Verified) -> io::Result<()> {
    for Check {
        outcome, detail, ..
    } in &verified.checks
    {
        let (style, word) = match outcome {
            Outcome::Passed => (GOOD, "passed"),
            Outcome::Open => (DOUBTFUL, "open"),
            Outcome::Failed => (BAD, "FAILED"),
        };
        let room = "not proved".len() - word.len();
        writeln!(
            out,
            "{style}{word}{style:#}{:room$}  {}",
            "",
            visible(detail)
        )?;
    }
    for note in &verified.notes {
        writeln!(out, "{DOUBTFUL}note{DOUBTFUL:#}        {}", visible(note))?;
    }
    for line in &verified.not_proved {
        writeln!(out, "{FAINT}not proved{FAINT:#}  {line}")?;
    }
    match verified.outcome {
        Outcome::Passed => writeln!(out, "{GOOD}GENUINE{GOOD:#}"),
        Outcome::Open => writeln!(
            out,
            "{DOUBTFUL}OPEN{DOUBTFUL:#}: nothing speaks against it, and something cannot be decided from it"
        ),
        Outcome::Failed => writeln!(out, "{BAD}DISPROVED{BAD:#}"),
    }
}
