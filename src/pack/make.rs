//! Making a pack.

use std::fs::File;
use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    PackError,
    gather::Gathered,
    manifest::{FORMAT, FileEntry, Manifest},
    names, readme,
    unpack::is_plain_name,
    write::Pack,
};
use crate::{
    checkpoint::note::SecretKey,
    objects::Digest,
    report::{
        model::{Report, Summary, Table},
        ocsf, oscal, table_file,
    },
    verify,
};

/// Writes a table of the report as CSV, a header and as many records as the table lists.
pub type TableWriter<'a> = dyn Fn(&Table, &mut dyn Write) -> io::Result<()> + 'a;
/// Writes CSV with a header, and says how many records it has.
pub type LogWriter<'a> = Box<dyn FnOnce(&mut dyn Write) -> io::Result<u64> + 'a>;

/// What a pack is made of.
pub struct Order<'a> {
    /// The report.
    pub report: &'a Report,
    /// The verification that it rests on, of the report's organisation alone.
    pub verification: &'a verify::report::Report,
    /// Anchors and proofs about the same organisation.
    pub gathered: &'a Gathered,
    /// The report as people read it.
    pub renderings: Renderings<'a>,
    /// The organisation's records of the period.
    pub logs: Vec<Log<'a>>,
    /// The key that signs anchors.
    pub signer: &'a SecretKey,
    /// The time.
    pub made_at: Timestamp,
}

/// The report as people read it.
pub struct Renderings<'a> {
    /// `report.html`; left out if there is none.
    pub html: Option<&'a [u8]>,
    /// `report.pdf`; left out if there is none.
    pub pdf: Option<&'a [u8]>,
    /// Writes tables.
    pub table: &'a TableWriter<'a>,
}

/// Records in a file of their own.
pub struct Log<'a> {
    /// The file's name below `logs/`: `verification_log.csv`.
    pub name: String,
    /// Writes it.
    pub write: LogWriter<'a>,
}

/// A pack that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Made {
    /// The report's id.
    pub report: String,
    /// The organisation.
    pub organization_id: i64,
    /// When.
    pub made_at: Timestamp,
    /// The size of the zip in bytes.
    pub size_bytes: u64,
    /// Its SHA-256.
    pub sha256: Digest,
    /// How many entries were sampled.
    pub sampled: u64,
    /// Why there are no anchor and no proofs; none where there are.
    pub without_anchor: Option<String>,
    /// The files in it but for the manifest.
    pub files: Vec<FileEntry>,
}

/// Writes a pack to `out`, an empty file that can be read as well, which stands at its beginning afterwards. Blocking.
///
/// # Errors
/// If what was given does not belong together, or cannot be written.
pub fn make(order: Order<'_>, out: File) -> Result<(File, Made), PackError> {
    check(&order)?;
    let Order {
        report,
        verification,
        gathered,
        renderings,
        logs,
        signer,
        made_at,
    } = order;
    let mut pack = Pack::new(out);
    let without_anchor = match gathered {
        Gathered::Anchored(_) => None,
        Gathered::Without(why) => Some(why.clone()),
    };
    pack.add(
        names::README,
        readme::text(report, without_anchor.as_deref()).as_bytes(),
    )?;
    // To the byte what is kept, so that its SHA-256 is the one that the ledger has.
    let json = serde_json::to_vec(report).map_err(io::Error::other)?;
    pack.add(names::REPORT, &json)?;
    if let Some(html) = renderings.html {
        pack.add(names::HTML, html)?;
    }
    if let Some(pdf) = renderings.pdf {
        pack.add(names::PDF, pdf)?;
    }
    for control in &report.controls {
        for table in &control.tables {
            let name = table_file(control, table);
            if !is_plain_name(&name) {
                return Err(PackError::Unfit(format!("no file can be named {name:?}")));
            }
            pack.csv(&name, |out| {
                (renderings.table)(table, out)?;
                Ok(table.rows.len() as u64)
            })?;
        }
    }
    // From what is read back, as whoever checks it will: decimal numbers need not survive that to the last digit.
    let read: Report = serde_json::from_slice(&json).map_err(io::Error::other)?;
    pack.add(names::OCSF, &ocsf::array(&read))?;
    pack.add(names::OSCAL, &oscal::document(&read))?;
    pack.add(names::VERIFICATION, &self::json(verification)?)?;
    for log in logs {
        let name = format!("{}{}", names::LOGS, log.name);
        if !is_plain_name(&name) {
            return Err(PackError::Unfit(format!("no file can be named {name:?}")));
        }
        pack.csv(&name, log.write)?;
    }
    let sampled = add_proofs(&mut pack, gathered)?;
    let key = format!("{}\n", signer.verifier());
    pack.add(names::PUBLIC_KEY, key.as_bytes())?;
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        program: concat!("trailkeeper ", env!("CARGO_PKG_VERSION")).to_owned(),
        made_at,
        origin: report.provenance.anchor_origin.clone(),
        report: report.id.clone(),
        organization_id: report.organization.id,
        period: report.period,
        without_anchor: without_anchor.clone(),
        files: pack.files().to_vec(),
    };
    let note = manifest.sign(signer)?.to_string();
    let (file, size_bytes, sha256) = pack.finish(names::MANIFEST, &note)?;
    let made = Made {
        report: manifest.report,
        organization_id: manifest.organization_id,
        made_at,
        size_bytes,
        sha256,
        sampled,
        without_anchor,
        files: manifest.files,
    };
    Ok((file, made))
}

fn add_proofs(pack: &mut Pack, gathered: &Gathered) -> Result<u64, PackError> {
    let Gathered::Anchored(proven) = gathered else {
        return Ok(0);
    };
    pack.add(names::RUN, proven.run.as_bytes())?;
    pack.add(names::CHECKPOINT, proven.checkpoint.as_bytes())?;
    pack.add(names::SAMPLE, &json(&proven.sample)?)?;
    let entries = &proven.sample.entries;
    for (entry, (proof, file)) in entries.iter().zip(&proven.proofs) {
        pack.add(&names::proof(entry.entry_id), proof.as_bytes())?;
        if let Some(file) = file {
            let mut line = serde_json::to_vec(file).map_err(io::Error::other)?;
            line.push(b'\n');
            pack.add(&names::entry(entry.entry_id), &line)?;
        }
    }
    Ok(entries.len() as u64)
}

/// Refuses what would make a pack that fails its own checks, or tells an auditor of others.
fn check(order: &Order<'_>) -> Result<(), PackError> {
    let unfit = |text: String| Err(PackError::Unfit(text));
    let report = order.report;
    if report.summary != Summary::of(&report.controls) {
        return unfit("the report's summary does not count its controls".to_owned());
    }
    let id = report.organization.id;
    let others = order.verification.organizations.iter();
    if let Some(other) = others
        .map(|it| it.organization_id)
        .find(|it| *it != Some(id))
    {
        let other = other.map_or("entries of none".to_owned(), |other| {
            format!("organisation {other}")
        });
        return unfit(format!(
            "the verification is also about {other}, and the report about organisation {id} alone"
        ));
    }
    if let Gathered::Anchored(proven) = order.gathered {
        let origin = crate::anchor::checkpoint_origin(&report.provenance.anchor_origin, id);
        if !proven.checkpoint.starts_with(&format!("{origin}\n")) {
            return unfit(format!("the anchor is not about {origin}"));
        }
    }
    Ok(())
}

fn json(document: &impl Serialize) -> Result<Vec<u8>, PackError> {
    let mut json = serde_json::to_vec_pretty(document).map_err(io::Error::other)?;
    json.push(b'\n');
    Ok(json)
}
