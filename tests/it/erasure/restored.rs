//! A database that was put back to an earlier state: who was erased since is erased again.

use trailkeeper::{
    erasure::{self, State},
    trail::finding::Kind,
};

use super::{Estate, Qwed, progress};
use crate::support::{store::TestStore, store::block_on};

#[test]
fn an_earlier_copy_is_made_right() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let estate = Estate::settled(&test, "g4_two_orgs").await.with_more();
        let Qwed::Sqlite(path) = &estate.qwed else {
            panic!("a file");
        };
        let copy = path.with_extension("copy");
        std::fs::copy(path, &copy).expect("copy");
        for user in [10, 12] {
            let request = estate.erase(estate.asked(1, user)).await;
            assert_eq!(request.state, State::Completed);
        }
        let wanted = estate.count("verificationlog WHERE query = '[erased]'");
        std::fs::copy(&copy, path).expect("put back");
        let found = estate.tampered().await;
        assert!(
            !found.is_empty() && found.iter().all(|(kind, _)| *kind == Kind::ErasureUndone),
            "{found:?}"
        );
        // Somebody new got the number of somebody who was erased.
        estate.run("UPDATE \"user\" SET email = 'new@example.com' WHERE id = 12");
        let replayed = erasure::replay(&estate.office, &progress())
            .await
            .expect("replay");
        assert_eq!(
            (
                replayed.erasures,
                replayed.entries.cast_signed(),
                replayed.users
            ),
            (2, wanted, 1)
        );
        assert_eq!(estate.tampered().await, []);
        assert_eq!(estate.count("\"user\" WHERE id IN (10, 12)"), 1);
        assert_eq!(estate.count("agent WHERE created_by_user_id = 10"), 0);
        assert_eq!(
            test.number("SELECT count(*) FROM ledger WHERE act = 'erasure.replayed'")
                .await,
            1
        );
    });
}

#[test]
fn other_entries_with_the_same_numbers_are_left_alone() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let estate = Estate::settled(&test, "g4_two_orgs").await;
        estate.erase(estate.asked(1, 10)).await;
        let Qwed::Sqlite(path) = &estate.qwed else {
            panic!("a file");
        };
        // Another history, in which these ids are others' entries.
        std::fs::copy(crate::support::trails::fixture("g4_admission"), path).expect("put another");
        let before =
            estate.text("SELECT group_concat(query || coalesce(user_id, '')) FROM verificationlog");
        let replayed = erasure::replay(&estate.office, &progress())
            .await
            .expect("replay");
        assert_eq!(replayed.entries, 0);
        let after = estate.text("SELECT group_concat(query || coalesce(user_id, '')) FROM verificationlog WHERE query <> 'x'");
        assert_eq!(after, before);
        assert_eq!(estate.tampered().await, []);
    });
}

/// SQLite gives the highest number again: whoever gets it is left alone.
#[test]
fn who_got_the_number_is_left_alone() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let estate = Estate::settled(&test, "g4_two_orgs").await.with_more();
        let newcomer = "INSERT INTO user (id, email, password_hash, organization_id, role, is_active, created_at) VALUES \
             (32, 'new@example.com', 'x', {}, 'member', true, '2026-01-01 00:00:00.000000'); \
             INSERT INTO apikey (id, key_hash, key_preview, organization_id, user_id, name, is_active, created_at, \
             rotation_required) VALUES (932, 'h932', 'p', {}, 32, 'new', true, '2026-01-01 00:00:00.000000', false)";
        // Between the approval and the execution.
        let mut request = estate.request(estate.asked(3, 32)).await;
        estate.plan(&mut request).await.expect("plan");
        estate.approve(&mut request).await.expect("approve");
        estate.run("DELETE FROM user WHERE id = 32");
        estate.run(&newcomer.replace("{}", "3"));
        let refused = estate.execute(&mut request).await;
        assert!(
            refused.is_err() || request.state == State::AwaitingApproval,
            "{request:?}"
        );
        assert_eq!(estate.count("user WHERE id = 32 AND is_active"), 1);
        assert_eq!(estate.count("apikey WHERE user_id = 32 AND is_active"), 1);
        // After the erasure, in another organisation.
        let erased = estate.erase(estate.asked(3, 31)).await;
        assert_eq!(erased.state, State::Completed);
        let another = newcomer.replace("{}", "2").replace("32", "31");
        estate.run(&another.replace("new@", "newer@"));
        let replayed = erasure::replay(&estate.office, &progress())
            .await
            .expect("replay");
        assert_eq!((replayed.rows, replayed.users), (0, 0), "{replayed:?}");
        assert_eq!(estate.count("apikey WHERE user_id = 31 AND is_active"), 1);
    });
}
