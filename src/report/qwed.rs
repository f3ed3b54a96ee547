//! What QWED's database is asked.
//!
//! Times are whole microseconds since 1970 where they are computed with, and text where they are shown. Neither names nor addresses of
//! people are selected: reports go to outsiders.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    facts::{Answer, Known},
    model::{Obtained, Organization, Origin, Period, Window},
};
use crate::{
    qwed::{
        Dialect, ReadError,
        questions::{Parameter, Questions},
        url::DatabaseUrl,
    },
    trail::time,
};

/// What QWED's database says.
pub(super) struct Answers {
    pub(super) organization: Known<Organization>,
    pub(super) server: Option<String>,
    pub(super) dialect: Dialect,
    pub(super) population: Known<Answer>,
    pub(super) days: Known<Answer>,
    pub(super) users: Known<Answer>,
    pub(super) activity: Known<Answer>,
    pub(super) events: Known<Answer>,
    pub(super) quota: Known<Answer>,
}

/// Asks everything. Blocking.
///
/// # Errors
/// If the database cannot be reached at all; a question that cannot be answered alone is told with its answer.
pub(super) fn ask(
    url: &DatabaseUrl,
    organization_id: i64,
    period: Period,
    now: Timestamp,
) -> Result<Answers, ReadError> {
    let mut questions = Questions::open(url)?;
    let mut asker = Asker {
        dialect: questions.dialect(),
        organization_id,
        period,
        now,
        questions: &mut questions,
    };
    Ok(Answers {
        organization: asker.organization(),
        server: asker.questions.server().ok(),
        dialect: asker.dialect,
        population: asker.population(),
        days: asker.days(),
        users: asker.users(),
        activity: asker.activity(),
        events: asker.events(),
        quota: asker.quota(),
    })
}

struct Asker<'a> {
    questions: &'a mut Questions,
    dialect: Dialect,
    organization_id: i64,
    period: Period,
    now: Timestamp,
}

impl Asker<'_> {
    /// What a column of times is compared with.
    fn moment(&self, place: u32) -> String {
        match self.dialect {
            Dialect::Sqlite => format!("${place}"),
            Dialect::Postgresql => format!("CAST(CAST(${place} AS text) AS timestamptz)"),
        }
    }

    /// A time as QWED's database spells it.
    fn spelled(&self, at: Timestamp) -> Parameter {
        Parameter::Text(match self.dialect {
            Dialect::Sqlite => time::stored_text(at.as_microsecond()),
            Dialect::Postgresql => at.to_string(),
        })
    }

    /// Text of a column of times, to the second.
    fn shown(&self, column: &str) -> String {
        match self.dialect {
            Dialect::Sqlite => format!("substr({column}, 1, 19)"),
            Dialect::Postgresql => format!("to_char({column}, 'YYYY-MM-DD HH24:MI:SS')"),
        }
    }

    /// Microseconds since 1970 of a column of times.
    fn micros(&self, column: &str) -> String {
        match self.dialect {
            Dialect::Sqlite => format!("CAST(unixepoch({column}) AS BIGINT) * 1000000"),
            Dialect::Postgresql => {
                format!("CAST(extract(epoch FROM {column}) * 1000000 AS bigint)")
            }
        }
    }

    fn day(&self, column: &str) -> String {
        match self.dialect {
            Dialect::Sqlite => format!("substr({column}, 1, 10)"),
            Dialect::Postgresql => format!("to_char({column}, 'YYYY-MM-DD')"),
        }
    }

    /// The Monday of a column's week.
    fn week(&self, column: &str) -> String {
        match self.dialect {
            Dialect::Sqlite => format!("date({column}, 'weekday 0', '-6 days')"),
            Dialect::Postgresql => format!("to_char(date_trunc('week', {column}), 'YYYY-MM-DD')"),
        }
    }

    fn obtained(&self, sql: &str, parameters: &[Parameter], window: bool, rows: usize) -> Obtained {
        Obtained {
            origin: Origin::Qwed,
            query: sql.to_owned(),
            parameters: parameters.iter().map(Value::from).collect(),
            window: window.then_some(Window {
                from: self.period.start,
                to: self.period.end,
            }),
            rows: rows as u64,
            at: self.now,
        }
    }

    /// Says so where there is no such table, as in databases of old releases.
    fn expect_table(&mut self, table: &str) -> Known<()> {
        let columns = self.questions.columns(table);
        let columns =
            columns.map_err(|error| format!("QWED's database could not be asked: {error}."))?;
        if columns.is_empty() {
            return Err(format!("QWED's database has no table {table}."));
        }
        Ok(())
    }

    fn ask(&mut self, sql: &str, parameters: &[Parameter], window: bool) -> Known<Answer> {
        let rows = self.questions.ask(sql, parameters);
        let rows = rows.map_err(|error| format!("QWED's database could not be asked: {error}."))?;
        let obtained = self.obtained(sql, parameters, window, rows.len());
        Ok(Answer { rows, obtained })
    }

    /// Asks in windows of ids, which are the statement's last two parameters, and adds the whole window to the parameters.
    fn ask_all(
        &mut self,
        table: &str,
        sql: &str,
        parameters: &mut Vec<Parameter>,
        fold: impl FnMut(Vec<Vec<Value>>),
    ) -> Known<()> {
        let asked = self.questions.ask_in_windows(table, sql, parameters, fold);
        let (first, last) =
            asked.map_err(|error| format!("QWED's database could not be asked: {error}."))?;
        parameters.extend([first, last].map(Parameter::Integer));
        Ok(())
    }

    fn bounds(&self) -> Vec<Parameter> {
        vec![
            Parameter::Integer(self.organization_id),
            self.spelled(self.period.start),
            self.spelled(self.period.end),
        ]
    }

    fn organization(&mut self) -> Known<Organization> {
        let id = self.organization_id;
        let sql = "SELECT COALESCE(display_name, name), tier, CASE WHEN is_active THEN 1 ELSE 0 END FROM organization \
                   WHERE id = $1";
        let sql = match self.dialect {
            Dialect::Sqlite => sql.to_owned(),
            Dialect::Postgresql => sql
                .replace(
                    "COALESCE(display_name, name)",
                    "COALESCE(display_name, name)::text",
                )
                .replace("tier", "tier::text"),
        };
        let answer = self.ask(&sql, &[Parameter::Integer(id)], false)?;
        let known = !answer.rows.is_empty();
        Ok(Organization {
            id,
            name: answer.value(0).as_str().map(str::to_owned),
            tier: answer.value(1).as_str().map(str::to_owned),
            is_active: known.then(|| answer.number(2) != 0),
        })
    }

    /// Entries; ids of others between first and last; first and last id; entries and verified claims of the period; times of the oldest and
    /// newest.
    fn population(&mut self) -> Known<Answer> {
        let bounds = self.ask(
            "SELECT CAST(min(id) AS BIGINT), CAST(max(id) AS BIGINT) FROM verificationlog WHERE organization_id = $1",
            &[Parameter::Integer(self.organization_id)],
            false,
        )?;
        let (first, last) = (bounds.value(0), bounds.value(1));
        let is_own = "organization_id = $1";
        let in_period = format!(
            "{is_own} AND timestamp >= {} AND timestamp < {}",
            self.moment(2),
            self.moment(3)
        );
        let sql = format!(
            "SELECT count(*) FILTER (WHERE {is_own}), count(*) FILTER (WHERE organization_id <> $1 OR organization_id IS NULL), \
             count(*) FILTER (WHERE {in_period}), count(*) FILTER (WHERE {in_period} AND is_verified), \
             min({shown}) FILTER (WHERE {is_own}), max({shown}) FILTER (WHERE {is_own}) FROM verificationlog \
             WHERE id >= $4 AND id <= $5 AND id >= $6 AND id <= $7",
            shown = self.shown("timestamp"),
        );
        let mut parameters = self.bounds();
        parameters.extend([&first, &last].map(|id| Parameter::Integer(id.as_i64().unwrap_or(0))));
        let mut sums = [0_i64; 4];
        let (mut oldest, mut newest) = (None::<String>, None::<String>);
        self.ask_all("verificationlog", &sql, &mut parameters, |rows| {
            for row in rows {
                for (sum, cell) in sums.iter_mut().zip(&row) {
                    *sum += cell.as_i64().unwrap_or(0);
                }
                let text = |index: usize| row.get(index)?.as_str().map(str::to_owned);
                oldest = oldest.take().into_iter().chain(text(4)).min();
                newest = newest.take().into_iter().chain(text(5)).max();
            }
        })?;
        let row = vec![
            json!(sums[0]),
            json!(sums[1]),
            first,
            last,
            json!(sums[2]),
            json!(sums[3]),
            json!(oldest),
            json!(newest),
        ];
        let obtained = self.obtained(&sql, &parameters, true, 1);
        Ok(Answer {
            rows: vec![row],
            obtained,
        })
    }

    /// Day, entries, verified claims.
    fn days(&mut self) -> Known<Answer> {
        let sql = format!(
            "SELECT {}, count(*), count(*) FILTER (WHERE is_verified) FROM verificationlog WHERE organization_id = $1 \
             AND timestamp >= {} AND timestamp < {} AND id >= $4 AND id <= $5 GROUP BY 1 ORDER BY 1",
            self.day("timestamp"),
            self.moment(2),
            self.moment(3)
        );
        self.summed("verificationlog", &sql, 1)
    }

    /// User, entries.
    fn activity(&mut self) -> Known<Answer> {
        let sql = format!(
            "SELECT CAST(user_id AS BIGINT), count(*) FROM verificationlog WHERE organization_id = $1 AND user_id IS NOT NULL \
             AND timestamp >= {} AND timestamp < {} AND id >= $4 AND id <= $5 GROUP BY 1 ORDER BY 1",
            self.moment(2),
            self.moment(3)
        );
        self.summed("verificationlog", &sql, 1)
    }

    /// Type, severity, layer, the week's Monday, events.
    fn events(&mut self) -> Known<Answer> {
        self.expect_table("securityevent")?;
        let sql = format!(
            "SELECT event_type, severity, security_layer, {}, count(*) FROM securityevent WHERE organization_id = $1 \
             AND timestamp >= {} AND timestamp < {} AND id >= $4 AND id <= $5 GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
            self.week("timestamp"),
            self.moment(2),
            self.moment(3)
        );
        self.summed("securityevent", &sql, 4)
    }

    /// Asks in windows; rows that share their first `keys` cells become one, the rest added up.
    fn summed(&mut self, table: &str, sql: &str, keys: usize) -> Known<Answer> {
        let mut parameters = self.bounds();
        // JSON has no order; its text is one for values of a kind, which is all that a table needs.
        let mut sums: BTreeMap<Vec<String>, (Vec<Value>, Vec<i64>)> = BTreeMap::new();
        self.ask_all(table, sql, &mut parameters, |rows| {
            for mut row in rows {
                let values = row.split_off(keys.min(row.len()));
                let key = row.iter().map(ordered).collect();
                let (_, sums) = sums
                    .entry(key)
                    .or_insert_with(|| (row, vec![0; values.len()]));
                for (sum, value) in sums.iter_mut().zip(&values) {
                    *sum += value.as_i64().unwrap_or(0);
                }
            }
        })?;
        let rows: Vec<Vec<Value>> = sums
            .into_values()
            .map(|(keys, sums)| {
                keys.into_iter()
                    .chain(sums.into_iter().map(Value::from))
                    .collect()
            })
            .collect();
        let obtained = self.obtained(sql, &parameters, true, rows.len());
        Ok(Answer { rows, obtained })
    }

    /// Id, role, 1 if active, made at.
    fn users(&mut self) -> Known<Answer> {
        self.expect_table("user")?;
        let sql = format!(
            "SELECT CAST(id AS BIGINT), CAST(role AS {text}), CASE WHEN is_active THEN 1 ELSE 0 END, {} FROM \"user\" \
             WHERE organization_id = $1 ORDER BY id",
            self.micros("created_at"),
            text = "TEXT",
        );
        self.ask(&sql, &[Parameter::Integer(self.organization_id)], false)
    }

    /// Per day, per minute, at the same time.
    fn quota(&mut self) -> Known<Answer> {
        self.expect_table("resourcequota")?;
        let sql = "SELECT CAST(max_requests_per_day AS BIGINT), CAST(max_requests_per_minute AS BIGINT), \
                   CAST(max_concurrent_requests AS BIGINT) FROM resourcequota WHERE organization_id = $1";
        self.ask(sql, &[Parameter::Integer(self.organization_id)], false)
    }
}

/// A text that sorts as the value does among those of its kind.
fn ordered(value: &Value) -> String {
    match value {
        Value::Number(number) => format!("{:020}", number.as_i64().unwrap_or(0)),
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
