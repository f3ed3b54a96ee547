//! What of a channel is refused, and that nothing of it that is secret is told.

use std::fs;
use std::path::Path;

use super::super::{Environment, Loaded};
use super::*;

fn load(text: &str) -> Result<Loaded, String> {
    let file = Some((Path::new("/etc/tk.toml"), text));
    let loaded = Loaded::combine(file, &Environment::default(), Vec::new());
    let shown = format!("{loaded:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    loaded.map_err(|problems| {
        let lines: Vec<String> = problems.0.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })
}

fn channel(text: &str) -> Result<Channel, String> {
    let loaded = load(&format!("[[notify.channels]]\nname = \"a\"\n{text}\n"))?;
    Ok(loaded.config.notify.channels[0].clone())
}

const MAIL: &str = "type = \"smtp\"\nhost = \"mail.example.org\"\nfrom = \"Worker <a@example.org>\"\nto = [\"b@example.org\"]\n";
const SECRET: &str = "secret = \"hunter2hunter2hunter2hunter2\"\n";

#[test]
fn each_kind_with_what_it_needs() {
    let mail = channel(MAIL).expect("mail");
    assert_eq!(
        (mail.smtp_port(), mail.smtp_tls()),
        (587, SmtpTls::Starttls)
    );
    assert_eq!(mail.host_name(), "mail.example.org");
    assert_eq!(mail.timeout().as_secs(), 10);
    for (text, host) in [
        (
            "type = \"slack\"\nurl = \"https://hooks.example.com/hunter2\"",
            "hooks.example.com",
        ),
        (
            "type = \"pagerduty\"\nsecret = \"hunter2\"",
            "events.pagerduty.com",
        ),
        (
            "type = \"alertmanager\"\nurl = \"http://alertmanager:9093/am\"\nallow_private = true",
            "alertmanager",
        ),
        (
            &format!("type = \"webhook\"\nurl = \"https://example.org/x?t=hunter2\"\n{SECRET}"),
            "example.org",
        ),
    ] {
        assert_eq!(channel(text).expect(text).host_name(), host);
    }
}

#[test]
fn what_does_not_fit_is_said() {
    let webhook = format!("type = \"webhook\"\n{SECRET}");
    for (text, problem) in [
        (
            "type = \"slack\"",
            "has no \"url\", which the type \"slack\" needs",
        ),
        (
            "type = \"slack\"\nurl = \"https://e.org\"\nsecret = \"hunter2\"",
            "has \"secret\", which means nothing",
        ),
        ("type = \"carrier\"", "expected \"alertmanager\" or"),
        (
            "type = \"webhook\"\nurl = \"https://e.org\"",
            "has no \"secret\"",
        ),
        (
            "type = \"webhook\"\nurl = \"https://e.org\"\nsecret = \"hunter2\"",
            "less than 24 bytes",
        ),
        (
            "type = \"webhook\"\nurl = \"https://e.org\"\nsecret = \"whsec_hunter2!\"",
            "no base64",
        ),
        ("type = \"pagerduty\"", "has no \"secret\""),
        (
            &format!("{webhook}url = \"hunter2\""),
            "has a \"url\" that is none",
        ),
        (
            &format!("{webhook}url = \"ftp://e.org\""),
            "neither with https",
        ),
        (
            &format!("{webhook}url = \"http://e.org\""),
            "is not encrypted",
        ),
        (
            &format!("{webhook}url = \"https://u:hunter2@e.org\""),
            "user or password",
        ),
        (
            &format!("{webhook}url = \"https://10.0.0.1\""),
            "private network",
        ),
        (
            &format!("{webhook}url = \"https://[::ffff:127.0.0.1]/\""),
            "private network",
        ),
        (
            &format!("{webhook}url = \"https://2130706433/\""),
            "private network",
        ),
        (
            &format!("{webhook}url = \"https://localhost./\""),
            "private network",
        ),
        (
            &format!("{webhook}url = \"https://e.org\"\nhost = \"x\""),
            "has \"host\"",
        ),
        (
            &format!("{webhook}url = \"https://e.org\"\ntimeout_seconds = 0"),
            "from 1 to 300",
        ),
        (&format!("{MAIL}tls = \"none\""), "is not this machine"),
        (&format!("{MAIL}username = \"u\""), "without a \"secret\""),
        (&format!("{MAIL}{SECRET}"), "has no \"username\""),
        (&format!("{MAIL}url = \"https://e.org\""), "has \"url\""),
        (
            &MAIL.replace("b@", "hunter2"),
            "no address of mail in \"to\"",
        ),
        (
            &MAIL.replace("a@", "a@\\r\\nBcc: x@"),
            "\"from\" that is no address",
        ),
        (
            &MAIL.replace("mail.example.org", "mail.example.org:25"),
            "use \"port\"",
        ),
    ] {
        let error = channel(text).expect_err(text);
        assert!(error.contains(problem), "{text}: {error}");
    }
    let local = MAIL.replace("mail.example.org", "::1");
    let local = local.replace("::1", "127.0.0.1");
    assert!(channel(&format!("{local}tls = \"none\"\nallow_private = true")).is_ok());
    let twice = "[[notify.channels]]\nname = \"a b\"\ntype = \"pagerduty\"\nsecret = \"hunter2\"\n"
        .repeat(2);
    let error = load(&twice).expect_err("twice");
    assert!(
        error.contains("lists \"a b\" twice") && error.contains("a name has 1 to 64"),
        "{error}"
    );
}

#[test]
fn files_of_secrets_are_read_in_lists_and_never_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("url");
    fs::write(&path, "https://hooks.example.com/hunter2\n").expect("write");
    let text = format!("type = \"slack\"\nurl_file = {path:?}");
    let loaded = load(&format!("[[notify.channels]]\nname = \"a\"\n{text}\n")).expect("a channel");
    let url = loaded.config.notify.channels[0].url.expose();
    assert_eq!(url, "https://hooks.example.com/hunter2");
    let shown = format!("{}{}", loaded.to_toml(), loaded.to_json());
    assert!(
        shown.contains("https://hooks.example.com/***") && !shown.contains("hunter2"),
        "{shown}"
    );
    let both = channel(&format!("{text}\nurl = \"https://hunter2\"")).expect_err("both");
    assert!(
        both.contains("notify.channels[0].url_file and notify.channels[0].url are both set"),
        "{both}"
    );
    let missing = channel("type = \"slack\"\nurl_file = \"/no/such\"").expect_err("missing");
    assert!(
        missing.contains("/etc/tk.toml:1: notify.channels[0].url_file \"/no/such\" cannot be read"),
        "{missing}"
    );
}
