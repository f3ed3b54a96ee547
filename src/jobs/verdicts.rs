//! What a verification changes in our own database, together with the end of its job: the verdicts, and the events about
//! those that changed.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::scribing::Pen;
use crate::{
    checkpoint::coverage::Checked,
    ledger::Act,
    state::{
        StateError, Tx,
        jobs::{Effects, NewJob, new_id},
        outbox::Event,
        reports::VerificationRow,
        verdicts::{ANCHORS, Before},
    },
    trail::finding::Verdict,
    verify::report::{AnchorsReport, OrganizationReport, Report},
};

/// Findings that an event names; all of them are in the job's outcome.
const TOLD_FINDINGS: usize = 20;

/// Changes that one entry of the ledger tells of.
const ENTRY_CHANGES: usize = 500;

/// Notes the verdicts, and tells of those that changed for the worse or back.
pub(super) struct Verdicts {
    pub(super) report: Report,
    /// Only a part was verified: that it is sound says nothing about the rest.
    pub(super) is_partial: bool,
    /// What was verified is anchored next.
    pub(super) anchor: Option<NewJob>,
    /// What an anchor covers and was checked in full.
    pub(super) checked: Option<Checked>,
    pub(super) job_id: String,
    /// What reports tell of this run later.
    pub(super) run: Run,
    /// Writes into the ledger what changed.
    pub(super) pen: Option<Pen>,
}

/// When a verification ran, and what it was asked to look at.
pub(super) struct Run {
    pub(super) began: Timestamp,
    pub(super) ended: Timestamp,
    pub(super) extent: Extent,
    /// The organisations that were asked for; empty for all.
    pub(super) organizations: Vec<i64>,
}

/// How much of the trails a verification looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Everything.
    Whole,
    /// What is new, and perhaps a slice of the rest.
    Part,
    /// The entries of a period.
    Period,
}

impl Extent {
    fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Part => "part",
            Self::Period => "period",
        }
    }
}

impl Effects for Verdicts {
    fn apply<'t>(&'t self, tx: &'t mut Tx) -> BoxFuture<'t, Result<Vec<Event>, StateError>> {
        Box::pin(async move {
            let (mut events, mut changes) = (Vec::new(), Vec::new());
            tx.note_verification(&self.row()).await?;
            for trail in &self.report.organizations {
                if self.is_partial && trail.verdict != Verdict::Tampered {
                    continue;
                }
                let organization = organization_text(trail);
                let before = tx
                    .note_verdict(
                        &organization,
                        &trail.verdict.to_string(),
                        i64::try_from(trail.qwed.total_entries).unwrap_or(i64::MAX),
                        i64::try_from(trail.findings_total).unwrap_or(i64::MAX),
                        &self.job_id,
                    )
                    .await?;
                if differs(&before, trail.verdict) {
                    changes.push(json!({
                        "organization_id": trail.organization_id,
                        "verdict": trail.verdict,
                        "previous_verdict": before.verdict,
                        "entries": trail.qwed.total_entries,
                        "findings_total": trail.findings_total,
                    }));
                }
                if let Some(what) = change(&before, trail.verdict) {
                    events.push(self.event(trail, what, before.verdict));
                }
            }
            if let Some(anchors) = &self.report.anchors {
                events.extend(self.about_anchors(tx, anchors, &mut changes).await?);
            }
            if let Some(pen) = &self.pen {
                for changes in changes.chunks(ENTRY_CHANGES) {
                    let detail = json!({ "changes": changes });
                    pen.scribe().append(tx, Act::ChangeVerdicts, detail).await?;
                }
            }
            if let Some(checked) = &self.checked {
                tx.note_checked(checked).await?;
            }
            if let Some(job) = &self.anchor {
                tx.insert_jobs(std::slice::from_ref(job)).await?;
            }
            Ok(events)
        })
    }
}

/// Whether a verdict is one for the ledger: another than before, or a first one that is not the best.
fn differs(before: &Before, now: Verdict) -> bool {
    match &before.verdict {
        Some(before) => *before != now.to_string(),
        None => now != Verdict::Intact,
    }
}

/// What a new verdict means after what was known before. A trail that was tampered with is only restored when it is what it
/// was before; otherwise whoever blanks the hashes of a tampered trail would sound the all-clear.
fn change(before: &Before, now: Verdict) -> Option<&'static str> {
    let was = before.verdict.as_deref();
    let is = now.to_string();
    match now {
        Verdict::Tampered => (was != Some("tampered")).then_some("integrity.failed"),
        Verdict::Intact => (was == Some("tampered")).then_some("integrity.restored"),
        Verdict::Incomplete if was == Some("tampered") && before.sound.as_deref() == Some(&is) => {
            Some("integrity.restored")
        }
        Verdict::Incomplete => {
            (was == Some("tampered") || was == Some("intact")).then_some("integrity.degraded")
        }
    }
}

impl Verdicts {
    fn row(&self) -> VerificationRow {
        let Run {
            began,
            ended,
            extent,
            organizations,
        } = &self.run;
        let trails = self.report.organizations.iter();
        let not_intact: BTreeMap<String, Verdict> = trails
            .filter(|trail| trail.verdict != Verdict::Intact)
            .map(|trail| (organization_text(trail), trail.verdict))
            .collect();
        VerificationRow {
            job_id: self.job_id.clone(),
            began_at: began.as_microsecond(),
            ended_at: ended.as_microsecond(),
            extent: extent.name().to_owned(),
            organizations: json!(organizations).to_string(),
            verdict: self.report.verdict.to_string(),
            entries: i64::try_from(self.report.entries).unwrap_or(i64::MAX),
            not_intact: json!(not_intact).to_string(),
        }
    }

    /// Notes whether the anchors are what they were, and tells when that changes.
    async fn about_anchors(
        &self,
        tx: &mut Tx,
        anchors: &AnchorsReport,
        changes: &mut Vec<Value>,
    ) -> Result<Option<Event>, StateError> {
        if anchors.number.is_none() && anchors.findings.is_empty() {
            // There never was one.
            return Ok(None);
        }
        let worst = anchors
            .findings
            .iter()
            .map(|finding| finding.severity)
            .max();
        let verdict = worst.map_or(Verdict::Intact, Verdict::of);
        let findings = i64::try_from(anchors.findings.len()).unwrap_or(i64::MAX);
        let before = tx
            .note_verdict(ANCHORS, &verdict.to_string(), 0, findings, &self.job_id)
            .await?;
        if differs(&before, verdict) {
            changes.push(json!({
                "about": ANCHORS,
                "verdict": verdict,
                "previous_verdict": before.verdict,
                "findings_total": findings,
            }));
        }
        Ok(change(&before, verdict).map(|what| Event {
            id: new_id(),
            event_type: what.to_owned(),
            subject: Some(ANCHORS.to_owned()),
            data: json!({
                "verdict": verdict,
                "previous_verdict": before.verdict,
                "findings_total": findings,
                "findings": anchors.findings.iter().take(TOLD_FINDINGS).collect::<Vec<_>>(),
                "job_id": self.job_id,
            }),
        }))
    }

    fn event(&self, trail: &OrganizationReport, what: &str, before: Option<String>) -> Event {
        let told = trail.findings.iter().take(TOLD_FINDINGS);
        Event {
            id: new_id(),
            event_type: what.to_owned(),
            subject: Some(format!("organization/{}", organization_text(trail))),
            data: json!({
                "organization_id": trail.organization_id,
                "verdict": trail.verdict,
                "previous_verdict": before,
                "entries": trail.qwed.total_entries,
                "findings_total": trail.findings_total,
                "findings": told.collect::<Vec<_>>(),
                "job_id": self.job_id,
            }),
        }
    }
}

fn organization_text(trail: &OrganizationReport) -> String {
    trail
        .organization_id
        .map_or_else(String::new, |id| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(verdict: &str, sound: Option<&str>, now: Verdict) -> Option<&'static str> {
        let before = Before {
            verdict: Some(verdict.to_owned()),
            sound: sound.map(str::to_owned),
        };
        change(&before, now)
    }

    /// Blanking the hashes of a tampered trail makes it incomplete, which must not sound the all-clear.
    #[test]
    fn only_what_is_as_it_was_is_restored() {
        use Verdict::{Incomplete, Intact, Tampered};
        assert_eq!(
            change(&Before::default(), Tampered),
            Some("integrity.failed")
        );
        assert_eq!(change(&Before::default(), Incomplete), None);
        assert_eq!(after("tampered", Some("intact"), Tampered), None);
        assert_eq!(
            after("tampered", Some("intact"), Incomplete),
            Some("integrity.degraded")
        );
        assert_eq!(
            after("tampered", None, Incomplete),
            Some("integrity.degraded")
        );
        assert_eq!(
            after("tampered", Some("incomplete"), Incomplete),
            Some("integrity.restored")
        );
        assert_eq!(
            after("tampered", Some("intact"), Intact),
            Some("integrity.restored")
        );
        assert_eq!(
            after("intact", Some("intact"), Incomplete),
            Some("integrity.degraded")
        );
        assert_eq!(after("incomplete", Some("incomplete"), Intact), None);
    }
}
