//! Reports that a command made are kept together, or none of them.

use trailkeeper::{
    checkpoint::note::SecretKey,
    fault::{self, Way},
    ledger::Scribe,
    report::{model::Report, produce},
    state::jobs::new_id,
};

use super::sample;
use crate::support::store::TestStore;

crate::on_both![reports_are_kept_together_or_not_at_all];

/// Two reports, as a command makes them.
fn pair() -> Vec<Report> {
    let report = |organization_id| {
        let mut report = sample::plain();
        report.id = new_id();
        report.organization.id = organization_id;
        report
    };
    vec![report(1), report(2)]
}

async fn reports_are_kept_together_or_not_at_all(test: TestStore) {
    let key = SecretKey::from_seed("trailkeeper", &[7; 32]).expect("a key");
    let scribe = Scribe {
        origin: "trailkeeper",
        key: &key,
        actor: "a test",
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    let counts = async || {
        let entries = "SELECT count(*) FROM ledger WHERE act = 'report.made'";
        [
            test.number("SELECT count(*) FROM report").await,
            test.number(entries).await,
        ]
    };
    let mut kept = 0;
    for way in [Way::Failed, Way::FailedButPersisted] {
        let reports = pair();
        fault::set("keep reports", way, 1);
        let broken = produce::keep_all(&test.store, Some(&scribe), &reports).await;
        broken.expect_err("broken");
        let there = kept + 2 * i64::from(way == Way::FailedButPersisted);
        assert_eq!(counts().await, [there, there], "{way:?}");
        // Whoever tries again with the same keeps each once.
        let again = produce::keep_all(&test.store, Some(&scribe), &reports).await;
        assert_eq!(again.is_ok(), way == Way::Failed, "{again:?}");
        kept += 2;
        assert_eq!(counts().await, [kept, kept], "{way:?}");
        for report in &reports {
            let found = test.store.report(&report.id).await.expect("read");
            assert!(found.is_some(), "{way:?}");
        }
    }
    // One that is kept already lets none of the others in.
    let mut reports = pair();
    produce::keep_all(&test.store, Some(&scribe), &reports[..1])
        .await
        .expect("keep");
    reports.reverse();
    let refused = produce::keep_all(&test.store, Some(&scribe), &reports).await;
    refused.expect_err("it is there");
    assert_eq!(counts().await, [kept + 1, kept + 1]);
}
