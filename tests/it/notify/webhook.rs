//! Whether a receiver that follows `docs/notifications.md` believes us, and nobody else.

use std::fs;
use std::process::Command;

use serde_json::Value;
use trailkeeper::notify::Moment;

use super::{
    SECRET, channel, notice,
    receiver::{Answer, Receiver, header},
    sender,
};
use crate::support::store::block_on;

/// The program in the documentation, asked about one request.
fn verify(secret: &str, [id, time, signature, body]: [&str; 4]) -> bool {
    let docs = fs::read_to_string("docs/notifications.md").expect("the documentation");
    let (_, rest) = docs.split_once("```python\n").expect("a program");
    let (program, _) = rest.split_once("```").expect("its end");
    let call = "\nimport sys\nsecret, id, sent, signature, body = sys.argv[1:]\n\
                headers = {'webhook-id': id, 'webhook-timestamp': sent, 'webhook-signature': signature}\n\
                sys.exit(0 if is_genuine(secret, headers, body.encode()) else 1)\n";
    let status = Command::new("python3")
        .args([
            "-c",
            &format!("{program}{call}"),
            secret,
            id,
            time,
            signature,
            body,
        ])
        .status()
        .expect("run python3");
    assert!(matches!(status.code(), Some(0 | 1)), "{status}");
    status.success()
}

#[test]
fn the_documented_check_believes_us_and_nobody_else() {
    block_on(async {
        let receiver = Receiver::start([Answer::status("200 OK")]).await;
        let lines = receiver.webhook();
        let encoded = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
        for (secret, lines) in [
            (SECRET, lines.clone()),
            (
                encoded,
                lines.replace(
                    &format!("secret = \"{SECRET}\""),
                    &format!("secret = \"{encoded}\""),
                ),
            ),
        ] {
            let notice = notice(Moment::Firing);
            sender(&channel(&lines)).send(&notice).await.expect("taken");
            let request = receiver.requests().pop().expect("a request");
            let of = |name| header(&request, name).expect("the header");
            assert!(of("content-type").starts_with("application/cloudevents+json"));
            assert_eq!(of("webhook-id"), notice.id);
            let (_, body) = request.split_once("\r\n\r\n").expect("a body");
            let event: Value = serde_json::from_str(body).expect("JSON");
            assert_eq!(event["type"], "trailkeeper.alert.firing");
            assert_eq!(
                event["subject"],
                "TrailkeeperIntegrityFailed{organization=\"7\"}"
            );
            let (id, time) = (of("webhook-id"), of("webhook-timestamp"));
            let signature = of("webhook-signature");
            assert!(verify(secret, [id, time, signature, body]));
            assert!(!verify(
                secret,
                [id, time, signature, &body.replace('7', "8")]
            ));
            assert!(!verify(secret, ["other", time, signature, body]));
            assert!(!verify(
                "other-secret-other-secret",
                [id, time, signature, body]
            ));
            assert!(!verify(secret, [id, "1700000000", signature, body]));
            let two = format!("v1,{} {signature}", "A".repeat(44));
            assert!(verify(secret, [id, time, &two, body]));
        }
    });
}
