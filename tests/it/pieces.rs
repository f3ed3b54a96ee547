//! A verification spread over processes says what one process says.

use std::fmt::Debug;
use std::sync::Arc;

use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tempfile::TempDir;
use trailkeeper::{
    progress::Progress,
    qwed::{Database, Period, url::DatabaseUrl},
    trail::{keys::KeyRing, time::Time},
    verify::{
        self, Options, Scope, VerifyError,
        part::Part,
        pieces::{self, Layout, Piece, Plan, Planning},
        report::Report,
    },
};

use crate::support::{
    loaded::{TIME_TYPES, add_organizations, copy_entries, load_fixture, make_tables},
    postgres::Postgres,
    tamper::Trail,
    trails::{FIXTURE_KEY, KEY, fixture, fixtures, generate, generator, ring, sqlite_url},
};

const HUGE: u64 = 1 << 40;

/// A database that every process opens for itself.
struct Spread {
    url: String,
    ring: Arc<KeyRing>,
}

impl Spread {
    fn new(url: String, secret: &str) -> Self {
        Self {
            url,
            ring: ring(secret),
        }
    }

    fn database(&self) -> Database {
        let url: DatabaseUrl = self.url.parse().expect("a URL");
        Database::open(&url).expect("open the database")
    }

    fn at_once(&self, scope: &Scope) -> Value {
        let progress = Progress::default();
        let report = verify::verify(&self.database(), &self.ring, scope, &options(), &progress);
        json(&report.expect("verify"))
    }

    fn plan(&self, scope: &Scope, planning: Planning) -> Plan {
        let progress = Progress::default();
        let plan = pieces::plan(
            &self.database(),
            &self.ring,
            scope,
            planning,
            &options(),
            &progress,
        );
        handed_on(&plan.expect("plan"))
    }

    fn check(&self, database: &Database, piece: &Piece) -> Part {
        let piece = handed_on(piece);
        let progress = Progress::default();
        let segment = pieces::check(database, &self.ring, &piece, &options(), &progress);
        let segment = segment.expect("check a piece");
        assert_eq!(progress.rows(), segment.segment.rows);
        let bytes = segment.to_bytes();
        let read = Part::from_bytes(&bytes).expect("the bytes of a segment");
        assert_eq!(read, segment);
        assert_eq!(read.to_bytes(), bytes);
        read
    }

    fn check_all(&self, plan: &Plan) -> Vec<Part> {
        let database = self.database();
        let pieces = plan.pieces.iter();
        pieces.map(|piece| self.check(&database, piece)).collect()
    }

    fn conclude(&self, plan: &Plan, segments: Vec<Part>) -> Value {
        let progress = Progress::default();
        let (database, ring) = (self.database(), &self.ring);
        let report = pieces::conclude(&database, ring, plan, segments, &options(), &progress);
        json(&report.expect("conclude"))
    }

    /// Fails unless pieces of these sizes say what [`verify::verify`] says.
    #[track_caller]
    fn assert_spreads(&self, name: &str, scope: &Scope, sizes: &[u64]) {
        let expected = self.at_once(scope);
        for &piece_entries in sizes {
            for by_key in [false, true] {
                let planning = Planning {
                    piece_entries,
                    by_key,
                };
                let plan = self.plan(scope, planning);
                let segments = self.check_all(&plan);
                for (piece, segment) in plan.pieces.iter().zip(&segments) {
                    // Nothing tells how those lie that belong to no organisation.
                    let entries = segment.segment.rows - segment.segment.homeless_total;
                    let is_even = self.url.contains("unindexed");
                    assert!(
                        entries <= piece_entries || is_even,
                        "{name}: {entries} entries in {piece:?}"
                    );
                }
                let found = self.conclude(&plan, segments);
                assert_eq!(found, expected, "{name}, {scope:?}, {planning:?}, {plan:?}");
            }
        }
    }
}

fn options() -> Options<'static> {
    Options {
        threads: 2,
        ..Options::default()
    }
}

fn json(report: &Report) -> Value {
    serde_json::to_value(report).expect("a report is JSON")
}

/// What another process reads of it.
fn handed_on<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> T {
    let text = serde_json::to_string(value).expect("write JSON");
    let read = serde_json::from_str(&text).expect("read JSON");
    assert_eq!(*value, read);
    read
}

fn sqlite(path: &std::path::Path, secret: &str) -> Spread {
    Spread::new(sqlite_url(path), secret)
}

fn only(organizations: &[i64]) -> Scope {
    Scope {
        organizations: organizations.to_vec(),
        ..Scope::default()
    }
}

/// Periods that begin or end with some of the trail's entries.
fn periods(name: &str) -> Vec<Period> {
    let trail = Trail::open(&fixture(name));
    let entries = trail.integer("SELECT count(*) FROM verificationlog");
    let time = |part: i64| {
        let offset = entries * part / 4;
        let text = trail.text(&format!(
            "SELECT timestamp FROM verificationlog ORDER BY id LIMIT 1 OFFSET {offset}"
        ));
        Time::Text(text.as_bytes()).micros()
    };
    vec![
        Period {
            from: time(1),
            to: time(3),
        },
        Period {
            from: time(2),
            to: None,
        },
        Period {
            from: None,
            to: time(2),
        },
        Period {
            from: Some(i64::MAX / 2),
            to: None,
        },
    ]
}

/// What fixtures lack, made of one: its name and file.
fn tampered(directory: &TempDir) -> Vec<(&'static str, std::path::PathBuf)> {
    let make = |name: &'static str, of: &str, change: &dyn Fn(&Trail)| {
        let path = directory.path().join(name);
        std::fs::copy(fixture(of), &path).expect("copy a fixture");
        change(&Trail::open(&path));
        (name, path)
    };
    let index = "CREATE INDEX by_organization ON verificationlog (organization_id)";
    let homeless = "UPDATE verificationlog SET organization_id = NULL WHERE id IN (3, 8); \
                    UPDATE verificationlog SET organization_id = 'one' WHERE id = 5; \
                    UPDATE verificationlog SET organization_id = 1.5 WHERE id IN (6, 21); \
                    UPDATE verificationlog SET organization_id = x'31' WHERE id = 11";
    vec![
        // The first entries do not show that the chain is an old one.
        make("disguised", "g1_two_orgs", &|trail| {
            trail.run("UPDATE verificationlog SET query = 'x' WHERE id IN (1, 2)");
        }),
        make("homeless", "g4_two_orgs", &|trail| {
            trail.loosen().run(homeless).run(index);
        }),
        make("unindexed", "g4_two_orgs", &|trail| {
            trail.loosen().run(homeless);
        }),
        make("unindexed_old", "g1_restarted", &|trail| {
            trail.loosen();
        }),
        make("unknown", "g4_two_orgs", &|trail| {
            trail.run("UPDATE verificationlog SET organization_id = -7 WHERE id > 30; DELETE FROM organization WHERE id = 2");
        }),
        make("spread", "g3_two_orgs", &|trail| {
            trail.run("UPDATE verificationlog SET id = id * 1000000007 WHERE id > 10");
            trail.run("UPDATE verificationlog SET id = -id WHERE id = 3");
        }),
        make("empty", "g4_two_orgs", &|trail| {
            trail.run("DELETE FROM verificationlog");
        }),
        make("moved", "t_ids_swapped", &|trail| {
            trail.run("UPDATE verificationlog SET organization_id = 2 WHERE id = 7; UPDATE verificationlog SET hmac_signature = 'x' WHERE id > 24");
        }),
    ]
}

#[test]
fn every_fixture_is_the_same_in_pieces() {
    for name in fixtures() {
        let spread = sqlite(&fixture(&name), FIXTURE_KEY);
        spread.assert_spreads(&name, &Scope::default(), &[1, 7, 100, HUGE]);
    }
}

#[test]
fn some_organisations_are_the_same_in_pieces() {
    for name in fixtures() {
        let spread = sqlite(&fixture(&name), FIXTURE_KEY);
        spread.assert_spreads(&name, &only(&[1]), &[7, HUGE]);
        if Trail::open(&fixture(&name)).integer("SELECT count(*) FROM organization WHERE id = 2")
            > 0
        {
            spread.assert_spreads(&name, &only(&[2]), &[7, HUGE]);
            spread.assert_spreads(&name, &only(&[2, 1, 2]), &[11]);
        }
    }
}

#[test]
fn periods_are_the_same_in_pieces() {
    for name in fixtures() {
        let spread = sqlite(&fixture(&name), FIXTURE_KEY);
        for period in periods(&name) {
            for organizations in [vec![], vec![1]] {
                let scope = Scope {
                    organizations,
                    period,
                };
                spread.assert_spreads(&name, &scope, &[5, HUGE]);
            }
        }
    }
}

#[test]
fn strange_tables_are_the_same_in_pieces() {
    let directory = tempfile::tempdir().expect("make a directory");
    for (name, path) in tampered(&directory) {
        let spread = sqlite(&path, FIXTURE_KEY);
        spread.assert_spreads(name, &Scope::default(), &[1, 7, HUGE]);
        spread.assert_spreads(name, &only(&[1]), &[7, HUGE]);
    }
}

#[test]
fn layouts_are_as_the_chain_needs_them() {
    let directory = tempfile::tempdir().expect("make a directory");
    let layout = |path: &std::path::Path, scope: &Scope| {
        let plan = sqlite(path, FIXTURE_KEY).plan(scope, Planning::default());
        (plan.layout, plan.pieces.len(), plan.entries_estimate)
    };
    let all = Scope::default();
    let june = Scope {
        period: periods("g1_two_orgs")[0],
        ..Scope::default()
    };
    let (tables, organizations) = (Layout::Table, Layout::Organizations);
    assert_eq!(layout(&fixture("g1_two_orgs"), &all).0, tables);
    assert_eq!(layout(&fixture("g1_two_orgs"), &only(&[1])).0, tables);
    assert_eq!(layout(&fixture("g1_two_orgs"), &june).0, Layout::Uncut);
    let (found, pieces, _) = layout(&fixture("g4_two_orgs"), &all);
    assert_eq!((found, pieces), (organizations, 2));
    let tampered: Vec<_> = tampered(&directory);
    let path = |name: &str| &tampered.iter().find(|found| found.0 == name).expect(name).1;
    assert_eq!(layout(path("disguised"), &all).0, organizations);
    assert_eq!(layout(path("unindexed"), &all).0, tables);
    assert_eq!(layout(path("unindexed"), &only(&[1])).0, Layout::Uncut);
    assert_eq!(layout(path("empty"), &all), (Layout::Uncut, 0, 0));
}

#[test]
fn every_fixture_is_the_same_in_pieces_on_postgresql() {
    let server = Postgres::start();
    server.create_database("qwed");
    for (index, name) in fixtures().iter().enumerate() {
        load_fixture(&server, "qwed", name, TIME_TYPES[index % 2]);
        let spread = Spread::new(server.url("qwed"), FIXTURE_KEY);
        let sizes: &[u64] = if name.ends_with("two_orgs") {
            &[7]
        } else {
            &[11, HUGE]
        };
        spread.assert_spreads(name, &Scope::default(), sizes);
        spread.assert_spreads(name, &only(&[1]), &[HUGE]);
        let scope = Scope {
            period: periods(name)[0],
            ..Scope::default()
        };
        spread.assert_spreads(name, &scope, &[10]);
    }
    // Without the constraint an entry can belong to no organisation.
    load_fixture(&server, "qwed", "g4_two_orgs", TIME_TYPES[0]);
    server.psql(
        "qwed",
        "ALTER TABLE verificationlog ALTER organization_id DROP NOT NULL; \
         UPDATE verificationlog SET organization_id = NULL WHERE id IN (3, 9)",
    );
    let spread = Spread::new(server.url("qwed"), FIXTURE_KEY);
    spread.assert_spreads("homeless", &Scope::default(), &[7, HUGE]);
    server.psql("qwed", "DROP INDEX ix_verificationlog_organization_id");
    let spread = Spread::new(
        server.url("qwed") + "?application_name=unindexed",
        FIXTURE_KEY,
    );
    spread.assert_spreads("unindexed", &Scope::default(), &[7, HUGE]);
}

#[test]
fn entries_appended_meanwhile_change_nothing() {
    let directory = tempfile::tempdir().expect("make a directory");
    let full = directory.path().join("full.db");
    generate(&full, 3, 11, 100);
    let path = directory.path().join("qwed.db");
    std::fs::copy(&full, &path).expect("copy the trail");
    let trail = Trail::open(&path);
    trail.run("DELETE FROM verificationlog WHERE id > 60");
    // The last ones are broken, so that what follows them could tell more of it.
    trail.run("UPDATE verificationlog SET query = 'x' WHERE id = 60");
    trail.run("UPDATE verificationlog SET entry_hash = upper(entry_hash) WHERE id IN (58, 59)");
    trail.run(&format!("ATTACH '{}' AS full", full.display()));
    let spread = sqlite(&path, KEY);
    for (scope, by_key) in [
        (Scope::default(), false),
        (Scope::default(), true),
        (only(&[2]), false),
    ] {
        trail.run("DELETE FROM verificationlog WHERE id > 60");
        let expected = spread.at_once(&scope);
        let planning = Planning {
            piece_entries: 9,
            by_key,
        };
        let plan = spread.plan(&scope, planning);
        let mut next = 61;
        let mut segments = Vec::new();
        for piece in &plan.pieces {
            trail.run(&format!(
                "INSERT INTO verificationlog SELECT * FROM full.verificationlog WHERE id BETWEEN {next} AND {}",
                next + 2
            ));
            next += 3;
            segments.push(spread.check(&spread.database(), piece));
        }
        assert_eq!(
            spread.conclude(&plan, segments),
            expected,
            "{scope:?}, {by_key}"
        );
    }
}

/// On PostgreSQL an entry can appear below the id of one that another organisation appended before.
#[test]
fn entries_that_appear_late_change_nothing() {
    let server = Postgres::start();
    server.create_database("qwed");
    for by_key in [false, true] {
        for appears_after in [0, 3, 5, 7, 8] {
            make_tables(&server, "qwed", TIME_TYPES[0]);
            add_organizations(&server, "qwed", 2);
            // Organisation 2 and, though nobody knows it, organisation 3 are slow.
            let is_late =
                |organization, id| (organization == 2 && id > 40) || (organization == 3 && id > 30);
            let entries = |late: bool| {
                copy_entries(&mut generator(3, 5), 63, |entry| {
                    (entry.organization_id < 4
                        && is_late(entry.organization_id, entry.id) == late
                        && (entry.id < 63 || !late))
                        .then_some(entry.id)
                })
            };
            server.psql("qwed", &entries(false));
            let spread = Spread::new(server.url("qwed"), KEY);
            let expected = spread.at_once(&Scope::default());
            assert_eq!(expected["verdict"], "intact", "{expected}");
            let planning = Planning {
                piece_entries: 7,
                by_key,
            };
            let plan = spread.plan(&Scope::default(), planning);
            let mut segments = Vec::new();
            for (index, piece) in plan.pieces.iter().enumerate() {
                if index == appears_after {
                    server.psql("qwed", &entries(true));
                }
                segments.push(spread.check(&spread.database(), piece));
            }
            let found = spread.conclude(&plan, segments);
            assert_eq!(found, expected, "{by_key}, {appears_after}");
        }
    }
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let spread = sqlite(&fixture("g4_two_orgs"), FIXTURE_KEY);
    let plan = spread.plan(&Scope::default(), Planning::default());
    let segments = spread.check_all(&plan);
    let conclude = |ring: &Arc<KeyRing>, segments| {
        let progress = Progress::default();
        pieces::conclude(
            &spread.database(),
            ring,
            &plan,
            segments,
            &options(),
            &progress,
        )
    };
    let refused = |result| matches!(result, Err(VerifyError::OtherPlan(_)));
    assert!(refused(conclude(&spread.ring, segments[1..].to_vec())));
    assert!(refused(conclude(
        &Arc::new(KeyRing::new(Vec::new())),
        segments.clone()
    )));
    assert!(conclude(&spread.ring, segments).is_ok());
    let piece = Piece {
        organization: None,
        period: periods("g4_two_orgs")[0],
        ..plan.pieces[0].clone()
    };
    let progress = Progress::default();
    let checked = pieces::check(
        &spread.database(),
        &spread.ring,
        &piece,
        &options(),
        &progress,
    );
    assert!(matches!(checked, Err(VerifyError::OtherPlan(_))));
}

#[test]
fn a_stopped_piece_says_so() {
    let spread = sqlite(&fixture("g4_two_orgs"), FIXTURE_KEY);
    let plan = spread.plan(
        &Scope::default(),
        Planning {
            by_key: true,
            ..Planning::default()
        },
    );
    let progress = Progress::default();
    progress.stop();
    for piece in &plan.pieces {
        let checked = pieces::check(
            &spread.database(),
            &spread.ring,
            piece,
            &options(),
            &progress,
        );
        assert!(matches!(checked, Err(VerifyError::Interrupted(_))));
    }
}

fn some_bytes() -> Vec<u8> {
    let spread = sqlite(&fixture("t_ids_swapped"), FIXTURE_KEY);
    let plan = spread.plan(
        &Scope::default(),
        Planning {
            piece_entries: HUGE,
            by_key: true,
        },
    );
    spread.check_all(&plan)[0].to_bytes()
}

#[test]
fn a_segment_is_small() {
    let bytes = some_bytes().len();
    assert!(
        bytes < 600,
        "{bytes} bytes for two organisations with a few broken links"
    );
}

#[test]
fn bytes_cut_off_or_flipped_are_no_segment() {
    let bytes = some_bytes();
    for length in 0..bytes.len() {
        assert!(Part::from_bytes(&bytes[..length]).is_err(), "{length}");
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            assert!(Part::from_bytes(&bytes).is_err(), "bit {bit} of byte {at}");
        }
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(Part::from_bytes(&longer).is_err());
}

proptest! {
    #[test]
    fn strange_bytes_are_no_segment(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Part::from_bytes(&bytes).is_err());
    }
}
