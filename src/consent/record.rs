//! Recording: the one place that appends to a chain.

use jiff::Timestamp;
use serde_json::json;
use thiserror::Error;

use super::{
    row::{Note, Record, next, said},
    standing::takes_back,
    statement::{Rejection, Statement, Status},
};
use crate::{
    ledger::{Act, Scribe},
    state::{
        StateError, Store, Tx,
        consents::ConsentRow,
        jobs::{NewJob, new_id},
        outbox::Event,
    },
    trail::keys::{Key, KeyRing},
};

/// Why a statement was not recorded.
#[derive(Debug, Error)]
pub enum RecordError {
    /// It cannot be.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// No key of the ring may sign now.
    #[error(
        "no key may sign now: a record is signed as the trail is, so give the key of the trail"
    )]
    NoKey,
    /// Our database failed, or holds what nobody signed.
    #[error(transparent)]
    State(#[from] StateError),
}

/// A record, and whether it is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The record.
    pub record: Record,
    /// Whether this call added it.
    pub is_new: bool,
}

/// Who records, and how records are signed.
#[derive(Debug, Clone, Copy)]
pub struct Recorder<'a> {
    /// The keys of the trail. The first that may sign now signs.
    pub ring: &'a KeyRing,
    /// Who records.
    pub actor: &'a str,
    /// The time.
    pub now: Timestamp,
    /// Adds the chain's new end to the ledger; none where there is no key that signs entries.
    pub scribe: Option<&'a Scribe<'a>>,
    /// Queued with the record, if it is to be forwarded.
    pub forward: Option<&'a NewJob>,
}

impl Recorder<'_> {
    /// Records a statement, or finds the record that it is already.
    ///
    /// Everything is one transaction: the record, the ledger's entry about the chain's end, the event, the job that forwards. After an
    /// answer that was lost the same call finds the record and adds nothing.
    ///
    /// # Errors
    /// If it cannot be recorded, no key can sign it, or the database fails.
    pub async fn record(
        &self,
        store: &Store,
        statement: &Statement,
    ) -> Result<Recorded, RecordError> {
        // PostgreSQL cannot even be asked for it, and no record is called that.
        if statement.record_id.contains('\0') {
            statement.check(self.now)?;
        }
        let mut tx = store.begin().await?;
        tx.lock_consents().await?;
        let organization = statement.organization_id;
        // First, as what was recorded once may not be acceptable any more.
        if let Some(row) = tx.consent_named(organization, &statement.record_id).await? {
            tx.rollback().await?;
            if row.query != said(statement)? {
                return Err(Rejection::OtherContent.into());
            }
            return Ok(Recorded {
                record: read(&row)?,
                is_new: false,
            });
        }
        statement.check(self.now)?;
        let end = tx.consent_end(organization).await?;
        let last = end.as_ref().map_or(0, |end| end.sequence);
        let note = Note {
            recorded_by: self.actor.to_owned(),
            sequence: last.checked_add(1).ok_or_else(|| {
                StateError::Corrupt("a consent record with the last number there is".to_owned())
            })?,
            without_grant: statement.status == Status::Withdrawn
                && !is_granted(&mut tx, statement).await?,
        };
        let row = next(statement, &note, end, self.now, self.key()?)?;
        tx.insert_consent(&row).await?;
        if let Some(scribe) = self.scribe {
            let head = json!({
                "organization_id": organization,
                "records": row.sequence,
                "head_hash": row.entry_hash,
            });
            scribe.append(&mut tx, Act::ConsentHead, head).await?;
        }
        let record = read(&row)?;
        tx.publish(&event(&record)).await?;
        if let Some(job) = self.forward {
            tx.insert_jobs(std::slice::from_ref(job)).await?;
        }
        tx.commit("consent").await?;
        Ok(Recorded {
            record,
            is_new: true,
        })
    }

    fn key(&self) -> Result<&Key, RecordError> {
        let now = Some(self.now.as_microsecond());
        let mut keys = self.ring.keys().iter();
        keys.find(|key| key.may_sign_at(now))
            .ok_or(RecordError::NoKey)
    }
}

/// Whether there is something granted that this withdrawal takes back.
async fn is_granted(tx: &mut Tx, statement: &Statement) -> Result<bool, RecordError> {
    let (kind, name) = statement.who()?.key();
    let rows = tx
        .consents_of(statement.organization_id, kind, &name)
        .await?;
    // One that cannot be read is for whoever verifies; a withdrawal is accepted all the same.
    let records: Vec<Record> = rows
        .iter()
        .filter_map(|row| Record::read(row).ok())
        .collect();
    Ok(takes_back(&records, &statement.purposes))
}

fn read(row: &ConsentRow) -> Result<Record, StateError> {
    Record::read(row).map_err(|problem| {
        let ConsentRow {
            organization_id,
            sequence,
            ..
        } = row;
        StateError::Corrupt(format!(
            "consent record {sequence} of organisation {organization_id}, and {problem}"
        ))
    })
}

/// What others are told: that there is a record, and nothing of whose it is.
fn event(record: &Record) -> Event {
    let statement = &record.statement;
    Event {
        id: new_id(),
        event_type: "consent.recorded".to_owned(),
        subject: Some(format!("organization/{}", statement.organization_id)),
        data: json!({
            "organization_id": statement.organization_id,
            "record_id": statement.record_id,
            "sequence": record.note.sequence,
            "status": statement.status,
            "purposes": statement.purposes,
            "time": record.at(),
            "entry_hash": record.entry_hash,
            "without_grant": record.note.without_grant,
        }),
    }
}
