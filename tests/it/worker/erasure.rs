//! Erasure as another service asks for it: one message, and later the certificate.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Instant;

use serde_json::{Value, json};
use trailkeeper::{
    checkpoint::note::SecretKey,
    clock::Clock,
    erasure::{certificate, signed_bytes},
    private,
    qwed::url::DatabaseUrl,
    trail::keys::Key,
};

use super::Scene;
use crate::support::{
    amqp_client::{Client, header, properties},
    appended::nobodys_entry,
    program::Program,
    rabbitmq::RabbitMq,
    store::block_on,
    trails::{self, FIXTURE_KEY, KEY, fixture, sqlite_url},
    worker::{PATIENCE, Worker},
};

const EVENTS: &str = "test.events";
const PRODUCER_KEY: &[u8] = b"a producer's key of some length";

/// A worker on a broker that believes the producer "crm", on this QWED database.
struct Office {
    scene: Scene,
    broker: RabbitMq,
    workers: Vec<Worker>,
    key: SecretKey,
}

impl Office {
    async fn open(mut scene: Scene, qwed: &str, audit_key: &str, workers: usize) -> Self {
        let broker = RabbitMq::start();
        let key = SecretKey::from_seed("trailkeeper", &[7; 32]).expect("a key");
        let path = scene.setting.data_dir.join("anchor.key");
        private::create_file(&path, key.to_text().as_bytes()).expect("keep the key");
        let producer = scene.setting.data_dir.join("crm.key");
        private::create_file(&producer, PRODUCER_KEY).expect("keep the key");
        scene.setting.qwed_url = qwed.to_owned();
        scene.setting.key = audit_key.to_owned();
        let producer = producer.display().to_string();
        scene.setting = scene
            .setting
            .with("amqp", format!("url = {:?}", broker.url()))
            .with("jobs", "retry_base_seconds = 0\nretry_max_seconds = 1")
            .with(
                "erasure",
                format!(
                    "approval = \"signed\"\nproducers = [{{ id = \"crm\", file = {producer:?} }}]"
                ),
            );
        let names = ["a", "b"];
        let workers = names[..workers].iter();
        let workers = workers
            .map(|name| Worker::start(&scene.setting, name))
            .collect();
        let client = Client::connect(&broker.url()).await;
        client.subscribe(EVENTS, "erasure.#").await;
        Self {
            scene,
            broker,
            workers,
            key,
        }
    }

    async fn client(&self) -> Client {
        Client::connect(&self.broker.url()).await
    }

    /// Events of these types until there are so many; each counts once however often it came.
    async fn wait_for(&self, wanted: &[(&str, usize)]) -> BTreeMap<String, Vec<Value>> {
        let (mut seen, mut events) = (HashSet::new(), BTreeMap::<String, Vec<Value>>::new());
        let client = self.client().await;
        let deadline = Instant::now() + PATIENCE * 8;
        loop {
            for delivery in client.drain(EVENTS).await {
                let id = header(&delivery, "cloudEvents:id").expect("an id");
                if seen.insert(id) {
                    let kind = header(&delivery, "cloudEvents:type").expect("a type");
                    let data = serde_json::from_slice(&delivery.data).expect("JSON");
                    events.entry(kind).or_default().push(data);
                }
            }
            let count = |kind: &str| events.get(kind).map_or(0, Vec::len);
            if wanted.iter().all(|(kind, number)| count(kind) >= *number) {
                return events;
            }
            assert!(
                Instant::now() < deadline,
                "{wanted:?}, and there are {:?}\n{}",
                events
                    .iter()
                    .map(|(kind, all)| (kind, all.len()))
                    .collect::<Vec<_>>(),
                self.workers[0].log()
            );
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

/// A request that the producer signs now; `again` tells signatures of the same second apart.
fn signed(mut payload: Value, again: usize) -> Vec<u8> {
    let now = Clock.now();
    payload["reason"] = json!(format!("asked for, {again}"));
    payload["signature"] = json!({"producer": "crm", "timestamp": now.to_string()});
    let hmac = Key::new("crm", PRODUCER_KEY).sign(&signed_bytes(&payload));
    payload["signature"]["hmac"] = json!(String::from_utf8_lossy(&hmac));
    payload.to_string().into_bytes()
}

#[test]
fn a_service_sends_one_message_and_gets_the_certificate() {
    block_on(async {
        let scene = Scene::on_postgres().await;
        let path = scene.setting.directory.join("fixture.db");
        std::fs::copy(fixture("g4_two_orgs"), &path).expect("copy");
        let url = sqlite_url(&path);
        let office = Office::open(scene, &url, FIXTURE_KEY, 1).await;
        let client = office.client().await;
        let ask = json!({"organization": 1, "email": "u12@example.com", "request_id": "crm-17"});
        let good = signed(ask.clone(), 0);
        client.send("erase_subject", properties("m1"), &good).await;
        let events = office.wait_for(&[("erasure.completed", 1)]).await;
        let completed = &events["erasure.completed"][0];
        assert_eq!(completed["reference"], "crm-17");
        let text = completed["certificate"].as_str().expect("a certificate");
        let certificate = certificate::open(text, &[office.key.verifier()]).expect("signed");
        assert_eq!(certificate.tombstones.count, 9);
        assert_eq!(certificate.approved_by.as_deref(), Some("producer crm"));
        // The same message again is the same job; the same request in another message is a replay.
        client.send("erase_subject", properties("m1"), &good).await;
        client.send("erase_subject", properties("m2"), &good).await;
        // Others are refused, each with its reason.
        let mut forged: Value = serde_json::from_slice(&good).expect("JSON");
        forged["email"] = json!("u11@example.com");
        for (index, body) in [
            ask.to_string().into_bytes(),
            forged.to_string().into_bytes(),
            signed(json!({"organization": 2, "user": 12, "request_id": "r"}), 1),
            signed(json!({"organization": 1, "email": "nobody at all", "request_id": "r"}), 1),
            signed(json!({"organization": 1, "user": 10, "request_id": "r"}), 1),
            signed(json!({"organization": 1, "user": 11, "request_id": "r", "requested_at": "2999-01-01T00:00:00Z"}), 1),
        ]
        .iter()
        .enumerate()
        {
            client.send("erase_subject", properties(&format!("bad {index}")), body).await;
        }
        let events = office.wait_for(&[("erasure.rejected", 7)]).await;
        let reasons: BTreeSet<&str> = events["erasure.rejected"]
            .iter()
            .filter_map(|event| event["reason"].as_str())
            .collect();
        let expected = [
            "bad_signature",
            "malformed_email",
            "only_owner",
            "replayed",
            "time_in_future",
            "unknown_subject",
            "unsigned",
        ];
        assert_eq!(reasons, BTreeSet::from(expected));
        // Who was erased before gets the certificate again, in the job's outcome.
        client
            .send("erase_subject", properties("m3"), &signed(ask, 2))
            .await;
        let ended =
            "SELECT count(*) FROM job WHERE kind = 'erase_subject' AND finished_at IS NOT NULL";
        while office.scene.state.number(ended).await < 9 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let certificates = "SELECT count(*) FROM job WHERE kind = 'erase_subject' AND outcome LIKE '%\"state\":\"completed\"%'";
        assert_eq!(office.scene.state.number(certificates).await, 2);
        assert_eq!(
            office
                .scene
                .state
                .number("SELECT count(*) FROM erasure")
                .await,
            1
        );
        let (run, report) = Program::bare()
            .env("QWED_AUDIT_SECRET_KEY", FIXTURE_KEY)
            .args(["verify", "--config"])
            .args([office
                .scene
                .setting
                .directory
                .join("a.toml")
                .display()
                .to_string()])
            .json();
        assert_eq!(
            (run.code, &report["verdict"]),
            (Some(0), &json!("intact")),
            "{report}"
        );
        assert_eq!(report["organizations"][0]["erased"]["anonymised"], 9);
    });
}

/// Messages that come at once, and how many of them are about the same subject.
const MESSAGES: usize = 10_000;
const SUBJECTS: usize = 500;

#[test]
fn of_a_burst_with_duplicates_each_subject_is_erased_once() {
    block_on(async {
        let scene = Scene::on_sqlite().await;
        let path = scene.setting.directory.join("generated.db");
        let organizations = 25;
        trails::generate(&path, organizations, 3, 4000);
        let url = sqlite_url(&path);
        let parsed: DatabaseUrl = url.parse().expect("a URL");
        for organization in 1..=organizations {
            let url = parsed.clone();
            let sql = tokio::task::spawn_blocking(move || nobodys_entry(&url, organization, KEY));
            let sql = sql.await.expect("no panic");
            trails::open(&path).execute_batch(&sql).expect("append");
        }
        let office = Office::open(scene, &url, KEY, 1).await;
        let client = office.client().await;
        let mut users: Vec<(i64, i64)> = (1..=organizations)
            .flat_map(|organization| {
                (0..20).map(move |user| (organization, organization * 100 + user))
            })
            .collect();
        assert_eq!(users.len(), SUBJECTS);
        let rounds = MESSAGES / SUBJECTS;
        for round in 0..rounds {
            fastrand::Rng::with_seed(round as u64).shuffle(&mut users);
            for (organization, user) in &users {
                let ask = json!({
                    "organization": organization, "user": user, "allow_only_owner": true, "allow_large": true,
                });
                // Half of them are the very message once more.
                let id = format!("{user} {}", round / 2);
                client
                    .send("erase_subject", properties(&id), &signed(ask, round / 2))
                    .await;
            }
        }
        let events = office.wait_for(&[("erasure.completed", SUBJECTS)]).await;
        let settled = Instant::now() + PATIENCE * 8;
        let open = "SELECT count(*) FROM job WHERE finished_at IS NULL";
        while office.scene.state.number(open).await > 0 {
            assert!(Instant::now() < settled, "{}", office.workers[0].log());
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        let completed = &events["erasure.completed"];
        let requests: BTreeSet<&str> = completed
            .iter()
            .filter_map(|it| it["request"].as_str())
            .collect();
        assert_eq!((completed.len(), requests.len()), (SUBJECTS, SUBJECTS));
        let number = async |sql: &str| office.scene.state.number(sql).await as usize;
        assert_eq!(
            number("SELECT count(*) FROM erasure WHERE certificate IS NOT NULL").await,
            SUBJECTS
        );
        assert_eq!(number("SELECT count(*) FROM erasure").await, SUBJECTS);
        assert_eq!(
            number("SELECT count(*) FROM ledger WHERE act = 'erasure.completed'").await,
            SUBJECTS
        );
        assert_eq!(
            number("SELECT count(*) FROM job WHERE kind = 'erase_subject'").await,
            MESSAGES / 2
        );
        assert_eq!(
            number("SELECT count(*) FROM job WHERE state = 'dead'").await,
            0
        );
        let left = "SELECT (SELECT count(*) FROM user) + (SELECT count(*) FROM verificationlog WHERE user_id IS NOT NULL)";
        let left: i64 = trails::open(&path)
            .query_row(left, (), |row| row.get(0))
            .expect("count");
        assert_eq!(left, 0);
        let (run, report) = Program::bare()
            .env("QWED_AUDIT_SECRET_KEY", KEY)
            .args(["verify", "--config"])
            .args([office
                .scene
                .setting
                .directory
                .join("a.toml")
                .display()
                .to_string()])
            .json();
        assert_eq!(
            (run.code, &report["verdict"]),
            (Some(0), &json!("intact")),
            "{report}"
        );
    });
}
