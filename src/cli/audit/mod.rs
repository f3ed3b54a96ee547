//! `trailkeeper audit`: what an auditor checks offline, without QWED's database and without its secret.

mod certificate;
mod entry_file;
mod verify;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::{Exit, Failure};
use crate::checkpoint::note::{Note, VerifierKey};

/// Larger files are none that this program made.
const MAX_FILE_BYTES: u64 = 256 << 20;

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
    /// Check offline the certificate of an erasure, and say what it says
    #[command(after_help = certificate::AFTER)]
    Certificate(certificate::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::Verify(arguments) => verify::run(arguments),
        Command::Certificate(arguments) => certificate::run(arguments),
    }
}

pub(super) fn public_keys(arguments: &[String]) -> Result<Vec<VerifierKey>, Failure> {
    arguments.iter().map(|key| public_key(key)).collect()
}

/// Which of the keys signed, as they are named in a result.
fn signers(note: &Note, keys: &[VerifierKey]) -> Vec<String> {
    keys.iter()
        .filter(|key| note.verify(std::slice::from_ref(key)).is_ok())
        .map(|key| format!("{} ({})", key.name(), key.id()))
        .collect()
}

fn public_key(argument: &str) -> Result<VerifierKey, Failure> {
    let (text, whence) = match argument.strip_prefix('@') {
        Some(path) => (read(Path::new(path))?, format!("--public-key @{path}")),
        // Not quoted: it may be a secret key by mistake.
        None => (argument.to_owned(), "--public-key".to_owned()),
    };
    let parsed = text.trim_end_matches('\n').parse::<VerifierKey>();
    parsed.context(whence).map_err(Failure::usage)
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text))
        .map_err(anyhow::Error::new)
        .and_then(|length| {
            let is_bounded = length as u64 <= MAX_FILE_BYTES;
            anyhow::ensure!(is_bounded, "it has over {} MiB", MAX_FILE_BYTES >> 20);
            Ok(())
        })
        .with_context(|| format!("cannot read {}", path.display()))
        .map_err(Failure::could_not_check)?;
    Ok(text)
}
