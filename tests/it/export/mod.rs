//! Exports for data subjects: all that refers to somebody and nothing else, readable by anybody.

mod delivered;
mod forgotten;
mod found;
mod own;
mod program;
mod written;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::Value;
use trailkeeper::{
    export::{self, Asked, ExportError, Made, Notice, OwnRecords, Rejection, Source, Target},
    progress::Progress,
    qwed::url::DatabaseUrl,
};

use crate::support::{store::TestStore, tools::tool, trails};

/// QWED 8.0.0's tables on either kind of database. What only one spells so is filled in.
const TABLES: &str = r#"
CREATE TABLE organization (id KEY, name VARCHAR NOT NULL UNIQUE, display_name VARCHAR NOT NULL, tier VARCHAR NOT NULL,
  is_active BOOLEAN NOT NULL, created_at TIME NOT NULL);
CREATE TABLE "user" (id KEY, email VARCHAR NOT NULL UNIQUE, password_hash VARCHAR NOT NULL, organization_id INTEGER NOT NULL,
  role VARCHAR NOT NULL, permissions VARCHAR, is_active BOOLEAN NOT NULL, created_at TIME NOT NULL);
CREATE TABLE resourcequota (id KEY, organization_id INTEGER NOT NULL UNIQUE, max_requests_per_day INTEGER NOT NULL,
  max_requests_per_minute INTEGER NOT NULL, max_concurrent_requests INTEGER NOT NULL, created_at TIME NOT NULL,
  updated_at TIME NOT NULL);
CREATE TABLE apikey (id KEY, key_hash VARCHAR NOT NULL UNIQUE, key_preview VARCHAR NOT NULL, organization_id INTEGER NOT NULL,
  user_id INTEGER, name VARCHAR, is_active BOOLEAN NOT NULL, created_at TIME NOT NULL, last_used_at TIME, revoked_at TIME,
  expires_at TIME, rotation_required BOOLEAN NOT NULL);
CREATE TABLE verificationlog (id KEY, organization_id INTEGER NOT NULL, user_id INTEGER, query VARCHAR NOT NULL,
  result VARCHAR NOT NULL, is_verified BOOLEAN NOT NULL, domain VARCHAR NOT NULL, timestamp TIME NOT NULL, entry_hash VARCHAR,
  hmac_signature VARCHAR, previous_hash VARCHAR, raw_llm_output VARCHAR, api_key_id INTEGER, verifier_version VARCHAR,
  admission VARCHAR);
CREATE INDEX ix_verificationlog_organization_id ON verificationlog (organization_id);
CREATE TABLE securityevent (id KEY, organization_id INTEGER NOT NULL, user_id INTEGER, event_type VARCHAR NOT NULL,
  query VARCHAR NOT NULL, reason VARCHAR NOT NULL, security_layer VARCHAR, severity VARCHAR NOT NULL, timestamp TIME NOT NULL);
CREATE TABLE agent (id KEY, organization_id INTEGER NOT NULL, name VARCHAR NOT NULL, agent_type VARCHAR NOT NULL,
  description VARCHAR, agent_token VARCHAR NOT NULL UNIQUE, status VARCHAR NOT NULL, max_cost_per_day FLOAT NOT NULL,
  current_cost_today FLOAT NOT NULL, created_at TIME NOT NULL, last_active TIME, created_by_user_id INTEGER);
CREATE TABLE agentpermission (id KEY, agent_id INTEGER NOT NULL, permission_type VARCHAR NOT NULL, resource VARCHAR,
  max_uses_per_day INTEGER, expires_at TIME, created_at TIME NOT NULL);
CREATE TABLE agentactivity (id KEY, agent_id INTEGER NOT NULL, organization_id INTEGER NOT NULL, activity_type VARCHAR NOT NULL,
  description VARCHAR NOT NULL, input_data VARCHAR, output_data VARCHAR, status VARCHAR NOT NULL, cost FLOAT NOT NULL,
  latency_ms FLOAT, timestamp TIME NOT NULL, ip_address VARCHAR);
CREATE TABLE toolcall (id KEY, agent_id INTEGER NOT NULL, activity_id INTEGER, tool_name VARCHAR NOT NULL, tool_params JSON,
  approved BOOLEAN NOT NULL, approved_by VARCHAR, executed BOOLEAN NOT NULL, result VARCHAR, risk_score FLOAT NOT NULL,
  blocked_reason VARCHAR, timestamp TIME NOT NULL);
"#;

/// Three users of organisation 1, of whom two have the same address but for its case, and one of organisation 2, which is not
/// active. Each text says whose it is ("of-ada").
const ROWS: &str = r#"
INSERT INTO organization VALUES (1, 'one', 'Organisation One', 'pro', true, 'T1'), (2, 'two', 'Organisation Two', 'free', false, 'T1');
INSERT INTO "user" VALUES
  (10, 'Ada@Example.org', 'SECRET-10', 1, 'owner', 'of-ada', true, 'T1'),
  (11, 'bob@example.org', 'SECRET-11', 1, 'admin', 'of-bob', true, 'T1'),
  (12, 'eve@example.org', 'SECRET-12', 1, 'member', NULL, true, 'T1'),
  (13, 'EVE@example.org', 'SECRET-13', 1, 'owner', NULL, false, 'T1'),
  (20, 'zoe@example.org', 'SECRET-20', 2, 'owner', 'of-zoe', true, 'T1');
INSERT INTO resourcequota VALUES (1, 1, 1000, 60, 5, 'T1', 'T2'), (2, 2, 10, 1, 1, 'T1', 'T2');
INSERT INTO apikey VALUES
  (1, 'SECRET-k1', 'qwed_live_****AAAA', 1, 10, 'key of-ada', true, 'T1', 'T2', NULL, 'T3', false),
  (2, 'SECRET-k2', 'qwed_live_****BBBB', 1, 11, 'key of-bob', true, 'T1', NULL, NULL, NULL, false),
  (3, 'SECRET-k3', 'qwed_live_****CCCC', 1, NULL, 'of-nobody', false, 'T1', NULL, 'T2', NULL, true);
INSERT INTO verificationlog VALUES
  (1, 1, 10, '=cmd|''/C calc''!A0 of-ada', '{"value": 1e400, "a": "é"}', true, 'MATH', 'T1', 'aa', 'bb', NULL, NULL, 1, '8.0.0', 'ADMIT'),
  (2, 1, 11, 'of-bob', '{}', true, 'MATH', 'T2', 'cc', 'dd', 'aa', 'of-bob', 2, '8.0.0', 'ADMIT'),
  (3, 1, NULL, 'of-nobody', '{}', false, 'SQL', 'T2', 'ee', 'ff', 'cc', NULL, NULL, '8.0.0', 'ADMIT'),
  (4, 2, 20, 'of-zoe', '{}', true, 'MATH', 'T2', NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (50000, 1, 10, 'of-ada, "quoted"
on two lines; 東京 😀 ', '', false, '-1', 'T3', NULL, NULL, NULL, '''apostrophe', NULL, NULL, NULL);
INSERT INTO securityevent VALUES
  (1, 1, 10, 'injection', '@of-ada', 'looked odd', NULL, 'high', 'T2'), (2, 1, 11, 'injection', 'of-bob', 'x', 'y', 'low', 'T2');
INSERT INTO agent VALUES
  (1, 1, 'agent of-ada', 'autonomous', NULL, 'SECRET-a1', 'active', 0.1, 12.5, 'T1', NULL, 10),
  (2, 1, 'agent of-bob', 'assistant', 'x', 'SECRET-a2', 'active', 1e300, 0, 'T1', 'T2', 11),
  (3, 2, 'agent of-zoe', 'assistant', 'x', 'SECRET-a3', 'active', 1, 0, 'T1', 'T2', 20);
INSERT INTO agentpermission VALUES (1, 1, 'send_email', 'of-ada', 5, NULL, 'T1'), (2, 2, 'send_email', 'of-bob', NULL, NULL, 'T1');
INSERT INTO agentactivity VALUES
  (1, 1, 1, 'tool_call', 'of-ada', '{"to": "x"}', NULL, 'success', 0.30000000000000004, -1.5, 'T2', '192.0.2.7'),
  (2, 2, 1, 'tool_call', 'of-bob', NULL, NULL, 'success', 0, NULL, 'T2', '192.0.2.8'),
  (3, 3, 2, 'tool_call', 'of-zoe', NULL, NULL, 'success', 0, NULL, 'T2', NULL);
INSERT INTO toolcall VALUES
  (1, 1, 1, 'mail', '{"to": "of-ada"}', true, 'user:11', true, NULL, 0.5, NULL, 'T2'),
  (2, 2, 2, 'mail', '{"to": "of-bob"}', true, 'user:10', true, 'of-bob', 0.5, NULL, 'T2'),
  (3, 2, 2, 'mail', '{"to": "of-bob"}', true, 'user:101', true, 'of-bob', 0.5, NULL, 'T2');
"#;

/// A QWED database, beside a state database of the same kind.
pub(crate) struct Qwed<'t> {
    test: &'t TestStore,
    pub(crate) url: DatabaseUrl,
}

impl<'t> Qwed<'t> {
    pub(crate) fn empty(test: &'t TestStore) -> Self {
        let url = match &test.server {
            Some(server) => {
                server.create_database("qwed");
                server.url("qwed")
            }
            None => trails::sqlite_url(&test.directory.path().join("qwed.db")),
        };
        let url = url.parse().expect("a URL");
        Self { test, url }
    }

    pub(crate) fn filled(test: &'t TestStore) -> Self {
        let qwed = Self::empty(test);
        qwed.run(TABLES);
        qwed.run(ROWS);
        qwed
    }

    /// Runs SQL in which the few words that differ are filled in.
    pub(crate) fn run(&self, sql: &str) {
        let sql = sql
            .replace("'T1'", "'2026-05-01 08:00:00.000000'")
            .replace("'T2'", "'2026-06-01 08:00:00.000000'")
            .replace("'T3'", "'2026-07-01 08:00:00.123456'");
        match &self.test.server {
            Some(server) => {
                let sql = sql
                    .replace(" KEY", " SERIAL PRIMARY KEY")
                    .replace(" TIME", " timestamp with time zone");
                server.psql("qwed", &format!("SET timezone = 'UTC';\n{sql}"));
            }
            None => {
                let sql = sql
                    .replace(" KEY", " INTEGER NOT NULL PRIMARY KEY")
                    .replace(" TIME", " DATETIME");
                let path = self.test.directory.path().join("qwed.db");
                trails::open(&path).execute_batch(&sql).expect("run SQL");
            }
        }
    }

    pub(crate) fn resolve(&self, organization: i64, asked: &Asked) -> Result<Target, Rejection> {
        blocking(|| export::resolve(&self.url, organization, asked)).expect("read")
    }

    pub(crate) fn target(&self, organization: i64, asked: &Asked) -> Target {
        self.resolve(organization, asked).expect("a subject")
    }

    /// Writes an export to a new file.
    pub(crate) fn export(&self, organization: i64, asked: &Asked) -> (Made, Opened) {
        let target = self.target(organization, asked);
        let path = self.file();
        let made = self.write(&target, &mut [], &path);
        (made.expect("export"), Opened::read(&path))
    }

    pub(crate) fn file(&self) -> PathBuf {
        let name = format!("export-{}.zip", fastrand::u64(..));
        self.test.directory.path().join(name)
    }

    pub(crate) fn write(
        &self,
        target: &Target,
        own: &mut [Box<dyn OwnRecords>],
        path: &Path,
    ) -> Result<Made, ExportError> {
        let source = Source {
            url: &self.url,
            target,
            notice: &Notice::default(),
            made_at: made_at(),
        };
        blocking(|| export::to_file(source, own, path, &Progress::default()))
    }
}

pub(crate) fn made_at() -> Timestamp {
    "2026-08-01T09:30:00Z".parse().expect("a time")
}

/// On a thread that may wait: PostgreSQL is read by a runtime of its own.
pub(crate) fn blocking<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().expect("no panic"))
}

/// An export as CPython reads it, after it held the parts against one another.
pub(crate) struct Opened {
    pub(crate) manifest: Value,
    pub(crate) data: Value,
    /// The text of all files.
    pub(crate) everything: String,
}

impl Opened {
    #[track_caller]
    pub(crate) fn read(path: &Path) -> Self {
        let output = tool("export.py").arg(path).output().expect("run Python");
        let problems = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{problems}");
        let mut found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let everything = found["everything"].as_str().expect("text").to_owned();
        Self {
            manifest: found["manifest"].take(),
            data: found["data"].take(),
            everything,
        }
    }

    /// The ids of what it has of a table; `None` if it has no such table.
    pub(crate) fn ids(&self, table: &str) -> Option<Vec<i64>> {
        let records = self.data["tables"].get(table)?.as_array()?;
        let ids = records.iter().map(|record| record["id"].as_i64());
        Some(ids.map(|id| id.expect("an id")).collect())
    }
}
