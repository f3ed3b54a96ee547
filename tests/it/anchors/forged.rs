//! What becomes of anchors that somebody removed or forged, who can write to our database as well.

use trailkeeper::{
    anchor::{self, Keys},
    checkpoint::note::SecretKey,
    trail::finding::{Kind, Verdict},
};

use super::{ORIGIN, Site, append, keys, load};
use crate::support::{
    store::{TestStore, block_on},
    trails::{KEY, generate},
};

/// Five anchors of a trail that grew from one to the next.
async fn five(test: &TestStore) -> Site {
    let site = Site::empty(KEY);
    let mut generator = generate(&site.path(), 2, 3, 400);
    for _ in 0..5 {
        site.anchor(&test.store).await;
        generator = append(&site.path(), generator, 100);
    }
    site
}

/// What is found after this was done to our database.
async fn after(sql: &str) -> Vec<(Kind, String)> {
    let test = TestStore::sqlite().await;
    let site = five(&test).await;
    assert_eq!(load(&test.store).await.findings, []);
    test.execute("PRAGMA defer_foreign_keys = ON").await;
    assert!(test.execute(sql).await > 0, "{sql}");
    let loaded = load(&test.store).await;
    let mut report = site.verify(&loaded).await;
    report.set_anchors(trailkeeper::verify::report::AnchorsReport {
        number: None,
        time: None,
        unread_entries: None,
        findings: loaded.findings.clone(),
    });
    assert_ne!(report.verdict, Verdict::Intact, "{sql}");
    let told = |finding: &trailkeeper::trail::finding::AnchorFinding| {
        (finding.kind, finding.detail.clone())
    };
    loaded.findings.iter().map(told).collect()
}

#[test]
fn anchors_that_are_gone_leave_a_gap() {
    block_on(async {
        for (condition, gap) in [
            ("number = 3", "anchor 3 is gone"),
            ("number IN (2, 3)", "anchors 2 to 3 are gone"),
            ("number = 1", "anchor 1 is gone"),
            ("number < 4", "anchors 1 to 3 are gone"),
        ] {
            let test = TestStore::sqlite().await;
            let site = five(&test).await;
            test.execute(&format!("DELETE FROM anchor_checkpoint WHERE {condition}"))
                .await;
            test.execute(&format!("DELETE FROM anchor_run WHERE {condition}"))
                .await;
            let loaded = load(&test.store).await;
            let found: Vec<_> = loaded
                .findings
                .iter()
                .map(|f| (f.kind, &*f.detail))
                .collect();
            assert_eq!(found, [(Kind::AnchorGap, gap)], "{condition}");
            // What is left still vouches for the trail.
            assert_eq!(site.verify(&loaded).await.verdict, Verdict::Intact);
        }
    });
}

#[test]
fn what_was_changed_is_no_anchor() {
    block_on(async {
        for (sql, told) in [
            (
                "UPDATE anchor_run SET note = replace(note, 'organization 1 ', 'organization 3 ') WHERE number = 5",
                "was not signed like that",
            ),
            (
                "UPDATE anchor_run SET note = (SELECT note FROM anchor_run WHERE number = 4) WHERE number = 5",
                "is anchor 4",
            ),
            (
                "UPDATE anchor_run SET note = 'nothing' WHERE number = 2",
                "no signed note",
            ),
            (
                "DELETE FROM anchor_checkpoint WHERE organization_id = 1",
                "organisation 1: its checkpoint is gone",
            ),
            (
                "DELETE FROM anchor_checkpoint WHERE organization_id = 1 AND number = 5",
                "not the one that the inventory names",
            ),
            (
                "DELETE FROM anchor_tile WHERE organization_id = 2 AND tile = 0",
                "organisation 2: tiles of its tree are gone",
            ),
            (
                "UPDATE anchor_tile SET root = x'00' WHERE organization_id = 2 AND tile = 0",
                "does not make the signed root",
            ),
            (
                "UPDATE anchor_tile SET first_id = 100000 WHERE organization_id = 2 AND tile = 0",
                "does not make the signed root",
            ),
            (
                "UPDATE anchor_tile SET leaves = x'' WHERE organization_id = 2 AND tile = 1",
                "does not make the signed root",
            ),
        ] {
            let found = after(sql).await;
            assert!(
                found
                    .iter()
                    .any(|(kind, detail)| *kind == Kind::AnchorMissing && detail.contains(told)),
                "{sql}: {found:?}"
            );
        }
    });
}

/// Nothing is anchored on top of what cannot be gone on from.
#[test]
fn no_anchor_hides_a_broken_one() {
    block_on(async {
        for (sql, told) in [
            (
                "UPDATE anchor_run SET note = replace(note, 'organization 1 ', 'organization 3 ') WHERE number = 5",
                "anchor 5 cannot be gone on from",
            ),
            (
                "DELETE FROM anchor_checkpoint WHERE organization_id = 1",
                "the checkpoint of organisation 1 is gone",
            ),
            (
                "UPDATE anchor_checkpoint SET frontier = x'00' WHERE organization_id = 1 AND number = 5",
                "organisation 1",
            ),
            (
                "DELETE FROM anchor_tile WHERE organization_id = 2 AND tile = 1",
                "the last tile of its tree is gone",
            ),
        ] {
            let test = TestStore::sqlite().await;
            let site = five(&test).await;
            assert!(test.execute(sql).await > 0, "{sql}");
            let error = site.try_anchor(&test.store).await.expect_err(sql);
            assert!(error.contains(told), "{sql}: {error}");
        }
    });
}

/// Whoever has no key of ours can sign with one of their own; whoever has another origin signs for that.
#[test]
fn other_keys_and_origins_are_not_ours() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let site = five(&test).await;
        let other = Keys::new(SecretKey::from_seed(ORIGIN, &[8; 32]).expect("a key"), &[]);
        let loaded = anchor::load(&test.store, ORIGIN, &other.verifiers, None, 0).await;
        let loaded = loaded.expect("load");
        assert!(loaded.anchored.is_none());
        assert_eq!(loaded.findings[0].kind, Kind::AnchorMissing);
        let former = keys().signer.verifier().to_string();
        let rotated = Keys::new(
            SecretKey::from_seed(ORIGIN, &[8; 32]).expect("a key"),
            &[former],
        );
        let loaded = anchor::load(&test.store, ORIGIN, &rotated.verifiers, None, 100).await;
        assert_eq!(loaded.expect("load").findings, []);
        let moved = anchor::load(&test.store, "elsewhere", &keys().verifiers, None, 0).await;
        assert_eq!(moved.expect("load").findings[0].kind, Kind::AnchorMoved);
        let none = anchor::load(&test.store, ORIGIN, &[], None, 0).await;
        let error = none.expect_err("no key").to_string();
        assert!(error.contains("no key to tell"), "{error}");
        drop(site);
    });
}
