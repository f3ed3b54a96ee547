//! Objects that are written once: one suite over all stores, and what only some of them can show.

mod ceph;
mod doctor;
mod faults;
mod files;
mod ministack;

use bytes::Bytes;
use futures_util::TryStreamExt;
use jiff::{Timestamp, ToSpan};
use trailkeeper::{
    clock::Clock,
    config::LockMode,
    objects::{Digest, LockState, MAX_OBJECT_BYTES, Stored, Vault, VaultError},
};

/// A time that no store rounds to another.
fn in_an_hour() -> Timestamp {
    let now = Clock.now() + 1.hour();
    Timestamp::from_second(now.as_second()).expect("a whole second")
}

/// What any store has to do. The names begin with `prefix`, under which there must be nothing yet.
async fn keeps_what_it_is_given(vault: &Vault, prefix: &str) {
    let name = format!("{prefix}/a=1/b_2.json+zst");
    let content = Bytes::from_static(b"the content");
    let until = in_an_hour();
    let stored = vault.put(&name, content.clone(), until).await.unwrap();
    assert_eq!(stored.name, name);
    assert_eq!((stored.size, stored.sha256), (11, Digest::of(&content)));
    assert!(!stored.is_hidden);

    // The same again changes nothing.
    let again = vault.put(&name, content.clone(), until).await.unwrap();
    assert_eq!(again, stored);
    // Other content is refused, and leaves what there is.
    let error = vault.put(&name, "other".into(), until).await.unwrap_err();
    match &error {
        VaultError::Occupied { wanted, found, .. } => {
            assert_eq!((*wanted, *found), (Digest::of(b"other"), stored.sha256));
        }
        other => panic!("{other:?}"),
    }
    assert!(
        error.to_string().contains("nothing was overwritten"),
        "{error}"
    );
    let version = stored.version.as_deref();
    assert_eq!(vault.get(&name, version).await.unwrap(), content);
    assert_eq!(vault.get(&name, None).await.unwrap(), content);
    let head = vault.head(&name, version).await.unwrap();
    assert_eq!((head.size, &head.version), (11, &stored.version));
    assert_eq!(head.lock, stored.lock);

    // Nothing, and much.
    let empty = format!("{prefix}/empty");
    let nothing = vault.put(&empty, Bytes::new(), until).await.unwrap();
    assert_eq!((nothing.size, nothing.sha256), (0, Digest::of(b"")));
    let large = Bytes::from(vec![7; 8 << 20]);
    let stored = vault
        .put(&format!("{prefix}/large"), large.clone(), until)
        .await;
    assert_eq!(stored.unwrap().size, 8 << 20);
    assert!(vault.get(&format!("{prefix}/large"), None).await.unwrap() == large);
    let size = usize::try_from(MAX_OBJECT_BYTES).expect("64 bits") + 1;
    let error = vault.put(&empty, vec![0; size].into(), until).await;
    assert!(
        matches!(error, Err(VaultError::TooLarge { .. })),
        "{error:?}"
    );

    let names = [name.clone(), empty, format!("{prefix}/large")];
    let listed: Vec<_> = vault
        .list(&format!("{prefix}/"))
        .try_collect()
        .await
        .unwrap();
    let mut found: Vec<_> = listed.iter().map(|object| object.name.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, names);
    let versions: Vec<_> = vault
        .versions(&format!("{prefix}/"))
        .try_collect()
        .await
        .unwrap();
    let mut found: Vec<_> = versions
        .iter()
        .map(|version| version.name.as_str())
        .collect();
    found.sort_unstable();
    assert_eq!(found, names);
    assert!(
        versions
            .iter()
            .all(|version| version.is_latest && !version.is_delete_marker)
    );
    let age = Clock.now().duration_since(versions[0].modified);
    assert!(age.as_secs().abs() < 60, "{age:?}");

    let missing = format!("{prefix}/missing");
    for error in [
        vault.get(&missing, None).await.unwrap_err(),
        vault.head(&missing, None).await.unwrap_err(),
    ] {
        assert!(matches!(error, VaultError::NotFound { .. }), "{error}");
        assert!(error.to_string().contains(&missing), "{error}");
        assert!(error.to_string().contains(vault.location()), "{error}");
    }
    let error = vault.put("../up", content, until).await.unwrap_err();
    assert!(matches!(error, VaultError::Name { .. }), "{error}");
    assert!(!error.is_transient());
}

/// How many versions a name has.
async fn count_versions(vault: &Vault, name: &str) -> usize {
    let versions: Vec<_> = vault.versions(name).try_collect().await.unwrap();
    versions
        .iter()
        .filter(|version| version.name == name)
        .count()
}

#[track_caller]
fn assert_locked(stored: &Stored, mode: LockMode, until: Timestamp) {
    match &stored.lock {
        LockState::Locked(lock) => assert_eq!((lock.mode, lock.until), (mode, until)),
        other => panic!("{other:?}"),
    }
    assert!(stored.version.is_some(), "{stored:?}");
}
