//! What must not be shown is not shown by `Debug` either: it goes into logs and panics without anybody meaning it.

use trailkeeper::{
    config::{Environment, Loaded},
    qwed::{Database, url::DatabaseUrl},
    state::Store,
};

use crate::support::{
    loaded::{TIME_TYPES, make_tables},
    postgres::Postgres,
    store::block_on,
};

const PASSWORD: &str = "hunter2";

#[test]
fn connections_hide_the_password() {
    let server = Postgres::start();
    server.create_database("qwed");
    make_tables(&server, "qwed", TIME_TYPES[0]);
    // The server asks for none, and takes any.
    let with_password = |url: String| url.replace("postgres@", &format!("postgres:{PASSWORD}@"));

    let url: DatabaseUrl = with_password(server.url("qwed")).parse().expect("a URL");
    let database = Database::open(&url).expect("open it");
    let shown = format!("{database:?} {url:?}");
    assert!(shown.contains("127.0.0.1"), "{shown}");
    assert!(!shown.contains(PASSWORD), "{shown}");

    block_on(async {
        let url = with_password(server.url("postgres"));
        let store = Store::open(&url, 3).await.expect("open it");
        let shown = format!("{store:?}");
        assert!(shown.contains("127.0.0.1"), "{shown}");
        assert!(!shown.contains(PASSWORD), "{shown}");
    });
}

#[test]
fn the_configuration_hides_secrets() {
    let variables = [
        ("DATABASE_URL", "postgresql://q:hunter2@db/q"),
        ("QWED_API_KEY_LOOKUP_SECRET", "hunter2"),
        ("QWED_AUDIT_SECRET_KEY", "hunter2"),
        ("TRAILKEEPER__STATE__URL", "postgresql://t:hunter2@db/t"),
        ("TRAILKEEPER__AMQP__URL", "amqp://t:hunter2@mq"),
        ("TRAILKEEPER__OBJECTS__URL", "s3://bucket"),
        ("TRAILKEEPER__OBJECTS__ACCESS_KEY_ID", "someone"),
        ("TRAILKEEPER__OBJECTS__SECRET_ACCESS_KEY", "hunter2"),
        (
            "TRAILKEEPER__BACKUP__SCRATCH_URL",
            "postgresql://s:hunter2@db/s",
        ),
        (
            "TRAILKEEPER__KEYS__FLAG_DATABASE_URL",
            "postgresql://f:hunter2@db/q",
        ),
        (
            "TRAILKEEPER__ERASURE__DATABASE_URL",
            "postgresql://e:hunter2@db/q",
        ),
        ("TRAILKEEPER__CONSENT__API_KEY", "hunter2"),
    ];
    let environment: Environment = variables.into_iter().collect();
    let loaded = Loaded::load(None, &environment).expect("valid");
    let ring = loaded
        .config
        .key_ring(|name| environment.get(name))
        .expect("a key");
    let shown = format!("{loaded:?} {environment:?} {ring:?}");
    assert!(shown.contains("s3://bucket"), "{shown}");
    assert!(!shown.contains(PASSWORD), "{shown}");
}
