//! Writing an export: each list of records once, into both formats.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;

use csv::{Terminator, WriterBuilder};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    ExportError, OwnRecords, Target,
    content::{Plan, Words},
    manifest,
    package::Package,
    readme,
    value::{Kind, csv_cell, put_json, write_json},
};
use crate::{
    config,
    objects::Digest,
    progress::Progress,
    qwed::{
        Dialect,
        personal::TABLES,
        tables::{Cell, Tables},
        url::DatabaseUrl,
    },
};

/// The format's name and version.
pub(super) const FORMAT: &str = "trailkeeper export 1";

/// What is to be exported.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// QWED's database.
    pub url: &'a DatabaseUrl,
    /// About whom.
    pub target: &'a Target,
    /// What the reader is told beside the data.
    pub notice: &'a Notice,
    /// The time.
    pub made_at: Timestamp,
}

/// What only the operator knows and the person has a right to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notice {
    /// Who is responsible for the data; empty if it is not configured.
    pub controller: String,
    /// Whom to ask; empty if it is not configured.
    pub contact: String,
    /// For how long data are kept, in the operator's words; empty if it is not configured.
    pub retention: String,
}

impl From<&config::Export> for Notice {
    fn from(config: &config::Export) -> Self {
        let text = |text: &str| text.trim().to_owned();
        Self {
            controller: text(&config.controller),
            contact: text(&config.contact),
            retention: text(&config.retention),
        }
    }
}

/// A file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileEntry {
    /// Its name in the zip.
    pub name: String,
    /// How many records it has, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// The SHA-256 of its content.
    pub sha256: Digest,
}

/// An export that was made. It names people by id only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Made {
    /// When.
    pub made_at: Timestamp,
    /// The organisation.
    pub organization_id: i64,
    /// The user; none if it is about a whole organisation.
    pub user_id: Option<i64>,
    /// Whether the organisation is in use. One that is not has its rights all the same.
    pub organization_is_active: bool,
    /// How many records there are, of each list.
    pub tables: BTreeMap<String, u64>,
    /// How many in all.
    pub records: u64,
    /// The size of the zip in bytes.
    pub size_bytes: u64,
    /// The SHA-256 of the zip.
    pub sha256: Digest,
    /// The files in it.
    pub files: Vec<FileEntry>,
}

/// What the reader is told of a list of records.
pub(super) struct Summary {
    pub(super) name: &'static str,
    pub(super) words: Words,
    pub(super) records: u64,
    /// From when to when, as stored.
    pub(super) span: Option<(String, String)>,
}

/// Writes an export to `out`, with the help of `spool`; both are empty files that can be read as well. Blocking.
///
/// # Errors
/// If a database cannot be read or a file not be written, or it is to stop.
pub(super) fn write(
    source: Source<'_>,
    own: &mut [Box<dyn OwnRecords>],
    out: File,
    spool: File,
    progress: &Progress,
) -> Result<(File, Made), ExportError> {
    let names = TABLES.map(|table| table.name);
    let mut tables = Tables::open(source.url, &names)?;
    let plan = Plan::new(tables.schemas(), source.target);
    let mut writer = Writer {
        package: Package::new(out, spool, source.made_at)?,
        summaries: Vec::new(),
        progress,
    };
    writer.head(&source)?;
    writer.text("\"tables\": {")?;
    for (index, extract) in plan.extracts.iter().enumerate() {
        let columns = &extract.schema.columns;
        let list = List {
            name: extract.name,
            words: extract.words,
            columns: columns.iter().map(|it| it.name.as_str()).collect(),
            kinds: columns.iter().map(Kind::of).collect(),
            time: extract.time,
            is_first: index == 0,
        };
        tables.begin(&extract.schema, extract.part, None)?;
        writer.list(&list, || {
            let page = tables.next_page()?;
            Ok(page.into_iter().map(|record| record.cells).collect())
        })?;
    }
    writer.text("\n},\n\"own\": {")?;
    for (index, records) in own.iter_mut().enumerate() {
        let fields = records.fields();
        let is_time = |field: &&str| Some(*field) == records.time_field();
        let list = List {
            name: records.name(),
            words: records.words(),
            columns: fields.to_vec(),
            kinds: vec![Kind::Other; fields.len()],
            time: fields.iter().position(is_time),
            is_first: index == 0,
        };
        writer.list(&list, || records.next_page())?;
    }
    writer.text("\n}\n}\n")?;
    writer.finish(&source, &plan, tables.dialect())
}

/// A list of records that is about to be written.
struct List<'a> {
    name: &'static str,
    words: Words,
    columns: Vec<&'a str>,
    kinds: Vec<Kind>,
    time: Option<usize>,
    is_first: bool,
}

struct Writer<'a> {
    package: Package,
    summaries: Vec<Summary>,
    progress: &'a Progress,
}

impl Writer<'_> {
    fn text(&mut self, text: &str) -> Result<(), ExportError> {
        Ok(self.package.data().write_all(text.as_bytes())?)
    }

    /// What the document says of itself.
    fn head(&mut self, source: &Source<'_>) -> Result<(), ExportError> {
        let mut head = Vec::new();
        for (name, value) in [
            ("format", FORMAT.into()),
            ("made_at", source.made_at.to_string().into()),
            ("subject", source.target.ids()),
        ] {
            head.extend(if head.is_empty() { "{\n" } else { "" }.bytes());
            put_json(&mut head, name);
            head.extend(b": ");
            put_json(&mut head, &value);
            head.extend(b",\n");
        }
        Ok(self.package.data().write_all(&head)?)
    }

    /// Writes all pages as an array of objects, and as a CSV file.
    fn list(
        &mut self,
        list: &List<'_>,
        mut next_page: impl FnMut() -> Result<Vec<Vec<Cell>>, ExportError>,
    ) -> Result<(), ExportError> {
        let name = format!("csv/{}.csv", list.name);
        let (mut data, mut beside) = self.package.beside(&name)?;
        let mut csv = WriterBuilder::new()
            .terminator(Terminator::CRLF)
            .from_writer(&mut beside);
        csv.write_record(&list.columns).map_err(csv_error)?;
        let mut json = Vec::new();
        json.extend(if list.is_first { "\n" } else { ",\n" }.bytes());
        put_json(&mut json, list.name);
        json.extend(b": [");
        let keys: Vec<Vec<u8>> = list.columns.iter().map(|name| key(name)).collect();
        let (mut records, mut span) = (0_u64, None);
        loop {
            if self.progress.is_stopped() {
                return Err(ExportError::Interrupted);
            }
            let page = next_page()?;
            if page.is_empty() {
                break;
            }
            self.progress.add(page.len() as u64, 0);
            for cells in &page {
                json.extend(if records == 0 { "\n" } else { ",\n" }.bytes());
                records += 1;
                json.push(b'{');
                for (index, cell) in cells.iter().enumerate() {
                    json.extend(if index == 0 { "" } else { ", " }.bytes());
                    json.extend(&keys[index]);
                    write_json(&mut json, cell, list.kinds[index]);
                    let cell = csv_cell(cell, list.kinds[index]);
                    csv.write_field(cell.as_bytes()).map_err(csv_error)?;
                }
                json.push(b'}');
                csv.write_record(None::<&[u8]>).map_err(csv_error)?;
                data.write_all(&json)?;
                json.clear();
                if let Some(Cell::Text(time)) = list.time.and_then(|time| cells.get(time)) {
                    widen(&mut span, time);
                }
            }
        }
        json.extend(if records == 0 { "]" } else { "\n]" }.bytes());
        data.write_all(&json)?;
        csv.flush()?;
        drop(csv);
        let sum = beside.sum;
        self.package.note(name, records, sum);
        self.summaries.push(Summary {
            name: list.name,
            words: list.words,
            records,
            span,
        });
        Ok(())
    }

    fn finish(
        mut self,
        source: &Source<'_>,
        plan: &Plan,
        dialect: Dialect,
    ) -> Result<(File, Made), ExportError> {
        let records = self.summaries.iter().map(|it| it.records).sum();
        self.package.join(records)?;
        let readme = readme::html(source, &self.summaries);
        self.package.add("README.html", readme.as_bytes())?;
        let manifest = manifest::json(source, plan, dialect, self.package.files());
        self.package.add("manifest.json", &manifest)?;
        let (out, files, size_bytes, sha256) = self.package.finish()?;
        let summaries = self.summaries.iter();
        let made = Made {
            made_at: source.made_at,
            organization_id: source.target.organization_id(),
            user_id: source.target.user_id(),
            organization_is_active: source.target.organization_is_active(),
            tables: summaries
                .map(|it| (it.name.to_owned(), it.records))
                .collect(),
            records,
            size_bytes,
            sha256,
            files,
        };
        Ok((out, made))
    }
}

/// A column's name as JSON writes it before a value.
fn key(name: &str) -> Vec<u8> {
    let mut key = Vec::new();
    put_json(&mut key, name);
    key.extend(b": ");
    key
}

/// Times are stored such that their text sorts as they do.
fn widen(span: &mut Option<(String, String)>, time: &[u8]) {
    let Ok(time) = std::str::from_utf8(time) else {
        return;
    };
    match span {
        None => *span = Some((time.to_owned(), time.to_owned())),
        Some((from, _)) if time < from.as_str() => time.clone_into(from),
        Some((_, to)) if time > to.as_str() => time.clone_into(to),
        Some(_) => {}
    }
}

fn csv_error(error: csv::Error) -> ExportError {
    ExportError::Write(error.into())
}
