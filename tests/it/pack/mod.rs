//! Auditor packs: what is in them, what whoever has one can check, and what it takes to fool that.

mod exports;
mod made;
mod program;
mod sample;
mod stored;
mod tampered;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;
use trailkeeper::{
    anchor::{self, Keys},
    checkpoint::note::{Note, SecretKey, VerifierKey},
    objects::Digest,
    pack::{
        self, Asked, Gathered, Log, Made, Manifest, Order, Outcome, PackError, Renderings, Verified,
    },
    progress::Progress,
    qwed::{Database, url::DatabaseUrl},
    report::model::{Report, Table},
    tombstones::Graveyard,
    verify::{self, Options, Scope},
};
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter, write::SimpleFileOptions};

use crate::support::{
    loaded::{TIME_TYPES, copy_table, make_tables},
    store::TestStore,
    trails::{KEY, generate, ring, sqlite_url},
};

const ORIGIN: &str = "audit.example.org";
/// Entries of both organisations together.
const ENTRIES: u64 = 600;

fn signer() -> SecretKey {
    SecretKey::from_seed(ORIGIN, &[7; 32]).expect("a key")
}

fn other_signer() -> SecretKey {
    SecretKey::from_seed(ORIGIN, &[8; 32]).expect("a key")
}

/// A QWED database beside a state database of the same kind.
struct Desk {
    test: TestStore,
    url: DatabaseUrl,
}

impl Desk {
    async fn new(test: TestStore) -> Self {
        let path = test.directory.path().join("qwed.db");
        generate(&path, 2, 5, ENTRIES);
        let url = match &test.server {
            None => sqlite_url(&path),
            Some(server) => {
                server.create_database("qwed");
                make_tables(server, "qwed", TIME_TYPES[0]);
                let mut sql = String::new();
                for table in ["organization", "verificationlog"] {
                    copy_table(&path, table, &mut sql);
                }
                server.psql("qwed", &sql);
                server.url("qwed")
            }
        };
        let url = url.parse().expect("a URL");
        Self { test, url }
    }

    async fn anchored(test: TestStore) -> Self {
        let desk = Self::new(test).await;
        desk.anchor().await;
        desk
    }

    async fn anchor(&self) {
        let (store, keys) = (&self.test.store, Keys::new(signer(), &[]));
        let now = sample::time("2026-08-01T03:30:00Z");
        let progress = Arc::default();
        let made = anchor::make(store, &self.url, ORIGIN, &keys, now, &progress);
        let made = made.await.expect("anchor");
        let mut tx = store.begin().await.expect("begin");
        let kept = tx.insert_anchor(&made.run, &made.checkpoints, &made.last_tiles);
        kept.await.expect("keep the anchor");
        tx.commit("anchor").await.expect("commit");
    }

    async fn verification(&self, organization: i64) -> verify::report::Report {
        let url = self.url.clone();
        let verifying = tokio::task::spawn_blocking(move || {
            let database = Database::open(&url).expect("open");
            let scope = Scope {
                organizations: vec![organization],
                ..Scope::default()
            };
            let progress = Progress::default();
            let report = verify::verify(
                &database,
                &ring(KEY),
                &scope,
                &Options::default(),
                &progress,
            );
            let mut report = report.expect("verify");
            report.set_times(made_at(), made_at());
            report
        });
        verifying.await.expect("no panic")
    }

    async fn try_gather(&self, asked: &Asked) -> Result<Gathered, PackError> {
        let graveyard = Graveyard {
            store: self.test.store.clone(),
            origin: ORIGIN.to_owned(),
            keys: vec![signer().verifier()],
        };
        pack::gather(&graveyard, &self.url, asked).await
    }

    async fn gather(&self, organization: i64, count: u64) -> Gathered {
        let asked = Asked {
            organization_id: organization,
            seed: sample::REPORT_ID.to_owned(),
            count,
        };
        self.try_gather(&asked).await.expect("gather")
    }

    async fn report(&self, organization: i64) -> (Report, verify::report::Report) {
        let verification = self.verification(organization).await;
        let verdict = verification.verdict.to_string();
        let report = sample::report(organization, ORIGIN, &verdict, verification.entries);
        (report, verification)
    }

    /// A pack about the first organisation.
    async fn pack(&self) -> Packed {
        let (report, verification) = self.report(1).await;
        let gathered = self.gather(1, 25).await;
        Packed::make(&report, &verification, &gathered, LOG)
    }
}

fn made_at() -> Timestamp {
    sample::time("2026-08-01T05:00:00Z")
}

const LOG: &str = "id,query\r\n1,\"two\nlines\"\r\n2,x\r\n";

fn csv(table: &Table, out: &mut dyn Write) -> std::io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(&table.columns).expect("write");
    for row in &table.rows {
        let cells = row.iter().map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        writer.write_record(cells).expect("write");
    }
    writer.flush()
}

/// A pack as a file.
struct Packed {
    directory: TempDir,
    made: Made,
}

impl Packed {
    fn make(
        report: &Report,
        verification: &verify::report::Report,
        gathered: &Gathered,
        log: &str,
    ) -> Self {
        Self::try_make(report, verification, gathered, log).expect("make")
    }

    fn try_make(
        report: &Report,
        verification: &verify::report::Report,
        gathered: &Gathered,
        log: &str,
    ) -> Result<Self, PackError> {
        let directory = tempfile::tempdir().expect("make a directory");
        let out = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(directory.path().join("pack.zip"))
            .expect("make a file");
        let order = Order {
            report,
            verification,
            gathered,
            renderings: Renderings {
                html: Some(b"<!doctype html><title>Report</title>"),
                pdf: Some(b"%PDF-1.7"),
                table: &csv,
            },
            logs: vec![Log {
                name: "verification_log.csv".to_owned(),
                write: Box::new(|out| out.write_all(log.as_bytes()).map(|()| 2)),
            }],
            signer: &signer(),
            made_at: made_at(),
        };
        let (_, made) = pack::make(order, out)?;
        Ok(Self { directory, made })
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("pack.zip")
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).expect("read")
    }

    fn members(&self) -> Members {
        Members::of(&self.path())
    }

    fn file(&self) -> File {
        File::open(self.path()).expect("open")
    }
}

fn keys() -> Vec<VerifierKey> {
    vec![signer().verifier()]
}

/// Checks the zip with these bytes.
fn check(bytes: &[u8], keys: &[VerifierKey]) -> Result<Verified, PackError> {
    let mut file = tempfile::tempfile().expect("make a file");
    file.write_all(bytes).expect("write");
    pack::verify(file, keys)
}

/// Whether a zip with these bytes is believed by somebody who has the key.
fn is_believed(bytes: &[u8]) -> bool {
    check(bytes, &keys()).is_ok_and(|verified| verified.outcome == Outcome::Passed)
}

/// What failed, or why nothing could be checked.
#[track_caller]
fn problem(bytes: &[u8]) -> String {
    match check(bytes, &keys()) {
        Ok(verified) => {
            assert_eq!(verified.outcome, Outcome::Failed, "{verified:#?}");
            verified.checks.last().expect("a check").detail.clone()
        }
        Err(error) => error.to_string(),
    }
}

/// The files of a pack, to be tampered with.
#[derive(Clone, PartialEq, Eq)]
struct Members(Vec<(String, Vec<u8>)>);

impl Members {
    fn of(path: &Path) -> Self {
        Self::read(File::open(path).expect("open")).expect("a zip")
    }

    fn read(file: File) -> Option<Self> {
        let mut zip = ZipArchive::new(file).ok()?;
        let mut members = Vec::new();
        for index in 0..zip.len() {
            let mut member = zip.by_index(index).ok()?;
            let mut bytes = Vec::new();
            member.read_to_end(&mut bytes).ok()?;
            members.push((member.name().ok()?.into_owned(), bytes));
        }
        Some(Self(members))
    }

    fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[track_caller]
    fn get(&mut self, name: &str) -> &mut Vec<u8> {
        let found = self.0.iter_mut().find(|(known, _)| known == name);
        &mut found.unwrap_or_else(|| panic!("no {name}")).1
    }

    fn json(&mut self, name: &str) -> Value {
        serde_json::from_slice(self.get(name)).expect("JSON")
    }

    fn put_json(&mut self, name: &str, value: &Value) {
        *self.get(name) = serde_json::to_vec_pretty(value).expect("JSON");
    }

    /// As packs are written.
    fn zip(&self) -> Vec<u8> {
        let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::DEFAULT)
            .unix_permissions(0o600);
        for (name, bytes) in &self.0 {
            zip.start_file(name, options).expect("start a file");
            zip.write_all(bytes).expect("write");
        }
        zip.finish().expect("finish").into_inner()
    }

    /// Signs the manifest anew over what there is now, as only who has the key can.
    fn sign(&mut self, change: impl FnOnce(&mut Manifest)) {
        let note = self.get("manifest.note").clone();
        let note = Note::from_bytes(&note).expect("a note");
        let mut manifest = Manifest::parse(note.text()).expect("a manifest");
        let mut files = manifest.files.clone();
        files.retain(|file| self.0.iter().any(|(name, _)| *name == file.name));
        for file in &mut files {
            let bytes = self.get(&file.name);
            file.size_bytes = bytes.len() as u64;
            file.sha256 = Digest::of(bytes).to_string();
        }
        manifest.files = files;
        change(&mut manifest);
        *self.get("manifest.note") = manifest
            .sign(&signer())
            .expect("sign")
            .to_string()
            .into_bytes();
    }
}
