//! What refers to a user beside the trail: security events, API keys, agents and what they did, and the user itself.

use jiff::{Timestamp, tz::TimeZone};

use super::{ErasureError, policy::Policy};
use crate::{
    config::{EraseActivity, EraseEntries, EraseKeys},
    qwed::erase::{Column, Eraser, marked, marked_json},
    trail::tombstone::MARKER,
};

/// Rows that are looked up at a time.
const PAGE: usize = 1000;

/// What is done with a table's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Action {
    pub(super) table: &'static str,
    /// `anonymised`, `deleted` or `detached`.
    pub(super) manner: &'static str,
    /// Which rows.
    condition: String,
    /// What is set; nothing where they are deleted.
    set: Option<String>,
}

/// A user whose rows are looked up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose {
    pub(super) organization_id: i64,
    pub(super) user_id: i64,
}

/// What is done with all tables but the trail and the user itself, in this order. Tables that a release does not have are left
/// out.
pub(super) fn actions(
    eraser: &mut Eraser,
    whose: Whose,
    policy: &Policy,
) -> Result<Vec<Action>, ErasureError> {
    let user = whose.user_id;
    let mut actions = Vec::new();
    let mut add = |table, manner, condition: String, set| {
        actions.push(Action {
            table,
            manner,
            condition,
            set,
        });
    };
    if has(&eraser.columns("securityevent")?, &["user_id"]) {
        let condition = format!("user_id = {user}");
        match policy.security_events {
            EraseEntries::Delete => add("securityevent", "deleted", condition, None),
            EraseEntries::Anonymise => {
                let set = format!("user_id = NULL, {}, {}", marked("query"), marked("reason"));
                add("securityevent", "anonymised", condition, Some(set));
            }
        }
    }
    let agents = format!("SELECT agent.id FROM agent WHERE agent.created_by_user_id = {user}");
    let has_agents = has(&eraser.columns("agent")?, &["created_by_user_id"]);
    if has_agents && policy.agent_activity == EraseActivity::Anonymise {
        let activity = eraser.columns("agentactivity")?;
        let personal = ["description", "input_data", "output_data", "ip_address"];
        if let Some((set, changed)) = markers(&activity, &personal, &[]) {
            let condition = format!("agent_id IN ({agents}) AND ({changed})");
            add("agentactivity", "anonymised", condition, Some(set));
        }
        let calls = eraser.columns("toolcall")?;
        let personal = ["tool_params", "approved_by", "result", "blocked_reason"];
        if let Some((set, changed)) = markers(&calls, &personal, &["tool_params"]) {
            let condition = format!("agent_id IN ({agents}) AND ({changed})");
            add("toolcall", "anonymised", condition, Some(set));
        }
    }
    if has_agents {
        let condition = format!("created_by_user_id = {user}");
        let set = "created_by_user_id = NULL".to_owned();
        add("agent", "detached", condition, Some(set));
    }
    if has(&eraser.columns("apikey")?, &["user_id"]) {
        let condition = format!("user_id = {user}");
        match policy.api_keys {
            EraseKeys::Delete => add("apikey", "deleted", condition, None),
            EraseKeys::Detach => {
                let set = format!("user_id = NULL, {}", marked("name"));
                add("apikey", "detached", condition, Some(set));
            }
        }
    }
    Ok(actions)
}

fn has(columns: &[Column], names: &[&str]) -> bool {
    let is_there = |name: &&str| columns.iter().any(|column| column.name == *name);
    names.iter().all(is_there)
}

/// What sets these columns to markers, and the condition that any is not.
fn markers(columns: &[Column], personal: &[&str], json: &[&str]) -> Option<(String, String)> {
    let there = personal.iter().filter(|name| has(columns, &[name]));
    let (mut set, mut changed) = (Vec::new(), Vec::new());
    for name in there {
        let is_json = json.contains(name);
        set.push(if is_json {
            marked_json(name)
        } else {
            marked(name)
        });
        let marker = if is_json {
            crate::trail::tombstone::JSON_MARKER
        } else {
            MARKER
        };
        // As text, since a column of JSON does not compare.
        changed.push(format!("CAST({name} AS TEXT) <> '{marker}'"));
    }
    (!set.is_empty()).then(|| (set.join(", "), changed.join(" OR ")))
}

impl Action {
    /// How many rows it is about.
    pub(super) fn count(&self, eraser: &mut Eraser) -> Result<u64, ErasureError> {
        let sql = format!(
            "SELECT count(*) FROM {} WHERE {}",
            self.table, self.condition
        );
        let count = eraser.integers(&sql)?.first().copied();
        Ok(count.unwrap_or(0).unsigned_abs())
    }

    /// Does it, and answers to how many rows.
    pub(super) fn run(&self, eraser: &mut Eraser) -> Result<u64, ErasureError> {
        let Self {
            table, condition, ..
        } = self;
        let (mut changed, mut after) = (0, None::<i64>);
        loop {
            // Behind the last: rows that somebody keeps from being changed must not be tried for ever.
            let behind = after.map_or_else(String::new, |after| format!("id > {after} AND "));
            let sql = format!(
                "SELECT id FROM {table} WHERE {behind}{condition} ORDER BY id LIMIT {PAGE}"
            );
            let ids = eraser.integers(&sql)?;
            let Some(&last) = ids.last() else {
                return Ok(changed);
            };
            after = Some(last);
            changed += eraser.write_rows(&ids, |rows| match &self.set {
                Some(set) => format!("UPDATE {table} SET {set} WHERE {rows}"),
                None => format!("DELETE FROM {table} WHERE {rows}"),
            })?;
        }
    }
}

/// Revokes the user's keys and deactivates the user, in one transaction. Answers how many rows that changed.
pub(super) fn lock_out(
    eraser: &mut Eraser,
    whose: Whose,
    now: Timestamp,
) -> Result<u64, ErasureError> {
    let user = whose.user_id;
    let mut statements = Vec::new();
    let keys = eraser.columns("apikey")?;
    if has(&keys, &["user_id", "is_active"]) {
        let now = now
            .to_zoned(TimeZone::UTC)
            .strftime("%Y-%m-%d %H:%M:%S.%6f");
        let revoked = match has(&keys, &["revoked_at"]) {
            true => format!(
                ", revoked_at = CASE WHEN revoked_at IS NULL THEN '{now}' ELSE revoked_at END"
            ),
            false => String::new(),
        };
        statements.push(format!(
            "UPDATE apikey SET is_active = false{revoked} WHERE user_id = {user} AND is_active"
        ));
    }
    if has(&eraser.columns("user")?, &["is_active"]) {
        statements.push(format!(
            "UPDATE \"user\" SET is_active = false WHERE {} AND is_active",
            this_user(whose)
        ));
    }
    Ok(eraser.write(&statements)?)
}

/// Empties the user's row.
pub(super) fn anonymise_user(eraser: &mut Eraser, whose: Whose) -> Result<u64, ErasureError> {
    let columns = eraser.columns("user")?;
    let mut set = vec![
        // No two users may have the same address.
        format!("email = '{MARKER} {}'", whose.user_id),
        format!("password_hash = '{MARKER}'"),
        "is_active = false".to_owned(),
    ];
    if let Some(permissions) = columns.iter().find(|column| column.name == "permissions") {
        set.push(match permissions.is_nullable {
            true => "permissions = NULL".to_owned(),
            false => "permissions = ''".to_owned(),
        });
    }
    let sql = format!(
        "UPDATE \"user\" SET {} WHERE {} AND email <> '{MARKER} {}'",
        set.join(", "),
        this_user(whose),
        whose.user_id
    );
    Ok(eraser.write(&[sql])?)
}

/// Deletes the user's row.
pub(super) fn delete_user(eraser: &mut Eraser, whose: Whose) -> Result<u64, ErasureError> {
    Ok(eraser.write(&[format!("DELETE FROM \"user\" WHERE {}", this_user(whose))])?)
}

/// Whether any user has the number.
pub(super) fn number_is_taken(eraser: &mut Eraser, whose: Whose) -> Result<bool, ErasureError> {
    let sql = format!("SELECT id FROM \"user\" WHERE id = {}", whose.user_id);
    Ok(!eraser.integers(&sql)?.is_empty())
}

/// Whether the user's row is there.
pub(super) fn has_user(eraser: &mut Eraser, whose: Whose) -> Result<bool, ErasureError> {
    let sql = format!("SELECT id FROM \"user\" WHERE {}", this_user(whose));
    Ok(!eraser.integers(&sql)?.is_empty())
}

fn this_user(whose: Whose) -> String {
    let Whose {
        organization_id,
        user_id,
    } = whose;
    format!("id = {user_id} AND organization_id = {organization_id}")
}
