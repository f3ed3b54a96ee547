//! What is signed about all trails at once: a numbered list of every organisation.
//!
//! A checkpoint tells of its own trail only. That a whole organisation is gone shows in the inventories: each names all
//! there are, carries the next number, and binds the one before by its digest, so none can be left out or exchanged.
//!
//! The text has a line each for `ORIGIN/inventory`, the number, the time, and `previous DIGEST` or `previous none`; then
//! one for each organisation, by id, entries of none first: `organization ID|none SIZE ROOT HEAD-ID|- HEAD-HASH|-`.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::head::Head;
use super::lines::{id, is_line, number, time};
use super::merkle::Hash;
use super::note::{Note, NoteError, SecretKey, VerifierKey, VerifyError};
use crate::trail::hash::{Hex, from_hex, to_hex};

/// What the origin ends with, so that no inventory can pass for a checkpoint of the same key's.
const SUFFIX: &str = "/inventory";

/// Why text is no inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InventoryError {
    /// This line is not what stands there in an inventory.
    #[error("line {0} of the inventory is malformed")]
    Line(usize),
    /// This line's organisation does not come behind the one before.
    #[error("line {0} of the inventory is out of order")]
    Order(usize),
    /// Ends within a line or before the fifth.
    #[error("the inventory is cut off")]
    CutOff,
}

/// Why there is no inventory to go by.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// It is not a note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Nobody known signed it.
    #[error(transparent)]
    Signature(#[from] VerifyError),
    /// What was signed is no inventory.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
}

/// One organisation's trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// None for entries that belong to no organisation.
    pub id: Option<i64>,
    /// How many entries there are.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
    /// The newest of them.
    pub head: Option<Head>,
}

/// All organisations at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// Whose they are, without the suffix.
    pub origin: String,
    /// One more than the inventory before.
    pub number: u64,
    /// When it was made.
    pub time: Timestamp,
    /// The [digest](Self::digest) of the inventory before.
    pub previous: Option<[u8; 32]>,
    /// By id, entries of no organisation first.
    pub organizations: Vec<Organization>,
}

impl Inventory {
    /// The text that is signed.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self {
            origin,
            number,
            time,
            previous,
            organizations,
        } = self;
        let previous = previous.map_or_else(|| "none".to_owned(), |digest| hex(&digest));
        let mut text = format!("{origin}{SUFFIX}\n{number}\n{time}\nprevious {previous}\n");
        for organization in organizations {
            text.push_str(&organization.to_line());
            text.push('\n');
        }
        text
    }

    /// What the next inventory names as `previous`: the SHA-256 of the text, signatures left out, since others may be
    /// added later.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.to_text()).into()
    }

    /// Reads a note's text. What it accepts, [`Self::to_text`] writes byte for byte.
    ///
    /// # Errors
    /// If it is no inventory.
    pub fn parse(text: &str) -> Result<Self, InventoryError> {
        let text = text.strip_suffix('\n').ok_or(InventoryError::CutOff)?;
        let mut lines = text.split('\n').zip(1..);
        let mut line = || {
            lines
                .next()
                .map(|(line, _)| line)
                .ok_or(InventoryError::CutOff)
        };
        let origin = line()?
            .strip_suffix(SUFFIX)
            .filter(|origin| is_line(origin));
        let origin = origin.ok_or(InventoryError::Line(1))?.to_owned();
        let number = number(line()?).ok_or(InventoryError::Line(2))?;
        let time = time(line()?).ok_or(InventoryError::Line(3))?;
        let previous = line()?.strip_prefix("previous ").and_then(previous);
        let previous = previous.ok_or(InventoryError::Line(4))?;
        let mut organizations: Vec<Organization> = Vec::new();
        for (line, at) in lines {
            let organization = Organization::from_line(line).ok_or(InventoryError::Line(at))?;
            if organizations
                .last()
                .is_some_and(|last| last.id >= organization.id)
            {
                return Err(InventoryError::Order(at));
            }
            organizations.push(organization);
        }
        Ok(Self {
            origin,
            number,
            time,
            previous,
            organizations,
        })
    }

    /// Signs it.
    ///
    /// # Errors
    /// If it would not be read back as it is: organisations out of order, an odd origin, or too many of them.
    pub fn sign(&self, key: &SecretKey) -> Result<Note, OpenError> {
        let text = self.to_text();
        Self::parse(&text)?;
        Ok(Note::sign(text, key)?)
    }

    /// The inventory of a note that one of `keys` signed.
    ///
    /// # Errors
    /// If none did, or it is no inventory.
    pub fn open(note: &Note, keys: &[VerifierKey]) -> Result<Self, OpenError> {
        note.verify(keys)?;
        Ok(Self::parse(note.text())?)
    }

    /// The organisation with this id.
    #[must_use]
    pub fn organization(&self, id: Option<i64>) -> Option<&Organization> {
        let found = self
            .organizations
            .binary_search_by_key(&id, |other| other.id);
        self.organizations.get(found.ok()?)
    }
}

impl Organization {
    fn to_line(&self) -> String {
        let id = self
            .id
            .map_or_else(|| "none".to_owned(), |id| id.to_string());
        let head = self
            .head
            .as_ref()
            .map_or_else(|| "- -".to_owned(), Head::to_words);
        format!("organization {id} {} {} {head}", self.size, self.root)
    }

    fn from_line(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("organization ")?.splitn(4, ' ');
        let mut word = || words.next();
        let id = match word()? {
            "none" => None,
            text => Some(id(text)?),
        };
        Some(Self {
            id,
            size: number(word()?)?,
            root: word()?.parse().ok()?,
            head: match word()? {
                "- -" => None,
                words => Some(Head::from_words(words)?),
            },
        })
    }
}

/// `None` where it is neither a digest nor none.
fn previous(text: &str) -> Option<Option<[u8; 32]>> {
    match text {
        "none" => Some(None),
        text => {
            let hex: &Hex = text.as_bytes().try_into().ok()?;
            from_hex(hex).map(Some)
        }
    }
}

fn hex(digest: &[u8; 32]) -> String {
    to_hex(digest).map(char::from).iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";

    #[test]
    fn is_read_as_written() {
        let digest = "0123456789abcdef".repeat(4);
        let text = format!(
            "example.com/qwed/inventory\n12\n2026-05-08T12:30:00Z\nprevious {digest}\n\
             organization none 1 {ROOT} 5 -\norganization -1 0 {ROOT} - -\norganization 1 2 {ROOT} 9 a%20b\n"
        );
        let inventory = Inventory::parse(&text).expect("an inventory");
        assert_eq!(inventory.to_text(), text);
        assert_eq!(inventory.digest(), <[u8; 32]>::from(Sha256::digest(&text)));
        assert_eq!(inventory.organization(Some(1)).map(|one| one.size), Some(2));
        assert_eq!(inventory.organization(None).map(|one| one.size), Some(1));
        assert_eq!(inventory.organization(Some(2)), None);
        let text = "o/inventory\n0\n2026-05-08T12:30:00Z\nprevious none\n";
        assert_eq!(
            Inventory::parse(text).expect("an inventory").to_text(),
            text
        );
    }

    #[test]
    fn anything_else_is_refused() {
        use InventoryError::{CutOff, Line, Order};
        let head = "o/inventory\n1\n2026-05-08T12:30:00Z\nprevious none\n";
        let with = |lines: &str| format!("{head}{lines}");
        for (text, error) in [
            (String::new(), CutOff),
            (head[..head.len() - 1].to_owned(), CutOff),
            ("o/inventory\n1\n".to_owned(), CutOff),
            (head.replace("o/", "/"), Line(1)),
            (head.replace("/inventory", ""), Line(1)),
            (head.replace("\n1\n", "\n01\n"), Line(2)),
            (head.replace("Z", ""), Line(3)),
            (head.replace("none", "None"), Line(4)),
            (head.replace("none", &"A".repeat(64)), Line(4)),
            (with("\n"), Line(5)),
            (with("organization 1 1\n"), Line(5)),
            (with(&format!("organization 1 1 {ROOT} - 7\n")), Line(5)),
            (with(&format!("organization 1 1 {ROOT} 7 - \n")), Line(5)),
            (with(&format!("organization 01 1 {ROOT} - -\n")), Line(5)),
            (
                with(&format!(
                    "organization 1 1 {ROOT} - -\norganization 1 1 {ROOT} - -\n"
                )),
                Order(6),
            ),
            (
                with(&format!(
                    "organization 1 1 {ROOT} - -\norganization none 1 {ROOT} - -\n"
                )),
                Order(6),
            ),
        ] {
            assert_eq!(Inventory::parse(&text), Err(error), "{text:?}");
        }
    }
}
