//! What cannot be followed is refused with a reason, and leaves nothing half-done.

use trailkeeper::erasure::{self, Asked, Refusal, Taken};

use super::{Estate, at};
use crate::support::store::TestStore;

crate::on_both![
    what_cannot_be_followed_is_refused,
    a_signed_request_counts_once
];

async fn what_cannot_be_followed_is_refused(test: TestStore) {
    let mut estate = Estate::settled(&test, "g4_two_orgs").await;
    estate.office.now = at("2026-11-23T12:00:00Z");
    estate.run(
        "INSERT INTO \"user\" (id, email, password_hash, organization_id, role, is_active, created_at) VALUES \
         (801, 'Twin@example.com', 'x', 1, 'member', true, '2026-01-01 00:00:00.000000'), \
         (802, 'twin@example.com', 'x', 1, 'member', true, '2026-01-01 00:00:00.000000')",
    );
    estate.run("UPDATE organization SET is_active = false WHERE id = 3");
    let email = |text: &str| Err(text.to_owned());
    let strict = |asked: Asked| Asked {
        options: erasure::Options::default(),
        ..asked
    };
    for (organization, user, refusal) in [
        (1, Ok(999), Refusal::UnknownSubject),
        (99, Ok(10), Refusal::UnknownSubject),
        // Of another organisation: the same answer.
        (2, Ok(10), Refusal::UnknownSubject),
        (2, email("u10@example.com"), Refusal::UnknownSubject),
        (1, email("nobody@example.com"), Refusal::UnknownSubject),
        (1, email("u10"), Refusal::MalformedEmail),
        (
            1,
            email("u10@example.com\nBcc: x@example.com"),
            Refusal::MalformedEmail,
        ),
        (1, email(""), Refusal::MalformedEmail),
        (1, email("twin@example.com"), Refusal::SeveralSubjects),
        (1, Ok(10), Refusal::OnlyOwner),
        (3, Ok(31), Refusal::OrganizationInactive),
    ] {
        let asked = Asked {
            user: user.clone(),
            ..strict(estate.asked(organization, 0))
        };
        let taken = erasure::take_in(&estate.office, asked)
            .await
            .expect("an answer");
        assert_eq!(taken, Taken::Refused(refusal), "{organization}, {user:?}");
    }
    let future = Asked {
        requested_at: Some(at("2026-11-23T12:05:01Z")),
        ..estate.asked(1, 11)
    };
    let taken = erasure::take_in(&estate.office, future)
        .await
        .expect("an answer");
    assert_eq!(taken, Taken::Refused(Refusal::TimeInFuture));
    assert_eq!(test.number("SELECT count(*) FROM erasure").await, 0);
    assert_eq!(test.number("SELECT count(*) FROM ledger").await, 0);
    // What is allowed is followed.
    let inactive = Asked {
        allow_inactive: true,
        ..strict(estate.asked(3, 31))
    };
    estate.request(inactive).await;
    estate.request(estate.asked(1, 10)).await;
    // Twice is once.
    let again = erasure::take_in(&estate.office, estate.asked(1, 10))
        .await
        .expect("an answer");
    assert!(matches!(again, Taken::Known(_)), "{again:?}");
    assert_eq!(test.number("SELECT count(*) FROM erasure").await, 2);
}

async fn a_signed_request_counts_once(test: TestStore) {
    let estate = Estate::settled(&test, "g4_two_orgs").await;
    let signed = |user: i64, source: &str| Asked {
        signature: Some("a signature".to_owned()),
        source: source.to_owned(),
        ..estate.asked(1, user)
    };
    let first = estate.request(signed(12, "job 1")).await;
    // The same job, after a crash.
    let again = erasure::take_in(&estate.office, signed(12, "job 1"))
        .await
        .expect("an answer");
    assert!(
        matches!(&again, Taken::Known(known) if known.id == first.id),
        "{again:?}"
    );
    // The same message once more, or its signature under another request.
    for user in [12, 11] {
        let replayed = erasure::take_in(&estate.office, signed(user, "job 2")).await;
        assert_eq!(
            replayed.expect("an answer"),
            Taken::Refused(Refusal::Replayed)
        );
    }
}
