//! Prolonging the lock of a version that is there.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;

use super::{
    super::{
        Digest, LockState, VaultError,
        lock::{self, Lock},
    },
    S3,
    request::Call,
};
use crate::config::LockMode;

impl S3 {
    /// Look, prolong if it is not locked for as long, read back. Prolonging twice is the same as once, so that the request may
    /// be sent again.
    pub(super) async fn extend_lock(
        &self,
        name: &str,
        version: Option<&str>,
        until: Timestamp,
    ) -> Result<LockState, VaultError> {
        let wanted = self.wanted(until);
        let (found, _) = self.look(name, version, wanted).await?;
        let (Some(until), LockState::NotLocked { found: lock, .. }) = (wanted.until, &found.lock)
        else {
            return Ok(found.lock);
        };
        let lock = next(self.lock_mode, until, *lock);
        let call = self.extend_call(name, version, lock);
        let answer = self.client.send(&call).await?;
        if !matches!(answer.status, StatusCode::OK | StatusCode::NO_CONTENT) {
            return Err(self.client.explain(&call, &answer));
        }
        Ok(self.look(name, version, wanted).await?.0.lock)
    }

    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectRetention.html>
    fn extend_call(&self, name: &str, version: Option<&str>, lock: Lock) -> Call<'static> {
        let body = Bytes::from(format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{}</Mode><RetainUntilDate>{}</RetainUntilDate>\
             </Retention>",
            lock::word(lock.mode),
            lock.until
        ));
        let mut call = self.ask(Method::PUT, name, version, "prolong the lock of");
        call.query.insert(0, ("retention", String::new()));
        let value = |text: String| HeaderValue::from_str(&text).expect("ASCII without controls");
        let headers = &mut call.headers;
        headers.insert(header::CONTENT_LENGTH, value(body.len().to_string()));
        // AWS takes no lock without a checksum that it can check.
        let checksum = value(STANDARD.encode(Digest::of(&body).0));
        headers.insert("x-amz-checksum-sha256", checksum);
        let algorithm = HeaderValue::from_static("SHA256");
        headers.insert("x-amz-sdk-checksum-algorithm", algorithm);
        call.body = body;
        call
    }
}

/// The lock to ask for, which is in no respect less than the one there is: a store would refuse that.
fn next(mode: LockMode, until: Timestamp, found: Option<Lock>) -> Lock {
    let Some(found) = found else {
        return Lock { mode, until };
    };
    Lock {
        mode: match found.mode {
            LockMode::Compliance => LockMode::Compliance,
            _ => mode,
        },
        until: until.max(found.until),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Secret};

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_lock_is_never_made_less() {
        let (early, late) = (at("2030-01-01T00:00:00Z"), at("2031-01-01T00:00:00Z"));
        let lock = |mode, until| Lock { mode, until };
        use LockMode::{Compliance, Governance};
        for (mode, found, expected) in [
            (Compliance, None, lock(Compliance, late)),
            (
                Compliance,
                Some(lock(Governance, early)),
                lock(Compliance, late),
            ),
            (
                Governance,
                Some(lock(Compliance, early)),
                lock(Compliance, late),
            ),
        ] {
            assert_eq!(next(mode, late, found), expected);
        }
        let longer = Some(lock(Governance, late));
        assert_eq!(next(Compliance, early, longer), lock(Compliance, late));
    }

    #[tokio::test]
    async fn the_version_and_the_checksum_are_signed() {
        let mut objects = Config::default().objects;
        objects.access_key_id = "id".to_owned();
        objects.secret_access_key = Secret::new("hunter2");
        let vault = S3::open(&objects, "bucket", "a", "s3://bucket/a".into()).unwrap();
        let lock = Lock {
            mode: LockMode::Compliance,
            until: at("2030-01-01T00:00:01Z"),
        };
        let call = vault.extend_call("b", Some("v+1"), lock);
        let request = vault.client.signed(&call).await.unwrap();
        let (path, query) = (request.uri().path(), request.uri().query());
        assert_eq!(
            (path, query),
            ("/bucket/a/b", Some("retention=&versionId=v%2B1"))
        );
        let header = |name: &str| request.headers()[name].to_str().unwrap();
        let checksum = STANDARD.encode(Digest::of(&call.body).0);
        assert_eq!(header("x-amz-checksum-sha256"), checksum);
        assert_eq!(header("content-length"), call.body.len().to_string());
        let signed = header("authorization");
        for name in ["x-amz-checksum-sha256", "x-amz-sdk-checksum-algorithm"] {
            assert!(signed.contains(name), "{name} is not in {signed}");
        }
        let body = std::str::from_utf8(&call.body).unwrap();
        assert!(body.contains("<Mode>COMPLIANCE</Mode>"), "{body}");
        assert!(
            body.contains("<RetainUntilDate>2030-01-01T00:00:01Z</RetainUntilDate>"),
            "{body}"
        );
    }
}
