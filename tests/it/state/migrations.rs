//! Our tables come to be, stay, and are not touched by a program that is too old for them.

use std::collections::BTreeMap;

use trailkeeper::state::{StateError, Store};

use crate::support::store::TestStore;

crate::on_both![
    migrating_again_changes_nothing,
    two_programs_may_migrate_at_once,
    a_newer_database_is_refused,
];

async fn migrating_again_changes_nothing(test: TestStore) {
    let before = test.number("SELECT count(*) FROM _sqlx_migrations").await;
    let count = test.store.migrate().await.expect("migrate again");
    assert_eq!(count as i64, before);
    assert_eq!(
        test.number("SELECT count(*) FROM _sqlx_migrations").await,
        before
    );
}

async fn two_programs_may_migrate_at_once(test: TestStore) {
    let url = match &test.server {
        Some(server) => {
            server.create_database("fresh");
            server.url("fresh")
        }
        None => format!("sqlite://{}/fresh.db", test.directory.path().display()),
    };
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let url = url.clone();
        tasks.push(tokio::spawn(async move {
            let store = Store::open(&url, 3).await.expect("open");
            store.migrate().await.expect("migrate")
        }));
    }
    for task in tasks {
        task.await.expect("each of them succeeds");
    }
}

async fn a_newer_database_is_refused(test: TestStore) {
    test.execute(
        "INSERT INTO _sqlx_migrations SELECT 99, 'from the future', installed_on, success, checksum, execution_time \
         FROM _sqlx_migrations WHERE version = 1",
    )
    .await;
    let error = test.store.migrate().await.expect_err("it is newer");
    assert!(
        matches!(error, StateError::Newer { found: 99, .. }),
        "{error}"
    );
    assert!(
        error.to_string().contains("run the newer program"),
        "{error}"
    );
    assert!(!error.to_string().contains("secret"));
}

/// Both dialects' migrations make the same tables with the same columns.
#[test]
fn the_dialects_have_the_same_migrations() {
    let read = |dialect: &str| -> BTreeMap<String, String> {
        let directory = format!("{}/migrations/{dialect}", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(directory).expect("the migrations");
        files
            .map(|file| {
                let path = file.expect("a file").path();
                let name = path
                    .file_name()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned();
                let text = std::fs::read_to_string(&path).expect("read a migration");
                (name, text)
            })
            .collect()
    };
    let postgres: BTreeMap<String, String> = read("postgres")
        .into_iter()
        .map(|(name, text)| {
            let text = text
                .replace(
                    "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
                    "INTEGER PRIMARY KEY AUTOINCREMENT",
                )
                .replace("BYTEA", "BLOB");
            (name, text)
        })
        .collect();
    assert_eq!(postgres, read("sqlite"));
}
