//! The sections but for jobs. Defaults stand in `config/default.toml` alone; ranges are part of the schema, so that they are
//! checked where the place of a value is known, and `validate` checks what takes more than one value or a parser.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::{Invalid, KeyConfig, Secret};

/// QWED's database and keys.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Qwed {
    /// QWED's `DATABASE_URL`; see [`super::Config::qwed_url`].
    pub database_url: Secret,
    /// The file that holds it instead.
    pub database_url_file: PathBuf,
    /// The keys that signed the trail.
    pub keys: Vec<KeyConfig>,
    /// QWED's `QWED_API_KEY_LOOKUP_SECRET`, by which its API keys are looked up.
    pub api_key_lookup_secret: Secret,
    /// The file that holds it instead.
    pub api_key_lookup_secret_file: PathBuf,
}

/// The worker's own state.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Its database; see [`super::Config::state_url`].
    pub url: Secret,
    /// The file that holds it instead.
    pub url_file: PathBuf,
    /// Connections to PostgreSQL, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub max_connections: u32,
}

impl State {
    /// What is wrong with the values.
    #[must_use]
    pub fn validate(&self) -> Vec<Invalid> {
        let mut broken = Vec::new();
        scheme(
            &mut broken,
            "state.url",
            &self.url,
            &["sqlite", "postgresql", "postgres"],
        );
        broken
    }
}

/// The broker.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Amqp {
    /// The broker's address; empty if jobs run inside the program.
    pub url: Secret,
    /// The file that holds it instead.
    pub url_file: PathBuf,
    /// Authorities to trust besides the system's, in PEM form; empty for none.
    pub ca_file: PathBuf,
    /// This client's certificate, in PEM form; empty for none.
    pub client_cert_file: PathBuf,
    /// The certificate's private key, in PEM form; empty for none.
    pub client_key_file: PathBuf,
    /// Messages that the broker hands out ahead, from 1.
    #[schemars(range(min = 1, max = 65_535))]
    pub prefetch: u16,
    /// Messages that are stored and acknowledged together, 1 to `prefetch`.
    #[schemars(range(min = 1, max = 65_535))]
    pub batch: u16,
    /// A larger message is refused.
    #[schemars(range(min = 1024, max = 134_217_728))]
    pub max_body_bytes: u32,
    /// Longest pause between attempts to connect.
    #[schemars(range(min = 1, max = 3600))]
    pub reconnect_max_seconds: u32,
    /// How long an event that no queue takes is offered again.
    #[schemars(range(min = 1, max = 8760))]
    pub unroutable_event_hours: u32,
}

impl Amqp {
    /// What is wrong with the values.
    #[must_use]
    pub fn validate(&self) -> Vec<Invalid> {
        let mut broken = Vec::new();
        scheme(&mut broken, "amqp.url", &self.url, &["amqp", "amqps"]);
        let is_set = |path: &PathBuf| !path.as_os_str().is_empty();
        match (
            is_set(&self.client_cert_file),
            is_set(&self.client_key_file),
        ) {
            (true, false) => {
                broken.push(Invalid::new(
                    "amqp.client_cert_file",
                    "is set without amqp.client_key_file",
                ));
            }
            (false, true) => {
                broken.push(Invalid::new(
                    "amqp.client_key_file",
                    "is set without amqp.client_cert_file",
                ));
            }
            _ => {}
        }
        if self.batch > self.prefetch {
            let problem =
                "has to be at most amqp.prefetch: the broker would not hand out a whole batch";
            broken.push(Invalid::new("amqp.batch", problem));
        }
        broken
    }
}

/// Verification.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// Readers side by side, up to 1024; 0 for one for each core.
    #[schemars(range(min = 0, max = 1024))]
    pub threads: u16,
    /// Findings and entry ids that are listed for each organisation, from 1.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_findings: u32,
    /// Entries that one piece of a long verification covers.
    #[schemars(range(min = 1000, max = 1_000_000_000))]
    pub piece_entries: u32,
    /// How a whole trail is cut into pieces.
    pub cut: Cut,
    /// Within how many days a rolling check checks everything in full.
    #[schemars(range(min = 1, max = 90))]
    pub rolling_days: u32,
}

/// How a whole trail is cut into pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// By organisation where all of it is no more than one piece, else by key range.
    Auto,
    /// One piece for each organisation, several for a large one.
    Organization,
    /// All organisations together, by id.
    KeyRange,
}

/// How old QWED's API keys may become.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeys {
    /// Age at which a key has to be rotated.
    #[schemars(range(min = 1, max = 36_500))]
    pub max_age_days: u32,
    /// How long before that it is announced; less than `max_age_days`.
    pub due_soon_days: u32,
    /// A key unused for so long is dormant.
    #[schemars(range(min = 1, max = 36_500))]
    pub dormant_days: u32,
    /// Whether keys that are overdue are marked in QWED's database.
    pub flag_in_database: bool,
    /// A role that may do so; see [`super::Config::flag_url`].
    pub flag_database_url: Secret,
    /// The file that holds it instead.
    pub flag_database_url_file: PathBuf,
}

impl ApiKeys {
    /// What is wrong with the values.
    #[must_use]
    pub fn validate(&self) -> Vec<Invalid> {
        let mut broken = Vec::new();
        if self.due_soon_days >= self.max_age_days {
            let problem =
                "has to be less than keys.max_age_days: every key would always be due soon";
            broken.push(Invalid::new("keys.due_soon_days", problem));
        }
        broken
    }
}

/// The Prometheus endpoint.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Where it listens.
    #[schemars(extend("format" = super::read::SOCKET_ADDRESS))]
    pub listen: SocketAddr,
    /// Organisations that have labels of their own.
    #[schemars(range(max = 10_000))]
    pub max_organizations: u32,
}

/// Logging.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Directives of `tracing_subscriber`'s `EnvFilter`.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

impl Log {
    /// What is wrong with the values.
    #[must_use]
    pub fn validate(&self) -> Vec<Invalid> {
        match EnvFilter::try_new(&self.level) {
            Ok(_) => Vec::new(),
            Err(_) => vec![Invalid::new(
                "log.level",
                "is no filter; use a level such as \"info\", or levels for parts such as \"warn,trailkeeper=debug\"",
            )],
        }
    }
}

/// How lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON document each.
    Json,
}

/// Erasure of data subjects.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// A role that may erase in QWED's database; see [`super::Config::erase_url`].
    pub database_url: Secret,
    /// The file that holds it instead.
    pub database_url_file: PathBuf,
    /// Who approves what is planned.
    pub approval: Approval,
    /// Services whose signed requests need no other approval.
    pub producers: Vec<KeyConfig>,
    /// What is done with entries of the trail.
    pub entries: EraseEntries,
    /// What is done with security events.
    pub security_events: EraseEntries,
    /// What is done with API keys, once they are revoked.
    pub api_keys: EraseKeys,
    /// What is done with activities of the subject's agents.
    pub agent_activity: EraseActivity,
    /// What is done with the user itself.
    pub user: EraseEntries,
    /// Whether others' entries are searched for the subject's address when an erasure is planned.
    pub find_mentions: bool,
    /// Rows beyond which a plan is refused unless that is allowed for it.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub max_rows: u32,
    /// Days before its time is over at which a request is warned of.
    #[schemars(range(min = 1, max = 60))]
    pub warn_days: u32,
}

/// Who approves an erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// Somebody, by a command.
    Manual,
    /// A producer, by its signature.
    Signed,
}

/// What is done with rows that the trail, or somebody else, may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EraseEntries {
    /// Personal columns are replaced by a marker.
    Anonymise,
    /// Rows are deleted.
    Delete,
}

/// What is done with API keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EraseKeys {
    /// They are deleted.
    Delete,
    /// They stay, revoked and nobody's.
    Detach,
}

/// What is done with activities of agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EraseActivity {
    /// Personal columns are replaced by a marker.
    Anonymise,
    /// Nothing.
    Keep,
}

impl Erasure {
    /// What is wrong with the values.
    #[must_use]
    pub fn validate(&self) -> Vec<Invalid> {
        let mut broken = Vec::new();
        if self.approval == Approval::Signed && self.producers.is_empty() {
            let problem = "is \"signed\", and erasure.producers names nobody who could sign";
            broken.push(Invalid::new("erasure.approval", problem));
        }
        broken
    }
}

/// Checks that a URL that is set has one of these schemes. The rest is for who connects.
pub(super) fn scheme(broken: &mut Vec<Invalid>, key: &str, url: &Secret, schemes: &[&str]) {
    let found = url.expose().split_once("://").map(|(scheme, _)| scheme);
    if !url.is_empty() && found.is_none_or(|found| !schemes.contains(&found)) {
        let problem = format!("has to begin with {}://", schemes.join(":// or "));
        broken.push(Invalid::new(key, problem));
    }
}

/// Anchors: signed statements about every trail.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Anchors {
    /// Whose trails they are about; the first line of every statement begins with it.
    pub origin: String,
    /// The file with the key that signs them; see [`super::Config::anchor_key_file`].
    pub key_file: PathBuf,
    /// Public keys of former signing keys.
    pub public_keys: Vec<String>,
}

impl Anchors {
    /// What is wrong with the values.
    #[must_use]
    pub fn validate(&self) -> Vec<Invalid> {
        let mut broken = Vec::new();
        let is_name = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
        if self.origin.is_empty() || !self.origin.chars().all(is_name) {
            let problem = "has to be a name without spaces and \"+\", such as audit.example.org";
            broken.push(Invalid::new("anchors.origin", problem));
        }
        for key in &self.public_keys {
            if let Err(error) = key.parse::<crate::checkpoint::note::VerifierKey>() {
                broken.push(Invalid::new("anchors.public_keys", error.to_string()));
            }
        }
        broken
    }
}

/// The archive of the trail.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// The key-encryption key, which wraps the data keys: 32 bytes in base64; see [`super::Config::kek_file`].
    pub kek: Secret,
    /// The file that holds it instead.
    pub kek_file: PathBuf,
    /// Public keys (age) that the data keys are exported to after each backup; if there are none, they are not.
    pub recovery_recipients: Vec<String>,
    /// How long an export is kept, in days.
    #[schemars(range(min = 1, max = 3650))]
    pub recovery_retention_days: u32,
    /// A PostgreSQL server for the scratch databases of drills; see [`super::Config::scratch_directory`].
    pub scratch_url: Secret,
    /// The file that holds it instead.
    pub scratch_url_file: PathBuf,
}

impl Backup {
    /// What is wrong with the values.
    #[must_use]
    pub fn validate(&self) -> Vec<Invalid> {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let mut broken = Vec::new();
        let bytes = STANDARD.decode(self.kek.expose().trim());
        if !self.kek.is_empty()
            && bytes
                .map(zeroize::Zeroizing::new)
                .map_or(0, |key| key.len())
                != 32
        {
            let problem =
                "has to be 32 random bytes in base64, such as \"openssl rand -base64 32\" prints";
            broken.push(Invalid::new("backup.kek", problem));
        }
        let is_recipient = |text: &&String| text.parse::<age::x25519::Recipient>().is_ok();
        if !self.recovery_recipients.iter().all(|it| is_recipient(&it)) {
            let problem =
                "has to hold public keys that begin with age1, such as \"age-keygen\" prints";
            broken.push(Invalid::new("backup.recovery_recipients", problem));
        }
        broken
    }
}

/// The consent ledger.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// Whether QWED is told of each record.
    pub forward_to_qwed: bool,
    /// Where QWED answers, as `https://qwed.example.org`.
    pub qwed_url: String,
    /// The API key that it is told with.
    pub api_key: Secret,
    /// The file that holds it instead.
    pub api_key_file: PathBuf,
}

impl Consent {
    /// What is wrong with the values.
    #[must_use]
    pub fn validate(&self) -> Vec<Invalid> {
        let mut broken = Vec::new();
        let url = url::Url::parse(&self.qwed_url);
        let is_http = url
            .as_ref()
            .is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.password().is_none());
        if !self.qwed_url.is_empty() && !is_http {
            let problem = "has to be https://host or http://host, without a password";
            broken.push(Invalid::new("consent.qwed_url", problem));
        }
        if self.forward_to_qwed && (self.qwed_url.is_empty() || self.api_key.is_empty()) {
            let problem = "needs consent.qwed_url and consent.api_key";
            broken.push(Invalid::new("consent.forward_to_qwed", problem));
        }
        broken
    }
}

/// Evidence for auditors.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Days up to now that a report covers where nothing else is asked for.
    #[schemars(range(min = 1, max = 3660))]
    pub period_days: u32,
    /// How old the newest drill of the archive may be.
    #[schemars(range(min = 1, max = 3660))]
    pub drill_max_age_days: u32,
    /// How old the key may be that signs the trail.
    #[schemars(range(min = 1, max = 36500))]
    pub signing_key_max_age_days: u32,
    /// Rows that a table of a report lists; all are counted.
    #[schemars(range(min = 10, max = 1_000_000))]
    pub max_rows: u32,
}

/// What people are given who ask what is held about them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// Where jobs put exports; see [`super::Config::export_url`].
    pub url: Secret,
    /// The file that holds it instead.
    pub url_file: PathBuf,
    /// How long they are kept there, in days.
    #[schemars(range(min = 1, max = 3650))]
    pub keep_days: u32,
    /// Who is responsible for the data.
    pub controller: String,
    /// Whom to ask.
    pub contact: String,
    /// For how long data are kept, in a sentence.
    pub retention: String,
}

impl Export {
    /// What is wrong with the values.
    #[must_use]
    pub fn validate(&self) -> Vec<Invalid> {
        let mut broken = Vec::new();
        scheme(
            &mut broken,
            "export.url",
            &self.url,
            &super::objects::SCHEMES,
        );
        broken
    }
}
