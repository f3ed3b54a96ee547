//! Reading a segment: blocks first, then row by row. A block is decrypted when the first of its rows is, and only then.

use std::io::{BufRead, BufReader};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use zstd::bulk::Decompressor;

use super::{block::Block, cell::from_json};
use crate::{
    backup::{
        BackupError,
        envelope::{DataKey, Place},
        manifest::Object,
    },
    qwed::tables::{Cell, TableSchema},
};

/// A segment that is being read.
pub(in crate::backup) struct Reader<'a> {
    object: &'a Object,
    schema: &'a TableSchema,
    lines: BufReader<zstd::Decoder<'static, BufReader<&'a [u8]>>>,
    blocks: Vec<Block>,
    first: Option<Map<String, Value>>,
    rows: i64,
    decompressor: Decompressor<'static>,
}

/// A row.
#[derive(Default)]
pub(in crate::backup) struct Line {
    pub(in crate::backup) id: i64,
    /// Its values in the order of the columns, NULL in the place of those that are encrypted or not there.
    pub(in crate::backup) cells: Vec<Cell>,
    /// Which columns are encrypted.
    hidden: Vec<usize>,
    /// Which are as well, and the table has them no more.
    dropped: Vec<String>,
    block: Option<usize>,
    /// Which line of the block is its own.
    index: usize,
}

impl<'a> Reader<'a> {
    /// Reads the blocks of a segment whose table is now made like this.
    pub(in crate::backup) fn new(
        object: &'a Object,
        bytes: &'a [u8],
        schema: &'a TableSchema,
    ) -> Result<Self, BackupError> {
        let broken = |error| BackupError::broken(&object.name, error);
        let decoder = zstd::Decoder::new(bytes).map_err(broken)?;
        let mut reader = Self {
            object,
            schema,
            lines: BufReader::with_capacity(1 << 16, decoder),
            blocks: Vec::new(),
            first: None,
            rows: 0,
            decompressor: Decompressor::new().map_err(broken)?,
        };
        while let Some(line) = reader.line()? {
            if line.contains_key("id") {
                reader.first = Some(line);
                break;
            }
            let block = block(&line, reader.blocks.len());
            let block = block.ok_or_else(|| reader.broken("a line is no block and no row"))?;
            reader.blocks.push(block);
        }
        Ok(reader)
    }

    /// The ids of all keys that rows take.
    pub(in crate::backup) fn keys(&self) -> impl Iterator<Item = &str> {
        self.blocks.iter().map(|block| block.key.as_str())
    }

    /// The next row; none behind the last, if nothing is missing.
    pub(in crate::backup) fn next(&mut self) -> Result<Option<Line>, BackupError> {
        let row = match self.first.take() {
            Some(row) => Some(row),
            None => self.line()?,
        };
        let Some(row) = row else {
            return self.end().map(|()| None);
        };
        self.rows += 1;
        let mut line = Line::parse(row, self.schema).map_err(|problem| self.broken(problem))?;
        if let Some(number) = line.block {
            let Some(block) = self.blocks.get_mut(number) else {
                return Err(self.broken(format!("it has no block {number}")));
            };
            line.index = block.rows;
            block.rows += 1;
        }
        Ok(Some(line))
    }

    /// The id of the key that a row takes; none if nothing of it is encrypted.
    pub(in crate::backup) fn key(&self, line: &Line) -> Option<&str> {
        line.block.map(|number| self.blocks[number].key.as_str())
    }

    /// Fills in what is encrypted of a row.
    pub(in crate::backup) fn reveal(
        &mut self,
        line: &mut Line,
        organization: Option<i64>,
        key: &DataKey,
    ) -> Result<(), BackupError> {
        let Some(number) = line.block else {
            return Ok(());
        };
        let block = &mut self.blocks[number];
        let key_id = block.key.clone();
        let place = Place {
            table: &self.object.table,
            organization,
            first_id: self.object.first_id,
            last_id: self.object.last_id,
            key: &key_id,
        };
        let values = block.line(line.index, &mut self.decompressor, key, &place);
        let filled = values.and_then(|values| line.fill(values, self.schema));
        filled.map_err(|problem| {
            self.broken(format!("the block {number} of row {} {problem}", line.id))
        })
    }

    fn line(&mut self) -> Result<Option<Map<String, Value>>, BackupError> {
        let mut line = Vec::new();
        let read = self.lines.read_until(b'\n', &mut line);
        if read.map_err(|error| self.broken(error))? == 0 {
            return Ok(None);
        }
        let object = serde_json::from_slice(&line);
        object.map(Some).map_err(|error| self.broken(error))
    }

    fn end(&mut self) -> Result<(), BackupError> {
        if self.rows != self.object.rows {
            let problem = format!("it holds {} rows of {}", self.rows, self.object.rows);
            return Err(self.broken(problem));
        }
        for (number, block) in self.blocks.iter_mut().enumerate() {
            if let Some(problem) = block.problem() {
                return Err(self.broken(format!("the block {number} {problem}")));
            }
        }
        Ok(())
    }

    fn broken(&self, problem: impl ToString) -> BackupError {
        BackupError::broken(&self.object.name, problem)
    }
}

impl Line {
    fn parse(mut row: Map<String, Value>, schema: &TableSchema) -> Result<Self, String> {
        let mut line = Self {
            id: row
                .get("id")
                .and_then(Value::as_i64)
                .ok_or("a row has no id")?,
            ..Self::default()
        };
        for (index, column) in schema.columns.iter().enumerate() {
            let value = row.remove(&column.name).unwrap_or(Value::Null);
            if let Some(number) = reference(&value) {
                line.refer(number)?;
                line.hidden.push(index);
                line.cells.push(Cell::Null);
            } else {
                let cell = from_json(value);
                let problem = || format!("the column {} holds no value", column.name);
                line.cells.push(cell.ok_or_else(problem)?);
            }
        }
        for (name, value) in row {
            if let Some(number) = reference(&value) {
                line.refer(number)?;
                line.dropped.push(name);
            }
        }
        Ok(line)
    }

    fn refer(&mut self, number: u64) -> Result<(), String> {
        let number = usize::try_from(number).map_err(|error| error.to_string())?;
        match self.block.replace(number) {
            Some(other) if other != number => Err("a row refers to two blocks".to_owned()),
            _ => Ok(()),
        }
    }

    /// Puts the values of the block's line where they belong. All of them have to be there, and nothing else.
    fn fill(&mut self, mut values: Map<String, Value>, schema: &TableSchema) -> Result<(), String> {
        if values.remove("id") != Some(self.id.into()) {
            return Err("has another row's line".to_owned());
        }
        let mut take = |name: &str| {
            let cell = values.remove(name).and_then(from_json);
            cell.ok_or_else(|| format!("has no value of {name}"))
        };
        for &index in &self.hidden {
            self.cells[index] = take(&schema.columns[index].name)?;
        }
        for name in &self.dropped {
            take(name)?;
        }
        match values.keys().next() {
            Some(name) => Err(format!("has a value of {name}")),
            None => Ok(()),
        }
    }

    /// Puts markers where values are encrypted.
    pub(in crate::backup) fn mark(
        &mut self,
        schema: &TableSchema,
        marker: impl Fn(&str, i64) -> String,
    ) {
        for &index in &self.hidden {
            let marker = marker(&schema.columns[index].name, self.id);
            self.cells[index] = Cell::Text(marker.into_bytes());
        }
    }
}

fn block(line: &Map<String, Value>, number: usize) -> Option<Block> {
    if line.get("block")?.as_u64()? != number as u64 {
        return None;
    }
    let sealed = STANDARD.decode(line.get("enc")?.as_str()?).ok()?;
    Some(Block::new(line.get("key")?.as_str()?.to_owned(), sealed))
}

/// The block that a value refers to.
fn reference(value: &Value) -> Option<u64> {
    value.get("enc")?.as_u64()
}
