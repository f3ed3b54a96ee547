//! `trailkeeper archive prune`.

use std::io::{self, Write};

use anyhow::Context;
use clap::Args;

use super::backups::with;
use crate::{
    anchor,
    backup::{self, Plan, Pruned},
    cli::{
        Exit, Failure,
        anchors::Sources,
        config::Input,
        ledger::actor,
        table::{table, visible},
        text::BAD,
        verify::{Format, print, print_json},
    },
    clock::Clock,
    ledger::Scribe,
};

pub(super) const AFTER: &str = "\
Nothing is removed without --apply. What the newest backup needs is never listed: all segments of the trail, all anchors, \
checkpoints and manifests. What is left are the other tables of earlier backups, once their time is over: a restore as of such \
a backup is not possible any more then. The store is asked for the lock of each object, and keeps what it has locked or held.

Exit codes:
  0  listed, or removed
  1  the store refused to remove some of it
  2  wrong usage or configuration
  3  the store or a database cannot be reached, the archive is not sound, or the list has changed";

#[derive(Debug, Args)]
pub(super) struct Prune {
    /// What is over: past its time and its lock, without a legal hold, and needed by no restore of a kept state
    #[arg(long, required = true)]
    expired: bool,
    /// Remove exactly what was listed under this digest
    #[arg(long, value_name = "DIGEST")]
    apply: Option<String>,
    /// Objects of one list at most; the same for listing and removing
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    input: Input,
}

pub(super) fn run(arguments: &Prune) -> Result<Exit, Failure> {
    match &arguments.apply {
        Some(digest) => remove(arguments, digest),
        None => list(arguments),
    }
}

fn list(arguments: &Prune) -> Result<Exit, Failure> {
    let plan = with(&arguments.input, async |archive| {
        let keys = Sources::configured(&archive.config)?.keys;
        let (store, vault) = (&archive.store, &archive.vault);
        let (now, limit) = (Clock.now(), arguments.limit as usize);
        Ok(backup::plan_prune(store, vault, archive.origin(), &keys, now, limit).await?)
    })?;
    match arguments.input.format {
        Format::Json => print_json(&plan)?,
        Format::Text => print(|out| write_plan(out, &plan, arguments.limit))?,
    }
    Ok(Exit::Intact)
}

fn write_plan(out: &mut dyn Write, plan: &Plan, limit: u32) -> io::Result<()> {
    let rows: Vec<_> = plan
        .objects
        .iter()
        .map(|it| {
            let until = it.retain_until.strftime("%Y-%m-%d").to_string();
            [
                it.manifest.to_string().into(),
                it.table.as_str().into(),
                until.into(),
                it.size_bytes.to_string().into(),
                it.name.as_str().into(),
            ]
        })
        .collect();
    if !rows.is_empty() {
        table(
            out,
            ["BACKUP", "TABLE", "KEPT UNTIL", "BYTES", "OBJECT"],
            &rows,
        )?;
    }
    for kept in &plan.kept {
        let (reason, detail) = (kept.reason.name(), visible(&kept.detail));
        writeln!(out, "kept, {reason}: {}: {detail}", kept.name)?;
    }
    let Plan {
        needed,
        retained,
        gone,
        ..
    } = plan;
    writeln!(
        out,
        "{needed} objects are kept as the newest backup, {}, needs them: the trail, anchors, checkpoints, manifests, and its \
         other tables; {retained} as their time is not over; {gone} were removed before",
        plan.newest
    )?;
    if plan.unfinished > 0 {
        writeln!(
            out,
            "{} removals were begun, and it is not known what became of them: --apply finds out",
            plan.unfinished
        )?;
    }
    if plan.objects.is_empty() && plan.unfinished == 0 {
        return writeln!(out, "nothing is over in {}", visible(&plan.location));
    }
    let more = if plan.is_more {
        ", the oldest; there are more"
    } else {
        ""
    };
    writeln!(
        out,
        "{} objects of {} bytes in {} are over{more}. To remove them:",
        plan.objects.len(),
        plan.size_bytes,
        visible(&plan.location)
    )?;
    let digest = &plan.digest;
    writeln!(
        out,
        "  trailkeeper archive prune --expired --limit {limit} --apply {digest}"
    )
}

fn remove(arguments: &Prune, digest: &str) -> Result<Exit, Failure> {
    let pruned = with(&arguments.input, async |archive| {
        let config = &archive.config;
        let keys = Sources::configured(config)?.keys;
        let key = anchor::load_key(&config.anchor_key_file())?
            .context("each removal is an entry of the ledger, and the anchor key, which signs those, is not here")?;
        let scribe = Scribe {
            origin: archive.origin(),
            key: &key,
            actor: &actor("archive prune"),
            now: Clock.now(),
        };
        let (store, vault) = (&archive.store, &archive.vault);
        Ok(backup::prune(
            store,
            vault,
            &keys,
            &scribe,
            arguments.limit as usize,
            digest,
        )
        .await?)
    })?;
    match arguments.input.format {
        Format::Json => print_json(&pruned)?,
        Format::Text => print(|out| write_pruned(out, &pruned))?,
    }
    Ok(if pruned.refused.is_empty() {
        Exit::Intact
    } else {
        Exit::Tampered
    })
}

fn write_pruned(out: &mut dyn Write, pruned: &Pruned) -> io::Result<()> {
    for refused in &pruned.refused {
        let why = visible(&refused.why);
        writeln!(
            out,
            "{BAD}kept by the store{BAD:#}: {}: {why}",
            refused.object
        )?;
    }
    if pruned.settled > 0 {
        writeln!(
            out,
            "{} removals of an earlier order are noted now",
            pruned.settled
        )?;
    }
    writeln!(
        out,
        "{} objects of {} bytes were removed",
        pruned.removed, pruned.size_bytes
    )
}
