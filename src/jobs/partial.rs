//! Verifications that do not read everything: what is new since an anchor, and a slice of what the anchor covers.
//!
//! Neither gives a verdict of its own on what it did not read, and neither finds anything tampered: whatever does not fit
//! is answered by `None`, and everything is verified instead.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    Services, anchoring,
    scribing::pen,
    verdicts::{Extent, Run, Verdicts},
    verification::{self, Work},
};
use crate::{
    anchor,
    checkpoint::{
        anchored::Anchored,
        coverage::{self, Checked, Coverage, Tiles},
        tiles::WIDTH,
    },
    runtime::job::{Context, Done, JobError, Outcome},
    trail::finding::AnchorFinding,
    verify::{CoverageReport, Since, report::AnchorsReport, verify_since, verify_tiles},
};

/// A verification of a part, beside an anchor.
pub(super) struct Partial<'a> {
    pub(super) context: &'a Context<Services>,
    pub(super) started: Timestamp,
    pub(super) anchored: &'a Arc<Anchored>,
}

impl Partial<'_> {
    /// What came after the anchor, of these organisations or of all.
    pub(super) async fn since(
        &self,
        organizations: &[i64],
        findings: &[AnchorFinding],
    ) -> Result<Option<Outcome>, JobError> {
        let Some(since) = self.new_entries(organizations).await? else {
            return Ok(None);
        };
        self.outcome(organizations, since, findings, None)
            .await
            .map(Some)
    }

    /// What came after the anchor, what it covers and no run has seen yet, and the slice whose turn it is.
    pub(super) async fn rolling(
        &self,
        findings: &[AnchorFinding],
    ) -> Result<Option<Outcome>, JobError> {
        let Some((checked, tiles)) = self.slice().await? else {
            return Ok(None);
        };
        let Some(since) = self.new_entries(&[]).await? else {
            return Ok(None);
        };
        let entries = tiles.iter().map(|tiles| tiles.entries(&checked.sizes));
        let entries: u64 = entries.sum();
        let all = entries.saturating_add(since.report.entries);
        let all = i64::try_from(all).unwrap_or(i64::MAX);
        self.context.progress.expect(all);
        if !self.check(tiles, &checked).await? {
            return Ok(None);
        }
        let outcome = self.outcome(&[], since, findings, Some((checked, entries)));
        outcome.await.map(Some)
    }

    async fn new_entries(&self, organizations: &[i64]) -> Result<Option<Since>, JobError> {
        let (anchored, organizations) = (Arc::clone(self.anchored), organizations.to_vec());
        let since = verification::run(self.context, move |work: &Work| {
            let (database, ring) = (&work.database, &work.ring);
            verify_since(
                database,
                ring,
                &anchored,
                &organizations,
                &work.options,
                &work.progress,
            )
        });
        since.await
    }

    /// What is to be checked; none where everything was never checked, or not that the last run went by.
    async fn slice(&self) -> Result<Option<(Checked, Vec<Tiles>)>, JobError> {
        let (context, config) = (self.context, &self.context.services.config);
        let coverage = context.store.coverage().await.map_err(JobError::retry)?;
        let Some(coverage) = coverage else {
            return Ok(None);
        };
        let keys = anchor::public_keys(&config.anchor_key_file(), &config.anchors.public_keys);
        let keys = keys.map_err(anchoring::decide)?;
        let origin = &config.anchors.origin;
        let former = anchor::sizes_at(&context.store, origin, &keys, coverage.anchor).await;
        let Some(former) = former.map_err(anchoring::decide)? else {
            return Ok(None);
        };
        let (sizes, now) = (self.anchored.sizes(), self.started.as_microsecond());
        let slice = coverage.slice(&sizes, now, config.verify.rolling_days);
        let mut tiles = coverage::grown(&former, &sizes);
        tiles.extend(slice.iter().flat_map(|reach| reach.tiles(&sizes)));
        let checked = Checked {
            began_at: now,
            ended_at: now,
            anchor: self.anchored.number,
            sizes,
            slice: Some(slice),
        };
        Ok(Some((checked, coverage::union(tiles))))
    }

    /// Whether these tiles are sound. The database is opened anew now and then: what is anchored does not change, and a long
    /// snapshot holds back vacuum.
    async fn check(&self, tiles: Vec<Tiles>, checked: &Checked) -> Result<bool, JobError> {
        let at_a_time = u64::from(self.context.services.config.verify.piece_entries);
        let mut groups: Vec<Vec<Tiles>> = Vec::new();
        let mut room = 0;
        for tiles in tiles {
            for part in tiles.parts(at_a_time.div_ceil(WIDTH)) {
                let entries = part.entries(&checked.sizes);
                match groups.last_mut() {
                    Some(group) if entries <= room => group.push(part),
                    _ => {
                        groups.push(vec![part]);
                        room = at_a_time;
                    }
                }
                room = room.saturating_sub(entries);
            }
        }
        let anchored = Arc::clone(self.anchored);
        let checked = verification::run(self.context, move |work: &Work| {
            for group in &groups {
                let database = work.reopen()?;
                let (ring, options, progress) = (&work.ring, &work.options, &work.progress);
                if !verify_tiles(&database, ring, &anchored, group, options, progress)? {
                    return Ok(false);
                }
            }
            Ok(true)
        });
        checked.await
    }

    async fn outcome(
        &self,
        organizations: &[i64],
        since: Since,
        findings: &[AnchorFinding],
        checked: Option<(Checked, u64)>,
    ) -> Result<Outcome, JobError> {
        let (context, anchored) = (self.context, self.anchored);
        let Since {
            mut report,
            unread_entries,
        } = since;
        let ended = context.services.clock.now();
        report.set_times(self.started, ended);
        let (mut checked, read) = match checked {
            Some((checked, entries)) => (Some(checked), Some(entries)),
            None => (None, None),
        };
        if let Some(checked) = &mut checked {
            checked.ended_at = ended.as_microsecond();
        }
        report.set_anchors(AnchorsReport {
            number: Some(anchored.number),
            time: Some(anchored.time.to_string()),
            unread_entries: Some(unread_entries.saturating_sub(read.unwrap_or(0))),
            findings: findings.to_vec(),
        });
        report.coverage = coverage(context, Some(anchored), checked.as_ref()).await?;
        if let Some(coverage) = &mut report.coverage {
            coverage.checked_entries = read;
        }
        let done = report.entries.saturating_add(read.unwrap_or(0));
        Ok(Outcome::Done(Done {
            result: serde_json::to_value(&report).map_err(JobError::fail)?,
            done: i64::try_from(done).ok(),
            // No verdict on any trail follows from a part of it; the anchors are looked at all the same.
            effects: Some(Arc::new(Verdicts {
                report,
                is_partial: true,
                anchor: None,
                checked,
                job_id: context.job_id.clone(),
                run: Run {
                    began: self.started,
                    ended,
                    extent: Extent::Part,
                    organizations: organizations.to_vec(),
                },
                pen: pen(context)?,
            })),
            ..Done::default()
        }))
    }
}

/// What is known of full checks once this run has been noted.
pub(super) async fn coverage(
    context: &Context<Services>,
    anchored: Option<&Anchored>,
    checked: Option<&Checked>,
) -> Result<Option<CoverageReport>, JobError> {
    let known = context.store.coverage().await.map_err(JobError::retry)?;
    let known = match checked {
        Some(checked) => Coverage::after(known, checked),
        None => known,
    };
    let services = &context.services;
    let (now, days) = (
        services.clock.now().as_microsecond(),
        services.config.verify.rolling_days,
    );
    Ok(known.map(|known| CoverageReport::of(&known, anchored, now, days)))
}
