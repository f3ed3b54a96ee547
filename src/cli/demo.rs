//! `trailkeeper demo`: a first look, with nothing to set up.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::{Exit, Failure, text, verify::print};
use crate::{
    clock::Clock,
    demo,
    qwed::{Database, url::DatabaseUrl},
    trail::keys::{Key, KeyRing},
    verify::{self, Options, Scope, progress::Progress},
};

/// What `demo` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where to make the sample; a sample that is there is made anew [default: a directory for temporary files]
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let directory = arguments
        .directory
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join("trailkeeper-demo"));
    let path = directory.join("trailkeeper-demo.db");
    let started = Clock.now();
    demo::make_sample(&path, started).map_err(Failure::could_not_check)?;
    let path = std::path::absolute(&path).map_err(Failure::could_not_check)?;
    print(|out| {
        writeln!(
            out,
            "Made a sample QWED database, {}, and tampered with one entry:",
            path.display()
        )?;
        for what in demo::TAMPERING {
            writeln!(out, "  {what}")?;
        }
        writeln!(
            out,
            "\nEach organisation has {} API keys:",
            demo::KEYS.len()
        )?;
        for what in demo::KEYS {
            writeln!(out, "  {what}")?;
        }
        writeln!(out, "\nWhat trailkeeper finds:\n")
    })?;
    let ring = Arc::new(KeyRing::new(vec![Key::new("demo", demo::KEY.as_bytes())]));
    let database =
        Database::open(&DatabaseUrl::Sqlite(path.clone())).map_err(Failure::could_not_check)?;
    let started = Clock.now();
    let progress = Progress::default();
    let (scope, options) = (Scope::default(), Options::default());
    let mut report = verify::verify(&database, &ring, &scope, &options, &progress)
        .map_err(Failure::could_not_check)?;
    report.set_times(started, Clock.now());
    print(|out| {
        text::report(out, &report)?;
        writeln!(
            out,
            "\nTo try it yourself:\n\n  export QWED_AUDIT_SECRET_KEY={}\n  trailkeeper verify --database sqlite:///{}",
            demo::KEY,
            path.display()
        )
    })?;
    Ok(Exit::Intact)
}
