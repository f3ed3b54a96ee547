//! Dashboards as files: held to Grafana's types, and to what makes them readable.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Dashboard, UNUSED, dashboards, known, metrics_of, root};
use crate::support::tools::tool;

/// Holds a file to the types that Grafana publishes; answers what does not fit.
fn misfits(paths: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> String {
    let output = tool("check_dashboards.py").args(paths).output();
    let output = output.expect("start Python");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.is_empty(), "{errors}");
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert_eq!(output.status.success(), text.is_empty(), "{text}");
    text
}

#[test]
fn dashboards_are_what_grafana_knows() {
    let dashboards = dashboards();
    let names: Vec<&str> = dashboards.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(
        names,
        ["archive-and-rights", "integrity", "jobs", "overview"]
    );
    assert_eq!(misfits(dashboards.iter().map(|it| &it.path)), "");
}

/// The check itself: what Grafana does not know is found.
#[test]
fn what_grafana_does_not_know_is_found() {
    let directory = tempfile::tempdir().expect("make a directory");
    let path = directory.path().join("bad.json");
    let overview = root().join("grafana/overview.json");
    let text = std::fs::read_to_string(overview).expect("read a dashboard");
    for (good, bad, said) in [
        (
            "\"drawStyle\": \"line\"",
            "\"drawStyle\": \"lines\"",
            "'lines'",
        ),
        (
            "\"mergeValues\": true",
            "\"mergedValues\": true",
            "mergedValues is unknown",
        ),
        ("\"unit\": \"s\"", "\"unit\": 5", "has to be str"),
        (
            "\"type\": \"timeseries\"",
            "\"type\": \"graphs\"",
            "'graphs'",
        ),
        (
            "\"instant\": true",
            "\"instant\": \"yes\"",
            "has to be bool",
        ),
    ] {
        assert!(text.contains(good), "{good}");
        std::fs::write(&path, text.replacen(good, bad, 1)).expect("write a dashboard");
        let found = misfits([&path]);
        assert!(found.contains(said), "{bad}: {found}");
    }
}

#[test]
fn dashboards_go_by_variables_and_hold_nothing_of_whoever_drew_them() {
    let dashboards = dashboards();
    let uids: BTreeSet<String> = dashboards
        .iter()
        .map(|it| it.document["uid"].to_string())
        .collect();
    assert_eq!(uids.len(), dashboards.len());
    for Dashboard { name, document, .. } in &dashboards {
        assert_eq!(document["editable"], false, "{name}");
        assert!(
            document["id"].is_null() && document["__inputs"].is_null(),
            "{name}"
        );
        assert_eq!(document["tags"], json!(["trailkeeper"]), "{name}");
        let variables = document["templating"]["list"]
            .as_array()
            .expect("variables");
        let names: Vec<&Value> = variables.iter().map(|it| &it["name"]).collect();
        assert_eq!(names, ["datasource", "job", "instance"], "{name}");
        for variable in variables {
            let options = variable["options"].as_array().expect("options");
            assert!(options.is_empty(), "{name}: {variable}");
        }
    }
}

#[test]
fn panels_say_what_they_show_and_in_what() {
    for dashboard in dashboards() {
        let name = &dashboard.name;
        let mut ids = BTreeSet::new();
        let mut taken: BTreeSet<(i64, i64)> = BTreeSet::new();
        for panel in dashboard.document["panels"].as_array().expect("panels") {
            let title = panel["title"].as_str().unwrap_or_default();
            assert!(!title.is_empty(), "{name}: {panel}");
            assert!(
                ids.insert(panel["id"].as_i64()),
                "{name}: {title} has no id of its own"
            );
            let place = |side: &str| panel["gridPos"][side].as_i64().expect("a place");
            for x in place("x")..place("x") + place("w") {
                assert!(x < 24, "{name}: {title} is beyond the edge");
                for y in place("y")..place("y") + place("h") {
                    assert!(taken.insert((x, y)), "{name}: {title} covers another");
                }
            }
        }
        for panel in dashboard.panels() {
            let title = &panel["title"];
            let description = panel["description"].as_str().unwrap_or_default();
            assert!(
                description.len() > 20 && description.ends_with('.'),
                "{name}: {title}"
            );
            assert!(
                panel["fieldConfig"]["defaults"]["unit"].is_string(),
                "{name}: {title}"
            );
            assert_eq!(
                panel["datasource"]["uid"], "${datasource}",
                "{name}: {title}"
            );
            for target in panel["targets"].as_array().expect("targets") {
                assert_eq!(
                    target["datasource"]["uid"], "${datasource}",
                    "{name}: {title}"
                );
            }
        }
        for (title, query) in dashboard.queries() {
            for metric in metrics_of(query) {
                assert!(
                    known().contains(metric),
                    "{name}: {title}: there is no {metric}"
                );
            }
            // Each metric stands before its labels.
            let (mut metrics, mut selected) = (0, 0);
            for prefix in ["trailkeeper_", "process_"] {
                metrics += query.matches(prefix).count();
            }
            selected += query
                .matches("{job=\"$job\", instance=~\"$instance\"")
                .count();
            assert_eq!(metrics, selected, "{name}: {title}: {query}");
        }
    }
}

#[test]
fn every_metric_is_shown_or_deliberately_not() {
    let rules = std::fs::read_to_string(root().join("config/alerts.yml")).expect("read the rules");
    let mut used: BTreeSet<String> = metrics_of(&rules).into_iter().map(str::to_owned).collect();
    for dashboard in dashboards() {
        for (_, query) in dashboard.queries() {
            used.extend(metrics_of(query).into_iter().map(str::to_owned));
        }
    }
    for (metric, reason) in UNUSED {
        assert!(
            !used.contains(metric),
            "{metric} is used, although it {reason}"
        );
        used.insert(metric.to_owned());
    }
    let unused: Vec<&str> = known()
        .into_iter()
        .filter(|it| !used.contains(*it))
        .collect();
    assert!(unused.is_empty(), "nobody looks at {unused:?}");
}
