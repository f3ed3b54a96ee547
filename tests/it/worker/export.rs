//! Exports by a worker, asked for by message.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Scene;
use crate::{
    export::Opened,
    support::{
        amqp_client::{Client, header, properties},
        rabbitmq::RabbitMq,
        store::block_on,
        worker::{PATIENCE, Worker},
    },
};

const EVENTS: &str = "test.events";

/// The data of events, by type.
async fn events(client: &Client) -> BTreeMap<String, Vec<Value>> {
    let mut events: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for delivery in client.drain(EVENTS).await {
        let kind = header(&delivery, "cloudEvents:type").expect("a type");
        let data = serde_json::from_slice(&delivery.data).expect("JSON");
        events.entry(kind).or_default().push(data);
    }
    events
}

#[test]
fn a_message_has_somebody_exported() {
    block_on(async {
        let mut scene = Scene::on_postgres().await;
        let broker = RabbitMq::start();
        let url = format!("url = {:?}", broker.url());
        let key = scene.setting.directory.join("anchor.key");
        let made = crate::support::program::Program::bare()
            .args(["keygen", "--out"])
            .arg(&key)
            .run();
        assert_eq!(made.code, Some(0), "{made:?}");
        scene.setting = scene.setting.with("amqp", url).with(
            "anchors",
            format!("key_file = {:?}", key.display().to_string()),
        );
        let worker = Worker::start(&scene.setting, "worker");
        let client = Client::connect(&broker.url()).await;
        client.subscribe(EVENTS, "#").await;
        let asked = [
            (
                "a",
                json!({"organization_id": 1, "whole_organization": true}),
            ),
            ("b", json!({"organization_id": 1, "user_id": 987_654})),
            (
                "c",
                json!({"organization_id": 1, "email": "Nobody In Particular"}),
            ),
            ("d", json!({"organization_id": 1})),
        ];
        for (id, payload) in &asked {
            let body = payload.to_string();
            client
                .send("export_subject_data", properties(id), body.as_bytes())
                .await;
        }
        let deadline = std::time::Instant::now() + PATIENCE;
        let mut seen: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let count = |seen: &BTreeMap<String, Vec<Value>>, kind| seen.get(kind).map_or(0, Vec::len);
        while count(&seen, "job.succeeded") < 3 || count(&seen, "job.rejected") < 1 {
            assert!(
                std::time::Instant::now() < deadline,
                "{seen:?}\n{}",
                worker.log()
            );
            for (kind, data) in events(&client).await {
                seen.entry(kind).or_default().extend(data);
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        for (kind, data) in events(&client).await {
            seen.entry(kind).or_default().extend(data);
        }
        let exported = &seen["subject.exported"][0];
        let object = exported["object"].as_str().expect("a name");
        let path = scene.setting.data_dir.join("objects").join(object);
        let opened = Opened::read(&path);
        assert_eq!(opened.manifest["subject"]["organization_id"], json!(1));
        let entries = exported["tables"]["verificationlog"].as_u64();
        let ids = opened.ids("verificationlog").expect("a list");
        assert_eq!(entries, Some(ids.len() as u64));
        assert!(!ids.is_empty() && exported["files"].is_null());
        for ours in ["consents", "erasure_requests", "legal_holds"] {
            assert_eq!(opened.data["own"][ours], json!([]), "{ours}");
        }

        let mut rejected: Vec<_> = seen["subject.export_rejected"]
            .iter()
            .map(|data| (data["reason"].as_str().expect("a reason"), &data["user_id"]))
            .collect();
        rejected.sort_by_key(|(reason, _)| *reason);
        let expected = [
            ("malformed_email", &Value::Null),
            ("unknown_subject", &json!(987_654)),
        ];
        assert_eq!(rejected, expected);
        let ledger = "SELECT count(*) FROM ledger WHERE act = 'subject.export'";
        assert_eq!(scene.state.number(ledger).await, 1);
        // Neither events nor the log repeat an address.
        let told = format!("{seen:?}{}", worker.log());
        assert!(!told.contains("Particular"), "{told}");
        // Nor does the job, once it has succeeded.
        let named = "SELECT count(*) FROM job WHERE payload LIKE '%Particular%'";
        assert_eq!(scene.state.number(named).await, 0);
        let scratch = std::fs::read_dir(scene.setting.data_dir.join("exports"));
        assert_eq!(scratch.expect("list").count(), 0);
    });
}
