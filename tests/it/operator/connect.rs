//! `config check --connect`.

use serde_json::{Value, json};
use trailkeeper::state::{Found, Store};

use super::program;
use crate::support::{
    program::{Copy, Program, url},
    rabbitmq::RabbitMq,
    store::{TestStore, block_on},
};

const CHECK: [&str; 3] = ["config", "check", "--connect"];

fn results(document: &Value) -> Value {
    let connections = document["connections"].as_array().expect("a list");
    connections
        .iter()
        .map(|one| one["result"].clone())
        .collect()
}

#[test]
fn everything_that_is_set_is_tried() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let copy = Copy::of("upgraded");
        let broker = RabbitMq::start();
        let check = || {
            program(&test, &CHECK)
                .env("DATABASE_URL", url(&copy.path))
                .env("TRAILKEEPER__AMQP__URL", broker.url())
        };
        let run = check().run();
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        let port = broker.url();
        let port = port.rsplit(':').next().expect("a port");
        let shown = run
            .stdout
            .replace(&copy.directory.path().display().to_string(), "[QWED]")
            .replace(&test.directory.path().display().to_string(), "[STATE]")
            .replace(port, "[PORT]");
        insta::assert_snapshot!("connect", shown);
        let (_, document) = check().json();
        assert_eq!(document["valid"], true);
        assert_eq!(results(&document), json!(["ok", "ok", "ok", "not_set"]));
        // A queue that is not what it should be.
        broker.delete_queue("trailkeeper.dead");
        let client = crate::support::amqp_client::Client::connect(&broker.url()).await;
        client.queue("trailkeeper.dead").await;
        let (run, document) = check().json();
        assert_eq!(run.code, Some(3), "{run:?}");
        assert_eq!(results(&document), json!(["ok", "ok", "failed", "not_set"]));
        let detail = document["connections"][2]["detail"].as_str();
        assert!(
            detail.is_some_and(|detail| detail.contains("x-queue-type")),
            "{run:?}"
        );
    });
}

#[test]
fn what_is_away_or_too_new_is_told_without_its_password() {
    block_on(async {
        let test = TestStore::sqlite().await;
        test.execute(
            "INSERT INTO _sqlx_migrations SELECT 99, 'from the future', installed_on, success, checksum, \
             execution_time FROM _sqlx_migrations WHERE version = 1",
        )
        .await;
        let (run, document) = program(&test, &CHECK)
            .env("DATABASE_URL", "postgresql://q:hunter2@127.0.0.1:1/q")
            .env("TRAILKEEPER__AMQP__URL", "amqp://tk:hunter2@127.0.0.1:1")
            .env(
                "TRAILKEEPER__ERASURE__DATABASE_URL",
                "postgresql://e:hunter2@127.0.0.1:1/q",
            )
            .json();
        assert_eq!(run.code, Some(3), "{run:?}");
        assert_eq!(
            results(&document),
            json!(["failed", "failed", "failed", "failed"])
        );
        assert!(!run.stdout.contains("hunter2"), "{run:?}");
        assert!(run.stdout.contains("newer than this program"), "{run:?}");
        // A configuration that is wrong is not tried.
        let (run, document) = program(&test, &CHECK)
            .env("TRAILKEEPER__AMQP__PREFETCH", "none")
            .json();
        assert_eq!((run.code, document.get("connections")), (Some(2), None));
    });
}

/// Looking leaves no trace.
#[test]
fn a_database_that_is_not_there_yet_is_not_made() {
    let directory = tempfile::tempdir().expect("make a directory");
    let data = directory.path().join("data");
    let check = || {
        Program::bare()
            .env("TRAILKEEPER__DATA_DIR", &data)
            .args(CHECK)
    };
    let (run, document) = check().json();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(
        results(&document),
        json!(["not_set", "ok", "not_set", "not_set"])
    );
    assert!(run.stdout.contains("does not exist yet"), "{run:?}");
    assert!(!data.exists());
    std::fs::create_dir(&data).expect("make a directory");
    std::fs::write(data.join("trailkeeper.db"), "").expect("write");
    let run = check().run();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains("has 0 of "), "{run:?}");
}

crate::on_both![looking_tells_what_is_missing];

async fn looking_tells_what_is_missing(test: TestStore) {
    let look = async || Store::look(&test.url).await.expect("look");
    let Found::Database { applied, known } = look().await else {
        panic!("there is one");
    };
    assert_eq!(applied, known);
    test.execute("DELETE FROM _sqlx_migrations WHERE version > 1")
        .await;
    assert_eq!(look().await, Found::Database { applied: 1, known });
    test.execute("DROP TABLE _sqlx_migrations").await;
    assert_eq!(look().await, Found::Database { applied: 0, known });
}

/// What a role may not do is found before anybody is to be erased.
#[test]
fn the_role_that_erases_is_tried_and_changes_nothing() {
    block_on(async {
        let test = TestStore::postgres().await;
        let qwed = crate::export::Qwed::filled(&test);
        let server = test.server.as_ref().expect("a server");
        qwed.run("CREATE ROLE eraser LOGIN; GRANT SELECT, UPDATE ON \"user\", apikey TO eraser");
        let reader = server.url("qwed");
        let eraser = reader.replace("postgres@", "eraser@");
        assert_ne!(reader, eraser);
        let erasing = || {
            let check = program(&test, &CHECK)
                .env("DATABASE_URL", &reader)
                .env("TRAILKEEPER__ERASURE__DATABASE_URL", &eraser);
            let (_, document) = check.json();
            let tried = &document["connections"][3];
            let text = |key: &str| tried[key].as_str().expect("text").to_owned();
            (text("result"), text("detail"))
        };
        let (result, detail) = erasing();
        assert_eq!(result, "failed");
        let missing = "the role may not UPDATE verificationlog";
        assert!(detail.ends_with(missing), "{detail}");
        // Columns are enough.
        qwed.run("GRANT SELECT, UPDATE (query) ON verificationlog TO eraser");
        let (result, detail) = erasing();
        assert_eq!(result, "ok", "{detail}");
        assert!(detail.ends_with("can be written"), "{detail}");
    });
}
