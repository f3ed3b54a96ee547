//! Makes reports with a configuration: verifies the trails, asks everything, and signs for it in the ledger.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp, ToSpan, civil::Date, tz::TimeZone};
use serde_json::json;
use thiserror::Error;
use tokio::runtime::Handle;

use super::{
    Sources,
    facts::{Policy, SigningKey, Wanted},
    gather,
    model::{Period, Report},
};
use crate::{
    anchor::{self, AnchorError},
    checklist::{self, Checklist},
    checkpoint::note::VerifierKey,
    clock::Clock,
    config::Config,
    keys,
    ledger::{Act, Scribe},
    objects::{Digest, Vault},
    progress::Progress,
    qwed::{ReadError, url::DatabaseUrl},
    reviews::{self, ReviewError, Survey},
    state::{StateError, Store, Tx, jobs::new_id, reports::ReportRow},
    tombstones::Graveyard,
    trail::{finding::Verdict, keys::KeyRing},
    verify::{self, Options, Scope, VerifyError, report::AnchorsReport},
};

/// How often a verification begins anew because entries were erased meanwhile.
const ATTEMPTS: u32 = 5;

/// Why there is no report.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The period cannot be meant.
    #[error("{0}")]
    Period(String),
    /// The trail could not be verified.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// QWED's database could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Ours could not be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The anchors could not be read.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// A report could not be written down.
    #[error("the report cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

impl ReportError {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Period(_) | Self::Json(_) => false,
            Self::Verify(VerifyError::NoOrganization { .. })
            | Self::Verify(VerifyError::Read(ReadError::NotQwed { .. }))
            | Self::Read(ReadError::NotQwed { .. }) => false,
            Self::Verify(_) | Self::Read(_) => true,
            Self::State(error) => error.is_transient(),
            Self::Anchor(error) => error.is_transient(),
        }
    }
}

/// Which time a report covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// So many days up to now.
    Days(u32),
    /// From the first instant up to and without the second.
    Between(Timestamp, Timestamp),
    /// The last calendar month, in UTC, that is over.
    PreviousMonth,
    /// The last calendar quarter, in UTC, that is over.
    PreviousQuarter,
}

impl Span {
    /// The period, as of `now`.
    ///
    /// # Errors
    /// If it ends before it begins, or begins in the future.
    pub fn period(&self, now: Timestamp) -> Result<Period, ReportError> {
        let (start, end) = match self {
            Self::Days(days) => {
                let span = SignedDuration::from_hours(24 * i64::from(*days));
                let start = now.checked_sub(span);
                (
                    start.map_err(|error| ReportError::Period(error.to_string()))?,
                    now,
                )
            }
            Self::Between(start, end) => (*start, *end),
            Self::PreviousMonth => months(now, 1),
            Self::PreviousQuarter => months(now, 3),
        };
        if start >= end {
            return Err(ReportError::Period(
                "the period has to end after it begins".to_owned(),
            ));
        }
        if start >= now {
            return Err(ReportError::Period(
                "the period has to begin in the past".to_owned(),
            ));
        }
        let days = end.duration_since(start).as_secs_f64() / 86_400.0;
        Ok(Period {
            start,
            end,
            days: days.round() as i64,
        })
    }
}

/// The last `count` months that are over and that a year is divided into.
fn months(now: Timestamp, count: i8) -> (Timestamp, Timestamp) {
    let today = now.to_zoned(TimeZone::UTC).date();
    let month = (today.month() - 1) / count * count + 1;
    let instant = |date: Date| {
        let zoned = date.to_zoned(TimeZone::UTC);
        zoned.map_or(now, |zoned| zoned.timestamp())
    };
    let end = Date::new(today.year(), month, 1).unwrap_or(today);
    let start = end.checked_sub(i32::from(count).months()).unwrap_or(end);
    (instant(start), instant(end))
}

/// What reports are to be made with.
#[derive(Clone)]
pub struct Order {
    /// The configuration.
    pub config: Config,
    /// Its SHA-256, in hexadecimal.
    pub configuration_sha256: String,
    /// Our own database.
    pub store: Store,
    /// QWED's.
    pub qwed: DatabaseUrl,
    /// Keys that may have signed the trail.
    pub ring: Arc<KeyRing>,
    /// Organisations; all that are in use, or have entries, where there are none.
    pub organizations: Vec<i64>,
    /// What the reports cover.
    pub period: Period,
    /// Runs of the period that schedules wanted, or why they are not known.
    pub wanted: Result<Vec<Wanted>, String>,
    /// The time.
    pub clock: Clock,
}

/// A report, and what it was verified by.
pub struct Made {
    /// The report.
    pub report: Report,
    /// What verifying the organisation's trail came to, whole.
    pub verified: verify::report::Report,
}

/// Makes a report on each organisation. Has to be called on a runtime with threads of its own.
///
/// # Errors
/// If the trail cannot be verified, or a database cannot be reached.
pub async fn produce(order: &Order, progress: &Arc<Progress>) -> Result<Vec<Made>, ReportError> {
    let config = &order.config;
    let keys = anchor::public_keys(&config.anchor_key_file(), &config.anchors.public_keys)?;
    let verified = verify_trails(order, progress).await?;
    let mut made = Vec::new();
    for trail in &verified.organizations {
        let Some(organization_id) = trail.organization_id else {
            continue;
        };
        let own = verified.only(organization_id);
        let vault = Vault::open(config).map(Some);
        let sources = Sources {
            store: order.store.clone(),
            qwed: order.qwed.clone(),
            vault: vault.map_err(|error| format!("The archive cannot be asked: {error}.")),
            origin: config.anchors.origin.clone(),
            anchor_keys: keys.clone(),
            signing_keys: SigningKey::of(&order.ring),
            key_policy: keys::Policy {
                max_age_days: config.keys.max_age_days,
                due_soon_days: config.keys.due_soon_days,
                dormant_days: config.keys.dormant_days,
                ..keys::Policy::default()
            },
            policy: Policy {
                drill_max_age_days: config.report.drill_max_age_days,
                retention_days: config.objects.retention_days,
                secret_max_age_days: config.report.signing_key_max_age_days,
                max_rows: config.report.max_rows as usize,
            },
            configuration_sha256: order.configuration_sha256.clone(),
            verified: Ok(own.clone()),
            wanted: order.wanted.clone(),
            reviewed: reviewed(order, &keys, organization_id).await,
            checklist: Ok(checklist(order, &keys, organization_id).await),
        };
        let now = order.clock.now();
        let report = gather::make(sources, new_id(), organization_id, order.period, now);
        made.push(Made {
            report: report.await?,
            verified: own,
        });
    }
    Ok(made)
}

/// Holds security events against the reviews of them.
async fn reviewed(
    order: &Order,
    keys: &[VerifierKey],
    organization_id: i64,
) -> Result<Survey, String> {
    let reviews = reviews::all(&order.store, &order.config.anchors.origin, keys).await;
    let reviews = reviews.map_err(|error| format!("The ledger could not be read: {error}."))?;
    let (url, listed) = (order.qwed.clone(), order.config.report.max_rows as usize);
    let surveying = tokio::task::spawn_blocking(move || {
        let progress = Progress::default();
        reviews::survey(&url, Some(organization_id), &reviews, listed, &progress)
    });
    let surveyed = surveying.await.map_err(|error| error.to_string())?;
    match surveyed {
        // The control says so itself.
        Err(ReviewError::NoTable) => Ok(Survey::default()),
        surveyed => {
            surveyed.map_err(|error| format!("Security events could not be read: {error}."))
        }
    }
}

async fn checklist(order: &Order, keys: &[VerifierKey], organization_id: i64) -> Checklist {
    let sources = checklist::Sources {
        config: order.config.clone(),
        qwed: Ok(order.qwed.clone()),
        store: Some(order.store.clone()),
        keys: keys.to_vec(),
        ring: Ok(Arc::clone(&order.ring)),
        organization_id: Some(organization_id),
        now: order.clock.now(),
    };
    let facts = checklist::gather(&sources, &Arc::new(Progress::default())).await;
    checklist::take(&facts)
}

/// Verifies everything of the organisations, compared with the newest anchor.
async fn verify_trails(
    order: &Order,
    progress: &Arc<Progress>,
) -> Result<verify::report::Report, ReportError> {
    let config = &order.config;
    let origin = &config.anchors.origin;
    let keys = anchor::public_keys(&config.anchor_key_file(), &config.anchors.public_keys)?;
    let loaded = if keys.is_empty() {
        anchor::Loaded::default()
    } else {
        anchor::load(&order.store, origin, &keys, None, 0).await?
    };
    let graveyard = Graveyard {
        store: order.store.clone(),
        origin: origin.clone(),
        keys,
    };
    let anchors = AnchorsReport {
        number: loaded.anchored.as_ref().map(|it| it.number),
        time: loaded.anchored.as_ref().map(|it| it.time.to_string()),
        unread_entries: None,
        findings: loaded.findings,
    };
    let scope = Scope {
        organizations: order.organizations.clone(),
        ..Scope::default()
    };
    let (handle, order, progress) = (Handle::current(), order.clone(), Arc::clone(progress));
    let (anchored, began) = (loaded.anchored, order.clock.now());
    let clock = order.clock;
    let verifying = tokio::task::spawn_blocking(move || {
        let mut tries = 1;
        loop {
            let database = graveyard
                .open(&handle, &order.qwed)
                .map_err(VerifyError::from)?;
            let options = Options {
                anchored: anchored.as_deref(),
                ..Options::configured(&order.config.verify, database.dialect())
            };
            let report = verify::verify(&database, &order.ring, &scope, &options, &progress)?;
            let newest = report.newest_tombstones;
            let is_settled = report.verdict != Verdict::Tampered
                || !handle.block_on(graveyard.has_newer(newest))?;
            if is_settled || tries == ATTEMPTS {
                return Ok::<_, ReportError>(report);
            }
            tries += 1;
        }
    });
    let mut report = match verifying.await {
        Ok(report) => report?,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    report.set_times(began, clock.now());
    report.set_anchors(anchors);
    Ok(report)
}

/// Keeps reports that were made together, all or none.
///
/// # Errors
/// If the database fails, in which case it is unknown whether they are kept, or one of them is kept already.
pub async fn keep_all(
    store: &Store,
    scribe: Option<&Scribe<'_>>,
    reports: &[Report],
) -> Result<(), StateError> {
    let mut tx = store.begin().await?;
    for report in reports {
        keep(&mut tx, scribe.copied(), report, None, None).await?;
    }
    tx.commit("keep reports").await
}

/// Keeps a report, and signs for it in the ledger where there is a key, in the transaction of whoever had it made.
pub fn keep<'t>(
    tx: &'t mut Tx,
    scribe: Option<Scribe<'t>>,
    report: &'t Report,
    pack: Option<&'t str>,
    job_id: Option<&'t str>,
) -> BoxFuture<'t, Result<ReportRow, StateError>> {
    Box::pin(async move {
        let document = serde_json::to_string(report)
            .map_err(|error| StateError::Refused(format!("report: {error}")))?;
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let summary = report.summary;
        let row = ReportRow {
            id: report.id.clone(),
            kind: "soc2".to_owned(),
            organization_id: report.organization.id,
            period_start: report.period.start.as_microsecond(),
            period_end: report.period.end.as_microsecond(),
            generated_at: report.generated_at.as_microsecond(),
            counts: [
                summary.pass,
                summary.fail,
                summary.unknown,
                summary.not_applicable,
            ]
            .map(count),
            sha256: Digest::of(document.as_bytes()).to_string(),
            pack: pack.map(str::to_owned),
            job_id: job_id.map(str::to_owned),
        };
        tx.insert_report(&row, &document).await?;
        if let Some(scribe) = scribe {
            let detail = json!({
                "report_id": row.id,
                "kind": row.kind,
                "organization_id": row.organization_id,
                "period": report.period,
                "summary": report.summary,
                "sha256": row.sha256,
                "pack": row.pack,
            });
            scribe.append(tx, Act::Report, detail).await?;
        }
        Ok(row)
    })
}
