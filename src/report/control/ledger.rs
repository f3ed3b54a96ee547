//! Whether trailkeeper's own record of its acts holds.

use serde_json::{Value, json};

use super::{Draft, count};
use crate::report::{
    facts::Facts,
    model::{Control, Origin},
};

pub(super) fn control(facts: &Facts) -> Control {
    let mut draft = Draft::new(
        "compliance_ledger",
        "What trailkeeper did is recorded and unaltered",
        &["CC7.2", "PI1.5"],
        "Each entry of the compliance ledger is signed and follows the one before.",
    );
    if let Some(report) = draft.known(&facts.ledger) {
        let how = "trailkeeper verify --ledger: signature and chain of every entry";
        draft.obtained(&facts.obtained(Origin::State, how, report.entries));
        draft.measure(
            "ledger_entries",
            "Entries that are authentic and in their place",
            report.entries,
            Some("entries"),
        );
        draft.measure(
            "ledger_from",
            "The first was made at",
            json!(report.from.map(|at| at.to_string())),
            None,
        );
        draft.measure(
            "ledger_to",
            "The newest was made at",
            json!(report.to.map(|at| at.to_string())),
            None,
        );
        let wrong = report.findings.len() as u64;
        if wrong > 0 {
            draft.fails(count(
                wrong,
                "entry is not what was written.",
                "entries are not what was written.",
            ));
            let rows = report
                .findings
                .iter()
                .map(|it| vec![json!(it.number), json!(it.detail)]);
            draft.table(
                "findings",
                "Entries that are not what was written",
                &["entry", "detail"],
                rows.collect(),
                facts.policy.max_rows,
            );
        } else if report.entries == 0 {
            draft.is_unknown(
                "The ledger is empty: no key to sign it with was there, or nothing happened yet.",
            );
        }
    }
    if let Some(configurations) = draft.known(&facts.configurations) {
        let how =
            "entries of the ledger of act config.loaded in the period, their signatures verified";
        draft.obtained(&facts.obtained(Origin::State, how, configurations.len() as u64));
        draft.measure(
            "configuration_changes",
            "Configurations that workers began with in the period",
            configurations.len(),
            Some("changes"),
        );
        let row = |it: &crate::ledger::Entry| -> Vec<Value> {
            vec![
                json!(it.number),
                json!(it.at.to_string()),
                json!(it.actor),
                it.detail["sha256"].clone(),
            ]
        };
        let rows = configurations.iter().map(row).collect();
        draft.table(
            "configurations",
            "Configurations of the period, by their SHA-256",
            &["ledger entry", "at", "by", "sha256"],
            rows,
            facts.policy.max_rows,
        );
    }
    draft.judge(
        "Each entry is signed, and none is missing in between.",
        "Compare with the archive (\"trailkeeper archive verify\"), which has each entry since the backup after it.",
        "Entries since the newest backup could have been cut off at the end. Who acted is what the command or the job was told.",
    )
}
