//! Requests that fail, and requests whose answers are lost. Faults are the whole process's, so that each test has its own.

use jiff::{Timestamp, ToSpan};
use trailkeeper::{
    config::LockMode,
    objects::{LockState, Vault, VaultError, fault},
};

use super::{assert_locked, count_versions, files, in_an_hour};
use crate::support::{ceph::Ceph, store::block_on, tools::seed};

#[test]
fn ceph_keeps_one_locked_version_whatever_happens() {
    let ceph = Ceph::start();
    block_on(async {
        ceph.server.make_bucket("locked", true).await;
        let config = ceph.server.config("locked", LockMode::Compliance);
        let vault = Vault::open(&config).unwrap();
        let until = in_an_hour();
        for (way, times) in [
            (fault::Way::Failed, 1),
            (fault::Way::Failed, 3),
            (fault::Way::FailedButPersisted, 1),
            (fault::Way::FailedButPersisted, 3),
        ] {
            let name = format!("{way:?}/{times}");
            fault::break_puts(way, times);
            let stored = vault.put(&name, "x".into(), until).await.unwrap();
            assert_locked(&stored, LockMode::Compliance, until);
            assert_eq!(count_versions(&vault, &name).await, 1, "{name}");
            fault::break_puts(way, 0);
        }
        // All attempts fail: an error, and nothing is there.
        fault::break_puts(fault::Way::Failed, 100);
        let error = vault.put("never", "x".into(), until).await.unwrap_err();
        assert!(matches!(error, VaultError::Unreachable { .. }), "{error:?}");
        assert!(error.is_transient() && error.to_string().contains("broken on demand"));
        fault::break_puts(fault::Way::Failed, 0);
        assert_eq!(count_versions(&vault, "never").await, 0);
        prolonging_breaks(&vault, until).await;
        some_of_all_requests(&vault, until).await;
    });
}

async fn prolonging_breaks(vault: &Vault, until: Timestamp) {
    let stored = vault.put("long", "x".into(), until).await.unwrap();
    let version = stored.version.as_deref();
    let mut until = until;
    for (way, times) in [
        (fault::Way::Failed, 1),
        (fault::Way::Failed, 3),
        (fault::Way::FailedButPersisted, 1),
        (fault::Way::FailedButPersisted, 3),
    ] {
        until += 1.hour();
        fault::break_puts(way, times);
        let lock = vault.extend("long", version, until).await.unwrap();
        let LockState::Locked(lock) = lock else {
            panic!("{way:?}: {lock:?}");
        };
        assert_eq!(lock.until, until);
    }
    fault::break_puts(fault::Way::Failed, 100);
    let error = vault.extend("long", version, until + 1.hour()).await;
    assert!(error.unwrap_err().is_transient());
    fault::break_puts(fault::Way::Failed, 0);
    assert_eq!(count_versions(vault, "long").await, 1);
}

/// Of all requests, reading and writing, 30 in a hundred break.
async fn some_of_all_requests(vault: &Vault, until: Timestamp) {
    const OBJECTS: usize = 40;
    fault::break_some(30, seed());
    let mut given_up = 0;
    for number in 0..OBJECTS {
        let name = format!("some/{number}");
        let content = format!("content {number}");
        // As a job does: again, until it is done.
        let stored = loop {
            match vault.put(&name, content.clone().into(), until).await {
                Ok(stored) => break stored,
                Err(error) => {
                    assert!(error.is_transient(), "{error}");
                    given_up += 1;
                    assert!(given_up < 10 * OBJECTS, "{error}");
                }
            }
        };
        assert_locked(&stored, LockMode::Compliance, until);
        assert!(!stored.is_hidden);
    }
    fault::break_some(0, 0);
    eprintln!(
        "{} requests were broken, {given_up} calls given up",
        fault::struck()
    );
    assert!(
        fault::struck() > OBJECTS as u64,
        "the faults have to strike"
    );
    for number in 0..OBJECTS {
        let name = format!("some/{number}");
        assert_eq!(count_versions(vault, &name).await, 1, "{name}");
    }
}

#[test]
fn files_are_written_once_whatever_happens() {
    let directory = tempfile::tempdir().expect("make a directory");
    let vault = Vault::open(&files::config(directory.path(), LockMode::None)).unwrap();
    block_on(async {
        for (way, times) in [(fault::Way::Failed, 2), (fault::Way::FailedButPersisted, 2)] {
            fault::break_puts(way, times);
            let name = format!("{way:?}");
            vault.put(&name, "x".into(), in_an_hour()).await.unwrap();
            fault::break_puts(way, 0);
            assert_eq!(count_versions(&vault, &name).await, 1);
        }
        fault::break_puts(fault::Way::Failed, 100);
        let error = vault
            .put("never", "x".into(), in_an_hour())
            .await
            .unwrap_err();
        assert!(error.is_transient(), "{error:?}");
    });
}
