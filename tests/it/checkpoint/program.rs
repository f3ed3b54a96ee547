//! `keygen` and `audit verify`, as people type them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, types::ValueRef};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use trailkeeper::checkpoint::{
    leaf::Leaf,
    merkle::{Hash, Range},
    note::SecretKey,
    proof::InclusionProof,
    tree_head::Checkpoint,
};
use trailkeeper::{
    qwed::Database,
    trail::{payload::PayloadHasher, row::Row},
};

use crate::support::program::{Program, Run, fixtures, url};

const NAME: &str = "example.com/trail";

/// A directory with a fixture's entry, its proof, and the key.
struct Auditor {
    directory: TempDir,
    entry: Value,
    proof: InclusionProof,
}

impl Auditor {
    /// Anchors a fixture's organisation 1 and proves one of its entries.
    fn of(fixture: &str, id: i64) -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let run = Program::bare()
            .directory(directory.path())
            .args([
                "keygen", "--name", NAME, "--out", "secret", "--public", "public",
            ])
            .run();
        assert_eq!(run.code, Some(0), "{run:?}");
        let path = fixtures().join(fixture).with_extension("db");
        let proof = prove(&path, id, &secret(directory.path()));
        let auditor = Self {
            entry: row(&path, id),
            proof,
            directory,
        };
        auditor.write();
        auditor
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self) {
        fs::write(self.path("entry.json"), self.entry.to_string()).expect("write");
        fs::write(self.path("proof"), self.proof.to_string()).expect("write");
    }

    fn program(&self) -> Program {
        Program::bare().directory(self.directory.path()).args([
            "audit",
            "verify",
            "--entry-file",
            "entry.json",
            "--proof",
            "proof",
            "--public-key",
            "@public",
        ])
    }

    /// Verifies what was changed since.
    fn verify(&self) -> Run {
        self.write();
        self.program().run()
    }

    /// The reason why it is disproved.
    #[track_caller]
    fn disproved(&self) -> String {
        self.write();
        let (run, document) = self.program().json();
        assert_eq!(run.code, Some(1), "{run:?}");
        assert_eq!(document["proven"], json!(false));
        document["reason"].as_str().expect("a reason").to_owned()
    }

    /// Why it could not be checked.
    #[track_caller]
    fn unchecked(&self, entry: &Value) -> String {
        fs::write(self.path("entry.json"), entry.to_string()).expect("write");
        let run = self.program().run();
        let (code, line) = run.failure();
        assert_eq!(code, Some(3), "{run:?}");
        line.to_owned()
    }
}

fn secret(directory: &Path) -> SecretKey {
    let text = fs::read_to_string(directory.join("secret")).expect("read");
    text.trim_end().parse().expect("a key")
}

/// The row as any tool exports it.
fn row(path: &Path, id: i64) -> Value {
    let database = Connection::open(path).expect("open");
    let mut statement = database
        .prepare("SELECT * FROM verificationlog WHERE id = ?1")
        .expect("prepare");
    let names: Vec<String> = statement
        .column_names()
        .iter()
        .map(ToString::to_string)
        .collect();
    let row = statement.query_row([id], |row| {
        let mut object = Map::new();
        for (at, name) in names.iter().enumerate() {
            let value = match row.get_ref(at)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => number.into(),
                ValueRef::Real(number) => number.into(),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
                ValueRef::Blob(_) => panic!("no column holds bytes"),
            };
            object.insert(name.clone(), value);
        }
        Ok(object)
    });
    row.expect("read").into()
}

/// What an anchor of the organisation 1 and a proof from it are.
fn prove(path: &Path, id: i64, key: &SecretKey) -> InclusionProof {
    let database = Database::open(&url(path).parse().expect("a URL")).expect("open");
    let mut reader = database.reader().expect("a reader");
    let mut hasher = PayloadHasher::default();
    let (mut range, mut ids, mut leaves) = (Range::empty_at(0), Vec::new(), Vec::new());
    let everything = trailkeeper::qwed::IdRange {
        low: i64::MIN,
        high: i64::MAX,
    };
    let read = reader.read(Some(1), everything, |row: &Row<'_>| {
        let mut space = [0; 64];
        let leaf = Leaf::of_row(row, &mut hasher, &mut space).leaf_hash();
        range.append(leaf);
        ids.push(row.id);
        leaves.push(leaf);
    });
    read.expect("read");
    let index = ids
        .iter()
        .position(|&other| other == id)
        .expect("the entry");
    let checkpoint = Checkpoint {
        origin: format!("{NAME}/organization/1"),
        size: range.end(),
        root: range.root().expect("a root"),
        head: None,
        time: Some("2026-05-08T12:30:00Z".parse().expect("a time")),
        anchor: Some(1),
        extensions: Vec::new(),
    };
    InclusionProof {
        extra: None,
        index: index as u64,
        hashes: path_to(index, &leaves),
        checkpoint: checkpoint.sign(key).expect("sign"),
    }
}

fn path_to(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    let root = |leaves: &[Hash]| {
        let mut range = Range::empty_at(0);
        leaves.iter().for_each(|&leaf| range.append(leaf));
        range.root().expect("a root")
    };
    let (mut path, sibling) = match index.checked_sub(left.len()) {
        None => (path_to(index, left), root(right)),
        Some(index) => (path_to(index, right), root(left)),
    };
    path.push(sibling);
    path
}

mod keygen {
    use super::*;

    #[test]
    fn makes_a_key_that_only_its_owner_can_read() {
        let directory = tempfile::tempdir().expect("make a directory");
        let keygen = |out: &str| {
            Program::bare()
                .directory(directory.path())
                .args(["keygen", "--name", NAME, "--out", out, "--public", "public"])
        };
        let (run, document) = keygen("secret").json();
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        let path = directory.path().join("secret");
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let verifier = secret(directory.path()).verifier();
        let public = fs::read_to_string(directory.path().join("public")).expect("read");
        assert_eq!(public, format!("{verifier}\n"));
        assert_eq!(document["public_key"], verifier.to_string());
        assert_eq!(document["name"], NAME);
        assert_eq!(document["id"], verifier.id().to_string());
        let text = fs::read_to_string(&path).expect("read");
        assert!(
            !run.stdout.contains(text.trim_end()),
            "the secret was printed"
        );

        // Never overwritten, neither file; and nothing is left behind.
        let run = keygen("secret").run();
        insta::assert_snapshot!(run.failure().1, @"trailkeeper: secret exists already: a key is never overwritten; give another name, or move that file away");
        assert_eq!(run.code, Some(2));
        assert_eq!(fs::read_to_string(&path).expect("read"), text);
        let run = keygen("other").run();
        insta::assert_snapshot!(run.failure().1, @"trailkeeper: public exists already: a key is never overwritten; give another name, or move that file away");
        assert!(!directory.path().join("other").exists());
    }

    #[test]
    fn refuses_what_cannot_be() {
        let directory = tempfile::tempdir().expect("make a directory");
        let keygen = |name: &str, out: &str| {
            let arguments = ["keygen", "--name", name, "--out", out];
            Program::bare()
                .directory(directory.path())
                .args(arguments)
                .run()
        };
        let run = keygen("a b", "key");
        assert_eq!(run.code, Some(2));
        insta::assert_snapshot!(run.failure().1, @r#"trailkeeper: --name "a b": a key's name is 1 to 255 bytes without spaces, control characters and '+'"#);
        let run = keygen("a", "no/such/key");
        assert_eq!(run.code, Some(3));
        insta::assert_snapshot!(run.failure().1, @"trailkeeper: cannot make no/such/key: No such file or directory (os error 2)");
        assert_eq!(fs::read_dir(directory.path()).expect("read").count(), 0);
    }
}

mod audit {
    use super::*;

    #[test]
    fn proves_an_entry_from_its_content() {
        let auditor = Auditor::of("g4_two_orgs", 7);
        let run = auditor.verify();
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        let id = secret(auditor.directory.path()).verifier().id().to_string();
        insta::assert_snapshot!("audit_proven", run.stdout.replace(&id, "[KEY]"));
        let (run, document) = auditor.program().json();
        assert_eq!(run.code, Some(0));
        assert_eq!(document["proven"], json!(true));
        assert_eq!(document["entry"]["content_checked"], json!(true));
        assert_eq!(document["entry"]["hash"], auditor.entry["entry_hash"]);
        assert_eq!(document["checkpoint"]["anchor"], json!(1));
    }

    #[test]
    fn proves_entries_of_every_release() {
        for fixture in ["g1_two_orgs", "g2_two_orgs", "g3_two_orgs", "upgraded"] {
            let auditor = Auditor::of(fixture, 1);
            let run = auditor.verify();
            assert_eq!(run.code, Some(0), "{fixture}: {run:?}");
        }
    }

    #[test]
    fn disproves_what_was_changed() {
        let mut auditor = Auditor::of("g4_two_orgs", 7);
        let entry = auditor.entry.clone();
        let changed =
            "its content does not hash to its entry_hash: it was changed after it was written";
        for (column, value) in [
            ("query", json!("something else")),
            ("is_verified", json!(null)),
            ("timestamp", json!("2020-01-01 00:00:00.000000")),
            ("user_id", json!(99)),
            ("admission", json!("{}")),
            ("entry_hash", json!("0".repeat(64))),
        ] {
            auditor.entry[column] = value;
            assert_eq!(auditor.disproved(), changed, "{column}");
            auditor.entry = entry.clone();
        }
        auditor.entry["result"] = json!("{");
        assert!(
            auditor
                .disproved()
                .starts_with("its content is nothing that QWED could have hashed")
        );
        auditor.entry = entry.clone();

        // Sound content, but not what stands in the tree.
        auditor.entry["id"] = json!(8);
        insta::assert_snapshot!(auditor.disproved(), @"entry 8 is not number 4 of the anchored trail: the proof leads to another root than the tree's");
        auditor.entry = entry.clone();
        auditor.proof.index += 1;
        assert!(auditor.disproved().contains("leads to another root"));
        auditor.proof.index = 999;
        assert!(
            auditor
                .disproved()
                .contains("there is no entry 999 in a tree of")
        );
        auditor.proof.index = 3;
        auditor.proof.hashes.pop();
        assert!(auditor.disproved().contains("too many or too few hashes"));
    }

    #[test]
    fn disproves_a_forged_checkpoint() {
        let auditor = Auditor::of("g4_two_orgs", 7);
        let proof = fs::read_to_string(auditor.path("proof")).expect("read");
        fs::write(
            auditor.path("proof"),
            proof.replace("2026-05-08T", "2026-05-07T"),
        )
        .expect("write");
        let (run, document) = auditor.program().json();
        assert_eq!(run.code, Some(1), "{run:?}");
        let reason = document["reason"].as_str().expect("a reason");
        assert!(reason.ends_with("is not genuine"), "{reason}");
    }

    #[test]
    fn takes_the_bare_leaf_for_what_it_is_worth() {
        let mut auditor = Auditor::of("g4_two_orgs", 7);
        let hash = auditor.entry["entry_hash"].clone();
        auditor.entry = json!({ "id": 7, "kind": "sealed", "hash": hash });
        let run = auditor.verify();
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(
            run.stdout
                .contains("not proved  the entry's content: only its hash was given")
        );
    }

    #[test]
    fn says_what_could_not_be_checked() {
        let auditor = Auditor::of("g4_two_orgs", 7);
        let with = |column: &str, value: Value| {
            let mut entry = auditor.entry.clone();
            entry[column] = value;
            entry
        };
        let mut missing = auditor.entry.clone();
        missing.as_object_mut().expect("an object").remove("query");
        let lines = [
            auditor.unchecked(&missing),
            auditor.unchecked(&with("querry", json!("x"))),
            auditor.unchecked(&with("result", json!({ "a": 1 }))),
            auditor.unchecked(&with("timestamp", json!(5))),
            auditor.unchecked(&json!([])),
            auditor.unchecked(&json!({ "id": 7, "kind": "other", "hash": "x" })),
        ];
        auditor.write();
        let other = Program::bare().directory(auditor.directory.path()).args([
            "audit",
            "verify",
            "--entry-file",
            "entry.json",
            "--proof",
            "proof",
        ]);
        let key = SecretKey::from_seed("other", &[1; 32]).expect("a key");
        let run = other
            .args(["--public-key", &key.verifier().to_string()])
            .run();
        assert_eq!(run.code, Some(3), "{run:?}");
        let id = secret(auditor.directory.path()).verifier().id().to_string();
        let unknown = run.failure().1.replace(&id, "[KEY]");
        fs::write(
            auditor.path("proof"),
            "c2sp.org/tlog-proof@v1\nindex 07\n\n",
        )
        .expect("write");
        let run = auditor.program().run();
        let proof = run.failure().1.to_owned();
        insta::assert_snapshot!(
            "audit_unchecked",
            [&lines[..], &[unknown, proof]].concat().join("\n")
        );
    }

    #[test]
    fn never_prints_a_secret_given_by_mistake() {
        let auditor = Auditor::of("g4_two_orgs", 7);
        let run = Program::bare()
            .directory(auditor.directory.path())
            .args([
                "audit",
                "verify",
                "--entry-file",
                "entry.json",
                "--proof",
                "proof",
            ])
            .args(["--public-key", "@secret"])
            .run();
        assert_eq!(run.code, Some(2), "{run:?}");
        insta::assert_snapshot!(run.failure().1, @"trailkeeper: --public-key @secret: this is a secret key; the public key is wanted, which begins with its name");
    }
}
