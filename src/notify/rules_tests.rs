//! Holds the rules to `config/alerts.yml`.

use std::collections::BTreeSet;

use super::*;

const ALERTS: &str = include_str!("../../config/alerts.yml");

/// What a rule of the file says, as far as it is ours too.
#[derive(Debug, Default, PartialEq, Eq)]
struct Written {
    name: String,
    severity: String,
    wait: i64,
    summary: String,
    description: String,
}

/// The file's rules. It is read by lines, as it is laid out: a key and its value, or a key and a folded text below it.
fn written() -> Vec<Written> {
    let mut rules: Vec<Written> = Vec::new();
    let mut is_description = false;
    for line in ALERTS.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- alert: ") {
            rules.push(Written {
                name: name.to_owned(),
                ..Written::default()
            });
            continue;
        }
        let Some(rule) = rules.last_mut() else {
            continue;
        };
        let (key, value) = line.split_once(": ").unwrap_or((line, ""));
        match key {
            "severity" => value.clone_into(&mut rule.severity),
            "for" => rule.wait = seconds(value),
            "summary" => value.trim_matches('"').clone_into(&mut rule.summary),
            "description" => is_description = true,
            "runbook_url" => is_description = false,
            _ if is_description => {
                let gap = if rule.description.is_empty() { "" } else { " " };
                rule.description += gap;
                rule.description += line;
            }
            _ => {}
        }
    }
    rules
}

fn seconds(text: &str) -> i64 {
    let (number, unit) = text.split_at(text.len() - 1);
    let number: i64 = number.parse().expect("a number");
    number
        * match unit {
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            other => panic!("a unit {other}"),
        }
}

#[test]
fn rules_say_what_the_file_says() {
    let written = written();
    assert!(written.len() > 20, "{written:?}");
    for rule in RULES {
        let ours = Written {
            name: rule.name.to_owned(),
            severity: rule.severity.name().to_owned(),
            wait: rule.wait_seconds,
            summary: rule.summary.to_owned(),
            description: rule.description.to_owned(),
        };
        let theirs = written.iter().find(|it| it.name == rule.name);
        assert_eq!(Some(&ours), theirs);
    }
}

#[test]
fn every_rule_of_the_file_is_ours_or_not_for_a_reason() {
    let written = written();
    let all: BTreeSet<&str> = written.iter().map(|it| it.name.as_str()).collect();
    let left_out = FOR_PROMETHEUS.iter().map(|(name, _)| *name);
    let known: Vec<&str> = RULES.iter().map(|it| it.name).chain(left_out).collect();
    assert_eq!(known.len(), all.len());
    assert_eq!(known.into_iter().collect::<BTreeSet<_>>(), all);
}

#[test]
fn words_have_labels_and_values_in_their_places() {
    let rule = rule("TrailkeeperDeadJobs").expect("a rule");
    let labels = BTreeMap::from([("kind".to_owned(), "backup".to_owned())]);
    let (summary, description) = rule.words(&labels, 3);
    assert_eq!(summary, "3 jobs of the kind backup failed for good");
    assert!(description.starts_with("3 jobs of the kind backup used up"));
    for (seconds, expected) in [
        (0, "0s"),
        (59, "59s"),
        (60, "1m 0s"),
        (3_725, "1h 2m 5s"),
        (129_600, "1d 12h 0m 0s"),
        (-61, "-1m 1s"),
    ] {
        assert_eq!(duration(seconds), expected);
    }
}

#[test]
fn no_place_stays_empty() {
    let labels = ["organization", "kind", "item"].map(|it| (it.to_owned(), "x".to_owned()));
    let labels = BTreeMap::from(labels);
    for rule in RULES {
        let (summary, description) = rule.words(&labels, 1);
        assert!(!(summary + &description).contains("{{"), "{}", rule.name);
        assert!(rule.page.starts_with("/status"), "{}", rule.name);
    }
}
