//! Notices to real and to hostile receivers.

mod alertmanager;
mod command;
mod hostile;
mod mail;
mod receiver;
mod watching;
mod webhook;

use std::fs;

use jiff::Timestamp;
use trailkeeper::{
    config::{Channel, Config, Environment},
    notify::{Alert, Moment, Notice, SendError, Sender, Severity},
};

/// What no receiver and no message of ours may repeat.
const SECRET: &str = "hunter2hunter2hunter2hunter2";

/// A channel, as a configuration says it.
fn channel(lines: &str) -> Channel {
    let directory = tempfile::tempdir().expect("make a directory");
    let path = directory.path().join("tk.toml");
    let text = format!("[[notify.channels]]\nname = \"it\"\nallow_private = true\n{lines}\n");
    fs::write(&path, &text).expect("write a configuration");
    let config = Config::load(Some(&path), &Environment::default());
    let config = config.unwrap_or_else(|error| panic!("{error}: {text}"));
    config.notify.channels[0].clone()
}

fn sender(channel: &Channel) -> Sender {
    let sender = Sender::new(channel).expect("a usable channel");
    sender.source("audit.example.org")
}

/// Of a notice that did not arrive.
async fn refusal(channel: &Channel) -> SendError {
    let sent = sender(channel).send(&notice(Moment::Firing)).await;
    let error = sent.expect_err("it does not arrive");
    let told = format!("{error} {error:?}");
    assert!(!told.contains("hunter2"), "{told}");
    error
}

fn notice(moment: Moment) -> Notice {
    let at = trailkeeper::clock::Clock.now();
    let second = |seconds: i64| Timestamp::from_second(at.as_second() + seconds).expect("a time");
    let labels = [("organization".to_owned(), "7".to_owned())];
    Notice {
        id: format!("0193563e-8a4f-7000-8000-{:012}", fastrand::u32(..)),
        moment,
        alert: Alert {
            name: "TrailkeeperIntegrityFailed".to_owned(),
            labels: labels.into(),
            severity: Severity::Critical,
            summary: "Tampering in organisation 7 – Zürich".to_owned(),
            description: "3 findings.\n.\nEntry 12 differs.".to_owned(),
            runbook_url: "docs/runbooks/TrailkeeperIntegrityFailed.md".to_owned(),
            link: Some("https://tk.example.org/status".to_owned()),
            starts_at: second(-60),
            ends_at: (moment == Moment::Resolved).then(|| second(-1)),
        },
        at,
    }
}
