//! `trailkeeper audit-pack make`.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde::{Serialize, de::DeserializeOwned};

use super::super::{
    Exit, Failure,
    anchors::{Sources, threaded},
    config::Input,
    store::load,
    verify::{Format, print, print_json},
};
use crate::{
    anchor,
    checkpoint::sample::{DEFAULT_COUNT, MAX_COUNT},
    clock::Clock,
    config::Config,
    objects::Vault,
    pack::{self, Asked, Log, Made, Order, Renderings, StoredPack},
    private::Draft,
    qwed::url::DatabaseUrl,
    report::{model::Report, render},
    state::Store,
    tombstones::Graveyard,
    verify,
};

pub(super) const AFTER: &str = "\
The report and the verification are files that this program wrote (\"trailkeeper verify --org ID --format json\"). Anchors and proofs \
come from the state database, the sampled entries from QWED's; nothing is written to either. The pack holds what the report and \
the logs hold: only its owner may read the file.

Exit codes:
  0    made, and stored where that was asked for
  2    wrong usage or configuration, or a file that exists
  3    a file or database cannot be read, there is no key, what was given does not belong together, or the store failed or did not lock";

/// What `audit-pack make` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The report, as JSON
    #[arg(long, value_name = "FILE")]
    report: PathBuf,
    /// The verification that it rests on, as JSON
    #[arg(long, value_name = "FILE")]
    verification: PathBuf,
    /// The report as HTML
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// The report as PDF
    #[arg(long, value_name = "FILE")]
    pdf: Option<PathBuf>,
    /// Records of the period as CSV, under the file's name; may be repeated
    #[arg(long = "log", value_name = "FILE")]
    logs: Vec<PathBuf>,
    /// What to draw the sample with [default: the report's id]
    #[arg(long, value_name = "TEXT")]
    seed: Option<String>,
    /// How many entries to draw
    #[arg(long, value_name = "K", default_value_t = DEFAULT_COUNT, value_parser = clap::value_parser!(u64).range(1..=MAX_COUNT))]
    count: u64,
    /// New file for the pack
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Put it into the configured store of objects as well, under lock
    #[arg(long)]
    store: bool,
    #[command(flatten)]
    input: Input,
}

#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    made: Made,
    stored: Option<StoredPack>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let config = load(arguments.input.config.as_deref())?;
    if fs::symlink_metadata(&arguments.out).is_ok() {
        let out = arguments.out.display();
        return Err(Failure::usage(anyhow::anyhow!("{out} is there already")));
    }
    let document = threaded(make(&config, arguments))?;
    match arguments.input.format {
        Format::Json => print_json(&document)?,
        Format::Text => print(|out| write_text(out, &document, &arguments.out))?,
    }
    Ok(Exit::Intact)
}

async fn make(config: &Config, arguments: &Arguments) -> anyhow::Result<Document> {
    let report: Report = json(&arguments.report)?;
    let verification: verify::report::Report = json(&arguments.verification)?;
    let key = anchor::load_key(&config.anchor_key_file())?;
    let signer =
        key.context("there is no anchor key, which signs the manifest (anchors.key_file)")?;
    let url = config
        .qwed_url()
        .context("which QWED database? Set qwed.database_url in the configuration, or DATABASE_URL as for QWED")?;
    let url: DatabaseUrl = url.expose().parse()?;
    let store = Store::open(config.state_url().expose(), config.state.max_connections).await?;
    store.prepare().await?;
    let graveyard = Graveyard {
        store: store.clone(),
        origin: config.anchors.origin.clone(),
        keys: Sources::configured(config)?.keys,
    };
    let asked = Asked {
        organization_id: report.organization.id,
        seed: arguments.seed.clone().unwrap_or_else(|| report.id.clone()),
        count: arguments.count,
    };
    let gathered = pack::gather(&graveyard, &url, &asked).await;
    store.close().await;
    let gathered = gathered?;
    let (html, pdf) = (
        bytes(arguments.html.as_deref())?,
        bytes(arguments.pdf.as_deref())?,
    );
    let order = Order {
        report: &report,
        verification: &verification,
        gathered: &gathered,
        renderings: Renderings {
            html: html.as_deref(),
            pdf: pdf.as_deref(),
            table: &|table, out| render::csv(table, out),
        },
        logs: arguments
            .logs
            .iter()
            .map(|path| log(path))
            .collect::<anyhow::Result<_>>()?,
        signer: &signer,
        made_at: Clock.now(),
    };
    let (draft, out) = Draft::begin(&arguments.out)
        .with_context(|| format!("cannot make {}", arguments.out.display()))?;
    let (mut file, made) = pack::make(order, out)?;
    draft.name()?;
    let stored = match arguments.store {
        true => Some(pack::store(&Vault::open(config)?, &made, &mut file).await?),
        false => None,
    };
    if let Some(problem) = stored.as_ref().and_then(StoredPack::lock_problem) {
        bail!("the pack was made and stored, and is not locked as configured: {problem}");
    }
    Ok(Document { made, stored })
}

fn bytes(path: Option<&Path>) -> anyhow::Result<Option<Vec<u8>>> {
    let read = |path: &Path| {
        let file = File::open(path)?;
        let mut bytes = Vec::new();
        file.take(pack::MAX_WHOLE_BYTES).read_to_end(&mut bytes)?;
        io::Result::Ok(bytes)
    };
    path.map(|path| read(path).with_context(|| format!("cannot read {}", path.display())))
        .transpose()
}

fn json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let bytes = bytes(Some(path))?.unwrap_or_default();
    serde_json::from_slice(&bytes).with_context(|| format!("{} cannot be used", path.display()))
}

fn log(path: &Path) -> anyhow::Result<Log<'_>> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("{} has no name", path.display()))?;
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut records = csv::ReaderBuilder::new()
        .flexible(true)
        .from_path(path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Log {
        name: name.to_owned(),
        write: Box::new(move |out| {
            io::copy(&mut file, out)?;
            let mut record = csv::ByteRecord::new();
            let mut rows = 0;
            while records
                .read_byte_record(&mut record)
                .map_err(io::Error::other)?
            {
                rows += 1;
            }
            Ok(rows)
        }),
    })
}

fn write_text(out: &mut dyn Write, document: &Document, path: &Path) -> io::Result<()> {
    let Document { made, stored } = document;
    writeln!(
        out,
        "{}: {} files, {} bytes",
        path.display(),
        made.files.len() + 1,
        made.size_bytes
    )?;
    writeln!(out, "sha256: {}", made.sha256)?;
    match &made.without_anchor {
        None => writeln!(out, "{} entries drawn and proven", made.sampled)?,
        Some(why) => writeln!(out, "without anchor and proofs: {why}")?,
    }
    if let Some(stored) = stored {
        for object in &stored.objects {
            writeln!(out, "stored: {} in {}", object.name, stored.location)?;
        }
    }
    Ok(())
}
