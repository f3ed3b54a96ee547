//! Gathers what controls judge by, and makes the report.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    control,
    facts::{Answer, Facts, Known, Policy, SigningKey, Wanted},
    model::{
        Control, DISCLAIMER, GuideStatus, Obtained, Organization, Origin, Period, Provenance,
        REPORT_TYPE, REPORT_VERSION, Report, Status, Summary,
    },
    own::Own,
    qwed,
};
use crate::{
    checklist::Checklist,
    checkpoint::note::VerifierKey,
    keys::{self, report::KeyReport},
    ledger::Act,
    objects::{LockState, Vault},
    qwed::{Dialect, ReadError, url::DatabaseUrl},
    reviews::Survey,
    state::Store,
    verify,
};

/// Objects whose lock is read back.
const LOCKS: u32 = 25;

/// What a report is made of that its maker has at hand.
pub struct Sources {
    /// Our own database.
    pub store: Store,
    /// QWED's database.
    pub qwed: DatabaseUrl,
    /// The archive; none where none is configured, and why it cannot be opened where it cannot.
    pub vault: Known<Option<Vault>>,
    /// The origin of anchors and the ledger.
    pub origin: String,
    /// Keys that verify them.
    pub anchor_keys: Vec<VerifierKey>,
    /// Keys that sign the trail.
    pub signing_keys: Vec<SigningKey>,
    /// What is expected of API keys.
    pub key_policy: keys::Policy,
    /// What the configuration says.
    pub policy: Policy,
    /// Its SHA-256.
    pub configuration_sha256: String,
    /// What verifying the organisation's whole trail came to, just now.
    pub verified: Known<verify::report::Report>,
    /// Runs that schedules wanted in the period.
    pub wanted: Known<Vec<Wanted>>,
    /// Security events against the reviews of them.
    pub reviewed: Known<Survey>,
    /// The items of QWED's checklist.
    pub checklist: Known<Checklist>,
}

/// Makes a report. Has to be called on a runtime with threads of its own.
///
/// # Errors
/// If QWED's database cannot be reached. What else cannot be known is said in the report.
pub async fn make(
    sources: Sources,
    id: String,
    organization_id: i64,
    period: Period,
    now: Timestamp,
) -> Result<Report, ReadError> {
    let url = sources.qwed.clone();
    let key_policy = sources.key_policy;
    let asking = tokio::task::spawn_blocking(move || {
        let keys = keys::check(&url, None, key_policy, &[organization_id], now);
        let keys = keys.map_err(|error| format!("QWED's API keys could not be read: {error}."));
        let answers = qwed::ask(&url, organization_id, period, now)?;
        Ok::<_, ReadError>((answers, keys))
    });
    let (answers, keys) = match asking.await {
        Ok(asked) => asked?,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    let own = Own {
        store: &sources.store,
        origin: &sources.origin,
        keys: &sources.anchor_keys,
        organization_id,
        period,
        now,
    };
    let provenance = provenance(&sources, &answers);
    let organization = answers.organization.clone();
    let facts = facts(&sources, own, answers, keys).await;
    let controls = control::all(&facts);
    Ok(Report {
        id,
        report_type: REPORT_TYPE.to_owned(),
        report_version: REPORT_VERSION.to_owned(),
        disclaimer: DISCLAIMER.to_owned(),
        organization: organization.unwrap_or(Organization {
            id: organization_id,
            name: None,
            tier: None,
            is_active: None,
        }),
        period,
        generated_at: now,
        compliance_status: compliance_status(&controls),
        summary: Summary::of(&controls),
        controls,
        provenance,
    })
}

fn provenance(sources: &Sources, answers: &qwed::Answers) -> Provenance {
    Provenance {
        program: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        configuration_sha256: sources.configuration_sha256.clone(),
        qwed_database: sources.qwed.to_string(),
        qwed_dialect: match answers.dialect {
            Dialect::Sqlite => "sqlite",
            Dialect::Postgresql => "postgresql",
        }
        .to_owned(),
        qwed_server: answers.server.clone(),
        state_database: sources.store.location().to_owned(),
        anchor_origin: sources.origin.clone(),
        anchor_key: sources.anchor_keys.first().map(ToString::to_string),
    }
}

async fn facts(
    sources: &Sources,
    own: Own<'_>,
    answers: qwed::Answers,
    keys: Known<KeyReport>,
) -> Facts {
    let start = own.period.start;
    Facts {
        organization_id: own.organization_id,
        period: own.period,
        now: own.now,
        policy: sources.policy.clone(),
        verified: sources.verified.clone(),
        population: answers.population,
        days: answers.days,
        wanted: sources.wanted.clone(),
        runs: own.runs().await,
        fires: own.fires().await,
        first_fires: own.first_fires().await,
        anchors: own.anchors().await,
        segments: own.segments().await,
        backup: own.backup().await,
        lock: lock(sources, &own).await,
        drills: own.entries(Act::Drill, Timestamp::MIN).await,
        configurations: own.entries(Act::LoadConfig, start).await,
        ledger: own.ledger().await,
        users: answers.users,
        activity: answers.activity,
        keys,
        events: answers.events,
        reviewed: sources.reviewed.clone(),
        checklist: sources.checklist.clone(),
        quota: answers.quota,
        signing_keys: sources.signing_keys.clone(),
        erasures: own.erasures().await,
        holds: own.holds().await,
        paused: own.paused().await,
    }
}

/// Asks the object store what locks there are: object, bytes, state, mode, until.
async fn lock(sources: &Sources, own: &Own<'_>) -> Known<Option<Answer>> {
    let Some(vault) = sources.vault.as_ref().map_err(Clone::clone)? else {
        return Ok(None);
    };
    let objects = own.newest_objects(LOCKS).await?;
    let mut rows = Vec::new();
    for object in &objects.rows {
        let text = |index: usize| object.get(index).and_then(Value::as_str);
        let Some(name) = text(0) else { continue };
        rows.push(match vault.head(name, text(1)).await {
            Ok(head) => {
                let (state, lock) = match &head.lock {
                    LockState::Locked(lock) => ("locked", Some(*lock)),
                    LockState::NotLocked { found, .. } => ("not_locked", *found),
                    LockState::Unknown { .. } => ("unknown", None),
                    LockState::NotAsked => ("not_asked", None),
                };
                vec![
                    json!(name),
                    json!(head.size),
                    json!(state),
                    json!(lock.map(|it| it.mode)),
                    json!(lock.map(|it| it.until.to_string())),
                ]
            }
            Err(error) => {
                tracing::warn!(%error, name, "the lock of an archived object could not be read back");
                vec![json!(name), json!(null), json!("missing"), json!(null), json!(null)]
            }
        });
    }
    let obtained = Obtained {
        origin: Origin::Archive,
        query: format!(
            "the lock of each of the newest {LOCKS} segments of the trail, asked of {}",
            vault.location()
        ),
        parameters: Vec::new(),
        window: None,
        rows: rows.len() as u64,
        at: own.now,
    };
    Ok(Some(Answer { rows, obtained }))
}

/// The members of QWED's guide, each from a control that was computed; what no control computes is unknown.
fn compliance_status(controls: &[Control]) -> BTreeMap<String, GuideStatus> {
    let of = |id: &str| {
        let control = controls.iter().find(|it| it.id == id);
        GuideStatus::from(control.map_or(Status::Unknown, |it| it.status))
    };
    [
        ("audit_trail_complete", of("trail_integrity")),
        ("access_logs_retained", of("logs_retained")),
        ("security_monitoring", of("security_events")),
        ("encryption_at_rest", GuideStatus::Unknown),
        ("encryption_in_transit", GuideStatus::Unknown),
    ]
    .map(|(name, status)| (name.to_owned(), status))
    .into()
}
