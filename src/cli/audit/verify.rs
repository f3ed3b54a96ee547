//! `trailkeeper audit verify`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::super::{
    Exit, Failure,
    text::{BAD, FAINT, GOOD},
    verify::{Format, print, print_json},
};
use super::{
    entry_file::{self, Entry, EntryLeaf},
    public_keys, read, signers,
};
use crate::checkpoint::{
    leaf::LeafKind,
    note::{VerifierKey, VerifyError},
    proof::{InclusionProof, ProofError},
    tree_head::{Checkpoint, OpenError},
};

pub(super) const AFTER: &str = "\
The entry file is the entry's row of verificationlog as a JSON object, every column a key, texts as they are stored. An object \
with only id, kind (sealed, legacy or raw) and hash does as well, but then the content is not checked.

Exit codes:
  0    proven
  1    disproved: the content was changed, or the trail does not hold the entry, or a signature is forged
  2    wrong usage
  3    could not check: a file that cannot be read, or a proof that none of the keys signed

Nothing else is read: no database, no configuration, no secret.";

/// What `audit verify` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// File with the entry, as JSON
    #[arg(long, value_name = "FILE")]
    entry_file: PathBuf,
    /// File with the proof (C2SP tlog-proof)
    #[arg(long, value_name = "FILE")]
    proof: PathBuf,
    /// Public key that signs the anchors, or @FILE with it; may be repeated
    #[arg(long = "public-key", value_name = "KEY|@FILE", required = true)]
    public_keys: Vec<String>,
    /// How to print the result
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Document {
    proven: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<EntryDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<CheckpointDocument>,
    proved: Vec<String>,
    not_proved: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct EntryDocument {
    id: i64,
    kind: &'static str,
    hash: String,
    content_checked: bool,
    index: u64,
}

#[derive(Debug, Serialize)]
struct CheckpointDocument {
    origin: String,
    size: u64,
    root: String,
    time: Option<String>,
    anchor: Option<u64>,
    head_id: Option<i64>,
    signed_by: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let keys = public_keys(&arguments.public_keys)?;
    let proof_path = &arguments.proof;
    let proof: InclusionProof = read(proof_path)?
        .parse()
        .with_context(|| format!("{} is not a proof", proof_path.display()))
        .map_err(Failure::could_not_check)?;
    let entry_path = &arguments.entry_file;
    let entry = entry_file::read(&read(entry_path)?)
        .with_context(|| format!("cannot read the entry in {}", entry_path.display()))
        .map_err(Failure::could_not_check)?;
    let document = match entry {
        Entry::Changed(reason) => disproved(reason),
        Entry::Sound(entry) => check(&entry, &proof, &keys)?,
    };
    match arguments.format {
        Format::Json => print_json(&document)?,
        Format::Text => print(|out| text(out, &document))?,
    }
    Ok(if document.proven {
        Exit::Intact
    } else {
        Exit::Tampered
    })
}

fn check(
    entry: &EntryLeaf,
    proof: &InclusionProof,
    keys: &[VerifierKey],
) -> Result<Document, Failure> {
    match proof.verify(&entry.leaf_hash(), keys) {
        Ok(checkpoint) => Ok(proven(entry, proof, &checkpoint, keys)),
        Err(error @ ProofError::Hashes(_)) => Ok(disproved(format!(
            "entry {} is not number {} of the anchored trail: {error}",
            entry.id,
            proof.index.saturating_add(1)
        ))),
        Err(error @ ProofError::Checkpoint(OpenError::Signature(VerifyError::Forged { .. }))) => {
            Ok(disproved(error.to_string()))
        }
        Err(error) => Err(Failure::could_not_check(
            anyhow::Error::new(error).context("the proof's checkpoint cannot be trusted"),
        )),
    }
}

fn proven(
    entry: &EntryLeaf,
    proof: &InclusionProof,
    checkpoint: &Checkpoint,
    keys: &[VerifierKey],
) -> Document {
    let id = entry.id;
    let mut proved = Vec::new();
    let mut not_proved = Vec::new();
    let is_sealed = entry.kind == LeafKind::Sealed;
    match (entry.is_computed, is_sealed) {
        (true, true) => proved.push(format!(
            "the content of entry {id} hashes to its entry_hash"
        )),
        (true, false) => proved.push(format!(
            "entry {id} has no hash; its content was hashed instead"
        )),
        (false, _) => not_proved.push("the entry's content: only its hash was given"),
    }
    let Checkpoint { origin, size, .. } = checkpoint;
    let place = proof.index + 1;
    proved.push(format!(
        "entry {id} is number {place} of {size} in the trail {origin}"
    ));
    let signers = signers(&proof.checkpoint, keys);
    let time = checkpoint.time.map(|time| time.to_string());
    let when = time
        .as_ref()
        .map_or(String::new(), |time| format!(" at {time}"));
    proved.push(format!(
        "{} signed that trail's root{when}",
        signers.join(" and ")
    ));
    if is_sealed {
        not_proved.push("the entry's HMAC signature: that needs QWED's secret");
    }
    not_proved.push("whether what was recorded is what happened, nor anything about later entries");
    Document {
        proven: true,
        reason: None,
        entry: Some(EntryDocument {
            id,
            kind: entry.kind.name(),
            hash: entry.hash.clone(),
            content_checked: entry.is_computed,
            index: proof.index,
        }),
        checkpoint: Some(CheckpointDocument {
            origin: origin.clone(),
            size: *size,
            root: checkpoint.root.to_string(),
            time,
            anchor: checkpoint.anchor,
            head_id: checkpoint
                .head
                .as_ref()
                .and_then(|head| Some(head.as_ref()?.id)),
            signed_by: signers,
        }),
        proved,
        not_proved,
    }
}

fn disproved(reason: String) -> Document {
    Document {
        proven: false,
        reason: Some(reason),
        entry: None,
        checkpoint: None,
        proved: Vec::new(),
        not_proved: Vec::new(),
    }
}

fn text(out: &mut dyn Write, document: &Document) -> std::io::Result<()> {
    for line in &document.proved {
        writeln!(out, "{GOOD}proved{GOOD:#}      {line}")?;
    }
    for line in &document.not_proved {
        writeln!(out, "{FAINT}not proved{FAINT:#}  {line}")?;
    }
    match &document.reason {
        Some(reason) => writeln!(out, "{BAD}DISPROVED{BAD:#}: {reason}"),
        None => writeln!(out, "{GOOD}PROVEN{GOOD:#}"),
    }
}
