//! Erased entries are told as erased, and anchored ones as anchored.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::runtime::Handle;
use trailkeeper::{
    anchor,
    clock::Clock,
    evidence::{self, Asked, Content, EvidenceError, Manifest, Order, Profile},
    progress::Progress,
};

use super::{all_of, rows};
use crate::{
    erasure::{Estate, ORIGIN},
    support::store::TestStore,
};

crate::on_both![
    erased_entries_are_told_as_erased,
    anchored_entries_name_their_leaf
];

/// The audit trail in a file, with its manifest.
async fn export(
    estate: &Estate<'_>,
    asked: Asked,
    path: &Path,
) -> Result<(Manifest, String), EvidenceError> {
    let office = &estate.office;
    let keys = &office.keys.verifiers;
    let loaded = anchor::load(&office.store, ORIGIN, keys, None, 10).await;
    let loaded = loaded.expect("load anchors");
    let order = Order {
        asked,
        url: office.qwed.clone(),
        graveyard: Some(estate.graveyard()),
        handle: Handle::current(),
        ring: Arc::clone(&office.ring),
        anchored: loaded.anchored,
        anchor_findings: Vec::new(),
        scratch: path.parent().expect("a directory").to_owned(),
        made_at: Timestamp::UNIX_EPOCH,
    };
    let path = path.to_owned();
    let making = tokio::task::spawn_blocking(move || {
        let content = Content::VerificationLog;
        let manifest = evidence::to_file(&order, content, &path, &Progress::default())?;
        let text = std::fs::read_to_string(&path).expect("read it");
        Ok((manifest, text))
    });
    making.await.expect("no panic")
}

async fn erased_entries_are_told_as_erased(test: TestStore) {
    let estate = Estate::settled(&test, "g4_two_orgs").await;
    let path = test.directory.path().join("before.csv");
    let (before, text) = export(&estate, all_of(1, Profile::Full), &path)
        .await
        .expect("export");
    let of_ada = rows(&text)
        .into_iter()
        .filter(|row| row["user_id"] == "10")
        .count();
    assert!(of_ada > 0 && before.written.erased == 0);

    estate.erase(estate.asked(1, 10)).await;
    let path = test.directory.path().join("after.csv");
    let (after, text) = export(&estate, all_of(1, Profile::Full), &path)
        .await
        .expect("export");
    let found = rows(&text);
    let erased: Vec<_> = found
        .iter()
        .filter(|row| row["verdict"] == "erased")
        .collect();
    assert_eq!(erased.len(), of_ada);
    for row in &erased {
        assert_eq!(
            (row["erased"].as_str(), row["problem"].as_str()),
            ("anonymised", ""),
            "{row:?}"
        );
        assert_eq!(
            (row["query"].as_str(), row["user_id"].as_str()),
            ("[erased]", "")
        );
    }
    assert!(found.iter().all(|row| row["verdict"] != "failed"), "{text}");
    assert_eq!(after.written.rows, before.written.rows);
    assert_eq!(after.written.erased, of_ada as u64);
    assert_eq!(after.written.verdicts["erased"], of_ada as u64);

    // A file is written once, and so is its manifest.
    let again = export(&estate, all_of(1, Profile::Full), &path).await;
    assert!(matches!(again, Err(EvidenceError::Exists(_))));
    let manifest = std::fs::read_to_string(evidence::manifest_path(&path)).expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
    assert_eq!(manifest["sha256"], after.written.sha256.to_string());
    assert_eq!(manifest["formulas_defused"], true);
    assert_eq!(
        manifest["columns"].as_array().map(Vec::len),
        Some(found[0].len())
    );

    // Whoever puts the content back is found out.
    let id = &erased[0]["id"];
    let sql = format!("UPDATE verificationlog SET query = 'back' WHERE id = {id}");
    estate.run(&sql);
    let path = test.directory.path().join("undone.csv");
    let (_, text) = export(&estate, all_of(1, Profile::Full), &path)
        .await
        .expect("export");
    let row = rows(&text)
        .into_iter()
        .find(|row| row["id"] == *id)
        .expect("it");
    assert_eq!(row["verdict"], "failed", "{row:?}");
}

async fn anchored_entries_name_their_leaf(test: TestStore) {
    let estate = Estate::settled(&test, "g4_two_orgs").await;
    let (store, office) = (&test.store, &estate.office);
    let progress = Arc::default();
    let made = anchor::make(
        store,
        &office.qwed,
        ORIGIN,
        &office.keys,
        Clock.now(),
        &progress,
    );
    let made = made.await.expect("anchor");
    let mut tx = store.begin().await.expect("begin");
    tx.insert_anchor(&made.run, &made.checkpoints, &made.last_tiles)
        .await
        .expect("keep it");
    tx.commit("anchor").await.expect("commit");
    estate.append(1).await;
    estate.append(1).await;
    let path = test.directory.path().join("first.csv");
    let (manifest, text) = export(&estate, all_of(1, Profile::Full), &path)
        .await
        .expect("export");
    assert_eq!(manifest.written.anchor, Some(1));
    let found = rows(&text);
    let (anchored, new) = found.split_at(found.len() - 2);
    for (index, row) in anchored.iter().enumerate() {
        let said = ["anchor", "anchor_leaf", "anchor_state"].map(|name| row[name].as_str());
        assert_eq!(said, ["1", &index.to_string(), "matches"]);
    }
    assert!(
        new.iter()
            .all(|row| row["anchor"].is_empty() && row["anchor_state"].is_empty())
    );

    // Somebody who has the key writes an entry anew: only the anchor knows.
    let id = &anchored[3]["id"];
    estate.run(&format!(
        "UPDATE verificationlog SET entry_hash = NULL, hmac_signature = NULL, previous_hash = NULL WHERE id = {id}"
    ));
    let path = test.directory.path().join("second.csv");
    let (manifest, text) = export(&estate, all_of(1, Profile::Full), &path)
        .await
        .expect("export");
    let row = rows(&text)
        .into_iter()
        .find(|row| row["id"] == *id)
        .expect("it");
    assert_eq!(
        (row["verdict"].as_str(), row["anchor_state"].as_str()),
        ("failed", "differs")
    );
    assert!(manifest.written.verdicts["failed"] >= 1);
}
