//! Whether the keys that sign the trail are good ones.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::Draft;
use crate::report::{
    facts::{Facts, SigningKey},
    model::{Control, Origin},
};

pub(super) fn control(facts: &Facts) -> Control {
    let mut draft = Draft::new(
        "signing_keys",
        "The keys that sign the trail are strong, and rotated",
        &["CC6.1"],
        "No key that may sign is short or published, and the key in use is not older than allowed.",
    );
    let keys = &facts.signing_keys;
    let how = "qwed.keys of the configuration, or QWED_AUDIT_SECRET_KEY: length and known defaults; the keys themselves are never shown";
    draft.obtained(&facts.obtained(Origin::Configuration, how, keys.len() as u64));
    let days = facts.policy.secret_max_age_days;
    draft.measure("signing_keys", "Keys", keys.len(), Some("keys"));
    draft.measure(
        "max_age_days",
        "The key in use may be so old",
        days,
        Some("days"),
    );
    if keys.is_empty() {
        draft.is_unknown("No signing key is configured.");
    }
    for key in keys {
        if let Some(weakness) = &key.weakness {
            draft.fails(format!("Key {:?}: {weakness}.", key.id));
        }
    }
    // One that nothing ends is in use; of several the one that began last.
    let is_open = |key: &&SigningKey| key.until.is_none_or(|until| until > facts.now);
    let current = keys.iter().filter(is_open).max_by_key(|key| key.since);
    match current.map(|key| (key, key.since)) {
        None if keys.is_empty() => {}
        None => draft.is_unknown("No configured key may sign now."),
        Some((key, None)) => draft.is_unknown(format!(
            "The age of key {:?} is not known: the configuration does not say since when it signs.",
            key.id
        )),
        Some((key, Some(since))) => {
            let age = facts.now.duration_since(since);
            draft.measure(
                "current_key_age_days",
                "Age of the key in use",
                age.as_hours() / 24,
                Some("days"),
            );
            if age > SignedDuration::from_hours(24 * i64::from(days)) {
                draft.fails(format!("Key {:?} is older than {days} days.", key.id));
            }
        }
    }
    let uses = facts
        .verified
        .as_ref()
        .map(|report| report.keys.as_slice())
        .unwrap_or_default();
    let row = |key: &SigningKey| -> Vec<Value> {
        let signed = uses.iter().find(|it| it.id == key.id).map(|it| it.entries);
        vec![
            json!(key.id),
            json!(key.weakness),
            json!(key.since.map(|at| at.to_string())),
            json!(key.until.map(|at| at.to_string())),
            json!(signed),
        ]
    };
    let rows = keys.iter().map(row).collect();
    let columns = [
        "key",
        "weakness",
        "signs since",
        "signed until",
        "entries that it signed",
    ];
    draft.table(
        "signing_keys",
        "Keys that may have signed the trail",
        &columns,
        rows,
        facts.policy.max_rows,
    );
    draft.judge(
        "No key is weak, and the key in use is young enough.",
        "Give QWED a new key of at least 32 random bytes, and list old and new with not_after and not_before in qwed.keys.",
        "Where QWED keeps the key, and who can read it there, is not seen from here.",
    )
}
