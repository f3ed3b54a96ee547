//! What our own database is asked.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    facts::{Answer, Known},
    model::{Obtained, Origin, Period, Window},
};
use crate::{
    checkpoint::note::VerifierKey,
    ledger::{self, Act, Entry},
    state::Store,
};

/// Entries of the ledger that are read at a time.
const PAGE: u32 = 500;

/// Asks our own database for one report.
pub(super) struct Own<'a> {
    pub(super) store: &'a Store,
    pub(super) origin: &'a str,
    pub(super) keys: &'a [VerifierKey],
    pub(super) organization_id: i64,
    pub(super) period: Period,
    pub(super) now: Timestamp,
}

impl Own<'_> {
    async fn ask(&self, sql: &str, parameters: Vec<Value>, window: bool) -> Known<Answer> {
        let rows = self.store.ask(sql, &parameters).await;
        let rows =
            rows.map_err(|error| format!("The state database could not be asked: {error}."))?;
        let obtained = Obtained {
            origin: Origin::State,
            query: sql.to_owned(),
            parameters,
            window: window.then_some(Window {
                from: self.period.start,
                to: self.period.end,
            }),
            rows: rows.len() as u64,
            at: self.now,
        };
        Ok(Answer { rows, obtained })
    }

    fn bounds(&self) -> Vec<Value> {
        vec![
            json!(self.period.start.as_microsecond()),
            json!(self.period.end.as_microsecond()),
        ]
    }

    /// Schedule, fire, began, ended, extent, organisations, verdict, entries, verdicts that are not intact, job.
    pub(super) async fn runs(&self) -> Known<Answer> {
        let sql = "SELECT schedule, fire_time, began_at, ended_at, extent, organizations, verdict, entries, not_intact, job_id \
                   FROM verification_run WHERE extent <> 'period' AND ((fire_time >= $1 AND fire_time < $2) OR \
                   (fire_time IS NULL AND ended_at >= $1 AND ended_at < $2)) ORDER BY ended_at, job_id";
        self.ask(sql, self.bounds(), true).await
    }

    /// Schedule, fire, decision, the job's state, its error.
    pub(super) async fn fires(&self) -> Known<Answer> {
        let sql = "SELECT f.schedule, f.fire_time, f.decision, j.state, j.error FROM schedule_fire f LEFT JOIN job j \
                   ON j.id = f.job_id WHERE f.fire_time >= $1 AND f.fire_time < $2 AND NOT EXISTS (SELECT 1 FROM \
                   verification_run v WHERE v.schedule = f.schedule AND v.fire_time = f.fire_time) \
                   ORDER BY f.fire_time, f.schedule";
        self.ask(sql, self.bounds(), true).await
    }

    /// Schedule, when it first decided anything that is kept.
    pub(super) async fn first_fires(&self) -> Known<Answer> {
        let sql = "SELECT schedule, min(fire_time) FROM schedule_fire GROUP BY schedule ORDER BY schedule";
        self.ask(sql, Vec::new(), false).await
    }

    /// How many, the first and the last.
    pub(super) async fn anchors(&self) -> Known<Answer> {
        let sql = "SELECT count(*), min(made_at), max(made_at) FROM anchor_run WHERE made_at >= $1 AND made_at < $2";
        self.ask(sql, self.bounds(), true).await
    }

    /// Objects, entries, bytes, the last id, kept until, not locked.
    pub(super) async fn segments(&self) -> Known<Answer> {
        let sql = "SELECT count(*), CAST(COALESCE(sum(row_count), 0) AS BIGINT), CAST(COALESCE(sum(size_bytes), 0) AS BIGINT), \
                   max(last_id), min(retain_until), CAST(COALESCE(sum(CASE WHEN lock_problem IS NULL THEN 0 ELSE 1 END), 0) \
                   AS BIGINT) FROM archive_object WHERE kind = 'segment' AND relation = 'verificationlog' \
                   AND organization = $1 AND stored_at IS NOT NULL";
        self.ask(sql, vec![json!(self.organization_id.to_string())], false)
            .await
    }

    /// Number, made at, kept until, stored at, lock problem.
    pub(super) async fn backup(&self) -> Known<Answer> {
        let sql = "SELECT number, made_at, retain_until, stored_at, lock_problem FROM archive_manifest WHERE made_at < $1 \
                   ORDER BY number DESC LIMIT 1";
        self.ask(sql, vec![json!(self.period.end.as_microsecond())], false)
            .await
    }

    /// Name and version of the newest objects that hold the organisation's trail, and of the newest manifest.
    pub(super) async fn newest_objects(&self, limit: u32) -> Known<Answer> {
        let sql = "SELECT name, version FROM archive_object WHERE kind = 'segment' AND relation = 'verificationlog' \
                   AND organization = $1 AND stored_at IS NOT NULL ORDER BY last_id DESC, name DESC LIMIT $2";
        let parameters = vec![json!(self.organization_id.to_string()), json!(limit)];
        self.ask(sql, parameters, false).await
    }

    /// Request, state, asked, due, extension, ended.
    pub(super) async fn erasures(&self) -> Known<Answer> {
        let sql = "SELECT id, state, requested_at, due_at, extension, completed_at FROM erasure WHERE organization_id = $1 \
                   AND received_at < $3 AND (completed_at IS NULL OR completed_at >= $2) \
                   AND (state NOT IN ('rejected', 'cancelled') OR received_at >= $2) ORDER BY received_at, id";
        let mut parameters = vec![json!(self.organization_id)];
        parameters.extend(self.bounds());
        self.ask(sql, parameters, true).await
    }

    /// Hold, user, reason, by whom, at, ends.
    pub(super) async fn holds(&self) -> Known<Answer> {
        let sql = "SELECT id, user_id, reason, placed_by, placed_at, ends_at FROM hold WHERE organization_id = $1 \
                   AND released_at IS NULL AND (ends_at IS NULL OR ends_at > $2) ORDER BY placed_at, id";
        let parameters = vec![
            json!(self.organization_id),
            json!(self.now.as_microsecond()),
        ];
        self.ask(sql, parameters, false).await
    }

    /// Schedule, since.
    pub(super) async fn paused(&self) -> Known<Answer> {
        let sql =
            "SELECT schedule, changed_at FROM schedule_pause WHERE paused = 1 ORDER BY schedule";
        self.ask(sql, Vec::new(), false).await
    }

    /// What verifying the ledger comes to.
    pub(super) async fn ledger(&self) -> Known<ledger::Report> {
        let verified = ledger::verify(self.store, self.origin, self.keys).await;
        verified.map_err(|error| format!("The ledger could not be read: {error}."))
    }

    /// Authentic entries of an act within `from` and the period's end, the newest first. One that is not authentic is for the ledger's own
    /// control to tell.
    pub(super) async fn entries(&self, act: Act, from: Timestamp) -> Known<Vec<Entry>> {
        let (mut entries, mut after) = (Vec::new(), 0);
        loop {
            let page = self.store.ledger_of_act(act.name(), after, PAGE).await;
            let page = page.map_err(|error| format!("The ledger could not be read: {error}."))?;
            let Some(last) = page.last() else {
                break;
            };
            after = last.number;
            let authentic = page
                .iter()
                .filter_map(|row| ledger::open(row, self.origin, self.keys).ok());
            entries.extend(authentic.filter(|it| it.at >= from && it.at < self.period.end));
        }
        entries.reverse();
        Ok(entries)
    }
}
