//! What stands for an entry whose personal content was erased, and how that is told from tampering.
//!
//! A tombstone is made from the entry as it is, before anything is erased, and signed by whoever keeps it. It says what the
//! check of the entry found and what will be left: the digest of the whole row where it stays as a shell, its links where it
//! goes. A row that differs from its hash, or a gap, passes only with its tombstone, and only if what is there is what the
//! tombstone says. An entry that failed its checks when it was erased goes on failing: erasing must not launder tampering.
//!
//! As text a tombstone is one line of fields with a space between:
//!
//! ```text
//! ID anonymised FORM LEFT [LEAF]            FORM: shape and spelling (A+ to D-), ? if the checks failed, 0 if there was no hash
//! ID deleted FORM TIME HASH SIGNATURE PREVIOUS      LEFT: SHA-256 of the row as it is left (columns::digest_with_signature)
//!                                                   LEAF: legacy:DIGEST or raw:DIGEST, as in anchors, without a hash
//! ```

use core::fmt;

use super::{
    columns,
    hash::{Hex, from_hex, to_hex},
    payload::{Form, Shape, Spelling},
    row::{Row, Value},
    time::Time,
};

/// What stands in an erased column of text.
pub const MARKER: &str = "[erased]";
/// What stands in an erased column of JSON. An object, as QWED reads members of what it finds there.
pub const JSON_MARKER: &str = r#"{"erased": true}"#;

/// What was done to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Its personal columns were replaced; its place in the chain is left.
    Anonymised,
    /// The row is gone.
    Deleted,
}

/// What the entry's hash was worth when it was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// It was the hash of the content, in this form.
    Sound(Form),
    /// It was not, or the content was not as QWED writes it.
    Failed,
    /// There was none.
    Absent,
}

/// The hash in the leaf of an entry that has no `entry_hash`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsealed {
    /// Whether it is of the columns, as there was no payload.
    pub is_raw: bool,
    /// The lower-case hex SHA-256.
    pub digest: Hex,
}

/// What a deleted entry was in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Gone {
    time: i64,
    entry_hash: Hex,
    hmac_signature: Hex,
    previous_hash: Option<Hex>,
}

/// An erased entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    id: i64,
    organization_id: i64,
    seal: Seal,
    /// Whether the erasure that it belongs to was completed.
    is_completed: bool,
    /// Digest of the row as it is left; none where it was deleted.
    left: Option<[u8; 32]>,
    unsealed: Option<Box<Unsealed>>,
    gone: Option<Box<Gone>>,
}

/// Why an entry can only be anonymised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CannotDelete;

impl Tombstone {
    /// The tombstone of a row that is to be anonymised.
    #[must_use]
    pub fn anonymised(
        row: &Row<'_>,
        organization_id: i64,
        seal: Seal,
        unsealed: Option<Unsealed>,
    ) -> Self {
        Self {
            id: row.id,
            organization_id,
            seal,
            is_completed: false,
            left: Some(columns::digest_with_signature(&anonymise(row))),
            unsealed: unsealed.map(Box::new),
            gone: None,
        }
    }

    /// The tombstone of a row that is to be deleted, whose hash was found to be that of its content in `form`.
    ///
    /// # Errors
    /// If what the chain needs of the row is not as QWED writes it: then the row has to stay as a shell.
    pub fn deleted(row: &Row<'_>, organization_id: i64, form: Form) -> Result<Self, CannotDelete> {
        let hex = |value: Value<'_>| {
            let hex: Option<Hex> = value.text().and_then(|text| text.try_into().ok());
            hex.filter(|hex| from_hex(hex).is_some())
                .ok_or(CannotDelete)
        };
        let gone = Gone {
            time: row.timestamp.micros().ok_or(CannotDelete)?,
            entry_hash: hex(row.entry_hash)?,
            hmac_signature: hex(row.hmac_signature)?,
            previous_hash: match row.previous_hash {
                Value::Null => None,
                value => Some(hex(value)?),
            },
        };
        Ok(Self {
            id: row.id,
            organization_id,
            seal: Seal::Sound(form),
            is_completed: false,
            left: None,
            unsealed: None,
            gone: Some(Box::new(gone)),
        })
    }

    /// The entry.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.id
    }

    /// The entry's organisation.
    #[must_use]
    pub fn organization_id(&self) -> i64 {
        self.organization_id
    }

    /// What was done, or will be.
    #[must_use]
    pub fn manner(&self) -> Manner {
        match self.left {
            Some(_) => Manner::Anonymised,
            None => Manner::Deleted,
        }
    }

    /// What the entry's hash was worth.
    #[must_use]
    pub fn seal(&self) -> Seal {
        self.seal
    }

    /// The hash in its leaf, if it had no `entry_hash`.
    #[must_use]
    pub fn unsealed(&self) -> Option<&Unsealed> {
        self.unsealed.as_deref()
    }

    /// Notes that the erasure was completed: the content must not be there any more.
    pub fn complete(&mut self) {
        self.is_completed = true;
    }

    /// Whether it was made of this row, erased or not. Ids come again when a database is put back to an earlier state, and
    /// stand for other entries then.
    #[must_use]
    pub fn fits(&self, row: &Row<'_>) -> bool {
        let is_same = match (&self.left, &self.gone) {
            (Some(left), _) => columns::digest_with_signature(&anonymise(row)) == *left,
            (None, Some(gone)) => row.entry_hash == Value::Text(&gone.entry_hash),
            (None, None) => false,
        };
        is_same && row.organization_id.integer() == Some(self.organization_id)
    }

    /// What the tombstone says of the row with its id.
    #[must_use]
    pub fn on<'a>(&'a self, row: &Row<'_>) -> Option<Erased<'a>> {
        let is_left = self.left.is_some_and(|left| {
            row.organization_id.integer() == Some(self.organization_id)
                && columns::digest_with_signature(row) == left
        });
        if is_left {
            Some(Erased::As(self))
        } else {
            (self.is_completed && self.fits(row)).then_some(Erased::Undone)
        }
    }

    /// A row that stands for one that was deleted; none if it was not.
    #[must_use]
    pub fn stand_in(&self) -> Option<Row<'_>> {
        let gone = self.gone.as_ref()?;
        let null = Value::Null;
        Some(Row {
            id: self.id,
            organization_id: Value::Integer(self.organization_id),
            user_id: null,
            query: null,
            result: null,
            is_verified: null,
            domain: null,
            timestamp: Time::Micros(gone.time),
            entry_hash: Value::Text(&gone.entry_hash),
            hmac_signature: Value::Text(&gone.hmac_signature),
            previous_hash: gone
                .previous_hash
                .as_ref()
                .map_or(null, |hash| Value::Text(hash)),
            raw_llm_output: null,
            api_key_id: null,
            verifier_version: null,
            admission: null,
            erased: Some(Erased::As(self)),
        })
    }
}

/// What tombstones say of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Erased<'a> {
    /// It is as this one says.
    As(&'a Tombstone),
    /// It was erased, and is there again.
    Undone,
}

/// The row as anonymising leaves it.
#[must_use]
pub fn anonymise<'a>(row: &Row<'a>) -> Row<'a> {
    let marked = |value: Value<'a>, marker: &'static str| match value {
        Value::Null => Value::Null,
        _ => Value::Text(marker.as_bytes()),
    };
    Row {
        user_id: Value::Null,
        query: marked(row.query, MARKER),
        result: marked(row.result, JSON_MARKER),
        raw_llm_output: marked(row.raw_llm_output, MARKER),
        api_key_id: Value::Null,
        erased: None,
        ..*row
    }
}

/// Whether the row looks as anonymising leaves rows, whoever did it.
#[must_use]
pub fn looks_anonymised(row: &Row<'_>) -> bool {
    anonymise(row)
        == Row {
            erased: None,
            ..*row
        }
        && row.query != Value::Null
}

/// Tombstones, to be found by entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tombstones {
    /// In order of id.
    list: Vec<Tombstone>,
    /// What is wrong with others, which count for nothing.
    problems: Vec<String>,
    /// The number under which the newest were kept.
    newest: i64,
}

impl Tombstones {
    /// Of several on one entry, the last one counts.
    #[must_use]
    pub fn new(mut list: Vec<Tombstone>) -> Self {
        list.reverse();
        list.sort_by_key(Tombstone::id);
        list.dedup_by_key(|tombstone| tombstone.id);
        Self {
            list,
            ..Self::default()
        }
    }

    /// Notes what is wrong with others, and the number under which the newest were kept.
    #[must_use]
    pub fn kept(self, newest: i64, problems: Vec<String>) -> Self {
        Self {
            problems,
            newest,
            ..self
        }
    }

    /// What is wrong with tombstones that count for nothing, a sentence each.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// The number under which the newest were kept; 0 if there were none.
    #[must_use]
    pub fn newest(&self) -> i64 {
        self.newest
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Those on entries from `low` to `high`, in order of id.
    #[must_use]
    pub fn between(&self, low: i64, high: i64) -> &[Tombstone] {
        let from = self.list.partition_point(|it| it.id < low);
        let to = self.list.partition_point(|it| it.id <= high);
        self.list.get(from..to).unwrap_or_default()
    }

    /// The one on an entry.
    #[must_use]
    pub fn get(&self, id: i64) -> Option<&Tombstone> {
        let at = self.list.binary_search_by_key(&id, Tombstone::id).ok()?;
        self.list.get(at)
    }
}

impl Seal {
    const LETTERS: [(char, Shape); 4] = [
        ('A', Shape::A),
        ('B', Shape::B),
        ('C', Shape::C),
        ('D', Shape::D),
    ];

    fn parse(text: &str) -> Option<Self> {
        let mut characters = text.chars();
        let (first, second) = (characters.next()?, characters.next());
        let seal = match (first, second) {
            ('?', None) => Self::Failed,
            ('0', None) => Self::Absent,
            (letter, Some(sign @ ('+' | '-'))) => {
                let (_, shape) = *Self::LETTERS.iter().find(|(it, _)| *it == letter)?;
                let spelling = match sign {
                    '+' => Spelling::Aware,
                    _ => Spelling::Naive,
                };
                Self::Sound(Form { shape, spelling })
            }
            _ => return None,
        };
        characters.next().is_none().then_some(seal)
    }
}

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed => f.write_str("?"),
            Self::Absent => f.write_str("0"),
            Self::Sound(Form { shape, spelling }) => {
                let letter = Self::LETTERS.iter().find(|(_, it)| it == shape);
                let sign = match spelling {
                    Spelling::Aware => '+',
                    Spelling::Naive => '-',
                };
                write!(f, "{}{sign}", letter.map_or('?', |(letter, _)| *letter))
            }
        }
    }
}

/// Hex is ASCII.
fn show(hex: &Hex) -> &str {
    core::str::from_utf8(hex).unwrap_or_default()
}

impl fmt::Display for Tombstone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.id)?;
        match (&self.left, &self.gone) {
            (Some(left), _) => write!(f, "anonymised {} {}", self.seal, show(&to_hex(left)))?,
            (None, Some(gone)) => {
                let previous = gone.previous_hash.as_ref().map_or("-", show);
                let (hash, signature) = (show(&gone.entry_hash), show(&gone.hmac_signature));
                let (seal, time) = (self.seal, gone.time);
                write!(f, "deleted {seal} {time} {hash} {signature} {previous}")?;
            }
            (None, None) => {}
        }
        match &self.unsealed {
            Some(leaf) if leaf.is_raw => write!(f, " raw:{}", show(&leaf.digest)),
            Some(leaf) => write!(f, " legacy:{}", show(&leaf.digest)),
            None => Ok(()),
        }
    }
}

/// A line that is no tombstone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoTombstone;

impl Tombstone {
    /// Reads what [`fmt::Display`] wrote, and nothing else, as one of an organisation.
    ///
    /// # Errors
    /// If it is spelled in any other way.
    pub fn parse(line: &str, organization_id: i64) -> Result<Self, NoTombstone> {
        let read = || {
            let fields: Vec<&str> = line.split(' ').collect();
            let (&id, &manner, &seal) = (fields.first()?, fields.get(1)?, fields.get(2)?);
            let seal = Seal::parse(seal)?;
            let rest = fields.get(3..)?;
            let (left, gone, leaf) = match (manner, rest) {
                ("anonymised", [left, leaf @ ..]) => (Some(from_hex(&hex(left)?)?), None, leaf),
                ("deleted", [time, hash, signature, previous]) => {
                    let gone = Gone {
                        time: time.parse().ok()?,
                        entry_hash: hex(hash)?,
                        hmac_signature: hex(signature)?,
                        previous_hash: match *previous {
                            "-" => None,
                            text => Some(hex(text)?),
                        },
                    };
                    (None, Some(gone), &[][..])
                }
                _ => return None,
            };
            let unsealed = match leaf {
                [] => None,
                [leaf] => Some(match leaf.split_once(':')? {
                    ("raw", digest) => (true, hex(digest)?),
                    ("legacy", digest) => (false, hex(digest)?),
                    _ => return None,
                }),
                _ => return None,
            };
            let unsealed = unsealed.map(|(is_raw, digest)| Box::new(Unsealed { is_raw, digest }));
            let tombstone = Self {
                id: id.parse().ok()?,
                organization_id,
                seal,
                is_completed: false,
                left,
                unsealed,
                gone: gone.map(Box::new),
            };
            // Numbers have more than one spelling.
            (tombstone.to_string() == line).then_some(tombstone)
        };
        read().ok_or(NoTombstone)
    }
}

fn hex(text: &str) -> Option<Hex> {
    let hex: Hex = text.as_bytes().try_into().ok()?;
    from_hex(&hex).map(|_| hex)
}

#[cfg(test)]
mod tests;
