//! What is kept for as long as the newest state needs it.

use jiff::ToSpan;
use trailkeeper::{
    backup::{self, FindingKind, Manifest},
    config::LockMode,
    objects::{self, Vault},
    state::{Store, fault},
};

use super::{ORIGIN, Site, keys, kinds_of};
use crate::support::{
    ceph::Ceph,
    s3::Server,
    store::{TestStore, block_on},
};

crate::on_both![
    locks_are_prolonged_before_they_end,
    each_write_of_a_renewal_may_break,
];

pub(super) async fn newest(site: &Site) -> Manifest {
    let loaded = backup::load(&site.vault, ORIGIN, &keys().verifiers).await;
    let mut loaded = loaded.expect("read the archive");
    assert_eq!(loaded.findings().count(), 0);
    loaded.all.pop().expect("a manifest").manifest
}

fn days(site: &mut Site, days: i64) {
    site.now += (days * 24).hours();
}

async fn locks_are_prolonged_before_they_end(test: TestStore) {
    let store = &test.store;
    let (mut site, generator) = Site::generated(2, 100);
    site.anchor(store).await;
    let first = site.backup(store).await;
    let generator = site.append(generator, 20);
    days(&mut site, 1);
    site.backup(store).await;
    assert_eq!(newest(&site).await.renewed, []);

    // 400 days are kept; a third of them is left.
    days(&mut site, 269);
    site.append(generator, 20);
    let third = site.backup(store).await;
    let manifest = newest(&site).await;
    let names: Vec<&str> = manifest.renewed.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(third.renewed as usize, names.len());
    let of = |prefix: &str| names.iter().filter(|name| name.starts_with(prefix)).count();
    // Two organisations in two backups, an anchor with two checkpoints, and two manifests.
    let segments = of("segments/1/") + of("segments/2/");
    assert_eq!((segments, of("anchors/"), of("manifests/")), (4, 3, 2));
    assert_eq!(names.len(), 9, "{names:?}");
    assert!(names.contains(&first.manifest.as_str()));
    let until = site.vault.retain_until(site.now).as_microsecond();
    for renewed in &manifest.renewed {
        assert_eq!(renewed.retain_until.as_microsecond(), until);
    }

    // Nothing is left to prolong, and nothing to name.
    let fourth = site.backup(store).await;
    assert_eq!((fourth.renewed, newest(&site).await.renewed), (0, vec![]));

    // Long after the first time is over what the newest state needs is missed.
    days(&mut site, 200);
    let gone = manifest
        .renewed
        .iter()
        .find(|it| it.name.starts_with("segments/1/"));
    let gone = gone.expect("a segment");
    site.vault
        .delete_version(&gone.name, None)
        .await
        .expect("delete");
    let report = site.verify(store).await;
    assert_eq!(kinds_of(&report.findings), [FindingKind::ObjectMissing]);
    assert_eq!(report.findings[0].object, gone.name);
}

async fn each_write_of_a_renewal_may_break(test: TestStore) {
    let store = &test.store;
    let (mut site, mut generator) = Site::generated(2, 60);
    for write in [
        "archive renewal",
        "archive manifest",
        "archive manifest stored",
    ] {
        for way in [fault::Way::Failed, fault::Way::FailedButPersisted] {
            generator = site.append(generator, 20);
            site.backup(store).await;
            days(&mut site, 300);
            fault::set(write, way, 1);
            let made = site.try_backup(store).await;
            made.expect_err(&format!("{write} {way:?}"));
            assert_eq!(fault::left(write), 0, "{write}");
            site.backup(store).await;
            site.assert_sound(store).await;
            assert_all_named(&site, store).await;
        }
    }
    let left = "SELECT (SELECT count(*) FROM archive_object WHERE is_renewed = 1) + \
                (SELECT count(*) FROM archive_manifest WHERE is_renewed = 1)";
    assert_eq!(test.number(left).await, 0);
}

/// Every object that the newest state needs is kept until what the manifests say of it, and that is long.
async fn assert_all_named(site: &Site, store: &Store) {
    let loaded = backup::load(&site.vault, ORIGIN, &keys().verifiers).await;
    let manifests = loaded.expect("read the archive").all;
    let long = site.now + (100 * 24).hours();
    let newest = manifests.last().expect("one").manifest.number;
    for archived in &manifests {
        for object in &archived.manifest.objects {
            if object.table != "verificationlog" {
                continue;
            }
            let renewed = manifests.iter().flat_map(|it| &it.manifest.renewed);
            let renewed = renewed.filter(|it| it.name == object.name);
            let until = renewed.map(|it| it.retain_until).max();
            let until = until.unwrap_or(object.retain_until);
            assert!(until > long, "{} of {newest}: {until}", object.name);
        }
    }
    let soon = site.vault.renewal_due(site.now).as_microsecond();
    let ending = store.ending_archive_objects(soon, 1).await.expect("read");
    assert_eq!(ending, []);
}

#[test]
fn ceph_prolongs_the_locks_of_a_backup() {
    let ceph = Ceph::start();
    let server = &ceph.server;
    block_on(async {
        server.make_bucket("locked", true).await;
        let test = TestStore::sqlite().await;
        let store = &test.store;
        let (mut site, generator) = Site::generated(2, 60);
        site.vault = short_lived(server);
        let first = site.backup(store).await;
        assert_eq!(first.not_locked, []);
        site.append(generator, 20);
        // Four hours of the day are left.
        let begun = site.now;
        site.now += 20.hours();
        objects::fault::break_puts(objects::fault::Way::FailedButPersisted, 2);
        let second = site.backup(store).await;
        assert_eq!((second.renewed, &second.not_locked), (3, &vec![]));
        for renewed in newest(&site).await.renewed {
            let head = site
                .vault
                .head(&renewed.name, renewed.version.as_deref())
                .await;
            let objects::LockState::Locked(lock) = head.expect("look").lock else {
                panic!("{renewed:?}");
            };
            assert!(lock.until >= renewed.retain_until);
            assert!(renewed.retain_until > begun + 40.hours(), "{renewed:?}");
        }
        site.assert_sound(store).await;

        // A lock that ends before the date that a manifest prolonged it to is found.
        let never = format!(
            "UPDATE archive_manifest SET is_renewed = 1, retain_until = {} WHERE number = 1",
            (begun + 300.hours()).as_microsecond()
        );
        test.execute(&never).await;
        site.backup(store).await;
        let report = site.verify(store).await;
        assert_eq!(kinds_of(&report.findings), [FindingKind::NotLocked]);
        assert_eq!(report.findings[0].object, first.manifest);
        let detail = &report.findings[0].detail;
        assert!(detail.contains("its lock ends at"), "{detail}");

        // What cannot be prolonged is told of, and the backup made.
        test.execute("UPDATE archive_object SET version = 'none-such', retain_until = 0 WHERE relation = 'verificationlog'").await;
        let third = site.backup(store).await;
        assert_eq!(third.renewed, 0);
        let told = &third.not_locked;
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told[0].why.contains("could not be prolonged"), "{told:?}");
    });
}

/// A vault whose locks last a day.
pub(super) fn short_lived(server: &Server) -> Vault {
    let mut config = server.config("locked", LockMode::Compliance);
    config.objects.retention_days = 1;
    Vault::open(&config).expect("open the vault")
}
