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

/// What is kept of full tiles is believed only together with their signed roots: damage to our database does not accuse
/// QWED's trail, nor make a proof.
#[test]
fn kept_leaves_are_no_evidence_by_themselves() {
    block_on(async {
        for sql in [
            "UPDATE anchor_tile SET first_id = first_id + 3 WHERE organization_id = 1 AND tile = 1",
            "UPDATE anchor_tile SET leaves = (SELECT leaves FROM anchor_tile WHERE organization_id = 2 AND tile = 0) \
             WHERE organization_id = 1 AND tile = 1",
        ] {
            let test = TestStore::sqlite().await;
            let site = Site::generated(2, 1500);
            site.anchor(&test.store).await;
            assert!(test.execute(sql).await > 0, "{sql}");
            site.trail().change(1, "UPDATE verificationlog SET entry_hash = 'x' WHERE id = (SELECT id FROM verificationlog \
                                    WHERE organization_id = 1 LIMIT 1 OFFSET 300)");
            let report = site.verify(&load(&test.store).await).await;
            let trail = super::trail_of(&report, 1);
            assert_eq!(trail.verdict, Verdict::Tampered);
            let told = trail
                .findings
                .iter()
                .filter(|finding| finding.kind == Kind::HistoryRewritten);
            assert_eq!(told.count(), 0, "{sql}: {:#?}", trail.findings);
            super::finding(&report, 1, Kind::AnchorMissing);
        }
    });
}

/// Of two runs at once the second is refused, and leaves the first as it is.
#[test]
fn the_loser_of_two_runs_leaves_the_winners_anchor_alone() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let site = Site::empty(KEY);
        let generator = generate(&site.path(), 2, 3, 400);
        site.anchor(&test.store).await;
        let generator = append(&site.path(), generator, 10);
        let progress = std::sync::Arc::default();
        let now = jiff::Timestamp::UNIX_EPOCH;
        let late = anchor::make(&test.store, &site.url, ORIGIN, &keys(), now, &progress).await;
        let late = late.expect("make");
        append(&site.path(), generator, 20);
        site.anchor(&test.store).await;
        let mut tx = test.store.begin().await.expect("begin");
        let kept = tx
            .insert_anchor(&late.run, &late.checkpoints, &late.last_tiles)
            .await;
        assert!(
            kept.expect_err("the number is taken")
                .to_string()
                .contains("meanwhile")
        );
        tx.rollback().await.expect("roll back");
        assert_eq!(site.compare(&test.store).await.verdict, Verdict::Intact);
    });
}

/// Far more anchors than are authenticated each time: that one of them is gone shows all the same.
#[test]
fn a_gap_shows_however_deep_it_is() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let site = Site::generated(1, 10);
        for _ in 0..8 {
            site.anchor(&test.store).await;
        }
        test.execute("DELETE FROM anchor_run WHERE number = 2")
            .await;
        let loaded = anchor::load(&test.store, ORIGIN, &keys().verifiers, None, 3).await;
        let findings = loaded.expect("load").findings;
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].kind, Kind::AnchorGap);
        assert_eq!(findings[0].detail, "1 of the anchors 1 to 8 are gone");
    });
}

/// Ids may be as far apart as numbers go.
#[test]
fn ids_far_apart_cost_nothing() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let site = Site::generated(2, 50);
        site.trail().change(
            1,
            &format!(
                "UPDATE verificationlog SET id = {} WHERE id = 50",
                1_i64 << 62
            ),
        );
        let made = site.anchor(&test.store).await;
        assert_eq!(made.new_entries, 50);
        assert_eq!(site.compare(&test.store).await.verdict, Verdict::Intact);
    });
}
