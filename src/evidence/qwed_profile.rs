//! Rows as QWED 8.0.0's own exports spell them, byte for byte.
//!
//! QWED does not defuse formulas, so these rows do not either: a query that begins with `=` is a formula to a spreadsheet. Who
//! opens files of this profile in one has to import all columns as text; the profile `full` is safe to open.

use std::borrow::Cow;

use super::line::put_line;
use crate::trail::{
    row::{Row, Value},
    time::Time,
};

/// The columns of an export of the audit trail.
pub const LOG_COLUMNS: [&str; 8] = [
    "ID",
    "Timestamp",
    "User ID",
    "Query",
    "Domain",
    "Is Verified",
    "HMAC Signature",
    "Chain Status",
];

/// The columns of an export of security events.
pub const EVENT_COLUMNS: [&str; 7] = [
    "ID",
    "Timestamp",
    "Event Type",
    "Severity",
    "Security Layer",
    "Reason",
    "Query Preview",
];

/// Characters that QWED shows of a query, of a reason, of an event's query, and of a signature.
const QUERY_CHARS: usize = 100;
const REASON_CHARS: usize = 100;
const PREVIEW_CHARS: usize = 50;
const SIGNATURE_CHARS: usize = 16;

/// What stands for a value that there is not.
const NONE: &str = "N/A";

/// Appends the line of column names of an export of the audit trail.
pub fn put_log_head(out: &mut Vec<u8>) {
    put_line(out, LOG_COLUMNS);
}

/// Appends the line of an entry.
pub fn put_log(out: &mut Vec<u8>, row: &Row<'_>) {
    let signature = text(row.hmac_signature);
    let query = text(row.query);
    let is_verified = if is_true(row.is_verified) {
        "Yes"
    } else {
        "No"
    };
    // That there is a hash, as QWED has it; whether it holds is for a verification to say.
    let chain = if is_true(row.entry_hash) {
        "Chained"
    } else {
        "Legacy"
    };
    let fields: [Cow<'_, str>; 8] = [
        row.id.to_string().into(),
        time(row.timestamp),
        or_none(row.user_id),
        preview(&query, QUERY_CHARS),
        text(row.domain),
        is_verified.into(),
        match is_true(row.hmac_signature) {
            true => format!("{}...", cut(&signature, SIGNATURE_CHARS)).into(),
            false => NONE.into(),
        },
        chain.into(),
    ];
    put_line(out, fields.iter().map(|field| field.as_bytes()));
}

/// A security event, as far as QWED exports it.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the fields are QWED's columns")]
pub struct EventRow<'a> {
    pub id: i64,
    pub timestamp: Time<'a>,
    pub event_type: Value<'a>,
    pub severity: Value<'a>,
    pub security_layer: Value<'a>,
    pub reason: Value<'a>,
    pub query: Value<'a>,
}

/// Appends the line of column names of an export of security events.
pub fn put_event_head(out: &mut Vec<u8>) {
    put_line(out, EVENT_COLUMNS);
}

/// Appends the line of a security event.
pub fn put_event(out: &mut Vec<u8>, event: &EventRow<'_>) {
    let (reason, query) = (text(event.reason), text(event.query));
    let fields: [Cow<'_, str>; 7] = [
        event.id.to_string().into(),
        time(event.timestamp),
        text(event.event_type),
        text(event.severity),
        or_none(event.security_layer),
        cut(&reason, REASON_CHARS).into(),
        preview(&query, PREVIEW_CHARS),
    ];
    put_line(out, fields.iter().map(|field| field.as_bytes()));
}

/// `isoformat()`; what denotes no time stands as it is, where QWED would give up.
fn time(time: Time<'_>) -> Cow<'_, str> {
    let mut iso = Vec::new();
    match time {
        _ if time.write_iso(&mut iso) => {
            iso.extend_from_slice(b"+00:00");
            String::from_utf8_lossy(&iso).into_owned().into()
        }
        Time::Text(text) => String::from_utf8_lossy(text),
        Time::Micros(_) | Time::Invalid => "".into(),
    }
}

/// `value or 'N/A'`.
fn or_none(value: Value<'_>) -> Cow<'_, str> {
    match is_true(value) {
        true => text(value),
        false => NONE.into(),
    }
}

/// What Python takes for true.
fn is_true(value: Value<'_>) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => truth,
        Value::Integer(number) => number != 0,
        Value::Real(number) => number != 0.0,
        Value::Text(bytes) | Value::Blob(bytes) => !bytes.is_empty(),
    }
}

fn text(value: Value<'_>) -> Cow<'_, str> {
    match value {
        Value::Null => "".into(),
        Value::Bool(truth) => if truth { "True" } else { "False" }.into(),
        Value::Integer(number) => number.to_string().into(),
        Value::Real(number) => format!("{number:?}").into(),
        Value::Text(bytes) | Value::Blob(bytes) => String::from_utf8_lossy(bytes),
    }
}

/// `text[:chars]`: Python counts code points.
fn cut(text: &str, chars: usize) -> &str {
    match text.char_indices().nth(chars) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

/// `text[:chars] + '...' if len(text) > chars else text`.
fn preview(text: &str, chars: usize) -> Cow<'_, str> {
    let cut = cut(text, chars);
    if cut.len() == text.len() {
        text.into()
    } else {
        format!("{cut}...").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(change: impl FnOnce(&mut Row<'_>)) -> String {
        let mut row = Row {
            id: 7,
            organization_id: Value::Integer(1),
            user_id: Value::Integer(10),
            query: Value::Text(b"2 + 2"),
            result: Value::Text(b"{}"),
            is_verified: Value::Integer(1),
            domain: Value::Text(b"MATH"),
            timestamp: Time::Text(b"2026-05-08 01:02:03.000000"),
            entry_hash: Value::Text(b"h"),
            hmac_signature: Value::Text(b"0123456789abcdef0123"),
            previous_hash: Value::Null,
            raw_llm_output: Value::Null,
            api_key_id: Value::Null,
            verifier_version: Value::Null,
            admission: Value::Null,
            erased: None,
        };
        change(&mut row);
        let mut out = Vec::new();
        put_log(&mut out, &row);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn an_entry_is_as_qwed_spells_it() {
        assert_eq!(
            line(|_| ()),
            "7,2026-05-08T01:02:03+00:00,10,2 + 2,MATH,Yes,0123456789abcdef...,Chained\r\n"
        );
        let bare = line(|row| {
            row.user_id = Value::Integer(0);
            row.is_verified = Value::Bool(false);
            row.hmac_signature = Value::Text(b"");
            row.entry_hash = Value::Null;
            row.timestamp = Time::Micros(1);
        });
        let expected = "7,1970-01-01T00:00:00.000001+00:00,N/A,2 + 2,MATH,No,N/A,Legacy\r\n";
        assert_eq!(bare, expected);
    }

    #[test]
    fn queries_are_cut_by_code_points_and_not_defused() {
        let whole = "=é東😀".repeat(25);
        let shown = line(|row| row.query = Value::Text(b"x"));
        assert!(shown.contains(",x,"));
        for (text, expected) in [
            (whole.clone(), whole.clone()),
            (format!("{whole}!"), format!("{whole}...")),
        ] {
            let mut out = Vec::new();
            let event = EventRow {
                id: 1,
                timestamp: Time::Invalid,
                event_type: Value::Text(b"BLOCKED"),
                severity: Value::Text(b"high"),
                security_layer: Value::Null,
                reason: Value::Text(text.as_bytes()),
                query: Value::Text(b"q"),
            };
            put_event(&mut out, &event);
            let line = String::from_utf8(out).expect("UTF-8");
            assert_eq!(line, format!("1,,BLOCKED,high,N/A,{whole},q\r\n"));
            assert_eq!(preview(&text, 100), expected);
        }
    }
}
