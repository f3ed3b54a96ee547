//! The security events of one organisation as CSV.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use super::{
    Asked, EvidenceError, Profile, Within,
    full_profile::{table_cell, time},
    line::{Line, put_line},
    manifest::{Summed, Written},
    newest_first::NewestFirst,
    qwed_profile::{EVENT_COLUMNS, EventRow, put_event, put_event_head},
};
use crate::{
    objects::Digest,
    progress::Progress,
    qwed::{
        Dialect,
        tables::{Cell, Part, Record, Tables},
        url::DatabaseUrl,
    },
    trail::{
        row::Value,
        time::{Time, parse_utc},
    },
};

const TABLE: &str = "securityevent";

/// Writes security events. Blocking.
///
/// # Errors
/// If there is no such organisation, the database cannot be read, or `out` fails.
pub fn write_events(
    out: &mut impl Write,
    url: &DatabaseUrl,
    asked: &Asked,
    scratch: &Path,
    progress: &Progress,
) -> Result<Written, EvidenceError> {
    let mut tables = Tables::open(url, &[TABLE, "organization"])?;
    let part = Part::Organization(Some(asked.organization_id));
    let names = tables.schemas().iter().find(|it| it.name == TABLE);
    let schema = names.cloned();
    let names: Vec<String> = schema
        .iter()
        .flat_map(|it| &it.columns)
        .map(|it| it.name.clone())
        .collect();
    let table = Table {
        within: Within::new(asked.period),
        dialect: tables.dialect(),
        time: names.iter().position(|name| name == "timestamp"),
        names,
    };
    let mut out = Summed::new(out);
    let mut lines = Vec::new();
    let mut sorted = NewestFirst::new(scratch);
    match asked.profile {
        Profile::Full => put_line(&mut lines, &table.names),
        Profile::Qwed => put_event_head(&mut lines),
    }
    out.write_all(&lines)?;
    lines.clear();
    let mut rows = 0;
    if let Some(schema) = &schema {
        tables.begin(schema, part, None)?;
        loop {
            if progress.is_stopped() {
                return Err(EvidenceError::Interrupted);
            }
            let page = tables.next_page()?;
            if page.is_empty() {
                break;
            }
            progress.add(page.len() as u64, 0);
            for record in &page {
                let stored = table.time_of(record);
                if !table.within.holds(stored) {
                    continue;
                }
                rows += 1;
                match asked.profile {
                    Profile::Full => table.put(&mut lines, record),
                    Profile::Qwed => {
                        let micros = stored.micros().unwrap_or(i64::MIN);
                        sorted.add(micros, record.id, |out| {
                            put_event(out, &table.event(record, stored));
                        });
                    }
                }
            }
            out.write_all(&lines)?;
            lines.clear();
            sorted.settle()?;
        }
    }
    if rows == 0 {
        known(&mut tables, asked.organization_id)?;
    }
    sorted.finish(&mut out)?;
    out.flush()?;
    let (size_bytes, sha256): (u64, Digest) = out.sum();
    Ok(Written {
        rows,
        verdicts: BTreeMap::new(),
        erased: 0,
        anchor: None,
        size_bytes,
        sha256,
        columns: match asked.profile {
            Profile::Full => table.names,
            Profile::Qwed => EVENT_COLUMNS.map(str::to_owned).to_vec(),
        },
    })
}

/// Whether there is the organisation, although it has no events.
fn known(tables: &mut Tables, id: i64) -> Result<(), EvidenceError> {
    let schemas = tables.schemas().iter();
    let Some(schema) = schemas
        .clone()
        .find(|it| it.name == "organization")
        .cloned()
    else {
        return Ok(());
    };
    tables.begin(&schema, Part::Holding("id", id), None)?;
    match tables.next_page()?.is_empty() {
        true => Err(EvidenceError::NoOrganization(id)),
        false => Ok(()),
    }
}

struct Table {
    within: Within,
    dialect: Dialect,
    names: Vec<String>,
    time: Option<usize>,
}

impl Table {
    /// When an event happened. PostgreSQL's times come as text, and are compared as times.
    fn time_of<'r>(&self, record: &'r Record) -> Time<'r> {
        match self.time.and_then(|at| record.cells.get(at)) {
            Some(Cell::Text(text)) if self.dialect == Dialect::Postgresql => {
                let parsed = std::str::from_utf8(text).ok().and_then(parse_utc);
                let offset = jiff::tz::Offset::UTC;
                let time = parsed.and_then(|civil| offset.to_timestamp(civil).ok());
                time.map_or(Time::Invalid, |time| Time::Micros(time.as_microsecond()))
            }
            Some(Cell::Text(text)) => Time::Text(text),
            _ => Time::Invalid,
        }
    }

    fn put(&self, out: &mut Vec<u8>, record: &Record) {
        let mut line = Line::new(out);
        for (index, cell) in record.cells.iter().enumerate() {
            match self.time_of(record) {
                Time::Invalid => line.put(table_cell(cell).as_bytes()),
                stored if Some(index) == self.time => line.put(time(stored).as_bytes()),
                _ => line.put(table_cell(cell).as_bytes()),
            }
        }
        line.end();
    }

    fn event<'r>(&self, record: &'r Record, timestamp: Time<'r>) -> EventRow<'r> {
        let value = |name: &str| {
            let at = self.names.iter().position(|it| it == name);
            match at.and_then(|at| record.cells.get(at)) {
                None | Some(Cell::Null) => Value::Null,
                Some(Cell::Bool(truth)) => Value::Bool(*truth),
                Some(Cell::Integer(number)) => Value::Integer(*number),
                Some(Cell::Real(number)) => Value::Real(*number),
                Some(Cell::Text(text)) => Value::Text(text),
                Some(Cell::Blob(bytes)) => Value::Blob(bytes),
            }
        };
        EventRow {
            id: record.id,
            timestamp,
            event_type: value("event_type"),
            severity: value("severity"),
            security_layer: value("security_layer"),
            reason: value("reason"),
            query: value("query"),
        }
    }
}
