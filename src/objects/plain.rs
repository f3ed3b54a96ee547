//! Stores without a lock for each object: a directory, a container of Azure, a bucket of Google Cloud.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future, stream::BoxStream};
use jiff::Timestamp;
use object_store::{
    GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    local::LocalFileSystem, path::Path,
};

use super::{
    Backend, Deletion, Digest, Head, Listed, LockState, MAX_OBJECT_BYTES, Protection, Stored,
    VaultError, Version, doctor,
    error::{chain, explain},
    object::{directory, modified, object},
};
use crate::config::LockMode;

/// How often it is tried to write one object.
const ATTEMPTS: u32 = 3;

pub(super) struct Plain {
    pub(super) store: Arc<dyn ObjectStore>,
    /// The same store, if it is a directory.
    pub(super) directory: Option<LocalFileSystem>,
    pub(super) prefix: String,
    pub(super) location: Arc<str>,
    pub(super) protection: Protection,
    pub(super) lock_mode: LockMode,
}

#[async_trait]
impl Backend for Plain {
    fn location(&self) -> &Arc<str> {
        &self.location
    }

    fn protection(&self) -> Protection {
        self.protection
    }

    async fn put(&self, name: &str, bytes: Bytes, _: Timestamp) -> Result<Stored, VaultError> {
        let sha256 = Digest::of(&bytes);
        let mut attempt = 1;
        loop {
            let written = self.create(name, bytes.clone()).await;
            // What the directory does not say by itself: it is asked either way.
            let found = self.get(name, None).await;
            match (written, found) {
                (_, Ok(content)) => {
                    let found = Digest::of(&content);
                    if found != sha256 {
                        return Err(VaultError::Occupied {
                            location: Arc::clone(&self.location),
                            name: name.to_owned(),
                            wanted: sha256,
                            found,
                        });
                    }
                    self.seal(name).await?;
                    let head = self.head(name, None).await?;
                    return Ok(Stored {
                        name: head.name,
                        version: head.version,
                        sha256,
                        size: head.size,
                        lock: head.lock,
                        is_hidden: false,
                    });
                }
                (Ok(()), Err(error)) => return Err(error),
                (Err(error), _) if !error.is_transient() || attempt == ATTEMPTS => {
                    return Err(error);
                }
                (Err(_), _) => attempt += 1,
            }
        }
    }

    async fn extend(
        &self,
        name: &str,
        version: Option<&str>,
        _: Timestamp,
    ) -> Result<LockState, VaultError> {
        Ok(self.head(name, version).await?.lock)
    }

    async fn get(&self, name: &str, version: Option<&str>) -> Result<Bytes, VaultError> {
        let fail = |error| self.failed(&format!("read {name}"), &object(name, version), error);
        let options = GetOptions::new().with_version(version.map(str::to_owned));
        let found = self.store.get_opts(&self.path(name)?, options).await;
        let found = found.map_err(fail)?;
        if found.meta.size > MAX_OBJECT_BYTES {
            return Err(VaultError::TooLarge {
                location: Arc::clone(&self.location),
                object: object(name, version),
                size: found.meta.size,
                max: MAX_OBJECT_BYTES,
            });
        }
        found.bytes().await.map_err(fail)
    }

    async fn head(&self, name: &str, version: Option<&str>) -> Result<Head, VaultError> {
        let options = GetOptions::new()
            .with_head(true)
            .with_version(version.map(str::to_owned));
        let found = self.store.get_opts(&self.path(name)?, options).await;
        let meta = found
            .map_err(|error| {
                self.failed(&format!("look at {name}"), &object(name, version), error)
            })?
            .meta;
        Ok(Head {
            name: name.to_owned(),
            version: meta.version,
            size: meta.size,
            lock: self.lock(),
            is_held: false,
        })
    }

    fn list(&self, prefix: &str) -> BoxStream<'static, Result<Listed, VaultError>> {
        self.listing(prefix)
            .map_ok(|(name, meta)| Listed {
                name,
                size: meta.size,
                modified: modified(&meta),
            })
            .boxed()
    }

    fn versions(&self, prefix: &str) -> BoxStream<'static, Result<Version, VaultError>> {
        self.listing(prefix)
            .map_ok(|(name, meta)| Version {
                name,
                size: meta.size,
                modified: modified(&meta),
                version: meta.version,
                is_latest: true,
                is_delete_marker: false,
            })
            .boxed()
    }

    /// The crate deletes no version of Azure or Google Cloud, so that the latest is the only one.
    async fn delete_version(&self, name: &str, _: Option<&str>) -> Result<Deletion, VaultError> {
        match self.store.delete(&self.path(name)?).await {
            Ok(()) => {
                self.sync_directory(name).await?;
                Ok(Deletion::Deleted)
            }
            Err(
                error @ (object_store::Error::PermissionDenied { .. }
                | object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. }),
            ) => Ok(Deletion::Refused {
                reason: chain(&error),
            }),
            Err(error) => Err(self.failed(&format!("delete {name}"), name, error)),
        }
    }

    async fn examine(&self, examination: &mut doctor::Examination) {
        doctor::plain(self, examination).await;
    }

    fn place(&self, name: &str) -> Result<(Arc<dyn ObjectStore>, Path), VaultError> {
        Ok((Arc::clone(&self.store), self.path(name)?))
    }
}

impl Plain {
    async fn create(&self, name: &str, bytes: Bytes) -> Result<(), VaultError> {
        let fail = |error| self.failed(&format!("write {name}"), name, error);
        // Over HTTP requests are broken farther down.
        #[cfg(feature = "probe")]
        let broken = self
            .directory
            .as_ref()
            .and_then(|_| super::fault::strike(true));
        #[cfg(feature = "probe")]
        let lost = || object_store::Error::Generic {
            store: "a directory",
            source: Box::new(super::fault::error()),
        };
        #[cfg(feature = "probe")]
        if broken == Some(super::fault::Way::Failed) {
            return Err(fail(lost()));
        }
        let options = PutOptions::from(PutMode::Create);
        let path = self.path(name)?;
        let written = self.store.put_opts(&path, bytes.into(), options).await;
        written.map_err(fail)?;
        #[cfg(feature = "probe")]
        if broken.is_some() {
            return Err(fail(lost()));
        }
        Ok(())
    }

    /// Makes a file read-only. It was flushed when it was written, and its directory with it.
    async fn seal(&self, name: &str) -> Result<(), VaultError> {
        let Some(path) = self.file(name)? else {
            return Ok(());
        };
        self.on_disk(name, "make read-only", move || {
            let file = File::open(path)?;
            file.set_permissions(Permissions::from_mode(0o444))?;
            file.sync_all()
        })
        .await
    }

    /// The crate flushes nothing when it deletes.
    async fn sync_directory(&self, name: &str) -> Result<(), VaultError> {
        let Some(path) = self.file(name)? else {
            return Ok(());
        };
        self.on_disk(name, "flush the directory of", move || {
            match path.parent() {
                Some(parent) => File::open(parent)?.sync_all(),
                None => Ok(()),
            }
        })
        .await
    }

    async fn on_disk(
        &self,
        name: &str,
        action: &str,
        work: impl FnOnce() -> std::io::Result<()> + Send + 'static,
    ) -> Result<(), VaultError> {
        let done = tokio::task::spawn_blocking(work).await;
        let done = done.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        done.map_err(|error| VaultError::Failed {
            location: Arc::clone(&self.location),
            action: format!("{action} {name}"),
            reason: error.to_string(),
        })
    }

    fn file(&self, name: &str) -> Result<Option<PathBuf>, VaultError> {
        let path = self.path(name)?;
        let file = self.directory.as_ref();
        let file = file.map(|directory| directory.path_to_filesystem(&path));
        file.transpose()
            .map_err(|error| self.failed("find a file", name, error))
    }

    fn lock(&self) -> LockState {
        match (self.protection, self.lock_mode) {
            (_, LockMode::None) => LockState::NotAsked,
            (Protection::None { because }, _) => LockState::NotLocked {
                found: None,
                why: because.to_owned(),
            },
            (Protection::Policy { because }, _) => LockState::Unknown { why: because },
            (Protection::ObjectLock, _) => LockState::Unknown {
                why: "it was not looked at",
            },
        }
    }

    fn path(&self, name: &str) -> Result<Path, VaultError> {
        let path = match self.prefix.is_empty() {
            true => Path::parse(name),
            false => Path::parse(format!("{}/{name}", self.prefix)),
        };
        path.map_err(|_| VaultError::Name {
            name: name.to_owned(),
            problem: "no path can be made of it",
        })
    }

    fn listing(
        &self,
        prefix: &str,
    ) -> BoxStream<'static, Result<(String, ObjectMeta), VaultError>> {
        let whole = match self.prefix.is_empty() {
            true => directory(prefix).to_owned(),
            false => format!("{}/{}", self.prefix, directory(prefix)),
        };
        let prefix = prefix.to_owned();
        let skipped = match self.prefix.is_empty() {
            true => 0,
            false => self.prefix.len() + 1,
        };
        let location = Arc::clone(&self.location);
        let path = Path::from(whole.trim_end_matches('/'));
        self.store
            .list(Some(&path).filter(|path| !path.as_ref().is_empty()))
            .map_ok(move |meta| {
                let name = meta.location.as_ref();
                let name = name.get(skipped..).unwrap_or(name).to_owned();
                (name, meta)
            })
            .map_err(move |error| explain(&location, "list objects", "", error))
            .try_filter(move |(name, _)| future::ready(name.starts_with(&prefix)))
            .boxed()
    }

    fn failed(&self, action: &str, object: &str, error: object_store::Error) -> VaultError {
        explain(&self.location, action, object, error)
    }
}
