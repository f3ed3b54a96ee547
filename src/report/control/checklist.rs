//! The checklist of QWED's compliance guide.

use serde_json::{Value, json};

use super::{Draft, count};
use crate::{
    checklist::{Item, Status},
    report::{
        facts::Facts,
        model::{Control, Origin},
    },
};

pub(super) fn control(facts: &Facts) -> Control {
    let mut draft = Draft::new(
        "compliance_checklist",
        "The items of QWED's compliance checklist are fulfilled",
        &["CC7.2"],
        "Each of the seven items passes, as they are now.",
    );
    if let Some(checklist) = draft.known(&facts.checklist) {
        let how = format!("trailkeeper checklist --org {}", facts.organization_id);
        draft.obtained(&facts.obtained(Origin::State, &how, checklist.items.len() as u64));
        let of = |status| {
            checklist
                .items
                .iter()
                .filter(|it| it.status == status)
                .count() as u64
        };
        let (failed, unknown) = (of(Status::Fail), of(Status::Unknown));
        draft.measure(
            "items_pass",
            "Items that pass",
            of(Status::Pass),
            Some("items"),
        );
        draft.measure("items_fail", "Items that fail", failed, Some("items"));
        draft.measure(
            "items_unknown",
            "Items of which nobody knows",
            unknown,
            Some("items"),
        );
        if failed > 0 {
            draft.fails(count(failed, "item fails.", "items fail."));
        }
        if unknown > 0 {
            draft.is_unknown(count(unknown, "item is unknown.", "items are unknown."));
        }
        let row = |it: &Item| -> Vec<Value> {
            vec![
                json!(it.title),
                json!(it.status.name()),
                json!(it.reason),
                json!(it.remedy),
            ]
        };
        let rows = checklist.items.iter().map(row).collect();
        draft.table(
            "items",
            "The checklist of QWED's compliance guide",
            &["item", "status", "why", "to do"],
            rows,
            facts.policy.max_rows,
        );
    }
    draft.judge(
        "Each item passes.",
        "See what is to do for each item in the table.",
        "It is as of now, and not of the period. docs/evidence.md says what each item cannot show.",
    )
}
