//! The configuration: what can be set, where, and what follows from it.
//!
//! Four layers, each stronger than the one before: the defaults that are built in ([`DEFAULT`], which lists every
//! key), a file, variables of the environment, and files that hold secrets. They are laid over one another as values
//! with places ([`Loaded`]), so that every complaint names the line or variable that it is about. The JSON schema of
//! [`Config`] says which keys there are; [`strict`] reads any other TOML as strictly.
//!
//! Nothing here connects to anything: URLs are kept as text, and who uses them parses them.

mod environment;
mod error;
mod http;
mod jobs;
mod layers;
mod nearest;
mod notify;
mod objects;
mod read;
mod ring;
mod schema;
mod secret;
mod sections;
mod show;
pub mod strict;
mod tree;
mod variables;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::trail::time::parse_utc;

pub use environment::Environment;
pub use error::{ConfigError, Invalid, Place, Problem, ProblemKind, Problems};
pub use http::{Http, Network, Scope, TokenConfig};
pub use jobs::{Jobs, Kind};
pub use layers::Loaded;
pub(crate) use layers::read_bounded;
pub use nearest::nearest;
pub use notify::{Channel, ChannelKind, Notify, Route, SmtpTls, is_public, literal_address};
pub use objects::{LockMode, Objects};
pub use ring::KeyConfig;
pub use secret::Secret;
pub use sections::{
    Amqp, Anchors, ApiKeys, Approval, Backup, Consent, Cut, EraseActivity, EraseEntries, EraseKeys,
    Erasure, Export, Log, LogFormat, Metrics, Qwed, Report, State, Verify,
};

/// The file that ships with the program: every key, commented, with its default.
pub const DEFAULT: &str = include_str!("../../config/default.toml");

/// Everything that can be configured.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where files are kept that no other key puts elsewhere.
    pub data_dir: PathBuf,
    /// QWED's side.
    pub qwed: Qwed,
    /// The worker's own state.
    pub state: State,
    /// The broker.
    pub amqp: Amqp,
    /// Object storage.
    pub objects: Objects,
    /// Jobs and their schedules.
    pub jobs: Jobs,
    /// Verification.
    pub verify: Verify,
    /// Anchors.
    pub anchors: Anchors,
    /// The archive of the trail.
    pub backup: Backup,
    /// Erasure of data subjects.
    pub erasure: Erasure,
    /// Exports for data subjects.
    pub export: Export,
    /// Evidence for auditors.
    pub report: Report,
    /// The age of QWED's API keys.
    pub keys: ApiKeys,
    /// The consent ledger.
    pub consent: Consent,
    /// The Prometheus endpoint.
    pub metrics: Metrics,
    /// The HTTP interface.
    pub http: Http,
    /// Who is told when something is wrong.
    pub notify: Notify,
    /// Logging.
    pub log: Log,
}

impl Config {
    /// Reads and validates the configuration: defaults, file and environment.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn load(path: Option<&Path>, environment: &Environment) -> Result<Self, ConfigError> {
        Ok(Loaded::load(path, environment)?.config)
    }

    /// QWED's database; none if nothing says which.
    #[must_use]
    pub fn qwed_url(&self) -> Option<&Secret> {
        Some(&self.qwed.database_url).filter(|url| !url.is_empty())
    }

    /// The worker's own database, by default a SQLite file in the data directory.
    #[must_use]
    pub fn state_url(&self) -> Secret {
        if !self.state.url.is_empty() {
            return self.state.url.clone();
        }
        let path = self.data_dir.join("trailkeeper.db");
        // What would end the path of a URL.
        let path = path.to_string_lossy().replace('%', "%25");
        let path = path.replace('?', "%3F").replace('#', "%23");
        Secret::new(format!("sqlite://{path}"))
    }

    /// The file with the key that signs anchors, by default one in the data directory.
    #[must_use]
    pub fn anchor_key_file(&self) -> PathBuf {
        if self.anchors.key_file.as_os_str().is_empty() {
            self.data_dir.join("anchor.key")
        } else {
            self.anchors.key_file.clone()
        }
    }

    /// The file with the key that wraps the archive's data keys, for when `backup.kek` is not set.
    #[must_use]
    pub fn kek_file(&self) -> PathBuf {
        self.data_dir.join("backup.kek")
    }

    /// The directory in which drills make their scratch databases where `backup.scratch_url` is not set.
    #[must_use]
    pub fn scratch_directory(&self) -> PathBuf {
        self.data_dir.join("scratch")
    }

    /// Where objects are kept, by default files in the data directory.
    #[must_use]
    pub fn objects_url(&self) -> Secret {
        if !self.objects.url.is_empty() {
            return self.objects.url.clone();
        }
        let path = self.data_dir.join("objects");
        Secret::new(format!("file://{}", path.to_string_lossy()))
    }

    /// Where exports for data subjects are put, by default where objects are.
    #[must_use]
    pub fn export_url(&self) -> Secret {
        if !self.export.url.is_empty() {
            return self.export.url.clone();
        }
        self.objects_url()
    }

    /// The directory in which exports are made before they are put.
    #[must_use]
    pub fn export_directory(&self) -> PathBuf {
        self.data_dir.join("exports")
    }

    /// The role that marks overdue API keys; none if it is unknown, as QWED's database is.
    #[must_use]
    pub fn flag_url(&self) -> Option<&Secret> {
        let own = Some(&self.keys.flag_database_url).filter(|url| !url.is_empty());
        own.or_else(|| self.qwed_url())
    }

    /// The role that erases; none if it is unknown, as QWED's database is.
    #[must_use]
    pub fn erase_url(&self) -> Option<&Secret> {
        let own = Some(&self.erasure.database_url).filter(|url| !url.is_empty());
        own.or_else(|| self.qwed_url())
    }

    /// The rules that no type can hold, all sections'.
    #[must_use]
    pub fn validate(&self) -> Vec<Invalid> {
        let mut broken = Vec::new();
        if self.data_dir.as_os_str().is_empty() {
            broken.push(Invalid::new("data_dir", "is empty"));
        }
        broken.extend(self.state.validate());
        broken.extend(self.amqp.validate());
        broken.extend(self.objects.validate());
        broken.extend(self.jobs.validate());
        broken.extend(self.anchors.validate());
        broken.extend(self.backup.validate());
        broken.extend(self.erasure.validate());
        broken.extend(self.export.validate());
        broken.extend(self.keys.validate());
        broken.extend(self.consent.validate());
        broken.extend(self.http.validate());
        broken.extend(self.notify.validate());
        broken.extend(self.log.validate());
        broken
    }
}

impl Default for Config {
    /// The defaults alone.
    ///
    /// # Panics
    /// Never: a test reads the file that is built in.
    fn default() -> Self {
        Self::load(None, &Environment::default()).expect("the defaults are valid")
    }
}

/// A date or time, in UTC unless it has an offset, in microseconds since 1970.
#[must_use]
pub fn parse_micros(text: &str) -> Option<i64> {
    let civil = parse_utc(text.trim())?;
    let timestamp = jiff::tz::Offset::UTC.to_timestamp(civil).ok()?;
    Some(timestamp.as_microsecond())
}

#[cfg(test)]
mod tests;
