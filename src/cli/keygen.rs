//! `trailkeeper keygen`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    Exit, Failure,
    text::FAINT,
    verify::{Format, print, print_json},
};
use crate::{anchor, checkpoint::note::SecretKey, private};

pub(super) const AFTER: &str = "\
Exit codes:
  0    the key was made
  2    wrong usage, or one of the files exists: a key is never overwritten
  3    a file could not be written

Whoever has the secret key can sign anchors, so keep a copy where QWED's operators cannot reach it. Auditors need only the \
public key.";

/// What `keygen` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Name of the key, best a URL of yours without scheme; 1 to 255 bytes without spaces and '+'
    #[arg(long, value_name = "ORIGIN", default_value = "trailkeeper")]
    name: String,
    /// New file for the secret key, which only its owner may read
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// New file for the public key
    #[arg(long, value_name = "FILE")]
    public: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// What is told of the new key.
#[derive(Serialize)]
struct Document<'k> {
    name: &'k str,
    id: String,
    public_key: String,
    secret_key_file: &'k Path,
    public_key_file: Option<&'k Path>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let secret = anchor::generate_key(&arguments.name)
        .map_err(|problem| anyhow::anyhow!("--name {:?}: {problem}", arguments.name))
        .map_err(Failure::usage)?;
    let verifier = secret.verifier();
    let public = arguments.public.as_deref();
    write_both(arguments, &secret, &format!("{verifier}\n"))?;
    match arguments.format {
        Format::Json => print_json(&Document {
            name: verifier.name(),
            id: verifier.id().to_string(),
            public_key: verifier.to_string(),
            secret_key_file: &arguments.out,
            public_key_file: public,
        })?,
        Format::Text => print(|out| {
            writeln!(out, "public key  {verifier}")?;
            let secret = arguments.out.display();
            writeln!(
                out,
                "secret key  {FAINT}in {secret}, which only its owner can read{FAINT:#}"
            )
        })?,
    }
    Ok(Exit::Intact)
}

/// Leaves nothing behind where a file cannot be written.
fn write_both(arguments: &Arguments, secret: &SecretKey, public: &str) -> Result<(), Failure> {
    let text = Zeroizing::new(format!("{}\n", *secret.to_text()));
    let secret_path = &arguments.out;
    // A directory that is not there is a slip of the pen, and is not made.
    let directory = secret_path.parent().filter(|it| !it.as_os_str().is_empty());
    if let Some(directory) = directory {
        fs::metadata(directory).map_err(|error| refused(secret_path, error))?;
    }
    private::create_file(secret_path, text.as_bytes())
        .map_err(|error| refused(secret_path, error))?;
    let Some(path) = &arguments.public else {
        return Ok(());
    };
    let written = File::create_new(path).and_then(|mut file| {
        file.write_all(public.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| {
        // It was made a moment ago, by this call.
        let _ = fs::remove_file(secret_path);
        refused(path, error)
    })
}

fn refused(path: &Path, error: io::Error) -> Failure {
    let exists = error.kind() == io::ErrorKind::AlreadyExists;
    let path = path.display();
    if exists {
        let hint = "a key is never overwritten; give another name, or move that file away";
        return Failure::usage(anyhow::anyhow!("{path} exists already: {hint}"));
    }
    Failure::could_not_check(anyhow::Error::new(error).context(format!("cannot make {path}")))
}
