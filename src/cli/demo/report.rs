//! The part of the demo that makes evidence for auditors.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{ended, say};
use crate::{
    cli::report::write_report,
    jobs::Services,
    report::{model::Report, render},
    runtime::registry::Registry,
    state::Store,
};

/// The organisation whose report is shown.
const ORGANIZATION: i64 = 1;

/// Where the report was put.
pub(super) struct Shown {
    html: PathBuf,
    pdf: PathBuf,
}

/// Has the worker make a report, and writes it for people. Nothing when told to stop.
pub(super) async fn report_on_one(
    registry: &Registry<Services>,
    store: &Store,
    directory: &Path,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Shown>> {
    say(|out| {
        writeln!(
            out,
            "\nAn auditor asks for evidence about organisation {ORGANIZATION}. Each control is measured; what nothing tells is unknown:\n"
        )
    })?;
    let payload = json!({ "organizations": [ORGANIZATION] });
    let job = registry.new_job("report_soc2", payload, "demo")?;
    let Some(outcome) = ended(store, job, stop).await? else {
        return Ok(None);
    };
    let id = outcome["reports"][0]["report_id"].as_str();
    let found = store.report(id.context("there is no report")?).await?;
    let (_, document) = found.context("the report is gone")?;
    let report: Report = serde_json::from_str(&document)?;
    say(|out| write_report(out, &report))?;
    let shown = Shown {
        html: directory.join("report.html"),
        pdf: directory.join("report.pdf"),
    };
    std::fs::write(&shown.html, render::html(&report)).context("cannot write the report")?;
    std::fs::write(&shown.pdf, render::pdf(&report)?).context("cannot write the report")?;
    Ok(Some(shown))
}

impl Shown {
    /// Where to look at it.
    pub(super) fn write(&self, out: &mut dyn Write, file: &str) -> io::Result<()> {
        let (html, pdf) = (self.html.display(), self.pdf.display());
        writeln!(
            out,
            "  file://{html}   the report for auditors; {pdf} is the same to print\n  \
             trailkeeper report list --config {file}"
        )
    }
}
