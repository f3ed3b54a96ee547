//! What stands beside a file of evidence.

use std::collections::BTreeMap;
use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Asked, Content, Profile};
use crate::objects::Digest;

/// The format's name and version.
const FORMAT: &str = "trailkeeper evidence 1";

const DEFUSED: &str = "A text that a spreadsheet could take for a formula (it begins with =, +, -, @, a tab or a line break) has an \
                       apostrophe in front, as has a text that begins with an apostrophe: taking one away gives the exact text.";
const NOT_DEFUSED: &str = "Formulas are not defused, as in QWED's own export, which this is byte for byte: import all columns as \
                           text, and do not open the file in a spreadsheet by a double click.";
const EMPTY: &str = "An empty cell is no value or an empty text. What is no text is base64, with \"base64:\" in front.";
const NEIGHBOURS: &str = "Each entry was judged beside the entry before it. Whether entries are missing, and what broken links mean, is \
                          what \"trailkeeper verify\" says.";
const GONE: &str =
    "Entries that were erased by deleting them are not in it, as QWED does not have them either.";
const MARKED: &str = "Text that was erased reads [erased].";

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Rows without the line of column names.
    pub rows: u64,
    /// By verdict, where entries were judged.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub verdicts: BTreeMap<&'static str, u64>,
    /// Entries among them of which a tombstone tells that they were erased.
    pub erased: u64,
    /// The anchor that entries were compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchor: Option<u64>,
    /// The size of the file in bytes.
    pub size_bytes: u64,
    /// Its SHA-256.
    pub sha256: Digest,
    /// Its columns.
    #[serde(skip)]
    pub columns: Vec<String>,
}

/// What a file of evidence is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// The format's name and version.
    pub format: &'static str,
    /// The program that wrote it.
    pub program: &'static str,
    /// When.
    pub made_at: Timestamp,
    /// Which records.
    pub content: Content,
    /// How they are spelled.
    pub profile: Profile,
    /// Whose.
    pub organization_id: i64,
    /// From when on; from the first where there is none.
    pub from: Option<Timestamp>,
    /// Up to when, that included; up to the last where there is none.
    pub to: Option<Timestamp>,
    /// What was written.
    #[serde(flatten)]
    pub written: Written,
    /// The file's columns.
    pub columns: Vec<String>,
    /// Whether a spreadsheet can be trusted with it.
    pub formulas_defused: bool,
    /// What is wrong with the anchors that entries were to be compared with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub anchor_findings: Vec<String>,
    /// How to read it.
    pub notes: Vec<&'static str>,
}

impl Manifest {
    pub(super) fn new(
        content: Content,
        asked: &Asked,
        made_at: Timestamp,
        mut written: Written,
    ) -> Self {
        let columns = std::mem::take(&mut written.columns);
        let time = |micros: Option<i64>| {
            micros.and_then(|micros| Timestamp::from_microsecond(micros).ok())
        };
        let notes = match (asked.profile, content) {
            (Profile::Full, Content::VerificationLog) => vec![DEFUSED, EMPTY, NEIGHBOURS],
            (Profile::Full, Content::SecurityEvents) => vec![DEFUSED, EMPTY, MARKED],
            (Profile::Qwed, Content::VerificationLog) => vec![NOT_DEFUSED, GONE],
            (Profile::Qwed, Content::SecurityEvents) => vec![NOT_DEFUSED, MARKED],
        };
        Self {
            format: FORMAT,
            program: concat!("trailkeeper ", env!("CARGO_PKG_VERSION")),
            made_at,
            content,
            profile: asked.profile,
            organization_id: asked.organization_id,
            from: time(asked.period.from),
            to: time(asked.period.to),
            written,
            columns,
            anchor_findings: Vec::new(),
            formulas_defused: asked.profile == Profile::Full,
            notes,
        }
    }
}

/// Adds up what passes.
pub(super) struct Summed<'w, W> {
    out: &'w mut W,
    sha256: Sha256,
    size_bytes: u64,
}

impl<'w, W: Write> Summed<'w, W> {
    pub(super) fn new(out: &'w mut W) -> Self {
        Self {
            out,
            sha256: Sha256::new(),
            size_bytes: 0,
        }
    }

    /// Size and SHA-256 of what passed.
    pub(super) fn sum(self) -> (u64, Digest) {
        (self.size_bytes, Digest(self.sha256.finalize().into()))
    }
}

impl<W: Write> Write for Summed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.sha256.update(bytes);
        self.size_bytes += bytes.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
