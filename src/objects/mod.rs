//! Floor 1: objects that are written once and kept, such as checkpoints and archives of the trail.
//!
//! A [`Vault`] is a place for them: an S3 bucket with Object Lock, a container of Azure or a bucket of Google Cloud with
//! a policy of its own, or a directory. What they promise differs ([`Protection`]), and so what is known of an object
//! after it was put ([`LockState`]). An object that is not locked as configured is data for whoever judges it, never an
//! error.
//!
//! An object is put in this order: look whether the name is taken; write, only if it is free; read back what the store
//! holds and how it is locked. After any failure that leaves open whether it was written the same look is taken before it
//! is written again: a store that ignores the condition would otherwise keep a second locked version for good. So putting
//! the same content again is harmless, and other content under a name that is taken is refused
//! ([`VaultError::Occupied`]).
//!
//! Files of any size are put in parts and without a lock ([`Vault::put_file`]): exports of personal data, which must stay
//! removable.
//!
//! Left out: deleting by rule, and locked objects above [`MAX_OBJECT_BYTES`].

pub mod doctor;
mod error;
#[cfg(feature = "probe")]
pub mod fault;
mod lock;
mod object;
mod open;
mod plain;
mod s3;
mod transport;
mod upload;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use jiff::{Timestamp, ToSpan};
use object_store::{ObjectStore, path::Path};

use crate::config::LockMode;

pub use error::VaultError;
pub use lock::{Lock, LockState, Protection};
pub use object::{Deletion, Digest, Head, Listed, MAX_NAME_BYTES, Stored, Version};
pub(crate) use transport::http_client;

/// Largest object but for files, in bytes: it is held in memory and sent as one request.
pub const MAX_OBJECT_BYTES: u64 = 64 << 20;

/// A place where objects are written once. Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    backend: Arc<dyn Backend>,
    lock_mode: LockMode,
    retention_days: u32,
}

/// What one kind of store can do. Names are checked before they come here.
#[async_trait]
trait Backend: Send + Sync + 'static {
    fn location(&self) -> &Arc<str>;
    fn protection(&self) -> Protection;
    async fn put(&self, name: &str, bytes: Bytes, until: Timestamp) -> Result<Stored, VaultError>;
    async fn extend(
        &self,
        name: &str,
        version: Option<&str>,
        until: Timestamp,
    ) -> Result<LockState, VaultError>;
    async fn get(&self, name: &str, version: Option<&str>) -> Result<Bytes, VaultError>;
    async fn head(&self, name: &str, version: Option<&str>) -> Result<Head, VaultError>;
    fn list(&self, prefix: &str) -> BoxStream<'static, Result<Listed, VaultError>>;
    fn versions(&self, prefix: &str) -> BoxStream<'static, Result<Version, VaultError>>;
    async fn delete_version(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> Result<Deletion, VaultError>;
    async fn examine(&self, examination: &mut doctor::Examination);
    /// The store as the crate knows it, and where it has an object of this name.
    fn place(&self, name: &str) -> Result<(Arc<dyn ObjectStore>, Path), VaultError>;
}

impl Vault {
    /// Writes an object, or finds that it was written already, and reads back what the store holds of it and how it is
    /// locked. `until` is when the lock may end, rounded up to a second.
    ///
    /// # Errors
    /// If the store cannot be reached or refuses, the name holds other content, or the object is too large.
    pub async fn put(
        &self,
        name: &str,
        bytes: Bytes,
        until: Timestamp,
    ) -> Result<Stored, VaultError> {
        object::check_name(name)?;
        let size = bytes.len() as u64;
        self.check_size(name, size)?;
        self.backend.put(name, bytes, until).await
    }

    /// Has the lock of a version hold at least until then, rounded up to a second, and reads it back. What is locked for
    /// longer or more strictly stays so. Where objects are not locked one by one nothing is done, and what protects them is
    /// answered.
    ///
    /// # Errors
    /// If there is no such version, or the store fails or refuses.
    pub async fn extend(
        &self,
        name: &str,
        version: Option<&str>,
        until: Timestamp,
    ) -> Result<LockState, VaultError> {
        object::check_name(name)?;
        self.backend.extend(name, version, until).await
    }

    /// An object's content: of the version, or the latest.
    ///
    /// # Errors
    /// If there is none, it is larger than [`MAX_OBJECT_BYTES`], or the store fails.
    pub async fn get(&self, name: &str, version: Option<&str>) -> Result<Bytes, VaultError> {
        object::check_name(name)?;
        self.backend.get(name, version).await
    }

    /// What the store says about an object: of the version, or the latest. Its lock is judged by its mode alone, as
    /// long as it has not ended: until when it should hold is known only to who put it.
    ///
    /// # Errors
    /// If there is none, or the store fails.
    pub async fn head(&self, name: &str, version: Option<&str>) -> Result<Head, VaultError> {
        object::check_name(name)?;
        self.backend.head(name, version).await
    }

    /// All objects whose names begin with `prefix`. A page is read when it is needed.
    /// The stream ends with the first error.
    #[must_use]
    pub fn list(&self, prefix: &str) -> BoxStream<'static, Result<Listed, VaultError>> {
        self.backend.list(prefix)
    }

    /// All versions and delete markers of objects whose names begin with `prefix`; where there are no versions, the
    /// objects. As [`Self::list`].
    #[must_use]
    pub fn versions(&self, prefix: &str) -> BoxStream<'static, Result<Version, VaultError>> {
        self.backend.versions(prefix)
    }

    /// Deletes one version for good, or finds that the store keeps it. For what has outlived its retention, and for
    /// proof that a lock holds; nothing else may call it. No right to bypass a lock is ever used.
    ///
    /// # Errors
    /// If the store fails otherwise.
    pub async fn delete_version(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> Result<Deletion, VaultError> {
        object::check_name(name)?;
        self.backend.delete_version(name, version).await
    }

    /// When an object that is put at `from` may be deleted, by `objects.retention_days`.
    #[must_use]
    pub fn retain_until(&self, from: Timestamp) -> Timestamp {
        let hours = i64::from(self.retention_days) * 24;
        from.checked_add(hours.hours()).unwrap_or(Timestamp::MAX)
    }

    /// Locks that end before this should be prolonged: less than a third of `objects.retention_days` is left.
    #[must_use]
    pub fn renewal_due(&self, now: Timestamp) -> Timestamp {
        let hours = i64::from(self.retention_days) * 8;
        now.checked_add(hours.hours()).unwrap_or(Timestamp::MAX)
    }

    /// What protects the objects.
    #[must_use]
    pub fn protection(&self) -> Protection {
        self.backend.protection()
    }

    /// How objects are to be locked.
    #[must_use]
    pub fn lock_mode(&self) -> LockMode {
        self.lock_mode
    }

    /// The URL, which never holds a secret.
    #[must_use]
    pub fn location(&self) -> &str {
        self.backend.location()
    }

    fn check_size(&self, name: &str, size: u64) -> Result<(), VaultError> {
        if size <= MAX_OBJECT_BYTES {
            return Ok(());
        }
        Err(VaultError::TooLarge {
            location: Arc::clone(self.backend.location()),
            object: name.to_owned(),
            size,
            max: MAX_OBJECT_BYTES,
        })
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Vault").field(&self.location()).finish()
    }
}
