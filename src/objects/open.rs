//! From the configuration to a vault.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use object_store::{
    ClientOptions, ObjectStore, azure::MicrosoftAzureBuilder, gcp::GoogleCloudStorageBuilder,
    local::LocalFileSystem,
};

use super::{
    Backend, Protection, Vault, VaultError, error::chain, plain::Plain, s3::S3,
    transport::Connector,
};
use crate::config::{Config, LockMode, Objects};

impl Vault {
    /// Opens the same store for exports of keys: they are kept for `backup.recovery_retention_days`, and locked so that an
    /// administrator can lift the lock.
    ///
    /// # Errors
    /// If the configuration cannot be used.
    pub fn open_for_recovery(config: &Config) -> Result<Self, VaultError> {
        let mut config = config.clone();
        config.objects.retention_days = config.backup.recovery_retention_days;
        if config.objects.lock_mode == LockMode::Compliance {
            config.objects.lock_mode = LockMode::Governance;
        }
        Self::open(&config)
    }

    /// Opens the store for exports, which are not locked: they are personal data in the clear.
    ///
    /// # Errors
    /// If the configuration cannot be used.
    pub fn open_for_exports(config: &Config) -> Result<Self, VaultError> {
        let mut config = config.clone();
        config.objects.url = config.export_url();
        config.objects.lock_mode = LockMode::None;
        Self::open(&config)
    }

    /// Opens the store that is configured. Nothing is connected to; a directory is made if there is none.
    ///
    /// # Errors
    /// If the configuration cannot be used.
    pub fn open(config: &Config) -> Result<Self, VaultError> {
        let url = config.objects_url();
        let objects = &config.objects;
        let (scheme, place) = url.expose().split_once("://").unwrap_or(("file", ""));
        let location: Arc<str> = url.to_string().into();
        let backend: Arc<dyn Backend> = match scheme {
            "file" => Arc::new(directory(objects, place, location)?),
            "s3" => {
                let (bucket, prefix) = split(place);
                Arc::new(S3::open(objects, bucket, prefix, location)?)
            }
            "az" => Arc::new(azure(objects, place, location)?),
            "gs" => Arc::new(google(objects, place, location)?),
            _ => {
                let problem = "objects.url has to begin with s3://, az://, gs:// or file://";
                return Err(settings(&location, problem));
            }
        };
        Ok(Self {
            backend,
            lock_mode: objects.lock_mode,
            retention_days: objects.retention_days,
        })
    }
}

fn directory(config: &Objects, path: &str, location: Arc<str>) -> Result<Plain, VaultError> {
    let path = Path::new(path);
    let store = fs::create_dir_all(path)
        .map_err(|error| error.to_string())
        .and_then(|()| LocalFileSystem::new_with_prefix(path).map_err(|error| chain(&error)));
    let store = store.map_err(|error| {
        let problem = format!(
            "its directory cannot be made: {error}; set objects.url or data_dir to one that the worker may write"
        );
        settings(&location, &problem)
    })?;
    let store = store.with_fsync(true);
    Ok(Plain {
        store: Arc::new(store.clone()),
        directory: Some(store),
        prefix: String::new(),
        location,
        protection: Protection::FILES,
        lock_mode: config.lock_mode,
    })
}

fn azure(config: &Objects, place: &str, location: Arc<str>) -> Result<Plain, VaultError> {
    let (container, prefix) = split(place);
    let connector = Connector::new(config);
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_container_name(container)
        .with_retry(connector.retry())
        .with_client_options(client_options(config))
        .with_http_connector(connector);
    if !config.endpoint.is_empty() {
        builder = builder.with_endpoint(config.endpoint.clone());
    }
    if !config.access_key_id.is_empty() {
        builder = builder.with_account(&config.access_key_id);
    }
    if !config.secret_access_key.is_empty() {
        builder = builder.with_access_key(config.secret_access_key.expose());
    }
    let store = builder.build();
    plain(store, prefix, location, Protection::AZURE, config)
}

fn google(config: &Objects, place: &str, location: Arc<str>) -> Result<Plain, VaultError> {
    let (bucket, prefix) = split(place);
    let connector = Connector::new(config);
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(bucket)
        .with_retry(connector.retry())
        .with_client_options(client_options(config))
        .with_http_connector(connector);
    if !config.endpoint.is_empty() {
        builder = builder.with_base_url(&config.endpoint);
    }
    if !config.secret_access_key.is_empty() {
        builder = builder.with_service_account_key(config.secret_access_key.expose());
    }
    let store = builder.build();
    plain(store, prefix, location, Protection::GOOGLE, config)
}

fn plain(
    store: object_store::Result<impl ObjectStore>,
    prefix: &str,
    location: Arc<str>,
    protection: Protection,
    config: &Objects,
) -> Result<Plain, VaultError> {
    let store = store.map_err(|error| settings(&location, &chain(&error)))?;
    Ok(Plain {
        store: Arc::new(store),
        directory: None,
        prefix: prefix.to_owned(),
        location,
        protection,
        lock_mode: config.lock_mode,
    })
}

pub(super) fn client_options(config: &Objects) -> ClientOptions {
    ClientOptions::new().with_allow_http(config.allow_http)
}

/// The bucket and the prefix, which neither begins nor ends with a slash.
fn split(place: &str) -> (&str, &str) {
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    (bucket, prefix.trim_matches('/'))
}

pub(super) fn settings(location: &Arc<str>, problem: &str) -> VaultError {
    VaultError::Settings {
        location: Arc::clone(location),
        problem: problem.to_owned(),
    }
}
