//! Receivers that are slow, broken, or want to be something else.

use std::time::{Duration, Instant};

use trailkeeper::notify::{Moment, Prospect};

use super::{
    channel, notice,
    receiver::{Answer, Receiver},
    refusal, sender,
};
use crate::support::store::block_on;

const LATER: Prospect = Prospect::Later { after: None };

/// What one answer comes to: why, whether to try again, and how many requests came.
async fn after(answer: Answer) -> (String, Prospect, usize) {
    let receiver = Receiver::start([answer]).await;
    let begun = Instant::now();
    let error = refusal(&channel(&receiver.webhook())).await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{error}");
    (error.reason, error.kind, receiver.requests().len())
}

#[test]
fn what_is_tried_again_and_what_is_not() {
    block_on(async {
        for (status, kind) in [
            ("500 Oops", LATER),
            ("503 Busy", LATER),
            ("408 Slow", LATER),
            ("425 Early", LATER),
            ("429 Many", LATER),
            ("400 Bad", Prospect::Never),
            ("401 Who", Prospect::Never),
            ("404 Where", Prospect::Never),
            ("410 Gone", Prospect::Never),
        ] {
            let (reason, found, requests) = after(Answer::status(status)).await;
            assert_eq!((found, requests), (kind, 1), "{reason}");
            assert!(
                reason.starts_with(&format!("127.0.0.1: answers {}", &status[..3])),
                "{reason}"
            );
        }
        let many = Answer::with("429 Many", "Retry-After: 17\r\n", "");
        let pause = Prospect::Later {
            after: Some(Duration::from_secs(17)),
        };
        assert_eq!(after(many).await.1, pause);
    });
}

#[test]
fn nobody_is_waited_for_or_listened_to_for_ever() {
    block_on(async {
        let (reason, kind, _) = after(Answer::Silence).await;
        assert!(
            reason.contains("no answer within 2 seconds") && kind == LATER,
            "{reason}"
        );
        // Cut off in the head, and in the body of an answer that says why.
        let (reason, kind, _) = after(Answer::Text("HTTP/1.1 2".to_owned())).await;
        assert!(kind == LATER, "{reason}");
        let half = Answer::Text("HTTP/1.1 500 x\r\nContent-Length: 900\r\n\r\nhalf".to_owned());
        let (reason, kind, _) = after(half).await;
        assert!(reason.contains("answers 500") && kind == LATER, "{reason}");
        let endless = "HTTP/1.1 400 x\r\n\r\n";
        let (reason, kind, _) = after(Answer::Endless(endless.to_owned())).await;
        assert!(kind == Prospect::Never && reason.len() < 300, "{reason}");
        // Whoever answers success has it, whatever else is said.
        let receiver =
            Receiver::start([Answer::Endless("HTTP/1.1 200 x\r\n\r\n".to_owned())]).await;
        let sender = sender(&channel(&receiver.webhook()));
        sender.send(&notice(Moment::Firing)).await.expect("taken");
        // Nobody there at all.
        let gone = receiver.webhook().replace(&receiver.port.to_string(), "1");
        assert_eq!(refusal(&channel(&gone)).await.kind, LATER);
    });
}

#[test]
fn an_answer_is_told_unless_it_repeats_a_secret() {
    block_on(async {
        let told = Answer::with("400 Bad", "", "no such\r\n\u{1b}[31mservice");
        let (reason, _, _) = after(told).await;
        assert!(reason.ends_with("no such [31mservice"), "{reason:?}");
        let echo = Answer::with("400 Bad", "", &format!("you sent {}", super::SECRET));
        let (reason, _, _) = after(echo).await;
        assert!(reason.ends_with("answers 400 Bad Request"), "{reason}");
    });
}

#[test]
fn redirects_lead_nowhere_else() {
    block_on(async {
        let elsewhere = Receiver::start([Answer::status("200 OK")]).await;
        let to =
            |status: &str, place: &str| Answer::with(status, &format!("Location: {place}\r\n"), "");
        let port = elsewhere.port;
        for place in [
            format!("http://localhost:{port}/"),
            format!("http://127.0.0.1:{port}/"),
            format!("http://127.0.0.2:{port}/"),
            format!("http://[::1]:{port}/"),
            "http://169.254.169.254/latest/meta-data".to_owned(),
            "file:///etc/passwd".to_owned(),
        ] {
            let (reason, kind, requests) = after(to("307 x", &place)).await;
            assert_eq!((kind, requests), (Prospect::Never, 1), "{reason}");
            assert!(reason.contains("redirects (307)"), "{reason}");
        }
        let (reason, kind, _) = after(to("302 x", "/elsewhere")).await;
        assert!(
            kind == Prospect::Never && reason.contains("loses what is sent"),
            "{reason}"
        );
        let (reason, kind, requests) = after(to("308 x", "/again")).await;
        assert_eq!((kind, requests), (Prospect::Never, 4), "{reason}");
        assert_eq!(elsewhere.requests().len(), 0);

        let answers = [to("307 x", "/moved"), Answer::status("204 x")];
        let receiver = Receiver::start(answers).await;
        let sender = sender(&channel(&receiver.webhook()));
        sender.send(&notice(Moment::Firing)).await.expect("taken");
        let requests = receiver.requests();
        assert!(requests[1].starts_with("POST /moved "), "{requests:?}");
        let bodies = requests
            .iter()
            .map(|it| it.split_once("\r\n\r\n").expect("a body").1);
        let bodies: Vec<&str> = bodies.collect();
        assert!(
            bodies[0] == bodies[1] && !bodies[0].is_empty(),
            "{requests:?}"
        );
    });
}

#[test]
fn private_addresses_are_for_channels_that_say_so() {
    block_on(async {
        let receiver = Receiver::start([Answer::status("200 OK")]).await;
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"] {
            for scheme in ["http", "https"] {
                let lines = receiver.webhook();
                let lines = lines.replace("http://127.0.0.1", &format!("{scheme}://{host}"));
                let mut channel = channel(&lines);
                // As if a name had led elsewhere when the configuration was read.
                channel.allow_private = false;
                let error = refusal(&channel).await;
                let says = "it has no public address, and the channel does not say allow_private";
                assert!(error.reason.ends_with(says), "{error}");
            }
        }
        assert_eq!(receiver.requests().len(), 0);
        // In the clear nothing leaves the own network; nothing is connected to.
        let public = receiver.webhook().replace("127.0.0.1", "203.0.114.1");
        let error = refusal(&channel(&public)).await;
        assert!(
            error
                .reason
                .contains("what is not encrypted goes to private ones only"),
            "{error}"
        );
    });
}
