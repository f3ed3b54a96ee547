//! The checks of what is inside a pack whose manifest is signed, in their order.

mod anchored;

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    manifest::Manifest,
    names,
    unpack::Unpacked,
    verify::{CheckName, Found},
};
use crate::{
    checkpoint::note::VerifierKey,
    report::{
        model::{Control, REPORT_VERSION, Report, Status, Summary},
        ocsf, oscal, table_file,
    },
    trail::finding::Verdict,
    verify,
};

/// A pack whose manifest can be believed.
pub(super) struct Pack<'p> {
    pub(super) zip: &'p mut Unpacked,
    pub(super) manifest: &'p Manifest,
    /// Keys that anchors may be signed with.
    pub(super) keys: &'p [VerifierKey],
    /// See [`super::Verified::notes`].
    pub(super) notes: Vec<String>,
}

type Checking = fn(&mut Pack<'_>) -> Result<Found, String>;

/// Each relies on those before it.
pub(super) const ALL: [(CheckName, Checking); 9] = [
    (CheckName::Files, files),
    (CheckName::Report, report),
    (CheckName::Exports, exports),
    (CheckName::Tables, tables),
    (CheckName::Verification, verification),
    (CheckName::Logs, logs),
    (CheckName::Anchor, anchored::anchor),
    (CheckName::Sample, anchored::sample),
    (CheckName::Proofs, anchored::proofs),
];

/// The control that says what the verification found.
const TRAIL_INTEGRITY: &str = "trail_integrity";

fn passed(detail: impl Into<String>) -> Result<Found, String> {
    Ok(Found::Passed(detail.into()))
}

impl Pack<'_> {
    fn has(&self, name: &str) -> bool {
        self.manifest.file(name).is_some()
    }

    fn text(&mut self, name: &str) -> Result<String, String> {
        String::from_utf8(self.zip.whole(name)?).map_err(|_| format!("{name} is no text"))
    }

    fn json<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, String> {
        let bytes = self.zip.whole(name)?;
        serde_json::from_slice(&bytes).map_err(|error| format!("{name} cannot be used: {error}"))
    }

    /// Names of files in a directory.
    fn below(&self, directory: &str) -> BTreeSet<String> {
        let names = self.manifest.files.iter().map(|file| file.name.clone());
        names.filter(|name| name.starts_with(directory)).collect()
    }
}

fn files(pack: &mut Pack<'_>) -> Result<Found, String> {
    let signed = pack.manifest.files.iter().map(|file| file.name.as_str());
    let signed: Vec<&str> = signed.chain([names::MANIFEST]).collect();
    if let Some(missing) = signed
        .iter()
        .find(|name| !pack.zip.names.iter().any(|it| it == *name))
    {
        return Err(format!("{missing} is missing"));
    }
    if let Some(more) = pack
        .zip
        .names
        .iter()
        .find(|name| !signed.contains(&name.as_str()))
    {
        return Err(format!("{more} is not in the manifest"));
    }
    if pack.zip.names != signed {
        return Err("the files are not in the order of the manifest".to_owned());
    }
    for required in [
        names::README,
        names::REPORT,
        names::OCSF,
        names::OSCAL,
        names::VERIFICATION,
    ] {
        if !pack.has(required) {
            return Err(format!(
                "a pack has a file {required}, and this one has none"
            ));
        }
    }
    for file in &pack.manifest.files {
        let (size, digest) = pack.zip.digest(&file.name)?;
        if size != file.size_bytes {
            let signed = file.size_bytes;
            return Err(format!(
                "{} has {size} bytes, and {signed} were signed",
                file.name
            ));
        }
        if digest.to_string() != file.sha256 {
            return Err(format!(
                "{} is not what was signed: its SHA-256 is {digest}",
                file.name
            ));
        }
    }
    passed(format!(
        "{} files are as signed, and there are no others",
        pack.manifest.files.len()
    ))
}

fn report(pack: &mut Pack<'_>) -> Result<Found, String> {
    let report: Report = pack.json(names::REPORT)?;
    let manifest = pack.manifest;
    let major = |version: &str| version.split('.').next().unwrap_or_default().to_owned();
    if major(&report.report_version) != major(REPORT_VERSION) {
        let version = &report.report_version;
        return Err(format!(
            "the report's version is {version}, and this program reads {REPORT_VERSION}"
        ));
    }
    let is_other = if report.id != manifest.report {
        Some("id")
    } else if report.organization.id != manifest.organization_id {
        Some("organisation")
    } else if report.period != manifest.period {
        Some("period")
    } else if report.provenance.anchor_origin != manifest.origin {
        Some("origin")
    } else {
        None
    };
    if let Some(what) = is_other {
        return Err(format!("the report has another {what} than the manifest"));
    }
    let counted = Summary::of(&report.controls);
    if counted != report.summary {
        return Err("the report's summary does not count its controls".to_owned());
    }
    let ids: BTreeSet<&str> = report.controls.iter().map(|it| it.id.as_str()).collect();
    if ids.len() != report.controls.len() {
        return Err("the report has a control twice".to_owned());
    }
    passed(format!(
        "report {} on organisation {}, {} to {}: {} pass, {} fail, {} unknown, {} not applicable",
        report.id,
        report.organization.id,
        report.period.start,
        report.period.end,
        counted.pass,
        counted.fail,
        counted.unknown,
        counted.not_applicable
    ))
}

fn exports(pack: &mut Pack<'_>) -> Result<Found, String> {
    let report: Report = pack.json(names::REPORT)?;
    for (name, expected) in [
        (names::OCSF, ocsf::array(&report)),
        (names::OSCAL, oscal::document(&report)),
    ] {
        // Other releases may spell it otherwise, with the same meaning or more of it.
        if pack.zip.whole(name)? != expected {
            if is_by_this_release(pack.manifest) {
                return Err(format!("{name} does not follow from the report"));
            }
            return Ok(Found::Open(format!(
                "{name} is not as this release writes it; {} made it",
                pack.manifest.program
            )));
        }
    }
    passed("OCSF and OSCAL follow from the report")
}

fn is_by_this_release(manifest: &Manifest) -> bool {
    manifest.program == concat!("trailkeeper ", env!("CARGO_PKG_VERSION"))
}

fn tables(pack: &mut Pack<'_>) -> Result<Found, String> {
    let report: Report = pack.json(names::REPORT)?;
    let mut left = pack.below(names::TABLES);
    let mut tables = 0_u64;
    for control in &report.controls {
        for table in &control.tables {
            let name = table_file(control, table);
            if !left.remove(&name) {
                return Err(format!("there is no {name}"));
            }
            let (rows, columns) = pack.zip.count_csv(&name)?;
            let listed = table.rows.len() as u64;
            if rows != listed || pack.manifest.file(&name).and_then(|it| it.rows) != Some(listed) {
                return Err(format!(
                    "{name} has {rows} records, and the report lists {listed}"
                ));
            }
            if columns != table.columns.len() || listed > table.rows_total {
                return Err(format!(
                    "{name} has not the columns and the total that the report has"
                ));
            }
            tables += 1;
        }
    }
    match left.first() {
        Some(name) => Err(format!("{name} is no table of the report")),
        None => passed(format!(
            "{tables} tables have as many records as the report lists"
        )),
    }
}

fn verification(pack: &mut Pack<'_>) -> Result<Found, String> {
    let record: verify::report::Report = pack.json(names::VERIFICATION)?;
    let report: Report = pack.json(names::REPORT)?;
    let id = pack.manifest.organization_id;
    if record
        .organizations
        .iter()
        .any(|it| it.organization_id != Some(id))
    {
        return Err("the verification is about other organisations as well".to_owned());
    }
    let entries: u64 = record
        .organizations
        .iter()
        .map(|it| it.qwed.total_entries)
        .sum();
    if entries != record.entries {
        return Err(format!(
            "the verification counts {} entries, and its organisation has {entries}",
            record.entries
        ));
    }
    let control = report.controls.iter().find(|it| it.id == TRAIL_INTEGRITY);
    let Some(control) = control else {
        return Ok(Found::Open(format!(
            "the report has no control {TRAIL_INTEGRITY}"
        )));
    };
    let verdict = record.verdict.to_string();
    let said = [
        ("verdict", Value::from(verdict.as_str())),
        ("entries_checked", Value::from(record.entries)),
    ];
    for (name, found) in said {
        match measured(control, name) {
            Some(value) if *value == found => {}
            Some(value) => {
                return Err(format!(
                    "the verification says {name} {found}, and the report {value}"
                ));
            }
            None => return Err(format!("control {TRAIL_INTEGRITY} does not say {name}")),
        }
    }
    if control.status == Status::Pass && record.verdict != Verdict::Intact {
        return Err(format!(
            "control {TRAIL_INTEGRITY} passes, and the trail is {verdict}"
        ));
    }
    passed(format!(
        "the trail was found {verdict}, {} entries, as the report says",
        record.entries
    ))
}

fn measured<'c>(control: &'c Control, name: &str) -> Option<&'c Value> {
    let measure = control.measured.iter().find(|measure| measure.name == name);
    measure.map(|measure| &measure.value)
}

fn logs(pack: &mut Pack<'_>) -> Result<Found, String> {
    let logs = pack.below(names::LOGS);
    for name in &logs {
        let (rows, _) = pack.zip.count_csv(name)?;
        let signed = pack.manifest.file(name).and_then(|file| file.rows);
        if signed != Some(rows) {
            let signed = signed.map_or("no number".to_owned(), |rows| rows.to_string());
            return Err(format!(
                "{name} has {rows} records, and {signed} was signed"
            ));
        }
    }
    match logs.len() {
        0 => Ok(Found::Open("there are no logs in this pack".to_owned())),
        1 => passed("the log has as many records as was signed".to_owned()),
        logs => passed(format!("{logs} logs have as many records as was signed")),
    }
}
