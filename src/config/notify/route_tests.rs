//! Routes, and what is wrong with them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::*;
use crate::{config::Config, notify::Severity};

fn section(routes: Vec<Route>) -> Notify {
    let channel = |name: &str| {
        // Its kind does not matter here.
        let text = format!(
            "name = {name:?}\ntype = \"pagerduty\"\nsecret = \"0123456789abcdef0123456789abcdef\""
        );
        toml::from_str::<Channel>(&text).expect("a channel")
    };
    Notify {
        channels: vec![channel("oncall"), channel("chat")],
        routes,
        ..Config::default().notify
    }
}

fn route(channels: &[&str]) -> Route {
    Route {
        channels: channels.iter().map(|it| (*it).to_owned()).collect(),
        min_severity: None,
        organizations: Vec::new(),
        alerts: Vec::new(),
    }
}

fn alert(name: &str, severity: Severity, organization: Option<&str>) -> Alert {
    let labels = organization.map(|it| ("organization".to_owned(), it.to_owned()));
    Alert {
        name: name.to_owned(),
        labels: labels.into_iter().collect::<BTreeMap<_, _>>(),
        severity,
        summary: String::new(),
        description: String::new(),
        runbook_url: String::new(),
        link: None,
        starts_at: Timestamp::UNIX_EPOCH,
        ends_at: None,
    }
}

fn names(section: &Notify, alert: &Alert) -> Vec<String> {
    let receivers = section.receivers(alert).into_iter();
    receivers.map(|it| it.name.clone()).collect()
}

#[test]
fn without_routes_all_channels_hear_everything() {
    let alert = alert("TrailkeeperDrillStale", Severity::Info, None);
    assert_eq!(names(&section(Vec::new()), &alert), ["oncall", "chat"]);
}

#[test]
fn a_route_takes_what_fits_all_its_conditions() {
    let narrow = Route {
        min_severity: Some(Severity::Critical),
        organizations: vec![7],
        alerts: vec!["TrailkeeperIntegrityFailed".to_owned()],
        ..route(&["oncall"])
    };
    let section = section(vec![narrow, route(&["chat"]), route(&["chat"])]);
    let failed = "TrailkeeperIntegrityFailed";
    for (name, severity, organization, is_taken) in [
        (failed, Severity::Critical, Some("7"), true),
        (failed, Severity::Warning, Some("7"), false),
        (failed, Severity::Critical, Some("8"), false),
        (failed, Severity::Critical, Some("anchors"), false),
        (failed, Severity::Critical, None, false),
        ("TrailkeeperDeadJobs", Severity::Critical, Some("7"), false),
    ] {
        let told = names(&section, &alert(name, severity, organization));
        let expected: &[&str] = if is_taken {
            &["oncall", "chat"]
        } else {
            &["chat"]
        };
        assert_eq!(told, expected, "{name} {severity:?} {organization:?}");
    }
}

#[test]
fn mistakes_are_named_with_what_may_be_meant() {
    let mistyped = Route {
        alerts: vec!["TrailkeeperIntegrityFaild".to_owned(), "Else".to_owned()],
        ..route(&["oncal"])
    };
    let mut section = section(vec![route(&[]), mistyped]);
    section.status_url = "status.example.org".to_owned();
    section.runbooks_url = String::new();
    section.channels.push(section.channels[0].clone());
    let said: Vec<String> = section
        .validate()
        .into_iter()
        .map(|it| format!("{} {}", it.key, it.problem))
        .collect();
    assert_eq!(
        said,
        [
            "notify.status_url has to begin with https:// or http://",
            "notify.runbooks_url is empty; leave it out for the directory of the repository",
            "notify.channels lists \"oncall\" twice",
            "notify.routes[0].channels is empty: it leads nowhere",
            "notify.routes[1].channels names the channel \"oncal\", which there is not; did you mean \"oncall\"?",
            "notify.routes[1].alerts names the alert \"TrailkeeperIntegrityFaild\", which there is not; did you mean \"TrailkeeperIntegrityFailed\"?",
            "notify.routes[1].alerts names the alert \"Else\", which there is not",
        ]
    );
}
