//! S3 with Object Lock: AWS, Ceph's RGW, MinIO and others.
//!
//! Credentials, where they come from and how requests are signed is [`object_store`]'s, and so are listings. Requests that
//! it has no words for (locks, versions, conditions of a bucket) are made here, and writing as well: its own way tries
//! again when an answer was lost, which leaves second locked versions behind, and signs before a lock could be added.

mod bucket;
mod extend;
mod put;
mod request;
mod versions;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future, stream::BoxStream};
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use object_store::{
    ObjectStore,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey},
    path::Path,
};

use super::{
    Backend, Deletion, Digest, Head, Listed, LockState, Protection, Stored, VaultError, Version,
    doctor,
    error::{chain, explain},
    lock::Wanted,
    object::{check_name, directory, modified, object},
    open::{client_options, settings},
    transport::Connector,
};
use crate::clock::Clock;
use crate::config::{LockMode, Objects};

use request::{Call, Client};

pub(super) use bucket::examine;

/// Versions of a page, as many as S3 gives.
const PAGE_SIZE: u16 = 1000;

#[derive(Clone)]
pub(super) struct S3 {
    store: Arc<AmazonS3>,
    client: Arc<Client>,
    bucket: Arc<str>,
    /// Empty, or ending with a slash.
    prefix: Arc<str>,
    location: Arc<str>,
    lock_mode: LockMode,
}

impl S3 {
    pub(super) fn open(
        config: &Objects,
        bucket: &str,
        prefix: &str,
        location: Arc<str>,
    ) -> Result<Self, VaultError> {
        let connector = Connector::new(config);
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_retry(connector.retry())
            .with_client_options(client_options(config))
            .with_http_connector(connector.clone());
        if !config.region.is_empty() {
            builder = builder.with_region(&config.region);
        }
        if !config.access_key_id.is_empty() {
            builder = builder
                .with_access_key_id(&config.access_key_id)
                .with_secret_access_key(config.secret_access_key.expose());
        }
        let region = builder
            .get_config_value(&AmazonS3ConfigKey::Region)
            .unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = match config.endpoint.is_empty() {
            false => config.endpoint.clone(),
            true => [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint]
                .iter()
                .find_map(|key| builder.get_config_value(key))
                .unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com")),
        };
        let fail = |problem: &str| settings(&location, problem);
        if !prefix.is_empty() && check_name(prefix).is_err() {
            let problem = "its prefix holds more than letters, digits and -_.=+/";
            return Err(fail(problem));
        }
        let endpoint = endpoint.trim_end_matches('/');
        if !endpoint.starts_with("https://") && !config.allow_http {
            let problem =
                "its endpoint is not https://, and objects.allow_http does not allow that";
            return Err(fail(problem));
        }
        let address = match (config.path_style, endpoint.split_once("://")) {
            (false, Some((scheme, host))) => format!("{scheme}://{bucket}.{host}"),
            _ => format!("{endpoint}/{bucket}"),
        };
        // With the bucket in the host's name the crate takes the endpoint for the bucket's own.
        let store = match config.path_style {
            true => builder.with_endpoint(endpoint),
            false => builder.with_endpoint(&address),
        };
        let store = store
            .with_virtual_hosted_style_request(!config.path_style)
            .build()
            .map_err(|error| fail(&chain(&error)))?;
        let client = Client {
            http: connector
                .client(config.allow_http)
                .map_err(|error| fail(&error.to_string()))?,
            credentials: Arc::clone(store.credentials()),
            region,
            address,
            location: Arc::clone(&location),
        };
        Ok(Self {
            store: Arc::new(store),
            client: Arc::new(client),
            bucket: bucket.into(),
            prefix: match prefix.is_empty() {
                true => "".into(),
                false => format!("{prefix}/").into(),
            },
            location,
            lock_mode: config.lock_mode,
        })
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The name that belongs to a key of ours.
    fn name(&self, key: &str) -> String {
        key.strip_prefix(&*self.prefix).unwrap_or(key).to_owned()
    }

    /// Asks for one version, or the latest.
    fn ask<'a>(
        &self,
        method: Method,
        name: &str,
        version: Option<&str>,
        action: &'a str,
    ) -> Call<'a> {
        let query = version.map(|version| ("versionId", version.to_owned()));
        Call {
            method,
            key: Some(self.key(name)),
            query: query.into_iter().collect(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            action,
            object: object(name, version),
        }
    }

    /// Looks at a version, and at its lock.
    async fn look(
        &self,
        name: &str,
        version: Option<&str>,
        wanted: Wanted,
    ) -> Result<(Head, Option<Digest>), VaultError> {
        let mut call = self.ask(Method::HEAD, name, version, "look at");
        // AWS answers with the digest that it checked only when it is asked for it.
        let asks = http::HeaderValue::from_static("ENABLED");
        call.headers.insert("x-amz-checksum-mode", asks);
        let answer = self.client.send(&call).await?;
        if answer.status != StatusCode::OK {
            return Err(self.client.explain(&call, &answer));
        }
        let mode = answer.header("x-amz-object-lock-mode");
        let until = answer.header("x-amz-object-lock-retain-until-date");
        let mut lock = wanted.judge(mode, until);
        let found = answer.header("x-amz-version-id").or(version);
        if found.is_none_or(|version| version == "null")
            && let LockState::NotLocked { why, .. } = &mut lock
        {
            "the bucket keeps no versions, so that nothing in it is locked".clone_into(why);
        }
        let head = Head {
            name: name.to_owned(),
            version: found.map(str::to_owned),
            size: answer
                .header("content-length")
                .and_then(|size| size.parse().ok())
                .unwrap_or(0),
            lock,
            is_held: answer.header("x-amz-object-lock-legal-hold") == Some("ON"),
        };
        let digest = answer.header("x-amz-checksum-sha256");
        Ok((head, digest.and_then(put::digest)))
    }
}

#[async_trait]
impl Backend for S3 {
    fn location(&self) -> &Arc<str> {
        &self.location
    }

    fn protection(&self) -> Protection {
        Protection::ObjectLock
    }

    async fn put(&self, name: &str, bytes: Bytes, until: Timestamp) -> Result<Stored, VaultError> {
        self.put_locked(name, bytes, until).await
    }

    async fn extend(
        &self,
        name: &str,
        version: Option<&str>,
        until: Timestamp,
    ) -> Result<LockState, VaultError> {
        self.extend_lock(name, version, until).await
    }

    async fn get(&self, name: &str, version: Option<&str>) -> Result<Bytes, VaultError> {
        let call = self.ask(Method::GET, name, version, "read");
        let answer = self.client.send(&call).await?;
        match answer.status {
            StatusCode::OK => Ok(answer.body),
            _ => Err(self.client.explain(&call, &answer)),
        }
    }

    async fn head(&self, name: &str, version: Option<&str>) -> Result<Head, VaultError> {
        let wanted = Wanted {
            mode: self.lock_mode,
            until: Some(Clock.now()).filter(|_| self.lock_mode != LockMode::None),
        };
        Ok(self.look(name, version, wanted).await?.0)
    }

    fn list(&self, prefix: &str) -> BoxStream<'static, Result<Listed, VaultError>> {
        let this = self.clone();
        let path = Path::from(self.key(directory(prefix)));
        let path = Some(path).filter(|path| !path.as_ref().is_empty());
        let prefix = prefix.to_owned();
        let listed = self.store.list(path.as_ref());
        let location = Arc::clone(&self.location);
        listed
            .map_err(move |error| explain(&location, "list objects", "", error))
            .map_ok(move |found| Listed {
                name: this.name(found.location.as_ref()),
                size: found.size,
                modified: modified(&found),
            })
            .try_filter(move |found| future::ready(found.name.starts_with(&prefix)))
            .boxed()
    }

    fn versions(&self, prefix: &str) -> BoxStream<'static, Result<Version, VaultError>> {
        self.list_versions(self.key(prefix), PAGE_SIZE)
    }

    async fn delete_version(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> Result<Deletion, VaultError> {
        // Without a version it would only hide the object.
        let version = version.unwrap_or("null");
        let call = self.ask(Method::DELETE, name, Some(version), "delete");
        let answer = self.client.send(&call).await?;
        match answer.status {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(Deletion::Deleted),
            StatusCode::FORBIDDEN => Ok(Deletion::Refused {
                reason: answer.reason(),
            }),
            // MinIO's way to say that an object is under WORM protection.
            _ if answer.code().as_deref() == Some("InvalidRequest") => Ok(Deletion::Refused {
                reason: answer.reason(),
            }),
            _ => Err(self.client.explain(&call, &answer)),
        }
    }

    async fn examine(&self, examination: &mut doctor::Examination) {
        examine(self, examination).await;
    }

    fn place(&self, name: &str) -> Result<(Arc<dyn ObjectStore>, Path), VaultError> {
        Ok((Arc::clone(&self.store) as _, Path::from(self.key(name))))
    }
}
