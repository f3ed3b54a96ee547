//! Exports of the key table: what they bring back, what they never do, and when they go.

use std::fs;

use age::x25519::Identity;
use futures_util::TryStreamExt;
use jiff::{Timestamp, ToSpan};
use serde_json::json;
use trailkeeper::{
    backup::{self, BackupError, Exported, Recovered, Wanted},
    config::{Config, LockMode, Secret},
    objects::{self, Deletion, LockState, Vault},
    state::{Store, fault},
};

use super::{ORIGIN, Site, dump, keys};
use crate::support::{
    ceph::Ceph,
    program::Program,
    store::{TestStore, block_on},
    trails::{KEY, fixture},
};

crate::on_both![
    lost_keys_come_back_and_destroyed_ones_do_not,
    each_write_of_a_recovery_may_break,
];

/// An archive whose keys are exported.
struct Exports {
    config: Config,
    identity: Identity,
}

impl Exports {
    fn of(site: &Site) -> Self {
        let mut config = Config::default();
        let objects = format!("file://{}/objects", site.directory.path().display());
        config.objects.url = Secret::new(objects);
        config.objects.lock_mode = LockMode::None;
        Self::with(config)
    }

    fn with(mut config: Config) -> Self {
        let identity = Identity::generate();
        config.anchors.origin = ORIGIN.to_owned();
        config.backup.recovery_recipients = vec![identity.to_public().to_string()];
        Self { config, identity }
    }

    async fn export(&self, store: &Store, number: i64, now: Timestamp) -> Exported {
        let exported = backup::export_keys(&self.config, store, &keys(), number, now).await;
        exported.expect("export")
    }

    fn vault(&self) -> Vault {
        Vault::open_for_recovery(&self.config).expect("open the vault")
    }

    async fn recover(&self, store: &Store, export: Option<&str>) -> Result<Recovered, BackupError> {
        let (vault, keys) = (self.vault(), keys().verifiers);
        let identities = std::slice::from_ref(&self.identity);
        backup::recover_keys(store, &vault, ORIGIN, &keys, identities, export).await
    }

    async fn names(&self) -> Vec<String> {
        let listed = self.vault().list("recovery/").map_ok(|listed| listed.name);
        listed.try_collect().await.expect("list")
    }
}

const LEFT: &str = "SELECT count(*) FROM data_key WHERE wrapped IS NOT NULL";

async fn lost_keys_come_back_and_destroyed_ones_do_not(test: TestStore) {
    let store = &test.store;
    let site = Site::of_fixture("g4_two_orgs");
    let exports = Exports::of(&site);
    let made = site.backup(store).await;
    let first = exports.export(store, made.number, site.now).await;
    let all = test.number(LEFT).await;
    assert_eq!((first.keys as i64, first.names.len()), (all, 1));
    assert!(all > 1);

    // Our database is lost; but for the key-encryption key nothing else is needed.
    test.execute("DELETE FROM data_key").await;
    let recovered = exports.recover(store, None).await.expect("recover");
    assert_eq!((recovered.keys as i64, recovered.destroyed), (all, 0));
    assert!(recovered.is_complete && recovered.export == made.number);
    let (restored, path) = site.restore(store, Wanted::default()).await;
    assert_eq!((restored.erased_keys, restored.unknown_keys), (0, 0));
    assert_eq!(dump(&path), dump(&site.path()));
    let again = exports.recover(store, None).await.expect("recover");
    assert_eq!((again.keys, again.destroyed), (0, 0));

    test.execute("CREATE TABLE old_copy AS SELECT * FROM data_key")
        .await;

    // A key that our database knows as destroyed is not brought back.
    let subject = "SELECT count(*) FROM data_key WHERE wrapped IS NULL";
    let erased = store
        .destroy_data_keys(&backup::subject(Some(1), None))
        .await;
    assert_eq!(erased.expect("erase"), 1);
    exports.recover(store, None).await.expect("recover");
    assert_eq!(
        (test.number(LEFT).await, test.number(subject).await),
        (all - 1, 1)
    );

    // Nor one that a later export knows as destroyed, though our database is lost as well and an earlier export wanted.
    let second = exports.export(store, made.number + 1, site.now).await;
    assert_eq!(second.keys as i64, all);
    for wanted in [Some(first.names[0].as_str()), None] {
        test.execute("DELETE FROM data_key").await;
        let recovered = exports.recover(store, wanted).await.expect("recover");
        assert_eq!((recovered.keys as i64, recovered.destroyed), (all - 1, 1));
        assert_eq!(
            (test.number(LEFT).await, test.number(subject).await),
            (all - 1, 1)
        );
    }
    let (restored, _) = site.restore(store, Wanted::default()).await;
    assert_eq!((restored.erased_keys, restored.unknown_keys), (1, 0));

    // An old copy of our database, in which the key is still there, is put right.
    test.execute("DELETE FROM data_key").await;
    test.execute("INSERT INTO data_key SELECT * FROM old_copy")
        .await;
    let recovered = exports.recover(store, None).await.expect("recover");
    assert_eq!((recovered.keys, recovered.destroyed), (0, 1));
    let missing = exports
        .recover(store, Some("recovery/000000000099-00.age"))
        .await;
    let error = missing.expect_err("no such export").to_string();
    assert!(error.contains("there is no export"), "{error}");
}

#[test]
fn an_export_is_opened_by_its_key_and_believed_by_its_signature() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let store = &test.store;
        let site = Site::of_fixture("g4_two_orgs");
        let exports = Exports::of(&site);
        let error = exports.recover(store, None).await.expect_err("none yet");
        assert!(error.to_string().contains("there is no export"), "{error}");
        site.backup(store).await;
        let made = exports.export(store, 1, site.now).await;
        test.execute("DELETE FROM data_key").await;

        let stranger = Exports {
            identity: Identity::generate(),
            config: exports.config.clone(),
        };
        let error = stranger
            .recover(store, None)
            .await
            .expect_err("another key");
        assert!(
            error.to_string().contains("encrypted to other keys"),
            "{error}"
        );
        let nobody = backup::identities("# a comment\n");
        let error = nobody.map(|_| ()).expect_err("no key").to_string();
        assert!(error.contains("AGE-SECRET-KEY-1"), "{error}");

        // Everybody may encrypt to a public key: what is not signed is not believed.
        let vault = exports.vault();
        let bytes = vault.get(&made.names[0], None).await.expect("read");
        let opened = age::decrypt(&exports.identity, &bytes).expect("decrypt");
        let (note, rows) =
            opened.split_at(opened.iter().position(|it| *it == b'\n').expect("a line") + 1);
        let line = std::str::from_utf8(rows)
            .expect("text")
            .lines()
            .next()
            .expect("a key");
        let mut key: serde_json::Value = serde_json::from_str(line).expect("JSON");
        key["wrapped"] = json!(null);
        let forged = [note, format!("{key}\n").as_bytes()].concat();
        let forged = age::encrypt(&exports.identity.to_public(), &forged).expect("encrypt");
        let name = format!("recovery/000000000002-{}.age", objects::Digest::of(&forged));
        vault
            .put(&name, forged.into(), site.now)
            .await
            .expect("put");
        let error = exports.recover(store, None).await.expect_err("a forgery");
        assert!(
            error.to_string().contains("not those that were signed"),
            "{error}"
        );
        assert_eq!(test.number("SELECT count(*) FROM data_key").await, 0);
        // It keeps nobody from the export before it, and is told of.
        let recovered = exports.recover(store, Some(&made.names[0])).await;
        let recovered = recovered.expect("recover");
        assert_eq!((recovered.keys, recovered.unread), (made.keys, vec![name]));
    });
}

#[test]
fn exports_end_by_themselves_and_nothing_else_does() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let store = &test.store;
        let site = Site::of_fixture("g4_two_orgs");
        let mut exports = Exports::of(&site);
        site.backup(store).await;
        let first = exports.export(store, 1, site.now).await;
        let soon = site.now + (34 * 24).hours();
        let second = exports.export(store, 2, soon).await;
        assert_eq!((second.deleted, exports.names().await.len()), (0, 2));
        fs::write(site.directory.path().join("objects/recovery/stranger"), "x").expect("write");
        let before = exports.vault().list("").map_ok(|listed| listed.name);
        let before: Vec<String> = before.try_collect().await.expect("list");
        let late = site.now + (36 * 24).hours();
        let third = exports.export(store, 3, late).await;
        assert_eq!((third.deleted, &third.not_deleted), (2, &vec![]));
        let left: Vec<String> = exports
            .vault()
            .list("")
            .map_ok(|it| it.name)
            .try_collect()
            .await
            .expect("list");
        let gone: Vec<&String> = before.iter().filter(|name| !left.contains(name)).collect();
        let mut expected = [&first.names[0], &second.names[0]];
        expected.sort_unstable();
        let mut gone = gone;
        gone.sort_unstable();
        assert_eq!(gone, expected);
        // Also when none is made any more.
        exports.config.backup.recovery_recipients.clear();
        let none = exports.export(store, 4, late + (36 * 24).hours()).await;
        assert_eq!((none.names.len(), none.deleted), (0, 1));
    });
}

async fn each_write_of_a_recovery_may_break(test: TestStore) {
    let store = &test.store;
    let site = Site::of_fixture("g4_two_orgs");
    let exports = Exports::of(&site);
    site.backup(store).await;
    let all = test.number(LEFT).await;
    for (way, found) in [
        (objects::fault::Way::Failed, 0),
        (objects::fault::Way::FailedButPersisted, 1),
    ] {
        objects::fault::break_puts(way, 100);
        let broken = backup::export_keys(&exports.config, store, &keys(), 1, site.now).await;
        objects::fault::break_puts(way, 0);
        // What was put all the same is found to be there.
        assert_eq!(broken.is_ok(), found == 1, "{broken:?}");
        assert_eq!(exports.names().await.len(), found);
    }
    for way in [fault::Way::Failed, fault::Way::FailedButPersisted] {
        test.execute("DELETE FROM data_key").await;
        fault::set("recovered keys", way, 1);
        let broken = exports.recover(store, None).await;
        broken.expect_err("a write broke");
        exports.recover(store, None).await.expect("recover");
        assert_eq!(test.number(LEFT).await, all);
        let (restored, _) = site.restore(store, Wanted::default()).await;
        assert_eq!(restored.unknown_keys, 0);
    }
}

#[test]
fn ceph_locks_an_export_and_keeps_it() {
    let ceph = Ceph::start();
    let server = &ceph.server;
    block_on(async {
        server.make_bucket("locked", true).await;
        let test = TestStore::sqlite().await;
        let store = &test.store;
        let config = server.config("locked", LockMode::Compliance);
        let mut site = Site::of_fixture("g4_two_orgs");
        site.vault = Vault::open(&config).expect("open the vault");
        let exports = Exports::with(config);
        site.backup(store).await;
        let made = exports.export(store, 1, site.now).await;
        assert_eq!(made.not_locked, []);
        let head = exports
            .vault()
            .head(&made.names[0], None)
            .await
            .expect("look");
        let LockState::Locked(lock) = head.lock else {
            panic!("{head:?}");
        };
        assert_eq!(lock.mode, LockMode::Governance);
        assert!(lock.until < site.now + (36 * 24).hours(), "{lock:?}");
        // The worker cannot delete it before its time, and says so.
        let version = head.version.as_deref();
        let deleted = exports
            .vault()
            .delete_version(&made.names[0], version)
            .await;
        assert!(
            matches!(deleted, Ok(Deletion::Refused { .. })),
            "{deleted:?}"
        );
        let late = site.now + (40 * 24).hours();
        let second = exports.export(store, 2, late).await;
        assert_eq!((second.deleted, second.not_deleted.len()), (0, 1));
        // It is none of the archive, and no orphan.
        site.assert_sound(store).await;
        test.execute("DELETE FROM data_key").await;
        exports.recover(store, None).await.expect("recover");
        site.assert_sound(store).await;
    });
}

#[test]
fn an_operator_recovers_keys() {
    let directory = tempfile::tempdir().expect("make a directory");
    let at = directory.path();
    fs::copy(fixture("g4_two_orgs"), at.join("qwed.db")).expect("copy");
    let identity = Identity::generate();
    let program = |arguments: &[&str]| {
        Program::bare()
            .env("TRAILKEEPER__DATA_DIR", at.join("data"))
            .env("TRAILKEEPER__OBJECTS__LOCK_MODE", "none")
            .env(
                "DATABASE_URL",
                format!("sqlite:///{}", at.join("qwed.db").display()),
            )
            .env("QWED_AUDIT_SECRET_KEY", KEY)
            .args(arguments)
    };
    let recipient = identity.to_public().to_string();
    let text = program(&["archive", "create"]).run().stdout;
    assert!(
        text.contains("no export: no data keys are exported"),
        "{text}"
    );
    let (run, made) = program(&["archive", "create"])
        .env("TRAILKEEPER__BACKUP__RECOVERY_RECIPIENTS", &recipient)
        .json();
    assert_eq!(run.code, Some(0), "{run:?}");
    let export = made["recovery"]["names"][0]
        .as_str()
        .expect("a name")
        .to_owned();
    let (_, report) = program(&["archive", "doctor"]).json();
    let checks = report["checks"].as_array().expect("a list");
    let check = checks
        .iter()
        .find(|check| check["name"] == "recovery")
        .expect("a check");
    assert!(
        check["detail"]
            .as_str()
            .expect("text")
            .contains("loses the state database")
    );

    for file in ["trailkeeper.db", "trailkeeper.db-wal", "trailkeeper.db-shm"] {
        let _ = fs::remove_file(at.join("data").join(file));
    }
    let file = at.join("identity");
    let secret = age::secrecy::ExposeSecret::expose_secret(&identity.to_string()).to_owned();
    fs::write(&file, format!("# made by age-keygen\n{secret}\n")).expect("write");
    let file = file.to_str().expect("UTF-8");
    let (run, recovered) = program(&[
        "archive",
        "recover-keys",
        "--identity",
        file,
        "--export",
        &export,
    ])
    .json();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(recovered["keys"], made["recovery"]["keys"]);
    let to = format!("sqlite:///{}", at.join("restored.db").display());
    let (run, restored) = program(&["archive", "restore", "--to", &to]).json();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(restored["erased_keys"], json!(0));
    assert_eq!(dump(&at.join("restored.db")), dump(&at.join("qwed.db")));
    let failed = program(&["archive", "recover-keys", "--identity", "/no/such"]).run();
    assert_eq!(failed.code, Some(3), "{failed:?}");
    assert!(
        failed.failure().1.contains("there is no /no/such"),
        "{failed:?}"
    );
}
