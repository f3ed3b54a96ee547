//! An entry as an auditor is given it: one row of `verificationlog` as a JSON object, or only what its leaf is made of.

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::{
    checkpoint::{
        leaf::{Leaf, LeafKind},
        merkle::Hash,
    },
    trail::{
        hash::{HEX_LENGTH, to_hex},
        payload::{Form, PayloadHasher},
        row::{Row, Value},
        time::Time,
    },
};

/// Every column of `verificationlog`. The last three are absent before QWED 8.0.0; any other that is missing could be
/// mistaken for NULL, and one that is unknown for the misspelling of another.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Columns {
    id: i64,
    organization_id: Json,
    user_id: Json,
    query: Json,
    result: Json,
    is_verified: Json,
    domain: Json,
    timestamp: Json,
    entry_hash: Json,
    #[serde(default)]
    hmac_signature: Json,
    previous_hash: Json,
    raw_llm_output: Json,
    #[serde(default)]
    api_key_id: Json,
    #[serde(default)]
    verifier_version: Json,
    #[serde(default)]
    admission: Json,
}

/// What a leaf is made of.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bare {
    id: i64,
    kind: String,
    hash: String,
}

/// What an entry file says.
#[derive(Debug)]
pub(super) struct EntryLeaf {
    pub(super) id: i64,
    pub(super) kind: LeafKind,
    pub(super) hash: String,
    /// Whether the hash was computed from the entry's content, rather than taken for granted.
    pub(super) is_computed: bool,
}

impl EntryLeaf {
    pub(super) fn leaf_hash(&self) -> Hash {
        let leaf = Leaf {
            id: self.id,
            kind: self.kind,
            hash: self.hash.as_bytes(),
        };
        leaf.leaf_hash()
    }
}

/// What came of reading an entry file.
pub(super) enum Entry {
    /// Its content, where there is any, fits its hash.
    Sound(EntryLeaf),
    /// Its content is not what was hashed.
    Changed(String),
}

/// Reads an entry file and computes the hash from the content.
pub(super) fn read(text: &str) -> anyhow::Result<Entry> {
    let json: Json = serde_json::from_str(text).context("it is not JSON")?;
    let Some(object) = json.as_object() else {
        bail!("it must be one JSON object: a row of verificationlog with its columns as keys");
    };
    if object.contains_key("kind") {
        return bare(text);
    }
    // From the text once more: a key that stands there twice is refused only so.
    let columns: Columns = serde_json::from_str(text)
        .context("it must have the columns of verificationlog as keys, exactly")?;
    sealed_or_legacy(&columns)
}

fn bare(text: &str) -> anyhow::Result<Entry> {
    let Bare { id, kind, hash } =
        serde_json::from_str(text).context("with \"kind\", it must have id, kind and hash")?;
    let kind = LeafKind::from_name(&kind)
        .with_context(|| format!("kind {kind:?} is none of \"sealed\", \"legacy\" and \"raw\""))?;
    Ok(Entry::Sound(EntryLeaf {
        id,
        kind,
        hash,
        is_computed: false,
    }))
}

fn sealed_or_legacy(columns: &Columns) -> anyhow::Result<Entry> {
    let row = columns.row()?;
    let mut hasher = PayloadHasher::default();
    let leaf = |kind, hash| {
        Entry::Sound(EntryLeaf {
            id: row.id,
            kind,
            hash,
            is_computed: true,
        })
    };
    if row.entry_hash.is_blank() {
        let mut hash = [0; HEX_LENGTH];
        let kind = Leaf::of_row(&row, &mut hasher, &mut hash).kind;
        return Ok(leaf(kind, hash.map(char::from).iter().collect()));
    }
    let Some(stored) = columns.entry_hash.as_str() else {
        bail!("entry_hash must be text or null");
    };
    if let Err(error) = hasher.load(&row) {
        let detail = format!("its content is nothing that QWED could have hashed: {error}");
        return Ok(Entry::Changed(detail));
    }
    for form in Form::ALL {
        if !form.is_accepted_for(&row) {
            continue;
        }
        match hasher.hash(&row, form) {
            Ok(digest) if to_hex(&digest) == stored.as_bytes() => {
                return Ok(leaf(LeafKind::Sealed, stored.to_owned()));
            }
            Ok(_) => {}
            Err(error) => {
                let detail = format!("its content is nothing that QWED could have hashed: {error}");
                return Ok(Entry::Changed(detail));
            }
        }
    }
    Ok(Entry::Changed(
        "its content does not hash to its entry_hash: it was changed after it was written"
            .to_owned(),
    ))
}

impl Columns {
    fn row(&self) -> anyhow::Result<Row<'_>> {
        Ok(Row {
            id: self.id,
            organization_id: value("organization_id", &self.organization_id)?,
            user_id: value("user_id", &self.user_id)?,
            query: value("query", &self.query)?,
            result: value("result", &self.result)?,
            is_verified: value("is_verified", &self.is_verified)?,
            domain: value("domain", &self.domain)?,
            timestamp: match &self.timestamp {
                Json::String(text) => Time::Text(text.as_bytes()),
                _ => bail!("timestamp must be text, as in \"2026-05-08 12:30:00.000000\""),
            },
            entry_hash: value("entry_hash", &self.entry_hash)?,
            hmac_signature: value("hmac_signature", &self.hmac_signature)?,
            previous_hash: value("previous_hash", &self.previous_hash)?,
            raw_llm_output: value("raw_llm_output", &self.raw_llm_output)?,
            api_key_id: value("api_key_id", &self.api_key_id)?,
            verifier_version: value("verifier_version", &self.verifier_version)?,
            admission: value("admission", &self.admission)?,
            erased: None,
        })
    }
}

fn value<'a>(column: &str, json: &'a Json) -> anyhow::Result<Value<'a>> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Value::Integer(number),
            (None, Some(number)) => Value::Real(number),
            (None, None) => bail!("{column} holds a number that no column can"),
        },
        Json::String(text) => Value::Text(text.as_bytes()),
        Json::Array(_) | Json::Object(_) => {
            bail!("{column} must be the text that the column holds, as a string, not decoded")
        }
    })
}
