//! Puts lines into order, the newest first, in bounded memory.
//!
//! Rows are read in order of id, which is nearly the opposite of what QWED's export wants, but not quite: QWED sorts by time.
//! Lines are gathered until there are enough, sorted, and written to a file without a name as one run; at the end all runs are
//! merged. What fits into memory touches no disk.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::private;

/// Bytes of lines that make a run.
const RUN_BYTES: usize = 8 << 20;
/// What is read of a run at a time.
const READ_BYTES: usize = 64 << 10;
/// Time, id and length before each line of a run.
const HEAD_BYTES: usize = 20;

/// The newest first; of one time in order of id, as SQLite leaves them.
type Key = (Reverse<i64>, i64);

/// Lines that are put into order.
#[derive(Debug)]
pub(super) struct NewestFirst<'a> {
    scratch: &'a Path,
    run_bytes: usize,
    keys: Vec<(Key, usize, usize)>,
    lines: Vec<u8>,
    spool: Option<File>,
    end: u64,
    /// Where each run begins and ends.
    runs: Vec<(u64, u64)>,
}

impl<'a> NewestFirst<'a> {
    /// Nothing yet. Runs go into a file without a name in `scratch`, which is made if it is needed.
    pub(super) fn new(scratch: &'a Path) -> Self {
        Self {
            scratch,
            run_bytes: RUN_BYTES,
            keys: Vec::new(),
            lines: Vec::new(),
            spool: None,
            end: 0,
            runs: Vec::new(),
        }
    }

    /// Takes the line that `put` appends.
    pub(super) fn add(&mut self, micros: i64, id: i64, put: impl FnOnce(&mut Vec<u8>)) {
        let start = self.lines.len();
        put(&mut self.lines);
        let key = (Reverse(micros), id);
        self.keys.push((key, start, self.lines.len()));
    }

    /// Bytes of lines that are in memory.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.lines.len()
    }

    /// Puts what was taken on disk, if it is enough.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        if self.lines.len() < self.run_bytes {
            return Ok(());
        }
        self.keys.sort_unstable();
        let file = match self.spool.take() {
            Some(file) => file,
            None => {
                private::create_directory(self.scratch)?;
                private::unnamed_file(self.scratch)?
            }
        };
        let start = self.end;
        let mut out = BufWriter::with_capacity(1 << 20, &file);
        for &((Reverse(micros), id), from, to) in &self.keys {
            let line = &self.lines[from..to];
            let length = u32::try_from(line.len()).map_err(io::Error::other)?;
            out.write_all(&micros.to_le_bytes())?;
            out.write_all(&id.to_le_bytes())?;
            out.write_all(&length.to_le_bytes())?;
            out.write_all(line)?;
            self.end += (HEAD_BYTES + line.len()) as u64;
        }
        out.flush()?;
        drop(out);
        self.spool = Some(file);
        self.runs.push((start, self.end));
        self.keys.clear();
        self.lines.clear();
        Ok(())
    }

    /// Writes all lines in order.
    pub(super) fn finish(mut self, out: &mut impl Write) -> io::Result<()> {
        self.keys.sort_unstable();
        let Some(file) = &self.spool else {
            for &(_, from, to) in &self.keys {
                out.write_all(&self.lines[from..to])?;
            }
            return Ok(());
        };
        let runs = self.runs.iter();
        let mut runs: Vec<Run<'_>> = runs
            .map(|&(at, end)| Run {
                file,
                at,
                end,
                buffer: Vec::new(),
                read: 0,
            })
            .collect();
        let mut heap = BinaryHeap::new();
        for (index, run) in runs.iter_mut().enumerate() {
            if let Some((key, length)) = run.head()? {
                heap.push(Reverse((key, index, length)));
            }
        }
        let mut rest = self.keys.iter().peekable();
        loop {
            let on_disk = heap.peek().map(|Reverse((key, ..))| *key);
            let in_memory = rest.peek().map(|(key, ..)| *key);
            match (on_disk, in_memory) {
                (None, None) => return Ok(()),
                (Some(key), memory) if memory.is_none_or(|other| key <= other) => {
                    let Some(Reverse((_, index, length))) = heap.pop() else {
                        return Ok(());
                    };
                    let run = &mut runs[index];
                    out.write_all(run.take(length)?)?;
                    if let Some((key, length)) = run.head()? {
                        heap.push(Reverse((key, index, length)));
                    }
                }
                _ => {
                    if let Some(&(_, from, to)) = rest.next() {
                        out.write_all(&self.lines[from..to])?;
                    }
                }
            }
        }
    }
}

/// A run that is read from its beginning.
struct Run<'a> {
    file: &'a File,
    /// What of it is not in the buffer yet.
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    /// What of the buffer was taken.
    read: usize,
}

impl Run<'_> {
    /// The next bytes of it.
    fn take(&mut self, length: usize) -> io::Result<&[u8]> {
        if self.buffer.len() - self.read < length {
            self.buffer.drain(..self.read);
            self.read = 0;
            let have = self.buffer.len();
            let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            let more = left.min(READ_BYTES.max(length) - have);
            self.buffer.resize(have + more, 0);
            self.file.read_exact_at(&mut self.buffer[have..], self.at)?;
            self.at += more as u64;
        }
        let from = self.read;
        self.read += length;
        self.buffer
            .get(from..self.read)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// The next line's key and length; none at the end.
    fn head(&mut self) -> io::Result<Option<(Key, usize)>> {
        if self.at == self.end && self.read == self.buffer.len() {
            return Ok(None);
        }
        let head = self.take(HEAD_BYTES)?;
        let number = |from: usize| {
            let bytes = head[from..from + 8].try_into().unwrap_or_default();
            i64::from_le_bytes(bytes)
        };
        let length = head[16..].try_into().unwrap_or_default();
        let length = u32::from_le_bytes(length) as usize;
        Ok(Some(((Reverse(number(0)), number(8)), length)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// However many runs there are, and however long lines.
        #[test]
        fn the_newest_come_first(
            times in prop::collection::vec((-3_i64..50, 0_usize..300), 0..200),
            run_bytes in 1_usize..4000,
        ) {
            let directory = tempfile::tempdir().expect("make a directory");
            let mut sorted = NewestFirst::new(directory.path());
            sorted.run_bytes = run_bytes;
            let mut expected = Vec::new();
            for (id, (micros, length)) in times.iter().enumerate() {
                let line = format!("{micros} {id} {}\n", "x".repeat(*length * 500));
                sorted.add(*micros, id as i64, |out| out.extend_from_slice(line.as_bytes()));
                expected.push((Reverse(*micros), id, line));
                sorted.settle().expect("settle");
            }
            expected.sort();
            let expected: String = expected.into_iter().map(|(_, _, line)| line).collect();
            let mut out = Vec::new();
            sorted.finish(&mut out).expect("finish");
            prop_assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
        }
    }
}
