//! What people do with a request: approve, take back, prolong; and what time does.

use jiff::SignedDuration;
use serde_json::json;

use super::{
    ErasureError, Office,
    deadline::{EXTENSION_MONTHS, MONTHS, due},
    event,
    request::{Request, State},
};
use crate::ledger::Act;

/// Characters that a reason may have.
const MAX_REASON_CHARS: usize = 1000;

/// Approves the plan with this digest.
///
/// # Errors
/// If the request waits for no approval, or its plan is another by now.
pub async fn approve(
    office: &Office,
    request: &mut Request,
    digest: &str,
    allow_large: bool,
) -> Result<(), ErasureError> {
    let refused = |why: String| Err(ErasureError::Refused(why));
    let Some(planned) = request.plan_digest.clone() else {
        return refused(
            "the request has no plan yet; \"trailkeeper erase plan\" makes one".to_owned(),
        );
    };
    if !matches!(
        request.state,
        State::AwaitingApproval | State::OnHold | State::Approved
    ) {
        return refused(format!(
            "the request is {}: there is nothing to approve",
            request.state
        ));
    }
    let is_plan = digest.len() >= 12 && planned.starts_with(&digest.to_ascii_lowercase());
    if !is_plan {
        return refused(format!(
            "the plan is {planned} now, and not the one that is approved: look at it again (trailkeeper erase plan {})",
            request.id
        ));
    }
    // Who approved it first stays who approved it.
    if request.state != State::AwaitingApproval
        && request.approved_digest.as_ref() == Some(&planned)
    {
        let by = request.approved_by.as_deref().unwrap_or("somebody");
        return refused(format!("this plan was approved already, by {by}"));
    }
    let too_large = request
        .plan
        .as_ref()
        .and_then(|plan| plan.too_large.clone());
    if let Some(too_large) = too_large
        && !allow_large
        && !request.options.allow_large
    {
        return refused(too_large);
    }
    request.options.allow_large |= allow_large;
    request.approved_by = Some(office.actor.clone());
    request.approved_at = Some(office.now);
    request.approved_digest = Some(planned.clone());
    // A hold stays what it is; the approval counts when it is released.
    if request.state != State::OnHold {
        (request.state, request.note) = (State::Approved, None);
    }
    let detail = json!({"request": request.id, "plan": planned, "by": office.actor});
    let acts = vec![(Act::ErasureApproved, detail.clone())];
    let events = [event("approved", request, detail)];
    office
        .save(request, "erasure approval", acts, &events)
        .await?;
    Ok(())
}

/// Takes a request back.
///
/// # Errors
/// If something was erased already, or the request has ended.
pub async fn cancel(
    office: &Office,
    request: &mut Request,
    reason: &str,
) -> Result<(), ErasureError> {
    let reason = reason_of(reason)?;
    if request.state.has_begun() || request.state.has_ended() {
        return Err(ErasureError::Refused(format!(
            "the request is {}: it cannot be taken back",
            request.state
        )));
    }
    (request.state, request.note) = (State::Cancelled, Some(reason.clone()));
    let detail = json!({"request": request.id, "reason": reason});
    let acts = vec![(Act::ErasureCancelled, detail.clone())];
    let events = [event("cancelled", request, detail)];
    office
        .save(request, "erasure cancellation", acts, &events)
        .await?;
    Ok(())
}

/// Gives a request two more months, once.
///
/// # Errors
/// If that was done before, or the request has ended.
pub async fn extend(
    office: &Office,
    request: &mut Request,
    reason: &str,
) -> Result<(), ErasureError> {
    let reason = reason_of(reason)?;
    if request.state.has_ended() {
        return Err(ErasureError::Refused(format!(
            "the request is {}",
            request.state
        )));
    }
    if request.extension.is_some() {
        return Err(ErasureError::Refused(
            "the request was given two more months already, and Art. 12(3) knows no more"
                .to_owned(),
        ));
    }
    request.due_at = due(request.requested_at, MONTHS + EXTENSION_MONTHS);
    request.extension = Some(reason.clone());
    request.warned_at = None;
    let detail = json!({"request": request.id, "reason": reason, "due_at": request.due_at});
    let acts = vec![(Act::ErasureExtended, detail.clone())];
    let events = [event("extended", request, detail)];
    office
        .save(request, "erasure extension", acts, &events)
        .await?;
    Ok(())
}

/// Tells that time runs out, once for each deadline. Answers whether it did.
///
/// # Errors
/// If the database fails.
pub async fn warn(office: &Office, request: &mut Request) -> Result<bool, ErasureError> {
    let days = i64::from(office.settings.warn_days);
    let from = request.due_at - SignedDuration::from_hours(24 * days);
    if request.state.has_ended() || request.warned_at.is_some() || office.now < from {
        return Ok(false);
    }
    request.warned_at = Some(office.now);
    let is_over: bool = office.now > request.due_at;
    let detail = json!({"due_at": request.due_at, "is_over": is_over, "waits_for": request.note});
    let events = [event("deadline_near", request, detail)];
    office
        .save(request, "erasure warning", Vec::new(), &events)
        .await?;
    Ok(true)
}

/// The certificate of a request that was carried out.
///
/// # Errors
/// If it was not.
pub fn certificate_of(request: &Request) -> Result<&str, ErasureError> {
    request.certificate.as_deref().ok_or_else(|| {
        ErasureError::Refused(format!(
            "the request is {}: a certificate is made when it is completed",
            request.state
        ))
    })
}

fn reason_of(text: &str) -> Result<String, ErasureError> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err(ErasureError::Refused("a reason is needed".to_owned())),
        1..=MAX_REASON_CHARS => Ok(text.to_owned()),
        _ => Err(ErasureError::Refused(format!(
            "a reason has at most {MAX_REASON_CHARS} characters"
        ))),
    }
}
