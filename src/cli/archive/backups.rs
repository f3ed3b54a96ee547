//! Backups in the archive: made, listed, verified and restored.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::recovery::write_exported;
use crate::{
    anchor::{self, Keys},
    backup::{self, Archived, Exported, Finding, Made, Options, Restored, Wanted},
    cli::{
        Exit, Failure,
        anchors::{Sources, threaded},
        config::Input,
        erase::{office, write_replayed},
        ledger::{actor, record},
        progress::watch,
        store::load,
        table::{table, visible},
        text::{BAD, GOOD},
        verify::{Format, print, print_json},
    },
    clock::Clock,
    config::{Config, parse_micros},
    erasure::{self, Replayed, State},
    ledger::Act,
    objects::Vault,
    progress::Progress,
    qwed::url::DatabaseUrl,
    state::Store,
};

pub(super) const AFTER: &str = "\
A backup is what QWED's trail got since the backup before, all its other tables, and the anchors, in the store of [objects]; \
personal data in it are encrypted with keys that stay in the state database. docs/archive-format.md says how it is read.

Exit codes:
  0  done, and as it should be
  1  objects are not locked as configured (create), or not what was archived (list, verify)
  2  wrong usage or configuration
  3  the store or a database cannot be reached, or refused";

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The database to restore into, which has to be empty: sqlite:///PATH or postgresql://…
    #[arg(long, value_name = "URL")]
    to: String,
    /// Restore only what belongs to this organisation
    #[arg(long = "organization", visible_alias = "org", value_name = "ID")]
    organization: Option<i64>,
    /// Restore the state as of this manifest [default: the newest]
    #[arg(long, value_name = "N", conflicts_with = "at")]
    manifest: Option<i64>,
    /// Restore the newest backup that had begun by this time (ISO 8601; UTC unless it has an offset)
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    #[command(flatten)]
    input: Input,
}

#[derive(Debug, Args)]
pub(super) struct Rewrap {
    /// A file with the former key-encryption key
    #[arg(long = "former-kek-file", value_name = "FILE", required = true)]
    former: Vec<PathBuf>,
    #[command(flatten)]
    input: Input,
}

/// What commands of the archive work with.
pub(super) struct Archive {
    pub(super) config: Config,
    pub(super) store: Store,
    pub(super) vault: Vault,
}

impl Archive {
    async fn open(config: Config) -> anyhow::Result<Self> {
        let vault = Vault::open(&config)?;
        let store = Store::open(config.state_url().expose(), config.state.max_connections).await?;
        store.prepare().await?;
        Ok(Self {
            config,
            store,
            vault,
        })
    }

    /// Adds an entry to the ledger.
    pub(super) async fn record(
        &self,
        command: &str,
        act: Act,
        detail: Value,
    ) -> anyhow::Result<()> {
        let key = anchor::load_key(&self.config.anchor_key_file())?;
        record(
            &self.store,
            &self.config,
            key.as_ref(),
            &actor(command),
            act,
            detail,
        )
        .await
    }

    pub(super) fn origin(&self) -> &str {
        &self.config.anchors.origin
    }
}

/// Runs a command with the archive of the configuration.
pub(super) fn with<T>(
    input: &Input,
    command: impl AsyncFnOnce(&Archive) -> anyhow::Result<T>,
) -> Result<T, Failure> {
    let config = load(input.config.as_deref())?;
    threaded(async {
        let archive = Archive::open(config).await?;
        let done = command(&archive).await;
        archive.store.close().await;
        done
    })
}

#[derive(Serialize)]
struct Created {
    #[serde(flatten)]
    made: Made,
    recovery: Exported,
}

pub(super) fn create(input: &Input) -> Result<Exit, Failure> {
    let created = with(input, async |archive| {
        let Archive {
            config,
            store,
            vault,
        } = archive;
        let url = config.qwed_url().context(
            "which QWED database? Set qwed.database_url in the configuration, or DATABASE_URL as for QWED",
        )?;
        let url: DatabaseUrl = url.expose().parse()?;
        let kek = backup::kek(config, store).await?.context(
            "there is no key-encryption key: make one by \"openssl rand -base64 32\", give it to every worker, and set \
             backup.kek_file",
        )?;
        let may_make = anchor::may_make_key(store).await?;
        let origin = &config.anchors.origin;
        let key = anchor::load_or_make_key(&config.anchor_key_file(), origin, may_make)?;
        let keys = Keys::new(key, &config.anchors.public_keys);
        let (now, options) = (Clock.now(), Options::default());
        let progress = Arc::new(Progress::default());
        let _watch = watch(&progress, input.format == Format::Text);
        let made = backup::run(
            store, vault, &url, origin, &keys, &kek, now, options, &progress,
        )
        .await?;
        let recovery = backup::export_keys(config, store, &keys, made.number, now).await?;
        Ok(Created { made, recovery })
    })?;
    let Created { made, recovery } = &created;
    match input.format {
        Format::Json => print_json(&created)?,
        Format::Text => print(|out| {
            writeln!(
                out,
                "backup {}: {} new entries, {} rows of all tables, {} anchors, {} objects of {} bytes",
                made.number, made.entries, made.rows, made.anchors, made.objects, made.size_bytes
            )?;
            writeln!(out, "manifest: {}", made.manifest)?;
            if made.renewed > 0 {
                writeln!(
                    out,
                    "{} older objects are locked for longer now",
                    made.renewed
                )?;
            }
            for unlocked in &made.not_locked {
                let why = visible(&unlocked.why);
                writeln!(out, "{BAD}not locked{BAD:#}: {}: {why}", unlocked.object)?;
            }
            write_exported(out, recovery)
        })?,
    }
    Ok(
        if made.not_locked.is_empty() && recovery.not_locked.is_empty() {
            Exit::Intact
        } else {
            Exit::Tampered
        },
    )
}

#[derive(Serialize)]
struct Listed {
    manifests: Vec<ListedManifest>,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct ListedManifest {
    number: i64,
    made_at: String,
    program: String,
    entries: i64,
    objects: usize,
    size_bytes: i64,
    name: String,
}

impl From<&Archived> for ListedManifest {
    fn from(archived: &Archived) -> Self {
        let manifest = &archived.manifest;
        let trail = manifest.objects.iter();
        let trail = trail.filter(|object| object.table == "verificationlog");
        Self {
            number: manifest.number,
            made_at: crate::when::rfc3339(manifest.made_at.as_microsecond()),
            program: manifest.program.clone(),
            entries: trail.map(|object| object.rows).sum(),
            objects: manifest.objects.len(),
            size_bytes: manifest.objects.iter().map(|it| it.size_bytes).sum(),
            name: archived.name.clone(),
        }
    }
}

pub(super) fn list(input: &Input) -> Result<Exit, Failure> {
    let loaded = with(input, async |archive| {
        let sources = Sources::configured(&archive.config)?;
        Ok(backup::load(&archive.vault, archive.origin(), &sources.keys).await?)
    })?;
    let listed = Listed {
        manifests: loaded.all.iter().rev().map(ListedManifest::from).collect(),
        findings: loaded.findings().cloned().collect(),
    };
    match input.format {
        Format::Json => print_json(&listed)?,
        Format::Text => print(|out| {
            if listed.manifests.is_empty() && listed.findings.is_empty() {
                return writeln!(
                    out,
                    "no backups yet; \"trailkeeper archive create\" makes one"
                );
            }
            let row = |it: &ListedManifest| {
                [
                    it.number.to_string().into(),
                    it.made_at.as_str().into(),
                    it.entries.to_string().into(),
                    it.objects.to_string().into(),
                    it.size_bytes.to_string().into(),
                ]
            };
            let rows: Vec<_> = listed.manifests.iter().map(row).collect();
            let head = ["BACKUP", "MADE", "NEW ENTRIES", "OBJECTS", "BYTES"];
            table(out, head, &rows)?;
            write_findings(out, &listed.findings)
        })?,
    }
    Ok(exit(&listed.findings))
}

pub(super) fn verify(input: &Input) -> Result<Exit, Failure> {
    let report = with(input, async |archive| {
        let Archive { store, vault, .. } = archive;
        let sources = Sources::configured(&archive.config)?;
        let now = Clock.now();
        Ok(backup::verify(vault, Some(store), archive.origin(), &sources.keys, now).await?)
    })?;
    match input.format {
        Format::Json => print_json(&report)?,
        Format::Text => print(|out| {
            write_findings(out, &report.findings)?;
            for orphan in &report.orphans {
                writeln!(out, "named by no manifest: {}", visible(orphan))?;
            }
            match report.findings.len() {
                0 if report.manifests == 0 => writeln!(out, "no backups yet"),
                0 => writeln!(
                    out,
                    "{GOOD}{} backups with {} objects are as they were archived{GOOD:#}",
                    report.manifests, report.objects
                ),
                found => writeln!(
                    out,
                    "{found} findings; {} objects are as they were archived",
                    report.objects
                ),
            }
        })?,
    }
    Ok(exit(&report.findings))
}

fn write_findings(out: &mut dyn std::io::Write, findings: &[Finding]) -> std::io::Result<()> {
    for finding in findings {
        let (object, detail) = (visible(&finding.object), visible(&finding.detail));
        writeln!(
            out,
            "{BAD}{}{BAD:#}: {object}: {detail}",
            finding.kind.name()
        )?;
    }
    Ok(())
}

fn exit(findings: &[Finding]) -> Exit {
    if findings.is_empty() {
        Exit::Intact
    } else {
        Exit::Tampered
    }
}

fn time(text: &str) -> Result<Timestamp, Failure> {
    let micros = parse_micros(text).and_then(|micros| Timestamp::from_microsecond(micros).ok());
    micros.ok_or_else(|| {
        Failure::usage(anyhow::anyhow!(
            "--at {text:?} is not a time; use a form like 2026-05-08 or 2026-05-08T12:30:00Z"
        ))
    })
}

/// What was restored, and who was erased again in it.
#[derive(Serialize)]
struct Back {
    #[serde(flatten)]
    restored: Restored,
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed: Option<Replayed>,
}

/// Erases again whoever was erased since: nobody is to be served what a backup still has of them.
async fn replay(
    archive: &Archive,
    to: &DatabaseUrl,
    progress: &Arc<Progress>,
) -> anyhow::Result<Option<Replayed>> {
    let completed = State::Completed.name();
    let store = &archive.store;
    if store
        .erasures_after(Some(completed), "", 1)
        .await?
        .is_empty()
    {
        return Ok(None);
    }
    let office = office(&archive.config, store, "archive restore", Some(to))?;
    let replayed = erasure::replay(&office, progress).await;
    replayed.map(Some).context(
        "the backup was restored, but who was erased is not erased in it yet: run \"trailkeeper erase replay --database URL\" before \
         anything is served from it",
    )
}

pub(super) fn restore(arguments: &Restore) -> Result<Exit, Failure> {
    let to: DatabaseUrl = arguments.to.parse().map_err(Failure::usage)?;
    let wanted = Wanted {
        organization: arguments.organization,
        manifest: arguments.manifest,
        at: arguments.at.as_deref().map(time).transpose()?,
    };
    let restored = with(&arguments.input, async |archive| {
        let Archive {
            config,
            store,
            vault,
        } = archive;
        let sources = Sources::configured(config)?;
        let kek = backup::load_or_make_kek(config, false)?;
        let progress = Arc::new(Progress::default());
        let _watch = watch(&progress, arguments.input.format == Format::Text);
        let (origin, keys) = (archive.origin(), &sources.keys);
        let restored =
            backup::restore(store, vault, origin, keys, &kek, &to, wanted, &progress).await?;
        let mut detail = serde_json::to_value(&restored)?;
        detail["to"] = to.to_string().into();
        archive
            .record("archive restore", Act::Restore, detail)
            .await?;
        let replayed = replay(archive, &to, &progress).await?;
        Ok(Back { restored, replayed })
    })?;
    let Back { restored, replayed } = &restored;
    match arguments.input.format {
        Format::Json => print_json(&Back {
            restored: restored.clone(),
            replayed: replayed.clone(),
        })?,
        Format::Text => print(|out| {
            writeln!(
                out,
                "restored backup {} of {}: {} rows",
                restored.manifest, restored.made_at, restored.rows
            )?;
            let rows = restored.tables.iter();
            let rows: Vec<_> = rows
                .map(|(name, rows)| [name.as_str().into(), rows.to_string().into()])
                .collect();
            table(out, ["TABLE", "ROWS"], &rows)?;
            if restored.erased_keys > 0 {
                writeln!(
                    out,
                    "{} rows hold \"[erased]\": the keys of their {} data subjects are gone",
                    restored.erased_rows, restored.erased_keys
                )?;
            }
            if let Some(replayed) = replayed {
                write_replayed(out, replayed)?;
            }
            if restored.unknown_keys > 0 {
                writeln!(
                    out,
                    "{BAD}{} of these keys are not known as destroyed{BAD:#}: is this the state database that the archive was \
                     made with?",
                    restored.unknown_keys
                )?;
            }
            Ok(())
        })?,
    }
    Ok(Exit::Intact)
}

#[derive(Serialize)]
struct Rewrapped {
    data_keys: u64,
    kek: String,
}

pub(super) fn rewrap(arguments: &Rewrap) -> Result<Exit, Failure> {
    let rewrapped = with(&arguments.input, async |archive| {
        let kek = backup::load_or_make_kek(&archive.config, true)?;
        let mut former = Vec::new();
        for path in &arguments.former {
            let found = backup::read_kek(path)?;
            former.push(found.with_context(|| format!("there is no {}", path.display()))?);
        }
        let rewrapped = Rewrapped {
            data_keys: backup::rewrap(&archive.store, &kek, &former).await?,
            kek: kek.id(),
        };
        let detail = serde_json::to_value(&rewrapped)?;
        archive
            .record("archive rewrap", Act::Rewrap, detail)
            .await?;
        Ok(rewrapped)
    })?;
    match arguments.input.format {
        Format::Json => print_json(&rewrapped)?,
        Format::Text => print(|out| {
            writeln!(
                out,
                "{} data keys are now wrapped with the key {}",
                rewrapped.data_keys, rewrapped.kek
            )
        })?,
    }
    Ok(Exit::Intact)
}
