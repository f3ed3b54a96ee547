//! Blocks: the personal fields of one data key in a segment, a line of JSON for each row, compressed and encrypted as one.

use std::io::BufRead;

use serde_json::{Map, Value};
use zeroize::Zeroizing;
use zstd::{
    bulk::{Compressor, Decompressor},
    zstd_safe::get_frame_content_size,
};

use super::plain::Plain;
use crate::backup::{
    BackupError,
    envelope::{DataKey, Place},
};

/// What a block holds at most. Only a single row can be so large, and no database of QWED's stores a larger one.
const MAX_BYTES: usize = 1 << 30;

/// A block that is being written.
pub(super) struct Filling {
    pub(super) key_id: String,
    pub(super) key: DataKey,
    pub(super) organization: Option<i64>,
    pub(super) plain: Plain,
}

impl Filling {
    /// Compressed and encrypted.
    pub(super) fn seal(
        &self,
        compressor: &mut Compressor<'_>,
        place: &Place<'_>,
    ) -> Result<Vec<u8>, BackupError> {
        let plain = self.plain.as_slice();
        if plain.len() > MAX_BYTES {
            let problem = format!("a row of {} holds {} bytes", place.table, plain.len());
            return Err(BackupError::TooLarge(problem));
        }
        let frame = compressor.compress(plain).map_err(super::writer::failed)?;
        self.key.seal(&Zeroizing::new(frame), place)
    }
}

/// A block that is being read.
pub(super) struct Block {
    /// Its key's id.
    pub(super) key: String,
    /// Rows that referred to it so far.
    pub(super) rows: usize,
    content: Content,
}

enum Content {
    Sealed(Vec<u8>),
    Open {
        organization: Option<i64>,
        lines: Lines,
    },
}

impl Block {
    pub(super) fn new(key: String, sealed: Vec<u8>) -> Self {
        Self {
            key,
            rows: 0,
            content: Content::Sealed(sealed),
        }
    }

    /// The line at this place. The first that is asked for decrypts them all; those before it cannot be read any more.
    pub(super) fn line(
        &mut self,
        index: usize,
        decompressor: &mut Decompressor<'_>,
        key: &DataKey,
        place: &Place<'_>,
    ) -> Result<Map<String, Value>, String> {
        if let Content::Sealed(sealed) = &self.content {
            let frame = key.open(sealed, place).ok_or("cannot be decrypted")?;
            self.content = Content::Open {
                organization: place.organization,
                lines: Lines::decompress(decompressor, &frame)?,
            };
        }
        match &mut self.content {
            Content::Open {
                organization,
                lines,
            } if *organization == place.organization => {
                let line = lines.take(index).ok_or("has no line for it")?;
                serde_json::from_slice(line).map_err(|error| error.to_string())
            }
            _ => Err("is of another organisation".to_owned()),
        }
    }

    /// What is wrong with it now that all rows were read. One that nobody opened is not looked into.
    pub(super) fn problem(&mut self) -> Option<&'static str> {
        if self.rows == 0 {
            return Some("belongs to no row");
        }
        match &mut self.content {
            Content::Open { lines, .. } => {
                (lines.count() > self.rows).then_some("has lines that belong to no row")
            }
            Content::Sealed(_) => None,
        }
    }
}

/// The lines of a block.
struct Lines {
    plain: Zeroizing<Vec<u8>>,
    at: usize,
    taken: usize,
}

impl Lines {
    fn decompress(decompressor: &mut Decompressor<'_>, frame: &[u8]) -> Result<Self, String> {
        let size = get_frame_content_size(frame).ok().flatten();
        let size = size.and_then(|size| usize::try_from(size).ok());
        let size = size
            .filter(|size| *size <= MAX_BYTES)
            .ok_or("says no size or too large a one")?;
        let mut plain = Zeroizing::new(Vec::with_capacity(size));
        let written = decompressor.decompress_to_buffer(frame, &mut *plain);
        written.map_err(|error| error.to_string())?;
        Ok(Self {
            plain,
            at: 0,
            taken: 0,
        })
    }

    /// The line at this place; lines before it cannot be read any more.
    fn take(&mut self, index: usize) -> Option<&[u8]> {
        while self.taken < index {
            self.next()?;
        }
        self.next()
    }

    fn next(&mut self) -> Option<&[u8]> {
        let start = self.at;
        let mut rest = &self.plain[start..];
        self.at += rest.skip_until(b'\n').expect("memory can be read");
        if self.at == start {
            // What was read is forgotten.
            (self.plain, self.at) = Default::default();
            return None;
        }
        self.taken += 1;
        Some(&self.plain[start..self.at])
    }

    /// How many there are, reading those that are left.
    fn count(&mut self) -> usize {
        while self.next().is_some() {}
        self.taken
    }
}
