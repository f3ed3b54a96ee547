//! `trailkeeper export evidence`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::{
    Exit, Failure,
    anchors::{Anchors, Sources, runtime},
    config::Input,
    ledger::note_export,
    progress::watch,
    store::{load, qwed_url},
    table::visible,
    text::{DOUBTFUL, FAINT},
    verify::{Format, print, print_json},
};
use crate::{
    anchor::{self, Loaded},
    clock::Clock,
    config::{Config, parse_micros},
    evidence::{self, Asked, Content, EvidenceError, Manifest, Order, Profile},
    ledger::Act,
    progress::Progress,
    qwed::Period,
    state::{Found, Store},
    tombstones::Graveyard,
    trail::keys::KeyRing,
};

pub(super) const AFTER: &str = "\
The profile \"full\" has every column as it is stored, the oldest first, and of each entry what this program says of it: verdict, problem, \
whether it was erased, and its place in the newest anchor. A text that a spreadsheet could take for a formula (it begins with =, +, -, @, \
a tab or a line break) gets an apostrophe in front. The profile \"qwed\" is byte for byte what QWED's own export writes, the newest first, by \
default of the last 30 days; as in QWED's, formulas are NOT defused there: import all columns as text.

Beside FILE stands FILE.json: what it is, its columns, rows and SHA-256. Both hold, or tell of, personal data: only their owner may read them.

Exit codes:
  0    exported; what is wrong with entries stands in the file
  2    wrong usage or configuration: no such organisation, or a file that exists
  3    the database cannot be read, or the file not be written
  130  interrupted";

/// [`Content`], as it is typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Records {
    /// The audit trail
    VerificationLog,
    /// What QWED blocked or found suspicious
    SecurityEvents,
}

impl From<Records> for Content {
    fn from(records: Records) -> Self {
        match records {
            Records::VerificationLog => Self::VerificationLog,
            Records::SecurityEvents => Self::SecurityEvents,
        }
    }
}

/// [`Profile`], as it is typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Spelling {
    /// Every column, and what this program says of each entry; the oldest first
    Full,
    /// As QWED's own export, the newest first
    Qwed,
}

impl From<Spelling> for Profile {
    fn from(spelling: Spelling) -> Self {
        match spelling {
            Spelling::Full => Self::Full,
            Spelling::Qwed => Self::Qwed,
        }
    }
}

/// What `export evidence` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The organisation
    #[arg(long = "org", value_name = "ID")]
    organization: i64,
    /// Which records
    #[arg(long, value_enum, default_value = "verification-log")]
    content: Records,
    /// How rows are spelled
    #[arg(long, value_enum, default_value = "full")]
    profile: Spelling,
    /// Only records from this time on (ISO 8601; UTC unless it has an offset; a date is its first moment)
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only records up to this time, itself included
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// New file for the CSV
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// QWED's database, as in QWED's own DATABASE_URL [default: configuration, then DATABASE_URL]
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    #[command(flatten)]
    input: Input,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let Arguments { input, out, .. } = arguments;
    let config = load(input.config.as_deref())?;
    let now = Clock.now();
    let asked = asked(arguments)?.with_qweds_period(now);
    let url = qwed_url(arguments.database.as_deref(), &config).map_err(Failure::usage)?;
    let content = Content::from(arguments.content);
    let ring = ring(&config, &asked, content)?;
    // Before anything is made: whoever has the key wants the entry.
    let key = anchor::load_key(&config.anchor_key_file()).map_err(Failure::could_not_check)?;
    let runtime = runtime().map_err(Failure::could_not_check)?;
    let keys = Sources::configured(&config)
        .map_err(Failure::could_not_check)?
        .keys;
    let origin = config.anchors.origin.clone();
    let state = config.state_url();
    let graveyard = runtime.block_on(async {
        if let Found::NoFile | Found::Database { applied: 0, .. } =
            Store::look(state.expose()).await?
        {
            return anyhow::Ok(None);
        }
        let store = Store::open(state.expose(), 3).await?;
        store.prepare().await?;
        Ok(Some(Graveyard {
            store,
            origin: origin.clone(),
            keys: keys.clone(),
        }))
    });
    let graveyard = graveyard.map_err(Failure::could_not_check)?;
    let anchors = match (asked.profile, &graveyard) {
        (Profile::Full, Some(_)) => Anchors::load(state.expose(), &origin, &keys),
        _ => Ok(None),
    };
    let anchors = anchors.map_err(Failure::could_not_check)?;
    let none = Loaded::default();
    let loaded = anchors.as_ref().map_or(&none, |anchors| &anchors.loaded);
    let findings = loaded.findings.iter();
    let order = Order {
        asked,
        url,
        graveyard,
        handle: runtime.handle().clone(),
        ring: Arc::new(ring),
        anchored: loaded.anchored.clone(),
        anchor_findings: findings.map(|finding| finding.detail.clone()).collect(),
        scratch: crate::private::directory(out).to_owned(),
        made_at: now,
    };
    let progress = Arc::new(Progress::default());
    let watching = watch(&progress, input.format == Format::Text);
    let made = evidence::to_file(&order, content, out, &progress);
    drop(watching);
    let manifest = made.map_err(|error| match error {
        EvidenceError::Interrupted => Failure::interrupted(error),
        EvidenceError::Exists(_) | EvidenceError::NoOrganization(_) => Failure::usage(error),
        _ => Failure::could_not_check(error),
    })?;
    let act = Act::ExportEvidence;
    note_export(&config, key.as_ref(), "export evidence", act, &manifest)?;
    match input.format {
        Format::Json => print_json(&manifest)?,
        Format::Text => print_text(arguments, &manifest)?,
    }
    Ok(Exit::Intact)
}

fn asked(arguments: &Arguments) -> Result<Asked, Failure> {
    let time = |name: &str, text: &Option<String>| {
        match text {
        None => Ok(None),
        Some(text) => parse_micros(text).map(Some).ok_or_else(|| {
            Failure::usage(anyhow::anyhow!(
                "--{name} {text:?} is not a time; use a form like 2026-05-08 or 2026-05-08T12:30:00Z"
            ))
        }),
    }
    };
    let period = Period {
        from: time("from", &arguments.from)?,
        to: time("to", &arguments.to)?,
    };
    if let (Some(from), Some(to)) = (period.from, period.to)
        && from > to
    {
        return Err(Failure::usage(anyhow::anyhow!("--from is after --to")));
    }
    Ok(Asked {
        organization_id: arguments.organization,
        period,
        profile: arguments.profile.into(),
    })
}

/// The keys that entries are judged by; none are needed where none are.
fn ring(config: &Config, asked: &Asked, content: Content) -> Result<KeyRing, Failure> {
    match (asked.profile, content) {
        (Profile::Full, Content::VerificationLog) => config
            .key_ring(|name| std::env::var_os(name))
            .map_err(Failure::could_not_check),
        _ => Ok(KeyRing::new(Vec::new())),
    }
}

fn print_text(arguments: &Arguments, manifest: &Manifest) -> Result<(), Failure> {
    let written = &manifest.written;
    print(|out| {
        let path = arguments.out.display().to_string();
        writeln!(
            out,
            "{} rows in {} ({} bytes)",
            written.rows,
            visible(&path),
            written.size_bytes
        )?;
        writeln!(out, "{FAINT}sha256 {}{FAINT:#}", written.sha256)?;
        for (verdict, entries) in &written.verdicts {
            writeln!(out, "{entries} {verdict}")?;
        }
        if written.erased > 0 {
            writeln!(
                out,
                "{} were erased, and are told as erased",
                written.erased
            )?;
        }
        for finding in &manifest.anchor_findings {
            writeln!(out, "{DOUBTFUL}anchors:{DOUBTFUL:#} {}", visible(finding))?;
        }
        if !manifest.formulas_defused {
            writeln!(
                out,
                "formulas are not defused, as in QWED's own export: import all columns as text"
            )?;
        }
        Ok(())
    })
}
