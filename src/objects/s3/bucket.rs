//! What a bucket promises for all of its objects, and whether it keeps the promise.

use http::{HeaderMap, Method, StatusCode};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use serde::Deserialize;

use super::{
    super::{VaultError, doctor::Examination},
    S3,
    request::{Answer, Call},
};
use crate::clock::Clock;
use crate::config::LockMode;

/// A clock that is off by more makes locks end at another time than they say. S3 itself refuses requests from fifteen
/// minutes on.
const MAX_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketVersioning.html>
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Versioning {
    status: Option<String>,
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectLockConfiguration.html>
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ObjectLock {
    object_lock_enabled: Option<String>,
}

pub(in super::super) async fn examine(s3: &S3, examination: &mut Examination) {
    if !reach(s3, examination).await {
        return;
    }
    versioning(s3, examination).await;
    object_lock(s3, examination).await;
    let Some(canary) = examination.put_canary(s3).await else {
        return;
    };
    examination.read_canary(s3, &canary).await;
    examination.delete_canary(s3, &canary).await;
}

/// Whether the bucket answers to our key, and what time it has.
async fn reach(s3: &S3, examination: &mut Examination) -> bool {
    let sent = Clock.now();
    // A listing, as an answer to HEAD does not say what is wrong.
    let query = vec![("list-type", "2".to_owned()), ("max-keys", "1".to_owned())];
    let call = call(s3, query, "list");
    let answer = match s3.client.send(&call).await {
        Ok(answer) => answer,
        Err(error) => {
            examination.unknown("reachable", &error);
            return false;
        }
    };
    if answer.status != StatusCode::OK {
        examination.unknown("reachable", &s3.client.explain(&call, &answer));
        clock(&answer, sent, examination);
        return false;
    }
    let detail = format!("the bucket {} answers", s3.bucket);
    examination.ok("reachable", detail);
    clock(&answer, sent, examination);
    true
}

fn clock(answer: &Answer, sent: Timestamp, examination: &mut Examination) {
    let theirs = answer.header("date").and_then(|date| {
        let zoned = rfc2822::DateTimeParser::new().parse_zoned(date).ok()?;
        Some(zoned.timestamp())
    });
    let Some(theirs) = theirs else {
        examination.not_applicable("clock", "the store tells no time");
        return;
    };
    let (skew, direction) = match theirs.duration_since(sent) {
        ahead if ahead.is_positive() => (ahead, "behind"),
        behind => (behind.abs(), "ahead of"),
    };
    let detail = format!(
        "this machine's clock is {} s {direction} the store's",
        skew.as_secs()
    );
    if skew > MAX_SKEW {
        let remedy =
            "set this machine's clock, by NTP: locks would end at another time than they should";
        examination.failed("clock", detail, remedy);
    } else {
        examination.ok("clock", detail);
    }
}

async fn versioning(s3: &S3, examination: &mut Examination) {
    let query = vec![("versioning", String::new())];
    let call = call(s3, query, "read the versioning of");
    let found = ask::<Versioning>(s3, &call).await;
    let status = match found {
        Ok(found) => found.and_then(|found| found.status),
        Err(error) => return may_not_read("versioning", &error, examination),
    };
    match status.as_deref() {
        Some("Enabled") => examination.ok("versioning", "the bucket keeps versions"),
        _ if examination.lock_mode == LockMode::None => {
            examination.not_applicable("versioning", "the bucket keeps no versions");
        }
        _ => examination.failed(
            "versioning",
            "the bucket keeps no versions, so that an object can be replaced",
            "make a bucket with Object Lock enabled, which versioning is part of",
        ),
    }
}

async fn object_lock(s3: &S3, examination: &mut Examination) {
    let query = vec![("object-lock", String::new())];
    let call = call(s3, query, "read the Object Lock of");
    let found = ask::<ObjectLock>(s3, &call).await;
    let enabled = match found {
        Ok(found) => found.and_then(|found| found.object_lock_enabled),
        Err(error) => return may_not_read("object_lock", &error, examination),
    };
    match enabled.as_deref() {
        Some("Enabled") => examination.ok("object_lock", "the bucket has Object Lock enabled"),
        _ if examination.lock_mode == LockMode::None => {
            examination.not_applicable("object_lock", "the bucket has no Object Lock");
        }
        _ => examination.failed(
            "object_lock",
            "the bucket has no Object Lock, so that no object can be locked",
            "make a bucket with Object Lock enabled and set objects.url to it; some stores can enable it later",
        ),
    }
}

/// A key without the right to read a bucket's settings is sound, and sparing: the canary shows what they do.
fn may_not_read(name: &'static str, error: &VaultError, examination: &mut Examination) {
    match error {
        VaultError::Refused { reason, .. } => {
            let detail =
                format!("this key may not read it ({reason}); what becomes of the canary tells");
            examination.not_applicable(name, detail);
        }
        _ => examination.unknown(name, error),
    }
}

/// A document about the bucket; none if it has none of the kind.
async fn ask<T: for<'de> Deserialize<'de>>(
    s3: &S3,
    call: &Call<'_>,
) -> Result<Option<T>, VaultError> {
    let answer = s3.client.send(call).await?;
    // "No such configuration": 404 on AWS and MinIO, 409 on some releases of RGW.
    let has_none = matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::CONFLICT);
    if has_none && answer.code().as_deref() != Some("NoSuchBucket") {
        return Ok(None);
    }
    if answer.status != StatusCode::OK {
        return Err(s3.client.explain(call, &answer));
    }
    let text = String::from_utf8_lossy(&answer.body);
    Ok(quick_xml::de::from_str(&text).ok())
}

fn call<'a>(s3: &S3, query: Vec<(&'static str, String)>, action: &'a str) -> Call<'a> {
    Call {
        method: Method::GET,
        key: None,
        query,
        headers: HeaderMap::new(),
        body: Default::default(),
        action,
        object: format!("the bucket {}", s3.bucket),
    }
}
