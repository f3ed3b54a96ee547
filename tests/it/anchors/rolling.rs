//! Slices of what an anchor covers, checked in full night by night.

use std::collections::BTreeSet;

use trailkeeper::{
    checkpoint::coverage::{Checked, Coverage, DAY, Reach, Sizes, Tiles, grown, union},
    state::Store,
    verify::verify_tiles,
};

use super::*;
use crate::support::{
    loaded::{add_organizations, copy_entries, make_tables},
    trails::generator,
};

crate::on_both![seven_nights_check_every_entry];

const DAYS: u32 = 7;

impl Site {
    /// Whether these tiles are sound, and how many entries were read to find out.
    async fn tiles(&self, loaded: &Loaded, tiles: Vec<Tiles>) -> (bool, u64) {
        let anchored = loaded.anchored.clone().expect("an anchor");
        let (url, ring) = (self.url.clone(), Arc::clone(&self.ring));
        let checked = tokio::task::spawn_blocking(move || {
            let database = Database::open(&url).expect("open");
            let (options, progress) = (Options::default(), Progress::default());
            let sound = verify_tiles(&database, &ring, &anchored, &tiles, &options, &progress);
            (sound.expect("verify"), progress.rows())
        });
        checked.await.expect("verify")
    }
}

fn sizes(loaded: &Loaded) -> Sizes {
    loaded.anchored.as_ref().expect("an anchor").sizes()
}

fn run(loaded: &Loaded, at: i64, slice: Option<Vec<Reach>>) -> Checked {
    Checked {
        began_at: at,
        ended_at: at + 1,
        anchor: loaded.anchored.as_ref().expect("an anchor").number,
        sizes: sizes(loaded),
        slice,
    }
}

async fn note(store: &Store, run: &Checked) {
    let mut tx = store.begin().await.expect("begin");
    tx.note_checked(run).await.expect("note");
    tx.commit("test").await.expect("commit");
}

fn places(tiles: &[Tiles]) -> Vec<(i64, u64)> {
    let places = tiles
        .iter()
        .flat_map(|it| (it.first..it.end).map(|tile| (it.organization_id, tile)));
    places.collect()
}

async fn known(store: &Store) -> Coverage {
    let known = store.coverage().await.expect("read");
    known.expect("everything was checked")
}

/// While trails grow and an organisation is added.
async fn seven_nights_check_every_entry(test: TestStore) {
    let site = Site::empty(KEY);
    let mut growing = generate(&site.path(), 3, 9, 4000);
    site.anchor(&test.store).await;
    let mut former = load(&test.store).await;
    assert_eq!(test.store.coverage().await.expect("read"), None);
    note(&test.store, &run(&former, 0, None)).await;
    let at_first: Vec<Tiles> = grown(&Sizes::new(), &sizes(&former));
    let (mut seen, mut seen_as_new) = (BTreeSet::new(), BTreeSet::new());
    for night in 1..=7 {
        growing = append(&site.path(), growing, 100);
        if night == 3 {
            let (trail, id) = (site.trail(), 1_000_000);
            let move_it = format!("UPDATE verificationlog SET organization_id = 9 WHERE id = {id}");
            trail.copy(1, id).change(1, &move_it);
            trail.rewrite(&format!("id = {id}"), KEY);
        }
        site.anchor(&test.store).await;
        let loaded = load(&test.store).await;
        let (sizes, now) = (sizes(&loaded), night * DAY);
        let slice = known(&test.store).await.slice(&sizes, now, DAYS);
        let turn: Vec<Tiles> = slice.iter().flat_map(|reach| reach.tiles(&sizes)).collect();
        let of = |tiles: &[Tiles]| -> u64 { tiles.iter().map(|it| it.entries(&sizes)).sum() };
        let total: u64 = sizes.values().sum();
        let nightly = total / 7..total / 7 + 600;
        assert!(nightly.contains(&of(&turn)), "{turn:?} of {sizes:?}");
        // What is new besides.
        let new = grown(&self::sizes(&former), &sizes);
        seen_as_new.extend(places(&new));
        let all = union([turn.clone(), new].concat());
        let entries = of(&all);
        assert_eq!(site.tiles(&loaded, all).await, (true, entries));
        seen.extend(places(&turn));
        note(&test.store, &run(&loaded, now, Some(slice))).await;
        let coverage = known(&test.store).await;
        assert_eq!(coverage.entries(now, DAYS), (total, total));
        former = loaded;
    }
    let sizes = sizes(&former);
    assert!(sizes.contains_key(&9));
    assert!(places(&at_first).iter().all(|place| seen.contains(place)));
    seen.append(&mut seen_as_new);
    let all = places(&grown(&Sizes::new(), &sizes));
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
    let coverage = known(&test.store).await;
    // Sooner where tiles are few, since slices end with a tile.
    let (began, ended) = coverage.last_round;
    assert!(began == 0 && ended <= 7 * DAY + 1, "{ended}");
    assert_eq!(coverage.anchor, 8);
}

/// What is done to one old entry is noticed by the slice that it is in, and by no other.
#[test]
fn what_is_wrong_with_an_old_entry_is_seen_by_its_slice() {
    block_on(async {
        for on_postgres in [false, true] {
            let test = TestStore::sqlite().await;
            let server = on_postgres.then(Postgres::start);
            let mut site = Site::empty(KEY);
            match &server {
                Some(server) => {
                    server.create_database("qwed");
                    make_tables(server, "qwed", TIME_TYPES[0]);
                    add_organizations(server, "qwed", 2);
                    let mut generator = generator(2, 5);
                    let entries = copy_entries(&mut generator, 2000, |entry| Some(entry.id * 2));
                    server.psql("qwed", &entries);
                    site.url = server.url("qwed").parse().expect("a URL");
                }
                None => {
                    generate(&site.path(), 2, 5, 2000);
                    site.trail().run(
                        "UPDATE verificationlog SET id = -2 * id; UPDATE verificationlog SET id = -id",
                    );
                }
            }
            let change = |sql: &str| match &server {
                Some(server) => drop(server.psql("qwed", sql)),
                None => drop(site.trail().run(sql)),
            };
            let mut generator = generator(2, 5);
            let entries = (0..2000).map(|_| generator.next_entry());
            let ids: Vec<i64> = entries
                .filter(|entry| entry.organization_id == 2)
                .map(|entry| entry.id * 2)
                .collect();
            site.anchor(&test.store).await;
            let loaded = load(&test.store).await;
            let tile = |tile: u64| {
                vec![Tiles {
                    organization_id: 2,
                    first: tile,
                    end: tile + 1,
                }]
            };
            change("CREATE TABLE kept AS SELECT * FROM verificationlog");
            let back =
                "DELETE FROM verificationlog; INSERT INTO verificationlog SELECT * FROM kept";
            for id in [ids[256], ids[300]] {
                let set = |what: &str| format!("UPDATE verificationlog SET {what} WHERE id = {id}");
                for wrong in [
                    set("query = query || 'x'"),
                    set("is_verified = NOT is_verified"),
                    set("entry_hash = previous_hash"),
                    set("hmac_signature = entry_hash"),
                    set("hmac_signature = NULL"),
                    set("previous_hash = entry_hash"),
                    set("previous_hash = NULL"),
                    set("entry_hash = NULL, hmac_signature = NULL, previous_hash = NULL"),
                    set("organization_id = 1"),
                    set("id = id + 1"),
                    format!("DELETE FROM verificationlog WHERE id = {id}"),
                    format!(
                        "UPDATE kept SET id = id + 1 WHERE id = {id}; INSERT INTO verificationlog SELECT * FROM kept \
                         WHERE id = {id} + 1; UPDATE kept SET id = id - 1 WHERE id = {id} + 1"
                    ),
                ] {
                    assert_eq!(site.tiles(&loaded, tile(1)).await, (true, 256), "{wrong}");
                    change(&wrong);
                    assert!(!site.tiles(&loaded, tile(1)).await.0, "{wrong}");
                    assert!(site.tiles(&loaded, tile(0)).await.0, "{wrong}");
                    assert!(site.tiles(&loaded, tile(2)).await.0, "{wrong}");
                    change(back);
                }
            }
            // Before the first entry there is nothing, and a slice may begin behind any.
            for id in [-1, ids[255] + 1] {
                change(&format!(
                    "UPDATE kept SET id = {id} WHERE id = {0}; INSERT INTO verificationlog SELECT * FROM kept \
                     WHERE id = {id}; UPDATE kept SET id = {0} WHERE id = {id}",
                    ids[0]
                ));
                assert!(!site.tiles(&loaded, tile(0)).await.0, "{id}");
                change(back);
            }
            change(&format!(
                "DELETE FROM verificationlog WHERE id = {}",
                ids[255]
            ));
            assert!(
                !site.tiles(&loaded, tile(1)).await.0,
                "it follows what is gone"
            );
            change(back);
            let all = grown(&Sizes::new(), &sizes(&loaded));
            assert_eq!(site.tiles(&loaded, all).await, (true, 2000));
        }
    });
}

/// Entries of old releases and entries without hash are as they were anchored, which is all that can be said of them.
#[test]
fn every_sound_fixture_is_sound_in_slices() {
    block_on(async {
        for name in fixtures() {
            let test = TestStore::sqlite().await;
            let site = Site::of_fixture(&name);
            let alone = site.verify(&Loaded::default()).await;
            site.anchor(&test.store).await;
            let loaded = load(&test.store).await;
            let sizes = sizes(&loaded);
            let (is_sound, rows) = site.tiles(&loaded, grown(&Sizes::new(), &sizes)).await;
            if alone.verdict < Verdict::Tampered {
                let all: u64 = sizes.values().sum();
                assert_eq!((is_sound, rows), (true, all), "{name}");
            }
        }
    });
}
