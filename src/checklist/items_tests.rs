//! Each item made to pass, to fail, and to be unknown.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{
    Checklist, Events, Facts, ITEMS, KeyFact, OrganizationFact, Quota, Ran, Status, VerdictFact,
    take,
};
use crate::{
    keys::report::KeyCounts,
    reviews::{Noted, Review, Survey},
    trail::keys::Weakness,
};

fn now() -> Timestamp {
    "2026-06-30T06:30:00Z".parse().expect("a time")
}

fn ago(days: i64) -> Timestamp {
    now() - SignedDuration::from_hours(24 * days)
}

fn review() -> Noted {
    Noted {
        entry: 9,
        at: ago(2),
        review: Review {
            organization_id: None,
            until: ago(2),
            by: "Ada".to_owned(),
            note: "nothing".to_owned(),
            events: 3,
            severe: 1,
            newest_event_id: 3,
        },
    }
}

fn ran(days: i64) -> Ran {
    Ran {
        reference: "job 1".to_owned(),
        organization_id: Some(1),
        at: ago(days),
    }
}

/// All items pass.
fn sound() -> Facts {
    let quota = Quota {
        per_day: Some(1000),
        per_minute: Some(60),
        concurrent: Some(10),
    };
    Facts {
        now: now(),
        organization_id: None,
        organizations: Ok(vec![OrganizationFact {
            id: 1,
            is_active: true,
            has_entries: true,
            quota: Some(quota),
        }]),
        verdicts: Ok(vec![VerdictFact {
            organization: "1".to_owned(),
            verdict: "intact".to_owned(),
            checked_at: now() - SignedDuration::from_hours(26),
        }]),
        api_keys: Ok(KeyCounts {
            active: 3,
            ok: 2,
            due_soon: 1,
            ..KeyCounts::default()
        }),
        max_key_age_days: 90,
        reports: Ok(vec![ran(92)]),
        audit_keys: Ok(vec![KeyFact {
            id: "2026".to_owned(),
            weakness: None,
            since: Some(ago(366)),
            is_in_use: true,
            is_exposed: false,
        }]),
        export: Ok(Some(ran(92))),
        failed_export: Ok(Some(ran(93))),
        events: Ok(Events {
            survey: Survey {
                events: 3,
                severe: 1,
                newest_rate_limit: Some(ago(92)),
                ..Survey::default()
            },
            newest_review: Some(review()),
        }),
    }
}

/// The checklist of changed facts, which has to have these statuses and else only passes.
#[track_caller]
fn expect(change: impl FnOnce(&mut Facts), expected: &[(&str, Status)]) -> Checklist {
    let mut facts = sound();
    change(&mut facts);
    let checklist = take(&facts);
    let found: Vec<_> = checklist
        .items
        .iter()
        .filter(|item| item.status != Status::Pass)
        .map(|item| (item.id.as_str(), item.status))
        .collect();
    assert_eq!(found, expected, "{checklist:#?}");
    for item in &checklist.items {
        assert_eq!(item.remedy.is_some(), item.status != Status::Pass);
        assert!(!item.reason.is_empty());
    }
    let worst = expected.iter().map(|(_, status)| *status);
    let has_failed = worst.clone().any(|status| status == Status::Fail);
    let status = match (expected.is_empty(), has_failed) {
        (true, _) => Status::Pass,
        (_, true) => Status::Fail,
        _ => Status::Unknown,
    };
    assert_eq!(checklist.status, status);
    checklist
}

fn survey(change: impl FnOnce(&mut Survey)) -> impl FnOnce(&mut Facts) {
    move |facts: &mut Facts| change(&mut facts.events.as_mut().expect("events").survey)
}

#[test]
fn what_is_sound_passes() {
    let checklist = expect(|_| (), &[]);
    let names: Vec<_> = checklist
        .items
        .iter()
        .map(|item| item.id.as_str())
        .collect();
    assert_eq!(names, ITEMS);
}

#[test]
fn what_nobody_knows_is_unknown_and_never_passes() {
    let lost = || "it is away".to_owned();
    let all: Vec<_> = ITEMS.iter().map(|item| (*item, Status::Unknown)).collect();
    let nothing = |facts: &mut Facts| {
        *facts = Facts {
            organizations: Err(lost()),
            verdicts: Err(lost()),
            api_keys: Err(lost()),
            reports: Err(lost()),
            audit_keys: Err(lost()),
            export: Err(lost()),
            failed_export: Err(lost()),
            events: Err(lost()),
            ..sound()
        };
    };
    let checklist = expect(nothing, &all);
    assert!(
        checklist
            .items
            .iter()
            .all(|item| item.reason == "it is away")
    );
    // Where there is nothing yet, nothing passes either, but for keys: none is overdue.
    let empty = |facts: &mut Facts| {
        facts.organizations = Ok(Vec::new());
        facts.verdicts = Ok(Vec::new());
        facts.api_keys = Ok(KeyCounts::default());
        facts.reports = Ok(Vec::new());
        facts.audit_keys = Ok(Vec::new());
        (facts.export, facts.failed_export) = (Ok(None), Ok(None));
        facts.events = Ok(Events {
            survey: Survey::default(),
            newest_review: None,
        });
    };
    let but_keys: Vec<_> = all
        .into_iter()
        .filter(|(item, _)| *item != ITEMS[1])
        .collect();
    expect(empty, &but_keys);
}

#[test]
fn audit_logs_are_verified_each_night() {
    let item = "audit_logs_verified";
    let verdict = |change: fn(&mut VerdictFact)| {
        move |facts: &mut Facts| {
            let mut verdict = facts.verdicts.as_ref().expect("verdicts")[0].clone();
            change(&mut verdict);
            facts.verdicts = Ok(vec![verdict]);
        }
    };
    for (change, status) in [
        (
            verdict(|it| it.verdict = "tampered".to_owned()),
            Status::Fail,
        ),
        (
            verdict(|it| it.verdict = "incomplete".to_owned()),
            Status::Unknown,
        ),
        (
            verdict(|it| it.checked_at -= SignedDuration::from_micros(1)),
            Status::Fail,
        ),
        (
            verdict(|it| it.organization = "2".to_owned()),
            Status::Unknown,
        ),
    ] {
        expect(change, &[(item, status)]);
    }
    // One that is gone is not verified any more.
    let gone = |facts: &mut Facts| {
        facts
            .verdicts
            .as_mut()
            .expect("verdicts")
            .push(VerdictFact {
                organization: "7".to_owned(),
                verdict: "intact".to_owned(),
                checked_at: ago(70),
            });
    };
    expect(gone, &[]);
    // Anchors vouch for each organisation; another organisation's trail is no matter.
    let other = |name: &'static str| {
        move |facts: &mut Facts| {
            facts.organization_id = Some(1);
            facts
                .verdicts
                .as_mut()
                .expect("verdicts")
                .push(VerdictFact {
                    organization: name.to_owned(),
                    verdict: "tampered".to_owned(),
                    checked_at: now(),
                });
        }
    };
    expect(other("2"), &[]);
    expect(other("anchors"), &[(item, Status::Fail)]);
}

#[test]
fn api_keys_are_rotated() {
    let item = "api_keys_rotated";
    let keys = |change: fn(&mut KeyCounts)| {
        move |facts: &mut Facts| change(facts.api_keys.as_mut().expect("keys"))
    };
    expect(keys(|it| it.overdue = 1), &[(item, Status::Fail)]);
    expect(
        keys(|it| it.expired_but_active = 1),
        &[(item, Status::Fail)],
    );
    expect(
        keys(|it| it.never_rotated_unknown_age = 1),
        &[(item, Status::Unknown)],
    );
}

#[test]
fn a_report_is_of_this_quarter() {
    let item = "soc2_report_generated";
    expect(|it| it.reports = Ok(vec![ran(93)]), &[(item, Status::Fail)]);
    expect(|it| it.reports = Ok(Vec::new()), &[(item, Status::Unknown)]);
    let of_another = Ran {
        organization_id: Some(2),
        ..ran(1)
    };
    expect(
        |it| it.reports = Ok(vec![of_another]),
        &[(item, Status::Unknown)],
    );
}

#[test]
fn the_audit_key_is_strong_private_and_young() {
    let item = "secret_key_secured";
    let key = |change: fn(&mut KeyFact)| {
        move |facts: &mut Facts| change(&mut facts.audit_keys.as_mut().expect("keys")[0])
    };
    for (change, status) in [
        (
            key(|it| it.weakness = Some(Weakness::PublishedDefault)),
            Status::Fail,
        ),
        (
            key(|it| it.weakness = Some(Weakness::Short(31))),
            Status::Fail,
        ),
        (key(|it| it.is_exposed = true), Status::Fail),
        (key(|it| it.since = Some(ago(367))), Status::Fail),
        (key(|it| it.since = None), Status::Unknown),
        (key(|it| it.is_in_use = false), Status::Unknown),
    ] {
        expect(change, &[(item, status)]);
    }
    // One that was weak, and signs nothing any more, is no reason to fail.
    let retired = |facts: &mut Facts| {
        let keys = facts.audit_keys.as_mut().expect("keys");
        let mut old = keys[0].clone();
        (old.is_in_use, old.weakness) = (false, Some(Weakness::Short(5)));
        keys.push(old);
    };
    expect(retired, &[]);
}

#[test]
fn an_export_was_tested() {
    let item = "gdpr_export_tested";
    expect(|it| it.export = Ok(Some(ran(93))), &[(item, Status::Fail)]);
    expect(
        |it| it.failed_export = Ok(Some(ran(1))),
        &[(item, Status::Fail)],
    );
    let none = |it: &mut Facts| (it.export, it.failed_export) = (Ok(None), Ok(None));
    expect(none, &[(item, Status::Unknown)]);
}

#[test]
fn severe_events_are_reviewed_within_a_week() {
    let item = "security_events_reviewed";
    let waiting =
        |days: i64| survey(move |it| (it.unreviewed, it.oldest_unreviewed) = (1, Some(ago(days))));
    expect(waiting(8), &[(item, Status::Fail)]);
    expect(waiting(7), &[(item, Status::Unknown)]);
    // Without a time nothing says that it is young.
    expect(survey(|it| it.unreviewed = 1), &[(item, Status::Fail)]);
    let reviewed = |until: Option<i64>| {
        move |facts: &mut Facts| {
            let events = facts.events.as_mut().expect("events");
            events.newest_review = until.map(|days| {
                let mut noted = review();
                noted.review.until = ago(days);
                noted
            });
        }
    };
    expect(reviewed(None), &[(item, Status::Unknown)]);
    expect(reviewed(Some(31)), &[]);
    expect(reviewed(Some(32)), &[(item, Status::Fail)]);
}

#[test]
fn limits_that_nobody_saw_at_work_are_not_active() {
    let item = "rate_limiting_active";
    expect(
        survey(|it| it.newest_rate_limit = None),
        &[(item, Status::Unknown)],
    );
    expect(
        survey(|it| it.newest_rate_limit = Some(ago(93))),
        &[(item, Status::Unknown)],
    );
    let quota = |quota: Option<Quota>| {
        move |facts: &mut Facts| {
            facts.organizations.as_mut().expect("organisations")[0].quota = quota;
        }
    };
    expect(quota(None), &[(item, Status::Fail)]);
    let unlimited = Quota {
        per_day: Some(1000),
        per_minute: Some(0),
        concurrent: Some(1),
    };
    let checklist = expect(quota(Some(unlimited)), &[(item, Status::Fail)]);
    let evidence = &checklist.items[6].evidence["without_limits"];
    assert_eq!(*evidence, json!({"count": 1, "first": ["1"]}));
}
