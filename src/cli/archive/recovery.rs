//! `trailkeeper archive recover-keys`, and what other commands say of exports.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::backups::with;
use crate::{
    backup::{self, Exported, NO_EXPORT},
    cli::{
        Exit, Failure,
        anchors::Sources,
        config::Input,
        table::visible,
        text::BAD,
        verify::{Format, print, print_json},
    },
    config::Config,
    ledger::Act,
    objects::{
        Vault,
        doctor::{Check, Status},
    },
    private,
};

pub(super) const AFTER: &str = "\
Needs the store of [objects], the public key of the anchors, and a secret key of age whose public key is in \
backup.recovery_recipients. Keys that are there stay as they are, and what is known as destroyed stays so. Personal data can be \
restored again with the key-encryption key, which no export holds.

Exit codes:
  0  all keys of the export are there
  1  files of the export are missing, or a later one cannot be read
  2  wrong usage or configuration
  3  there is no export, it cannot be opened, or the store or the database cannot be reached";

#[derive(Debug, Args)]
pub(super) struct RecoverKeys {
    /// A file with the secret key, as age-keygen writes it
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,
    /// Put back the keys of this export [default: the newest]
    #[arg(long, value_name = "NAME")]
    export: Option<String>,
    #[command(flatten)]
    input: Input,
}

pub(super) fn recover(arguments: &RecoverKeys) -> Result<Exit, Failure> {
    let recovered = with(&arguments.input, async |archive| {
        let path = arguments.identity.display();
        let text = private::read_file(&arguments.identity);
        let text = text.with_context(|| format!("cannot read {path}"))?;
        let text = text.with_context(|| format!("there is no {path}"))?;
        let identities = backup::identities(&text)?;
        let keys = Sources::configured(&archive.config)?.keys;
        let vault = Vault::open_for_recovery(&archive.config)?;
        let (store, origin) = (&archive.store, archive.origin());
        let export = arguments.export.as_deref();
        let recovered =
            backup::recover_keys(store, &vault, origin, &keys, &identities, export).await?;
        let detail = serde_json::to_value(&recovered)?;
        let command = "archive recover-keys";
        archive.record(command, Act::RecoverKeys, detail).await?;
        Ok(recovered)
    })?;
    match arguments.input.format {
        Format::Json => print_json(&recovered)?,
        Format::Text => print(|out| {
            writeln!(
                out,
                "{} data keys were put back from the export after backup {} of {}; {} are destroyed that were not known to be",
                recovered.keys, recovered.export, recovered.made_at, recovered.destroyed
            )?;
            if !recovered.is_complete {
                writeln!(
                    out,
                    "{BAD}files of this export are missing{BAD:#}: keys may be; try an earlier one with --export"
                )?;
            }
            for name in &recovered.unread {
                writeln!(
                    out,
                    "{BAD}a later export could not be read{BAD:#}: {}: what it knows as destroyed may be back",
                    visible(name)
                )?;
            }
            writeln!(
                out,
                "Erase again whoever was erased after that time, before anything is restored"
            )
        })?,
    }
    Ok(if recovered.is_complete && recovered.unread.is_empty() {
        Exit::Intact
    } else {
        Exit::Tampered
    })
}

pub(super) fn write_exported(out: &mut dyn Write, exported: &Exported) -> io::Result<()> {
    if exported.names.is_empty() {
        writeln!(out, "{BAD}no export{BAD:#}: {NO_EXPORT}")?;
    }
    for name in &exported.names {
        writeln!(out, "data keys: {name}")?;
    }
    for (word, objects) in [
        ("not locked", &exported.not_locked),
        (
            "not deleted, though its time is over",
            &exported.not_deleted,
        ),
    ] {
        for one in objects {
            let why = visible(&one.why);
            writeln!(out, "{BAD}{word}{BAD:#}: {}: {why}", one.object)?;
        }
    }
    Ok(())
}

/// Whether the personal fields of the archive survive a loss of the state database.
pub(super) fn check(config: &Config) -> Check {
    let (status, detail) = match config.backup.recovery_recipients.len() {
        0 => (Status::NotApplicable, NO_EXPORT.to_owned()),
        keys => (
            Status::Ok,
            format!(
                "data keys are exported to {keys} public keys after each backup, and kept for {} days",
                config.backup.recovery_retention_days
            ),
        ),
    };
    Check {
        name: "recovery",
        status,
        detail,
        remedy: None,
    }
}
