//! Packs in the store of objects: locked, and the lock is read back.

use trailkeeper::{
    config::{Config, LockMode, Secret},
    objects::{Deletion, LockState, Vault},
    pack,
};

use super::{Desk, Packed, made_at};
use crate::support::{
    ceph::Ceph,
    store::{TestStore, block_on},
};

#[test]
fn a_bucket_keeps_them_locked() {
    let ceph = Ceph::start();
    let server = &ceph.server;
    block_on(async {
        server.make_bucket("locked", true).await;
        let desk = Desk::anchored(TestStore::sqlite().await).await;
        let packed = desk.pack().await;
        let mut config = server.config("locked", LockMode::Compliance);
        // It was made some time ago.
        config.objects.retention_days = 3650;
        let vault = Vault::open(&config).expect("open");
        let stored = pack::store(&vault, &packed.made, &mut packed.file()).await;
        let stored = stored.expect("store");
        assert_eq!(stored.lock_problem(), None, "{stored:?}");
        let [object] = &stored.objects[..] else {
            panic!("{stored:?}");
        };
        assert_eq!(object.sha256, packed.made.sha256);
        let LockState::Locked(lock) = &object.lock else {
            panic!("{object:?}");
        };
        assert!(lock.until >= vault.retain_until(made_at()));
        let deleted = vault
            .delete_version(&object.name, object.version.as_deref())
            .await;
        assert!(
            matches!(deleted, Ok(Deletion::Refused { .. })),
            "{deleted:?}"
        );
        let content = vault.get(&object.name, None).await.expect("get");
        assert_eq!(content, packed.bytes());
        // A run that is repeated changes nothing; another pack of the same report has a name of its own.
        let again = pack::store(&vault, &packed.made, &mut packed.file()).await;
        assert_eq!(again.expect("store").objects, stored.objects);
        let (report, verification) = desk.report(1).await;
        let other = Packed::make(&report, &verification, &desk.gather(1, 3).await, super::LOG);
        let beside = pack::store(&vault, &other.made, &mut other.file()).await;
        let beside = beside.expect("store");
        assert_ne!(beside.objects[0].name, object.name);
        let content = vault.get(&object.name, None).await.expect("get");
        assert_eq!(content, packed.bytes());
    });
}

#[test]
fn a_bucket_that_cannot_lock_is_told() {
    let ceph = Ceph::start();
    let server = &ceph.server;
    block_on(async {
        server.make_bucket("open", false).await;
        let desk = Desk::anchored(TestStore::sqlite().await).await;
        let packed = desk.pack().await;
        let vault = Vault::open(&server.config("open", LockMode::Compliance)).expect("open");
        let stored = pack::store(&vault, &packed.made, &mut packed.file()).await;
        let is_told = match &stored {
            Ok(stored) => stored.lock_problem().is_some(),
            Err(_) => true,
        };
        assert!(is_told, "{stored:?}");
    });
}

/// A directory locks nothing, and says so by what it is.
#[test]
fn a_directory_keeps_them() {
    block_on(async {
        let desk = Desk::anchored(TestStore::sqlite().await).await;
        let packed = desk.pack().await;
        let mut config = Config::default();
        let objects = packed.directory.path().join("objects");
        config.objects.url = Secret::new(format!("file://{}", objects.display()));
        let vault = Vault::open(&config).expect("open");
        let stored = pack::store(&vault, &packed.made, &mut packed.file()).await;
        let stored = stored.expect("store");
        let digest = packed.made.sha256.to_string();
        let name = format!(
            "packs/organization-1/{}-{}.zip",
            super::sample::REPORT_ID,
            &digest[..16]
        );
        assert_eq!(stored.objects[0].name, name);
        assert_eq!(vault.get(&name, None).await.expect("get"), packed.bytes());
    });
}
