//! Floor 4: the job kinds, one file each, and the registry that lists them.
//!
//! A kind turns a payload into calls of services and their answers into an outcome. Rules of its own it has none.

pub mod anchor;
mod anchoring;
pub mod backup;
pub mod check_api_keys;
pub mod compliance_checklist;
pub mod continue_erasures;
pub mod drill;
pub mod erase_subject;
pub mod export_evidence;
pub mod export_subject_data;
pub mod forward_consent;
pub(crate) mod own_records;
pub mod packing;
mod partial;
#[cfg(feature = "probe")]
pub mod probe;
pub mod record_consent;
pub mod report_soc2;
mod scribing;
mod verdicts;
mod verification;
pub mod verify_piece;
pub mod verify_trail;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::{
    clock::Clock,
    config::Config,
    metrics::Metrics,
    progress::Progress,
    qwed::url::DatabaseUrl,
    runtime::{
        job::Context,
        registry::{Registry, Tuning},
    },
    trail::{
        keys::{Key, KeyRing},
        tombstone::MARKER,
    },
};

/// How often a run's progress is passed on.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// Waits for `work`, passes on how far it is, and has it stop when the run is to. `on_rows` is told of rows that were done
/// since the last time.
async fn follow<T>(
    context: &Context<Services>,
    progress: &Progress,
    work: impl Future<Output = T>,
    on_rows: impl Fn(u64),
) -> T {
    let mut work = std::pin::pin!(work);
    let (mut told, mut is_stopped) = (0, false);
    let mut ticks = tokio::time::interval(TELL_EVERY);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            // It ends by itself, as soon as it notices.
            () = context.cancel.cancelled(), if !is_stopped => {
                is_stopped = true;
                progress.stop();
            }
            _ = ticks.tick() => {
                let rows = progress.rows();
                on_rows(rows - told);
                told = rows;
                context.progress.set(i64::try_from(rows).unwrap_or(i64::MAX));
            }
        }
    };
    on_rows(progress.rows() - told);
    done
}

/// Replaces texts of a payload by the marker that erased texts of the trail have.
fn redact_texts(payload: &mut Value, fields: &[&str]) {
    for field in fields {
        if let Some(text) = payload.get_mut(*field).filter(|it| it.is_string()) {
            *text = MARKER.into();
        }
    }
}

/// What job kinds need from the outside.
pub struct Services {
    /// The configuration.
    pub config: Config,
    /// Its SHA-256, in hexadecimal, without secrets.
    pub configuration_sha256: String,
    /// QWED's database.
    pub qwed: DatabaseUrl,
    /// The database under a role that may flag API keys, where that is another.
    pub flag: Option<DatabaseUrl>,
    /// The database under a role that may erase; the same where that is no other.
    pub erase: DatabaseUrl,
    /// Services whose signed requests for erasure are believed.
    pub producers: Vec<Key>,
    /// The keys that may have signed the trail.
    pub ring: Arc<KeyRing>,
    /// The time.
    pub clock: Clock,
    /// What Prometheus is told.
    pub metrics: Metrics,
}

/// All job kinds, as the configuration tunes them.
#[must_use]
pub fn registry(config: &Config) -> Registry<Services> {
    let mut registry = Registry::new(config.jobs.max_attempts.into())
        .with::<anchor::Anchor>()
        .with::<backup::Backup>()
        .with::<check_api_keys::CheckApiKeys>()
        .with::<compliance_checklist::ComplianceChecklist>()
        .with::<continue_erasures::ContinueErasures>()
        .with::<drill::Drill>()
        .with::<erase_subject::EraseSubject>()
        .with::<forward_consent::ForwardConsent>()
        .with::<record_consent::RecordConsent>()
        .with::<report_soc2::ReportSoc2>()
        .with::<export_evidence::ExportEvidence>()
        .with::<export_subject_data::ExportSubjectData>()
        .with::<verify_piece::VerifyPiece>()
        .with::<verify_trail::VerifyTrail>();
    #[cfg(feature = "probe")]
    {
        registry = registry.with::<probe::Probe>();
    }
    for (name, kind) in &config.jobs.kinds {
        let tuning = Tuning {
            concurrency: kind.concurrency.map(|limit| limit as usize),
            timeout: kind
                .timeout_seconds
                .map(|seconds| Duration::from_secs(seconds.into())),
            max_attempts: kind.max_attempts.map(Into::into),
            priority: kind.priority.map(Into::into),
        };
        registry = registry.tuned(name, &tuning);
    }
    registry
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A kind that takes an address and keeps it would keep it beyond an erasure.
    #[test]
    fn no_kind_keeps_an_address() {
        let registry = registry(&Config::default());
        let mut takers = Vec::new();
        for kind in registry.kinds() {
            if kind.schema["properties"]["email"].is_null() {
                continue;
            }
            takers.push(kind.name);
            let payload = json!({"email": "ada@example.org", "organization_id": 1});
            let kept = kind.redacted(&payload);
            let expected = json!({"email": MARKER, "organization_id": 1});
            assert_eq!(kept, Some(expected.clone()), "{}", kind.name);
            assert_eq!(kind.redacted(&expected), None);
            assert_eq!(kind.redacted(&json!({"organization_id": 1})), None);
        }
        let known = ["erase_subject", "export_subject_data", "record_consent"];
        assert_eq!(takers, known);
    }

    /// Whoever consents may be named and quoted otherwise.
    #[test]
    fn a_consent_stands_in_its_record_alone() {
        let registry = registry(&Config::default());
        let kind = registry.find("record_consent").expect("the kind");
        let payload =
            json!({"subject": "Ada L.", "evidence": "she said yes", "purposes": ["news"]});
        let kept = json!({"subject": MARKER, "evidence": MARKER, "purposes": ["news"]});
        assert_eq!(kind.redacted(&payload), Some(kept));
    }
}
