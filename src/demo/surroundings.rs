//! What stands around the sample's trail: who may do what, limits, and what QWED's guards stopped.

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;

use crate::trail::time::stored_text;

/// The tables as QWED 8.0.0 makes them.
const SCHEMA: &str = r#"
CREATE TABLE resourcequota (id INTEGER NOT NULL, organization_id INTEGER NOT NULL, max_requests_per_day INTEGER NOT NULL,
  max_requests_per_minute INTEGER NOT NULL, max_concurrent_requests INTEGER NOT NULL, created_at DATETIME NOT NULL,
  updated_at DATETIME NOT NULL, PRIMARY KEY (id), UNIQUE (organization_id),
  FOREIGN KEY(organization_id) REFERENCES organization (id));
CREATE TABLE securityevent (id INTEGER NOT NULL, organization_id INTEGER NOT NULL, user_id INTEGER, event_type VARCHAR NOT NULL,
  "query" VARCHAR NOT NULL, reason VARCHAR NOT NULL, security_layer VARCHAR, severity VARCHAR NOT NULL, timestamp DATETIME NOT NULL,
  PRIMARY KEY (id), FOREIGN KEY(organization_id) REFERENCES organization (id), FOREIGN KEY(user_id) REFERENCES user (id));
CREATE INDEX ix_securityevent_organization_id ON securityevent (organization_id);
"#;

/// What was stopped in each organisation: days ago, by which of its users, type, reason, layer, severity.
#[expect(
    clippy::type_complexity,
    reason = "a table of literals, read in one place"
)]
const EVENTS: [(i64, Option<i64>, &str, &str, &str, &str); 5] = [
    (
        41,
        Some(4),
        "BLOCKED",
        "prompt injection: ignore previous instructions",
        "input",
        "high",
    ),
    (
        29,
        None,
        "SANITIZED",
        "markup removed from the answer",
        "output",
        "low",
    ),
    (
        17,
        Some(5),
        "RATE_LIMIT",
        "more than 60 requests in a minute",
        "gateway",
        "medium",
    ),
    (
        8,
        Some(3),
        "BLOCKED",
        "code with a call to os.system",
        "sandbox",
        "critical",
    ),
    (
        2,
        Some(4),
        "BLOCKED",
        "prompt injection in an attachment",
        "input",
        "high",
    ),
];

/// Days that the organisations and most of their users are old.
const OLD: i64 = 420;

/// Adds what stands around the trail of `organizations`, whose users the generator has made.
///
/// # Errors
/// If SQLite refuses.
pub(super) fn add(
    connection: &Connection,
    organizations: i64,
    now: Timestamp,
) -> rusqlite::Result<()> {
    connection.execute_batch(SCHEMA)?;
    let ago = |days: i64| {
        let at = now.as_microsecond() - SignedDuration::from_hours(24 * days).as_micros() as i64;
        stored_text(at)
    };
    connection.execute("UPDATE organization SET created_at = ?1", [ago(OLD)])?;
    connection.execute("UPDATE user SET created_at = ?1", [ago(OLD - 5)])?;
    for organization in 1..=organizations {
        let user = |number: i64| organization * 100 + number;
        for (number, role) in [(0, "owner"), (1, "admin"), (19, "viewer")] {
            connection.execute(
                "UPDATE user SET role = ?1 WHERE id = ?2",
                (role, user(number)),
            )?;
        }
        // Somebody came lately, and somebody has left.
        connection.execute(
            "UPDATE user SET created_at = ?1 WHERE id = ?2",
            (ago(20), user(18)),
        )?;
        connection.execute("UPDATE user SET is_active = 0 WHERE id = ?1", [user(17)])?;
        connection.execute(
            "INSERT INTO resourcequota (organization_id, max_requests_per_day, max_requests_per_minute, \
             max_concurrent_requests, created_at, updated_at) VALUES (?1, 10000, 60, 10, ?2, ?2)",
            (organization, ago(OLD)),
        )?;
        for (days, by, event_type, reason, layer, severity) in EVENTS {
            connection.execute(
                "INSERT INTO securityevent (organization_id, user_id, event_type, \"query\", reason, security_layer, severity, \
                 timestamp) VALUES (?1, ?2, ?3, 'what was asked', ?4, ?5, ?6, ?7)",
                (organization, by.map(user), event_type, reason, layer, severity, ago(days)),
            )?;
        }
    }
    Ok(())
}
