//! The section `[objects]`: where objects are kept for good, and how they are locked.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Invalid, Secret, sections::scheme};

/// The kinds of stores, by the scheme of their URL.
pub(super) const SCHEMES: [&str; 4] = ["file", "s3", "az", "gs"];

/// The store of objects that are written once and kept.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Objects {
    /// Where it is; see [`super::Config::objects_url`].
    pub url: Secret,
    /// The file that holds it instead.
    pub url_file: PathBuf,
    /// Address of the service, if it is not the provider's own.
    pub endpoint: String,
    /// Whether the bucket stands in the path and not in the host's name; `s3://` only.
    pub path_style: bool,
    /// The region that requests are signed for; `s3://` only.
    pub region: String,
    /// Who we are: an access key (`s3://`) or a storage account (`az://`).
    pub access_key_id: String,
    /// The secret that belongs to it; for `gs://` a service account's key, as JSON.
    pub secret_access_key: Secret,
    /// The file that holds it instead.
    pub secret_access_key_file: PathBuf,
    /// Whether an endpoint without TLS is accepted.
    pub allow_http: bool,
    /// How objects are locked.
    pub lock_mode: LockMode,
    /// How long objects are kept that name no other time.
    #[schemars(range(min = 1, max = 36_500))]
    pub retention_days: u32,
    /// Time to connect.
    #[schemars(range(min = 1, max = 300))]
    pub connect_timeout_seconds: u32,
    /// Time for one request with its answer.
    #[schemars(range(min = 1, max = 3600))]
    pub request_timeout_seconds: u32,
}

/// How objects are locked, in the words of S3 Object Lock.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum LockMode {
    /// Nobody can delete an object or shorten its lock before its time.
    Compliance,
    /// Only who has the right to bypass it can.
    Governance,
    /// Not at all.
    #[serde(rename = "none")]
    None,
}

impl Objects {
    /// What is wrong with the values.
    #[must_use]
    pub fn validate(&self) -> Vec<Invalid> {
        let mut broken = Vec::new();
        scheme(&mut broken, "objects.url", &self.url, &SCHEMES);
        let (kind, place) = self
            .url
            .expose()
            .split_once("://")
            .unwrap_or(("file", "/default"));
        if SCHEMES.contains(&kind) {
            let (bucket, _) = place.split_once('/').unwrap_or((place, ""));
            let problem = match kind {
                "file" if !bucket.is_empty() => {
                    Some("has to name an absolute directory, as in file:///srv/objects")
                }
                "file" => None,
                _ if bucket.is_empty() => Some("names no bucket"),
                _ if place.contains(['@', '?', '#']) => Some(
                    "has to be no more than a bucket and a prefix; credentials have keys of their own",
                ),
                _ => None,
            };
            broken.extend(problem.map(|problem| Invalid::new("objects.url", problem)));
        }
        let is_http = self.endpoint.starts_with("http://");
        if !self.endpoint.is_empty() && !is_http && !self.endpoint.starts_with("https://") {
            let problem = "has to begin with https:// or http://";
            broken.push(Invalid::new("objects.endpoint", problem));
        }
        if is_http && !self.allow_http {
            let problem = "is not encrypted; use https://, or set objects.allow_http = true";
            broken.push(Invalid::new("objects.endpoint", problem));
        }
        if self.endpoint.contains(['@', '?', '#']) {
            let problem = "has to be an address alone, without credentials or options";
            broken.push(Invalid::new("objects.endpoint", problem));
        }
        // An account or a service account's key may well stand alone; an access key cannot.
        if kind == "s3" && self.access_key_id.is_empty() != self.secret_access_key.is_empty() {
            let key = match self.access_key_id.is_empty() {
                true => "objects.secret_access_key",
                false => "objects.access_key_id",
            };
            let problem =
                "is set alone: objects.access_key_id and objects.secret_access_key belong together";
            broken.push(Invalid::new(key, problem));
        }
        broken
    }
}
