//! `trailkeeper keygen`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    Exit, Failure,
    text::FAINT,
    verify::{Format, print, print_json},
};
use crate::checkpoint::note::SecretKey;

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
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut seed[..])
        .map_err(|error| anyhow::anyhow!("the system gives no random numbers: {error}"))
        .map_err(Failure::could_not_check)?;
    let secret = SecretKey::from_seed(&arguments.name, &seed)
        .with_context(|| format!("--name {:?}", arguments.name))
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
    let secret_file = create(&arguments.out, 0o600)?;
    let written = write_keys(secret_file, arguments, secret, public);
    if written.is_err() {
        // It was made a moment ago, by this call.
        let _ = fs::remove_file(&arguments.out);
    }
    written
}

/// Makes the second file before anything is written, so that it is known by then that both can be made.
fn write_keys(
    mut secret_file: File,
    arguments: &Arguments,
    secret: &SecretKey,
    public: &str,
) -> Result<(), Failure> {
    let public_path = arguments.public.as_deref();
    let public_file = public_path.map(|path| create(path, 0o644)).transpose()?;
    let text = Zeroizing::new(format!("{}\n", *secret.to_text()));
    write(&mut secret_file, &arguments.out, text.as_bytes())?;
    if let (Some(mut file), Some(path)) = (public_file, public_path) {
        write(&mut file, path, public.as_bytes())?;
    }
    Ok(())
}

fn create(path: &Path, mode: u32) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    let made = options.write(true).create_new(true).mode(mode).open(path);
    made.map_err(|error| {
        let exists = error.kind() == io::ErrorKind::AlreadyExists;
        let path = path.display();
        if exists {
            let hint = "a key is never overwritten; give another name, or move that file away";
            return Failure::usage(anyhow::anyhow!("{path} exists already: {hint}"));
        }
        Failure::could_not_check(anyhow::Error::new(error).context(format!("cannot make {path}")))
    })
}

fn write(file: &mut File, path: &Path, content: &[u8]) -> Result<(), Failure> {
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {}", path.display()))
        .map_err(Failure::could_not_check)
}
