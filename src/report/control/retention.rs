//! Whether the trail is kept, and kept where nobody can change it.

use serde_json::{Value, json};

use super::{Draft, count, integer, text};
use crate::report::{
    facts::{Facts, time_text},
    model::Control,
};

pub(super) fn control(facts: &Facts) -> Control {
    let mut draft = Draft::new(
        "logs_retained",
        "Logs are kept, and archived under lock",
        &["A1.2", "PI1.4", "PI1.5"],
        "The trail is in QWED's database, backups made in the period hold it up to the newest of them, and the object store \
         says of the newest of these objects that they are locked.",
    );
    if let Some(population) = draft.take(&facts.population) {
        draft.measure(
            "oldest_entry_at",
            "Time of the oldest entry",
            population.value(6),
            None,
        );
    }
    draft.measure(
        "retention_days",
        "Objects are kept for",
        facts.policy.retention_days,
        Some("days"),
    );
    let last_entry = facts
        .population
        .as_ref()
        .ok()
        .and_then(|it| it.value(3).as_i64());
    backup(facts, &mut draft);
    segments(facts, &mut draft, last_entry);
    lock(facts, &mut draft);
    draft.judge(
        "The trail is archived up to the newest backup, and the locks were read back.",
        "Configure objects.url and let \"nightly_backup\" run; see \"trailkeeper archive doctor\" for a store that does not lock.",
        "Entries since the newest backup are in QWED's database alone. A lock in GOVERNANCE mode can be lifted by who has the right to. \
         What somebody removed from QWED's database before the first backup is nowhere.",
    )
}

fn backup(facts: &Facts, draft: &mut Draft) {
    let Some(answer) = draft.take(&facts.backup) else {
        return;
    };
    if answer.rows.is_empty() {
        draft.fails("No backup was made before the end of the period.");
        return;
    }
    let made_at = answer.number(1);
    draft.measure("newest_backup", "Newest backup", answer.value(0), None);
    draft.measure("newest_backup_at", "Made at", time_text(made_at), None);
    draft.measure(
        "backup_kept_until",
        "Kept until",
        time_text(answer.number(2)),
        None,
    );
    if made_at < facts.period.start.as_microsecond() {
        draft.fails("The newest backup is older than the period.");
    }
    if answer.value(3).is_null() {
        draft.is_unknown("The store was not seen to have the newest backup.");
    }
    if !answer.value(4).is_null() {
        draft.fails("The newest backup's manifest is not locked as configured.");
    }
}

fn segments(facts: &Facts, draft: &mut Draft, last_entry: Option<i64>) {
    let Some(answer) = draft.take(&facts.segments) else {
        return;
    };
    let objects = u64::try_from(answer.number(0)).unwrap_or(0);
    draft.measure(
        "archived_objects",
        "Archived segments of the trail",
        objects,
        Some("objects"),
    );
    draft.measure(
        "archived_rows",
        "Entries in them",
        answer.number(1),
        Some("entries"),
    );
    draft.measure(
        "archived_bytes",
        "Their size",
        answer.number(2),
        Some("bytes"),
    );
    draft.measure(
        "archived_up_to_id",
        "The last entry in them",
        answer.value(3),
        None,
    );
    draft.measure(
        "archived_kept_until",
        "All of them are kept until at least",
        answer.value(4).as_i64().map(time_text),
        None,
    );
    let unlocked = u64::try_from(answer.number(5)).unwrap_or(0);
    if objects == 0 && last_entry.is_some() {
        draft.fails("No entry of the trail is archived.");
    }
    if unlocked > 0 {
        draft.fails(count(
            unlocked,
            "archived segment is not locked as configured.",
            "archived segments are not locked as configured.",
        ));
    }
    if let (Some(archived), Some(last)) = (answer.value(3).as_i64(), last_entry) {
        draft.measure(
            "archived_completely",
            "The archive reaches the newest entry",
            archived >= last,
            None,
        );
    }
}

fn lock(facts: &Facts, draft: &mut Draft) {
    let answer = match &facts.lock {
        Ok(Some(answer)) => answer,
        Ok(None) => {
            draft.fails("No object store is configured, so nothing is archived under lock.");
            return;
        }
        Err(problem) => {
            draft.is_unknown(problem.clone());
            return;
        }
    };
    draft.obtained(&answer.obtained);
    let state = |row: &Vec<Value>, wanted: &str| text(row.get(2)) == wanted;
    let states = |wanted: &str| answer.rows.iter().filter(|row| state(row, wanted)).count() as u64;
    draft.measure(
        "locks_read",
        "Objects whose lock was read back",
        answer.rows.len(),
        Some("objects"),
    );
    draft.measure(
        "locks_held",
        "Of these, locked as configured",
        states("locked"),
        Some("objects"),
    );
    let (open, none) = (states("not_locked"), states("not_asked"));
    let unseen = states("unknown") + states("missing");
    if open > 0 {
        draft.fails(count(
            open,
            "object is not locked as configured.",
            "objects are not locked as configured.",
        ));
    }
    if none > 0 {
        draft.fails("The configuration asks for no lock.");
    }
    if unseen > 0 {
        draft.is_unknown(format!(
            "Of {} the store does not say whether a lock holds.",
            count(unseen, "object", "objects")
        ));
    }
    let rows = answer.rows.iter().map(|row| {
        let cell = |index: usize| row.get(index).cloned().unwrap_or(Value::Null);
        vec![
            cell(0),
            json!(integer(row.get(1))),
            cell(2),
            cell(3),
            cell(4),
        ]
    });
    draft.table(
        "locks",
        "The newest archived objects, and their locks as the store tells them",
        &["object", "bytes", "lock", "mode", "until"],
        rows.collect(),
        facts.policy.max_rows,
    );
}
