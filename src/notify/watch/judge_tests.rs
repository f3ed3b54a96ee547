//! Each alert on and off, and left alone where its facts could not be read.

use jiff::Timestamp;

use super::{super::facts::*, *};
use crate::notify::rules::RULES;

const NOW: i64 = 1_800_000_000 * MICROS;

fn ago(seconds: i64) -> i64 {
    NOW - seconds * MICROS
}

/// A database of 30 days in which all is well.
fn well() -> Facts {
    Facts {
        now: Timestamp::from_microsecond(NOW).expect("a time"),
        made_at: Some(ago(30 * DAY)),
        verdicts: Some(vec![verdict("7", "intact", false)]),
        full_check: Some(FullCheck {
            last_at: ago(HOUR),
            oldest_at: ago(DAY),
        }),
        anchored_at: Some(ago(HOUR)),
        backup: Some(Backup {
            stored_at: ago(HOUR),
            not_locked: 0,
        }),
        drill: Some(Drill {
            at: ago(DAY),
            passed: true,
        }),
        dead: Some(BTreeMap::from([("backup".to_owned(), 0)])),
        queue_seconds: Some(600),
        outbox_seconds: Some(900),
        erasures: Some(Erasures::default()),
        overdue_keys: Some(BTreeMap::from([("7".to_owned(), 0)])),
        failing_items: Some(Vec::new()),
    }
}

fn verdict(organization: &str, verdict: &str, was_intact: bool) -> Verdict {
    Verdict {
        organization: organization.to_owned(),
        verdict: verdict.to_owned(),
        since: ago(60),
        was_intact,
    }
}

/// The alerts that are on: name, label and number.
fn on(facts: &Facts) -> Vec<(&'static str, String, i64)> {
    let found = judge(facts).found.into_iter();
    found
        .map(|it| {
            let label = it.labels.into_values().next();
            (it.rule.name, label.unwrap_or_default(), it.value)
        })
        .collect()
}

#[track_caller]
fn is_on(name: &'static str, label: &str, value: i64, change: impl FnOnce(&mut Facts)) {
    let mut facts = well();
    change(&mut facts);
    assert_eq!(on(&facts), [(name, label.to_owned(), value)]);
}

#[track_caller]
fn is_silent(change: impl FnOnce(&mut Facts)) {
    let mut facts = well();
    change(&mut facts);
    assert_eq!(on(&facts), []);
}

#[test]
fn all_is_well() {
    assert_eq!(on(&well()), []);
    let judged = judge(&well()).judged;
    let all: BTreeSet<&str> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(judged, all, "every rule can be judged");
}

#[test]
fn what_cannot_be_read_is_judged_neither_way() {
    let facts = Facts {
        now: well().now,
        ..Facts::default()
    };
    assert_eq!(judge(&facts), Judgement::default());
    let mut facts = well();
    facts.made_at = None;
    facts.anchored_at = Some(0);
    let judged = judge(&facts).judged;
    assert!(!judged.contains("TrailkeeperAnchorStale"));
    assert!(judged.contains("TrailkeeperVerificationStale"));
}

#[test]
fn trails_that_were_tampered_with() {
    let tampered = |facts: &mut Facts| {
        facts.verdicts = Some(vec![
            verdict("anchors", "tampered", false),
            verdict("7", "intact", true),
        ]);
    };
    is_on("TrailkeeperIntegrityFailed", "anchors", 1, tampered);
    let mut facts = well();
    tampered(&mut facts);
    assert_eq!(judge(&facts).found[0].since, Some(ago(60)));
}

#[test]
fn trails_that_cannot_be_verified_any_more() {
    is_on("TrailkeeperIntegrityDegraded", "7", 1, |facts| {
        facts.verdicts = Some(vec![verdict("7", "incomplete", true)]);
    });
    is_silent(|facts| facts.verdicts = Some(vec![verdict("7", "incomplete", false)]));
}

#[test]
fn verifications_that_stay_away() {
    let check = |last_at, oldest_at| {
        move |facts: &mut Facts| {
            facts.full_check = Some(FullCheck { last_at, oldest_at });
        }
    };
    let (late, limit) = (36 * HOUR + 1, 36 * HOUR);
    is_on(
        "TrailkeeperVerificationStale",
        "",
        late,
        check(ago(late), 0),
    );
    is_silent(check(ago(limit), 0));
    let never = "TrailkeeperVerificationNeverSucceeded";
    is_on(never, "", 30 * DAY, check(0, 0));
    is_silent(|facts| {
        check(0, 0)(facts);
        facts.made_at = Some(ago(26 * HOUR));
        // What else has not been yet.
        facts.anchored_at = Some(ago(0));
    });
    let late = 8 * DAY + 1;
    is_on(
        "TrailkeeperFullCheckOverdue",
        "",
        late,
        check(ago(0), ago(late)),
    );
    is_silent(check(ago(0), ago(8 * DAY)));
}

#[test]
fn anchors_that_stay_away() {
    let late = 3 * HOUR + 1;
    is_on("TrailkeeperAnchorStale", "", late, |facts| {
        facts.anchored_at = Some(ago(late));
    });
    is_on("TrailkeeperAnchorStale", "", NOW / MICROS, |facts| {
        facts.anchored_at = Some(0);
    });
    is_silent(|facts| {
        facts.anchored_at = Some(0);
        facts.made_at = Some(ago(3 * HOUR));
    });
}

#[test]
fn archives_that_are_not_what_they_should_be() {
    let backup = |stored_at, not_locked| {
        move |facts: &mut Facts| {
            facts.backup = Some(Backup {
                stored_at,
                not_locked,
            });
        }
    };
    let late = 36 * HOUR + 1;
    is_on("TrailkeeperArchiveFailed", "", late, backup(ago(late), 0));
    is_on("TrailkeeperArchiveFailed", "", NOW / MICROS, backup(0, 0));
    is_silent(backup(ago(36 * HOUR), 0));
    is_on("TrailkeeperArchiveNotLocked", "", 2, backup(ago(0), 2));
    let drill = |at, passed| move |facts: &mut Facts| facts.drill = Some(Drill { at, passed });
    is_on("TrailkeeperDrillFailed", "", 0, drill(ago(1), false));
    let late = 8 * DAY + 1;
    is_on("TrailkeeperDrillStale", "", late, drill(ago(late), true));
    is_on("TrailkeeperDrillStale", "", NOW / MICROS, drill(0, false));
    is_silent(drill(ago(8 * DAY), true));
}

#[test]
fn jobs_that_failed_or_wait() {
    is_on("TrailkeeperDeadJobs", "backup", 2, |facts| {
        facts.dead = Some(BTreeMap::from([
            ("anchor".to_owned(), 0),
            ("backup".to_owned(), 2),
        ]));
    });
    is_on("TrailkeeperQueueOld", "", 601, |facts| {
        facts.queue_seconds = Some(601);
    });
    is_on("TrailkeeperOutboxStuck", "", 901, |facts| {
        facts.outbox_seconds = Some(901);
    });
}

#[test]
fn requests_whose_time_runs_out() {
    let due = |seconds: i64, overdue| {
        move |facts: &mut Facts| {
            facts.erasures = Some(Erasures {
                first_due_at: Some(ago(-seconds)),
                overdue,
                awaiting_approval: 0,
            });
        }
    };
    let near = "TrailkeeperErasureDeadlineNear";
    is_on(near, "", 7 * DAY - 1, due(7 * DAY - 1, 0));
    is_silent(due(7 * DAY, 0));
    is_on("TrailkeeperErasureDeadlinePassed", "", 1, due(-1, 1));
    is_on("TrailkeeperErasureAwaitsApproval", "", 3, |facts| {
        facts.erasures = Some(Erasures {
            awaiting_approval: 3,
            ..Erasures::default()
        });
    });
}

#[test]
fn keys_and_items() {
    is_on("TrailkeeperKeysOverdue", "7", 4, |facts| {
        facts.overdue_keys = Some(BTreeMap::from([("7".to_owned(), 4)]));
    });
    is_on("TrailkeeperChecklistFailing", "backups", 1, |facts| {
        facts.failing_items = Some(vec!["backups".to_owned()]);
    });
}
