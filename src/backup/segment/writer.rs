//! Writing a segment. All of it is held until it is complete, since blocks stand before the rows; what zstd keeps of plaintext
//! while it compresses is out of reach.

use std::collections::{HashMap, hash_map::Entry};
use std::io::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use zstd::bulk::Compressor;

use super::{
    LEVEL,
    block::Filling,
    cell::{write, write_cell, write_json},
    plain::Plain,
};
use crate::{
    backup::{
        BackupError,
        envelope::{DataKey, Place},
        keyring::subject,
        owner::Owners,
        personal::Table,
    },
    qwed::tables::{Cell, Record, TableSchema},
};

/// What a block takes besides its lines, in memory and in the segment.
const BLOCK_BYTES: usize = 256;

/// What a line of a block takes besides its values, unless they hold much to escape.
const LINE_BYTES: usize = 128;

/// A segment that is being written.
pub(in crate::backup) struct Writer<'a> {
    table: &'a Table,
    columns: Vec<Column>,
    rows: Vec<u8>,
    blocks: Vec<Filling>,
    by_owner: HashMap<Owner, usize>,
    blocks_bytes: usize,
    ids: Option<(i64, i64)>,
    count: i64,
}

/// The organisation and the user whose key it is, and the organisation that the row itself names.
type Owner = ((Option<i64>, Option<i64>), Option<i64>);

struct Column {
    /// As JSON, with the colon.
    name: Vec<u8>,
    is_personal: bool,
}

/// A segment that is complete.
pub(in crate::backup) struct Segment {
    pub(in crate::backup) bytes: Vec<u8>,
    pub(in crate::backup) first_id: i64,
    pub(in crate::backup) last_id: i64,
    pub(in crate::backup) rows: i64,
}

impl<'a> Writer<'a> {
    pub(in crate::backup) fn new(table: &'a Table, schema: &TableSchema) -> Self {
        let column = |name: &str| {
            let mut quoted = Vec::new();
            write_json(&mut quoted, name);
            quoted.push(b':');
            Column {
                name: quoted,
                is_personal: table.is_personal(name),
            }
        };
        Self {
            table,
            columns: schema.columns.iter().map(|it| column(&it.name)).collect(),
            rows: Vec::new(),
            blocks: Vec::new(),
            by_owner: HashMap::new(),
            blocks_bytes: 0,
            ids: None,
            count: 0,
        }
    }

    /// Appends a row. `key` knows the key of a subject, and its id.
    pub(in crate::backup) fn push<'k>(
        &mut self,
        record: &Record,
        owners: &Owners<'_>,
        key: impl FnOnce(&str) -> Option<(&'k str, &'k DataKey)>,
    ) -> Result<(), BackupError> {
        let block = self.hide(record, owners, key)?;
        let mut start = b'{';
        for (column, cell) in self.columns.iter().zip(&record.cells) {
            self.rows.push(start);
            self.rows.extend_from_slice(&column.name);
            match block {
                Some(number) if column.hides(cell) => {
                    write(&mut self.rows, format!("{{\"enc\":{number}}}").as_bytes());
                }
                _ => write_cell(&mut self.rows, cell),
            }
            start = b',';
        }
        self.rows.extend_from_slice(b"}\n");
        let first_id = self.ids.map_or(record.id, |(first_id, _)| first_id);
        self.ids = Some((first_id, record.id));
        self.count += 1;
        Ok(())
    }

    /// Puts the row's personal fields into a block, and answers which; none if all of them are NULL.
    fn hide<'k>(
        &mut self,
        record: &Record,
        owners: &Owners<'_>,
        key: impl FnOnce(&str) -> Option<(&'k str, &'k DataKey)>,
    ) -> Result<Option<usize>, BackupError> {
        let fields = self.columns.iter().zip(&record.cells);
        let mut hidden = fields
            .filter(|(column, cell)| column.hides(cell))
            .peekable();
        if hidden.peek().is_none() {
            return Ok(None);
        }
        let of = owners.of(record.id, &record.cells);
        let organization = owners.organization(record.id, &record.cells);
        let number = match self.by_owner.entry((of, organization)) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                let subject = subject(of.0, of.1);
                let (key_id, key) = key(&subject).ok_or_else(|| {
                    BackupError::Refused(format!("no data key is at hand for {subject}"))
                })?;
                self.blocks.push(Filling {
                    key_id: key_id.to_owned(),
                    key: key.clone(),
                    organization,
                    plain: Plain::default(),
                });
                self.blocks_bytes += BLOCK_BYTES;
                *entry.insert(self.blocks.len() - 1)
            }
        };
        let plain = &mut self.blocks[number].plain;
        let before = plain.as_slice().len();
        plain.reserve(record.size_bytes() + LINE_BYTES);
        write(plain, format!("{{\"id\":{}", record.id).as_bytes());
        for (column, cell) in hidden {
            write(plain, b",");
            write(plain, &column.name);
            write_cell(plain, cell);
        }
        write(plain, b"}\n");
        self.blocks_bytes += plain.as_slice().len() - before;
        Ok(Some(number))
    }

    pub(in crate::backup) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What it holds, uncompressed.
    pub(in crate::backup) fn size_bytes(&self) -> usize {
        self.rows.len() + self.blocks_bytes
    }

    /// The segment; none if there was no row.
    pub(in crate::backup) fn finish(self) -> Result<Option<Segment>, BackupError> {
        let Some((first_id, last_id)) = self.ids else {
            return Ok(None);
        };
        let mut compressor = Compressor::new(LEVEL).map_err(failed)?;
        let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL).map_err(failed)?;
        encoder.include_checksum(true).map_err(failed)?;
        // Each is dropped before the next is compressed.
        for (number, block) in self.blocks.into_iter().enumerate() {
            let place = Place {
                table: self.table.name,
                organization: block.organization,
                first_id,
                last_id,
                key: &block.key_id,
            };
            let sealed = STANDARD.encode(block.seal(&mut compressor, &place)?);
            // Neither needs escaping.
            writeln!(
                encoder,
                "{{\"block\":{number},\"key\":\"{}\",\"enc\":\"{sealed}\"}}",
                block.key_id
            )
            .map_err(failed)?;
        }
        encoder.write_all(&self.rows).map_err(failed)?;
        Ok(Some(Segment {
            bytes: encoder.finish().map_err(failed)?,
            first_id,
            last_id,
            rows: self.count,
        }))
    }
}

impl Column {
    fn hides(&self, cell: &Cell) -> bool {
        self.is_personal && *cell != Cell::Null
    }
}

pub(super) fn failed(error: std::io::Error) -> BackupError {
    BackupError::TooLarge(format!("cannot compress a segment: {error}"))
}
