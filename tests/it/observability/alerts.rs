//! Alert rules, by Prometheus' own tools.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{known, metrics_of, root};
use crate::support::tools::tool;

const TESTS: [&str; 2] = ["alerts.test.yml", "alerts.days.test.yml"];

/// A file of YAML.
fn yaml(name: &str) -> Value {
    let text = fs::read(root().join("config").join(name)).expect("read a file");
    let mut child = tool("yaml_to_json.py")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start Python");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(&text).expect("send the text");
    drop(stdin);
    let output = child.wait_with_output().expect("read the answer");
    assert!(output.status.success(), "{name} is no YAML");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Name and expression of each rule.
fn rules(document: &Value) -> Vec<(&str, &Value)> {
    let groups = list(&document["groups"]).iter();
    let rules = groups.flat_map(|group| list(&group["rules"]));
    rules
        .map(|rule| (rule["alert"].as_str().expect("an alert"), rule))
        .collect()
}

#[track_caller]
fn promtool(arguments: &[&str]) {
    let output = Command::new("promtool")
        .args(arguments)
        .current_dir(root().join("config"))
        .output()
        .expect("run promtool; scripts/setup installs it");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

#[test]
fn prometheus_takes_the_rules() {
    promtool(&["check", "rules", "alerts.yml"]);
}

#[test]
fn rules_that_look_at_minutes_fire_when_they_have_to() {
    promtool(&["test", "rules", TESTS[0]]);
}

#[test]
fn rules_that_look_at_days_fire_when_they_have_to() {
    promtool(&["test", "rules", TESTS[1]]);
}

#[test]
fn rules_are_whole_and_name_metrics_that_there_are() {
    let document = yaml("alerts.yml");
    let known = known();
    for (alert, rule) in rules(&document) {
        let severity = rule["labels"]["severity"].as_str().expect("a severity");
        assert!(
            ["critical", "warning", "info"].contains(&severity),
            "{alert}"
        );
        for text in ["summary", "description", "runbook_url"] {
            let text = rule["annotations"][text].as_str().unwrap_or_default();
            assert!(text.len() > 20, "{alert}: {text:?}");
        }
        let expression = rule["expr"].as_str().expect("an expression");
        let metrics = metrics_of(expression);
        assert!(!metrics.is_empty(), "{alert}: {expression}");
        for metric in metrics {
            assert!(known.contains(metric), "{alert}: there is no {metric}");
        }
    }
}

/// What promtool runs shows each rule firing and silent, over a restart of the worker, and where its series are absent.
#[test]
fn each_rule_is_shown_in_all_ways() {
    let document = yaml("alerts.yml");
    let tests: Vec<Value> = TESTS.iter().map(|name| yaml(name)).collect();
    let groups: Vec<&Value> = tests.iter().flat_map(|it| list(&it["tests"])).collect();
    let mut named = BTreeSet::new();
    for (alert, rule) in rules(&document) {
        let [mut fires, mut is_silent, mut is_restarted, mut is_absent] = [false; 4];
        let needed = metrics_of(rule["expr"].as_str().expect("an expression"));
        for group in &groups {
            let checks = list(&group["alert_rule_test"]).iter();
            let checks: Vec<_> = checks.filter(|it| it["alertname"] == alert).collect();
            if checks.is_empty() {
                continue;
            }
            let is_firing = |check: &&&Value| !list(&check["exp_alerts"]).is_empty();
            fires |= checks.iter().any(|check| is_firing(&check));
            is_silent |= checks.iter().any(|check| !is_firing(&check));
            let series = list(&group["input_series"]);
            is_restarted |= series
                .iter()
                .any(|it| it["values"].as_str().is_some_and(|it| it.contains('_')));
            let mut there = series.iter().filter_map(|it| it["series"].as_str());
            is_absent |= !there.any(|it| metrics_of(it).iter().any(|it| needed.contains(it)));
        }
        assert!(fires, "{alert} is never shown firing");
        assert!(is_silent, "{alert} is never shown silent");
        assert!(is_restarted, "{alert} is not shown over a restart");
        assert!(
            is_absent,
            "{alert} is not shown where its series are absent"
        );
        named.insert(alert);
    }
    assert!(named.len() > 20, "{named:?}");
    let never = "a backup that never ran";
    let is_it = |group: &&&Value| group["name"].as_str().is_some_and(|it| it.ends_with(never));
    assert!(groups.iter().any(|group| is_it(&group)), "{never}");
}
