//! What changes, and who is told.

use std::collections::BTreeSet;

use super::*;
use crate::config::Config;

const NOW: i64 = 1_800_000_000 * SECOND;

fn config() -> Notify {
    Notify {
        channels: ["oncall", "chat"]
            .map(|it| toml::from_str(&format!("name = {it:?}\ntype = \"webhook\"\nurl = \"https://hooks.example.org\"\nsecret = \"0123456789abcdef0123456789abcdef\"")).expect("a channel"))
            .to_vec(),
        status_url: "https://status.example.org/".to_owned(),
        ..Config::default().notify
    }
}

fn time(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).expect("a time")
}

fn found(name: &str) -> Judgement {
    let rule = rules::rule(name).expect("a rule");
    let labels = [("organization".to_owned(), "7".to_owned())];
    Judgement {
        found: vec![Found {
            rule,
            labels: labels.into(),
            value: 1,
            since: Some(NOW - SECOND),
        }],
        judged: BTreeSet::from([rule.name]),
    }
}

fn over(name: &str) -> Judgement {
    Judgement {
        found: Vec::new(),
        ..found(name)
    }
}

/// One change: the step, and whom it tells what.
#[track_caller]
fn one(changes: &[Change]) -> (Step, Vec<(&str, &str)>) {
    let [change] = changes else {
        panic!("{changes:?}");
    };
    let told = change.notices.iter();
    let told = told.map(|it| (it.channel.as_str(), it.moment.as_str()));
    (change.step, told.collect())
}

fn known(change: &Change, created_at: i64, open: i64) -> Known {
    let told = ["oncall", "chat"].map(|channel| LastNotice {
        identity: change.alert.identity.clone(),
        channel: channel.to_owned(),
        created_at,
        open,
    });
    Known {
        open: vec![change.alert.clone()],
        told: told.to_vec(),
    }
}

const FAILED: &str = "TrailkeeperIntegrityFailed";
const DEGRADED: &str = "TrailkeeperIntegrityDegraded";

#[test]
fn what_waits_for_nothing_is_told_at_once() {
    let changes = plan(&config(), &Known::default(), &found(FAILED), time(NOW));
    let all = vec![("oncall", "firing"), ("chat", "firing")];
    assert_eq!(one(&changes), (Step::Begin, all));
    let change = &changes[0];
    assert_eq!(change.alert.starts_at, NOW - SECOND, "since the verdict");
    assert_eq!(change.alert.organization_id, Some(7));
    let notice: Notice = serde_json::from_str(&change.notices[0].body).expect("a notice");
    assert_eq!(notice.alert.identity(), change.alert.identity);
    assert_eq!(
        notice.alert.link.as_deref(),
        Some("https://status.example.org/status/organizations/7")
    );
    assert_eq!(
        notice.alert.runbook_url,
        "docs/runbooks/TrailkeeperIntegrityFailed.md"
    );
}

#[test]
fn what_has_to_last_is_told_when_it_did() {
    let judgement = found(DEGRADED);
    let changes = plan(&config(), &Known::default(), &judgement, time(NOW));
    assert_eq!(one(&changes), (Step::Begin, vec![]));
    let mut row = changes[0].alert.clone();
    assert_eq!(row.fired_at, None);
    row.starts_at = NOW;
    let known = Known {
        open: vec![row],
        told: Vec::new(),
    };
    let later = |seconds: i64| time(NOW + seconds * SECOND);
    assert_eq!(plan(&config(), &known, &judgement, later(299)), []);
    let changes = plan(&config(), &known, &judgement, later(300));
    let all = vec![("oncall", "firing"), ("chat", "firing")];
    assert_eq!(one(&changes), (Step::Fire, all));
    let changes = plan(&config(), &known, &over(DEGRADED), later(299));
    assert_eq!(one(&changes), (Step::Forget, vec![]));
}

#[test]
fn who_was_told_hears_of_the_end() {
    let begun = plan(&config(), &Known::default(), &found(FAILED), time(NOW));
    let mut known = known(&begun[0], NOW, 1);
    known.told.pop();
    let changes = plan(&config(), &known, &over(FAILED), time(NOW + SECOND));
    assert_eq!(one(&changes), (Step::End, vec![("oncall", "resolved")]));
    assert_eq!(changes[0].alert.ends_at, Some(NOW + SECOND));
}

#[test]
fn what_cannot_be_judged_stays() {
    let begun = plan(&config(), &Known::default(), &found(FAILED), time(NOW));
    let known = known(&begun[0], NOW, 0);
    let nothing = Judgement::default();
    assert_eq!(plan(&config(), &known, &nothing, time(NOW + SECOND)), []);
}

#[test]
fn reminders_come_in_time_and_one_by_one() {
    let begun = plan(&config(), &Known::default(), &found(FAILED), time(NOW));
    let told = known(&begun[0], NOW, 0);
    let after = 14_400 * SECOND;
    let at = |known: &Known, moment: i64| plan(&config(), known, &found(FAILED), time(moment));
    assert_eq!(at(&told, NOW + SECOND), []);
    assert_eq!(one(&at(&told, NOW + SEEN_EVERY)), (Step::GoOn, vec![]));
    let all = vec![("oncall", "reminder"), ("chat", "reminder")];
    assert_eq!(one(&at(&told, NOW + after)), (Step::GoOn, all));
    let waiting = known(&begun[0], NOW, 1);
    assert_eq!(one(&at(&waiting, NOW + after)), (Step::GoOn, vec![]));
    // A channel that is new is told of it as of something new.
    let mut told = told;
    told.told.pop();
    let new = vec![("chat", "firing")];
    assert_eq!(one(&at(&told, NOW + SECOND)), (Step::GoOn, new));
}
