//! `trailkeeper events`.

use std::io::{self, Write};
use std::sync::Arc;

use anyhow::bail;
use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::{
    Exit, Failure,
    anchors::Sources,
    config::Input,
    ledger::with_scribe,
    progress::watch,
    store::{load, qwed_url, with_store},
    table::{Cell, table, visible},
    verify::{Format, print, print_json},
};
use crate::{
    clock::Clock,
    config::parse_micros,
    progress::Progress,
    reviews::{self, Event, NewReview, Noted, ReviewError, Survey},
    state::StateError,
};

const AFTER: &str = "\
Severe events are those that QWED calls high or critical. A review is an entry of the compliance ledger, signed and kept for good: it says up to \
when events were looked at, by whom, and what was found; give a case's number, nobody's name but your own. Events that come later, or are put in \
afterwards with an earlier time, are not covered by it.

Exit codes:
  0    done
  2    wrong usage or configuration: a review of times to come, no such organisation, or no anchor key to sign the entry
  3    a database cannot be reached
  130  interrupted";

/// What `events` takes.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List high and critical events that nobody has reviewed, the newest first
    List(List),
    /// Say that events were looked at
    Review(Review),
}

#[derive(Debug, Args)]
struct List {
    /// Only events of this organisation
    #[arg(long = "org", value_name = "ID")]
    organization: Option<i64>,
    /// List at most so many; all are counted
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// QWED's database, as in QWED's own DATABASE_URL [default: configuration, then DATABASE_URL]
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    #[command(flatten)]
    input: Input,
}

#[derive(Debug, Args)]
struct Review {
    /// Events up to this time, itself included (ISO 8601; UTC unless it has an offset; a date is its first moment)
    #[arg(long, value_name = "TIME")]
    until: String,
    /// Who looked at them
    #[arg(long, value_name = "NAME")]
    by: String,
    /// What was found
    #[arg(long, value_name = "TEXT")]
    note: String,
    /// Only events of this organisation [default: of all]
    #[arg(long = "org", value_name = "ID")]
    organization: Option<i64>,
    /// QWED's database, as in QWED's own DATABASE_URL [default: configuration, then DATABASE_URL]
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    #[command(flatten)]
    input: Input,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::List(arguments) => list(arguments),
        Command::Review(arguments) => review(arguments),
    }
}

fn failure(error: ReviewError) -> Failure {
    match error {
        ReviewError::Refused(_) => Failure::usage(error),
        ReviewError::Interrupted => Failure::interrupted(error),
        ReviewError::Qwed(_) | ReviewError::State(_) | ReviewError::NoTable => {
            Failure::could_not_check(error)
        }
    }
}

fn list(arguments: &List) -> Result<Exit, Failure> {
    let input = &arguments.input;
    let config = load(input.config.as_deref())?;
    let url = qwed_url(arguments.database.as_deref(), &config).map_err(Failure::usage)?;
    let reviews = with_store(input.config.as_deref(), async |config, store| {
        let keys = Sources::configured(config)?.keys;
        Ok(reviews::all(store, &config.anchors.origin, &keys).await?)
    })?;
    let progress = Arc::new(Progress::default());
    let watching = watch(&progress, input.format == Format::Text);
    let (id, limit) = (arguments.organization, arguments.limit as usize);
    let survey = reviews::survey(&url, id, &reviews, limit, &progress);
    drop(watching);
    let survey = survey.map_err(failure)?;
    match input.format {
        Format::Json => print_json(&survey)?,
        Format::Text => print(|out| write_list(out, &survey))?,
    }
    Ok(Exit::Intact)
}

fn write_list(out: &mut dyn Write, survey: &Survey) -> io::Result<()> {
    if survey.unreviewed == 0 {
        return writeln!(
            out,
            "no high or critical event is unreviewed, of {} in all",
            survey.severe
        );
    }
    let date = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M").to_string();
    let row = |event: &Event| -> [Cell; 6] {
        let organization = event.organization_id.map(|id| id.to_string());
        [
            event.id.to_string().into(),
            event.timestamp.map_or_else(|| "-".to_owned(), date).into(),
            organization.unwrap_or_default().into(),
            Cell::cut(&visible(&event.severity), 10),
            Cell::cut(&visible(&event.event_type), 30),
            Cell::cut(&visible(&event.reason), 60),
        ]
    };
    let rows: Vec<_> = survey.listed.iter().map(row).collect();
    table(
        out,
        ["ID", "TIME", "ORGANISATION", "SEVERITY", "TYPE", "REASON"],
        &rows,
    )?;
    let hidden = survey.unreviewed.saturating_sub(rows.len() as u64);
    if hidden > 0 {
        writeln!(out, "and {hidden} older ones (--limit)")?;
    }
    Ok(())
}

fn review(arguments: &Review) -> Result<Exit, Failure> {
    let input = &arguments.input;
    let config = load(input.config.as_deref())?;
    let url = qwed_url(arguments.database.as_deref(), &config).map_err(Failure::usage)?;
    let micros = parse_micros(&arguments.until);
    let until = micros.and_then(|micros| Timestamp::from_microsecond(micros).ok());
    let until = until.ok_or_else(|| {
        Failure::usage(anyhow::anyhow!(
            "--until {:?} is not a time; use a form like 2026-05-08 or 2026-05-08T12:30:00Z",
            arguments.until
        ))
    })?;
    let new = NewReview {
        organization_id: arguments.organization,
        until,
        by: arguments.by.clone(),
        note: arguments.note.clone(),
    };
    let progress = Arc::new(Progress::default());
    let watching = watch(&progress, input.format == Format::Text);
    let prepared = reviews::prepare(&url, &new, Clock.now(), &progress);
    drop(watching);
    let review = prepared.map_err(failure)?;
    let noted = with_store(input.config.as_deref(), async |config, store| {
        with_scribe(config, "events review", async |_, _, scribe| {
            let Some(scribe) = scribe else {
                let refused = "nothing is reviewed: a review is an entry of the ledger";
                bail!(StateError::Refused(refused.to_owned()));
            };
            Ok(reviews::note(store, scribe, &review).await?)
        })
        .await
    })?;
    show(input.format, &noted)?;
    Ok(Exit::Intact)
}

fn show(format: Format, noted: &Noted) -> Result<(), Failure> {
    match format {
        Format::Json => print_json(noted),
        Format::Text => print(|out| {
            let review = &noted.review;
            let whose = match review.organization_id {
                Some(id) => format!("organisation {id}"),
                None => "all organisations".to_owned(),
            };
            writeln!(
                out,
                "entry {} of the ledger: {} events of {whose} up to {} are reviewed, {} of them high or critical",
                noted.entry, review.events, review.until, review.severe
            )
        }),
    }
}
