//! Whether API keys are rotated.

use serde_json::{Value, json};

use super::{Draft, count};
use crate::{
    keys::report::{KeyFinding, Status as KeyStatus},
    report::{
        facts::{Facts, moment_text},
        model::{Control, Origin},
    },
};

pub(super) fn control(facts: &Facts) -> Control {
    let mut draft = Draft::new(
        "api_keys",
        "API keys are rotated",
        &["CC6.1", "CC6.3"],
        "No active key of the organisation is older than allowed, and none is past its expiry and still marked active.",
    );
    let Some(report) = draft.known(&facts.keys) else {
        return end(draft);
    };
    let how = format!(
        "trailkeeper enqueue check_api_keys: each row of apikey WHERE organization_id = {}, judged at {}",
        facts.organization_id,
        moment_text(report.checked_at)
    );
    let counts = &report.totals;
    draft.obtained(&facts.obtained(
        Origin::Qwed,
        &how,
        counts.active + counts.revoked + counts.inactive,
    ));
    draft.measure(
        "max_age_days",
        "A key may be so old",
        report.policy.max_age_days,
        Some("days"),
    );
    for (name, label, value) in [
        ("keys_active", "Active keys", counts.active),
        ("keys_overdue", "Overdue for rotation", counts.overdue),
        (
            "keys_expired_but_active",
            "Expired and still marked active",
            counts.expired_but_active,
        ),
        (
            "keys_unknown_age",
            "Of unknown age",
            counts.never_rotated_unknown_age,
        ),
        ("keys_due_soon", "Due soon", counts.due_soon),
        ("keys_ok", "Young enough", counts.ok),
        ("keys_never_used", "Never used", counts.never_used),
        ("keys_dormant", "Not used for long", counts.dormant),
        ("keys_revoked", "Revoked", counts.revoked),
    ] {
        draft.measure(name, label, value, Some("keys"));
    }
    if counts.overdue > 0 {
        draft.fails(count(
            counts.overdue,
            "key is overdue for rotation.",
            "keys are overdue for rotation.",
        ));
    }
    if counts.expired_but_active > 0 {
        draft.fails(count(
            counts.expired_but_active,
            "key is past its expiry and still marked active.",
            "keys are past their expiry and still marked active.",
        ));
    }
    if counts.never_rotated_unknown_age > 0 {
        draft.is_unknown(count(
            counts.never_rotated_unknown_age,
            "key is of unknown age.",
            "keys are of unknown age.",
        ));
    }
    let row = |it: &KeyFinding| -> Vec<Value> {
        vec![
            json!(it.key_id),
            json!(it.status),
            json!(it.age_days),
            json!(it.created_at.map(|at| at.to_string())),
            json!(it.last_used_at.map(|at| at.to_string())),
            json!(it.expires_at.map(|at| at.to_string())),
            json!(it.owner_id),
            json!(if it.status == KeyStatus::Ok {
                ""
            } else {
                it.reason.as_str()
            }),
        ]
    };
    let rows = report.findings.iter().map(row).collect();
    let columns = [
        "key",
        "status",
        "age in days",
        "created at",
        "last used at",
        "expires at",
        "user",
        "why",
    ];
    draft.table(
        "keys",
        "Active keys, the worst first",
        &columns,
        rows,
        facts.policy.max_rows,
    );
    if let Some(table) = draft.control.tables.last_mut() {
        table.rows_total = table.rows_total.max(counts.active);
    }
    end(draft)
}

fn end(draft: Draft) -> Control {
    draft.judge(
        "No active key is overdue or expired.",
        "Have the owners of the keys named issue new ones in QWED and revoke these.",
        "Keys are as they are now, not as they were in the period. Who holds a key is not known.",
    )
}
