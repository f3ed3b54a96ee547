//! Items about keys: those of QWED's callers, and the one that signs its trail.

use serde_json::{Value, json};

use super::{
    Facts, Status,
    items::{Judged, days, is_older, known},
};

/// A year.
const AUDIT_KEY_DAYS: i64 = 366;

pub(super) fn keys_rotated(facts: &Facts) -> Judged {
    known(&facts.api_keys, |keys| {
        let mut evidence = json!(keys);
        evidence["max_age_days"] = facts.max_key_age_days.into();
        let (status, reason) = if keys.overdue > 0 || keys.expired_but_active > 0 {
            let reason = format!(
                "{} of {} active keys are overdue, {} have expired and are still marked active",
                keys.overdue, keys.active, keys.expired_but_active
            );
            (Status::Fail, reason)
        } else if keys.never_rotated_unknown_age > 0 {
            let reason = format!(
                "nothing tells the age of {} of {} active keys",
                keys.never_rotated_unknown_age, keys.active
            );
            (Status::Unknown, reason)
        } else {
            let reason = format!(
                "none of {} active keys is older than {} days",
                keys.active, facts.max_key_age_days
            );
            (Status::Pass, reason)
        };
        (status, reason, evidence)
    })
}

pub(super) fn key_secured(facts: &Facts) -> Judged {
    known(&facts.audit_keys, |keys| {
        let listed: Vec<Value> = keys
            .iter()
            .map(|key| {
                json!({
                    "id": key.id,
                    "weakness": key.weakness.map(|it| it.to_string()),
                    "in_use": key.is_in_use,
                    "since": key.since,
                    "readable_by_others": key.is_exposed,
                })
            })
            .collect();
        let evidence = json!({"keys": listed, "max_age_days": AUDIT_KEY_DAYS});
        let used: Vec<_> = keys.iter().filter(|key| key.is_in_use).collect();
        let weak = used.iter().find_map(|key| Some((key, key.weakness?)));
        let exposed = keys.iter().find(|key| key.is_exposed);
        // With several keys in use the newest is the one that QWED signs with.
        let newest = used.iter().max_by_key(|key| key.since);
        let (status, reason) = if let Some((key, weakness)) = weak {
            (Status::Fail, format!("key {}: {weakness}", key.id))
        } else if let Some(key) = exposed {
            let reason = format!(
                "key {}: everybody on this machine can read its file",
                key.id
            );
            (Status::Fail, reason)
        } else {
            match newest.map(|key| (key, key.since)) {
                None => (Status::Unknown, "no key is in use now".to_owned()),
                Some((key, None)) => {
                    let reason = format!(
                        "key {} is strong; since when it is in use nobody has said",
                        key.id
                    );
                    (Status::Unknown, reason)
                }
                Some((key, Some(since))) if is_older(facts, since, days(AUDIT_KEY_DAYS)) => {
                    let reason = format!(
                        "key {} is in use for more than {AUDIT_KEY_DAYS} days",
                        key.id
                    );
                    (Status::Fail, reason)
                }
                Some((key, Some(_))) => {
                    let reason = format!(
                        "key {} is strong, and in use for no more than {AUDIT_KEY_DAYS} days",
                        key.id
                    );
                    (Status::Pass, reason)
                }
            }
        };
        (status, reason, evidence)
    })
}
