//! A record as a row of QWED's trail: what is hashed and signed.
//!
//! | column of the trail | of a consent |
//! |---|---|
//! | `organization_id`, `user_id` | the organisation; the user, if the subject is given as one |
//! | `query` | the statement as compact JSON, its keys sorted |
//! | `result` | the [`Note`] as JSON |
//! | `is_verified` | true if granted |
//! | `domain` | `consent` |
//! | `timestamp` | when it was recorded |
//! | `admission` | `granted` or `withdrawn` |
//! | `verifier_version` | [`FORMAT`] |
//! | `raw_llm_output`, `api_key_id` | NULL |
//!
//! `admission` is never NULL, so that QWED's rules accept the newest shape of the payload alone.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::statement::{Rejection, Statement, Status};
use crate::{
    state::consents::{ConsentEnd, ConsentRow},
    trail::{
        hash::to_hex,
        keys::Key,
        payload::{Form, PayloadHasher, Shape, Spelling},
        row::{Row, Value},
        time::Time,
    },
};

/// The format that this program writes and reads.
pub const FORMAT: &str = "trailkeeper consent 1";
const DOMAIN: &str = "consent";
const FORM: Form = Form {
    shape: Shape::A,
    spelling: Spelling::Aware,
};

/// What is noted about a statement when it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// Who recorded it: a job, or a command and who ran it.
    pub recorded_by: String,
    /// The record's place in the chain, from 1.
    pub sequence: i64,
    /// Whether it withdraws what was not granted, as far as this ledger knows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_grant: bool,
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// What was said.
    #[serde(flatten)]
    pub statement: Statement,
    /// What was noted about it.
    #[serde(flatten)]
    pub note: Note,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// What it hashes to.
    pub entry_hash: String,
    /// What the record before hashes to.
    pub previous_hash: Option<String>,
    /// The signature of its hash.
    pub hmac_signature: String,
}

impl Record {
    /// When it was said.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        let said_at = self.statement.said_at();
        said_at.ok().flatten().unwrap_or(self.recorded_at)
    }

    /// Reads a row, whose columns all have to say the same.
    ///
    /// # Errors
    /// In what they differ, in words.
    pub fn read(row: &ConsentRow) -> Result<Self, String> {
        let statement: Statement = serde_json::from_str(&row.query)
            .map_err(|_| "what was said cannot be read".to_owned())?;
        let note: Note = serde_json::from_str(&row.result)
            .map_err(|_| "what was noted about it cannot be read".to_owned())?;
        let subject = statement.who();
        let subject = subject.map_err(|_| "it does not say whose consent it is".to_owned())?;
        let (kind, name) = subject.key();
        let columns = [
            (row.verifier_version == FORMAT, "verifier_version"),
            (
                row.organization_id == statement.organization_id,
                "organization_id",
            ),
            (row.sequence == note.sequence, "sequence"),
            (row.record_id == statement.record_id, "record_id"),
            (row.subject_kind == kind, "subject_kind"),
            (row.subject == name, "subject"),
            (row.user_id == subject.user(), "user_id"),
            (row.status == statement.status.name(), "status"),
        ];
        if let Some((_, column)) = columns.iter().find(|(is_same, _)| !is_same) {
            return Err(format!("its column {column} is not what was signed"));
        }
        let recorded_at = Timestamp::from_microsecond(row.recorded_at);
        Ok(Self {
            statement,
            note,
            recorded_at: recorded_at.map_err(|_| "its time is none".to_owned())?,
            entry_hash: row.entry_hash.clone(),
            previous_hash: row.previous_hash.clone(),
            hmac_signature: row.hmac_signature.clone(),
        })
    }
}

/// The row of the trail that a record maps onto.
pub(super) fn trail_row(row: &ConsentRow) -> Row<'_> {
    fn text(text: &str) -> Value<'_> {
        Value::Text(text.as_bytes())
    }
    Row {
        id: row.sequence,
        organization_id: Value::Integer(row.organization_id),
        user_id: row.user_id.map_or(Value::Null, Value::Integer),
        query: text(&row.query),
        result: text(&row.result),
        is_verified: Value::Bool(row.status == Status::Granted.name()),
        domain: text(DOMAIN),
        timestamp: Time::Micros(row.recorded_at),
        entry_hash: text(&row.entry_hash),
        hmac_signature: text(&row.hmac_signature),
        previous_hash: row.previous_hash.as_deref().map_or(Value::Null, text),
        raw_llm_output: Value::Null,
        api_key_id: Value::Null,
        verifier_version: text(&row.verifier_version),
        admission: text(&row.status),
        erased: None,
    }
}

/// What was said, as it is stored. Equal statements are equal texts: serde_json sorts the keys.
pub(super) fn said(statement: &Statement) -> Result<String, Rejection> {
    let value = serde_json::to_value(statement);
    let value = value.map_err(|error| Rejection::Invalid(error.to_string()))?;
    Ok(value.to_string())
}

/// The row that records a statement behind the end of its chain, hashed and signed.
pub(super) fn next(
    statement: &Statement,
    note: &Note,
    end: Option<ConsentEnd>,
    now: Timestamp,
    key: &Key,
) -> Result<ConsentRow, Rejection> {
    let refuse = |problem: String| Rejection::Invalid(problem);
    let subject = statement.who()?;
    let (kind, name) = subject.key();
    let result = serde_json::to_value(note).map_err(|error| refuse(error.to_string()))?;
    let mut row = ConsentRow {
        organization_id: statement.organization_id,
        sequence: note.sequence,
        record_id: statement.record_id.clone(),
        subject_kind: kind.to_owned(),
        subject: name,
        user_id: subject.user(),
        status: statement.status.name().to_owned(),
        recorded_at: now.as_microsecond(),
        query: said(statement)?,
        result: result.to_string(),
        verifier_version: FORMAT.to_owned(),
        previous_hash: end.map(|end| end.entry_hash),
        entry_hash: String::new(),
        hmac_signature: String::new(),
    };
    let mut hasher = PayloadHasher::default();
    let trail_row = trail_row(&row);
    let hash = hasher.load(&trail_row);
    let hash = hash.and_then(|()| hasher.hash(&trail_row, FORM));
    let hash = to_hex(&hash.map_err(|error| refuse(error.to_string()))?);
    row.hmac_signature = text(&key.sign(&hash));
    row.entry_hash = text(&hash);
    Ok(row)
}

fn text(hex: &[u8]) -> String {
    String::from_utf8_lossy(hex).into_owned()
}
