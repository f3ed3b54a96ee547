//! Writing an object once, with its lock in the same request.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

use super::{
    super::{
        Backend, Digest, LockState, Stored, VaultError,
        lock::{self, Wanted},
        object::object,
    },
    S3,
    request::{Answer, Call, is_lost, pause},
};
use crate::config::LockMode;

/// How often it is tried to write one object.
const ATTEMPTS: u32 = 4;
/// Versions of a page when one name is looked for, which should have no more than one.
const LOOK_SIZE: u16 = 10;

impl S3 {
    /// Look, write if there is nothing, read back; look again after whatever was no clear success.
    pub(super) async fn put_locked(
        &self,
        name: &str,
        bytes: Bytes,
        until: Timestamp,
    ) -> Result<Stored, VaultError> {
        let sha256 = Digest::of(&bytes);
        let wanted = self.wanted(until);
        // Not every store heeds If-None-Match, and where one does not, the look is all that keeps it from writing a
        // second version.
        if let Some(found) = self.find(name, sha256, wanted).await? {
            return Ok(found);
        }
        let call = self.put_call(name, bytes, sha256, wanted);
        let mut attempt = 1;
        loop {
            let error = match self.client.send_once(&call).await {
                Ok(answer) if answer.status == StatusCode::OK => {
                    return self.read_back(name, &answer, sha256, wanted).await;
                }
                Ok(answer) => {
                    let error = self.client.explain(&call, &answer);
                    let is_taken = matches!(
                        answer.status,
                        StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT
                    );
                    if !is_taken && !error.is_transient() {
                        return Err(error);
                    }
                    error
                }
                Err(error) if is_lost(&error) => error,
                Err(error) => return Err(error),
            };
            if let Some(found) = self.find(name, sha256, wanted).await? {
                return Ok(found);
            }
            if attempt == ATTEMPTS {
                return Err(error);
            }
            pause(attempt).await;
            attempt += 1;
        }
    }

    pub(super) fn wanted(&self, until: Timestamp) -> Wanted {
        // Some stores keep whole seconds only.
        let to_second = TimestampRound::new()
            .smallest(Unit::Second)
            .mode(RoundMode::Ceil);
        Wanted {
            mode: self.lock_mode,
            until: (self.lock_mode != LockMode::None)
                .then(|| until.round(to_second).unwrap_or(until)),
        }
    }

    pub(super) fn put_call(
        &self,
        name: &str,
        bytes: Bytes,
        sha256: Digest,
        wanted: Wanted,
    ) -> Call<'static> {
        let mut headers = HeaderMap::new();
        let value = |text: String| HeaderValue::from_str(&text).expect("ASCII without controls");
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        headers.insert(header::CONTENT_LENGTH, value(bytes.len().to_string()));
        // AWS takes no lock without a checksum that it can check.
        let checksum = value(STANDARD.encode(sha256.0));
        headers.insert("x-amz-checksum-sha256", checksum);
        if let Some(until) = wanted.until {
            let mode = HeaderValue::from_static(lock::word(wanted.mode));
            headers.insert("x-amz-object-lock-mode", mode);
            let until = value(until.to_string());
            headers.insert("x-amz-object-lock-retain-until-date", until);
        }
        Call {
            method: Method::PUT,
            key: Some(self.key(name)),
            query: Vec::new(),
            headers,
            body: bytes,
            action: "write",
            object: name.to_owned(),
        }
    }

    /// What an answer to PUT promises, as the store tells it of the version.
    async fn read_back(
        &self,
        name: &str,
        answer: &Answer,
        sha256: Digest,
        wanted: Wanted,
    ) -> Result<Stored, VaultError> {
        let version = answer.header("x-amz-version-id");
        match self.check(name, version, sha256, wanted).await? {
            Checked::Ours(stored) => Ok(stored),
            Checked::Other(found) => Err(self.occupied(name, sha256, found)),
        }
    }

    /// Looks among the versions of a name for the content. None if there is no version at all.
    ///
    /// # Errors
    /// If there are versions and none has the content.
    async fn find(
        &self,
        name: &str,
        sha256: Digest,
        wanted: Wanted,
    ) -> Result<Option<Stored>, VaultError> {
        let key = self.key(name);
        let mut versions = self.list_versions(key, LOOK_SIZE);
        let mut other = None;
        let mut unlocked = None;
        while let Some(version) = versions.try_next().await? {
            // The listing goes by prefix, in the order of names: what is longer comes behind.
            if version.name != name {
                break;
            }
            if version.is_delete_marker {
                continue;
            }
            let checked = self
                .check(name, version.version.as_deref(), sha256, wanted)
                .await?;
            match checked {
                Checked::Ours(mut stored) => {
                    stored.is_hidden = !version.is_latest;
                    if matches!(stored.lock, LockState::Locked(_)) {
                        return Ok(Some(stored));
                    }
                    unlocked.get_or_insert(stored);
                }
                Checked::Other(found) => {
                    other.get_or_insert(found);
                }
            }
        }
        match (unlocked, other) {
            (Some(stored), _) => Ok(Some(stored)),
            (None, Some(found)) => Err(self.occupied(name, sha256, found)),
            (None, None) => Ok(None),
        }
    }

    /// Compares a version with what it should be. Its digest is the store's own, if it keeps one, or that of its content.
    async fn check(
        &self,
        name: &str,
        version: Option<&str>,
        sha256: Digest,
        wanted: Wanted,
    ) -> Result<Checked, VaultError> {
        let (head, digest) = self.look(name, version, wanted).await?;
        let found = match digest {
            Some(digest) => digest,
            None => Digest::of(&self.get(name, version).await?),
        };
        if found != sha256 {
            return Ok(Checked::Other(found));
        }
        Ok(Checked::Ours(Stored {
            name: head.name,
            version: head.version,
            sha256,
            size: head.size,
            lock: head.lock,
            is_hidden: false,
        }))
    }

    fn occupied(&self, name: &str, wanted: Digest, found: Digest) -> VaultError {
        VaultError::Occupied {
            location: Arc::clone(&self.location),
            name: object(name, None),
            wanted,
            found,
        }
    }
}

enum Checked {
    Ours(Stored),
    Other(Digest),
}

/// A digest as S3 writes it. That of an object in parts has a count behind it, and is none of the content.
pub(super) fn digest(text: &str) -> Option<Digest> {
    let bytes = STANDARD.decode(text).ok()?;
    bytes.try_into().ok().map(Digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Secret};

    fn vault(lock_mode: LockMode) -> S3 {
        let mut objects = Config::default().objects;
        objects.access_key_id = "id".to_owned();
        objects.secret_access_key = Secret::new("hunter2");
        objects.lock_mode = lock_mode;
        S3::open(&objects, "bucket", "a/b", "s3://bucket/a/b".into()).unwrap()
    }

    #[tokio::test]
    async fn the_lock_and_the_checksum_are_signed() {
        let vault = vault(LockMode::Compliance);
        let until = "2030-01-01T00:00:00.000000001Z".parse().unwrap();
        let bytes = Bytes::from_static(b"x");
        let sha256 = Digest::of(&bytes);
        let call = vault.put_call("c/d", bytes, sha256, vault.wanted(until));
        let request = vault.client.signed(&call).await.unwrap();
        let header = |name: &str| request.headers()[name].to_str().unwrap();
        assert_eq!(
            header("x-amz-object-lock-retain-until-date"),
            "2030-01-01T00:00:01Z"
        );
        assert_eq!(header("x-amz-object-lock-mode"), "COMPLIANCE");
        assert_eq!(header("if-none-match"), "*");
        assert_eq!(digest(header("x-amz-checksum-sha256")), Some(sha256));
        assert_eq!(header("x-amz-content-sha256"), sha256.to_string());
        let signature = header("authorization");
        let signed = signature.split("SignedHeaders=").nth(1).unwrap();
        let signed: Vec<&str> = signed.split(',').next().unwrap().split(';').collect();
        for name in [
            "host",
            "if-none-match",
            "x-amz-checksum-sha256",
            "x-amz-content-sha256",
            "x-amz-object-lock-mode",
            "x-amz-object-lock-retain-until-date",
        ] {
            assert!(signed.contains(&name), "{name} is not in {signed:?}");
        }
        assert_eq!(request.uri().path(), "/bucket/a/b/c/d");
        assert!(!format!("{request:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn without_a_lock_no_lock_is_asked_for() {
        let vault = vault(LockMode::None);
        let wanted = vault.wanted(Timestamp::UNIX_EPOCH);
        let call = vault.put_call("c", Bytes::new(), Digest::of(b""), wanted);
        let request = vault.client.signed(&call).await.unwrap();
        let names = request.headers().keys();
        assert!(!names.into_iter().any(|name| name.as_str().contains("lock")));
        assert_eq!(request.headers()["content-length"], "0");
    }

    #[test]
    fn a_checksum_of_parts_is_no_digest() {
        let whole = STANDARD.encode([7; 32]);
        assert_eq!(digest(&whole), Some(Digest([7; 32])));
        assert_eq!(digest(&format!("{whole}-2")), None);
    }
}
