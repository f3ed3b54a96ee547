//! Proofs as files that anybody can check offline, with nothing but a public key.
//!
//! That an entry is in a trail is proved by the file of [C2SP tlog-proof](https://c2sp.org/tlog-proof): the hashes that
//! lead from the entry to a root, and the checkpoint with that root. That a trail only grew is proved by a like file of
//! ours, since C2SP has none: `trailkeeper/consistency-proof@v1`, the hashes, and both checkpoints, the older first,
//! with an empty line before each.

use core::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use thiserror::Error;

use super::lines::number;
use super::merkle::{self, Hash, verify_consistency, verify_inclusion};
use super::note::{Note, NoteError, VerifierKey};
use super::tree_head::{Checkpoint, OpenError};

const INCLUSION: &str = "c2sp.org/tlog-proof@v1";
const CONSISTENCY: &str = "trailkeeper/consistency-proof@v1";
/// No proof in a tree that fits into a number has more.
const MAX_HASHES: usize = 64;
/// The longest data that may be added, as it is written.
const MAX_EXTRA_BYTES: usize = 1 << 20;

/// Why a file is no proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FormatError {
    /// Another first line.
    #[error("the first line of a proof of this kind is {0:?}")]
    Kind(&'static str),
    /// The line with the index.
    #[error(
        "a proof must say \"index\" and the entry's place in the tree, a number without leading zeros"
    )]
    Index,
    /// The line with data added.
    #[error("the line \"extra\" must hold at most 1 MiB of canonical base64")]
    Extra,
    /// A line that should be a hash.
    #[error("hash {0} of the proof is not 32 bytes of canonical base64")]
    Hash(usize),
    /// More hashes than any tree has levels.
    #[error("the proof has over {MAX_HASHES} hashes")]
    TooManyHashes,
    /// No checkpoint behind the hashes.
    #[error("the proof is cut off: no empty line and checkpoint behind its hashes")]
    CutOff,
    /// What should be a checkpoint is no note.
    #[error("the proof's checkpoint cannot be read: {0}")]
    Note(#[from] NoteError),
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProofError {
    /// No checkpoint to go by.
    #[error(transparent)]
    Checkpoint(#[from] OpenError),
    /// The hashes do not lead to its root.
    #[error(transparent)]
    Hashes(#[from] merkle::ProofError),
    /// The checkpoints are of different trails.
    #[error("the checkpoints are of different trails: {old:?} and {new:?}")]
    Origins {
        /// Of the older.
        old: String,
        /// Of the newer.
        new: String,
    },
}

/// That an entry is in a trail. [`fmt::Display`] and [`FromStr`] are exact opposites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// Data of the application's own. Not authenticated.
    pub extra: Option<Vec<u8>>,
    /// The entry's place in the tree, from zero.
    pub index: u64,
    /// From the leaf's sibling to the root's child.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: Note,
}

impl InclusionProof {
    /// Checks that the leaf is in the tree of a checkpoint that one of `keys` signed, and returns that.
    ///
    /// # Errors
    /// If the proof does not prove it.
    pub fn verify(&self, leaf: &Hash, keys: &[VerifierKey]) -> Result<Checkpoint, ProofError> {
        let (checkpoint, _) = Checkpoint::open(&self.checkpoint, keys)?;
        let Checkpoint { size, root, .. } = &checkpoint;
        verify_inclusion(leaf, self.index, *size, &self.hashes, root)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for InclusionProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{INCLUSION}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        write_hashes(f, &self.hashes)?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for InclusionProof {
    type Err = FormatError;

    fn from_str(file: &str) -> Result<Self, FormatError> {
        let rest = first_line(file, INCLUSION)?;
        let (head, checkpoint) = rest.split_once("\n\n").ok_or(FormatError::CutOff)?;
        let mut lines = head.split('\n').peekable();
        let extra = lines.next_if(|line| line.starts_with("extra "));
        let extra = extra.map(read_extra).transpose()?;
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index.and_then(number).ok_or(FormatError::Index)?;
        Ok(Self {
            extra,
            index,
            hashes: read_hashes(lines)?,
            checkpoint: checkpoint.parse()?,
        })
    }
}

/// That a trail only grew from one checkpoint to another. [`fmt::Display`] and [`FromStr`] are exact opposites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// As RFC 9162 orders them.
    pub hashes: Vec<Hash>,
    /// The older signed checkpoint.
    pub old: Note,
    /// The newer one.
    pub new: Note,
}

impl ConsistencyProof {
    /// Checks that the older tree is the beginning of the newer, both by checkpoints of one trail that one of `keys`
    /// signed, and returns these.
    ///
    /// # Errors
    /// If the proof does not prove it.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<(Checkpoint, Checkpoint), ProofError> {
        let (old, _) = Checkpoint::open(&self.old, keys)?;
        let (new, _) = Checkpoint::open(&self.new, keys)?;
        if old.origin != new.origin {
            let (old, new) = (old.origin, new.origin);
            return Err(ProofError::Origins { old, new });
        }
        verify_consistency(old.size, &old.root, new.size, &new.root, &self.hashes)?;
        Ok((old, new))
    }
}

impl fmt::Display for ConsistencyProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{CONSISTENCY}")?;
        write_hashes(f, &self.hashes)?;
        write!(f, "\n{}\n{}", self.old, self.new)
    }
}

impl FromStr for ConsistencyProof {
    type Err = FormatError;

    fn from_str(file: &str) -> Result<Self, FormatError> {
        let rest = first_line(file, CONSISTENCY)?;
        // The text of a checkpoint has no empty line, so each note is its text, one empty line, and its signatures.
        let (hashes, notes) = match rest.strip_prefix('\n') {
            Some(notes) => (None, notes),
            None => {
                let (hashes, notes) = rest.split_once("\n\n").ok_or(FormatError::CutOff)?;
                (Some(hashes), notes)
            }
        };
        let mut ends = notes.match_indices("\n\n").map(|(at, _)| at);
        let end = ends.nth(1).ok_or(FormatError::CutOff)?;
        Ok(Self {
            hashes: read_hashes(hashes.into_iter().flat_map(|hashes| hashes.split('\n')))?,
            old: notes[..=end].parse()?,
            new: notes[end + 2..].parse()?,
        })
    }
}

fn first_line<'f>(file: &'f str, kind: &'static str) -> Result<&'f str, FormatError> {
    let (line, rest) = file.split_once('\n').ok_or(FormatError::Kind(kind))?;
    if line != kind {
        return Err(FormatError::Kind(kind));
    }
    Ok(rest)
}

fn write_hashes(f: &mut fmt::Formatter<'_>, hashes: &[Hash]) -> fmt::Result {
    hashes.iter().try_for_each(|hash| writeln!(f, "{hash}"))
}

fn read_hashes<'l>(lines: impl Iterator<Item = &'l str>) -> Result<Vec<Hash>, FormatError> {
    let mut hashes = Vec::new();
    for line in lines {
        if hashes.len() == MAX_HASHES {
            return Err(FormatError::TooManyHashes);
        }
        let hash = line.parse();
        hashes.push(hash.map_err(|_| FormatError::Hash(hashes.len() + 1))?);
    }
    Ok(hashes)
}

fn read_extra(line: &str) -> Result<Vec<u8>, FormatError> {
    let text = line.strip_prefix("extra ").ok_or(FormatError::Extra)?;
    if text.len() > MAX_EXTRA_BYTES {
        return Err(FormatError::Extra);
    }
    STANDARD.decode(text).map_err(|_| FormatError::Extra)
}
