//! `trailkeeper erase tombstones`: what a certificate's root is the root of.

use anyhow::Context;

use super::One;
use crate::{
    cli::{
        Exit, Failure,
        anchors::Sources,
        store::with_store,
        verify::{Format, print, print_json},
    },
    erasure::{ErasureError, Request},
    tombstones::Graveyard,
};

/// Prints a request's tombstones as they were hashed, one a line.
pub(super) fn run(arguments: &One) -> Result<Exit, Failure> {
    let input = &arguments.input;
    let found = with_store(input.config.as_deref(), async |config, store| {
        let Some(row) = store.erasure(&arguments.request).await? else {
            return Ok(None);
        };
        let request = Request::read(row)?;
        let graveyard = Graveyard {
            store: store.clone(),
            origin: config.anchors.origin.clone(),
            keys: Sources::configured(config)?.keys,
        };
        let mut lines = Vec::new();
        for &number in &request.progress.batches {
            let batch = graveyard.batch(number).await?;
            let batch = batch.filter(|batch| batch.request == request.id);
            let batch = batch.with_context(|| {
                format!("entry {number} of the ledger does not hold this request's tombstones")
            });
            match batch {
                Ok(batch) => lines.extend(batch.tombstones),
                Err(error) => return Ok(Some(Err(error))),
            }
        }
        Ok(Some(Ok(lines)))
    })?;
    let unknown = || Failure::usage(ErasureError::Unknown(arguments.request.clone()));
    let lines = found.ok_or_else(unknown)?.map_err(|error| Failure {
        exit: Exit::Tampered,
        error,
    })?;
    match input.format {
        Format::Json => print_json(&serde_json::json!({
            "request": arguments.request,
            "tombstones": lines,
        }))?,
        Format::Text => print(|out| lines.iter().try_for_each(|line| writeln!(out, "{line}")))?,
    }
    Ok(Exit::Intact)
}
