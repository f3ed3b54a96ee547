//! Looks up what the checklist goes by. What cannot be looked up leaves its items unknown, and nothing else.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use jiff::Timestamp;

use super::facts::{Events, Facts, KeyFact, Known, OrganizationFact, Quota, Ran, VerdictFact};
use crate::{
    checkpoint::note::VerifierKey,
    config::Config,
    keys::{self, Policy, report::KeyCounts},
    ledger::{self, Act},
    progress::Progress,
    qwed::{
        Database, IdRange, ReadError,
        tables::{Cell, Part, TableSchema, Tables},
        url::DatabaseUrl,
    },
    reviews::{self, Noted},
    state::{
        StateError, Store,
        jobs::{Filter, JobView, State},
    },
    trail::keys::KeyRing,
};

/// Jobs and entries of the ledger that are looked through, the newest first.
const LOOKED_AT: u32 = 1000;

/// Where facts are.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The configuration.
    pub config: Config,
    /// QWED's database; why it is not known where it is not.
    pub qwed: Known<DatabaseUrl>,
    /// Our database; none where there is none yet.
    pub store: Option<Store>,
    /// Keys that may have signed the ledger.
    pub keys: Vec<VerifierKey>,
    /// The audit keys, or why they cannot be had.
    pub ring: Known<Arc<KeyRing>>,
    /// The organisation that is asked about; all where there is none.
    pub organization_id: Option<i64>,
    /// The time.
    pub now: Timestamp,
}

/// Looks everything up. What reads QWED's database does so on a thread of its own.
pub async fn gather(sources: &Sources, progress: &Arc<Progress>) -> Facts {
    let of_state = Ours::read(sources).await;
    let (inner, progress) = (sources.clone(), Arc::clone(progress));
    let reviews = of_state.reviews.clone();
    let reading = tokio::task::spawn_blocking(move || Theirs::read(&inner, &reviews, &progress));
    let theirs = reading.await.unwrap_or_else(|error| {
        let problem = format!("QWED's database was not looked at: {error}");
        Theirs {
            organizations: Err(problem.clone()),
            api_keys: Err(problem.clone()),
            events: Err(problem),
        }
    });
    Facts {
        now: sources.now,
        organization_id: sources.organization_id,
        organizations: theirs.organizations,
        verdicts: of_state.verdicts,
        api_keys: theirs.api_keys,
        max_key_age_days: sources.config.keys.max_age_days,
        reports: of_state.reports,
        audit_keys: audit_keys(sources),
        export: of_state.export,
        failed_export: of_state.failed_export,
        events: theirs.events,
    }
}

/// What our database says.
struct Ours {
    verdicts: Known<Vec<VerdictFact>>,
    reports: Known<Vec<Ran>>,
    export: Known<Option<Ran>>,
    failed_export: Known<Option<Ran>>,
    reviews: Known<Vec<Noted>>,
}

impl Ours {
    async fn read(sources: &Sources) -> Self {
        let Some(store) = &sources.store else {
            let none = "there is no state database yet: no worker has run".to_owned();
            return Self {
                verdicts: Err(none.clone()),
                reports: Err(none.clone()),
                export: Err(none.clone()),
                failed_export: Err(none),
                // Without a ledger there is none.
                reviews: Ok(Vec::new()),
            };
        };
        let origin = &sources.config.anchors.origin;
        Self {
            verdicts: verdicts(store).await.map_err(told),
            reports: reports(store).await.map_err(told),
            export: newest_export(sources, store).await.map_err(told),
            failed_export: jobs(store, "export_subject_data", State::Dead)
                .await
                .map(|jobs| jobs.into_iter().next())
                .map_err(told),
            reviews: reviews::all(store, origin, &sources.keys)
                .await
                .map_err(told),
        }
    }
}

fn told(error: StateError) -> String {
    error.to_string()
}

async fn verdicts(store: &Store) -> Result<Vec<VerdictFact>, StateError> {
    let rows = store.verdicts().await?.into_iter();
    let verdict = |row: crate::state::verdicts::VerdictRow| VerdictFact {
        organization: row.organization,
        verdict: row.verdict,
        checked_at: time(row.checked_at),
    };
    Ok(rows.map(verdict).collect())
}

/// The newest report on each organisation.
async fn reports(store: &Store) -> Result<Vec<Ran>, StateError> {
    let rows = store.newest_reports().await?.into_iter();
    let ran = rows.map(|row| Ran {
        reference: format!("report {}", row.id),
        organization_id: Some(row.organization_id),
        at: time(row.generated_at),
    });
    Ok(ran.collect())
}

/// Jobs of a kind that ended so, the last to end first.
async fn jobs(store: &Store, kind: &str, state: State) -> Result<Vec<Ran>, StateError> {
    let filter = Filter {
        states: vec![state],
        kind: Some(kind.to_owned()),
        parent: None,
        limit: LOOKED_AT.into(),
    };
    let is_done = |job: &JobView| {
        let outcome = job.outcome.as_ref();
        outcome.is_none_or(|outcome| outcome["rejected"] != true)
    };
    let jobs = store.jobs(&filter).await?.into_iter().filter(is_done);
    let mut ran: Vec<Ran> = jobs
        .map(|job| Ran {
            organization_id: job.payload["organization_id"].as_i64(),
            at: time(job.finished_at.unwrap_or(job.created_at)),
            reference: format!("job {}", job.id),
        })
        .collect();
    ran.sort_by_key(|ran| std::cmp::Reverse(ran.at));
    Ok(ran)
}

/// By a job, or by a command that the ledger has.
async fn newest_export(sources: &Sources, store: &Store) -> Result<Option<Ran>, StateError> {
    let by_job = jobs(store, "export_subject_data", State::Succeeded).await?;
    let rows = store
        .newest_ledger(Some(Act::Export.name()), LOOKED_AT)
        .await?;
    let origin = &sources.config.anchors.origin;
    let mut entries = rows
        .iter()
        .filter_map(|row| ledger::open(row, origin, &sources.keys).ok());
    let by_command = entries.next().map(|entry| Ran {
        reference: format!("entry {} of the ledger", entry.number),
        organization_id: entry.detail["organization_id"].as_i64(),
        at: entry.at,
    });
    let all = by_job.into_iter().chain(by_command);
    Ok(all.max_by_key(|ran| ran.at))
}

fn time(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or_default()
}

/// What QWED's database says.
struct Theirs {
    organizations: Known<Vec<OrganizationFact>>,
    api_keys: Known<KeyCounts>,
    events: Known<Events>,
}

impl Theirs {
    fn read(sources: &Sources, reviews: &Known<Vec<Noted>>, progress: &Progress) -> Self {
        let url = match &sources.qwed {
            Ok(url) => url,
            Err(problem) => {
                return Self {
                    organizations: Err(problem.clone()),
                    api_keys: Err(problem.clone()),
                    events: Err(problem.clone()),
                };
            }
        };
        let events = reviews.clone().and_then(|reviews| {
            let id = sources.organization_id;
            let survey = reviews::survey(url, id, &reviews, 0, progress);
            Ok(Events {
                survey: survey.map_err(|error| error.to_string())?,
                newest_review: newest_review(reviews, id),
            })
        });
        Self {
            organizations: organizations(url, sources.organization_id)
                .map_err(|error| error.to_string()),
            api_keys: api_keys(sources, url),
            events,
        }
    }
}

/// One of all organisations covers each; one of a single organisation only that.
fn newest_review(reviews: Vec<Noted>, asked: Option<i64>) -> Option<Noted> {
    let covers = |noted: &Noted| match (noted.review.organization_id, asked) {
        (None, _) => true,
        (Some(of), Some(asked)) => of == asked,
        (Some(_), None) => false,
    };
    let covering = reviews.into_iter().filter(covers);
    covering.max_by_key(|noted| noted.review.until)
}

fn api_keys(sources: &Sources, url: &DatabaseUrl) -> Known<KeyCounts> {
    let section = &sources.config.keys;
    let policy = Policy {
        max_age_days: section.max_age_days,
        due_soon_days: section.due_soon_days,
        dormant_days: section.dormant_days,
        max_listed: 0,
    };
    let asked: Vec<i64> = sources.organization_id.into_iter().collect();
    // Nothing is flagged: that is the daily check's.
    keys::check(url, None, policy, &asked, sources.now)
        .map(|report| report.totals)
        .map_err(|error| error.to_string())
}

fn organizations(
    url: &DatabaseUrl,
    asked: Option<i64>,
) -> Result<Vec<OrganizationFact>, ReadError> {
    let mut tables = Tables::open(url, &["organization", "resourcequota"])?;
    let mut quotas = BTreeMap::new();
    rows(&mut tables, "resourcequota", None, |cell| {
        if let Some(id) = cell("organization_id").and_then(Cell::integer) {
            let limit = |name: &str| cell(name).and_then(Cell::integer);
            let quota = Quota {
                per_day: limit("max_requests_per_day"),
                per_minute: limit("max_requests_per_minute"),
                concurrent: limit("max_concurrent_requests"),
            };
            quotas.insert(id, quota);
        }
    })?;
    let mut found = Vec::new();
    rows(&mut tables, "organization", asked, |cell| {
        if let Some(id) = cell("id").and_then(Cell::integer) {
            found.push(OrganizationFact {
                id,
                is_active: !matches!(
                    cell("is_active"),
                    Some(Cell::Bool(false) | Cell::Integer(0))
                ),
                has_entries: false,
                quota: quotas.get(&id).copied(),
            });
        }
    })?;
    let database = Database::open(url)?;
    let mut reader = database.reader()?;
    let anywhere = IdRange {
        low: i64::MIN,
        high: i64::MAX,
    };
    for organization in &mut found {
        organization.has_entries = reader.bounds(Some(organization.id), anywhere)?.is_some();
    }
    Ok(found)
}

/// Looks a column up in a row.
type Lookup<'r> = dyn Fn(&str) -> Option<&'r Cell> + 'r;

/// Hands each row of a table to `visit`, or only the one with this id.
fn rows(
    tables: &mut Tables,
    name: &str,
    id: Option<i64>,
    mut visit: impl FnMut(&Lookup<'_>),
) -> Result<(), ReadError> {
    let schema = tables.schemas().iter().find(|schema| schema.name == name);
    let Some(schema): Option<TableSchema> = schema.cloned() else {
        return Ok(());
    };
    let part = id.map_or(Part::All, |id| Part::Holding("id", id));
    tables.begin(&schema, part, None)?;
    loop {
        let page = tables.next_page()?;
        if page.is_empty() {
            return Ok(());
        }
        for record in &page {
            visit(&|name: &str| {
                let at = schema.columns.iter().position(|column| column.name == name);
                at.and_then(|at| record.cells.get(at))
            });
        }
    }
}

fn audit_keys(sources: &Sources) -> Known<Vec<KeyFact>> {
    let ring = sources.ring.as_ref().map_err(Clone::clone)?;
    let now = sources.now.as_microsecond();
    let fact = |key: &crate::trail::keys::Key| KeyFact {
        id: key.id().to_owned(),
        weakness: key.weakness(),
        since: key.validity().0.map(time),
        is_in_use: key.may_sign_at(Some(now)),
        is_exposed: is_exposed(&sources.config, key.id()),
    };
    Ok(ring.keys().iter().map(fact).collect())
}

/// Whether anybody on this machine can read the file that a key is in.
fn is_exposed(config: &Config, id: &str) -> bool {
    let key = config.qwed.keys.iter().find(|key| key.id == id);
    let path = key.and_then(|key| key.file.as_deref());
    let mode = path.and_then(|path| path.metadata().ok());
    mode.is_some_and(|mode| mode.permissions().mode() & 0o004 != 0)
}
