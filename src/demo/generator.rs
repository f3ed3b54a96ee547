//! Makes a valid QWED 8.0.0 trail of any size, the same one for the same seed.
//!
//! Entries are of realistic size (1.75 KB) and content: text in several scripts, escapes, floats in their shortest
//! form, keys out of order. Every hash and signature is genuine.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use rusqlite::Connection;

use crate::trail::{
    hash::{Hex, to_hex},
    keys::Key,
    number::write_float,
    payload::{Form, PayloadHasher},
    row::{Row, Value},
    text::write_string,
    time::{Time, stored_text},
};

const WORDS: [&str; 24] = [
    "sum",
    "total",
    "invoice",
    "claim",
    "tensor",
    "proof",
    "verify",
    "café",
    "naïve",
    "東京",
    "résumé",
    "integral",
    "clause",
    "policy",
    "net",
    "tax",
    "amount",
    "ledger",
    "\"quoted\"",
    "back\\slash",
    "tab\there",
    "emoji😀",
    "limit",
    "schema",
];

/// 2026-01-01 UTC in microseconds.
const START: i64 = 1_767_225_600_000_000;
/// Microseconds from one entry to the next, on average.
const PACE: i64 = 1_000_000;
const USERS_PER_ORGANIZATION: i64 = 20;

/// QWED's tables as far as we look at them, as its own `create_db_and_tables` makes them.
const SCHEMA: &str = r#"
CREATE TABLE organization (id INTEGER NOT NULL, name VARCHAR NOT NULL, display_name VARCHAR NOT NULL, tier VARCHAR NOT NULL,
  is_active BOOLEAN NOT NULL, created_at DATETIME NOT NULL, PRIMARY KEY (id));
CREATE TABLE user (id INTEGER NOT NULL, email VARCHAR NOT NULL, password_hash VARCHAR NOT NULL, organization_id INTEGER NOT NULL,
  role VARCHAR NOT NULL, permissions VARCHAR, is_active BOOLEAN NOT NULL, created_at DATETIME NOT NULL, PRIMARY KEY (id),
  FOREIGN KEY(organization_id) REFERENCES organization (id));
CREATE TABLE apikey (id INTEGER NOT NULL, key_hash VARCHAR NOT NULL, key_preview VARCHAR NOT NULL,
  organization_id INTEGER NOT NULL, user_id INTEGER, name VARCHAR, is_active BOOLEAN NOT NULL, created_at DATETIME NOT NULL,
  last_used_at DATETIME, revoked_at DATETIME, expires_at DATETIME, rotation_required BOOLEAN NOT NULL, PRIMARY KEY (id),
  FOREIGN KEY(organization_id) REFERENCES organization (id), FOREIGN KEY(user_id) REFERENCES user (id));
CREATE UNIQUE INDEX ix_apikey_key_hash ON apikey (key_hash);
CREATE TABLE verificationlog (id INTEGER NOT NULL, organization_id INTEGER NOT NULL, user_id INTEGER, "query" VARCHAR NOT NULL,
  result VARCHAR NOT NULL, is_verified BOOLEAN NOT NULL, domain VARCHAR NOT NULL, timestamp DATETIME NOT NULL,
  entry_hash VARCHAR, hmac_signature VARCHAR, previous_hash VARCHAR, raw_llm_output VARCHAR, api_key_id INTEGER,
  verifier_version VARCHAR, admission VARCHAR, PRIMARY KEY (id),
  FOREIGN KEY(organization_id) REFERENCES organization (id), FOREIGN KEY(user_id) REFERENCES user (id));
CREATE INDEX ix_verificationlog_organization_id ON verificationlog (organization_id);
"#;

/// An entry as it goes into the database.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are QWED's columns")]
pub struct Entry {
    pub id: i64,
    pub organization_id: i64,
    pub user_id: Option<i64>,
    pub query: String,
    pub result: String,
    /// Microseconds since 1970 UTC.
    pub timestamp: i64,
    pub chain: Option<Chain>,
    pub raw_llm_output: Option<String>,
}

/// The chain's columns of an entry.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are QWED's columns")]
pub struct Chain {
    pub entry_hash: Hex,
    pub hmac_signature: Hex,
    pub previous_hash: Option<Hex>,
}

/// Makes entries one after the other.
#[derive(Debug)]
pub struct Generator {
    random: fastrand::Rng,
    key: Key,
    hasher: PayloadHasher,
    organizations: i64,
    heads: HashMap<i64, Hex>,
    unsigned: i64,
    next_id: i64,
    time: i64,
    /// Microseconds from one entry to the next, about; see [`Generator::spread`].
    pace: i64,
}

impl Generator {
    /// A generator for `organizations` organisations, the first of which gets half of the entries, the second half of
    /// the rest, and so on.
    #[must_use]
    pub fn new(key: Key, organizations: i64, seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            key,
            hasher: PayloadHasher::default(),
            organizations: organizations.max(1),
            heads: HashMap::new(),
            unsigned: 0,
            next_id: 1,
            time: START,
            pace: PACE,
        }
    }

    /// Makes the first `entries` of organisation 1 without hash or signature, as QWED's API once wrote them.
    pub fn leave_unsigned(&mut self, entries: i64) {
        self.unsigned = entries;
    }

    /// Spreads the next `entries` over the time from `from` to about `until`, in microseconds since 1970, instead of a second each.
    pub fn spread(&mut self, from: i64, until: i64, entries: i64) {
        self.time = from;
        self.pace = (until - from) / entries.max(1);
    }

    fn words(&mut self, count: usize) -> String {
        let mut text = String::new();
        for index in 0..count {
            if index > 0 {
                text.push(' ');
            }
            text.push_str(WORDS[self.random.usize(..WORDS.len())]);
        }
        text
    }

    fn float(&mut self, out: &mut Vec<u8>) {
        write_float(out, self.random.f64());
    }

    /// `result` as QWED stores it, `json.dumps` of a dict in the order in which it was filled.
    fn result(&mut self, text: &str) -> String {
        let mut out = Vec::with_capacity(1500);
        let mut field =
            |generator: &mut Self, name: &str, write: &mut dyn FnMut(&mut Self, &mut Vec<u8>)| {
                out.extend_from_slice(name.as_bytes());
                write(generator, &mut out);
            };
        let string = |text: &str, out: &mut Vec<u8>| {
            // A Rust string is UTF-8.
            let _ = write_string(out, text.as_bytes());
        };
        field(
            self,
            r#"{"status": "VERIFIED", "agent_message": "#,
            &mut |_, out| string(text, out),
        );
        field(
            self,
            r#", "developer_fields": {"is_valid": true, "expected": "#,
            &mut |it, out| {
                let scale = 10_f64.powi(it.random.i32(-8..20));
                write_float(out, it.random.f64() * scale);
            },
        );
        field(self, r#", "actual": "#, &mut |it, out| {
            out.extend_from_slice(it.random.i32(-1_000_000..1_000_000).to_string().as_bytes());
        });
        field(self, r#", "steps": ["#, &mut |it, out| {
            for index in 0..6 {
                if index > 0 {
                    out.extend_from_slice(b", ");
                }
                it.float(out);
            }
        });
        field(
            self,
            r#"], "solver": {"name": "z3", "version": "4.13", "assertions": ["#,
            &mut |it, out| {
                for index in 0..12 {
                    if index > 0 {
                        out.extend_from_slice(b", ");
                    }
                    string(&it.words(1), out);
                }
            },
        );
        field(
            self,
            r#"]}, "note": null}, "proof_ref": "sha256:"#,
            &mut |it, out| {
                let digest: [u8; 32] = std::array::from_fn(|_| it.random.u8(..));
                out.extend_from_slice(&to_hex(&digest));
            },
        );
        field(self, r#"", "evidence": {"latency_ms": "#, &mut |it, out| {
            write_float(out, it.random.f64() * 900.0);
        });
        field(self, r#", "engine": "math", "trace": "#, &mut |it, out| {
            string(&it.words(40), out)
        });
        out.extend_from_slice(b"}}");
        String::from_utf8_lossy(&out).into_owned()
    }

    /// The next entry.
    pub fn next_entry(&mut self) -> Entry {
        let mut organization_id = 1;
        while organization_id < self.organizations && self.random.bool() {
            organization_id += 1;
        }
        self.time += self.random.i64(1..2 * PACE) * self.pace / PACE;
        let query = self.words(14);
        let result = self.result(&query);
        let raw_llm_output = (self.random.u8(..10) >= 4).then(|| self.words(60));
        let user = organization_id * 100 + self.random.i64(0..USERS_PER_ORGANIZATION);
        let mut entry = Entry {
            id: self.next_id,
            organization_id,
            user_id: self.random.bool().then_some(user),
            query,
            result,
            timestamp: self.time,
            chain: None,
            raw_llm_output,
        };
        self.next_id += 1;
        if organization_id == 1 && self.unsigned > 0 {
            self.unsigned -= 1;
        } else {
            entry.chain = Some(self.sign(&entry));
        }
        entry
    }

    fn sign(&mut self, entry: &Entry) -> Chain {
        let previous_hash = self.heads.get(&entry.organization_id).copied();
        let mut row = entry.row();
        row.previous_hash = previous_hash
            .as_ref()
            .map_or(Value::Null, |hash| Value::Text(hash));
        let digest = match self
            .hasher
            .load(&row)
            .and_then(|()| self.hasher.hash(&row, Form::ALL[0]))
        {
            Ok(digest) => digest,
            Err(error) => unreachable!("the generator writes only what QWED writes: {error}"),
        };
        let entry_hash = to_hex(&digest);
        self.heads.insert(entry.organization_id, entry_hash);
        Chain {
            entry_hash,
            hmac_signature: self.key.sign(&entry_hash),
            previous_hash,
        }
    }
}

impl Entry {
    /// The entry as a row, as QWED 8.0.0 writes it.
    #[must_use]
    pub fn row(&self) -> Row<'_> {
        let chain = self.chain.as_ref();
        Row {
            id: self.id,
            organization_id: Value::Integer(self.organization_id),
            user_id: self.user_id.map_or(Value::Null, Value::Integer),
            query: Value::Text(self.query.as_bytes()),
            result: Value::Text(self.result.as_bytes()),
            is_verified: Value::Integer(1),
            domain: Value::Text(b"MATH"),
            timestamp: Time::Micros(self.timestamp),
            entry_hash: chain.map_or(Value::Null, |chain| Value::Text(&chain.entry_hash)),
            hmac_signature: chain.map_or(Value::Null, |chain| Value::Text(&chain.hmac_signature)),
            previous_hash: chain
                .and_then(|chain| chain.previous_hash.as_ref())
                .map_or(Value::Null, |hash| Value::Text(hash)),
            raw_llm_output: self
                .raw_llm_output
                .as_ref()
                .map_or(Value::Null, |text| Value::Text(text.as_bytes())),
            api_key_id: Value::Integer(self.organization_id),
            verifier_version: Value::Text(b"8.0.0"),
            admission: Value::Text(b"ADMIT"),
            erased: None,
        }
    }
}

fn text(hex: &Hex) -> &str {
    std::str::from_utf8(hex).unwrap_or_default()
}

/// Writes entries into a SQLite file.
#[derive(Debug)]
pub struct SqliteWriter {
    connection: Connection,
}

impl SqliteWriter {
    /// Makes the file with QWED's tables.
    ///
    /// # Errors
    /// If SQLite refuses, as when the tables exist.
    pub fn create(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self { connection })
    }

    /// Goes on with a file that [`Self::create`] made.
    ///
    /// # Errors
    /// If SQLite refuses.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        Ok(Self { connection })
    }

    /// Writes the next `entries` of `generator`, and its organisations and users.
    ///
    /// # Errors
    /// If SQLite refuses.
    pub fn write(&mut self, generator: &mut Generator, entries: u64) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for id in 1..=generator.organizations {
            transaction.execute(
                "INSERT OR IGNORE INTO organization VALUES (?1, 'org' || ?1, 'Organisation ' || ?1, 'pro', 1, ?2)",
                (id, stored_text(START)),
            )?;
            for user in id * 100..id * 100 + USERS_PER_ORGANIZATION {
                transaction.execute(
                    "INSERT OR IGNORE INTO user VALUES (?1, 'user' || ?1 || '@example.com', 'x', ?2, 'member', NULL, 1, ?3)",
                    (user, id, stored_text(START)),
                )?;
            }
        }
        {
            let mut insert = transaction.prepare(
                "INSERT INTO verificationlog VALUES (?1,?2,?3,?4,?5,1,'MATH',?6,?7,?8,?9,?10,?2,'8.0.0','ADMIT')",
            )?;
            for _ in 0..entries {
                let entry = generator.next_entry();
                let chain = entry.chain.as_ref();
                insert.execute((
                    entry.id,
                    entry.organization_id,
                    entry.user_id,
                    &entry.query,
                    &entry.result,
                    stored_text(entry.timestamp),
                    chain.map(|chain| text(&chain.entry_hash)),
                    chain.map(|chain| text(&chain.hmac_signature)),
                    chain
                        .and_then(|chain| chain.previous_hash.as_ref())
                        .map(text),
                    &entry.raw_llm_output,
                ))?;
            }
        }
        transaction.commit()
    }
}

/// Writes the next `entries` in PostgreSQL's text `COPY` format, all columns of `verificationlog` in order.
///
/// # Errors
/// If `out` refuses.
pub fn write_copy(generator: &mut Generator, entries: u64, out: &mut impl Write) -> io::Result<()> {
    fn escaped(text: &str) -> String {
        text.replace('\\', "\\\\")
            .replace('\t', "\\t")
            .replace('\n', "\\n")
            .replace('\r', "\\r")
    }
    let null = || "\\N".to_owned();
    for _ in 0..entries {
        let entry = generator.next_entry();
        let chain = entry.chain.as_ref();
        writeln!(
            out,
            "{}\t{}\t{}\t{}\t{}\tt\tMATH\t{}+00\t{}\t{}\t{}\t{}\t{}\t8.0.0\tADMIT",
            entry.id,
            entry.organization_id,
            entry.user_id.map_or_else(null, |user| user.to_string()),
            escaped(&entry.query),
            escaped(&entry.result),
            stored_text(entry.timestamp),
            chain.map_or_else(null, |chain| text(&chain.entry_hash).to_owned()),
            chain.map_or_else(null, |chain| text(&chain.hmac_signature).to_owned()),
            chain
                .and_then(|chain| chain.previous_hash.as_ref())
                .map_or_else(null, |hash| text(hash).to_owned()),
            entry.raw_llm_output.as_deref().map_or_else(null, escaped),
            entry.organization_id,
        )?;
    }
    Ok(())
}
