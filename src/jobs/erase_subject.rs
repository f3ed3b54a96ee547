//! Takes in a request to erase a data subject, and follows it as far as it can.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Services, anchoring::keys, follow, redact_texts};
use crate::{
    anchor::Keys,
    config::{Approval, Config},
    erasure::{
        self, Asked, ErasureError, Office, Options, Override, Refusal, Request, Signed, State,
        Taken, verify_signature,
    },
    export::{self, Removed},
    objects::Vault,
    progress::Progress,
    runtime::job::{Context, Done, Job, JobError, Outcome, Uniqueness},
    state::{StateError, Tx, jobs::Effects, outbox::Event},
};

/// Erases a user of QWED's, GDPR Art. 17. Either `user` or `email` names whom.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EraseSubject {
    /// The user's organisation.
    pub organization: i64,
    /// The user's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<i64>,
    /// The user's e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// As whoever asks numbers the request. It stays in the ledger: nobody's name or address belongs here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub request_id: Option<String>,
    /// When the request was made, ISO 8601 with an offset; the time that the law gives is counted from here. Default: when the message
    /// came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub requested_at: Option<Timestamp>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub reason: Option<String>,
    /// Who asks: a service or a case, not a person's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub requester: Option<String>,
    /// What is to be done otherwise than configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Override>,
    /// A plan may be larger than erasure.max_rows, or more than half of the organisation's entries.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_large: bool,
    /// The organisation may be left without an owner.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_only_owner: bool,
    /// The organisation need not be active.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_inactive: bool,
    /// The signature of a producer, which approves the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signed>,
}

impl Job<Services> for EraseSubject {
    const KIND: &'static str = "erase_subject";
    const TIMEOUT: Duration = Duration::from_secs(6 * 3600);
    // Each message has an answer of its own.
    const UNIQUENESS: Uniqueness = Uniqueness::None;
    const CONCURRENCY: Option<usize> = Some(2);

    fn redact(payload: &mut Value) {
        redact_texts(payload, &["email"]);
    }

    async fn run(&self, context: &Context<Services>) -> Result<Outcome, JobError> {
        let office = office(context).await?;
        let taken = match self.asked(context).await? {
            Ok(asked) => erasure::take_in(&office, asked).await.map_err(decide)?,
            Err(refusal) => Taken::Refused(refusal),
        };
        let (mut request, is_ours) = match taken {
            Taken::New(request) => (*request, true),
            // This run may be the second of a job that took it in.
            Taken::Known(request) => {
                let is_ours = request.is_from(&source(context));
                (*request, is_ours)
            }
            Taken::Done(request) => (*request, false),
            Taken::Refused(refusal) => return Ok(self.refused(office, refusal)),
        };
        if is_ours {
            carry_out(context, &office, &mut request).await?;
        }
        Ok(Outcome::Done(Done {
            result: outcome(&request),
            done: i64::try_from(request.progress.tombstones).ok(),
            ..Done::default()
        }))
    }
}

fn source(context: &Context<Services>) -> String {
    format!("job {}", context.job_id)
}

/// What erasures work with.
pub(super) async fn office(context: &Context<Services>) -> Result<Office, JobError> {
    let services = &context.services;
    let Some(keys) = keys(context).await? else {
        return Err(JobError::fail(anyhow::anyhow!(
            "nothing is erased without an anchor key, which signs tombstones: make one by trailkeeper keygen, give the file to \
             every worker, and set anchors.key_file"
        )));
    };
    Ok(office_with(services, context, keys))
}

fn office_with(services: &Services, context: &Context<Services>, keys: Keys) -> Office {
    Office {
        store: context.store.clone(),
        qwed: services.qwed.clone(),
        erase: services.erase.clone(),
        keys,
        origin: services.config.anchors.origin.clone(),
        ring: Arc::clone(&services.ring),
        settings: services.config.erasure.clone(),
        actor: source(context),
        now: services.clock.now(),
    }
}

pub(super) async fn carry_out(
    context: &Context<Services>,
    office: &Office,
    request: &mut Request,
) -> Result<(), JobError> {
    let progress = Arc::new(Progress::default());
    let work = erasure::execute(office, request, &progress);
    follow(context, &progress, work, |_| ())
        .await
        .map_err(decide)?;
    if request.state == State::Completed {
        forget_exports(&context.services.config, request).await;
    }
    Ok(())
}

/// Exports of who was erased go as well. A store that is away keeps no request open: exports go by themselves when they are over.
async fn forget_exports(config: &Config, request: &Request) {
    let forgetting = async {
        let vault = Vault::open_for_exports(config)?;
        export::forget(&vault, request.organization_id, request.user_id).await
    };
    let request = &request.id;
    match forgetting.await {
        Ok(Removed { refused: 0, .. }) => {}
        Ok(Removed { refused, .. }) => tracing::warn!(
            request,
            refused,
            "the store keeps exports of somebody who was erased"
        ),
        Err(error) => tracing::warn!(
            request,
            %error,
            "exports of somebody who was erased were not removed; they go when they are over"
        ),
    }
}

pub(super) fn decide(error: ErasureError) -> JobError {
    if error.is_transient() {
        JobError::retry(error)
    } else {
        JobError::fail(error)
    }
}

fn outcome(request: &Request) -> Value {
    json!({
        "request": request.id,
        "reference": request.reference,
        "state": request.state,
        "note": request.note,
        "plan": request.plan_digest,
        "due_at": request.due_at,
        "erased": request.progress.tables,
        "certificate": request.certificate,
    })
}

impl EraseSubject {
    /// What is asked for, by whom; a refusal where that cannot be believed.
    async fn asked(&self, context: &Context<Services>) -> Result<Result<Asked, Refusal>, JobError> {
        let services = &context.services;
        let job = context.store.job(&context.job_id).await;
        let job = job.map_err(JobError::retry)?;
        let job = job.context("its job is gone").map_err(JobError::fail)?;
        let received = Timestamp::from_microsecond(job.created_at).map_err(JobError::fail)?;
        let producer = match &self.signature {
            Some(signed) => {
                // As it came: what is left out and what is at its default are not the same to a signature.
                let producers = &services.producers;
                match verify_signature(&job.payload, signed, producers, received) {
                    Ok(()) => Some(signed.producer.clone()),
                    Err(refusal) => return Ok(Err(refusal)),
                }
            }
            None if services.config.erasure.approval == Approval::Signed => {
                return Ok(Err(Refusal::Unsigned));
            }
            None => None,
        };
        let user = match (self.user, &self.email) {
            (Some(user), None) => Ok(user),
            (None, Some(email)) => Err(email.clone()),
            _ => {
                return Err(JobError::fail(anyhow::anyhow!(
                    "either \"user\" or \"email\" has to be given, and not both"
                )));
            }
        };
        let requester = self.requester.clone().or_else(|| producer.clone());
        Ok(Ok(Asked {
            organization_id: self.organization,
            user,
            reference: self.request_id.clone(),
            requested_at: Some(self.requested_at.unwrap_or(received)),
            reason: self.reason.clone(),
            requester: requester.unwrap_or_else(|| source(context)),
            policy: self.policy.unwrap_or_default(),
            options: Options {
                allow_large: self.allow_large,
                allow_only_owner: self.allow_only_owner,
                producer: producer.filter(|_| services.config.erasure.approval == Approval::Signed),
            },
            allow_inactive: self.allow_inactive,
            signature: self.signature.as_ref().map(|signed| signed.hmac.clone()),
            source: source(context),
        }))
    }

    fn refused(&self, office: Office, refusal: Refusal) -> Outcome {
        Outcome::Done(Done {
            result: json!({
                "state": "rejected",
                "reference": self.request_id,
                "reason": refusal.name(),
                "detail": refusal.explain(),
            }),
            effects: Some(Arc::new(Refused {
                office,
                organization: self.organization,
                reference: self.request_id.clone(),
                refusal,
            })),
            ..Done::default()
        })
    }
}

/// Records that a request was turned down, together with the job's end, and tells of it.
struct Refused {
    office: Office,
    organization: i64,
    reference: Option<String>,
    refusal: Refusal,
}

impl Effects for Refused {
    fn apply<'t>(&'t self, tx: &'t mut Tx) -> BoxFuture<'t, Result<Vec<Event>, StateError>> {
        Box::pin(async move {
            let (organization, reference) = (self.organization, self.reference.as_deref());
            let refused =
                erasure::refuse(&self.office, tx, organization, reference, self.refusal).await?;
            Ok(vec![refused])
        })
    }
}
