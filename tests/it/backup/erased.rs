//! Keys of data subjects: destroyed, wrapped anew, or another's.

use trailkeeper::{
    backup::{self, BackupError, Kek, Wanted},
    state::{Store, fault},
};

use super::{Site, dump, kek};
use crate::support::{
    store::{TestStore, block_on},
    tamper::Trail,
};

crate::on_both![
    a_subject_without_key_is_gone_from_every_copy,
    keys_are_wrapped_anew,
];

async fn a_subject_without_key_is_gone_from_every_copy(test: TestStore) {
    let store = &test.store;
    let site = Site::of_fixture("g4_two_orgs");
    let trail = site.trail();
    let made = "INSERT INTO user (id, email, password_hash, organization_id, role, is_active, created_at) VALUES \
                (901, 'ada@example.org', 'h1', 1, 'member', 1, ''), (902, 'bob@example.org', 'h2', 1, 'member', 1, '')";
    trail.run(made);
    trail.run("UPDATE verificationlog SET user_id = 901, raw_llm_output = NULL WHERE id IN (1, 2) AND organization_id = 1");
    site.backup(store).await;
    let subject = backup::subject(Some(1), Some(901));
    assert_eq!(subject, "organization/1/user/901");
    fault::set("destroyed keys", fault::Way::Failed, 1);
    let broken = store.destroy_data_keys(&subject).await;
    broken.expect_err("a write broke");
    fault::set("destroyed keys", fault::Way::FailedButPersisted, 1);
    let broken = store.destroy_data_keys(&subject).await;
    broken.expect_err("an answer was lost");
    assert_eq!(store.destroy_data_keys(&subject).await.expect("again"), 0);
    // A person of the same id gets a key of their own.
    trail.run("UPDATE user SET email = 'new@example.org' WHERE id = 901");
    site.backup(store).await;
    let wanted = Wanted {
        manifest: Some(1),
        ..Wanted::default()
    };
    let (restored, path) = site.restore(store, wanted).await;
    let ours = trail.integer("SELECT count(*) FROM verificationlog WHERE user_id = 901");
    assert!(ours > 0);
    assert_eq!(restored.erased_keys, 1);
    assert_eq!(restored.unknown_keys, 0);
    assert_eq!(restored.erased_rows, 1 + ours.cast_unsigned());
    let erased = Trail::open(&path);
    assert_eq!(
        erased.text("SELECT email FROM user WHERE id = 901"),
        "[erased] 901"
    );
    assert_eq!(
        erased.text("SELECT password_hash FROM user WHERE id = 901"),
        "[erased]"
    );
    assert_eq!(
        erased.text("SELECT email FROM user WHERE id = 902"),
        "bob@example.org"
    );
    let of_erased = "FROM verificationlog WHERE user_id = 901 LIMIT 1";
    assert_eq!(
        erased.text(&format!("SELECT query {of_erased}")),
        "[erased]"
    );
    assert_eq!(
        erased.text(&format!("SELECT result {of_erased}")),
        r#"{"erased": true}"#
    );
    let hash = format!("SELECT entry_hash {of_erased}");
    assert_eq!(erased.text(&hash), trail.text(&hash));
    // What no key was needed for stays NULL.
    assert_eq!(
        erased.integer(&format!("SELECT raw_llm_output IS NULL {of_erased}")),
        1
    );
    let (_, path) = site.restore(store, Wanted::default()).await;
    let newest = Trail::open(&path);
    assert_eq!(
        newest.text("SELECT email FROM user WHERE id = 901"),
        "new@example.org"
    );
    assert_eq!(
        newest.text(&format!("SELECT query {of_erased}")),
        "[erased]"
    );
}

async fn keys_are_wrapped_anew(test: TestStore) {
    let store = &test.store;
    let site = Site::of_fixture("g4_two_orgs");
    site.backup(store).await;
    let keys = test.number("SELECT count(*) FROM data_key").await;
    let new = Kek::parse(&Kek::generate().expect("make a key")).expect("a key");
    let error = backup::rewrap(store, &new, &[])
        .await
        .expect_err("no former key");
    assert!(matches!(error, BackupError::OtherKek { .. }), "{error}");
    let rewrapped = backup::rewrap(store, &new, &[kek()]).await.expect("rewrap");
    assert_eq!(rewrapped.cast_signed(), keys);
    assert_eq!(
        backup::rewrap(store, &new, &[kek()]).await.expect("again"),
        0
    );
    // Cut short, it goes on: keys are wrapped with the one or the other, never with none.
    let newer = Kek::parse(&Kek::generate().expect("make a key")).expect("a key");
    fault::set("rewrapped keys", fault::Way::Failed, 1);
    let broken = backup::rewrap(store, &newer, std::slice::from_ref(&new)).await;
    broken.expect_err("a write broke");
    fault::set("rewrapped keys", fault::Way::FailedButPersisted, 1);
    let broken = backup::rewrap(store, &newer, std::slice::from_ref(&new)).await;
    broken.expect_err("an answer was lost");
    let again = backup::rewrap(store, &newer, std::slice::from_ref(&new)).await;
    assert_eq!(again.expect("again"), 0);
    let new = newer;
    let error = restore_with(&site, store, &kek())
        .await
        .expect_err("the former key");
    assert!(error.to_string().contains("archive rewrap"), "{error}");
    let path = restore_with(&site, store, &new).await.expect("the new key");
    assert_eq!(dump(&path), dump(&site.path()));
}

async fn restore_with(
    site: &Site,
    store: &Store,
    kek: &Kek,
) -> Result<std::path::PathBuf, BackupError> {
    let path = site.directory.path().join(format!("with-{}.db", kek.id()));
    let to = trailkeeper::qwed::url::DatabaseUrl::Sqlite(path.clone());
    let keys = super::keys().verifiers;
    let (wanted, progress) = (Wanted::default(), Default::default());
    let vault = &site.vault;
    backup::restore(
        store,
        vault,
        super::ORIGIN,
        &keys,
        kek,
        &to,
        wanted,
        &progress,
    )
    .await?;
    Ok(path)
}

#[test]
fn a_lost_key_table_is_noticed() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let site = Site::of_fixture("g4_two_orgs");
        site.backup(&test.store).await;
        test.execute("DELETE FROM data_key").await;
        let (restored, _) = site.restore(&test.store, Wanted::default()).await;
        assert!(restored.unknown_keys > 0);
        assert_eq!(restored.unknown_keys, restored.erased_keys);
    });
}
