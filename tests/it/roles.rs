//! The roles on PostgreSQL of `docs/postgres-roles.sql`: each suffices for what it is for, and may do nothing else.
//! `erasure_roles` erases by them.

use jiff::Timestamp;
use trailkeeper::{
    keys::{self, Policy},
    qwed::url::DatabaseUrl,
};

use crate::{
    erasure_roles::{DATABASE, STATE, Site},
    support::program::Program,
};

/// All tables of QWED's.
const TABLES: [&str; 10] = [
    "organization",
    "\"user\"",
    "resourcequota",
    "apikey",
    "agent",
    "agentpermission",
    "verificationlog",
    "securityevent",
    "agentactivity",
    "toolcall",
];

/// "ok", or why the server refuses a role this statement.
fn attempt(site: &Site, role: &str, database: &str, statement: &str) -> String {
    let sql = format!(
        "SET ROLE {role};\n\
         DO $$ BEGIN {statement}; EXCEPTION WHEN insufficient_privilege THEN\n\
         PERFORM set_config('test.refusal', SQLERRM, false); END $$;\n\
         SELECT coalesce(nullif(current_setting('test.refusal', true), ''), 'ok')"
    );
    site.server.psql(database, &sql)
}

#[track_caller]
fn refused(site: &Site, role: &str, database: &str, statement: &str) {
    let answer = attempt(site, role, database, statement);
    assert!(
        answer.starts_with("permission denied for"),
        "{role}, {statement}: {answer}"
    );
}

#[track_caller]
fn allowed(site: &Site, role: &str, database: &str, statement: &str) {
    let answer = attempt(site, role, database, statement);
    assert_eq!(answer, "ok", "{role}, {statement}");
}

#[test]
fn each_role_may_do_its_own_and_nothing_else() {
    let site = Site::new();

    let reader = "trailkeeper";
    for table in TABLES {
        allowed(&site, reader, DATABASE, &format!("PERFORM * FROM {table}"));
        for statement in [
            format!("INSERT INTO {table} (id) VALUES (1000)"),
            format!("UPDATE {table} SET id = id"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table} CASCADE"),
            format!("LOCK TABLE {table} IN EXCLUSIVE MODE"),
        ] {
            refused(&site, reader, DATABASE, &statement);
        }
    }
    let settings = "SELECT rolconfig FROM pg_roles WHERE rolname = 'trailkeeper'";
    assert_eq!(
        site.server.psql(DATABASE, settings),
        "{default_transaction_read_only=on}"
    );

    let flagger = "trailkeeper_flagger";
    let url = |role: &str| -> DatabaseUrl {
        let url = site.url(role, DATABASE);
        url.parse().expect("a URL")
    };
    let later: Timestamp = "2099-01-01T00:00:00Z".parse().expect("a time");
    let checked = keys::check(
        &url(reader),
        Some(&url(flagger)),
        Policy::default(),
        &[],
        later,
    );
    let flagging = checked.expect("check").flagging;
    assert_eq!((flagging.flagged_now, flagging.problem), (2, None));
    for statement in [
        "UPDATE apikey SET is_active = false",
        "UPDATE apikey SET revoked_at = now()",
        "PERFORM key_hash FROM apikey",
        "PERFORM name FROM apikey",
        "DELETE FROM apikey",
        "PERFORM 1 FROM verificationlog",
    ] {
        refused(&site, flagger, DATABASE, statement);
    }

    let eraser = "trailkeeper_eraser";
    for statement in [
        "UPDATE verificationlog SET entry_hash = NULL",
        "UPDATE verificationlog SET is_verified = true",
        "INSERT INTO verificationlog (id) VALUES (1000)",
        "UPDATE apikey SET key_hash = ''",
        "UPDATE \"user\" SET role = 'owner'",
        "DELETE FROM organization",
        "TRUNCATE verificationlog",
    ] {
        refused(&site, eraser, DATABASE, statement);
    }

    let owner = "trailkeeper_state";
    let run = Program::bare()
        .env("TRAILKEEPER__STATE__URL", site.url(owner, STATE))
        .arg("migrate")
        .run();
    assert_eq!(run.code, Some(0), "{run:?}");
    allowed(&site, owner, STATE, "DELETE FROM trailkeeper.job");
    for statement in [
        "CREATE TABLE public.mine (id INTEGER)",
        "CREATE SCHEMA mine",
    ] {
        refused(&site, owner, STATE, statement);
    }
    refused(&site, owner, DATABASE, "PERFORM 1 FROM verificationlog");
    for role in [reader, flagger, eraser] {
        refused(&site, role, STATE, "PERFORM 1 FROM trailkeeper.job");
        let may_connect = format!("SELECT has_database_privilege('{role}', '{STATE}', 'CONNECT')");
        assert_eq!(site.server.psql(STATE, &may_connect), "f", "{role}");
    }
}
