//! `scripts/watch`: an entry that is changed leads to a message, with everything real between the two.

use std::process::{Command, Stdio};

#[test]
fn a_changed_entry_leads_to_a_message_within_a_minute() {
    let directory = tempfile::tempdir().expect("make a directory");
    let at = directory.path().join("watch");
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/watch"))
        .arg("--once")
        .arg("--directory")
        .arg(&at)
        .env("TRAILKEEPER", env!("CARGO_BIN_EXE_trailkeeper"))
        .stdin(Stdio::null())
        .output()
        .expect("run scripts/watch");
    let shown = String::from_utf8_lossy(&output.stdout);
    let log = std::fs::read_to_string(at.join("worker.log")).unwrap_or_default();
    let problems = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}\n{problems}\n{log}");
    let said = "organisation 1 was just changed";
    let (_, after) = shown.split_once(said).expect("an entry was changed");
    let message = after.lines().find(|line| {
        line.starts_with("The message about it came") && line.contains("[firing] critical")
    });
    let message = message.unwrap_or_else(|| panic!("{shown}"));
    assert!(message.contains("docs/runbooks/"), "{message}");
}
