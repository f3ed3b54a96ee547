//! Records in the archive: who cuts our database is found by them, and nobody reads them without the keys.

use std::fs;
use std::sync::Arc;

use trailkeeper::{
    anchor::Keys,
    backup::{self, ConsentDiffers, Kek, Options},
    config::{Config, LockMode, Secret},
    objects::Vault,
    progress::Progress,
    qwed::url::DatabaseUrl,
};

use super::{ORIGIN, anchor_key, at, granted, record};
use crate::support::{program::Copy, store::TestStore};

crate::on_both![records_are_archived_once_and_compared];

async fn records_are_archived_once_and_compared(test: TestStore) {
    let copy = Copy::of("g4_two_orgs");
    let mut config = Config::default();
    let objects = test.directory.path().join("objects");
    config.objects.url = Secret::new(format!("file://{}", objects.display()));
    config.objects.lock_mode = LockMode::None;
    let vault = Vault::open(&config).expect("open the vault");
    let keys = Keys::new(anchor_key(), &[]);
    let kek = Kek::parse(&Kek::generate().expect("a key")).expect("a key");
    let url = DatabaseUrl::Sqlite(copy.path.clone());
    let archive = async || {
        let progress = Arc::new(Progress::default());
        let (store, now, options) = (&test.store, at(0), Options::default());
        backup::run(
            store, &vault, &url, ORIGIN, &keys, &kek, now, options, &progress,
        )
        .await
        .expect("make a backup")
    };
    let compared = async || -> Vec<ConsentDiffers> {
        let compared = backup::compare_consents(&vault, &test.store, ORIGIN, &keys.verifiers).await;
        compared.expect("compare")
    };
    for (organization, number) in [(1, 1), (1, 2), (2, 1)] {
        record(&test, &granted(organization, &format!("r-{number}"))).await;
    }
    archive().await;
    record(&test, &granted(1, "r-3")).await;
    archive().await;
    archive().await;
    let files = |organization: i64| -> Vec<String> {
        let directory = objects.join(format!("consents/{organization}"));
        let entries = fs::read_dir(directory).expect("list");
        let mut texts: Vec<String> = entries
            .map(|entry| fs::read_to_string(entry.expect("a file").path()).expect("read"))
            .collect();
        texts.sort_unstable_by_key(String::len);
        texts
    };
    let lines = |texts: &[String]| -> Vec<usize> {
        texts.iter().map(|text| text.lines().count()).collect()
    };
    assert_eq!(lines(&files(1)), [1, 2]);
    assert_eq!(lines(&files(2)), [1]);
    for text in files(1) {
        assert!(!text.to_lowercase().contains("example.org"), "{text}");
        assert!(text.contains("entry_hash"));
    }
    assert_eq!(compared().await, []);

    test.execute("DELETE FROM consent WHERE organization_id = 1 AND sequence = 3")
        .await;
    let found = compared().await;
    assert_eq!((found[0].organization_id, found[0].sequence), (1, 3));
    assert_eq!(found.len(), 1);
    test.execute("DELETE FROM consent").await;
    assert_eq!(compared().await.len(), 2);
}
