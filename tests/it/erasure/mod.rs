//! Erasure: who asks is erased, the trail stays what it was, and nobody passes anything else off as an erasure.

mod archived;
mod attacks;
mod bad_input;
mod faults;
mod fixtures;
mod lifecycle;
mod live;
mod program;
mod restored;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tempfile::TempDir;
use tokio::runtime::Handle;
use trailkeeper::{
    anchor::Keys,
    checkpoint::note::SecretKey,
    clock::Clock,
    config::Config,
    erasure::{self, Asked, ErasureError, Office, Options, Override, Request, Taken},
    progress::Progress,
    qwed::url::DatabaseUrl,
    tombstones::Graveyard,
    trail::finding::{Kind, Verdict},
    verify::{self, Options as Verifying, Scope, report::Report},
};

use crate::support::{
    appended::nobodys_entry,
    loaded::{self, copy_table},
    postgres::Postgres,
    store::TestStore,
    trails::{self, FIXTURE_KEY, fixture, sqlite_url},
};

pub(crate) const ORIGIN: &str = "audit.example.org";
const DATABASE: &str = "qwed";

fn keys() -> Keys {
    let key = SecretKey::from_seed(ORIGIN, &[7; 32]).expect("a key");
    Keys::new(key, &[])
}

/// QWED's database of either kind.
pub(crate) enum Qwed<'s> {
    Sqlite(PathBuf),
    Postgres(&'s Postgres),
}

/// A QWED database, and what erases in it.
pub(crate) struct Estate<'s> {
    qwed: Qwed<'s>,
    pub(crate) office: Office,
    _directory: TempDir,
}

/// Text of tables that a release with agents and security events makes, with what refers to user 10.
const MORE: &str = r#"
INSERT INTO apikey (id, key_hash, key_preview, organization_id, user_id, name, is_active, created_at, rotation_required) VALUES
  (901, 'h901', 'qwed_live_1', 1, 10, 'Ada''s laptop', true, '2026-01-01 00:00:00.000000', false),
  (902, 'h902', 'qwed_live_2', 1, 11, 'Bob', true, '2026-01-01 00:00:00.000000', false);
CREATE TABLE agent (id INTEGER PRIMARY KEY, organization_id INTEGER NOT NULL, name VARCHAR NOT NULL, agent_token VARCHAR NOT NULL,
  created_by_user_id INTEGER REFERENCES "user" (id));
CREATE TABLE agentactivity (id INTEGER PRIMARY KEY, agent_id INTEGER NOT NULL, organization_id INTEGER NOT NULL,
  description VARCHAR NOT NULL, input_data VARCHAR, ip_address VARCHAR);
CREATE TABLE toolcall (id INTEGER PRIMARY KEY, agent_id INTEGER NOT NULL, tool_name VARCHAR NOT NULL, tool_params VARCHAR);
INSERT INTO agent VALUES (1, 1, 'helper', 't1', 10), (2, 1, 'other', 't2', 11);
INSERT INTO agentactivity VALUES (1, 1, 1, 'asked for Ada', '{"to": "ada"}', '10.0.0.1'), (2, 2, 1, 'asked for Bob', NULL, '10.0.0.2');
INSERT INTO toolcall VALUES (1, 1, 'mail', '{"to": "ada"}'), (2, 2, 'mail', NULL);
INSERT INTO securityevent (id, organization_id, user_id, event_type, query, reason, severity, timestamp) VALUES
  (501, 1, 10, 'BLOCKED', 'what Ada asked', 'injection', 'high', '2026-01-01 00:00:00.000000'),
  (502, 1, 11, 'BLOCKED', 'what Bob asked', 'injection', 'high', '2026-01-01 00:00:00.000000');
"#;

const POSTGRES_TABLES: &str = r#"
CREATE TABLE securityevent (id SERIAL PRIMARY KEY, organization_id INTEGER NOT NULL REFERENCES organization (id),
  user_id INTEGER REFERENCES "user" (id), event_type VARCHAR NOT NULL, query VARCHAR NOT NULL, reason VARCHAR NOT NULL,
  security_layer VARCHAR, severity VARCHAR NOT NULL, timestamp timestamp with time zone NOT NULL);
"#;

impl<'s> Estate<'s> {
    /// A copy of a fixture in a database of the same kind as the store's.
    fn new(test: &'s TestStore, name: &str) -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let (qwed, url) = match &test.server {
            None => {
                let path = directory.path().join("qwed.db");
                std::fs::copy(fixture(name), &path).expect("copy the fixture");
                (Qwed::Sqlite(path.clone()), sqlite_url(&path))
            }
            Some(server) => {
                load(server, name);
                (Qwed::Postgres(server), server.url(DATABASE))
            }
        };
        Self::of(test, qwed, &url, FIXTURE_KEY, directory)
    }

    fn of(test: &TestStore, qwed: Qwed<'s>, url: &str, key: &str, directory: TempDir) -> Self {
        let url: DatabaseUrl = url.parse().expect("a URL");
        let office = Office {
            store: test.store.clone(),
            qwed: url.clone(),
            erase: url,
            keys: keys(),
            origin: ORIGIN.to_owned(),
            ring: trails::ring(key),
            settings: Config::default().erasure,
            actor: "a test".to_owned(),
            now: Clock.now(),
        };
        Self {
            qwed,
            office,
            _directory: directory,
        }
    }

    /// The same with an entry of nobody's at the end of each trail, so that nothing has to wait.
    pub(crate) async fn settled(test: &'s TestStore, name: &str) -> Self {
        let estate = Self::new(test, name);
        for organization in [1, 2] {
            estate.append(organization).await;
        }
        estate
    }

    /// Appends an entry of nobody's, as QWED 8.0.0 does.
    pub(crate) async fn append(&self, organization: i64) {
        let url = self.office.qwed.clone();
        let sql =
            tokio::task::spawn_blocking(move || nobodys_entry(&url, organization, FIXTURE_KEY));
        self.run(&sql.await.expect("no panic"));
    }

    /// Adds rows of all tables that refer to users.
    fn with_more(self) -> Self {
        self.run(MORE);
        self
    }

    #[track_caller]
    pub(crate) fn run(&self, sql: &str) {
        match &self.qwed {
            Qwed::Sqlite(path) => trails::open(path).execute_batch(sql).expect("run SQL"),
            Qwed::Postgres(server) => drop(server.psql(DATABASE, sql)),
        }
    }

    /// The text that SQL answers; NULL is `NULL`.
    #[track_caller]
    fn text(&self, sql: &str) -> String {
        match &self.qwed {
            Qwed::Sqlite(path) => trails::open(path)
                .query_row(
                    &format!("SELECT coalesce(CAST(({sql}) AS TEXT), 'NULL')"),
                    (),
                    |row| row.get(0),
                )
                .expect("an answer"),
            Qwed::Postgres(server) => {
                let sql = format!("SELECT coalesce(CAST(({sql}) AS TEXT), 'NULL')");
                server.psql(DATABASE, &sql).trim_end().to_owned()
            }
        }
    }

    #[track_caller]
    fn count(&self, what: &str) -> i64 {
        let text = self.text(&format!("SELECT count(*) FROM {what}"));
        text.parse().expect("a number")
    }

    pub(crate) fn asked(&self, organization_id: i64, user: i64) -> Asked {
        Asked {
            organization_id,
            user: Ok(user),
            reference: Some(format!("ticket-{user}")),
            requested_at: None,
            reason: Some("asked for by the subject".to_owned()),
            requester: "a test".to_owned(),
            policy: Override::default(),
            options: Options {
                allow_large: true,
                allow_only_owner: true,
                producer: None,
            },
            allow_inactive: false,
            signature: None,
            source: format!("test {user}"),
        }
    }

    /// Takes in a request, which has to be a new one.
    async fn request(&self, asked: Asked) -> Request {
        match erasure::take_in(&self.office, asked)
            .await
            .expect("take in")
        {
            Taken::New(request) => *request,
            other => panic!("no new request: {other:?}"),
        }
    }

    async fn plan(&self, request: &mut Request) -> Result<(), ErasureError> {
        erasure::plan(&self.office, request, &progress()).await
    }

    async fn approve(&self, request: &mut Request) -> Result<(), ErasureError> {
        let digest = request.plan_digest.clone().expect("a plan");
        erasure::approve(&self.office, request, &digest, false).await
    }

    async fn execute(&self, request: &mut Request) -> Result<(), ErasureError> {
        erasure::execute(&self.office, request, &progress()).await
    }

    /// All steps, as far as they go.
    pub(crate) async fn erase(&self, asked: Asked) -> Request {
        let mut request = self.request(asked).await;
        self.plan(&mut request).await.expect("plan");
        self.approve(&mut request).await.expect("approve");
        self.execute(&mut request).await.expect("execute");
        request
    }

    pub(crate) fn graveyard(&self) -> Graveyard {
        Graveyard {
            store: self.office.store.clone(),
            origin: ORIGIN.to_owned(),
            keys: self.office.keys.verifiers.clone(),
        }
    }

    /// Verifies the trails as a worker does.
    async fn verify(&self) -> Report {
        let (graveyard, url) = (self.graveyard(), self.office.qwed.clone());
        let (ring, handle) = (Arc::clone(&self.office.ring), Handle::current());
        let verified = tokio::task::spawn_blocking(move || {
            let database = graveyard.open(&handle, &url).expect("open");
            let (scope, options) = (Scope::default(), Verifying::default());
            verify::verify(&database, &ring, &scope, &options, &Progress::default())
        });
        verified.await.expect("no panic").expect("a verdict")
    }

    /// The kinds of findings that make a trail tampered, with the entries that they are about.
    async fn tampered(&self) -> Vec<(Kind, i64)> {
        let report = self.verify().await;
        let findings = report.organizations.iter().flat_map(|it| &it.findings);
        let tampered = findings.filter(|it| Verdict::of(it.severity) == Verdict::Tampered);
        let mut found: Vec<_> = tampered.map(|it| (it.kind, it.entry_id)).collect();
        found.extend(report.tombstones.iter().map(|it| (it.kind, 0)));
        assert_eq!(report.verdict == Verdict::Tampered, !found.is_empty());
        found
    }
}

fn progress() -> Arc<Progress> {
    Arc::default()
}

/// Copies all of a fixture's tables, with the foreign keys that QWED's have.
fn load(server: &Postgres, name: &str) {
    server.psql(
        "postgres",
        &format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"),
    );
    server.create_database(DATABASE);
    loaded::load_fixture(server, DATABASE, name, loaded::TIME_TYPES[0]);
    server.psql(
        DATABASE,
        &loaded::KEY_TABLES.replace("TIME_TYPE", loaded::TIME_TYPES[0]),
    );
    server.psql(DATABASE, POSTGRES_TABLES);
    let mut sql = String::new();
    for table in ["user", "apikey", "securityevent"] {
        copy_table(&fixture(name), table, &mut sql);
    }
    let _ = writeln!(
        sql,
        "ALTER TABLE verificationlog ADD FOREIGN KEY (user_id) REFERENCES \"user\" (id);"
    );
    server.psql(DATABASE, &sql);
}

/// When a test says that it is.
fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}
