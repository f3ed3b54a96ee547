//! Parts as bytes, to be handed from one process to another or kept in a database.
//!
//! A version byte, the part in postcard's encoding, and the first bytes of the SHA-256 of both. The digest is against
//! bytes that were cut off or damaged on the way, not against forgers: whoever can write where jobs are kept could as well
//! write the report.

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::verify::part::Part;

/// Count it up whenever a field of [`Part`] or of what it holds is added, removed or changes its meaning.
const VERSION: u8 = 2;
const DIGEST_BYTES: usize = 8;

/// Bytes that are no part of this version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PartError {
    /// Cut off, damaged, or never a part.
    #[error("the bytes are no summary of a piece: cut off, damaged, or of something else")]
    Damaged,
    /// Written by another release.
    #[error(
        "the summary of the piece has format {found}, and this release reads {VERSION}: check the piece again"
    )]
    Version {
        /// The version found.
        found: u8,
    },
}

impl Part {
    /// The part as bytes: about 150 for each sound organisation, more only for what is broken.
    ///
    /// # Panics
    /// Never: all that it holds can be encoded.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = postcard::to_extend(self, vec![VERSION])
            .expect("a vector grows, and the length of every list is known");
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest[..DIGEST_BYTES]);
        bytes
    }

    /// What [`Self::to_bytes`] made.
    ///
    /// # Errors
    /// If it did not make these bytes, or that of another release did.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PartError> {
        let content = bytes.len().checked_sub(DIGEST_BYTES);
        let (content, digest) = bytes.split_at(content.ok_or(PartError::Damaged)?);
        if Sha256::digest(content)[..DIGEST_BYTES] != *digest {
            return Err(PartError::Damaged);
        }
        match content.split_first() {
            Some((&VERSION, segment)) => {
                let read = postcard::take_from_bytes(segment).map_err(|_| PartError::Damaged)?;
                match read {
                    (segment, []) => Ok(segment),
                    _ => Err(PartError::Damaged),
                }
            }
            Some((&found, _)) => Err(PartError::Version { found }),
            None => Err(PartError::Damaged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trail::{
        chain::{BrokenLink, Fault, Suspect, Trail},
        hash::{HashText, to_hex},
    };

    /// A segment with every sort of hash in it.
    fn segment() -> Part {
        let hashes = [
            HashText::Null,
            HashText::Hex(to_hex(&[0xa7; 32])),
            HashText::Hex([b'A'; 64]),
            HashText::Other(Box::default()),
            HashText::Other(b"\xff\0".as_slice().into()),
            HashText::Foreign(Box::default()),
            HashText::Foreign([7; 64].as_slice().into()),
        ];
        let mut trail = Trail::before_period(Some(HashText::Hex([b'0'; 64])), true);
        trail.broken_links.list = hashes
            .into_iter()
            .map(|previous_hash| BrokenLink {
                id: i64::MIN,
                previous_hash,
                old_writer: false,
                hash_valid: true,
                sound: true,
            })
            .collect();
        trail.suspects.push(Suspect {
            first_id: i64::MAX,
            last_id: -1,
            entries: u64::MAX,
            fault: Fault::Signature,
        });
        let mut segment = crate::trail::segment::Segment::default();
        segment.trails = [
            (3, Trail::default()),
            (-1, trail),
            (i64::MAX, Trail::default()),
        ]
        .into();
        segment.homeless = vec![1, 2];
        (segment.homeless_total, segment.rows) = (2, 9);
        Part {
            segment,
            ..Part::default()
        }
    }

    #[test]
    fn whatever_a_column_holds_comes_back() {
        let segment = segment();
        assert_eq!(Part::from_bytes(&segment.to_bytes()), Ok(segment));
    }

    /// Where the digest is right the bytes need not be a segment all the same.
    #[test]
    fn damage_that_the_digest_does_not_show_is_no_panic() {
        let bytes = segment().to_bytes();
        let content = &bytes[..bytes.len() - DIGEST_BYTES];
        let sealed = |mut content: Vec<u8>| {
            let digest = Sha256::digest(&content);
            content.extend_from_slice(&digest[..DIGEST_BYTES]);
            content
        };
        for length in 1..content.len() {
            let cut = Part::from_bytes(&sealed(content[..length].to_vec()));
            assert_eq!(cut, Err(PartError::Damaged), "{length}");
        }
        for at in 1..content.len() {
            for bit in 0..8 {
                let mut content = content.to_vec();
                content[at] ^= 1 << bit;
                let _ = Part::from_bytes(&sealed(content));
            }
        }
        let longer = sealed([content, &[0]].concat());
        assert_eq!(Part::from_bytes(&longer), Err(PartError::Damaged));
        let newer = sealed([&[VERSION + 1], &content[1..]].concat());
        let found = VERSION + 1;
        assert_eq!(Part::from_bytes(&newer), Err(PartError::Version { found }));
        assert_eq!(
            Part::from_bytes(&sealed(Vec::new())),
            Err(PartError::Damaged)
        );
    }
}
