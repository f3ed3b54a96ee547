//! What is in a pack, and that it holds.

use trailkeeper::{
    checkpoint::{
        merkle::Hash, note::Note, proof::InclusionProof, sample::draw, tree_head::Checkpoint,
    },
    pack::{Asked, EntryState, Gathered, Outcome, PackError, Sample},
    verify,
};

use super::{Desk, LOG, Packed, check, keys, other_signer, sample};
use crate::support::{store::TestStore, trails::open};

crate::on_both![
    a_pack_is_made_and_holds,
    what_was_tampered_with_after_it_was_anchored_is_told,
    there_may_be_no_anchor,
];

async fn a_pack_is_made_and_holds(test: TestStore) {
    let desk = Desk::anchored(test).await;
    let packed = desk.pack().await;
    let bytes = packed.bytes();
    let verified = check(&bytes, &keys()).expect("check");
    assert_eq!(verified.outcome, Outcome::Passed, "{verified:#?}");
    assert_eq!(verified.checks.len(), 11);
    assert_eq!(verified.notes, Vec::<String>::new());

    // By the key that it brings along it is not known whose it is.
    let verified = check(&bytes, &[]).expect("check");
    assert_eq!(verified.outcome, Outcome::Open, "{verified:#?}");
    let other = check(&bytes, &[other_signer().verifier()]);
    assert!(matches!(other, Err(PackError::Stranger(_))), "{other:?}");

    // Again it is the same.
    assert_eq!(desk.pack().await.bytes(), bytes);

    let mut members = packed.members();
    let expected = [
        "README.txt",
        "report.json",
        "report.html",
        "report.pdf",
        "tables/trail_integrity-runs.csv",
        "tables/api_keys-overdue.csv",
        "tables/api_keys-dormant.csv",
        "ocsf.json",
        "oscal.json",
        "verification.json",
        "logs/verification_log.csv",
        "anchors/run.note",
        "anchors/checkpoint.note",
        "sample.json",
    ];
    let names = members.names();
    assert_eq!(names[..expected.len()], expected);
    assert_eq!(names[names.len() - 2..], ["public-key", "manifest.note"]);
    assert_eq!(names.len(), expected.len() + 2 * 25 + 2);

    // The sample, and each proof, without the program's help.
    let sampled: Sample = serde_json::from_slice(members.get("sample.json")).expect("a sample");
    let checkpoint = members.get("anchors/checkpoint.note").clone();
    let note = Note::from_bytes(&checkpoint).expect("a note");
    let (checkpoint, _) = Checkpoint::open(&note, &keys()).expect("a checkpoint");
    assert_eq!(sampled.population, checkpoint.size);
    let drawn = draw(sample::REPORT_ID, checkpoint.size, 25).expect("draw");
    for (entry, index) in sampled.entries.iter().zip(drawn) {
        assert_eq!((entry.index, entry.state), (index, EntryState::AsAnchored));
        let name = format!("proofs/{}.tlog-proof", entry.entry_id);
        let proof = String::from_utf8(members.get(&name).clone()).expect("text");
        let proof: InclusionProof = proof.parse().expect("a proof");
        let leaf: Hash = entry.leaf.parse().expect("a hash");
        proof.verify(&leaf, &keys()).expect("it proves it");
    }
}

async fn what_was_tampered_with_after_it_was_anchored_is_told(test: TestStore) {
    let desk = Desk::anchored(test).await;
    let sampled = desk.pack().await.members().json("sample.json");
    let id = |at: usize| sampled["entries"][at]["entry_id"].as_i64().expect("an id");
    let (changed, gone) = (id(3), id(7));
    let statement = format!(
        "UPDATE verificationlog SET entry_hash = 'x' WHERE id = {changed}; DELETE FROM verificationlog WHERE id = {gone}"
    );
    match &desk.test.server {
        Some(server) => {
            server.psql("qwed", &statement);
        }
        None => {
            let path = desk.test.directory.path().join("qwed.db");
            open(&path).execute_batch(&statement).expect("tamper");
        }
    }
    let (report, verification) = desk.report(1).await;
    let gathered = desk.gather(1, 25).await;
    let packed = Packed::make(&report, &verification, &gathered, LOG);
    let verified = check(&packed.bytes(), &keys()).expect("check");
    // The pack is genuine: it says what is wrong.
    assert_eq!(verified.outcome, Outcome::Passed, "{verified:#?}");
    let expected = [
        format!("since they were anchored, changed: {changed}"),
        format!("since they were anchored, gone: {gone}"),
    ];
    assert_eq!(verified.notes, expected);
    let names = packed.members();
    assert!(
        !names
            .names()
            .contains(&format!("proofs/{gone}.entry.json").as_str())
    );
}

async fn there_may_be_no_anchor(test: TestStore) {
    let desk = Desk::new(test).await;
    let (report, verification) = desk.report(1).await;
    let gathered = desk.gather(1, 25).await;
    let packed = Packed::make(&report, &verification, &gathered, LOG);
    assert_eq!(
        packed.made.without_anchor.as_deref(),
        Some("there is no anchor")
    );
    let verified = check(&packed.bytes(), &keys()).expect("check");
    assert_eq!(verified.outcome, Outcome::Open, "{verified:#?}");
    // An anchor that has nothing of an organisation says nothing of it.
    desk.anchor().await;
    let gathered = desk.gather(77, 25).await;
    assert!(matches!(gathered, Gathered::Without(_)), "{gathered:?}");
    let none = Asked {
        organization_id: 1,
        seed: String::new(),
        count: 25,
    };
    let refused = desk.try_gather(&none).await;
    assert!(matches!(refused, Err(PackError::Sample(_))), "{refused:?}");

    // What does not belong together makes no pack.
    let gathered = desk.gather(1, 25).await;
    let other: verify::report::Report = desk.verification(2).await;
    let refused = Packed::try_make(&report, &other, &gathered, LOG);
    assert!(matches!(refused.map(|_| ()), Err(PackError::Unfit(_))));
    let others = desk.gather(2, 25).await;
    let refused = Packed::try_make(&report, &verification, &others, LOG);
    assert!(matches!(refused.map(|_| ()), Err(PackError::Unfit(_))));
    let mut wrong = report.clone();
    wrong.summary.pass += 1;
    let refused = Packed::try_make(&wrong, &verification, &gathered, LOG);
    assert!(matches!(refused.map(|_| ()), Err(PackError::Unfit(_))));
}
