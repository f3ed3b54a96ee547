//! Anchors: what they show that no chain can, and what it takes to fool them.

mod forged;
mod program;
mod rolling;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use tempfile::TempDir;
use trailkeeper::{
    anchor::{self, Keys, Loaded, Made},
    checkpoint::{leaf::Leaf, note::SecretKey, proof::InclusionProof},
    demo::generator::{Generator, SqliteWriter},
    progress::Progress,
    qwed::{Database, url::DatabaseUrl},
    state::Store,
    trail::{
        finding::{Finding, Kind, Verdict},
        keys::KeyRing,
    },
    verify::{
        self, Options, Scope,
        pieces::{self, Planning},
        report::{OrganizationReport, Report},
    },
};

use crate::support::{
    loaded::{TIME_TYPES, load_fixture},
    postgres::Postgres,
    store::{TestStore, block_on},
    tamper::Trail,
    trails::{FIXTURE_KEY, KEY, fixture, fixtures, generate, ring},
};

const ORIGIN: &str = "audit.example.org";

crate::on_both![
    what_was_anchored_is_found_again,
    a_tree_that_grows_extends_every_former_one,
    writes_that_break_leave_nothing_wrong,
];

fn keys() -> Keys {
    let key = SecretKey::from_seed(ORIGIN, &[7; 32]).expect("a key");
    Keys::new(key, &[])
}

/// A QWED database that can be anchored, tampered with and verified.
pub(crate) struct Site {
    directory: TempDir,
    url: DatabaseUrl,
    ring: Arc<KeyRing>,
}

impl Site {
    fn of_fixture(name: &str) -> Self {
        let site = Self::empty(FIXTURE_KEY);
        std::fs::copy(fixture(name), site.path()).expect("copy the fixture");
        site
    }

    fn generated(organizations: i64, entries: u64) -> Self {
        let site = Self::empty(KEY);
        generate(&site.path(), organizations, 5, entries);
        site
    }

    fn empty(key: &str) -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let url = DatabaseUrl::Sqlite(directory.path().join("qwed.db"));
        Self {
            directory,
            url,
            ring: ring(key),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("qwed.db")
    }

    fn trail(&self) -> Trail {
        Trail::open(&self.path())
    }

    /// Puts another database in its place.
    fn becomes(&self, other: &Path) {
        std::fs::copy(other, self.path()).expect("copy");
    }

    async fn try_anchor(&self, store: &Store) -> Result<Made, String> {
        let progress = Arc::default();
        let now = Timestamp::from_second(1_790_000_000).expect("a time");
        let made = anchor::make(store, &self.url, ORIGIN, &keys(), now, &progress).await;
        let made = made.map_err(|error| error.to_string())?;
        let mut tx = store.begin().await.map_err(|error| error.to_string())?;
        let kept = tx
            .insert_anchor(&made.run, &made.checkpoints, &made.last_tiles)
            .await;
        kept.map_err(|error| error.to_string())?;
        let committed = tx.commit("anchor").await;
        committed.map_err(|error| error.to_string())?;
        Ok(made)
    }

    async fn anchor(&self, store: &Store) -> Made {
        self.try_anchor(store).await.expect("anchor")
    }

    /// Verifies in one process, and in pieces of different sizes, which has to come to the same.
    async fn verify(&self, loaded: &Loaded) -> Report {
        let anchored = loaded.anchored.clone();
        let (url, ring) = (self.url.clone(), Arc::clone(&self.ring));
        let verified = tokio::task::spawn_blocking(move || {
            let options = Options {
                threads: 2,
                range_ids: 100,
                anchored: anchored.as_deref(),
                ..Options::default()
            };
            let database = Database::open(&url).expect("open");
            let (scope, progress) = (Scope::default(), Progress::default());
            let report = verify::verify(&database, &ring, &scope, &options, &progress);
            let report = report.expect("verify");
            for (piece_entries, by_key) in [(50, true), (150, false), (1 << 40, false)] {
                let planning = Planning {
                    piece_entries,
                    by_key,
                };
                let plan = pieces::plan(&database, &ring, &scope, planning, &options, &progress);
                let plan = plan.expect("plan");
                let parts = plan.pieces.iter().map(|piece| {
                    assert_eq!(
                        piece.anchor,
                        anchored.as_ref().map(|anchored| anchored.number)
                    );
                    let part = pieces::check(&database, &ring, piece, &options, &progress);
                    let bytes = part.expect("check").to_bytes();
                    verify::part::Part::from_bytes(&bytes).expect("read the part again")
                });
                let parts = parts.collect();
                let pieced = pieces::conclude(&database, &ring, &plan, parts, &options, &progress);
                assert_eq!(
                    pieced.expect("conclude").organizations,
                    report.organizations
                );
            }
            report
        });
        verified.await.expect("verify")
    }

    /// Loads the anchors, which have to be as they were, and verifies.
    async fn compare(&self, store: &Store) -> Report {
        let loaded = load(store).await;
        assert_eq!(loaded.findings, []);
        self.verify(&loaded).await
    }
}

async fn load(store: &Store) -> Loaded {
    let loaded = anchor::load(store, ORIGIN, &keys().verifiers, None, 1000).await;
    loaded.expect("load")
}

#[track_caller]
fn trail_of(report: &Report, id: i64) -> &OrganizationReport {
    let mut trails = report.organizations.iter();
    let found = trails.find(|trail| trail.organization_id == Some(id));
    found.unwrap_or_else(|| panic!("no organisation {id} in {report:?}"))
}

#[track_caller]
fn finding(report: &Report, id: i64, kind: Kind) -> &Finding {
    let findings = &trail_of(report, id).findings;
    let found = findings.iter().find(|finding| finding.kind == kind);
    found.unwrap_or_else(|| panic!("no {kind} among {findings:#?}"))
}

fn ids(finding: &Finding) -> (i64, i64, u64) {
    (
        finding.entry_id,
        finding.last_entry_id.unwrap_or(finding.entry_id),
        finding.entries.unwrap_or(1),
    )
}

/// Every fixture, sound or not, is as it was anchored; entries without hash are no longer in doubt.
async fn what_was_anchored_is_found_again(test: TestStore) {
    for name in fixtures() {
        let site = Site::of_fixture(&name);
        test.execute("DELETE FROM anchor_checkpoint").await;
        test.execute("DELETE FROM anchor_tile").await;
        test.execute("DELETE FROM anchor_run").await;
        let before = site.verify(&Loaded::default()).await;
        let made = site.anchor(&test.store).await;
        assert_eq!(made.run.number, 1);
        let report = site.compare(&test.store).await;
        for trail in report
            .organizations
            .iter()
            .filter(|trail| trail.qwed.total_entries > 0)
        {
            let Some(id) = trail.organization_id else {
                continue;
            };
            let anchor = trail
                .anchor
                .as_ref()
                .unwrap_or_else(|| panic!("{name} {id}"));
            assert!(anchor.is_extended, "{name} {id}: {trail:?}");
            assert_eq!(anchor.unanchored_entries, 0, "{name}");
            let then = trail_of(&before, id);
            let doubts = |trail: &OrganizationReport| {
                let severe = |finding: &&Finding| finding.kind != Kind::Legacy;
                trail
                    .findings
                    .iter()
                    .filter(severe)
                    .cloned()
                    .collect::<Vec<_>>()
            };
            assert_eq!(doubts(trail), doubts(then), "{name} {id}");
            if doubts(then).is_empty() {
                assert_eq!(trail.verdict, Verdict::Intact, "{name} {id}");
            } else {
                assert!(trail.verdict <= then.verdict, "{name} {id}");
            }
        }
    }
}

/// The fixtures that were tampered with all come from one that was not.
#[test]
fn what_no_chain_shows_is_found() {
    block_on(async {
        for on_postgres in [false, true] {
            let test = TestStore::sqlite().await;
            let server = on_postgres.then(Postgres::start);
            let mut site = Site::of_fixture("g4_admission");
            if let Some(server) = &server {
                server.create_database("qwed");
                load_fixture(server, "qwed", "g4_admission", TIME_TYPES[0]);
                site.url = server.url("qwed").parse().expect("a URL");
            }
            site.anchor(&test.store).await;
            assert_eq!(site.compare(&test.store).await.verdict, Verdict::Intact);
            for name in fixtures().iter().filter(|name| name.starts_with("t_")) {
                match &server {
                    Some(server) => load_fixture(server, "qwed", name, TIME_TYPES[0]),
                    None => site.becomes(&fixture(name)),
                }
                let report = site.compare(&test.store).await;
                assert_eq!(report.verdict, Verdict::Tampered, "{name}");
                match name.as_str() {
                    "t_head_rows_deleted" => {
                        let removed = finding(&report, 1, Kind::TailRemoved);
                        insta::assert_debug_snapshot!("tail_removed", removed);
                    }
                    "t_whole_org_deleted" => {
                        let vanished = finding(&report, 2, Kind::OrganisationVanished);
                        insta::assert_debug_snapshot!("organisation_vanished", vanished);
                    }
                    _ => {}
                }
            }
        }
    });
}

/// What came after the anchor is read and nothing else; whatever does not fit is left to a verification of everything.
#[test]
fn what_is_new_is_verified_alone_or_not_at_all() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let site = Site::empty(KEY);
        let generator = generate(&site.path(), 3, 9, 2000);
        site.anchor(&test.store).await;
        let generator = append(&site.path(), generator, 100);
        let loaded = load(&test.store).await;
        let since = async || {
            let anchored = loaded.anchored.clone().expect("an anchor");
            let (url, ring) = (site.url.clone(), Arc::clone(&site.ring));
            let since = tokio::task::spawn_blocking(move || {
                let database = Database::open(&url).expect("open");
                let (options, progress) = (Options::default(), Progress::default());
                let since =
                    verify::verify_since(&database, &ring, &anchored, &[], &options, &progress);
                since.expect("verify").map(|since| (since, progress.rows()))
            });
            since.await.expect("verify")
        };
        let (found, rows) = since().await.expect("it fits");
        assert_eq!(
            (found.report.entries, found.unread_entries, rows),
            (100, 2000, 100)
        );
        assert_eq!(found.report.verdict, Verdict::Intact);
        // An old entry that was changed is not read; that is what the full verification is for.
        site.trail()
            .change(1, "UPDATE verificationlog SET query = 'x' WHERE id = 700");
        assert!(since().await.is_some());
        for (wrong, right) in [
            (
                "UPDATE verificationlog SET query = query || 'x' WHERE id = 2050",
                "UPDATE verificationlog SET query = substr(query, 1, length(query) - 1) WHERE id = 2050",
            ),
            (
                "UPDATE verificationlog SET previous_hash = 'x' || previous_hash WHERE id = (SELECT min(id) FROM verificationlog WHERE id > 2000 AND organization_id = 1)",
                "UPDATE verificationlog SET previous_hash = substr(previous_hash, 2) WHERE previous_hash LIKE 'x%'",
            ),
            (
                "UPDATE verificationlog SET entry_hash = 'x' || entry_hash WHERE id = 2000",
                "UPDATE verificationlog SET entry_hash = substr(entry_hash, 2) WHERE id = 2000",
            ),
            (
                "UPDATE verificationlog SET organization_id = NULL WHERE id = 3",
                "UPDATE verificationlog SET organization_id = 1 WHERE id = 3",
            ),
            ("DELETE FROM verificationlog WHERE id = 2000", ""),
        ] {
            site.trail().loosen().run("CREATE INDEX IF NOT EXISTS ix_verificationlog_organization_id ON verificationlog (organization_id)");
            site.trail().change(1, wrong);
            assert!(since().await.is_none(), "{wrong}");
            if !right.is_empty() {
                site.trail().change(1, right);
                assert!(since().await.is_some(), "{right}");
            }
        }
        drop(generator);
    });
}

#[test]
fn hashes_that_were_blanked_are_no_legacy() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let site = Site::generated(2, 700);
        site.anchor(&test.store).await;
        site.trail().run(
            "UPDATE verificationlog SET entry_hash = NULL, hmac_signature = NULL, previous_hash = NULL",
        );
        let alone = site.verify(&Loaded::default()).await;
        assert_eq!(
            alone.verdict,
            Verdict::Incomplete,
            "the chain alone cannot tell"
        );
        let report = site.compare(&test.store).await;
        assert_eq!(report.verdict, Verdict::Tampered);
        let found = finding(&report, 1, Kind::HistoryRewritten);
        assert!(
            found.detail.starts_with("had a hash when anchor 1 of"),
            "{found:?}"
        );
        assert_eq!(found.entries, Some(trail_of(&report, 1).qwed.total_entries));
    });
}

#[test]
fn what_a_key_holder_writes_anew_is_found_where_it_begins() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let site = Site::generated(2, 3000);
        site.anchor(&test.store).await;
        let trail = site.trail();
        let entry = trail.integer(
            "SELECT id FROM verificationlog WHERE organization_id = 2 LIMIT 1 OFFSET 1111",
        );
        trail.change(
            1,
            &format!("UPDATE verificationlog SET query = 'x' WHERE id = {entry}"),
        );
        trail.rewrite(&format!("organization_id = 2 AND id >= {entry}"), KEY);
        assert_eq!(
            site.verify(&Loaded::default()).await.verdict,
            Verdict::Intact
        );
        let report = site.compare(&test.store).await;
        let found = finding(&report, 2, Kind::HistoryRewritten);
        assert_eq!(found.entry_id, entry);
        assert_eq!(trail_of(&report, 1).verdict, Verdict::Intact);
    });
}

#[test]
fn entries_without_hash_are_covered_from_the_first_anchor_on() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let site = Site::of_fixture("upgraded");
        assert_eq!(
            site.verify(&Loaded::default()).await.verdict,
            Verdict::Incomplete
        );
        site.anchor(&test.store).await;
        let report = site.compare(&test.store).await;
        let trail = report
            .organizations
            .iter()
            .find(|trail| trail.legacy_count > 0);
        let trail = trail.expect("an organisation with legacy entries");
        let id = trail.organization_id.expect("its id");
        let legacy = finding(&report, id, Kind::Legacy);
        assert!(
            legacy
                .detail
                .contains("unchanged since they were anchored on"),
            "{legacy:?}"
        );
        let entry = legacy.entry_id;
        site.trail().change(
            1,
            &format!("UPDATE verificationlog SET query = 'other' WHERE id = {entry}"),
        );
        let report = site.compare(&test.store).await;
        assert_eq!(trail_of(&report, id).verdict, Verdict::Tampered);
        assert_eq!(
            finding(&report, id, Kind::LegacyRowsChanged).entry_id,
            entry
        );
    });
}

/// Anchored again and again, while it grows and while it does not.
async fn a_tree_that_grows_extends_every_former_one(test: TestStore) {
    let site = Site::empty(KEY);
    let mut generator = generate(&site.path(), 3, 9, 1);
    let mut total = 1;
    for (index, more) in [1, 0, 253, 1, 1, 255, 256, 257, 600, 0, 2000]
        .into_iter()
        .enumerate()
    {
        if more > 0 {
            generator = append(&site.path(), generator, more);
            total += more;
        }
        let made = site.anchor(&test.store).await;
        assert_eq!(made.run.number, index as i64 + 1);
        let before = if index == 0 { 1 } else { 0 };
        assert_eq!(made.new_entries, more + before);
        assert_eq!(made.run.entries, total as i64);
        assert_eq!(made.checkpoints.is_empty(), more + before == 0);
        let report = site.compare(&test.store).await;
        assert_eq!(report.verdict, Verdict::Intact);
    }
    append(&site.path(), generator, 5);
    let report = site.compare(&test.store).await;
    let tail: u64 = report
        .organizations
        .iter()
        .filter_map(|trail| trail.anchor.as_ref())
        .map(|anchor| anchor.unanchored_entries)
        .sum();
    assert_eq!(tail, 5);
    let loaded = load(&test.store).await;
    assert_eq!(loaded.inventories, 11);
    prove_all(&site, &test.store, loaded).await;
}

fn append(path: &Path, mut generator: Generator, entries: u64) -> Generator {
    SqliteWriter::open(path)
        .and_then(|mut writer| writer.write(&mut generator, entries))
        .expect("append");
    generator
}

/// Every entry is proved by a file that needs no database, and every former anchor is the beginning of the newest.
async fn prove_all(site: &Site, store: &Store, loaded: Loaded) {
    let trail = site.trail();
    let organization = 1;
    let first = trail.integer("SELECT min(id) FROM verificationlog WHERE organization_id = 1");
    let store = store.clone();
    let handle = tokio::runtime::Handle::current();
    let proved = tokio::task::spawn_blocking(move || {
        let keys = keys().verifiers;
        let tree = loaded
            .anchored
            .as_ref()
            .and_then(|it| it.tree(organization))
            .expect("a tree");
        let anchored = loaded.anchored.as_ref().expect("an anchor");
        for tile in 0..tree.tiles() {
            let leaves = (anchored.leaves)(organization, tile).expect("leaves");
            for leaf in leaves.iter().step_by(37).take(tree.width(tile) as usize) {
                if leaf.id > tree.last_id {
                    continue;
                }
                let proof =
                    anchor::prove_inclusion(&handle, &store, &loaded, organization, leaf.id);
                let proof = proof.expect("a proof");
                let text = proof.to_string();
                let proof: InclusionProof = text.parse().expect("the same proof");
                let checkpoint = proof.verify(&leaf.hash, &keys).expect("proved");
                assert_eq!(checkpoint.size, tree.size);
                let other = Leaf::sealed(leaf.id, b"x").leaf_hash();
                assert!(proof.verify(&other, &keys).is_err());
            }
        }
        for number in [1, 4, 7, 11] {
            let proof = anchor::prove_consistency(&handle, &store, &loaded, organization, number);
            let (old, new) = proof.expect("a proof").verify(&keys).expect("proved");
            assert!(old.size <= new.size && new.size == tree.size);
        }
        let none = anchor::prove_inclusion(&handle, &store, &loaded, organization, first - 1);
        assert!(
            none.expect_err("no such entry")
                .to_string()
                .contains("had no entry")
        );
        let later = anchor::prove_inclusion(&handle, &store, &loaded, organization, i64::MAX);
        assert!(
            later
                .expect_err("not yet")
                .to_string()
                .contains("anchor create")
        );
    });
    proved.await.expect("prove");
}

/// Each write fails, or is there though its answer was lost.
async fn writes_that_break_leave_nothing_wrong(test: TestStore) {
    use trailkeeper::state::fault::{Way, set};
    let site = Site::empty(KEY);
    let mut generator = generate(&site.path(), 2, 9, 700);
    let mut made = 0;
    for write in ["anchor tiles", "anchor"] {
        for way in [Way::Failed, Way::FailedButPersisted] {
            generator = append(&site.path(), generator, 300);
            set(write, way, 1);
            site.try_anchor(&test.store)
                .await
                .expect_err("a write broke");
            if (write, way) == ("anchor", Way::FailedButPersisted) {
                made += 1;
            }
            let runs = test.number("SELECT count(*) FROM anchor_run").await;
            assert_eq!(runs, made, "{write} {way:?}");
            // Whatever is left, what is there is sound, and the next run covers everything.
            let report = site.compare(&test.store).await;
            assert_eq!(report.verdict, Verdict::Intact, "{write} {way:?}");
            generator = append(&site.path(), generator, 10);
            site.anchor(&test.store).await;
            made += 1;
            let report = site.compare(&test.store).await;
            assert_eq!(report.verdict, Verdict::Intact, "{write} {way:?}");
            let tails = report
                .organizations
                .iter()
                .filter_map(|trail| trail.anchor.as_ref());
            assert_eq!(
                tails.map(|anchor| anchor.unanchored_entries).sum::<u64>(),
                0
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever single thing is done to what was anchored, it is found, and named.
    #[test]
    fn any_change_to_what_was_anchored_is_found(entries in 1..900_u64, at in any::<u64>(), what in 0..4_u8) {
        block_on(async {
            let test = TestStore::sqlite().await;
            let site = Site::generated(1, entries);
            site.anchor(&test.store).await;
            let trail = site.trail();
            let id = 1 + (at % entries).cast_signed();
            let kind = match what {
                0 => {
                    trail.change(1, &format!("DELETE FROM verificationlog WHERE id = {id}"));
                    if entries == 1 {
                        Kind::OrganisationVanished
                    } else if id.cast_unsigned() == entries {
                        Kind::TailRemoved
                    } else {
                        Kind::HistoryRewritten
                    }
                }
                1 => {
                    trail.change(1, &format!("UPDATE verificationlog SET query = 'other' WHERE id = {id}"));
                    trail.rewrite(&format!("id >= {id}"), KEY);
                    Kind::HistoryRewritten
                }
                2 => {
                    trail.change(1, &format!("UPDATE verificationlog SET entry_hash = 'x' WHERE id = {id}"));
                    Kind::HistoryRewritten
                }
                _ => {
                    trail.change((entries - id.cast_unsigned() + 1) as usize,
                        &format!("DELETE FROM verificationlog WHERE id >= {id}"));
                    if id == 1 { Kind::OrganisationVanished } else { Kind::TailRemoved }
                }
            };
            let report = site.compare(&test.store).await;
            let found = finding(&report, 1, kind);
            let (first, last, count) = ids(found);
            assert_eq!(first, if kind == Kind::OrganisationVanished { 1 } else { id });
            if kind == Kind::TailRemoved {
                assert_eq!((last.cast_unsigned(), count), (entries, entries - id.cast_unsigned() + 1));
            }
        });
    }
}
