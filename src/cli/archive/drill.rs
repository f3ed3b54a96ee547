//! `trailkeeper archive drill`.

use std::io::{self, Write};
use std::sync::Arc;

use anyhow::Context;

use super::backups::with;
use crate::{
    backup::{self, Drill, Drilled},
    cli::{
        Exit, Failure,
        anchors::Sources,
        config::Input,
        progress::watch,
        table::{table, visible},
        text::{BAD, GOOD},
        verify::{Format, print, print_json},
    },
    clock::Clock,
    config::Environment,
    ledger::Act,
    progress::Progress,
};

pub(super) const AFTER: &str = "\
The scratch database is a file in data_dir/scratch, or trailkeeper_drill_… on the server of backup.scratch_url; it holds the trail \
in the clear until the drill ends. The result is kept in the ledger.

Exit codes:
  0    what was restored is what was archived, and what there is
  1    it is not, or could not be restored
  2    wrong usage or configuration
  3    the store or a database cannot be reached
  130  interrupted";

pub(super) fn run(input: &Input) -> Result<Exit, Failure> {
    let drilled = with(input, async |archive| {
        let config = &archive.config;
        let url = config.qwed_url().context(
            "which QWED database? Set qwed.database_url in the configuration, or DATABASE_URL as for QWED",
        )?;
        let environment = Environment::of_process();
        let ring = config.key_ring(|name| environment.get(name))?;
        let (store, live) = (archive.store.clone(), url.expose().parse()?);
        let keys = Sources::configured(config)?.keys;
        let drill = Drill::configured(config, store, live, keys, Arc::new(ring))?;
        let progress = Arc::new(Progress::default());
        let _watch = watch(&progress, input.format == Format::Text);
        let drilled = backup::drill(drill, Clock.now(), &progress).await?;
        let detail = serde_json::to_value(&drilled)?;
        archive.record("archive drill", Act::Drill, detail).await?;
        Ok(drilled)
    })?;
    match input.format {
        Format::Json => print_json(&drilled)?,
        Format::Text => print(|out| write_text(out, &drilled))?,
    }
    Ok(match drilled.passed {
        true => Exit::Intact,
        false => Exit::Tampered,
    })
}

fn write_text(out: &mut dyn Write, drilled: &Drilled) -> io::Result<()> {
    if let (Some(manifest), Some(made_at)) = (drilled.manifest, drilled.made_at) {
        let verdict = drilled
            .verdict
            .map_or_else(|| "none".to_owned(), |it| it.to_string());
        let anchors = match drilled.newest_anchor {
            Some(newest) => format!("{}, up to number {newest}", drilled.anchors),
            None => "none: there is no anchor from before the backup".to_owned(),
        };
        let point = drilled.recovery_point_seconds.unwrap_or_default();
        let rows = [
            ["backup".into(), format!("{manifest} of {made_at}").into()],
            [
                "rows restored".into(),
                format!(
                    "{} ({} of erased data subjects)",
                    drilled.rows, drilled.erased_rows
                )
                .into(),
            ],
            [
                "recovery time".into(),
                format!(
                    "{:.1} s, and {:.1} s to verify",
                    drilled.recovery_seconds, drilled.check_seconds
                )
                .into(),
            ],
            [
                "recovery point".into(),
                format!(
                    "{point:.0} s ago; {} entries came since",
                    drilled.entries_since
                )
                .into(),
            ],
            ["verdict".into(), verdict.into()],
            ["anchors compared".into(), anchors.into()],
            [
                "entries as live".into(),
                drilled.same_as_live.to_string().into(),
            ],
        ];
        table(out, ["DRILL", ""], &rows)?;
    }
    for problem in &drilled.problems {
        writeln!(out, "{BAD}problem{BAD:#}: {}", visible(problem))?;
    }
    match drilled.passed {
        true => writeln!(out, "{GOOD}the archive can be restored{GOOD:#}"),
        false => writeln!(out, "{BAD}the drill did not pass{BAD:#}"),
    }
}
