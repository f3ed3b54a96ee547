//! The roles on PostgreSQL of `docs/postgres-roles.sql` that an erasure goes by: enough for it, and no more than is used.

use std::path::Path;

use serde_json::{Value, json};
use trailkeeper::{demo::generator::Generator, trail::keys::Key};

use crate::support::{
    loaded::{TIME_TYPES, add_organizations, copy_entries, make_key_tables},
    postgres::Postgres,
    program::Program,
    trails::KEY,
};

const ROLES: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/docs/postgres-roles.sql"
));
/// QWED's database.
pub(crate) const DATABASE: &str = "qwed";
/// Our own, which the document makes.
pub(crate) const STATE: &str = "trailkeeper";

/// What the other tables hold about two users, and the references that QWED declares.
const REST: &str = r#"
INSERT INTO "user" SELECT id, 'user' || id || '@example.com', 'x', 1, 'member', NULL, true, now() FROM generate_series(100, 119) AS id;
INSERT INTO "user" SELECT id, 'user' || id || '@example.com', 'x', 2, 'member', NULL, true, now() FROM generate_series(200, 219) AS id;
INSERT INTO apikey SELECT id, 'hash' || id, 'qwed_live_****', 1, id, 'a key', true, now(), NULL, NULL, NULL, false
  FROM generate_series(103, 104) AS id;
CREATE TABLE securityevent (id SERIAL PRIMARY KEY, organization_id INTEGER NOT NULL, user_id INTEGER REFERENCES "user" (id),
  event_type VARCHAR NOT NULL, query VARCHAR NOT NULL, reason VARCHAR NOT NULL, security_layer VARCHAR, severity VARCHAR NOT NULL,
  timestamp timestamptz NOT NULL);
INSERT INTO securityevent SELECT id, 1, id, 'injection', 'of a user', 'looked odd', NULL, 'high', now() FROM generate_series(103, 104) AS id;
CREATE TABLE agent (id SERIAL PRIMARY KEY, organization_id INTEGER NOT NULL, name VARCHAR NOT NULL,
  created_by_user_id INTEGER REFERENCES "user" (id));
INSERT INTO agent SELECT id, 1, 'an agent', id FROM generate_series(103, 104) AS id;
CREATE TABLE agentactivity (id SERIAL PRIMARY KEY, agent_id INTEGER NOT NULL, description VARCHAR NOT NULL, input_data VARCHAR,
  output_data VARCHAR, ip_address VARCHAR);
INSERT INTO agentactivity SELECT id, id, 'did', 'in', NULL, '192.0.2.1' FROM generate_series(103, 104) AS id;
CREATE TABLE toolcall (id SERIAL PRIMARY KEY, agent_id INTEGER NOT NULL, tool_params JSON, approved_by VARCHAR, result VARCHAR,
  blocked_reason VARCHAR);
INSERT INTO toolcall SELECT id, id, '{"to": "x"}', 'somebody', NULL, NULL FROM generate_series(103, 104) AS id;
ALTER TABLE verificationlog ADD FOREIGN KEY (user_id) REFERENCES "user" (id);
CREATE TABLE resourcequota (id SERIAL PRIMARY KEY, organization_id INTEGER NOT NULL, max_requests INTEGER NOT NULL);
CREATE TABLE agentpermission (id SERIAL PRIMARY KEY, agent_id INTEGER NOT NULL, resource VARCHAR NOT NULL);
"#;

/// A server with QWED's tables, our own database and all the roles.
pub(crate) struct Site {
    pub(crate) server: Postgres,
    directory: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let server = Postgres::start();
        server.create_database(DATABASE);
        make_key_tables(&server, DATABASE, TIME_TYPES[0]);
        add_organizations(&server, DATABASE, 2);
        let mut generator = Generator::new(Key::new("k", KEY.as_bytes()), 2, 1);
        let entries = copy_entries(&mut generator, 600, |entry| Some(entry.id));
        server.psql(DATABASE, &entries);
        server.psql(DATABASE, REST);
        let databases = format!("\\set qwed {DATABASE}\n\\set state {STATE}\n");
        server.psql("postgres", &(databases + ROLES));
        let directory = tempfile::tempdir().expect("make a directory");
        let made = Program::bare()
            .directory(directory.path())
            .args(["keygen", "--name", "trailkeeper", "--out", "anchor.key"])
            .args(["--public", "anchor.pub"])
            .run();
        assert_eq!(made.code, Some(0), "{made:?}");
        Self { server, directory }
    }

    pub(crate) fn url(&self, role: &str, database: &str) -> String {
        let url = self.server.url(database);
        url.replace("postgres@", &format!("{role}@"))
    }

    fn program(&self) -> Program {
        let directory: &Path = self.directory.path();
        Program::bare()
            .env("QWED_AUDIT_SECRET_KEY", KEY)
            .env("TRAILKEEPER__DATA_DIR", directory)
            .env(
                "TRAILKEEPER__QWED__DATABASE_URL",
                self.url("trailkeeper", DATABASE),
            )
            .env(
                "TRAILKEEPER__ERASURE__DATABASE_URL",
                self.url("trailkeeper_eraser", DATABASE),
            )
    }

    /// Asks for a user's erasure and approves it. Answers the request's id.
    fn approve(&self, user: &str, policy: &Value) -> String {
        let policy = policy.to_string();
        let (run, asked) = self
            .program()
            .args(["erase", "request", "--org", "1", "--user", user])
            .args(["--policy", &policy])
            .json();
        assert_eq!(run.code, Some(0), "{run:?}");
        let text = |name: &str| asked["request"][name].as_str().expect("a text").to_owned();
        let (id, plan) = (text("id"), text("plan_digest"));
        let run = self
            .program()
            .args(["erase", "approve", &id, "--plan", &plan])
            .run();
        assert_eq!(run.code, Some(0), "{run:?}");
        id
    }

    fn erase(&self, user: &str, policy: &Value) -> Value {
        let id = self.approve(user, policy);
        let (run, request) = self.program().args(["erase", "execute", &id]).json();
        assert_eq!(run.code, Some(0), "{run:?}");
        assert_eq!(request["state"], json!("completed"), "{run:?}");
        request["progress"]["tables"].clone()
    }
}

#[test]
fn may_do_what_an_erasure_does() {
    let site = Site::new();
    let tables = site.erase("103", &json!({}));
    let manner = |name: &str| tables[name][0]["manner"].clone();
    assert_eq!(manner("verificationlog"), "anonymised");
    assert_eq!(manner("securityevent"), "anonymised");
    assert_eq!(manner("agentactivity"), "anonymised");
    assert_eq!(manner("toolcall"), "anonymised");
    assert_eq!(manner("agent"), "detached");
    assert_eq!(
        (manner("apikey"), manner("user")),
        (json!("deleted"), json!("deleted"))
    );
    let everything_else = json!({"entries": "delete", "security_events": "delete", "api_keys": "detach", "user": "anonymise"});
    let tables = site.erase("104", &everything_else);
    let manner = |name: &str| tables[name][0]["manner"].clone();
    assert_eq!(manner("verificationlog"), "deleted");
    assert_eq!(manner("securityevent"), "deleted");
    assert_eq!(
        (manner("apikey"), manner("user")),
        (json!("detached"), json!("anonymised"))
    );

    let (run, verified) = site.program().arg("verify").json();
    assert_eq!(run.code, Some(0), "{run:?}");
    let erased = &verified["organizations"][0]["erased"];
    assert!(erased["anonymised"].as_u64() > Some(0), "{erased}");
    assert!(erased["deleted"].as_u64() > Some(0), "{erased}");
    let eraser = site.url("trailkeeper_eraser", DATABASE);
    let (run, replayed) = site
        .program()
        .args(["erase", "replay", "--database", &eraser])
        .json();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(replayed["erasures"], json!(2));
    assert_eq!(replayed["entries"], json!(0));
}

/// The role that verifies needs no right to write, and the one that erases none to change what it leaves.
#[test]
fn may_do_nothing_else() {
    let site = Site::new();
    let may = |role: &str, table: &str, column: &str| {
        let asked =
            format!("SELECT has_column_privilege('{role}', '{table}', '{column}', 'UPDATE')");
        site.server.psql(DATABASE, &asked) == "t"
    };
    assert!(may("trailkeeper_eraser", "verificationlog", "query"));
    for column in [
        "entry_hash",
        "hmac_signature",
        "previous_hash",
        "is_verified",
        "timestamp",
    ] {
        assert!(
            !may("trailkeeper_eraser", "verificationlog", column),
            "{column}"
        );
    }
    assert!(!may("trailkeeper", "verificationlog", "query"));
    // What is missing is told in words, and the same command goes on once it is there.
    site.server.psql(
        DATABASE,
        "REVOKE UPDATE (query) ON verificationlog FROM trailkeeper_eraser",
    );
    let id = site.approve("105", &json!({}));
    let run = site.program().args(["erase", "execute", &id]).run();
    let (code, line) = run.failure();
    assert_eq!(code, Some(3), "{run:?}");
    assert!(line.contains("grant its role UPDATE"), "{line}");
    site.server.psql(
        DATABASE,
        "GRANT UPDATE (query) ON verificationlog TO trailkeeper_eraser",
    );
    let (run, request) = site.program().args(["erase", "execute", &id]).json();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(request["state"], json!("completed"));
}
