//! Who may use the organisation, and what changed in the period.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Draft, count, integer, text};
use crate::report::{
    facts::{Facts, time_text},
    model::{Chart, ChartKind, Control, Series},
};

/// QWED's roles.
const ROLES: [&str; 4] = ["owner", "admin", "member", "viewer"];

pub(super) fn control(facts: &Facts) -> Control {
    let mut draft = Draft::new(
        "user_access",
        "Users have roles, and somebody answers for the organisation",
        &["CC6.1", "CC6.2", "CC6.3"],
        "Each active user has one of QWED's roles, and at least one active user is an owner.",
    );
    let (Some(users), Some(activity)) = (draft.take(&facts.users), draft.take(&facts.activity))
    else {
        return end(draft);
    };
    let entries: BTreeMap<i64, i64> = activity
        .rows
        .iter()
        .map(|row| (integer(row.first()), integer(row.get(1))))
        .collect();
    let mut by_role: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    let (mut unnamed, mut created, mut quiet) = (0_u64, 0_u64, 0_u64);
    let mut rows = Vec::new();
    let window = facts.period.start.as_microsecond()..facts.period.end.as_microsecond();
    for row in &users.rows {
        let (id, role, is_active) = (
            integer(row.first()),
            text(row.get(1)),
            row.get(2) == Some(&json!(1)),
        );
        let made_at = row.get(3).and_then(Value::as_i64);
        let used = entries.get(&id).copied().unwrap_or(0);
        by_role.entry(role).or_default()[usize::from(!is_active)] += 1;
        unnamed += u64::from(is_active && !ROLES.contains(&role));
        created += u64::from(made_at.is_some_and(|at| window.contains(&at)));
        quiet += u64::from(is_active && used == 0);
        rows.push(vec![
            json!(id),
            json!(role),
            json!(is_active),
            json!(made_at.map(time_text)),
            json!(used),
        ]);
    }
    let all = |index: usize| by_role.values().map(|it| it[index]).sum::<u64>();
    let owners = by_role.get("owner").map_or(0, |it| it[0]);
    draft.measure("users_active", "Active users", all(0), Some("users"));
    draft.measure("users_inactive", "Deactivated users", all(1), Some("users"));
    draft.measure("owners_active", "Active owners", owners, Some("users"));
    draft.measure(
        "admins_active",
        "Active administrators",
        by_role.get("admin").map_or(0, |it| it[0]),
        Some("users"),
    );
    draft.measure(
        "users_created_in_period",
        "Users created in the period",
        created,
        Some("users"),
    );
    draft.measure(
        "users_removed_in_period",
        "Users removed in the period",
        Value::Null,
        Some("users"),
    );
    draft.measure(
        "users_without_entries",
        "Active users without an entry in the period",
        quiet,
        Some("users"),
    );
    if owners == 0 {
        draft.fails("No active user is an owner.");
    }
    if unnamed > 0 {
        draft.fails(format!(
            "{} no role of QWED's.",
            count(unnamed, "active user has", "active users have")
        ));
    }
    draft.chart(Chart {
        name: "users_by_role".to_owned(),
        title: "Users by role, active and deactivated".to_owned(),
        kind: ChartKind::StackedBars,
        unit: "users".to_owned(),
        labels: by_role
            .keys()
            .map(|role| {
                if role.is_empty() {
                    "none".to_owned()
                } else {
                    (*role).to_owned()
                }
            })
            .collect(),
        series: [("active", 0), ("deactivated", 1)]
            .map(|(name, index)| Series {
                name: name.to_owned(),
                values: by_role.values().map(|it| it[index] as f64).collect(),
            })
            .into(),
    });
    let columns = [
        "user",
        "role",
        "active",
        "created at",
        "entries in the period",
    ];
    draft.table(
        "users",
        "Users of the organisation",
        &columns,
        rows,
        facts.policy.max_rows,
    );
    end(draft)
}

fn end(draft: Draft) -> Control {
    draft.judge(
        "Each active user has a role, and the organisation has an owner.",
        "Have an owner review the list in QWED: roles, and users who do not need access any more.",
        "QWED does not record when a user was removed, or when a role changed. Whether each user needs the role is for a person to say. \
         Users are named by id; who they are is in QWED.",
    )
}
