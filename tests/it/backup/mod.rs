//! The archive: what is restored is what was archived, whatever happened in between.

mod drill;
mod erased;
mod faults;
mod found;
mod kinds;
mod outside;
mod pruned;
mod recovery;
mod renewed;
mod trusted;
mod vouchers;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{Timestamp, ToSpan};
use rusqlite::types::ValueRef;
use tempfile::TempDir;
use trailkeeper::{
    anchor::{self, Keys},
    backup::{self, BackupError, Finding, FindingKind, Kek, Made, Options, Restored, Wanted},
    checkpoint::note::SecretKey,
    clock::Clock,
    config::{Config, LockMode, Secret},
    demo::generator::{Generator, SqliteWriter},
    objects::Vault,
    progress::Progress,
    qwed::url::DatabaseUrl,
    state::Store,
    verify::{Options as Verifying, Scope},
};

use crate::support::{
    store::{TestStore, block_on},
    tamper::Trail,
    trails::{self, FIXTURE_KEY, KEY, fixture, fixtures, generate, verify_file},
};

const ORIGIN: &str = "audit.example.org";

/// Text of every QWED table, that a release with agents makes.
const AGENTS: &str = r#"
CREATE TABLE agent (id INTEGER NOT NULL, organization_id INTEGER NOT NULL, name VARCHAR NOT NULL, description VARCHAR,
  agent_token VARCHAR NOT NULL, max_cost_per_day FLOAT NOT NULL, created_by_user_id INTEGER, PRIMARY KEY (id));
CREATE UNIQUE INDEX ix_agent_agent_token ON agent (agent_token);
CREATE TABLE toolcall (id INTEGER NOT NULL, agent_id INTEGER NOT NULL, tool_name VARCHAR NOT NULL, tool_params JSON,
  risk_score FLOAT NOT NULL, PRIMARY KEY (id));
INSERT INTO agent VALUES (1, 1, 'Ada''s', NULL, 'qwed_agent_1', 0.1, 1), (2, 2, 'Bob''s', 'x', 'qwed_agent_2', 1e300, NULL);
INSERT INTO toolcall VALUES (1, 1, 'mail', '{"to": "ada@example.org"}', 0.30000000000000004), (2, 2, 'mail', NULL, -0.0),
  (3, 99, 'lost', '[]', 1e999);
"#;

fn keys() -> Keys {
    let key = SecretKey::from_seed(ORIGIN, &[7; 32]).expect("a key");
    Keys::new(key, &[])
}

fn kek() -> Kek {
    Kek::parse("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").expect("a key")
}

/// A QWED database, an archive in a directory, and places to restore into.
struct Site {
    directory: TempDir,
    vault: Vault,
    url: DatabaseUrl,
    now: Timestamp,
    options: Options,
}

impl Site {
    fn empty() -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let mut config = Config::default();
        let objects = format!("file://{}/objects", directory.path().display());
        config.objects.url = Secret::new(objects);
        config.objects.lock_mode = LockMode::None;
        Self {
            vault: Vault::open(&config).expect("open the vault"),
            url: DatabaseUrl::Sqlite(directory.path().join("qwed.db")),
            directory,
            now: Clock.now(),
            options: Options::default(),
        }
    }

    fn of_fixture(name: &str) -> Self {
        let site = Self::empty();
        std::fs::copy(fixture(name), site.path()).expect("copy the fixture");
        site
    }

    fn generated(organizations: i64, entries: u64) -> (Self, Generator) {
        let site = Self::empty();
        let generator = generate(&site.path(), organizations, 5, entries);
        (site, generator)
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("qwed.db")
    }

    fn trail(&self) -> Trail {
        Trail::open(&self.path())
    }

    fn append(&self, mut generator: Generator, entries: u64) -> Generator {
        SqliteWriter::open(&self.path())
            .and_then(|mut writer| writer.write(&mut generator, entries))
            .expect("append");
        generator
    }

    async fn try_backup(&self, store: &Store) -> Result<Made, BackupError> {
        let (keys, progress) = (keys(), Arc::new(Progress::default()));
        let (vault, url, options) = (&self.vault, &self.url, self.options);
        backup::run(
            store,
            vault,
            url,
            ORIGIN,
            &keys,
            &kek(),
            self.now,
            options,
            &progress,
        )
        .await
    }

    async fn backup(&self, store: &Store) -> Made {
        self.try_backup(store).await.expect("make a backup")
    }

    async fn try_restore(
        &self,
        store: &Store,
        to: &DatabaseUrl,
        wanted: Wanted,
    ) -> Result<Restored, BackupError> {
        let (keys, progress) = (keys().verifiers, Arc::new(Progress::default()));
        let vault = &self.vault;
        backup::restore(store, vault, ORIGIN, &keys, &kek(), to, wanted, &progress).await
    }

    /// Restores into a new file.
    async fn restore(&self, store: &Store, wanted: Wanted) -> (Restored, PathBuf) {
        let path = self
            .directory
            .path()
            .join(format!("restored-{}.db", fastrand::u64(..)));
        let to = DatabaseUrl::Sqlite(path.clone());
        let restored = self.try_restore(store, &to, wanted).await;
        (restored.expect("restore"), path)
    }

    async fn verify(&self, store: &Store) -> backup::Report {
        let keys = keys().verifiers;
        let verified = backup::verify(&self.vault, Some(store), ORIGIN, &keys, self.now).await;
        verified.expect("verify the archive")
    }

    /// The archive is sound, nothing is left over, and a restore of it is what there is.
    async fn assert_sound(&self, store: &Store) {
        let report = self.verify(store).await;
        assert_eq!((&report.findings, &report.orphans), (&vec![], &vec![]));
        let (_, restored) = self.restore(store, Wanted::default()).await;
        assert_eq!(dump(&restored), dump(&self.path()));
    }

    async fn anchor(&self, store: &Store) {
        let progress = Arc::default();
        let made = anchor::make(store, &self.url, ORIGIN, &keys(), self.now, &progress).await;
        let made = made.expect("anchor");
        let mut tx = store.begin().await.expect("begin");
        let kept = tx
            .insert_anchor(&made.run, &made.checkpoints, &made.last_tiles)
            .await;
        kept.expect("keep the anchor");
        tx.commit("anchor").await.expect("commit");
    }
}

/// Everything that a SQLite file holds: how its tables were made, and every value with its type.
fn dump(path: &Path) -> Vec<String> {
    let connection = trails::open(path);
    let list = |sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).expect("prepare");
        let rows = statement.query_map((), |row| row.get(0)).expect("query");
        rows.collect::<Result<_, _>>().expect("read")
    };
    let mut all = list(
        "SELECT coalesce(sql, name) FROM sqlite_schema WHERE tbl_name NOT LIKE 'sqlite_%' ORDER BY 1",
    );
    for table in list("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1") {
        let sql = format!("SELECT * FROM \"{table}\" ORDER BY rowid");
        let mut statement = connection.prepare(&sql).expect("prepare");
        let width = statement.column_count();
        let mut rows = statement.query(()).expect("query");
        while let Some(row) = rows.next().expect("read a row") {
            let values = (0..width).map(|index| match row.get_ref(index).expect("a value") {
                ValueRef::Real(number) => format!("real {:x}", number.to_bits()),
                other => format!("{other:?}"),
            });
            all.push(format!(
                "{table}: {}",
                values.collect::<Vec<_>>().join(", ")
            ));
        }
    }
    all
}

crate::on_both![
    what_is_restored_is_what_was_archived,
    backups_go_on_where_the_last_one_ended,
];

/// Every fixture, however tampered with, comes back as it was, and is judged as before.
async fn what_is_restored_is_what_was_archived(test: TestStore) {
    let store = &test.store;
    for name in fixtures() {
        for table in ["archive_object", "archive_manifest", "data_key"] {
            test.execute(&format!("DELETE FROM {table}")).await;
        }
        let site = Site::of_fixture(&name);
        let made = site.backup(store).await;
        assert_eq!((made.number, made.not_locked), (1, vec![]));
        let report = site.verify(store).await;
        assert_eq!(
            (&report.findings, &report.orphans),
            (&vec![], &vec![]),
            "{name}"
        );
        let (restored, path) = site.restore(store, Wanted::default()).await;
        assert_eq!((restored.erased_rows, restored.unknown_keys), (0, 0));
        assert_eq!(restored.rows, made.rows.cast_unsigned());
        assert_eq!(dump(&path), dump(&site.path()), "{name}");
        let judged = |path: &Path| {
            let (scope, options) = (Scope::default(), Verifying::default());
            verify_file(path, FIXTURE_KEY, &scope, &options)
                .expect("verify")
                .organizations
        };
        assert_eq!(judged(&path), judged(&site.path()), "{name}");
    }
}

async fn backups_go_on_where_the_last_one_ended(test: TestStore) {
    let store = &test.store;
    let (mut site, generator) = Site::generated(3, 700);
    site.options.max_segment_bytes = 100_000;
    site.trail().run(AGENTS);
    let first = site.backup(store).await;
    assert_eq!((first.number, first.entries), (1, 700));
    assert!(first.objects >= 15, "{first:?}");
    site.anchor(store).await;
    let early = dump(&site.path());
    let generator = site.append(generator, 50);
    site.trail()
        .run("UPDATE organization SET display_name = 'Another'");
    site.now = later(&site);
    let second = site.backup(store).await;
    assert_eq!((second.number, second.entries, second.anchors), (2, 50, 1));
    // Nothing new: a manifest says so.
    let third = site.backup(store).await;
    assert_eq!((third.number, third.entries, third.anchors), (3, 0, 0));
    drop(generator);
    site.assert_sound(store).await;

    let wanted = Wanted {
        manifest: Some(1),
        ..Wanted::default()
    };
    let (restored, path) = site.restore(store, wanted).await;
    assert_eq!(restored.manifest, 1);
    assert_eq!(dump(&path), early);
    let wanted = Wanted {
        at: Some(site.now - 30.minutes()),
        ..Wanted::default()
    };
    let (restored, path) = site.restore(store, wanted).await;
    assert_eq!(restored.manifest, 1);
    assert_eq!(dump(&path), early);
    let wanted = Wanted {
        at: Some(site.now - 2.hours()),
        ..Wanted::default()
    };
    let nowhere = DatabaseUrl::Sqlite(site.directory.path().join("nowhere.db"));
    let error = site.try_restore(store, &nowhere, wanted).await;
    let error = error.expect_err("nothing is so old").to_string();
    assert!(error.contains("no manifest as old as"), "{error}");
    let wanted = Wanted {
        organization: Some(2),
        ..Wanted::default()
    };
    let (_, path) = site.restore(store, wanted).await;
    let (one, whole) = (Trail::open(&path), site.trail());
    for (table, condition) in [
        ("verificationlog", "organization_id = 2"),
        ("organization", "id = 2"),
        ("agent", "organization_id = 2"),
        ("toolcall", "agent_id = 2"),
    ] {
        let all = one.integer(&format!("SELECT count(*) FROM {table}"));
        let count = format!("SELECT count(*) FROM {table} WHERE {condition}");
        assert!(all > 0, "{table}");
        assert_eq!(all, one.integer(&count), "{table}");
        assert_eq!(all, whole.integer(&count), "{table}");
    }
    let verified = verify_file(&path, KEY, &Scope::default(), &Verifying::default());
    let verdict = verified.expect("verify").verdict;
    assert_eq!(verdict, trailkeeper::trail::finding::Verdict::Intact);
}

#[test]
fn any_value_in_any_column_comes_back() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let site = Site::of_fixture("g4_two_orgs");
        site.trail().run(
            "INSERT INTO verificationlog (id, organization_id, user_id, query, result, is_verified, domain, timestamp) VALUES \
             (901, 1, 'x', x'00ff', 1.5, 'yes', x'', 7), (902, 'nobody', 1, '', CAST(x'ff61' AS TEXT), 9e999, '', ''), \
             (903, x'01', 1, 5, -9223372036854775808, 1, 'a' || char(0) || 'b', 0.1), (-4, 1, 2, 'q', '{}', 1, 'd', 't')",
        );
        site.backup(&test.store).await;
        site.assert_sound(&test.store).await;
        // Nothing personal is in the archive.
        let objects = site.directory.path().join("objects/segments");
        let text = site
            .trail()
            .text("SELECT query FROM verificationlog WHERE id = 1");
        let mut pending = vec![objects];
        let mut files = 0;
        while let Some(path) = pending.pop() {
            if path.is_dir() {
                let entries = std::fs::read_dir(path).expect("list");
                pending.extend(entries.map(|entry| entry.expect("an entry").path()));
                continue;
            }
            let bytes = std::fs::read(path).expect("read");
            let lines = zstd::decode_all(bytes.as_slice()).expect("decompress");
            assert!(!String::from_utf8_lossy(&lines).contains(&text));
            files += 1;
        }
        assert!(files > 3);
    });
}

#[test]
fn a_row_may_be_larger_than_a_segment() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let (mut site, _) = Site::generated(1, 10);
        site.options.max_segment_bytes = 30_000;
        site.backup(&test.store).await;
        let tables = site.backup(&test.store).await.objects;
        site.trail().run(
            "INSERT INTO verificationlog (id, organization_id, user_id, query, result, is_verified, domain, timestamp) \
             SELECT 100 + key, 1, 101, 'q', hex(randomblob(value)), 1, 'd', 't' FROM json_each('[0, 0, 3000000, 0, 0]')",
        );
        // What was before it, itself, and what comes behind.
        let made = site.backup(&test.store).await;
        assert_eq!(made.objects, tables + 3);
        site.assert_sound(&test.store).await;
    });
}

#[test]
fn only_an_empty_database_is_restored_into() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let site = Site::of_fixture("g4_two_orgs");
        let to = DatabaseUrl::Sqlite(site.directory.path().join("new.db"));
        let error = site.try_restore(&test.store, &to, Wanted::default()).await;
        let error = error.expect_err("there is no backup").to_string();
        assert!(error.contains("has no manifest"), "{error}");
        site.backup(&test.store).await;
        let before = std::fs::read(site.path()).expect("read");
        let error = site
            .try_restore(&test.store, &site.url, Wanted::default())
            .await;
        let error = error.expect_err("it is not empty").to_string();
        assert!(error.contains("is not empty"), "{error}");
        assert_eq!(std::fs::read(site.path()).expect("read"), before);
        let wanted = Wanted {
            manifest: Some(2),
            ..Wanted::default()
        };
        let error = site.try_restore(&test.store, &to, wanted).await;
        let error = error.expect_err("there is one backup").to_string();
        assert!(error.contains("has no manifest 2"), "{error}");
    });
}

#[track_caller]
fn kinds_of(findings: &[Finding]) -> Vec<FindingKind> {
    let mut kinds: Vec<_> = findings.iter().map(|finding| finding.kind).collect();
    kinds.sort_unstable_by_key(|kind| kind.name());
    kinds.dedup();
    kinds
}

/// An hour later than the site's time.
fn later(site: &Site) -> Timestamp {
    site.now + 1.hour()
}
