//! What is sent, word by word.

use insta::assert_snapshot;

use super::*;

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("JSON")
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// With everything in it that somebody might take for markup, a header or a mention.
fn notice(moment: Moment) -> Notice {
    let labels = [("organization", "7"), ("kind", "a<b>&\"c\"|d")];
    let resolved = moment == Moment::Resolved;
    Notice {
        id: "0193563e-8a4f-7000-8000-000000000001".to_owned(),
        moment,
        alert: Alert {
            name: "TrailkeeperIntegrityFailed".to_owned(),
            labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            severity: Severity::Critical,
            summary: "Tampering in <!channel>\r\nBcc: x@example.org & more".to_owned(),
            description: "3 findings.\nEntry 12 <http://x|y> differs.".to_owned(),
            runbook_url: "docs/runbooks/TrailkeeperIntegrityFailed.md".to_owned(),
            link: Some("https://tk.example.org/?a=1&b=<2>|3".to_owned()),
            starts_at: time("2026-11-23T08:00:00Z"),
            ends_at: resolved.then(|| time("2026-11-23T09:30:00Z")),
        },
        at: time("2026-11-23T08:00:05Z"),
    }
}

#[test]
fn alertmanager_is_told_when_an_alert_ends() {
    let now = time("2026-11-23T08:10:00Z");
    let firing = alertmanager::alert(&notice(Moment::Firing), now, KEEP_FOR);
    assert_snapshot!("alertmanager", pretty(&firing));
    let ends = |moment, now| {
        let alert = alertmanager::alert(&notice(moment), time(now), KEEP_FOR);
        assert_eq!(alert["labels"], firing["labels"]);
        alert["endsAt"].as_str().expect("a time").to_owned()
    };
    assert_eq!(
        ends(Moment::Reminder, "2026-11-23T12:00:00Z"),
        "2026-11-23T13:00:00Z"
    );
    assert_eq!(
        ends(Moment::Resolved, "2026-11-23T12:00:00Z"),
        "2026-11-23T09:30:00Z"
    );
    assert_eq!(
        ends(Moment::Test, "2026-11-23T12:00:00Z"),
        "2026-11-23T12:01:00Z"
    );
}

#[test]
fn webhooks_are_cloud_events() {
    assert_snapshot!(
        "webhook",
        pretty(&webhook::event(
            &notice(Moment::Resolved),
            "audit.example.org"
        ))
    );
}

/// The vector of the specification's own libraries.
#[test]
fn webhooks_are_signed_as_the_standard_says() {
    let key = base64::Engine::decode(
        &base64::engine::general_purpose::STANDARD,
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    );
    let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    let body = "{\"test\": 2432232314}";
    assert_eq!(
        webhook::signature(&key.expect("base64"), id, 1_614_265_330, body),
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    );
}

#[test]
fn slack_is_told_nothing_that_it_takes_for_markup() {
    let message = slack::message(&notice(Moment::Firing), "audit.example.org");
    let text = message.to_string();
    assert!(
        !text.contains("<!channel>") && !text.contains("<http://x"),
        "{text}"
    );
    assert_snapshot!("slack", pretty(&message));
}

#[test]
fn pagerduty_knows_an_alert_by_its_identity() {
    let event = |moment, action| pagerduty::event(&notice(moment), "audit.example.org", action);
    let trigger = event(Moment::Firing, "trigger");
    assert_eq!(
        trigger["dedup_key"],
        event(Moment::Reminder, "trigger")["dedup_key"]
    );
    assert_eq!(
        trigger["dedup_key"],
        event(Moment::Resolved, "resolve")["dedup_key"]
    );
    assert_eq!(pagerduty::actions(Moment::Test), ["trigger", "resolve"]);
    assert_snapshot!("pagerduty", pretty(&trigger));
    assert_snapshot!(
        "pagerduty_resolve",
        pretty(&event(Moment::Resolved, "resolve"))
    );
}

#[test]
fn mail_keeps_its_headers_and_its_thread() {
    let message = |moment| {
        let from = "Wächter <tk@example.org>".parse().expect("an address");
        let to = ["a@example.org", "b@example.org"].map(|text| text.parse().expect("an address"));
        let message = smtp::message(&notice(moment), "audit.example.org", &from, &to);
        let bytes = message.expect("a message").formatted();
        String::from_utf8(bytes)
            .expect("7 bits")
            .replace("\r\n", "\n")
    };
    let firing = message(Moment::Firing);
    let (head, body) = firing.split_once("\n\n").expect("a head");
    assert!(!head.contains("\nBcc:"), "{head}");
    // The boundary between parts is drawn at random.
    let (head, _) = head.split_once("boundary=").expect("a boundary");
    assert_snapshot!("mail_head", head);
    assert!(
        body.contains("text/plain") && body.contains("text/html"),
        "{body}"
    );
    let thread = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("References: "));
        line.expect("a thread").to_owned()
    };
    assert_eq!(thread(&firing), thread(&message(Moment::Resolved)));
}

#[test]
fn what_is_too_long_is_cut_between_characters() {
    assert_eq!(cut("äöü", 3), "äöü");
    assert_eq!(cut("äöüß", 3), "äö…");
    assert_eq!(line(" a\r\n\u{7}b\u{85}c "), "a b c");
}
