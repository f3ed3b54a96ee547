//! Anchors that the archive has, for when those in our database are gone or were put back.

use trailkeeper::{
    backup::{self, Vouchers},
    qwed::Database,
    trail::finding::{AnchorFinding, Kind, Verdict},
    verify::{self, Options as Verifying, Scope, report::Report},
};

use super::{ORIGIN, Site, keys};
use crate::support::{
    store::{TestStore, block_on},
    tamper::Trail,
    trails::{FIXTURE_KEY, KEY, ring},
};

/// Verifies with the archive's anchors alone.
async fn vouched(site: &Site, key: &str) -> Report {
    let keys = keys().verifiers;
    let vouchers = Vouchers::load(&site.vault, ORIGIN, &keys).await;
    let vouchers = vouchers.expect("read the archive");
    let database = Database::open(&site.url).expect("open");
    let (ring, options, progress) = (ring(key), Verifying::default(), Default::default());
    let (scope, limit) = (Scope::default(), options.max_findings);
    let mut report = verify::verify(&database, &ring, &scope, &options, &progress).expect("verify");
    vouchers
        .vouch(&database, &[], limit, &mut report, &progress)
        .expect("compare");
    report
}

fn kinds(report: &Report) -> Vec<Kind> {
    let trails = report.organizations.iter();
    let findings = trails.flat_map(|trail| &trail.findings);
    findings.map(|finding| finding.kind).collect()
}

/// What is found after `tamper` in a trail of two organisations, of which the chain alone shows nothing.
async fn after(tamper: impl FnOnce(&Trail)) -> Report {
    let test = TestStore::sqlite().await;
    let (site, generator) = Site::generated(2, 700);
    site.anchor(&test.store).await;
    site.append(generator, 60);
    site.anchor(&test.store).await;
    site.backup(&test.store).await;
    tamper(&site.trail());
    vouched(&site, KEY).await
}

#[test]
fn the_archive_vouches_without_our_database() {
    block_on(async {
        let report = after(|_| {}).await;
        assert_eq!((report.verdict, kinds(&report)), (Verdict::Intact, vec![]));
        let anchor = report.organizations[0].anchor.as_ref().expect("an anchor");
        assert!(anchor.is_extended);
        assert_eq!((anchor.number, anchor.unanchored_entries), (2, 0));
        assert_eq!(anchor.first_unanchored_id, None);

        let report = after(|trail| {
            trail.run("DELETE FROM verificationlog WHERE id > 755");
        })
        .await;
        assert_eq!(report.verdict, Verdict::Tampered);
        assert!(kinds(&report).iter().all(|kind| *kind == Kind::TailRemoved));

        let report = after(|trail| {
            trail.run("DELETE FROM verificationlog WHERE organization_id = 2");
        })
        .await;
        assert_eq!(kinds(&report), [Kind::OrganisationVanished]);

        let report = after(|trail| {
            trail
                .run("UPDATE verificationlog SET query = 'another' WHERE id = 720")
                .rewrite("organization_id = (SELECT organization_id FROM verificationlog WHERE id = 720)", KEY);
        })
        .await;
        assert_eq!(kinds(&report), [Kind::HistoryRewritten]);
        let finding = &report
            .organizations
            .iter()
            .flat_map(|trail| &trail.findings)
            .next();
        let finding = finding.expect("one");
        // Behind what the first anchor covers, which is still as it was.
        assert!((690..=720).contains(&finding.entry_id), "{finding:?}");
        assert!(finding.detail.contains("archived anchor 2"), "{finding:?}");
    });
}

#[test]
fn rows_without_hash_are_vouched_for() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let site = Site::of_fixture("g4_two_orgs");
        site.trail().run(
            "UPDATE verificationlog SET entry_hash = NULL, previous_hash = NULL, hmac_signature = NULL \
             WHERE id = (SELECT min(id) FROM verificationlog WHERE organization_id = 1)",
        );
        let before = vouched(&site, FIXTURE_KEY).await;
        site.anchor(&test.store).await;
        site.backup(&test.store).await;
        let report = vouched(&site, FIXTURE_KEY).await;
        assert_eq!(before.organizations.len(), report.organizations.len());
        assert!(
            report.organizations[0]
                .anchor
                .as_ref()
                .expect("one")
                .is_extended
        );
        let id = "SELECT min(id) FROM verificationlog WHERE organization_id = 1";
        site.trail().run(&format!(
            "UPDATE verificationlog SET query = 'another' WHERE id = ({id})"
        ));
        let report = vouched(&site, FIXTURE_KEY).await;
        assert!(kinds(&report).contains(&Kind::HistoryRewritten));
    });
}

crate::on_both![a_database_that_was_put_back_is_noticed];

async fn a_database_that_was_put_back_is_noticed(test: TestStore) {
    let compared = async |site: &Site| -> Vec<AnchorFinding> {
        let keys = keys().verifiers;
        let compared = backup::compare_archived(&site.vault, &test.store, ORIGIN, &keys).await;
        compared.expect("compare")
    };
    let (site, generator) = Site::generated(2, 60);
    drop(generator);
    assert_eq!(compared(&site).await, [], "nothing is archived");
    site.backup(&test.store).await;
    assert_eq!(compared(&site).await, [], "no anchor is archived");
    site.anchor(&test.store).await;
    site.anchor(&test.store).await;
    site.backup(&test.store).await;
    // Newer than the archive is as it should be.
    site.anchor(&test.store).await;
    assert_eq!(compared(&site).await, []);
    // Archived between two backups, it is missed before the next.
    let archived = async |site: &Site| {
        let keys = keys().verifiers;
        let archived = backup::archive_anchors(&test.store, &site.vault, ORIGIN, &keys, site.now);
        archived.await.expect("archive")
    };
    assert_eq!(archived(&site).await, Some(3));
    assert_eq!(archived(&site).await, Some(3), "again changes nothing");
    assert_eq!(compared(&site).await, []);
    test.execute("CREATE TABLE cut AS SELECT * FROM anchor_run WHERE number = 3")
        .await;
    test.execute("DELETE FROM anchor_checkpoint WHERE number = 3")
        .await;
    test.execute("DELETE FROM anchor_run WHERE number = 3")
        .await;
    let found = compared(&site).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].detail.contains("the archive has anchor 3"),
        "{found:?}"
    );
    test.execute("INSERT INTO anchor_run SELECT * FROM cut")
        .await;
    assert_eq!(compared(&site).await, []);
    let third = site.backup(&test.store).await;
    assert_eq!((third.number, third.anchors), (3, 1));
    assert_eq!(site.verify(&test.store).await.orphans, Vec::<String>::new());
    let note = "(SELECT note FROM anchor_run WHERE number = 1)";
    test.execute(&format!(
        "UPDATE anchor_run SET note = {note} WHERE number = 3"
    ))
    .await;
    let found = compared(&site).await;
    assert_eq!(found.len(), 1);
    assert!(found[0].detail.contains("anchor 3 is another"), "{found:?}");
    test.execute("DELETE FROM anchor_run WHERE number > 1")
        .await;
    let found = compared(&site).await;
    assert!(
        found[0].detail.contains("anchor 3 and our database only 1"),
        "{found:?}"
    );
    test.execute("DELETE FROM archive_manifest WHERE number > 1")
        .await;
    let found = compared(&site).await;
    assert!(
        found[0].detail.contains("backup 3 and our database only 1"),
        "{found:?}"
    );
    assert_eq!(found.len(), 2);
    // Nor is an archive gone on with that knows more than our database.
    let before = site.verify(&test.store).await.manifests;
    let refused = site.try_backup(&test.store).await;
    let refused = refused.expect_err("it would break the chain");
    assert!(!refused.is_transient(), "{refused}");
    assert!(
        refused
            .to_string()
            .contains("has backup 3, which is not the newest"),
        "{refused}"
    );
    assert_eq!(site.verify(&test.store).await.manifests, before);
}
