//! Objects in a directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use trailkeeper::{
    config::{Config, LockMode, Secret},
    objects::{Deletion, LockState, Protection, Vault, VaultError},
};

use super::{in_an_hour, keeps_what_it_is_given};
use crate::support::store::block_on;

pub(super) fn config(directory: &Path, lock_mode: LockMode) -> Config {
    let mut config = Config::default();
    config.objects.url = Secret::new(format!("file://{}/objects", directory.display()));
    config.objects.lock_mode = lock_mode;
    config
}

#[test]
fn keeps_what_it_is_given_and_promises_nothing() {
    let directory = tempfile::tempdir().expect("make a directory");
    let vault = Vault::open(&config(directory.path(), LockMode::Compliance)).unwrap();
    block_on(async {
        keeps_what_it_is_given(&vault, "suite").await;

        let stored = vault.put("a/b", "x".into(), in_an_hour()).await.unwrap();
        let LockState::NotLocked { found: None, why } = &stored.lock else {
            panic!("{stored:?}");
        };
        assert!(why.contains("not write-once"), "{why}");
        assert!(matches!(vault.protection(), Protection::None { .. }));
        let extended = vault.extend("a/b", None, in_an_hour()).await.unwrap();
        assert_eq!(extended, stored.lock);
        let path = directory.path().join("objects/a/b");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o444);
        // As after a crash between writing a file and making it read-only.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        vault.put("a/b", "x".into(), in_an_hour()).await.unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o444);
        // What replaced it is found by its digest, however it came there.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "y").unwrap();
        let error = vault.put("a/b", "x".into(), in_an_hour()).await;
        assert!(
            matches!(error, Err(VaultError::Occupied { .. })),
            "{error:?}"
        );

        assert_eq!(
            vault.delete_version("a/b", None).await.unwrap(),
            Deletion::Deleted
        );
        assert!(!path.exists());
        let left = fs::read_dir(directory.path().join("objects/a")).unwrap();
        assert_eq!(left.count(), 0, "no half-written file is left");
    });
}

#[test]
fn without_a_lock_configured_there_is_none_to_miss() {
    let directory = tempfile::tempdir().expect("make a directory");
    let vault = Vault::open(&config(directory.path(), LockMode::None)).unwrap();
    let stored = block_on(vault.put("a", "x".into(), in_an_hour())).unwrap();
    assert_eq!(stored.lock, LockState::NotAsked);
}

#[test]
fn a_directory_that_cannot_be_made_says_what_to_set() {
    let directory = tempfile::tempdir().expect("make a directory");
    fs::write(directory.path().join("objects"), "a file").unwrap();
    let error = Vault::open(&config(directory.path(), LockMode::None)).unwrap_err();
    assert!(
        error.to_string().contains("set objects.url or data_dir"),
        "{error}"
    );
}
