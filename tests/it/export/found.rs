//! Whom a request finds.

use trailkeeper::{
    export::{Asked, Rejection, Target},
    qwed::subject::{EmailProblem, Subject},
};

use super::Qwed;
use crate::support::store::TestStore;

crate::on_both![
    users_are_found_by_id_and_by_address,
    nobody_learns_of_other_organisations,
    an_address_may_be_ambiguous_or_none,
    the_only_owner_is_known,
    what_old_releases_lack_is_no_obstacle,
];

fn email(text: &str) -> Asked {
    Asked::Email(text.to_owned())
}

#[track_caller]
fn subject(target: Target) -> Subject {
    match target {
        Target::User(subject) => subject,
        Target::Organization(_) => panic!("a user was wanted"),
    }
}

async fn users_are_found_by_id_and_by_address(test: TestStore) {
    let qwed = Qwed::filled(&test);
    let ada = subject(qwed.target(1, &Asked::User(10)));
    let expected = Subject {
        organization_id: 1,
        user_id: 10,
        email: Some("Ada@Example.org".to_owned()),
        role: Some("owner".to_owned()),
        is_active: true,
        organization_is_active: true,
        is_only_owner: true,
    };
    assert_eq!(ada, expected);
    for text in ["Ada@Example.org", " ada@example.ORG\n", "ADA@EXAMPLE.ORG"] {
        assert_eq!(subject(qwed.target(1, &email(text))), ada, "{text:?}");
    }
    // Folded as people do it, not as a database's locale does.
    qwed.run(r#"UPDATE "user" SET email = 'ÄÖ@example.org' WHERE id = 11"#);
    assert_eq!(
        subject(qwed.target(1, &email("äö@example.org"))).user_id,
        11
    );
    let zoe = subject(qwed.target(2, &Asked::User(20)));
    assert!(zoe.is_active && !zoe.organization_is_active && zoe.is_only_owner);
    let two = qwed.target(2, &Asked::Organization);
    assert_eq!((two.user_id(), two.organization_is_active()), (None, false));
}

async fn nobody_learns_of_other_organisations(test: TestStore) {
    let qwed = Qwed::filled(&test);
    for (organization, asked) in [
        (1, Asked::User(99)),
        (1, Asked::User(20)),
        (1, Asked::User(i64::MIN)),
        (1, email("nobody@example.org")),
        (1, email("zoe@example.org")),
        (2, email("ada@example.org")),
        (3, Asked::User(10)),
        (3, Asked::Organization),
        (i64::MIN, Asked::Organization),
        (i64::MAX, Asked::Organization),
    ] {
        let found = qwed.resolve(organization, &asked);
        assert_eq!(found, Err(Rejection::UnknownSubject), "{organization}");
    }
}

async fn an_address_may_be_ambiguous_or_none(test: TestStore) {
    let qwed = Qwed::filled(&test);
    let found = qwed.resolve(1, &email("Eve@example.org"));
    assert_eq!(found, Err(Rejection::AmbiguousSubject { matches: 2 }));
    for (text, problem) in [
        ("", EmailProblem::Empty),
        ("ada", EmailProblem::Form),
        ("ada@exa mple.org", EmailProblem::Blank),
        ("' OR 1=1 --", EmailProblem::Blank),
        (&"a".repeat(300), EmailProblem::TooLong),
    ] {
        let found = qwed.resolve(1, &email(text));
        assert_eq!(
            found,
            Err(Rejection::MalformedEmail { problem }),
            "{text:?}"
        );
    }
}

async fn the_only_owner_is_known(test: TestStore) {
    let qwed = Qwed::filled(&test);
    let is_only_owner = |id| subject(qwed.target(1, &Asked::User(id))).is_only_owner;
    // User 13 owns it as well, and is not active.
    assert!(is_only_owner(10) && !is_only_owner(11) && !is_only_owner(13));
    qwed.run(r#"UPDATE "user" SET is_active = true WHERE id = 13"#);
    assert!(!is_only_owner(10) && !is_only_owner(13));
}

async fn what_old_releases_lack_is_no_obstacle(test: TestStore) {
    let qwed = Qwed::empty(&test);
    qwed.run("CREATE TABLE verificationlog (id KEY, organization_id INTEGER, user_id INTEGER)");
    assert_eq!(
        qwed.resolve(1, &Asked::User(10)),
        Err(Rejection::UnknownSubject)
    );
    qwed.run(r#"CREATE TABLE "user" (id KEY, organization_id INTEGER); INSERT INTO "user" VALUES (10, 1)"#);
    let found = subject(qwed.target(1, &Asked::User(10)));
    assert_eq!(
        (found.email, found.role, found.is_active),
        (None, None, true)
    );
    qwed.run("INSERT INTO verificationlog VALUES (1, 1, 10), (2, 1, 11)");
    let (made, opened) = qwed.export(1, &Asked::User(10));
    assert_eq!(made.records, 2);
    assert_eq!(opened.ids("verificationlog"), Some(vec![1]));
    assert_eq!(opened.ids("apikey"), None);
}
