//! `trailkeeper checklist`.

use std::env;
use std::io::{self, Write};
use std::sync::Arc;

use clap::Args;

use super::{
    Exit, Failure,
    anchors::runtime,
    config::Input,
    progress::watch,
    store::{load, qwed_url},
    table::visible,
    text::{BAD, DOUBTFUL, FAINT, GOOD},
    verify::{Format, print, print_json},
};
use crate::{
    anchor,
    checklist::{self, Checklist, Sources, Status},
    clock::Clock,
    config::Config,
    progress::Progress,
    state::{Found, Store},
};

const AFTER: &str = "\
The seven items are those of QWED's compliance guide. Each is computed; what nobody did yet, or what cannot be looked up, is unknown. \
Nothing is written anywhere.

Exit codes:
  0    all items pass
  1    at least one item fails
  2    wrong usage or configuration: no such organisation
  3    the state database cannot be reached
  4    no item fails, and at least one is unknown
  130  interrupted";

/// What `checklist` takes.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Arguments {
    /// Only this organisation [default: all]
    #[arg(long = "org", value_name = "ID")]
    organization: Option<i64>,
    /// QWED's database, as in QWED's own DATABASE_URL [default: configuration, then DATABASE_URL]
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    #[command(flatten)]
    input: Input,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let input = &arguments.input;
    let config = load(input.config.as_deref())?;
    let qwed = qwed_url(arguments.database.as_deref(), &config);
    let keys = anchor::public_keys(&config.anchor_key_file(), &config.anchors.public_keys);
    let keys = keys.map_err(Failure::could_not_check)?;
    let ring = config.key_ring(|name| env::var_os(name));
    let progress = Arc::new(Progress::default());
    let watching = watch(&progress, false);
    let runtime = runtime().map_err(Failure::could_not_check)?;
    let gathered = runtime.block_on(async {
        let sources = Sources {
            store: store(&config).await?,
            qwed: qwed.map_err(|error| error.to_string()),
            keys,
            ring: ring.map(Arc::new).map_err(|error| error.to_string()),
            organization_id: arguments.organization,
            now: Clock.now(),
            config,
        };
        anyhow::Ok(checklist::gather(&sources, &progress).await)
    });
    drop(watching);
    let facts = gathered.map_err(Failure::could_not_check)?;
    if progress.is_stopped() {
        return Err(Failure::interrupted(anyhow::anyhow!("interrupted")));
    }
    if let Some(id) = facts.unknown_organization() {
        return Err(Failure::usage(anyhow::anyhow!(
            "there is no organisation {id}"
        )));
    }
    let checklist = checklist::take(&facts);
    match input.format {
        Format::Json => print_json(&checklist)?,
        Format::Text => print(|out| write(out, &checklist))?,
    }
    Ok(match checklist.status {
        Status::Pass => Exit::Intact,
        Status::Fail => Exit::Tampered,
        Status::Unknown => Exit::Incomplete,
    })
}

/// Our database, if there is one; none is made for a look at it.
async fn store(config: &Config) -> anyhow::Result<Option<Store>> {
    let url = config.state_url();
    if let Found::NoFile | Found::Database { applied: 0, .. } = Store::look(url.expose()).await? {
        return Ok(None);
    }
    let store = Store::open(url.expose(), config.state.max_connections).await?;
    store.prepare().await?;
    Ok(Some(store))
}

/// An item a line, and what to do below those that do not pass.
pub(super) fn write(out: &mut dyn Write, checklist: &Checklist) -> io::Result<()> {
    for item in &checklist.items {
        let style = match item.status {
            Status::Pass => GOOD,
            Status::Fail => BAD,
            Status::Unknown => DOUBTFUL,
        };
        writeln!(
            out,
            "{style}{:<7}{style:#}  {}: {}",
            item.status.name(),
            item.title,
            visible(&item.reason)
        )?;
        if let Some(remedy) = &item.remedy {
            writeln!(out, "         {FAINT}{}{FAINT:#}", visible(remedy))?;
        }
    }
    let of = |status| {
        checklist
            .items
            .iter()
            .filter(|it| it.status == status)
            .count()
    };
    writeln!(
        out,
        "{} of {} items pass, {} fail, {} are unknown",
        of(Status::Pass),
        checklist.items.len(),
        of(Status::Fail),
        of(Status::Unknown)
    )
}
