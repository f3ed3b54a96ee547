//! `trailkeeper verify --ledger`: the compliance ledger and all consent chains.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::{
    Exit, Failure,
    anchors::Sources,
    ledger::{self as entries, write_findings},
    store::with_store,
    table::visible,
    text::{BAD, GOOD},
    verify::{Format, print, print_json},
};
use crate::{
    backup,
    config::{ConfigError, Environment},
    consent::{self, Chain},
    ledger::{self, Report},
    objects::Vault,
    trail::{
        finding::{Finding, Kind, Severity, Verdict},
        keys::KeyRing,
    },
};

#[derive(Serialize)]
struct Document {
    verdict: Verdict,
    ledger: Report,
    consents: Vec<Chain>,
}

pub(super) fn run(
    config: Option<&Path>,
    max_findings: Option<u32>,
    format: Format,
    allow_incomplete: bool,
) -> Result<Exit, Failure> {
    let environment = Environment::of_process();
    let document = with_store(config, async |config, store| {
        let keys = Sources::configured(config)?.keys;
        let origin = &config.anchors.origin;
        let heads = ledger::consent_heads(store, origin, &keys).await?;
        let ring = match config.key_ring(|name| environment.get(name)) {
            Ok(ring) => ring,
            // Without records there is nothing that it could have signed.
            Err(ConfigError::NoKey)
                if heads.is_empty() && store.consents_after((i64::MIN, 0), 1).await?.is_empty() =>
            {
                KeyRing::new(Vec::new())
            }
            Err(error) => return Err(error.into()),
        };
        let limit = max_findings.unwrap_or(config.verify.max_findings) as usize;
        let mut consents = consent::verify(store, &Arc::new(ring), &heads, limit.max(1)).await?;
        let compared = async {
            let vault = Vault::open(config)?;
            backup::compare_consents(&vault, store, origin, &keys).await
        };
        // That the archive is away is told with the ledger, which is compared with it as well.
        for differing in compared.await.unwrap_or_default() {
            let backup::ConsentDiffers {
                organization_id,
                sequence,
                detail,
            } = differing;
            let finding = Finding::new(sequence, Kind::HistoryRewritten, detail);
            consent::add_finding(&mut consents, organization_id, finding);
        }
        let ledger = entries::verified(config, store).await?;
        let worst = consents.iter().map(|chain| chain.verdict).max();
        let verdict = match ledger.findings.is_empty() {
            true => worst.unwrap_or(Verdict::Intact),
            false => Verdict::Tampered,
        };
        Ok(Document {
            verdict,
            ledger,
            consents,
        })
    })?;
    match format {
        Format::Json => print_json(&document)?,
        Format::Text => print(|out| write_document(out, &document))?,
    }
    Ok(match document.verdict {
        Verdict::Intact => Exit::Intact,
        Verdict::Incomplete if allow_incomplete => Exit::Intact,
        Verdict::Incomplete => Exit::Incomplete,
        Verdict::Tampered => Exit::Tampered,
    })
}

fn write_document(out: &mut dyn Write, document: &Document) -> io::Result<()> {
    write_findings(out, &document.ledger.findings)?;
    let entries = document.ledger.entries;
    writeln!(
        out,
        "compliance ledger: {entries} entries are as they were signed"
    )?;
    for chain in &document.consents {
        let Chain {
            organization_id,
            records,
            verified,
            ..
        } = chain;
        for finding in &chain.findings {
            let style = match finding.severity {
                Severity::Tampered => BAD,
                _ => anstyle::Style::new(),
            };
            let place = match finding.last_entry_id {
                Some(last) => format!("records {} to {last}", finding.entry_id),
                None => format!("record {}", finding.entry_id),
            };
            let (kind, detail) = (finding.kind, visible(&finding.detail));
            writeln!(
                out,
                "{style}{place}{style:#} of organisation {organization_id}: {kind}: {detail}"
            )?;
        }
        let left_out = chain.findings_total - chain.findings.len() as u64;
        if left_out > 0 {
            writeln!(
                out,
                "{left_out} more findings of organisation {organization_id}"
            )?;
        }
        writeln!(
            out,
            "consents of organisation {organization_id}: {verified} of {records} records are as they were signed"
        )?;
    }
    let style = match document.verdict {
        Verdict::Intact => GOOD,
        _ => BAD,
    };
    writeln!(out, "{style}{}{style:#}", document.verdict)
}
