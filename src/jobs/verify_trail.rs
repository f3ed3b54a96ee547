//! Verifies audit trails: cuts the work into pieces, waits for them, and gives one verdict.
//!
//! The first phase plans and has each piece checked by a job of its own (`verify_piece`), wherever there is room. The
//! second joins what the pieces found. In between the plan is kept with the job, so that a worker that dies costs only
//! the pieces that it was at.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Services,
    anchor::Anchor,
    anchoring,
    partial::{self, Partial},
    scribing::pen,
    verdicts::{Extent, Run, Verdicts},
    verification::{self, Work},
    verify_piece::VerifyPiece,
};
use crate::{
    checkpoint::coverage::Checked,
    config::{Cut, parse_micros},
    qwed::Period,
    runtime::job::{Context, Done, Job, JobError, Outcome, Wait},
    state::jobs::State,
    trail::finding::{AnchorFinding, Verdict},
    verify::{
        Options, Scope, VerifyError,
        part::Part,
        pieces::{self, Layout, Plan, Planning},
        report::AnchorsReport,
    },
};

/// Verifies the audit trails of all organisations, or of some, and gives one verdict for each. That something was
/// tampered with is an outcome, not a failure.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VerifyTrail {
    /// Only these organisations; all where the list is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub organizations: Vec<i64>,
    /// Only entries from this time on: ISO 8601, UTC unless it has an offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"))]
    pub from: Option<String>,
    /// Only entries up to this time, itself included.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"))]
    pub to: Option<String>,
    /// Check only what came after the newest anchor, if it fits to that, and everything otherwise. Not for a period.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub since_anchor: bool,
    /// Check what came after the newest anchor, and in full a slice of what it covers, such that everything is checked every
    /// verify.rolling_days days; everything if something does not fit. Not for a period or some organisations.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rolling: bool,
}

/// What is kept while the pieces are checked.
#[derive(Serialize, Deserialize)]
struct Memo {
    started: Timestamp,
    plan: Plan,
    /// The anchor that the pieces are compared with.
    #[serde(default)]
    anchor: Option<u64>,
    /// What is wrong with the anchors.
    #[serde(default)]
    findings: Vec<AnchorFinding>,
    /// The number in the ledger of the newest tombstones before anything was read.
    #[serde(default)]
    tombstones: i64,
}

impl Job<Services> for VerifyTrail {
    const KIND: &'static str = "verify_trail";
    const TIMEOUT: Duration = Duration::from_secs(6 * 3600);

    async fn run(&self, context: &Context<Services>) -> Result<Outcome, JobError> {
        match &context.memo {
            None => self.plan(context).await,
            Some(memo) => {
                let memo: Memo = serde_json::from_slice(memo)
                    .context("the plan that this job kept cannot be read")
                    .map_err(JobError::fail)?;
                self.conclude(context, memo).await
            }
        }
    }
}

impl VerifyTrail {
    fn scope(&self) -> Result<Scope, JobError> {
        let time = |text: &Option<String>, name: &str| match text {
            None => Ok(None),
            Some(text) => parse_micros(text).map(Some).ok_or_else(|| {
                JobError::fail(anyhow::anyhow!(
                    "{name:?} is not a time; use a form like 2026-05-08T12:30:00Z"
                ))
            }),
        };
        let period = Period {
            from: time(&self.from, "from")?,
            to: time(&self.to, "to")?,
        };
        if self.since_anchor && period != Period::default() {
            return Err(JobError::fail(anyhow::anyhow!(
                "\"since_anchor\" cannot be had for a period"
            )));
        }
        if self.rolling && !(self.organizations.is_empty() && period == Period::default()) {
            return Err(JobError::fail(anyhow::anyhow!(
                "\"rolling\" cannot be had for a period or some organisations"
            )));
        }
        if let (Some(from), Some(to)) = (period.from, period.to)
            && from > to
        {
            return Err(JobError::fail(anyhow::anyhow!(
                "\"from\" must not be after \"to\""
            )));
        }
        Ok(Scope {
            organizations: self.organizations.clone(),
            period,
        })
    }

    async fn plan(&self, context: &Context<Services>) -> Result<Outcome, JobError> {
        let started = context.services.clock.now();
        let scope = self.scope()?;
        let section = &context.services.config.verify;
        let (cut, piece_entries) = (section.cut, u64::from(section.piece_entries));
        // Before the plan looks where the trails end: what is anchored then lies within.
        let loaded = anchoring::load(context, None).await?;
        let anchored = loaded.anchored;
        let anchor = anchored.as_ref().map(|anchored| anchored.number);
        if let Some(anchored) = &anchored
            && (self.since_anchor || self.rolling)
        {
            let part = Partial {
                context,
                started,
                anchored,
            };
            let done = if self.rolling {
                part.rolling(&loaded.findings).await?
            } else {
                part.since(&self.organizations, &loaded.findings).await?
            };
            if let Some(done) = done {
                return Ok(done);
            }
        }
        let plan = verification::run(context, move |work: &Work| {
            let options = Options {
                anchored: anchored.as_deref(),
                ..work.options
            };
            let plan = plan(work, &options, &scope, cut, piece_entries)?;
            Ok((plan, work.database.erased().newest()))
        });
        let (plan, tombstones) = plan.await?;
        let memo = Memo {
            started,
            plan,
            anchor,
            findings: loaded.findings,
            tombstones,
        };
        if memo.plan.pieces.is_empty() {
            return self.conclude(context, memo).await;
        }
        let plan = &memo.plan;
        let children = plan
            .pieces
            .iter()
            .map(|piece| {
                let payload =
                    serde_json::to_value(VerifyPiece(piece.clone())).map_err(JobError::fail)?;
                (context.maker)(VerifyPiece::KIND, payload)
            })
            .collect::<Result<_, _>>()?;
        let total = i64::try_from(plan.entries_estimate).ok();
        let memo = serde_json::to_vec(&memo).map_err(JobError::fail)?;
        Ok(Outcome::Wait(Wait {
            children,
            memo,
            total,
        }))
    }

    async fn conclude(&self, context: &Context<Services>, memo: Memo) -> Result<Outcome, JobError> {
        let Memo {
            started,
            plan,
            anchor,
            findings,
            tombstones,
        } = memo;
        let mut findings = findings;
        let anchored = match anchor {
            Some(number) => {
                let loaded = anchoring::load(context, Some(number)).await?;
                let new = loaded.findings.into_iter();
                let new: Vec<_> = new.filter(|finding| !findings.contains(finding)).collect();
                findings.extend(new);
                loaded.anchored
            }
            None => None,
        };
        let anchors = AnchorsReport {
            number: anchored.as_ref().map(|anchored| anchored.number),
            time: anchored.as_ref().map(|anchored| anchored.time.to_string()),
            unread_entries: None,
            findings,
        };
        let segments = if plan.pieces.is_empty() {
            Vec::new()
        } else {
            segments_of(context).await?
        };
        let piece_count = segments.len();
        let scope = plan.scope.clone();
        let is_partial = plan.scope.period != Period::default();
        let is_whole = !is_partial && self.organizations.is_empty();
        let inner = anchored.clone();
        let whole = move |work: &Work| {
            let options = Options {
                anchored: inner.as_deref(),
                ..work.options
            };
            crate::verify::verify(&work.database, &work.ring, &scope, &options, &work.progress)
        };
        let (inner, again) = (anchored.clone(), whole.clone());
        let concluded = move |work: &Work| {
            let options = Options {
                anchored: inner.as_deref(),
                ..work.options
            };
            let concluded = pieces::conclude(
                &work.database,
                &work.ring,
                &plan,
                segments,
                &options,
                &work.progress,
            );
            match concluded {
                // The keys are others than when it was planned: what the pieces found is void.
                Err(VerifyError::OtherPlan(_)) => whole(work),
                // A piece may have been read before somebody was erased, and another after.
                Ok(report)
                    if report.verdict == Verdict::Tampered
                        && tombstones < report.newest_tombstones =>
                {
                    whole(work)
                }
                concluded => concluded,
            }
        };
        let mut report = verification::settled(context, concluded, again).await?;
        let ended = context.services.clock.now();
        report.set_times(started, ended);
        report.set_anchors(anchors);
        let checked = match (&anchored, is_whole) {
            (Some(anchored), true) => Some(Checked {
                began_at: started.as_microsecond(),
                ended_at: ended.as_microsecond(),
                anchor: anchored.number,
                sizes: anchored.sizes(),
                slice: None,
            }),
            _ => None,
        };
        report.coverage = partial::coverage(context, anchored.as_deref(), checked.as_ref()).await?;
        let mut result = serde_json::to_value(&report).map_err(JobError::fail)?;
        result["pieces"] = json!(piece_count);
        let entries = i64::try_from(report.entries).ok();
        let anchor = (context.maker)(Anchor::KIND, json!({}))?;
        let effects = Verdicts {
            report,
            is_partial,
            anchor: is_whole.then_some(anchor),
            checked,
            job_id: context.job_id.clone(),
            run: Run {
                began: started,
                ended,
                extent: if is_partial {
                    Extent::Period
                } else {
                    Extent::Whole
                },
                organizations: self.organizations.clone(),
            },
            pen: pen(context)?,
        };
        Ok(Outcome::Done(Done {
            result,
            done: entries,
            effects: Some(Arc::new(effects)),
            ..Done::default()
        }))
    }
}

/// Cuts the trail. Reading organisations one by one visits a table in which they are interleaved over and over, so what is
/// more than one piece is cut by key range unless told otherwise.
fn plan(
    work: &Work,
    options: &Options<'_>,
    scope: &Scope,
    cut: Cut,
    piece_entries: u64,
) -> Result<Plan, VerifyError> {
    let plan = |by_key| {
        let planning = Planning {
            piece_entries,
            by_key,
        };
        pieces::plan(
            &work.database,
            &work.ring,
            scope,
            planning,
            options,
            &work.progress,
        )
    };
    let planned = plan(cut == Cut::KeyRange)?;
    let is_large = planned.entries_estimate > piece_entries && planned.heads().len() > 1;
    if cut == Cut::Auto && is_large && planned.layout == Layout::Organizations {
        return plan(true);
    }
    Ok(planned)
}

/// What the pieces found, in their order.
async fn segments_of(context: &Context<Services>) -> Result<Vec<Part>, JobError> {
    let children = context
        .store
        .children(&context.job_id)
        .await
        .map_err(JobError::retry)?;
    let mut segments = Vec::with_capacity(children.len());
    for (child, memo) in children {
        let segment = memo.as_deref().filter(|_| child.state == State::Succeeded);
        let Some(bytes) = segment else {
            return Err(JobError::fail(anyhow::anyhow!(
                "there is no verdict, because piece {} (job {}) is {}: {}",
                child.part.unwrap_or_default(),
                child.id,
                child.state,
                child.error.as_deref().unwrap_or("it left no result"),
            )));
        };
        let segment = Part::from_bytes(bytes)
            .with_context(|| format!("the result of job {} cannot be read", child.id))
            .map_err(JobError::fail)?;
        segments.push(segment);
    }
    Ok(segments)
}
