//! Whoever can write to both databases, but has no key, passes nothing off as an erasure.

use trailkeeper::{config::EraseEntries, trail::finding::Kind};

use super::{Estate, Override};
use crate::support::store::TestStore;

crate::on_both![
    a_shell_is_as_it_was_left,
    a_gap_is_no_larger_than_its_tombstones,
    tombstones_are_what_was_signed,
    what_was_tampered_with_stays_so,
    content_that_comes_back_is_found,
    nobody_but_the_ledger_approves,
];

const ONE: &str =
    "SELECT min(id) FROM verificationlog WHERE organization_id = 1 AND query = '[erased]'";

async fn a_shell_is_as_it_was_left(test: TestStore) {
    let estate = Estate::settled(&test, "g4_two_orgs").await;
    estate.erase(estate.asked(1, 10)).await;
    assert_eq!(estate.tampered().await, []);
    let id: i64 = estate.text(ONE).parse().expect("an entry");
    let other = estate
        .text("SELECT min(id) FROM verificationlog WHERE organization_id = 1 AND user_id = 12");
    for (change, back) in [
        ("user_id = 11", "user_id = NULL"),
        (
            "is_verified = NOT is_verified",
            "is_verified = NOT is_verified",
        ),
        (
            "domain = domain || 'x'",
            "domain = substr(domain, 1, length(domain) - 1)",
        ),
        ("query = 'something else'", "query = '[erased]'"),
        ("result = '{}'", "result = '{\"erased\": true}'"),
        ("admission = 'DENY'", "admission = NULL"),
    ] {
        let before = estate.text(&format!(
            "SELECT admission FROM verificationlog WHERE id = {id}"
        ));
        estate.run(&format!(
            "UPDATE verificationlog SET {change} WHERE id = {id}"
        ));
        assert_eq!(
            estate.tampered().await,
            [(Kind::ContentChanged, id)],
            "{change}"
        );
        let back = match before.as_str() {
            "NULL" => back.to_owned(),
            admission => back.replace("admission = NULL", &format!("admission = '{admission}'")),
        };
        estate.run(&format!(
            "UPDATE verificationlog SET {back} WHERE id = {id}"
        ));
        assert_eq!(estate.tampered().await, [], "{back}");
    }
    // Somebody else's entry made to look like an erased one.
    estate.run(&format!(
        "UPDATE verificationlog SET user_id = NULL, query = '[erased]', result = '{{\"erased\": true}}', api_key_id = NULL, \
         raw_llm_output = CASE WHEN raw_llm_output IS NULL THEN NULL ELSE '[erased]' END WHERE id = {other}"
    ));
    let report = estate.verify().await;
    let finding = report.organizations[0]
        .findings
        .iter()
        .find(|it| it.entry_id.to_string() == other);
    let finding = finding.expect("a finding");
    assert_eq!(finding.kind, Kind::ContentChanged);
    assert!(
        finding.detail.contains("no tombstone"),
        "{}",
        finding.detail
    );
}

async fn a_gap_is_no_larger_than_its_tombstones(test: TestStore) {
    let estate = Estate::settled(&test, "g4_two_orgs").await;
    let mut asked = estate.asked(1, 10);
    asked.policy.entries = Some(EraseEntries::Delete);
    let ids = "SELECT min(id) FROM verificationlog WHERE organization_id = 1 AND user_id = 10";
    let gone: i64 = estate.text(ids).parse().expect("an entry");
    let request = estate.erase(asked).await;
    let deleted = &request.progress.tables["verificationlog"];
    assert_eq!((deleted.len(), deleted[0].manner.as_str()), (1, "deleted"));
    assert_eq!(estate.tampered().await, []);
    // Neither the entry before the gap, nor the one behind it, may go with it.
    for side in [
        format!("max(id) FROM verificationlog WHERE id < {gone}"),
        format!("min(id) FROM verificationlog WHERE id > {gone}"),
    ] {
        let id = estate.text(&format!("SELECT {side} AND organization_id = 1"));
        if id == "NULL" {
            continue;
        }
        estate.run(&format!(
            "CREATE TABLE kept AS SELECT * FROM verificationlog WHERE id = {id}"
        ));
        estate.run(&format!("DELETE FROM verificationlog WHERE id = {id}"));
        let found = estate.tampered().await;
        assert!(
            found
                .iter()
                .any(|(kind, _)| *kind == Kind::PredecessorMissing),
            "{id}: {found:?}"
        );
        estate.run("INSERT INTO verificationlog SELECT * FROM kept; DROP TABLE kept");
        assert_eq!(estate.tampered().await, []);
    }
    // What is deleted where only a shell was left.
    let shell = Estate::settled(&test, "g3_two_orgs").await;
    shell.erase(shell.asked(2, 22)).await;
    let id = shell.text(
        "SELECT min(id) FROM verificationlog WHERE organization_id = 2 AND query = '[erased]'",
    );
    shell.run(&format!("DELETE FROM verificationlog WHERE id = {id}"));
    let found = shell.tampered().await;
    assert!(
        found
            .iter()
            .any(|(kind, _)| *kind == Kind::PredecessorMissing),
        "{found:?}"
    );
}

async fn tombstones_are_what_was_signed(test: TestStore) {
    let estate = Estate::settled(&test, "g4_two_orgs").await;
    estate.erase(estate.asked(1, 10)).await;
    let tombstones = "act = 'erasure.tombstones'";
    let number = test
        .number(&format!("SELECT number FROM ledger WHERE {tombstones}"))
        .await;
    // One that is gone leaves its entries without an excuse.
    test.execute(&format!(
        "UPDATE ledger SET act = 'hidden' WHERE {tombstones}"
    ))
    .await;
    let found = estate.tampered().await;
    assert!(
        found.iter().all(|(kind, _)| *kind == Kind::ContentChanged) && found.len() == 5,
        "{found:?}"
    );
    test.execute(&format!(
        "UPDATE ledger SET act = 'erasure.tombstones' WHERE number = {number}"
    ))
    .await;
    assert_eq!(estate.tampered().await, []);
    // One that is changed counts for nothing, and says so.
    test.execute(&format!(
        "UPDATE ledger SET note = replace(note, 'anonymised A', 'anonymised B') WHERE {tombstones}"
    ))
    .await;
    let found = estate.tampered().await;
    assert!(
        found.contains(&(Kind::TombstoneInvalid, 0)) && found.len() == 6,
        "{found:?}"
    );
    test.execute(&format!(
        "UPDATE ledger SET note = replace(note, 'anonymised B', 'anonymised A') WHERE {tombstones}"
    ))
    .await;
    assert_eq!(estate.tampered().await, []);
    // One that is repeated under another number does not count again.
    test.execute(&format!(
        "INSERT INTO ledger (number, at, act, note, sha256) SELECT 999, at, act, note, sha256 FROM ledger WHERE {tombstones}"
    ))
    .await;
    assert_eq!(estate.tampered().await, [(Kind::TombstoneInvalid, 0)]);
    test.execute("DELETE FROM ledger WHERE number = 999").await;
    // Nor does one of another place: its signature is not by our key.
    let mut foreign = Estate::settled(&test, "g4_two_orgs").await;
    let stranger = trailkeeper::checkpoint::note::SecretKey::from_seed(super::ORIGIN, &[8; 32]);
    foreign.office.keys = trailkeeper::anchor::Keys::new(stranger.expect("a key"), &[]);
    foreign.erase(foreign.asked(1, 12)).await;
    foreign.office.keys = super::keys();
    let found = foreign.tampered().await;
    assert!(found.contains(&(Kind::TombstoneInvalid, 0)), "{found:?}");
    assert!(
        found.iter().any(|(kind, _)| *kind == Kind::ContentChanged),
        "{found:?}"
    );
}

async fn what_was_tampered_with_stays_so(test: TestStore) {
    let estate = Estate::settled(&test, "t_query_edited").await;
    let before = estate.tampered().await;
    let [(Kind::ContentChanged, id)] = before[..] else {
        panic!("{before:?}");
    };
    let user = estate.text(&format!(
        "SELECT user_id FROM verificationlog WHERE id = {id}"
    ));
    let organization = estate.text(&format!(
        "SELECT organization_id FROM verificationlog WHERE id = {id}"
    ));
    let Ok(user) = user.parse() else {
        // Of nobody: make it somebody's, which changes it as well.
        estate.run(&format!(
            "UPDATE verificationlog SET user_id = 12 WHERE id = {id}"
        ));
        erased_and_reported(&estate, 1, 12, id).await;
        return;
    };
    erased_and_reported(&estate, organization.parse().expect("a number"), user, id).await;
}

async fn erased_and_reported(estate: &Estate<'_>, organization: i64, user: i64, id: i64) {
    for policy in [EraseEntries::Delete] {
        let mut asked = estate.asked(organization, user);
        asked.policy = Override {
            entries: Some(policy),
            ..Override::default()
        };
        let request = estate.erase(asked).await;
        assert_eq!(request.plan.as_ref().expect("a plan").entries.faulty, 1);
        // It was not deleted: its hash does not vouch for it.
        assert_eq!(estate.count(&format!("verificationlog WHERE id = {id}")), 1);
        assert_eq!(
            estate.text(&format!(
                "SELECT query FROM verificationlog WHERE id = {id}"
            )),
            "[erased]"
        );
        assert_eq!(estate.tampered().await, [(Kind::ContentChanged, id)]);
    }
}

async fn content_that_comes_back_is_found(test: TestStore) {
    let estate = Estate::settled(&test, "g4_two_orgs").await;
    estate.run("CREATE TABLE kept AS SELECT * FROM verificationlog WHERE user_id = 10");
    let request = estate.erase(estate.asked(1, 10)).await;
    assert!(request.certificate.is_some());
    let id: i64 = estate
        .text("SELECT min(id) FROM kept")
        .parse()
        .expect("an entry");
    estate.run(&format!(
        "DELETE FROM verificationlog WHERE id = {id}; UPDATE kept SET user_id = 10; \
         INSERT INTO \"user\" (id, email, password_hash, organization_id, role, is_active, created_at) VALUES \
         (10, 'u10@example.com', 'x', 1, 'owner', true, '2026-01-01 00:00:00.000000'); \
         INSERT INTO verificationlog SELECT * FROM kept WHERE id = {id}"
    ));
    assert_eq!(estate.tampered().await, [(Kind::ErasureUndone, id)]);
    let replayed = trailkeeper::erasure::replay(&estate.office, &super::progress())
        .await
        .expect("replay");
    assert_eq!((replayed.entries, replayed.users), (1, 1));
    assert_eq!(estate.tampered().await, []);
    assert_eq!(estate.count("\"user\" WHERE id = 10"), 0);
    // Again it finds nothing to do.
    let replayed = trailkeeper::erasure::replay(&estate.office, &super::progress())
        .await
        .expect("replay");
    assert_eq!((replayed.entries, replayed.users, replayed.rows), (0, 0, 0));
}

async fn nobody_but_the_ledger_approves(test: TestStore) {
    let estate = Estate::settled(&test, "g4_two_orgs").await;
    let other = estate.erase(estate.asked(1, 11)).await;
    let number = other.progress.approval.expect("an approval");
    let mut request = estate.request(estate.asked(1, 10)).await;
    estate.plan(&mut request).await.expect("plan");
    let progress = request.progress.requested.expect("an entry");
    let approved =
        "approved_by = 'somebody', approved_at = received_at, approved_digest = plan_digest";
    let kept = "CREATE TABLE kept AS SELECT * FROM erasure";
    test.execute(kept).await;
    for change in [
        format!("state = 'approved', {approved}"),
        format!("state = 'executing', {approved}"),
        format!("state = 'waiting_for_head', {approved}"),
        // With the approval of another request.
        format!(
            "state = 'executing', {approved}, progress = '{{\"requested\": {progress}, \"approval\": {number}}}'"
        ),
        // About somebody else, or as if a producer had signed it.
        "user_id = 12, plan = NULL, plan_digest = NULL, state = 'received'".to_owned(),
        "options = '{\"producer\": \"crm\"}', plan = NULL, plan_digest = NULL, state = 'received'"
            .to_owned(),
        r#"policy = replace(policy, '"entries":"anonymise"', '"entries":"delete"'), plan = NULL, state = 'received'"#
            .to_owned(),
    ] {
        let id = &request.id;
        test.execute(&format!("UPDATE erasure SET {change} WHERE id = '{id}'"))
            .await;
        let mut changed = estate.office.request(id).await.expect("read");
        let refused = estate.execute(&mut changed).await;
        assert!(
            matches!(refused, Err(trailkeeper::erasure::ErasureError::Refused(_))),
            "{change}: {refused:?}"
        );
        assert_eq!(
            estate.count("verificationlog WHERE user_id = 10"),
            5,
            "{change}"
        );
        assert_eq!(
            estate.count("verificationlog WHERE user_id = 12"),
            9,
            "{change}"
        );
        assert_eq!(
            estate.count("\"user\" WHERE id IN (10, 12) AND is_active"),
            2,
            "{change}"
        );
        test.execute(&format!("DELETE FROM erasure WHERE id = '{id}'"))
            .await;
        test.execute(&format!(
            "INSERT INTO erasure SELECT * FROM kept WHERE id = '{id}'"
        ))
        .await;
    }
}
