//! Worker processes on a real RabbitMQ and a real PostgreSQL.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};

use super::Scene;
use crate::support::{
    amqp_client::{Client, header, properties},
    rabbitmq::RabbitMq,
    store::block_on,
    worker::{Worker, until},
};

const EVENTS: &str = "test.events";

/// Two workers, and somebody who listens to all events.
struct Fleet {
    scene: Scene,
    broker: RabbitMq,
    workers: Vec<Worker>,
}

impl Fleet {
    async fn start() -> Self {
        let mut scene = Scene::on_postgres().await;
        scene.make_effect_table().await;
        let broker = RabbitMq::start();
        scene.setting = scene
            .setting
            .with(
                "amqp",
                format!("url = {:?}\nreconnect_max_seconds = 1", broker.url()),
            )
            .with("jobs", "lease_seconds = 3\nretry_base_seconds = 0");
        let workers = vec![
            Worker::start(&scene.setting, "a"),
            Worker::start(&scene.setting, "b"),
        ];
        let client = Client::connect(&broker.url()).await;
        client.subscribe(EVENTS, "#").await;
        Self {
            scene,
            broker,
            workers,
        }
    }

    async fn client(&self) -> Client {
        Client::connect(&self.broker.url()).await
    }

    /// All events until now, by type, each counted once however often it came.
    async fn events(&self) -> BTreeMap<String, usize> {
        let mut seen = HashSet::new();
        let mut events = BTreeMap::new();
        for delivery in self.client().await.drain(EVENTS).await {
            let id = header(&delivery, "cloudEvents:id").expect("an id");
            if seen.insert(id) {
                let kind = header(&delivery, "cloudEvents:type").expect("a type");
                *events.entry(kind).or_default() += 1;
            }
        }
        events
    }

    async fn wait_sent(&self) {
        let deadline = std::time::Instant::now() + crate::support::worker::PATIENCE;
        while self.scene.store().outbox_depth().await.expect("depth").0 > 0 {
            assert!(
                std::time::Instant::now() < deadline,
                "events are not sent: {}",
                self.workers[0].log()
            );
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

fn effect(sleep_ms: u64) -> Vec<u8> {
    json!({"effect": true, "sleep_ms": sleep_ms})
        .to_string()
        .into_bytes()
}

/// From a message to its job, the event that tells of its end, and the answer to who asked.
#[test]
fn a_message_becomes_a_job_an_event_and_an_answer() {
    block_on(async {
        let fleet = Fleet::start().await;
        let client = fleet.client().await;
        client.queue("answers").await;
        let asking = properties("q1")
            .with_reply_to("answers".into())
            .with_correlation_id("question 1".into());
        client.send("verify_trail", asking.clone(), b"{}").await;
        client.send("verify_trail", asking, b"{}").await;
        client
            .send(
                "verify_trail",
                properties("q2"),
                br#"{"organisations":[1]}"#,
            )
            .await;
        client.send("check_api_keys", properties("q3"), b"{}").await;
        client.send("verify_piece", properties("q4"), b"{}").await;
        let dead = async || client.count("trailkeeper.dead").await;
        while dead().await < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        until("the jobs were taken in", || {
            fleet
                .workers
                .iter()
                .filter_map(|w| w.metric("trailkeeper_amqp_messages_total{result=\"new\"}"))
                .sum::<f64>()
                >= 2.0
        });
        fleet.scene.settle().await;
        fleet.wait_sent().await;
        let answers = client.drain("answers").await;
        assert_eq!(
            answers.len(),
            1,
            "{}\n{}",
            fleet.workers[0].log(),
            fleet.workers[1].log()
        );
        let answer: Value = serde_json::from_slice(&answers[0].data).expect("JSON");
        assert_eq!(
            answers[0]
                .properties
                .correlation_id()
                .as_ref()
                .map(|id| id.as_str()),
            Some("question 1")
        );
        assert_eq!(
            (&answer["state"], &answer["outcome"]["verdict"]),
            (&json!("succeeded"), &json!("tampered"))
        );
        let events = fleet.events().await;
        let expected = [
            ("api_key.overdue", 18),
            ("integrity.failed", 1),
            ("job.rejected", 2),
            // Those two that were asked for, and the anchor that follows a verification.
            ("job.succeeded", 3),
        ];
        let expected: BTreeMap<String, usize> = expected
            .into_iter()
            .map(|(k, n)| (k.to_owned(), n))
            .collect();
        assert_eq!(events, expected);
        let reasons: HashSet<String> = client
            .drain("trailkeeper.dead")
            .await
            .iter()
            .map(|dead| header(dead, "x-trailkeeper-reason").expect("a reason"))
            .collect();
        assert_eq!(
            reasons,
            HashSet::from(["unknown_kind".to_owned(), "invalid_payload".to_owned()])
        );
    });
}

/// Everything goes away once while messages come and jobs run, and comes back: nothing is lost or doubled.
#[test]
fn broker_database_and_workers_may_die_under_load() {
    block_on(async {
        let mut fleet = Fleet::start().await;
        const MESSAGES: usize = 600;
        let send = async |fleet: &Fleet, from: usize, to: usize| {
            let client = fleet.client().await;
            for id in from..to {
                client
                    .send("probe", properties(&id.to_string()), &effect(10))
                    .await;
            }
        };
        send(&fleet, 0, 200).await;
        // RabbitMQ 3.10 loses a queue that is younger than a second or so when it is killed.
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        fleet.broker.kill();
        fleet.broker.restart();
        send(&fleet, 100, 300).await;
        fleet.workers[0].kill();
        fleet.workers[0] = Worker::spawn(&fleet.scene.setting, "a");
        send(&fleet, 200, 400).await;
        fleet
            .scene
            .state
            .server
            .as_mut()
            .expect("a server")
            .restart();
        send(&fleet, 300, 500).await;
        fleet.broker.close_connections();
        send(&fleet, 400, MESSAGES).await;
        let deadline = std::time::Instant::now() + crate::support::worker::PATIENCE * 2;
        loop {
            let (rows, _) = fleet.scene.effects().await;
            if rows >= MESSAGES as i64 {
                break;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "{rows} effects:\n{}",
                fleet.workers[1].log()
            );
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        fleet.scene.settle().await;
        fleet.wait_sent().await;
        let all = MESSAGES as i64;
        assert_eq!(fleet.scene.effects().await, (all, all));
        assert_eq!(
            fleet.events().await,
            BTreeMap::from([("job.succeeded".to_owned(), MESSAGES)])
        );
        for worker in &mut fleet.workers {
            worker.wait_ready();
        }
    });
}

/// A worker starts without its broker, does what it can, says what is missing, and connects when it is there.
#[test]
fn a_worker_does_without_its_broker_for_a_while() {
    block_on(async {
        let mut fleet = Fleet::start().await;
        // As above.
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        fleet.broker.kill();
        fleet.workers[1].kill();
        fleet.workers[1] = Worker::spawn(&fleet.scene.setting, "b");
        until("it says what is missing", || {
            fleet.workers[1]
                .get("/readyz")
                .is_some_and(|(status, body)| {
                    status == 503
                        && body.contains("\"state\":\"ok\"")
                        && !body.contains("\"amqp\":\"ok\"")
                })
        });
        assert_eq!(
            fleet.workers[1].get("/livez").map(|(status, _)| status),
            Some(200)
        );
        fleet
            .scene
            .store()
            .enqueue(&[super::marking(0)])
            .await
            .expect("enqueue");
        fleet.scene.settle().await;
        fleet.broker.restart();
        for worker in &mut fleet.workers {
            worker.wait_ready();
        }
        fleet.wait_sent().await;
        assert_eq!(
            fleet.events().await,
            BTreeMap::from([("job.succeeded".to_owned(), 1)])
        );
    });
}
