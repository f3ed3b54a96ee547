//! Segments as bytes, to be handed from one process to another or kept in a database.
//!
//! A version byte, the segment in postcard's encoding, and the first bytes of the SHA-256 of both. The digest is against
//! bytes that were cut off or damaged on the way, not against forgers: whoever can write where jobs are kept could as well
//! write the report.

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::trail::segment::Segment;

/// Count it up whenever a field of [`Segment`] or of what it holds is added, removed or changes its meaning.
const VERSION: u8 = 1;
const DIGEST_BYTES: usize = 8;

/// Bytes that are no segment of this version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SegmentError {
    /// Cut off, damaged, or never a segment.
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

impl Segment {
    /// The segment as bytes: about 150 for each sound organisation, more only for what is broken.
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
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SegmentError> {
        let content = bytes.len().checked_sub(DIGEST_BYTES);
        let (content, digest) = bytes.split_at(content.ok_or(SegmentError::Damaged)?);
        if Sha256::digest(content)[..DIGEST_BYTES] != *digest {
            return Err(SegmentError::Damaged);
        }
        match content.split_first() {
            Some((&VERSION, segment)) => {
                let read = postcard::take_from_bytes(segment).map_err(|_| SegmentError::Damaged)?;
                match read {
                    (segment, []) => Ok(segment),
                    _ => Err(SegmentError::Damaged),
                }
            }
            Some((&found, _)) => Err(SegmentError::Version { found }),
            None => Err(SegmentError::Damaged),
        }
    }
}
