//! Exports in the store of objects: whole, unlocked, and removed when they are over.

use std::fs;
use std::sync::Arc;

use futures_util::TryStreamExt;
use jiff::{Timestamp, ToSpan};
use trailkeeper::{
    config::{Config, LockMode, Secret},
    export::{self, Asked, Delivered, Notice, Order, Removed, Target},
    objects::Vault,
};

use super::{Opened, Qwed, made_at};
use crate::support::{
    ceph::Ceph,
    store::{TestStore, block_on},
};

/// How long exports are kept here.
const KEEP_DAYS: u32 = 30;

/// An S3 upload has several parts from here on.
const LARGE_BYTES: usize = 20 << 20;

async fn deliver(
    test: &TestStore,
    qwed: &Qwed<'_>,
    vault: &Vault,
    target: &Target,
    id: &str,
) -> Delivered {
    let scratch = test.directory.path().join("scratch");
    let order = Order {
        vault,
        scratch: &scratch,
        id,
        keep_days: KEEP_DAYS,
    };
    let (notice, progress) = (Notice::default(), Arc::default());
    let (own, made_at) = (Vec::new(), made_at());
    let delivered = export::deliver(&order, &qwed.url, target, &notice, own, made_at, &progress);
    let delivered = delivered.await.expect("deliver");
    let left = fs::read_dir(&scratch).expect("list").count();
    assert_eq!(left, 0, "what is made on the way has no name");
    delivered
}

async fn names(vault: &Vault) -> Vec<String> {
    let listed = vault.list("exports/").map_ok(|listed| listed.name);
    listed.try_collect().await.expect("list")
}

/// Delivers, and removes what is over.
async fn delivers_and_removes(test: &TestStore, qwed: &Qwed<'_>, vault: &Vault) {
    let ada = qwed.target(1, &Asked::User(10));
    let delivered = deliver(test, qwed, vault, &ada, "a1").await;
    assert_eq!(delivered.object, "exports/organization-1/user-10/a1.zip");
    assert_eq!(delivered.locked_until, None);
    assert_eq!(delivered.kept_until, made_at() + (30 * 24).hours());
    let content = vault.get(&delivered.object, None).await.expect("get");
    let path = qwed.file();
    fs::write(&path, &content).expect("write");
    assert_eq!(content.len() as u64, delivered.made.size_bytes);
    assert_eq!(Opened::read(&path).ids("apikey"), Some(vec![1]));
    // A run that is repeated puts its own again.
    deliver(test, qwed, vault, &ada, "a1").await;
    let all = qwed.target(1, &Asked::Organization);
    deliver(test, qwed, vault, &all, "b1").await;
    let expected = [
        "exports/organization-1/all/b1.zip",
        "exports/organization-1/user-10/a1.zip",
    ];
    let mut found = names(vault).await;
    found.sort();
    assert_eq!(found, expected);
    let prefix = export::directory(1, Some(1));
    assert!(!delivered.object.starts_with(&prefix), "{prefix}");

    let now = Timestamp::from_microsecond(trailkeeper::clock::Clock.now().as_microsecond());
    let now = now.expect("a time");
    let early = export::sweep(vault, KEEP_DAYS, now + (29 * 24).hours()).await;
    assert_eq!(early.expect("sweep"), Removed::default());
    let late = export::sweep(vault, KEEP_DAYS, now + (31 * 24).hours()).await;
    let late = late.expect("sweep");
    assert!(late.removed >= 2 && late.refused == 0, "{late:?}");
    assert_eq!(names(vault).await, Vec::<String>::new());
}

/// Other objects are none of its business.
#[test]
fn a_directory_takes_them() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let qwed = Qwed::filled(&test);
        let mut config = Config::default();
        let objects = test.directory.path().join("objects");
        config.objects.url = Secret::new(format!("file://{}", objects.display()));
        let archive = Vault::open(&config).expect("open");
        let until = made_at() + 24.hours();
        archive
            .put("segments/x", "x".into(), until)
            .await
            .expect("put");
        let vault = Vault::open_for_exports(&config).expect("open");
        delivers_and_removes(&test, &qwed, &vault).await;
        assert_eq!(archive.get("segments/x", None).await.expect("get"), "x");
    });
}

/// In the bucket that locks what the archive puts there; in several parts.
#[test]
fn a_bucket_with_object_lock_takes_them_unlocked() {
    let ceph = Ceph::start();
    let server = &ceph.server;
    block_on(async {
        server.make_bucket("locked", true).await;
        let test = TestStore::sqlite().await;
        let qwed = Qwed::filled(&test);
        let config = server.config("locked", LockMode::Compliance);
        let vault = Vault::open_for_exports(&config).expect("open");
        delivers_and_removes(&test, &qwed, &vault).await;

        // What does not compress.
        let mut noise = vec![0_u8; LARGE_BYTES / 2];
        getrandom(&mut noise);
        let hex: String = noise.iter().map(|byte| format!("{byte:02x}")).collect();
        qwed.run(&format!(
            "UPDATE verificationlog SET query = '{hex}' WHERE id = 1"
        ));
        let ada = qwed.target(1, &Asked::User(10));
        let delivered = deliver(&test, &qwed, &vault, &ada, "large").await;
        assert!(
            delivered.made.size_bytes > 9 << 20,
            "{}",
            delivered.made.size_bytes
        );
        assert_eq!(delivered.locked_until, None);
        assert!(delivered.version.is_some());
        let content = vault.get(&delivered.object, None).await.expect("get");
        let path = qwed.file();
        fs::write(&path, &content).expect("write");
        Opened::read(&path);
    });
}

fn getrandom(bytes: &mut [u8]) {
    fastrand::Rng::new().fill(bytes);
}
