//! Messages in RabbitMQ's dead queue, on a real broker.

use serde_json::json;
use trailkeeper::runtime::amqp::{
    Settings,
    topology::{self, DEAD, JOBS},
};

use super::{dead, program};
use crate::support::{
    amqp_client::{Client, properties, with_headers},
    program::{Program, Run},
    rabbitmq::RabbitMq,
    store::{TestStore, block_on},
};

/// A port that nobody listens on.
const AWAY: &str = "amqp://tk:hunter2@127.0.0.1:1";

struct Desk {
    test: TestStore,
    broker: RabbitMq,
}

impl Desk {
    fn program(&self, arguments: &[&str]) -> Program {
        program(&self.test, arguments).env("TRAILKEEPER__AMQP__URL", self.broker.url())
    }

    #[track_caller]
    fn text(&self, arguments: &[&str]) -> String {
        let run = self.program(arguments).run();
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        run.stdout
    }

    #[track_caller]
    fn refused(&self, arguments: &[&str], part: &str) {
        refused(&self.program(arguments).run(), 2, part);
    }
}

#[track_caller]
fn refused(run: &Run, exit: i32, part: &str) {
    let (code, line) = run.failure();
    assert_eq!(code, Some(exit), "{run:?}");
    assert!(line.contains(part), "{line}");
}

/// What was refused with a reason, what the broker moved by itself, and what nobody can name.
async fn fill(client: &Client) {
    let refused = |id: &str, detail: &str| {
        let headers = [
            ("x-trailkeeper-reason", "unknown_kind"),
            ("x-trailkeeper-detail", detail),
            ("x-trailkeeper-routing-key", "verify_trial"),
            ("mine", "kept"),
        ];
        with_headers(properties(id), &headers)
    };
    let body = format!("{{\"secret\":\"hunter2\"}}\u{1b}[2J{}", "x".repeat(20_000));
    let nameless = with_headers(Default::default(), &[("x-trailkeeper-reason", "too_large")]);
    for (properties, body) in [
        (refused("m1", "did you mean \u{1b}[31mverify_trail?"), "{}"),
        (refused("m2", "no job kind"), body.as_str()),
        (nameless, "nameless"),
    ] {
        client.send_to("", DEAD, properties, body.as_bytes()).await;
    }
}

#[test]
fn messages_are_looked_at_sent_again_and_deleted() {
    block_on(async {
        let test = TestStore::sqlite().await;
        dead(&test.store, "job", "no luck").await;
        let broker = RabbitMq::start();
        let desk = Desk { test, broker };
        // Before any worker was there.
        let run = desk.program(&["dead", "list", "--amqp"]).run();
        refused(&run, 3, "RabbitMQ has no queue trailkeeper.dead");
        let settings = Settings::new(&desk.broker.url()).expect("an address");
        topology::check(&settings).await.expect("declare");
        assert_eq!(desk.text(&["dead", "list", "--amqp"]), "no messages\n");
        let client = Client::connect(&desk.broker.url()).await;
        fill(&client).await;

        let listed = desk.text(&["dead", "list", "--amqp"]);
        insta::assert_snapshot!("letters_list", listed);
        let both = desk.text(&["dead", "list"]);
        assert!(both.starts_with("jobs\nID "), "{both}");
        let (jobs, messages) = both
            .split_once("\n\nmessages in trailkeeper.dead of RabbitMQ\n")
            .expect("two tables");
        assert!(jobs.contains("no luck"), "{both}");
        assert_eq!(messages, listed);
        assert!(!both.contains("hunter2"), "{both}");
        let (_, listing) = desk.program(&["dead", "list"]).json();
        assert_eq!(listing["jobs"].as_array().map(Vec::len), Some(1));
        assert_eq!(listing["messages"][1]["message_id"], "m2");
        assert_eq!(listing["messages"][1]["reason"], "unknown_kind");
        assert_eq!(listing["messages_total"], 3);
        let (_, document) = desk
            .program(&["dead", "list", "--amqp", "--limit", "1"])
            .json();
        assert_eq!(document["messages"].as_array().map(Vec::len), Some(1));
        let kind = ["dead", "list", "--amqp", "--kind", "verify_piece"];
        assert_eq!(desk.text(&kind), "no messages\n");

        insta::assert_snapshot!("letters_show", desk.text(&["dead", "show", "--amqp", "m1"]));
        let (_, document) = desk.program(&["dead", "show", "--amqp", "m2"]).json();
        let message = &document["messages"][0];
        let body = message["body"].as_str().expect("a body");
        assert!(body.starts_with("{\"secret\":\"hunter2\"}\u{1b}"), "{body}");
        assert_eq!(
            (body.len(), &message["body_is_cut"]),
            (16_384, &json!(true))
        );
        let shown = desk.text(&["dead", "show", "--amqp", "m2"]);
        assert!(!shown.contains('\u{1b}'), "{shown}");
        assert!(shown.ends_with("\nand 3.55 KiB more\n"), "{shown}");
        desk.refused(&["dead", "show", "--amqp", "m9"], "no message \"m9\" is in");

        // Sent again as it first came.
        desk.refused(
            &["dead", "replay", "--amqp", "m9"],
            "no message \"m9\" is in",
        );
        let nameless = listing["messages"][2]["digest"].as_str();
        let nameless = nameless.expect("a digest");
        let shown = desk.text(&["dead", "show", "--amqp", nameless]);
        assert!(shown.ends_with("body\nnameless\n"), "{shown}");
        desk.refused(
            &["dead", "replay", "--amqp", nameless],
            "with which routing key",
        );
        let sent = desk.text(&["dead", "replay", "--amqp", "m2"]);
        assert_eq!(sent, "sent 1 message to trailkeeper.jobs again\n");
        let back = client.drain(JOBS).await;
        assert_eq!(back.len(), 1);
        assert_eq!(back[0].routing_key.as_str(), "verify_trial");
        assert_eq!(back[0].properties.message_id(), &Some("m2".into()));
        let headers = back[0].properties.headers().as_ref().expect("headers");
        let names: Vec<_> = headers.inner().keys().map(|name| name.as_str()).collect();
        assert!(names.contains(&"mine"), "{names:?}");
        assert!(!names.iter().any(|name| name.starts_with("x-trailkeeper")));
        let (_, document) = desk.program(&["dead", "replay", "--amqp", "--all"]).json();
        assert_eq!(
            document,
            json!({"replayed": 1, "unknown_key": 1, "left": 1})
        );
        let sent = desk.text(&["dead", "replay", "--amqp", "--all"]);
        let told = "sent 0 messages to trailkeeper.jobs again\n\
                    left 1 message, since nothing says with which routing key it came\n";
        assert_eq!(sent, told);

        // Nothing is deleted that nobody confirmed.
        let purge = ["dead", "purge", "--amqp", "--all"];
        desk.refused(&purge, "nothing was deleted; --yes");
        desk.refused(&["dead", "purge", "--amqp", "m1"], "give --all");
        assert_eq!(client.count(DEAD).await, 1);
        let (_, document) = desk.program(&purge).arg("--yes").json();
        assert_eq!(document, json!({"purged": 1}));
        assert_eq!(client.count(DEAD).await, 0);
        // The jobs were none of its business.
        assert_eq!(super::all(&desk.test.store).await.len(), 1);
    });
}

#[test]
fn a_broker_that_is_away_or_unknown_is_told() {
    block_on(async {
        let test = TestStore::sqlite().await;
        dead(&test.store, "job", "no luck").await;
        let away =
            |arguments: &[&str]| program(&test, arguments).env("TRAILKEEPER__AMQP__URL", AWAY);
        let run = away(&["dead", "list"]).run();
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        assert!(run.stdout.contains("no luck"), "{run:?}");
        let told = "messages in trailkeeper.dead of RabbitMQ\nnot known: cannot connect to amqp://tk@127.0.0.1:1/";
        assert!(run.stdout.contains(told), "{run:?}");
        let (run, document) = away(&["dead", "list"]).json();
        assert!(!run.stdout.contains("hunter2"), "{run:?}");
        assert_eq!(document["jobs"].as_array().map(Vec::len), Some(1));
        assert_eq!(document["messages"], json!(null));
        let problem = document["messages_problem"].as_str().expect("a problem");
        assert!(problem.starts_with("cannot connect"), "{problem}");
        for arguments in [
            &["dead", "list", "--amqp"][..],
            &["dead", "show", "--amqp", "m1"],
            &["dead", "replay", "--amqp", "--all"],
            &["dead", "purge", "--amqp", "--all", "--yes"],
        ] {
            refused(&away(arguments).run(), 3, "cannot connect to amqp://tk@");
            let run = program(&test, arguments).run();
            refused(&run, 2, "--amqp needs RabbitMQ: set amqp.url");
        }
    });
}
