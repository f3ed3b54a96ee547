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
