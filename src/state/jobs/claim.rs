//! Taking jobs out of the queue, with a lease.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use sqlx::any::AnyRow;

use super::json;
use crate::{
    state::{Dialect, StateError, Store, column, places_from, statement},
    trace::TraceParent,
};

/// How many jobs more than wanted are looked at, since some may be of kinds that have no room.
const SPARE: usize = 32;
/// A suspect waits this long for a worker to fall idle; then one takes it, and nothing more until it is alone with it.
const SUSPECT_PATIENCE: Duration = Duration::from_secs(10);

/// A job that is ours to run.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// What it was given.
    pub payload: Value,
    /// Which attempt this is, from 1.
    pub attempt: i64,
    /// Attempts before it is dead.
    pub max_attempts: i64,
    /// The number to name in every later write.
    pub fence: i64,
    /// Whether a worker vanished while it ran this job.
    pub is_suspect: bool,
    /// When its schedule wanted it, in microseconds since 1970.
    pub fire_time: Option<i64>,
    /// What it kept when it went to wait for its children.
    pub memo: Option<Vec<u8>>,
    /// How long it waited after it was due, in microseconds.
    pub waited_micros: i64,
    /// The trace that it belongs to.
    pub trace: Option<TraceParent>,
}

/// What a worker has room for.
#[derive(Debug, Clone, Default)]
pub struct Room {
    /// Jobs in all.
    pub total: usize,
    /// Jobs of a kind, for kinds that are limited.
    pub by_kind: HashMap<String, usize>,
    /// Kinds that this worker knows; others are left to those that do.
    pub kinds: Vec<String>,
    /// Queues that it serves; all where empty.
    pub queues: Vec<String>,
    /// Whether it runs nothing, so that a suspect may be taken.
    pub is_idle: bool,
}

impl Store {
    /// Claims jobs that are due, highest priority first, for `lease`.
    ///
    /// A job during which a worker vanished is a suspect: it may have crashed the process. It is handed out alone, and whoever
    /// gets it runs it beside nothing, so that it cannot take its neighbours along again.
    ///
    /// # Errors
    /// If the database fails. Jobs may be leased to `owner` nevertheless: see [`Self::release_unknown`].
    pub async fn claim(
        &self,
        owner: &str,
        lease: Duration,
        room: &Room,
    ) -> Result<Vec<Claimed>, StateError> {
        if room.total == 0 {
            return Ok(Vec::new());
        }
        let full = |kind: &str| room.by_kind.get(kind) == Some(&0);
        let kinds: Vec<&String> = room.kinds.iter().filter(|kind| !full(kind)).collect();
        if kinds.is_empty() {
            return Ok(Vec::new());
        }
        let queues = match room.queues.len() {
            0 => String::new(),
            count => format!("AND queue IN ({})", places_from(1 + kinds.len(), count)),
        };
        let sql = self.sql(&format!(
            "SELECT id, kind, crashes, {{now}} - run_at AS waited FROM job \
             WHERE state IN ('queued', 'retrying') AND run_at <= {{now}} AND kind IN ({}) {queues} \
             ORDER BY priority DESC, run_at, id LIMIT {} {{skip_locked}}",
            places_from(1, kinds.len()),
            room.total + SPARE,
        ));
        let mut tx = self.begin().await?;
        let mut select = statement(sql);
        for text in kinds.into_iter().chain(&room.queues) {
            select = select.bind(text.clone());
        }
        let rows = tx.fetch(select).await?;
        let ids = choose(&rows, room)?;
        if ids.is_empty() {
            tx.rollback().await?;
            return Ok(Vec::new());
        }
        // Whoever looked meanwhile saw nothing of what we had locked, and would wait for a second beside jobs that are due.
        if rows.len() > ids.len() && self.dialect == Dialect::Postgres {
            tx.wake();
        }
        let sql = self.sql(&format!(
            "UPDATE job SET state = 'running', lease_owner = $1, lease_until = {{now}} + $2, worker = $1, \
             fence = fence + 1, attempt = attempt + 1, started_at = COALESCE(started_at, {{now}}), unique_key = NULL, error = NULL \
             WHERE id IN ({}) RETURNING id, kind, payload, attempt, max_attempts, fence, crashes, fire_time, memo, \
             traceparent, {{now}} - run_at AS waited",
            places_from(3, ids.len())
        ));
        let mut update = statement(sql)
            .bind(owner.to_owned())
            .bind(lease.as_micros() as i64);
        for id in &ids {
            update = update.bind(id.clone());
        }
        let mut jobs = tx
            .fetch(update)
            .await?
            .iter()
            .map(Claimed::read)
            .collect::<Result<Vec<_>, _>>()?;
        tx.commit("claim").await?;
        jobs.sort_by_key(|job| ids.iter().position(|id| *id == job.id));
        Ok(jobs)
    }
}

/// Chooses among the candidates as room allows. A suspect comes alone: to a worker that is idle, or, when it has waited for
/// one, to the first that asks.
fn choose(rows: &[AnyRow], room: &Room) -> Result<Vec<String>, StateError> {
    let mut left = room.by_kind.clone();
    let mut chosen = Vec::new();
    for row in rows {
        let id: String = column(row, "id")?;
        let kind: &str = column(row, "kind")?;
        if column::<i64>(row, "crashes")? > 0 {
            let waited = column::<i64>(row, "waited")? > SUSPECT_PATIENCE.as_micros() as i64;
            if waited || (room.is_idle && chosen.is_empty()) {
                return Ok(vec![id]);
            }
            continue;
        }
        if chosen.len() == room.total {
            continue;
        }
        match left.get_mut(kind) {
            Some(0) => continue,
            Some(left) => *left -= 1,
            None => {}
        }
        chosen.push(id);
    }
    Ok(chosen)
}

impl Claimed {
    fn read(row: &AnyRow) -> Result<Self, StateError> {
        Ok(Self {
            id: column(row, "id")?,
            kind: column(row, "kind")?,
            payload: json(column(row, "payload")?)?,
            attempt: column(row, "attempt")?,
            max_attempts: column(row, "max_attempts")?,
            fence: column(row, "fence")?,
            is_suspect: column::<i64>(row, "crashes")? > 0,
            fire_time: column(row, "fire_time")?,
            memo: column(row, "memo")?,
            waited_micros: column(row, "waited")?,
            trace: column::<Option<&str>>(row, "traceparent")?.and_then(TraceParent::parse),
        })
    }
}
