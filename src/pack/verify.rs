//! Checking a pack, with nothing but the pack and, better, a public key from elsewhere.
//!
//! Checks go from the outside in, and a stage that fails ends them: what is inside then is not what was signed. Tampering is a
//! [`Check`], never an error.

use std::fs::File;

use serde::Serialize;

use super::{PackError, checks, manifest::Manifest, names, unpack::Unpacked};
use crate::checkpoint::note::{Note, VerifierKey, VerifyError};

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckName {
    /// The zip holds what it seems to, and nothing else.
    Zip,
    /// Who signed the manifest.
    Signature,
    /// All files are there, in order, with length and digest as signed, and no others.
    Files,
    /// The report is the one that the manifest names, and its summary counts its controls.
    Report,
    /// OCSF and OSCAL follow from the report.
    Exports,
    /// Tables have as many records as the report lists.
    Tables,
    /// The record of the verification is what the report says of it.
    Verification,
    /// Logs have as many records as was signed.
    Logs,
    /// Both statements of the anchor are signed and agree.
    Anchor,
    /// The sample is the one that its seed draws.
    Sample,
    /// Each entry of the sample is in the anchored trail.
    Proofs,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it has to be.
    Passed,
    /// It cannot be decided from the pack alone.
    Open,
    /// Not as it was made.
    Failed,
}

/// A check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked.
    pub name: CheckName,
    /// How it came out.
    pub outcome: Outcome,
    /// In a sentence.
    pub detail: String,
}

/// What was found out about a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The worst of all checks.
    pub outcome: Outcome,
    /// In their order; none behind one that failed.
    pub checks: Vec<Check>,
    /// Keys that signed the manifest.
    pub signed_by: Vec<String>,
    /// What was signed; none where the signature is forged.
    pub manifest: Option<Manifest>,
    /// What is true and none of the pack's fault: entries of the sample that are no longer as they were anchored.
    pub notes: Vec<String>,
    /// What this does not show.
    pub not_proved: Vec<&'static str>,
}

/// What stands in place of a check's passing.
pub(super) enum Found {
    Passed(String),
    Open(String),
}

/// Checks a pack. Without `keys` it is held to the key that it brings along, and the outcome is [`Outcome::Open`] at best.
/// Blocking.
///
/// # Errors
/// If it is no pack or cannot be read, or none of `keys` signed it.
pub fn verify(file: File, keys: &[VerifierKey]) -> Result<Verified, PackError> {
    let mut verified = Verified {
        outcome: Outcome::Passed,
        checks: Vec::new(),
        signed_by: Vec::new(),
        manifest: None,
        notes: Vec::new(),
        not_proved: vec![
            "that what was recorded is what happened",
            "that the report's other figures are right: each control says how it was obtained, so that it can be asked again",
        ],
    };
    let mut zip = match Unpacked::open(file)? {
        Ok(zip) => {
            let detail = format!("{} files, and not a byte besides", zip.names.len());
            verified.note(CheckName::Zip, Ok(Found::Passed(detail)));
            zip
        }
        Err(problem) => {
            verified.note(CheckName::Zip, Err(problem));
            return Ok(verified);
        }
    };
    let found = signature(&mut zip, keys, &mut verified)?;
    if !verified.note(CheckName::Signature, found) {
        return Ok(verified);
    }
    let Some(manifest) = verified.manifest.clone() else {
        return Ok(verified);
    };
    let signers = signers(&mut zip, keys);
    let mut pack = checks::Pack {
        zip: &mut zip,
        manifest: &manifest,
        keys: &signers,
        notes: Vec::new(),
    };
    for (name, check) in checks::ALL {
        let found = check(&mut pack);
        if !verified.note(name, found) {
            break;
        }
    }
    verified.notes = pack.notes;
    Ok(verified)
}

impl Verified {
    /// Keeps what a check found; whether the next makes sense.
    fn note(&mut self, name: CheckName, found: Result<Found, String>) -> bool {
        let (outcome, detail) = match found {
            Ok(Found::Passed(detail)) => (Outcome::Passed, detail),
            Ok(Found::Open(detail)) => (Outcome::Open, detail),
            Err(detail) => (Outcome::Failed, detail),
        };
        self.outcome = self.outcome.max(outcome);
        self.checks.push(Check {
            name,
            outcome,
            detail,
        });
        outcome != Outcome::Failed
    }
}

fn signature(
    zip: &mut Unpacked,
    keys: &[VerifierKey],
    verified: &mut Verified,
) -> Result<Result<Found, String>, PackError> {
    if !zip.names.iter().any(|name| name == names::MANIFEST) {
        return Err(PackError::NotAPack(format!(
            "it has no {}",
            names::MANIFEST
        )));
    }
    let note = match zip.whole(names::MANIFEST) {
        Ok(note) => note,
        Err(problem) => return Ok(Err(problem)),
    };
    let note = match Note::from_bytes(&note) {
        Ok(note) => note,
        Err(error) => return Ok(Err(format!("the manifest is no signed note: {error}"))),
    };
    let own = match own_key(zip) {
        Ok(own) => own,
        Err(problem) => return Ok(Err(problem)),
    };
    let believed = if keys.is_empty() {
        std::slice::from_ref(&own)
    } else {
        keys
    };
    let signers = match note.verify(believed) {
        Ok(signers) => signers,
        Err(error @ VerifyError::Unknown(_)) if !keys.is_empty() => {
            return Err(PackError::Stranger(error));
        }
        Err(error) => return Ok(Err(error.to_string())),
    };
    if !signers.contains(&&own) {
        return Ok(Err(format!(
            "{} is not the key that signed the manifest",
            names::PUBLIC_KEY
        )));
    }
    let manifest = match Manifest::parse(note.text()) {
        Ok(manifest) => manifest,
        Err(problem) => return Ok(Err(format!("the manifest cannot be used: {problem}"))),
    };
    verified.signed_by = signers
        .iter()
        .map(|key| format!("{} ({})", key.name(), key.id()))
        .collect();
    verified.manifest = Some(manifest);
    let by = verified.signed_by.join(" and ");
    Ok(Ok(if keys.is_empty() {
        Found::Open(format!(
            "signed by {by}, the key that the pack brings along: compare it with one from elsewhere (--key)"
        ))
    } else {
        Found::Passed(format!("signed by {by}"))
    }))
}

/// The keys that anchors are held to.
fn signers(zip: &mut Unpacked, keys: &[VerifierKey]) -> Vec<VerifierKey> {
    match keys {
        [] => own_key(zip).into_iter().collect(),
        keys => keys.to_vec(),
    }
}

fn own_key(zip: &mut Unpacked) -> Result<VerifierKey, String> {
    let bytes = zip.whole(names::PUBLIC_KEY)?;
    let text = String::from_utf8(bytes).map_err(|error| error.to_string())?;
    let key = text.strip_suffix('\n').unwrap_or(&text).parse();
    key.map_err(|error| format!("{} is no public key: {error}", names::PUBLIC_KEY))
}
