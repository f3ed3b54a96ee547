//! Whatever write of whatever step breaks, in either way, the next call goes on, and in the end all is as if nothing had.

use trailkeeper::{
    config::EraseEntries,
    erasure::{self, ErasureError, Request, State, Taken},
    state::fault::{self, Way},
};

use super::{Asked, Estate};
use crate::support::store::TestStore;

crate::on_both![every_write_may_break];

/// Takes each step until it is taken, as a worker's retries do.
async fn in_the_end(estate: &Estate<'_>, asked: Asked) -> (Request, u32) {
    let mut failures = 0;
    let mut insist = |result: Result<(), ErasureError>| match result {
        Ok(()) => true,
        Err(error) => {
            failures += 1;
            assert!(error.is_transient(), "{error:?}");
            assert!(failures < 20, "{error:?}");
            false
        }
    };
    let id = loop {
        let taken = erasure::take_in(&estate.office, asked.clone()).await;
        match taken {
            Ok(Taken::New(request) | Taken::Known(request)) => break request.id,
            Ok(other) => panic!("{other:?}"),
            Err(error) => insist(Err(error)),
        };
    };
    loop {
        let mut request = estate.office.request(&id).await.expect("read");
        let step = match request.state {
            State::Received | State::Planned => estate.plan(&mut request).await,
            State::AwaitingApproval => estate.approve(&mut request).await,
            State::WaitingForHead | State::Completed => break,
            _ => estate.execute(&mut request).await,
        };
        insist(step);
    }
    (estate.office.request(&id).await.expect("read"), failures)
}

async fn every_write_may_break(test: TestStore) {
    let writes = [
        "erasure salt",
        "erasure request",
        "erasure plan",
        "erasure approval",
        "erasure begin",
        "tombstones",
        "erasure progress",
        "erased rows",
        "destroyed keys",
        "anchor",
        "erasure end",
    ];
    for manner in [EraseEntries::Anonymise, EraseEntries::Delete] {
        for write in writes {
            for way in [Way::Failed, Way::FailedButPersisted] {
                let estate = Estate::settled(&test, "g4_two_orgs").await.with_more();
                for table in [
                    "erasure",
                    "erasure_salt",
                    "ledger",
                    "anchor_checkpoint",
                    "anchor_tile",
                    "anchor_run",
                ] {
                    test.execute(&format!("DELETE FROM {table}")).await;
                }
                let mut asked = estate.asked(1, 10);
                asked.policy.entries = Some(manner);
                fault::set(write, way, 1);
                let (request, failures) = in_the_end(&estate, asked).await;
                let what = format!("{write}, {way:?}, {manner:?}");
                let is_used = write != "anchor" || manner == EraseEntries::Delete;
                assert_eq!(fault::left(write), u32::from(!is_used), "{what}");
                fault::set(write, way, 0);
                // To find what a lost answer persisted is no failure.
                assert!(failures <= 3, "{what}: {failures}");
                assert_eq!(request.state, State::Completed, "{what}");
                assert_eq!(estate.tampered().await, [], "{what}");
                assert_eq!(
                    estate.count("verificationlog WHERE user_id = 10"),
                    0,
                    "{what}"
                );
                assert_eq!(estate.count("\"user\" WHERE id = 10"), 0, "{what}");
                let ends = "SELECT count(*) FROM ledger WHERE act = 'erasure.completed'";
                assert_eq!(test.number(ends).await, 1, "{what}");
                assert_eq!(
                    test.number("SELECT count(*) FROM erasure").await,
                    1,
                    "{what}"
                );
                let erased = estate.verify().await.organizations[0].erased;
                assert_eq!(erased.anonymised + erased.deleted, 5, "{what}");
            }
        }
    }
}
