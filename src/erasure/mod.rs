//! Floor 2: erasure of data subjects (GDPR Art. 17), without breaking the trail.
//!
//! ```text
//! request ─▶ received ─▶ planned ─▶ awaiting approval ─▶ approved ─▶ executing ─▶ completed
//!                                        ▲                  │            │  ▲
//!                                        └── plan changed ──┘            ▼  │
//!                                                                 waiting for head
//! ```
//!
//! A request (`intake`) is about one user of QWED's. Its plan says what would be erased and writes nothing to QWED; an
//! approval is bound to the plan's digest. [`execute`] erases in small transactions, in an order that can be gone on from wherever
//! it was cut off:
//!
//! 1. keys are revoked and the user deactivated, so that nothing new comes;
//! 2. tombstones of some entries are kept in the ledger (our database, one transaction), then these entries are erased (QWED's);
//!    doing either again changes nothing;
//! 3. other tables, each some rows at a time;
//! 4. the subject's keys of the archive are destroyed;
//! 5. the user's row goes last, once no newest entry of the organisation refers to it any more;
//! 6. the certificate, the end of the request and the event about it are one transaction.
//!
//! QWED's newest entry of an organisation is never touched: its server goes by that row. Neither names nor addresses are kept
//! anywhere by us; a subject is found again by a salted hash.

pub mod certificate;
mod deadline;
mod entries;
mod execute;
mod intake;
mod plan;
mod policy;
mod replay;
mod request;
mod signature;
mod signed;
mod steps;
mod tables;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use thiserror::Error;

pub use self::{
    deadline::{EXTENSION_MONTHS, MONTHS, due},
    execute::execute,
    intake::{Asked, Refusal, Taken, refuse, take_in},
    plan::{Plan, plan},
    policy::{Override, Policy},
    replay::{Replayed, replay},
    request::{Options, Request, State},
    signature::{MAX_AGE_SECONDS, Signed, signed_bytes, verify_signature},
    steps::{approve, cancel, certificate_of, extend, warn},
};
use crate::{
    anchor::{AnchorError, Keys},
    config,
    ledger::{Act, Scribe},
    qwed::{ReadError, erase::EraseError, url::DatabaseUrl},
    state::{StateError, Store, jobs::new_id, outbox::Event},
    tombstones::{Graveyard, OpenError},
    trail::keys::KeyRing,
};

/// Why a step of an erasure was not taken.
#[derive(Debug, Error)]
pub enum ErasureError {
    /// Our database failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// QWED's database cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It cannot be written.
    #[error(transparent)]
    Erase(#[from] EraseError),
    /// Entries could not be anchored before they were erased.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// There is no such request.
    #[error("there is no request {0}; \"trailkeeper erase list\" names them all")]
    Unknown(String),
    /// The request is not where this step could be taken.
    #[error("{0}")]
    Refused(String),
    /// Somebody else changed the request meanwhile.
    #[error("the request was changed by somebody else meanwhile; try again")]
    Conflict,
    /// A legal hold came.
    #[error("a legal hold keeps it")]
    Held,
    /// Stopped on request; what was erased stays so, and the next run goes on.
    #[error("interrupted")]
    Interrupted,
}

impl From<OpenError> for ErasureError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Read(error) => Self::Read(error),
            OpenError::State(error) => Self::State(error),
        }
    }
}

impl ErasureError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::State(error) => error.is_transient(),
            Self::Read(error) => !matches!(error, ReadError::NotQwed { .. }),
            Self::Erase(error) => error.is_transient(),
            Self::Anchor(error) => error.is_transient(),
            Self::Unknown(_) | Self::Refused(_) => false,
            Self::Held | Self::Conflict | Self::Interrupted => true,
        }
    }
}

/// What the steps of erasures work with.
#[derive(Debug, Clone)]
pub struct Office {
    /// Our database.
    pub store: Store,
    /// QWED's.
    pub qwed: DatabaseUrl,
    /// The same under a role that may erase.
    pub erase: DatabaseUrl,
    /// Signs tombstones and certificates.
    pub keys: Keys,
    /// Whose trails they are.
    pub origin: String,
    /// Keys that may have signed entries.
    pub ring: Arc<KeyRing>,
    /// How erasures are configured.
    pub settings: config::Erasure,
    /// Who acts: a job, or a command and who ran it.
    pub actor: String,
    /// The time.
    pub now: Timestamp,
}

impl Office {
    fn graveyard(&self) -> Graveyard {
        Graveyard {
            store: self.store.clone(),
            origin: self.origin.clone(),
            keys: self.keys.verifiers.clone(),
        }
    }

    fn scribe(&self) -> Scribe<'_> {
        Scribe {
            origin: &self.origin,
            key: &self.keys.signer,
            actor: &self.actor,
            now: self.now,
        }
    }

    /// Keeps what a request has become, together with entries of the ledger and events. Answers the entries' numbers; the request
    /// is ready for the next change.
    async fn save(
        &self,
        request: &mut Request,
        write: &'static str,
        acts: Vec<(Act, Value)>,
        events: &[Event],
    ) -> Result<Vec<i64>, ErasureError> {
        let mut tx = self.store.begin().await?;
        let mut numbers = Vec::with_capacity(acts.len());
        for (act, detail) in acts {
            let number = self.scribe().append(&mut tx, act, detail).await?;
            // Where to find what is signed is part of what requests remember.
            request.progress.note(act, number);
            numbers.push(number);
        }
        let row = request.to_row();
        if !tx.update_erasure(&row).await? {
            tx.rollback().await?;
            return Err(ErasureError::Conflict);
        }
        for event in events {
            tx.publish(event).await?;
        }
        tx.commit(write).await?;
        request.version += 1;
        Ok(numbers)
    }

    /// The request with this id.
    ///
    /// # Errors
    /// If there is none, or the database fails.
    pub async fn request(&self, id: &str) -> Result<Request, ErasureError> {
        let row = self.store.erasure(id).await?;
        let row = row.ok_or_else(|| ErasureError::Unknown(id.to_owned()))?;
        Ok(Request::read(row)?)
    }
}

/// An event about a request.
fn event(kind: &str, request: &Request, data: Value) -> Event {
    let mut all = json!({
        "request": request.id,
        "reference": request.reference,
        "organization_id": request.organization_id,
        "subject": request.subject_ref,
        "state": request.state,
    });
    if let (Some(all), Value::Object(data)) = (all.as_object_mut(), data) {
        all.extend(data);
    }
    Event {
        id: new_id(),
        event_type: format!("erasure.{kind}"),
        subject: Some(format!("erasure/{}", request.id)),
        data: all,
    }
}
