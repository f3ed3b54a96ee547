//! What is in force that departs from the rules, and who answers for it.

use serde_json::{Value, json};

use super::{Draft, count, integer, text};
use crate::report::{
    facts::{Facts, time_text},
    model::Control,
};

pub(super) fn control(facts: &Facts) -> Control {
    let mut draft = Draft::new(
        "exceptions",
        "Exceptions have an owner, a reason and an end",
        &["CC6.3", "P4.3"],
        "Each legal hold in force names who placed it and why, and ends by itself; no operator has paused a schedule.",
    );
    let (holds, paused) = (draft.take(&facts.holds), draft.take(&facts.paused));
    let (Some(holds), Some(paused)) = (holds, paused) else {
        return end(draft);
    };
    if holds.rows.is_empty() && paused.rows.is_empty() {
        return draft
            .not_applicable("No legal hold is in force, and no operator has paused a schedule.");
    }
    let endless = holds
        .rows
        .iter()
        .filter(|row| row.get(5).is_none_or(Value::is_null))
        .count() as u64;
    draft.measure(
        "holds_in_force",
        "Legal holds in force",
        holds.rows.len(),
        Some("holds"),
    );
    draft.measure(
        "holds_without_end",
        "Of these, without an end",
        endless,
        Some("holds"),
    );
    draft.measure(
        "schedules_paused",
        "Schedules that an operator has paused",
        paused.rows.len(),
        Some("schedules"),
    );
    if endless > 0 {
        draft.fails(count(
            endless,
            "legal hold has no end.",
            "legal holds have no end.",
        ));
    }
    if !paused.rows.is_empty() {
        let number = paused.rows.len() as u64;
        draft.fails(count(
            number,
            "schedule was paused by an operator.",
            "schedules were paused by operators.",
        ));
    }
    let hold = |row: &Vec<Value>| {
        let user = row.get(1).and_then(Value::as_i64);
        vec![
            json!(text(row.first())),
            json!(user.map_or_else(|| "the organisation".to_owned(), |id| format!("user {id}"))),
            json!(text(row.get(2))),
            json!(text(row.get(3))),
            json!(time_text(integer(row.get(4)))),
            json!(row.get(5).and_then(Value::as_i64).map(time_text)),
        ]
    };
    let columns = [
        "hold",
        "about",
        "reason",
        "placed by",
        "placed at",
        "ends at",
    ];
    draft.table(
        "holds",
        "Legal holds in force",
        &columns,
        holds.rows.iter().map(hold).collect(),
        facts.policy.max_rows,
    );
    let pause = |row: &Vec<Value>| {
        vec![
            json!(text(row.first())),
            json!(time_text(integer(row.get(1)))),
        ]
    };
    draft.table(
        "paused",
        "Schedules that an operator has paused",
        &["schedule", "since"],
        paused.rows.iter().map(pause).collect(),
        facts.policy.max_rows,
    );
    end(draft)
}

fn end(draft: Draft) -> Control {
    draft.judge(
        "Each exception has an owner, a reason and an end.",
        "Release holds that are not needed (\"trailkeeper hold release\"), and start schedules again (\"trailkeeper schedules resume\").",
        "It lists what trailkeeper knows: legal holds and paused schedules. Exceptions that were agreed on elsewhere are not here.",
    )
}
