//! `trailkeeper audit certificate`.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::{
    super::{
        Exit, Failure,
        table::visible,
        text::{BAD, FAINT, GOOD, count},
        verify::{Format, print, print_json},
    },
    public_keys, read, signers,
};
use crate::{
    checkpoint::note::{Note, VerifyError},
    erasure::certificate::{self, Certificate},
    trail::tombstone::{Seal, Tombstone},
};

pub(super) const AFTER: &str = "\
The certificate is what \"trailkeeper erase certificate\" prints, and the event erasure.completed carries. The tombstones are what \
\"trailkeeper erase tombstones\" prints: one a line, in the order of the ledger.

Exit codes:
  0    one of the keys signed the certificate as it is; and the tombstones, where they were given, are those that it names
  1    disproved: the signature is forged, or the tombstones are others
  2    wrong usage
  3    could not check: a file that cannot be read, or a certificate that none of the keys signed

Nothing else is read: no database, no configuration, no secret.";

/// What `audit certificate` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// File with the certificate
    #[arg(value_name = "FILE")]
    certificate: PathBuf,
    /// Public key that signs the anchors, or @FILE with it; may be repeated
    #[arg(long = "public-key", value_name = "KEY|@FILE", required = true)]
    public_keys: Vec<String>,
    /// File with the tombstones, whose root is computed and compared
    #[arg(long, value_name = "FILE")]
    tombstones: Option<PathBuf>,
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
    signed_by: Vec<String>,
    /// What was signed; nothing where the signature is forged.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Certificate>,
    proved: Vec<String>,
    not_proved: Vec<&'static str>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let keys = public_keys(&arguments.public_keys)?;
    let path = arguments.certificate.display();
    let text = read(&arguments.certificate)?;
    let note = Note::from_bytes(text.as_bytes())
        .with_context(|| format!("{path} is not a certificate"))
        .map_err(Failure::could_not_check)?;
    let document = match note.verify(&keys) {
        Ok(_) => {
            let certificate = certificate::open(&text, &keys)
                .map_err(|why| anyhow::anyhow!("{path} is not a certificate: {why}"))
                .map_err(Failure::could_not_check)?;
            let tombstones = arguments.tombstones.as_ref();
            let lines = tombstones.map(|path| read(path)).transpose()?;
            check(certificate, signers(&note, &keys), lines.as_deref())?
        }
        Err(error @ VerifyError::Forged { .. }) => Document {
            proven: false,
            reason: Some(error.to_string()),
            signed_by: Vec::new(),
            certificate: None,
            proved: Vec::new(),
            not_proved: Vec::new(),
        },
        Err(error) => {
            let error = anyhow::Error::new(error);
            return Err(Failure::could_not_check(
                error.context(format!("{path} cannot be trusted")),
            ));
        }
    };
    match arguments.format {
        Format::Json => print_json(&document)?,
        Format::Text => print(|out| write_document(out, &document))?,
    }
    Ok(if document.proven {
        Exit::Intact
    } else {
        Exit::Tampered
    })
}

fn check(
    certificate: Certificate,
    signed_by: Vec<String>,
    lines: Option<&str>,
) -> Result<Document, Failure> {
    let mut proved = vec![format!(
        "{} signed this certificate",
        signed_by.join(" and ")
    )];
    let mut not_proved = Vec::new();
    let mut reason = None;
    match lines {
        Some(lines) => match compare(&certificate, &parse(lines, &certificate)?) {
            Ok(same) => proved.push(same),
            Err(other) => reason = Some(other),
        },
        None => not_proved.push("which entries were erased: give their tombstones (--tombstones)"),
    }
    not_proved.push(
        "that QWED's database is still as it says: each verification looks for that (trailkeeper verify)",
    );
    Ok(Document {
        proven: reason.is_none(),
        reason,
        signed_by,
        certificate: Some(certificate),
        proved,
        not_proved,
    })
}

/// Each line has to be a tombstone to the byte, as the tree is made of the lines.
fn parse(lines: &str, certificate: &Certificate) -> Result<Vec<Tombstone>, Failure> {
    let parsed = lines.lines().enumerate().map(|(at, line)| {
        let parsed = Tombstone::parse(line, certificate.organization_id);
        parsed.map_err(|_| {
            let number = at + 1;
            Failure::could_not_check(anyhow::anyhow!("line {number} of the tombstones is none"))
        })
    });
    parsed.collect()
}

/// What the tombstones show, or in what they are not those that were signed.
fn compare(certificate: &Certificate, tombstones: &[Tombstone]) -> Result<String, String> {
    let named = &certificate.tombstones;
    let root = certificate::root(tombstones).to_string();
    if root != named.root {
        return Err(format!(
            "these {} are not those that the certificate names: their root is {root}, and the one of its {} is {}",
            count(tombstones.len() as u64, "tombstone"),
            named.count,
            named.root
        ));
    }
    // Signed together with the root; that they do not fit is a certificate that should not have been made.
    let faulty = tombstones.iter().filter(|it| it.seal() == Seal::Failed);
    if (tombstones.len() as u64, faulty.count() as u64) != (named.count, named.faulty) {
        return Err("the certificate counts its tombstones wrongly".to_owned());
    }
    Ok(format!(
        "the {} are those that it names: their root is {root}",
        count(named.count, "tombstone")
    ))
}

fn write_document(out: &mut dyn Write, document: &Document) -> io::Result<()> {
    if let Some(certificate) = &document.certificate {
        write_certificate(out, certificate)?;
    }
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

fn write_certificate(out: &mut dyn Write, certificate: &Certificate) -> io::Result<()> {
    let Certificate {
        request,
        organization_id,
        requested_at,
        completed_at,
        ..
    } = certificate;
    let origin = visible(&certificate.origin);
    writeln!(
        out,
        "erasure {} in the trails of {origin}",
        visible(request)
    )?;
    if let Some(reference) = &certificate.reference {
        writeln!(out, "  reference {}", visible(reference))?;
    }
    let subject = visible(&certificate.subject);
    writeln!(out, "  a user of organisation {organization_id}, {subject}")?;
    writeln!(out, "  asked for {requested_at}")?;
    if let (Some(by), Some(at)) = (&certificate.approved_by, certificate.approved_at) {
        writeln!(out, "  approved {at} by {}", visible(by))?;
    }
    if let Some(plan) = &certificate.plan {
        writeln!(out, "  plan {}", visible(plan))?;
    }
    writeln!(out, "  carried out {completed_at}")?;
    writeln!(out, "erased:")?;
    for (table, done) in &certificate.erased.tables {
        for done in done {
            let (table, manner) = (visible(table), visible(&done.manner));
            writeln!(out, "  {table}: {} {manner}", count(done.rows, "row"))?;
        }
    }
    write_copies(out, certificate)?;
    writeln!(out, "remains:")?;
    for remains in &certificate.remains {
        writeln!(out, "  {}", visible(&remains.what))?;
        writeln!(out, "    {FAINT}{}{FAINT:#}", visible(&remains.ground))?;
    }
    writeln!(out, "limits:")?;
    for limit in &certificate.limits {
        writeln!(out, "  {}", visible(limit))?;
    }
    Ok(())
}

fn write_copies(out: &mut dyn Write, certificate: &Certificate) -> io::Result<()> {
    let tombstones = &certificate.tombstones;
    write!(out, "  {}", count(tombstones.count, "tombstone"))?;
    match tombstones.faulty {
        0 => writeln!(out)?,
        faulty => writeln!(
            out,
            ", {faulty} of entries that failed their checks before they were erased"
        )?,
    }
    let archive = &certificate.archive;
    if archive.destroyed_keys > 0 {
        let keys = count(archive.destroyed_keys, "key");
        writeln!(out, "  {keys} of the archive destroyed")?;
    }
    if archive.segments > 0 {
        let segments = count(archive.segments, "segment");
        let until = archive.locked_until.map_or_else(String::new, |until| {
            format!(", the last of which is locked until {until}")
        });
        writeln!(
            out,
            "  {segments} of the archive can hold what these keys would open{until}"
        )?;
    }
    Ok(())
}
