//! The seven items, and what their rules share. A thing that was never done, or cannot be looked up, is `unknown`; one that was done and is too
//! long ago, or went wrong, is `fail`.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    Facts, ITEMS, Item, Known, Status,
    records::{export_tested, logs_verified, report_generated},
    secrets::{key_secured, keys_rotated},
    watching::{events_reviewed, rate_limited},
};

/// Organisations that evidence names one by one.
const NAMED: usize = 20;

/// An item's status, why, and what was measured.
pub(super) type Judged = (Status, String, Value);

pub(super) fn all(facts: &Facts) -> Vec<Item> {
    let titles = [
        "Audit logs verified",
        "API keys rotated",
        "SOC 2 report generated",
        "Secret key secured",
        "GDPR export tested",
        "Security events reviewed",
        "Rate limiting active",
    ];
    let judged: [(Judged, &str); 7] = [
        (
            logs_verified(facts),
            "Run \"trailkeeper enqueue verify_trail --wait\", look at what it finds, and let the nightly verification run.",
        ),
        (
            keys_rotated(facts),
            "Make new keys in QWED for those that \"trailkeeper enqueue check_api_keys --wait\" names, and revoke the old ones.",
        ),
        (
            report_generated(facts),
            "Run \"trailkeeper enqueue report_soc2 --wait\" for each organisation, and let its schedule run.",
        ),
        (
            key_secured(facts),
            "Give QWED a random audit key of at least 32 bytes, keep it where only QWED and this program can read it, list it with the \
             old one under qwed.keys, and say by not_before since when it is in use.",
        ),
        (
            export_tested(facts),
            "Run \"trailkeeper export subject\" for a test user with the anchor key at hand, and look at what is in the zip.",
        ),
        (
            events_reviewed(facts),
            "Look at \"trailkeeper events list\", follow up, and say so by \"trailkeeper events review --until T --by WHO --note …\".",
        ),
        (
            rate_limited(facts),
            "Give every active organisation limits above zero in QWED's resourcequota, ask more often than they allow, and have the 429 \
             noted as a security event of the type RATE_LIMIT.",
        ),
    ];
    let items = ITEMS.into_iter().zip(titles).zip(judged);
    items
        .map(|((id, title), ((status, reason, evidence), remedy))| Item {
            id: id.to_owned(),
            title: title.to_owned(),
            status,
            reason,
            evidence,
            remedy: (status != Status::Pass).then(|| remedy.to_owned()),
        })
        .collect()
}

/// What follows from a fact; without it nothing is known.
pub(super) fn known<T>(fact: &Known<T>, judge: impl FnOnce(&T) -> Judged) -> Judged {
    match fact {
        Ok(fact) => judge(fact),
        Err(problem) => (Status::Unknown, problem.clone(), Value::Null),
    }
}

pub(super) fn is_older(facts: &Facts, at: Timestamp, age: SignedDuration) -> bool {
    facts.now.duration_since(at) > age
}

pub(super) fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

/// The first of them, and how many there are.
pub(super) fn named(all: &[&str]) -> Value {
    json!({"count": all.len(), "first": all.iter().take(NAMED).collect::<Vec<_>>()})
}

/// In words. Entries that belong to no organisation have no name.
pub(super) fn list(all: &[&str]) -> String {
    let word = |name: &&str| match *name {
        "" => "entries without organisation".to_owned(),
        name if name.parse::<i64>().is_ok() => format!("organisation {name}"),
        name => name.to_owned(),
    };
    let first: Vec<String> = all.iter().take(NAMED).map(word).collect();
    match all.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
