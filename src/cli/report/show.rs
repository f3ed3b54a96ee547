//! `trailkeeper report list` and `trailkeeper report show`.

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::soc2::write_report;
use crate::{
    cli::{
        Exit, Failure,
        config::Input,
        store::with_store,
        table::table,
        verify::{Format, print, print_json},
    },
    report::{facts::moment_text, model::Report},
    state::reports::ReportRow,
};

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only reports on this organisation
    #[arg(long = "org", value_name = "ID")]
    organization: Option<i64>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    #[command(flatten)]
    input: Input,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The report's id
    id: String,
    #[command(flatten)]
    input: Input,
}

#[derive(Serialize)]
struct Listed {
    id: String,
    kind: String,
    organization_id: i64,
    period_start: Timestamp,
    period_end: Timestamp,
    generated_at: Timestamp,
    pass: i64,
    fail: i64,
    unknown: i64,
    not_applicable: i64,
    sha256: String,
    pack: Option<String>,
    job_id: Option<String>,
}

impl From<ReportRow> for Listed {
    fn from(row: ReportRow) -> Self {
        let [pass, fail, unknown, not_applicable] = row.counts;
        Self {
            id: row.id,
            kind: row.kind,
            organization_id: row.organization_id,
            period_start: moment(row.period_start),
            period_end: moment(row.period_end),
            generated_at: moment(row.generated_at),
            pass,
            fail,
            unknown,
            not_applicable,
            sha256: row.sha256,
            pack: row.pack,
            job_id: row.job_id,
        }
    }
}

/// A time that our own database holds, which writes none that is out of range.
fn moment(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or_default()
}

pub(super) fn list(arguments: &List) -> Result<Exit, Failure> {
    let List {
        organization,
        limit,
        input,
    } = arguments;
    let rows = with_store(input.config.as_deref(), async |_, store| {
        Ok(store.reports(*organization, *limit).await?)
    })?;
    let listed: Vec<Listed> = rows.into_iter().map(Listed::from).collect();
    match input.format {
        Format::Json => print_json(&listed)?,
        Format::Text => print(|out| {
            if listed.is_empty() {
                return writeln!(out, "no reports");
            }
            let row = |it: &Listed| {
                [
                    it.id.as_str().into(),
                    it.organization_id.to_string().into(),
                    format!(
                        "{} to {}",
                        moment_text(it.period_start),
                        moment_text(it.period_end)
                    )
                    .into(),
                    moment_text(it.generated_at).into(),
                    format!("{} pass, {} fail, {} unknown", it.pass, it.fail, it.unknown).into(),
                ]
            };
            let rows: Vec<_> = listed.iter().map(row).collect();
            table(
                out,
                ["REPORT", "ORGANISATION", "PERIOD", "MADE", "CONTROLS"],
                &rows,
            )
        })?,
    }
    Ok(Exit::Intact)
}

pub(super) fn show(arguments: &Show) -> Result<Exit, Failure> {
    let Show { id, input } = arguments;
    let document = with_store(input.config.as_deref(), async |_, store| {
        let found = store.report(id).await?;
        let (_, document) = found.with_context(|| {
            format!(
                "there is no report {id:?}; \"trailkeeper report list\" lists those that there are"
            )
        })?;
        Ok(document)
    })?;
    match input.format {
        Format::Json => {
            // As it was kept, to the byte: its SHA-256 is the one that the ledger has.
            print(|out| out.write_all(document.as_bytes()))?;
        }
        Format::Text => {
            let report: Report =
                serde_json::from_str(&document).map_err(Failure::could_not_check)?;
            print(|out| write_report(out, &report))?;
        }
    }
    Ok(Exit::Intact)
}
