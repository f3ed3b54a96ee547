//! A server that enforces Object Lock.

use std::time::Instant;

use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{Method, StatusCode};
use jiff::ToSpan;
use trailkeeper::{
    clock::Clock,
    config::LockMode,
    objects::{Deletion, Lock, LockState, Vault, VaultError},
};

use super::{assert_locked, count_versions, in_an_hour, keeps_what_it_is_given};
use crate::support::{ceph::Ceph, s3::Server, store::block_on};

#[test]
fn locks_what_it_is_given() {
    let ceph = Ceph::start();
    eprintln!("Ceph uses {} MB", ceph.memory_kb() / 1024);
    let server = &ceph.server;
    block_on(async {
        server.make_bucket("locked", true).await;
        server.make_bucket("plain", false).await;
        let vault = Vault::open(&server.config("locked", LockMode::Compliance)).unwrap();
        keeps_what_it_is_given(&vault, "suite").await;
        locks(&vault, server).await;
        prolongs(&vault, server).await;
        governs(server).await;
        tells_what_is_not_locked(&vault, server).await;
        lists_by_pages(&vault, server).await;
        tells_what_is_hidden(&vault, server).await;
        explains_refusals(server).await;
    });
}

async fn locks(vault: &Vault, server: &Server) {
    let until = in_an_hour();
    let stored = vault.put("locked", "x".into(), until).await.unwrap();
    assert_locked(&stored, LockMode::Compliance, until);
    let version = stored.version.as_deref();
    let Deletion::Refused { reason } = vault.delete_version("locked", version).await.unwrap()
    else {
        panic!("a locked version was deleted");
    };
    assert!(reason.contains("403"), "{reason}");
    assert_eq!(
        vault.get("locked", version).await.unwrap(),
        Bytes::from("x")
    );

    // This server answers with nine fractional digits, so that a comparison of texts would fail.
    let target = "locked/trail/a/locked";
    let told = server.send(Method::HEAD, target, &[], b"").await;
    let told = told.headers["x-amz-object-lock-retain-until-date"]
        .to_str()
        .unwrap();
    assert!(told.ends_with(".000000000Z"), "{told}");

    // A part of a second is rounded up, never down.
    let odd = until + 1.nanosecond();
    let stored = vault.put("odd", "x".into(), odd).await.unwrap();
    assert_locked(&stored, LockMode::Compliance, until + 1.second());

    // The same content with a longer lock is there, and not locked for long enough.
    let longer = vault
        .put("locked", "x".into(), until + 24.hours())
        .await
        .unwrap();
    let LockState::NotLocked { found, why } = &longer.lock else {
        panic!("{longer:?}");
    };
    assert_eq!(found.map(|lock| lock.until), Some(until));
    assert!(why.contains("ends at"), "{why}");
    assert_eq!(count_versions(vault, "locked").await, 1);
}

async fn prolongs(vault: &Vault, server: &Server) {
    let (until, later) = (in_an_hour(), in_an_hour() + 1.hour());
    let stored = vault.put("prolonged", "x".into(), until).await.unwrap();
    let version = stored.version.as_deref();
    let lock = vault.extend("prolonged", version, later).await.unwrap();
    let expected = Lock {
        mode: LockMode::Compliance,
        until: later,
    };
    assert_eq!(lock, LockState::Locked(expected));
    let head = vault.head("prolonged", version).await.unwrap();
    assert_eq!(head.lock, lock);
    // It is never shortened, neither in time nor in mode.
    let governance = Vault::open(&server.config("locked", LockMode::Governance)).unwrap();
    for (vault, until) in [(vault, until), (&governance, later)] {
        let again = vault.extend("prolonged", version, until).await.unwrap();
        assert_eq!(again, lock);
    }
    // What was put without a lock gets one.
    let target = "locked/trail/a/late";
    let answer = server.send(Method::PUT, target, &[], b"x").await;
    let version = answer.headers["x-amz-version-id"].to_str().unwrap();
    let late = vault.extend("late", Some(version), later).await.unwrap();
    assert_eq!(late, lock);
    let missing = vault.extend("no-such", None, later).await;
    assert!(
        matches!(missing, Err(VaultError::NotFound { .. })),
        "{missing:?}"
    );
    // Nothing can be locked in a bucket that keeps no versions.
    let plain = Vault::open(&server.config("plain", LockMode::Compliance)).unwrap();
    server.send(Method::PUT, "plain/trail/a/p", &[], b"x").await;
    let refused = plain.extend("p", None, later).await;
    match refused {
        Ok(lock) => assert!(!lock.is_as_configured(), "{lock:?}"),
        Err(error) => assert!(matches!(error, VaultError::Refused { .. }), "{error:?}"),
    }
}

async fn governs(server: &Server) {
    let vault = Vault::open(&server.config("locked", LockMode::Governance)).unwrap();
    let until = in_an_hour();
    let stored = vault.put("governed", "x".into(), until).await.unwrap();
    assert_locked(&stored, LockMode::Governance, until);
    // Who configures the stricter mode is told.
    let strict = Vault::open(&server.config("locked", LockMode::Compliance)).unwrap();
    let head = strict.head("governed", None).await.unwrap();
    assert!(!head.lock.is_as_configured(), "{head:?}");
    let strict = strict.put("governed", "x".into(), until).await.unwrap();
    assert!(!strict.lock.is_as_configured(), "{strict:?}");
    let refused = vault
        .delete_version("governed", stored.version.as_deref())
        .await
        .unwrap();
    assert!(matches!(refused, Deletion::Refused { .. }), "{refused:?}");
}

async fn tells_what_is_not_locked(vault: &Vault, server: &Server) {
    // Written without a lock by somebody else.
    let target = "locked/trail/a/unlocked";
    let answer = server.send(Method::PUT, target, &[], b"x").await;
    assert_eq!(answer.status, StatusCode::OK);
    let stored = vault
        .put("unlocked", "x".into(), in_an_hour())
        .await
        .unwrap();
    assert!(
        matches!(stored.lock, LockState::NotLocked { found: None, .. }),
        "{stored:?}"
    );

    // Written in parts: this server drops the lock that was asked for at the beginning.
    let until = in_an_hour().to_string();
    let lock = [
        ("x-amz-object-lock-mode", "COMPLIANCE"),
        ("x-amz-object-lock-retain-until-date", until.as_str()),
    ];
    let target = "locked/trail/a/in-parts";
    let begun = server
        .send(Method::POST, &format!("{target}?uploads="), &lock, b"")
        .await;
    let id = begun.element("UploadId").to_owned();
    let part = format!("{target}?partNumber=1&uploadId={id}");
    let part = server.send(Method::PUT, &part, &[], b"x").await;
    let tag = part.headers["etag"].to_str().unwrap();
    let parts = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part></CompleteMultipartUpload>"
    );
    let ended = format!("{target}?uploadId={id}");
    let ended = server
        .send(Method::POST, &ended, &[], parts.as_bytes())
        .await;
    assert_eq!(ended.status, StatusCode::OK, "{ended:?}");
    let head = vault.head("in-parts", None).await.unwrap();
    assert!(
        matches!(head.lock, LockState::NotLocked { found: None, .. }),
        "{head:?}"
    );

    // A bucket that keeps no versions.
    let plain = Vault::open(&server.config("plain", LockMode::None)).unwrap();
    let stored = plain.put("x", "x".into(), in_an_hour()).await.unwrap();
    assert_eq!(stored.lock, LockState::NotAsked);
    let strict = Vault::open(&server.config("plain", LockMode::Compliance)).unwrap();
    let LockState::NotLocked { why, .. } = strict.head("x", None).await.unwrap().lock else {
        panic!("an object of a plain bucket cannot be locked");
    };
    assert!(why.contains("keeps no versions"), "{why}");
    match strict.put("y", "x".into(), in_an_hour()).await {
        Ok(stored) => assert!(!stored.lock.is_as_configured(), "{stored:?}"),
        Err(error) => {
            assert!(matches!(error, VaultError::Refused { .. }), "{error:?}");
            assert!(error.to_string().contains("archive doctor"), "{error}");
        }
    }
}

async fn lists_by_pages(vault: &Vault, server: &Server) {
    // More than a page holds.
    let names: Vec<String> = (0..1_105)
        .map(|number| format!("many/{number:04}"))
        .collect();
    for names in names.chunks(50) {
        let targets: Vec<_> = names
            .iter()
            .map(|name| format!("locked/trail/a/{name}"))
            .collect();
        let puts = targets
            .iter()
            .map(|target| server.send(Method::PUT, target, &[], b""));
        for answer in futures_util::future::join_all(puts).await {
            assert_eq!(answer.status, StatusCode::OK);
        }
    }
    let listed: Vec<_> = vault.list("many/").try_collect().await.unwrap();
    let versions: Vec<_> = vault.versions("many/").try_collect().await.unwrap();
    assert!(listed.iter().map(|object| &object.name).eq(&names));
    assert!(versions.iter().map(|version| &version.name).eq(&names));
}

/// A plain DELETE of a locked object succeeds: it puts a marker before it.
async fn tells_what_is_hidden(vault: &Vault, server: &Server) {
    let until = in_an_hour();
    let stored = vault.put("hidden", "x".into(), until).await.unwrap();
    let target = "locked/trail/a/hidden";
    let answer = server.send(Method::DELETE, target, &[], b"").await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let missing = vault.get("hidden", None).await;
    assert!(
        matches!(missing, Err(VaultError::NotFound { .. })),
        "{missing:?}"
    );
    let version = stored.version.as_deref();
    assert_eq!(
        vault.get("hidden", version).await.unwrap(),
        Bytes::from("x")
    );
    let found = vault.put("hidden", "x".into(), until).await.unwrap();
    assert!(
        found.is_hidden && found.version == stored.version,
        "{found:?}"
    );
    let versions: Vec<_> = vault.versions("hidden").try_collect().await.unwrap();
    let markers = versions.iter().filter(|version| version.is_delete_marker);
    assert_eq!((versions.len(), markers.count()), (2, 1));

    // Replaced by another version, where nothing keeps anybody from it: the old one is still there.
    let stored = vault.put("replaced", "x".into(), until).await.unwrap();
    let target = "locked/trail/a/replaced";
    server.send(Method::PUT, target, &[], b"y").await;
    let found = vault.put("replaced", "x".into(), until).await.unwrap();
    assert!(
        found.is_hidden && found.version == stored.version,
        "{found:?}"
    );
    assert_eq!(vault.get("replaced", None).await.unwrap(), Bytes::from("y"));
}

async fn explains_refusals(server: &Server) {
    let wrong_secret = Server {
        secret_key: "hunter3",
        ..server.clone()
    };
    let wrong_key = Server {
        access_key: "nobody",
        ..server.clone()
    };
    let nowhere = Server {
        endpoint: "http://127.0.0.1:9".to_owned(),
        ..server.clone()
    };
    for (server, bucket, expected) in [
        (
            &wrong_secret,
            "locked",
            "check objects.access_key_id and objects.secret_access_key",
        ),
        (
            &wrong_key,
            "locked",
            "check objects.access_key_id and objects.secret_access_key",
        ),
        (
            server,
            "no-such-bucket",
            "make the bucket, with Object Lock enabled",
        ),
        (&nowhere, "locked", "check objects.url and objects.endpoint"),
    ] {
        let vault = Vault::open(&server.config(bucket, LockMode::Compliance)).unwrap();
        let begun = Instant::now();
        let error = vault.put("x", "x".into(), Clock.now()).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expected), "{text}");
        assert!(text.contains(&format!("s3://{bucket}/trail/a")), "{text}");
        assert!(!text.contains("hunter"), "{text}");
        assert!(
            !format!("{error:?}{vault:?}").contains("hunter"),
            "{error:?}"
        );
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
        assert_eq!(error.is_transient(), expected.contains("endpoint"));
    }
}
