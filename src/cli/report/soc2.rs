//! `trailkeeper report soc2`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, ValueEnum};

use crate::{
    cli::{
        Exit, Failure,
        ledger::with_scribe,
        progress,
        store::with_loaded_store,
        table::{table, visible},
        text::{BAD, DOUBTFUL, GOOD},
        verify::{Format, print, print_json},
    },
    clock::Clock,
    config::{Environment, Loaded},
    jobs::report_soc2::{self, ReportSoc2, wanted},
    progress::Progress,
    qwed::url::DatabaseUrl,
    report::{
        facts::moment_text,
        model::{Report, Status},
        produce::{self, Order},
    },
    state::Store,
};

pub(super) const AFTER: &str = "\
The trails are verified first, all of them. Reports are kept in the state database (\"trailkeeper report list\"), and the ledger has \
their SHA-256. A control that could not be measured is unknown, and never passes.

Exit codes:
  0  no control failed, and all are known
  1  a control failed
  2  wrong usage or configuration
  3  could not make the report: a database that cannot be reached, unknown organisation
  4  no control failed, and some could not be measured";

/// What `report soc2` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only this organisation; may be repeated [default: all]
    #[arg(long = "org", value_name = "ID")]
    organizations: Vec<i64>,
    /// Days up to now that it covers [default: configuration, or 90]
    #[arg(long, value_name = "N", conflicts_with_all = ["calendar", "from", "to"], value_parser = clap::value_parser!(u32).range(1..=3660))]
    days: Option<u32>,
    /// The last calendar month or quarter that is over, in UTC
    #[arg(long, value_enum, conflicts_with_all = ["from", "to"])]
    calendar: Option<Calendar>,
    /// From this time on (ISO 8601; UTC unless it has an offset; a date is its first moment)
    #[arg(long, value_name = "TIME", requires = "to")]
    from: Option<String>,
    /// Up to this time, itself not included
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<String>,
    /// Configuration file
    #[arg(long, value_name = "FILE", env = "TRAILKEEPER_CONFIG")]
    config: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// No progress bar
    #[arg(long)]
    no_progress: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Calendar {
    /// The last month that is over
    Month,
    /// The last quarter that is over
    Quarter,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let environment = Environment::of_process();
    let loaded = Loaded::load(arguments.config.as_deref(), &environment).map_err(Failure::usage)?;
    let asked = ReportSoc2 {
        organizations: arguments.organizations.clone(),
        days: arguments.days,
        calendar: arguments.calendar.map(|calendar| match calendar {
            Calendar::Month => report_soc2::Calendar::PreviousMonth,
            Calendar::Quarter => report_soc2::Calendar::PreviousQuarter,
        }),
        from: arguments.from.clone(),
        to: arguments.to.clone(),
    };
    let span = asked.span(loaded.config.report.period_days);
    let period = span.and_then(|span| span.period(Clock.now()));
    let period = period.map_err(Failure::usage)?;
    let qwed: anyhow::Result<DatabaseUrl> = loaded
        .config
        .qwed_url()
        .context(
            "which QWED database? Set qwed.database_url in the configuration, or DATABASE_URL as for QWED",
        )
        .and_then(|url| Ok(url.expose().parse()?));
    let qwed = qwed.map_err(Failure::usage)?;
    let ring = loaded.config.key_ring(|name| environment.get(name));
    let ring = Arc::new(ring.map_err(Failure::usage)?);
    let progress = Arc::new(Progress::default());
    let watch = progress::watch(&progress, !arguments.no_progress);
    let made = with_loaded_store(&loaded, async |config, store: &Store| {
        let order = Order {
            config: config.clone(),
            configuration_sha256: loaded.sha256(),
            store: store.clone(),
            qwed,
            ring,
            organizations: asked.organizations.clone(),
            period,
            wanted: wanted(config, period, Clock.now()),
            clock: Clock,
        };
        let made = produce::produce(&order, &progress).await?;
        let reports: Vec<Report> = made.into_iter().map(|made| made.report).collect();
        with_scribe(config, "report soc2", async |_, _, scribe| {
            Ok(produce::keep_all(store, scribe, &reports).await?)
        })
        .await?;
        Ok(reports)
    });
    drop(watch);
    let reports = made?;
    match arguments.format {
        Format::Json => print_json(&reports)?,
        Format::Text => print(|out| {
            for report in &reports {
                write_report(out, report)?;
            }
            Ok(())
        })?,
    }
    Ok(exit(&reports))
}

fn exit(reports: &[Report]) -> Exit {
    let any = |count: fn(&Report) -> u64| reports.iter().any(|report| count(report) > 0);
    if any(|report| report.summary.fail) {
        Exit::Tampered
    } else if any(|report| report.summary.unknown) {
        Exit::Incomplete
    } else {
        Exit::Intact
    }
}

/// A report for a terminal: what each control came to, and what to do.
pub(in crate::cli) fn write_report(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let name = report
        .organization
        .name
        .as_deref()
        .unwrap_or("unknown to QWED");
    writeln!(
        out,
        "organisation {} ({}), {} to {}",
        report.organization.id,
        visible(name),
        moment_text(report.period.start),
        moment_text(report.period.end),
    )?;
    writeln!(
        out,
        "report {}, made {}\n",
        report.id,
        moment_text(report.generated_at)
    )?;
    let style = |status| match status {
        Status::Pass => GOOD,
        Status::Fail => BAD,
        Status::Unknown | Status::NotApplicable => DOUBTFUL,
    };
    for control in &report.controls {
        let (style, status) = (style(control.status), control.status);
        writeln!(out, "{style}{status:<14}{style:#}  {}", control.title)?;
        writeln!(out, "                {}", visible(&control.reason))?;
        if !control.remedy.is_empty() {
            writeln!(out, "                To do: {}", control.remedy)?;
        }
    }
    let criteria = |control: &crate::report::model::Control| {
        let ids: Vec<&str> = control
            .evidence_for
            .iter()
            .map(|it| it.id.as_str())
            .collect();
        ids.join(", ")
    };
    writeln!(out)?;
    let rows: Vec<_> = report
        .controls
        .iter()
        .map(|it| [it.id.as_str().into(), criteria(it).into()])
        .collect();
    table(out, ["CONTROL", "EVIDENCE FOR"], &rows)?;
    let summary = report.summary;
    writeln!(
        out,
        "\n{} pass, {} fail, {} unknown, {} not applicable. It is evidence, and no opinion on any criterion.",
        summary.pass, summary.fail, summary.unknown, summary.not_applicable
    )
}
