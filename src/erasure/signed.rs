//! What our table says of a request is no proof: whoever can write to it could have anybody erased. What was asked for, and that it
//! was approved, has to stand in the signed ledger as well.

use serde::Deserialize;

use super::{ErasureError, Office, policy::Policy, request::Request};
use crate::ledger::Act;

#[derive(Deserialize)]
struct Requested {
    request: String,
    organization_id: i64,
    user_id: i64,
    subject: String,
    policy: Policy,
    producer: Option<String>,
}

#[derive(Deserialize)]
struct Approved {
    request: String,
    plan: String,
}

/// Fails unless the ledger says that this was asked for: about this user, with this policy, by this producer.
pub(super) async fn expect_request(office: &Office, request: &Request) -> Result<(), ErasureError> {
    let entry = match request.progress.requested {
        Some(number) => {
            office
                .graveyard()
                .entry(Act::ErasureRequested, number)
                .await?
        }
        None => None,
    };
    let asked = entry.and_then(|detail| serde_json::from_value::<Requested>(detail).ok());
    let is_so = asked.is_some_and(|asked| {
        asked.request == request.id
            && asked.organization_id == request.organization_id
            && asked.user_id == request.user_id
            && asked.subject == request.subject_ref
            && asked.policy == request.policy
            && asked.producer == request.options.producer
    });
    match is_so {
        true => Ok(()),
        false => Err(ErasureError::Refused(format!(
            "request {} is not what the ledger says was asked for: somebody changed the table of requests",
            request.id
        ))),
    }
}

/// Fails unless the ledger says that the plan was approved.
pub(super) async fn expect_approval(
    office: &Office,
    request: &Request,
) -> Result<(), ErasureError> {
    let entry = match request.progress.approval {
        Some(number) => {
            office
                .graveyard()
                .entry(Act::ErasureApproved, number)
                .await?
        }
        None => None,
    };
    let approval = entry.and_then(|detail| serde_json::from_value::<Approved>(detail).ok());
    let is_so = approval.is_some_and(|approval| {
        approval.request == request.id && request.approved_digest.as_ref() == Some(&approval.plan)
    });
    match is_so {
        true => Ok(()),
        false => Err(ErasureError::Refused(format!(
            "the ledger does not say that the plan was approved, whatever the table of requests says; approve it again: \
             trailkeeper erase approve {} --plan {}",
            request.id,
            request.plan_digest.as_deref().unwrap_or_default()
        ))),
    }
}
