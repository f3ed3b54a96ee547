//! Writes that fail, writes whose answers are lost, and stores that fail most of the time. Faults are the whole process's, so
//! that each test has its own.

use trailkeeper::{objects, state::fault};

use super::Site;
use crate::support::{
    store::{TestStore, block_on},
    tools::seed,
};

crate::on_both![each_write_may_break];

const WRITES: [&str; 6] = [
    "data keys",
    "archive intent",
    "archive object",
    "archive forget",
    "archive manifest",
    "archive manifest stored",
];

/// After each break the next run goes on: nothing is archived twice, nothing is left over, nothing is missing.
async fn each_write_may_break(test: TestStore) {
    let store = &test.store;
    let (mut site, mut generator) = Site::generated(2, 100);
    site.options.max_segment_bytes = 60_000;
    let mut broken = 0;
    for write in WRITES {
        for way in [fault::Way::Failed, fault::Way::FailedButPersisted] {
            generator = site.append(generator, 40);
            // A new person, so that there is a key to make.
            site.trail().run("UPDATE verificationlog SET user_id = 1 + (SELECT max(coalesce(user_id, 0)) FROM verificationlog) \
                              WHERE id = (SELECT max(id) FROM verificationlog)");
            site.anchor(store).await;
            if write == "archive forget" {
                // There is something to forget after a note of what was never put.
                fault::set("archive intent", fault::Way::FailedButPersisted, 1);
                site.try_backup(store).await.expect_err("a write broke");
            }
            fault::set(write, way, 1);
            let made = site.try_backup(store).await;
            made.expect_err(&format!("{write} {way:?}"));
            assert_eq!(fault::left(write), 0, "{write}");
            broken += 1;
            site.now = super::later(&site);
            site.backup(store).await;
            site.assert_sound(store).await;
        }
    }
    assert_eq!(broken, 2 * WRITES.len());
    let open = "SELECT count(*) FROM archive_object WHERE manifest IS NULL OR stored_at IS NULL";
    assert_eq!(test.number(open).await, 0);
    let entries = "SELECT sum(row_count) FROM archive_object WHERE relation = 'verificationlog'";
    let entries = test
        .number(&format!("SELECT CAST(({entries}) AS BIGINT)"))
        .await;
    let rows = site.trail().integer("SELECT count(*) FROM verificationlog");
    assert_eq!(entries, rows, "each entry once");
}

/// Of all requests to the store 30 in a hundred break, in both ways alike.
#[test]
fn a_bad_store_only_delays() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let (mut site, mut generator) = Site::generated(3, 300);
        site.options.max_segment_bytes = 60_000;
        objects::fault::break_some(30, seed());
        let mut given_up = 0;
        for _ in 0..6 {
            generator = site.append(generator, 100);
            site.anchor(&test.store).await;
            while let Err(error) = site.try_backup(&test.store).await {
                assert!(error.is_transient(), "{error}");
                assert!(error.to_string().contains("broken on demand"), "{error}");
                given_up += 1;
                assert!(given_up < 500, "{error}");
            }
        }
        let struck = objects::fault::struck();
        objects::fault::break_some(0, 0);
        eprintln!("{struck} requests were broken, {given_up} runs given up");
        assert!(struck > 10);
        site.assert_sound(&test.store).await;
    });
}
