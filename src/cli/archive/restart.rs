//! `trailkeeper archive restart`.

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::backups::with;
use crate::{
    anchor, backup,
    cli::{
        Exit, Failure,
        anchors::Sources,
        config::Input,
        ledger::actor,
        verify::{Format, print, print_json},
    },
    clock::Clock,
    ledger::Scribe,
};

pub(super) const AFTER: &str = "\
For when an archive is lost, or objects.url names a new place to which the old one was not copied. Nothing is removed: what is \
left of the old archive can still be restored, as long as the state database has its data keys. The next backup archives everything.

Exit codes:
  0  the next backup begins a new archive
  2  wrong usage or configuration
  3  the place has an archive, or something cannot be reached";

#[derive(Debug, Args)]
pub(super) struct Restart {
    /// Why, for the ledger
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    input: Input,
}

pub(super) fn run(arguments: &Restart) -> Result<Exit, Failure> {
    let forgotten = with(&arguments.input, async |archive| {
        let config = &archive.config;
        let keys = Sources::configured(config)?.keys;
        let key = anchor::load_key(&config.anchor_key_file())?.context(
            "this is an entry of the ledger, and the anchor key, which signs those, is not here",
        )?;
        let scribe = Scribe {
            origin: archive.origin(),
            key: &key,
            actor: &actor("archive restart"),
            now: Clock.now(),
        };
        let (store, vault) = (&archive.store, &archive.vault);
        Ok(backup::restart(store, vault, &keys, &scribe, &arguments.reason).await?)
    })?;
    match arguments.input.format {
        Format::Json => print_json(&json!({ "forgotten_backups": forgotten }))?,
        Format::Text => print(|out| {
            writeln!(
                out,
                "{forgotten} backups of another archive are forgotten; the next backup begins anew and archives everything"
            )
        })?,
    }
    Ok(Exit::Intact)
}
