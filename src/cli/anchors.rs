//! Where commands take anchors from.

use anyhow::bail;

use super::Failure;
use crate::{
    anchor::{self, AnchorError, Loaded},
    backup::{BackupError, Vouchers},
    checkpoint::{coverage::Coverage, note::VerifierKey},
    config::Config,
    objects::Vault,
    qwed::{Database, url::DatabaseUrl},
    state::{Found, StateError, Store},
    tombstones::{Graveyard, OpenError},
    verify::report::AnchorsReport,
};

/// Inventories that "trailkeeper verify" authenticates besides the newest.
const DEPTH: u64 = 48;

/// Keys that anchors may be signed with.
pub(super) struct Sources {
    pub(super) keys: Vec<VerifierKey>,
}

impl Sources {
    /// Those of the configuration.
    pub(super) fn configured(config: &Config) -> anyhow::Result<Self> {
        let keys = anchor::public_keys(&config.anchor_key_file(), &config.anchors.public_keys)?;
        Ok(Self { keys })
    }

    /// The public key that was given: its text, or @ and a file that holds it.
    pub(super) fn given(text: &str) -> anyhow::Result<Self> {
        let text = match text.strip_prefix('@') {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| anyhow::anyhow!("cannot read {path}: {error}"))?,
            None => text.to_owned(),
        };
        let key = text.trim().parse();
        let key = key.map_err(|error| anyhow::anyhow!("--public-key: {error}"))?;
        Ok(Self { keys: vec![key] })
    }
}

/// The anchors of a state database, which stay readable while this lives.
pub(super) struct Anchors {
    pub(super) loaded: Loaded,
    /// When what they cover was last checked in full, if it ever was.
    pub(super) coverage: Option<Coverage>,
    _runtime: tokio::runtime::Runtime,
}

impl Anchors {
    /// Loads them; `None` where there is no state database, or none that ever had anchors.
    pub(super) fn load(
        url: &str,
        origin: &str,
        keys: &[VerifierKey],
    ) -> anyhow::Result<Option<Self>> {
        let runtime = runtime()?;
        let loaded = runtime.block_on(async {
            match Store::look(url).await? {
                Found::NoFile | Found::Database { applied: 0, .. } => return Ok(None),
                Found::Database { applied, known } if applied < known => bail!(
                    "the state database is of an older release, so its anchors cannot be read; run \"trailkeeper migrate\", \
                     or give --anchors none"
                ),
                Found::Database { .. } => {}
            }
            let store = Store::open(url, 3).await?;
            let loaded = anchor::load(&store, origin, keys, None, DEPTH).await?;
            Ok(Some((loaded, store.coverage().await?)))
        })?;
        Ok(loaded.map(|(loaded, coverage)| Self {
            loaded,
            coverage,
            _runtime: runtime,
        }))
    }

    /// What the report says of them.
    pub(super) fn report(&self) -> AnchorsReport {
        let anchored = self.loaded.anchored.as_ref();
        AnchorsReport {
            number: anchored.map(|anchored| anchored.number),
            time: anchored.map(|anchored| anchored.time.to_string()),
            unread_entries: None,
            findings: self.loaded.findings.clone(),
        }
    }
}

/// Opens QWED's database with the tombstones of erased entries.
pub(super) struct Opener {
    runtime: tokio::runtime::Runtime,
    graveyard: Option<Graveyard>,
}

impl Opener {
    /// One that knows the tombstones in the state database with this URL, if there is one.
    pub(super) fn new(
        url: Option<&str>,
        origin: &str,
        keys: &[VerifierKey],
    ) -> anyhow::Result<Self> {
        let runtime = runtime()?;
        let graveyard = runtime.block_on(async {
            let Some(url) = url else {
                return Ok(None);
            };
            match Store::look(url).await? {
                Found::Database { applied, known } if applied >= known => {}
                _ => return Ok(None),
            }
            anyhow::Ok(Some(Graveyard {
                store: Store::open(url, 3).await?,
                origin: origin.to_owned(),
                keys: keys.to_vec(),
            }))
        })?;
        Ok(Self { runtime, graveyard })
    }

    pub(super) fn open(&self, url: &DatabaseUrl) -> Result<Database, OpenError> {
        match &self.graveyard {
            Some(graveyard) => graveyard.open(self.runtime.handle(), url),
            None => Ok(Database::open(url)?),
        }
    }

    /// Whether entries were erased since the tombstones up to this number of the ledger.
    pub(super) fn has_newer(&self, newest: i64) -> Result<bool, StateError> {
        match &self.graveyard {
            Some(graveyard) => self.runtime.block_on(graveyard.has_newer(newest)),
            None => Ok(false),
        }
    }
}

/// The anchors of the configured archive.
pub(super) fn archived(config: &Config, keys: &[VerifierKey]) -> anyhow::Result<Vouchers> {
    if keys.is_empty() {
        bail!(
            "no key says whether the archive's anchors were signed: give their public key (anchors.public_keys, --public-key)"
        );
    }
    let vault = Vault::open(config)?;
    let origin = &config.anchors.origin;
    let vouchers = runtime()?.block_on(Vouchers::load(&vault, origin, keys))?;
    if vouchers.is_empty() {
        bail!("there are no anchors in the archive {}", vault.location());
    }
    Ok(vouchers)
}

/// A runtime whose connections go on while another thread waits for them.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?)
}

/// Runs what a command waits for, where some of it waits on threads of its own. What Ctrl-C ended has an exit code of its own.
pub(super) fn threaded<T>(work: impl Future<Output = anyhow::Result<T>>) -> Result<T, Failure> {
    let done = runtime().map_err(Failure::could_not_check)?.block_on(work);
    done.map_err(|error| {
        let is_interrupted = matches!(error.downcast_ref(), Some(AnchorError::Interrupted))
            || matches!(error.downcast_ref(), Some(BackupError::Interrupted));
        match is_interrupted {
            true => Failure::interrupted(error),
            false => Failure::could_not_check(error),
        }
    })
}
