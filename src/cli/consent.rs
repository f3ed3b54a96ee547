//! `trailkeeper consent`.

mod printing;

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, Subcommand, ValueEnum};

use self::printing::{write_records, write_records_csv, write_status, write_status_csv};
use super::{
    Exit, Failure,
    config::Input,
    ledger::with_scribe,
    store::with_store,
    table::visible,
    text::GOOD,
    verify::{Format, print, print_json},
};
use crate::{
    config::Environment,
    consent::{ConsentType, Record, RecordError, Recorder, Statement, Status, Subject, standing},
    jobs::{record_consent, registry},
    runtime::job::JobError,
    state::{StateError, Store, consents::ConsentRow, jobs::new_id},
};

/// Records that an export reads at a time.
const PAGE: u32 = 500;

const AFTER: &str = "\
A consent is recorded, never changed: a withdrawal is a record of its own and always accepted. \"trailkeeper verify --ledger\" shows \
whether all records are as they were signed.

Exit codes:
  0  done
  2  wrong usage or configuration, or a statement that cannot be recorded
  3  the database cannot be reached, or a record in it cannot be read";

/// What `consent` takes.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Record that somebody consents, or takes a consent back
    Record(Box<RecordArguments>),
    /// Say what somebody consents to now
    Status(Query),
    /// List what somebody said, the oldest first
    History(Query),
    /// Print all records of an organisation, the oldest first
    Export(Export),
}

/// Whose consent it is.
#[derive(Debug, Args)]
struct Whose {
    /// The organisation
    #[arg(long = "org", value_name = "ID")]
    organization: i64,
    /// A user of QWED's
    #[arg(long, value_name = "ID")]
    user: Option<i64>,
    /// An e-mail address
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Any other name
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
}

#[derive(Debug, Args)]
struct RecordArguments {
    #[command(flatten)]
    whose: Whose,
    /// What they say
    #[arg(long, value_enum)]
    status: Said,
    /// How they say it
    #[arg(long = "type", value_enum)]
    consent_type: Option<How>,
    /// What for; may be repeated. A withdrawal without any is one of everything
    #[arg(long = "purpose", value_name = "TEXT")]
    purposes: Vec<String>,
    /// The notice that they were shown: its address or name
    #[arg(long, value_name = "TEXT")]
    privacy_notice: Option<String>,
    /// Its version
    #[arg(long, value_name = "TEXT")]
    notice_version: Option<String>,
    /// Where it was said
    #[arg(long, value_name = "TEXT")]
    channel: Option<String>,
    /// What shows that it was said: text, an address or a hash
    #[arg(long, value_name = "TEXT")]
    evidence: Option<String>,
    /// When it was said, as 2026-05-08T12:30:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// A name for this record: the same statement under the same name is recorded once [default: a new one]
    #[arg(long, value_name = "NAME")]
    record_id: Option<String>,
    #[command(flatten)]
    input: Input,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Said {
    /// They consent
    Granted,
    /// They take it back
    Withdrawn,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum How {
    /// By a statement that says so
    Explicit,
    /// By an act from which it follows
    Implied,
}

/// How records are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// For people
    Text,
    /// One JSON document
    Json,
    /// Comma-separated values, with a line of headings
    Csv,
}

#[derive(Debug, Args)]
struct Query {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Export {
    /// The organisation
    #[arg(long = "org", value_name = "ID")]
    organization: i64,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Output {
    /// Configuration file
    #[arg(long, value_name = "FILE", env = "TRAILKEEPER_CONFIG")]
    config: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value = "text")]
    format: Shape,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::Record(arguments) => record(arguments),
        Command::Status(query) => status(query),
        Command::History(query) => {
            let records = with_store(query.output.config.as_deref(), async |_, store| {
                history(store, &query.whose).await
            });
            show(&records?, query.output.format)
        }
        Command::Export(export) => {
            let records = with_store(export.output.config.as_deref(), async |_, store| {
                all(store, export.organization).await
            });
            show(&records?, export.output.format)
        }
    }
}

fn record(arguments: &RecordArguments) -> Result<Exit, Failure> {
    let whose = &arguments.whose;
    let statement = Statement {
        record_id: arguments.record_id.clone().unwrap_or_else(new_id),
        organization_id: whose.organization,
        user_id: whose.user,
        email: whose.email.clone(),
        subject: whose.subject.clone(),
        status: match arguments.status {
            Said::Granted => Status::Granted,
            Said::Withdrawn => Status::Withdrawn,
        },
        consent_type: arguments.consent_type.map(|how| match how {
            How::Explicit => ConsentType::Explicit,
            How::Implied => ConsentType::Implied,
        }),
        purposes: arguments.purposes.clone(),
        privacy_notice: arguments.privacy_notice.clone(),
        notice_version: arguments.notice_version.clone(),
        channel: arguments.channel.clone(),
        evidence: arguments.evidence.clone(),
        time: arguments.time.clone(),
    };
    let environment = Environment::of_process();
    let config = arguments.input.config.as_deref();
    let recorded = with_store(config, async |config, store| {
        let ring = config.key_ring(|name| environment.get(name))?;
        let registry = registry(config);
        let forward = record_consent::forward(config, &statement, |kind, payload| {
            registry.new_child(kind, payload).map_err(JobError::fail)
        });
        let forward = forward.map_err(|error| error.error)?;
        with_scribe(config, "consent record", async |actor, now, scribe| {
            let recorder = Recorder {
                ring: &ring,
                actor,
                now,
                scribe,
                forward: forward.as_ref(),
            };
            // What is wrong with a statement is wrong usage.
            match recorder.record(store, &statement).await {
                Err(RecordError::Rejected(rejection)) => Ok(Err(rejection)),
                recorded => Ok(Ok(recorded?)),
            }
        })
        .await
    })?;
    let recorded = recorded.map_err(Failure::usage)?;
    let (record, new) = (&recorded.record, recorded.is_new);
    match arguments.input.format {
        Format::Json => print_json(record)?,
        Format::Text => print(|out| {
            let (sequence, id) = (record.note.sequence, visible(&record.statement.record_id));
            let verb = if new { "recorded" } else { "nothing new" };
            writeln!(
                out,
                "{GOOD}{verb}{GOOD:#}: {id} is record {sequence} of organisation {}",
                whose.organization
            )?;
            if record.note.without_grant {
                writeln!(out, "nothing was granted that it takes back")?;
            }
            Ok(())
        })?,
    }
    Ok(Exit::Intact)
}

/// The records of whoever is meant: somebody may be known by several names.
async fn history(store: &Store, whose: &Whose) -> anyhow::Result<Vec<Record>> {
    let subjects = [
        whose.user.map(Subject::User),
        whose.email.clone().map(Subject::Email),
        whose.subject.clone().map(Subject::Other),
    ];
    let mut records = Vec::new();
    let mut is_anybody = false;
    for subject in subjects.into_iter().flatten() {
        is_anybody = true;
        let (kind, name) = subject.key();
        for row in store.consents_of(whose.organization, kind, &name).await? {
            records.push(read(&row)?);
        }
    }
    if !is_anybody {
        let usage = "whose? Give --user, --email or --subject, or several of them for one person";
        return Err(StateError::Refused(usage.to_owned()).into());
    }
    records.sort_by_key(|record| record.note.sequence);
    Ok(records)
}

async fn all(store: &Store, organization: i64) -> anyhow::Result<Vec<Record>> {
    let mut records = Vec::new();
    let mut after = 0;
    loop {
        let page = store.consents_after((organization, after), PAGE).await?;
        let ours = page
            .iter()
            .filter(|row| row.organization_id == organization);
        let before = records.len();
        for row in ours {
            after = row.sequence;
            records.push(read(row)?);
        }
        if records.len() == before {
            return Ok(records);
        }
    }
}

fn read(row: &ConsentRow) -> anyhow::Result<Record> {
    Record::read(row).map_err(|problem| {
        anyhow!(
            "consent record {} of organisation {} cannot be read: {problem}; see \"trailkeeper verify --ledger\"",
            row.sequence,
            row.organization_id
        )
    })
}

fn status(query: &Query) -> Result<Exit, Failure> {
    let Query { whose, output } = query;
    let records = with_store(output.config.as_deref(), async |_, store| {
        history(store, whose).await
    })?;
    let consents = standing(&records);
    match output.format {
        Shape::Json => print_json(&consents)?,
        Shape::Csv => print(|out| write_status_csv(out, &consents))?,
        Shape::Text => print(|out| write_status(out, &consents))?,
    }
    Ok(Exit::Intact)
}

fn show(records: &[Record], shape: Shape) -> Result<Exit, Failure> {
    match shape {
        Shape::Json => print_json(&records)?,
        Shape::Csv => print(|out| write_records_csv(out, records))?,
        Shape::Text => print(|out| write_records(out, records))?,
    }
    Ok(Exit::Intact)
}
