//! Whether a backup was restored and compared.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::Draft;
use crate::report::{
    facts::{Facts, moment_text},
    model::{Control, Origin},
};

pub(super) fn control(facts: &Facts) -> Control {
    let mut draft = Draft::new(
        "restore_drill",
        "Backups can be restored",
        &["A1.2", "A1.3"],
        "A drill restored the newest backup, verified it and compared it with anchors and the live trail, recently, and the newest drill passed.",
    );
    let Some(drills) = draft.known(&facts.drills) else {
        return end(draft);
    };
    let how = "entries of the ledger of act archive.drill, up to the end of the period, their signatures verified";
    draft.obtained(&facts.obtained(Origin::State, how, drills.len() as u64));
    let days = facts.policy.drill_max_age_days;
    draft.measure(
        "drill_max_age_days",
        "A drill may be so old",
        days,
        Some("days"),
    );
    let passed = |it: &crate::ledger::Entry| it.detail["passed"] == json!(true);
    let in_period = |it: &&crate::ledger::Entry| it.at >= facts.period.start;
    draft.measure(
        "drills_in_period",
        "Drills in the period",
        drills.iter().filter(in_period).count(),
        Some("drills"),
    );
    draft.measure(
        "drills_passed_in_period",
        "Of these, passed",
        drills
            .iter()
            .filter(in_period)
            .filter(|it| passed(it))
            .count(),
        Some("drills"),
    );
    match drills.first() {
        None => draft.fails("No backup was ever restored to see whether it can be."),
        Some(newest) => {
            draft.measure(
                "newest_drill_at",
                "Newest drill",
                moment_text(newest.at),
                None,
            );
            draft.measure("newest_drill_passed", "It passed", passed(newest), None);
            draft.measure(
                "recovery_seconds",
                "Restoring took",
                newest.detail["recovery_seconds"].clone(),
                Some("seconds"),
            );
            draft.measure(
                "recovery_point_seconds",
                "Age of the backup then",
                newest.detail["recovery_point_seconds"].clone(),
                Some("seconds"),
            );
            if !passed(newest) {
                draft.fails("The newest drill did not pass.");
            }
            let limit = SignedDuration::from_hours(24 * i64::from(days));
            if facts.period.end.duration_since(newest.at) > limit {
                draft.fails(format!(
                    "The newest drill is more than {days} days older than the end of the period."
                ));
            }
        }
    }
    let row = |it: &crate::ledger::Entry| -> Vec<Value> {
        vec![
            json!(it.number),
            json!(it.at.to_string()),
            it.detail["passed"].clone(),
            it.detail["manifest"].clone(),
            it.detail["rows"].clone(),
            it.detail["recovery_seconds"].clone(),
        ]
    };
    let rows = drills.iter().filter(in_period).map(row).collect();
    draft.table(
        "drills",
        "Drills of the period",
        &["ledger entry", "at", "passed", "backup", "rows", "seconds"],
        rows,
        facts.policy.max_rows,
    );
    end(draft)
}

fn end(draft: Draft) -> Control {
    draft.judge(
        "The newest drill passed, and is recent.",
        "Run \"trailkeeper archive drill\", and keep the schedule \"weekly_drill\" in force.",
        "A drill restores into a scratch database; it does not show that QWED itself starts on it, nor how long people take.",
    )
}
