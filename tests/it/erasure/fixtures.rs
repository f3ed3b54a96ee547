//! Every user of every fixture.

use std::collections::BTreeSet;

use trailkeeper::{
    erasure::{State, certificate},
    trail::finding::{Finding, Kind, Severity},
    verify::report::Report,
};

use super::{Estate, Override, keys};
use crate::support::{store::TestStore, trails::fixtures};

crate::on_both![anonymising_changes_no_verdict, deleting_changes_no_verdict,];

/// What speaks against a trail, but for what an erasure may change: entries that failed go on failing, and how it is told why
/// depends on content that is gone.
fn accused(report: &Report) -> BTreeSet<(Option<i64>, i64)> {
    let mut accused = BTreeSet::new();
    for trail in &report.organizations {
        for finding in &trail.findings {
            let Finding {
                severity, entry_id, ..
            } = finding;
            if *severity == Severity::Tampered {
                accused.insert((trail.organization_id, *entry_id));
            }
        }
    }
    accused
}

async fn everybody(test: &TestStore, name: &str, policy: Override) {
    let estate = Estate::new(test, name);
    let before = estate.verify().await;
    let newest = |organization: i64| {
        estate.text(&format!(
            "SELECT user_id FROM verificationlog WHERE organization_id = {organization} ORDER BY id DESC LIMIT 1"
        ))
    };
    let mut erased = 0;
    for (organization, user) in [(1, 10), (1, 11), (1, 12), (2, 20), (2, 22), (2, 21)] {
        let of_user = format!("verificationlog WHERE user_id = {user}");
        let entries = estate.count(&of_user);
        let is_newest = newest(organization) == user.to_string();
        let mut asked = estate.asked(organization, user);
        asked.policy = policy;
        let request = estate.erase(asked).await;
        let wanted = match is_newest {
            true => State::WaitingForHead,
            false => State::Completed,
        };
        assert_eq!(
            request.state, wanted,
            "{name}, user {user}: {:?}",
            request.note
        );
        assert_eq!(
            estate.count(&of_user),
            i64::from(is_newest),
            "{name}, user {user}"
        );
        erased += entries - i64::from(is_newest);
        let users = estate.count(&format!("\"user\" WHERE id = {user}"));
        assert_eq!(users, i64::from(is_newest), "{name}, user {user}");
        if let Some(text) = &request.certificate {
            let certificate = certificate::open(text, &keys().verifiers).expect("a certificate");
            assert_eq!(certificate.tombstones.count.cast_signed(), entries);
            assert_eq!(certificate.request, request.id);
        }
        let after = estate.verify().await;
        assert_eq!(
            after.verdict, before.verdict,
            "{name}, after user {user}: {after:#?}"
        );
        for (now, then) in after.organizations.iter().zip(&before.organizations) {
            assert_eq!(now.organization_id, then.organization_id);
            assert_eq!(
                now.verdict, then.verdict,
                "{name}, after user {user}: {now:#?}"
            );
        }
        let (now, then) = (accused(&after), accused(&before));
        assert!(
            now.is_superset(&then) || now.len() == then.len(),
            "{name}: {now:?}, {then:?}"
        );
        let undone = |it: &Finding| it.kind == Kind::ErasureUndone;
        assert!(
            !after
                .organizations
                .iter()
                .any(|it| it.findings.iter().any(undone))
        );
        let counted = after.organizations.iter().map(|it| it.erased);
        let counted: u64 = counted.map(|it| it.anonymised + it.deleted).sum();
        assert_eq!(counted.cast_signed(), erased, "{name}, after user {user}");
    }
}

async fn anonymising_changes_no_verdict(test: TestStore) {
    for name in fixtures() {
        everybody(&test, &name, Override::default()).await;
        forget(&test).await;
    }
}

async fn deleting_changes_no_verdict(test: TestStore) {
    let policy = Override {
        entries: Some(trailkeeper::config::EraseEntries::Delete),
        ..Override::default()
    };
    for name in fixtures() {
        // What was tampered with is the same to both servers, and slow to load.
        if test.server.is_none() || !name.starts_with("t_") {
            everybody(&test, &name, policy).await;
            forget(&test).await;
        }
    }
}

/// The next fixture is another QWED's, whose requests and anchors are its own.
async fn forget(test: &TestStore) {
    for table in [
        "erasure",
        "ledger",
        "anchor_checkpoint",
        "anchor_tile",
        "anchor_run",
    ] {
        test.execute(&format!("DELETE FROM {table}")).await;
    }
}
