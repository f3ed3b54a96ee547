//! A server that heeds `If-None-Match` and checksums.

use jiff::ToSpan;
use trailkeeper::{
    config::LockMode,
    objects::{Deletion, LockState, Vault, fault},
};

use super::{assert_locked, count_versions, in_an_hour, keeps_what_it_is_given};
use crate::support::{ministack::Ministack, store::block_on};

#[test]
fn keeps_what_it_is_given_once() {
    let ministack = Ministack::start();
    block_on(async {
        ministack.server.make_bucket("locked", true).await;
        let config = ministack.server.config("locked", LockMode::Compliance);
        let vault = Vault::open(&config).unwrap();
        keeps_what_it_is_given(&vault, "suite").await;

        let until = in_an_hour();
        let stored = vault.put("a", "x".into(), until).await.unwrap();
        assert_locked(&stored, LockMode::Compliance, until);
        let version = stored.version.as_deref();
        let refused = vault.delete_version("a", version).await.unwrap();
        assert!(matches!(refused, Deletion::Refused { .. }), "{refused:?}");

        let later = until + 1.hour();
        let lock = vault.extend("a", version, later).await.unwrap();
        assert!(
            matches!(&lock, LockState::Locked(lock) if lock.until == later),
            "{lock:?}"
        );

        // A writer that overtakes us between the look and the write is met by the condition: both write the same.
        let writers = (0..8).map(|_| vault.put("raced", "same".into(), until));
        for stored in futures_util::future::join_all(writers).await {
            assert_locked(&stored.unwrap(), LockMode::Compliance, until);
        }
        assert_eq!(count_versions(&vault, "raced").await, 1);

        for way in [fault::Way::FailedButPersisted, fault::Way::Failed] {
            let name = format!("broken/{way:?}");
            fault::break_puts(way, 2);
            let stored = vault.put(&name, "x".into(), until).await.unwrap();
            assert_locked(&stored, LockMode::Compliance, until);
            assert_eq!(count_versions(&vault, &name).await, 1);
            fault::break_puts(way, 0);
        }
    });
}
