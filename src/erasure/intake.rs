//! Taking in a request: who it is about, and whether it can be followed at all.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::json;

use super::{
    ErasureError, Office,
    deadline::{MONTHS, due},
    event,
    policy::{Override, Policy},
    request::{Options, Progress, Request, State},
};
use crate::{
    ledger::Act,
    qwed::subject::{self, Found, Subject, Wanted, parse_email},
    state::{StateError, Tx, jobs::new_id, outbox::Event},
    trail::hash::to_hex,
};

/// By how much whoever asks may be ahead of our clock.
const CLOCKS: SignedDuration = SignedDuration::from_secs(300);

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The subject's organisation.
    pub organization_id: i64,
    /// The subject's id; or its address, as it was typed.
    pub user: Result<i64, String>,
    /// As whoever asks numbers it.
    pub reference: Option<String>,
    /// When it was made; now where nothing else is known.
    pub requested_at: Option<Timestamp>,
    /// Why.
    pub reason: Option<String>,
    /// Who asks.
    pub requester: String,
    /// What is to be done otherwise than configured.
    pub policy: Override,
    /// What is allowed beforehand; a producer only if its signature was verified.
    pub options: Options,
    /// An organisation that is not in use is fine.
    pub allow_inactive: bool,
    /// The signature, so that it counts once.
    pub signature: Option<String>,
    /// The job or command that takes it in.
    pub source: String,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Taken {
    /// A request of its own.
    New(Box<Request>),
    /// There is one about the subject that is not ended yet.
    Known(Box<Request>),
    /// The subject was erased before.
    Done(Box<Request>),
    /// It cannot be followed.
    Refused(Refusal),
}

/// Why a request cannot be followed. That a subject belongs to another organisation is not told from that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The address is of no form that addresses have.
    MalformedEmail,
    /// No user, or one of another organisation.
    UnknownSubject,
    /// The address is that of several users, which differ in case.
    SeveralSubjects,
    /// The organisation would be left without an owner.
    OnlyOwner,
    /// The organisation is not in use.
    OrganizationInactive,
    /// It was made in the future.
    TimeInFuture,
    /// It had to be signed, and is not.
    Unsigned,
    /// No producer that is known signed it as it is.
    BadSignature,
    /// It was signed too long ago, or in the future.
    StaleSignature,
    /// The same signed request was taken in before.
    Replayed,
}

impl Refusal {
    /// As events and the ledger name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MalformedEmail => "malformed_email",
            Self::UnknownSubject => "unknown_subject",
            Self::SeveralSubjects => "several_subjects",
            Self::OnlyOwner => "only_owner",
            Self::OrganizationInactive => "organization_inactive",
            Self::TimeInFuture => "time_in_future",
            Self::Unsigned => "unsigned",
            Self::BadSignature => "bad_signature",
            Self::StaleSignature => "stale_signature",
            Self::Replayed => "replayed",
        }
    }

    /// What it means, and what to do.
    #[must_use]
    pub fn explain(self) -> &'static str {
        match self {
            Self::MalformedEmail => "the e-mail address is not of the form name@domain",
            Self::UnknownSubject => "the organisation has no such user",
            Self::SeveralSubjects => {
                "several users of the organisation have this e-mail address but for the case of letters: name one by its id"
            }
            Self::OnlyOwner => {
                "the user is the organisation's only active owner: make somebody else an owner, or allow it (--allow-only-owner)"
            }
            Self::OrganizationInactive => {
                "the organisation is not active: if it is meant all the same, allow it (--allow-inactive)"
            }
            Self::TimeInFuture => "requested_at lies in the future",
            Self::Unsigned => {
                "requests have to be signed by a producer (erasure.approval), and this one is not"
            }
            Self::BadSignature => "no producer that is known signed this request as it is",
            Self::StaleSignature => {
                "it was signed more than five minutes before it came, or in the future"
            }
            Self::Replayed => "the same signed request was taken in before",
        }
    }
}

/// Takes in a request. Asking again for what is under way, or done, answers with that.
///
/// # Errors
/// If a database fails. What cannot be followed is [`Taken::Refused`], about which nothing is kept yet ([`refuse`]).
pub async fn take_in(office: &Office, asked: Asked) -> Result<Taken, ErasureError> {
    if let Some(signature) = &asked.signature
        && let Some(row) = office.store.erasure_signed(signature).await?
    {
        // The same job may come here again after a crash.
        return Ok(if row.source == asked.source {
            Taken::Known(Box::new(Request::read(row)?))
        } else {
            Taken::Refused(Refusal::Replayed)
        });
    }
    let requested_at = asked.requested_at.unwrap_or(office.now);
    if requested_at > office.now + CLOCKS {
        return Ok(Taken::Refused(Refusal::TimeInFuture));
    }
    let wanted = match &asked.user {
        Ok(id) => Wanted::User(*id),
        Err(text) => match parse_email(text) {
            Ok(email) => Wanted::Email(email.to_owned()),
            Err(_) => return Ok(Taken::Refused(Refusal::MalformedEmail)),
        },
    };
    let subject = match find(office, asked.organization_id, wanted.clone()).await? {
        Found::One(subject) => subject,
        Found::Several(_) => return Ok(Taken::Refused(Refusal::SeveralSubjects)),
        Found::Unknown => return erased_before(office, asked.organization_id, &wanted).await,
    };
    let known = office
        .store
        .erasure_of_user(subject.organization_id, subject.user_id)
        .await?;
    // A user who was erased and is there again is another one, or one that a restore brought back.
    if let Some(row) = known {
        let request = Request::read(row)?;
        if !request.state.has_ended() {
            return Ok(Taken::Known(Box::new(request)));
        }
    }
    if !subject.organization_is_active && !asked.allow_inactive {
        return Ok(Taken::Refused(Refusal::OrganizationInactive));
    }
    if subject.is_only_owner && !asked.options.allow_only_owner {
        return Ok(Taken::Refused(Refusal::OnlyOwner));
    }
    let mut request = new_request(office, asked, &subject, requested_at).await?;
    match keep(office, &mut request).await {
        Ok(()) => Ok(Taken::New(Box::new(request))),
        // Another worker may have taken in the same a moment before.
        Err(error) => match office
            .store
            .erasure_of_user(subject.organization_id, subject.user_id)
            .await?
        {
            Some(row) if !Request::read(row.clone())?.state.has_ended() => {
                Ok(Taken::Known(Box::new(Request::read(row)?)))
            }
            _ => Err(error),
        },
    }
}

async fn find(
    office: &Office,
    organization_id: i64,
    wanted: Wanted,
) -> Result<Found, ErasureError> {
    let url = office.qwed.clone();
    let found =
        tokio::task::spawn_blocking(move || subject::find(&url, organization_id, &wanted)).await;
    Ok(found.map_err(|error| ErasureError::Refused(error.to_string()))??)
}

/// A subject that QWED does not know any more may be one that was erased.
async fn erased_before(
    office: &Office,
    organization_id: i64,
    wanted: &Wanted,
) -> Result<Taken, ErasureError> {
    let row = match wanted {
        Wanted::User(id) => office.store.erasure_of_user(organization_id, *id).await?,
        Wanted::Email(email) => {
            let subject_ref = reference(office, organization_id, email).await?;
            let store = &office.store;
            store
                .completed_erasure(organization_id, &subject_ref)
                .await?
        }
    };
    let request = row.map(Request::read).transpose()?;
    Ok(match request {
        Some(request) if request.state == State::Completed => Taken::Done(Box::new(request)),
        // Its user is gone, and something else is left to be done.
        Some(request) if !request.state.has_ended() => Taken::Known(Box::new(request)),
        _ => Taken::Refused(Refusal::UnknownSubject),
    })
}

/// A subject's pseudonym: HMAC-SHA256, keyed with a salt that our database alone has, of the organisation and the address without
/// regard to case.
pub(super) async fn reference(
    office: &Office,
    organization_id: i64,
    email: &str,
) -> Result<String, ErasureError> {
    let mut new = [0; 32];
    getrandom::fill(&mut new).map_err(|error| ErasureError::Refused(error.to_string()))?;
    let new = String::from_utf8_lossy(&to_hex(&new)).into_owned();
    let salt = office.store.erasure_salt(&new).await?;
    let key = crate::trail::keys::Key::new("salt", salt.as_bytes());
    let text = format!(
        "organization/{organization_id}/{}",
        email.trim().to_lowercase()
    );
    Ok(String::from_utf8_lossy(&key.sign(text.as_bytes())).into_owned())
}

async fn new_request(
    office: &Office,
    asked: Asked,
    subject: &Subject,
    requested_at: Timestamp,
) -> Result<Request, ErasureError> {
    let email = subject.email.clone().unwrap_or_default();
    Ok(Request {
        id: new_id(),
        version: 1,
        state: State::Received,
        note: None,
        organization_id: subject.organization_id,
        user_id: subject.user_id,
        subject_ref: reference(office, subject.organization_id, &email).await?,
        reference: asked.reference,
        requester: asked.requester,
        reason: asked.reason,
        source: asked.source,
        signature: asked.signature,
        requested_at,
        received_at: office.now,
        due_at: due(requested_at, MONTHS),
        extension: None,
        policy: Policy::new(&office.settings, asked.policy),
        options: asked.options,
        plan: None,
        plan_digest: None,
        approved_by: None,
        approved_at: None,
        approved_digest: None,
        progress: Progress::default(),
        certificate: None,
        completed_at: None,
        warned_at: None,
    })
}

async fn keep(office: &Office, request: &mut Request) -> Result<(), ErasureError> {
    let mut tx = office.store.begin().await?;
    let detail = json!({
        "request": request.id,
        "reference": request.reference,
        "organization_id": request.organization_id,
        "user_id": request.user_id,
        "subject": request.subject_ref,
        "requester": request.requester,
        "requested_at": request.requested_at,
        "due_at": request.due_at,
        "policy": request.policy,
        "producer": request.options.producer,
    });
    let act = Act::ErasureRequested;
    let number = office.scribe().append(&mut tx, act, detail).await?;
    request.progress.note(act, number);
    tx.insert_erasure(&request.to_row()).await?;
    let due = json!({"due_at": request.due_at});
    tx.publish(&event("received", request, due)).await?;
    tx.commit("erasure request").await?;
    Ok(())
}

/// Records in the transaction of somebody else that a request was turned down, and answers the event about it.
///
/// # Errors
/// If the database fails.
pub async fn refuse(
    office: &Office,
    tx: &mut Tx,
    organization_id: i64,
    reference: Option<&str>,
    refusal: Refusal,
) -> Result<Event, StateError> {
    let detail = json!({
        "organization_id": organization_id,
        "reference": reference,
        "reason": refusal.name(),
        "detail": refusal.explain(),
    });
    let scribe = office.scribe();
    scribe
        .append(tx, Act::ErasureRejected, detail.clone())
        .await?;
    Ok(Event {
        id: new_id(),
        event_type: "erasure.rejected".to_owned(),
        subject: reference.map(|reference| format!("erasure/{reference}")),
        data: detail,
    })
}
