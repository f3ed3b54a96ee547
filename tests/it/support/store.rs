//! Our own database, of either kind, empty and up to date.

use std::future::Future;

use tempfile::TempDir;
use trailkeeper::state::{Store, jobs::NewJob, jobs::new_id};

use super::postgres::Postgres;

/// A store and what has to live as long as it.
pub(crate) struct TestStore {
    pub(crate) store: Store,
    pub(crate) url: String,
    pub(crate) server: Option<Postgres>,
    pub(crate) directory: TempDir,
}

impl TestStore {
    pub(crate) async fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let url = format!(
            "sqlite://{}/state/trailkeeper.db",
            directory.path().display()
        );
        Self::open(url, None, directory).await
    }

    pub(crate) async fn postgres() -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let server = Postgres::start();
        server.create_database("state");
        let url = server.url("state");
        Self::open(url, Some(server), directory).await
    }

    async fn open(url: String, server: Option<Postgres>, directory: TempDir) -> Self {
        let store = Store::open(&url, 10).await.expect("open the store");
        store.migrate().await.expect("make the tables");
        Self {
            store,
            url,
            server,
            directory,
        }
    }

    /// Another program's view of the same database.
    pub(crate) async fn another(&self) -> Store {
        Store::open(&self.url, 10)
            .await
            .expect("open the store again")
    }

    /// Runs SQL that the store has no words for.
    pub(crate) async fn execute(&self, sql: &str) -> u64 {
        let mut tx = self.store.begin().await.expect("begin");
        let statement = tx.query(sql);
        let changed = tx.execute(statement).await.expect("execute");
        tx.commit("test").await.expect("commit");
        changed
    }

    /// One number that SQL answers.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        number(&self.store, sql).await
    }
}

/// One number that SQL answers.
pub(crate) async fn number(store: &Store, sql: &str) -> i64 {
    use sqlx::Row;
    let rows = store.read(store.query(sql)).await.expect("read");
    rows[0].get(0)
}

/// A job that nothing is known of but its name.
pub(crate) fn job(name: &str) -> NewJob {
    NewJob {
        id: new_id(),
        kind: "probe".to_owned(),
        queue: "default".to_owned(),
        payload: serde_json::json!({ "name": name }),
        priority: 4,
        delay_micros: 0,
        max_attempts: 3,
        unique_key: None,
        source: "test".to_owned(),
        fired: None,
        trace: None,
    }
}

/// Runs a test of the suite.
pub(crate) fn block_on<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("start a runtime")
        .block_on(test)
}

/// Makes two tests of each behaviour, one for each kind of database.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $name() {
                use $crate::support::store::{TestStore, block_on};
                block_on(async { super::$name(TestStore::sqlite().await).await });
            })*
        }
        mod postgres {
            $(#[test]
            fn $name() {
                use $crate::support::store::{TestStore, block_on};
                block_on(async { super::$name(TestStore::postgres().await).await });
            })*
        }
    };
}
