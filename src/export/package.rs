//! The zip: one member that grows while others are written beside it, and what is known of each.
//!
//! Members are deflated and nothing else, so that every program opens them.

use std::fs::File;
use std::io::{self, Read, Seek, Write};

use jiff::{Timestamp, tz::TimeZone};
use sha2::{Digest as _, Sha256};
use zip::{CompressionMethod, DateTime, ZipWriter, result::ZipError, write::SimpleFileOptions};

use super::{ExportError, write::FileEntry};
use crate::objects::Digest;

/// Measured on a generated trail: a quarter faster than the usual 6, and 7 % larger.
const LEVEL: i64 = 4;

/// What a zip calls the data as JSON.
pub(super) const DATA: &str = "data.json";

pub(super) struct Package {
    archive: ZipWriter<File>,
    /// Has what is written beside [`DATA`], until that is complete.
    spool: ZipWriter<File>,
    options: SimpleFileOptions,
    data: Sum,
    files: Vec<FileEntry>,
    beside: Vec<FileEntry>,
}

impl Package {
    /// Begins [`DATA`]. Both files are empty, and can be read as well.
    pub(super) fn new(out: File, spool: File, made_at: Timestamp) -> Result<Self, ExportError> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(LEVEL))
            .last_modified_time(modified(made_at))
            .unix_permissions(0o600);
        let mut archive = ZipWriter::new(out);
        // How large it becomes is not known before.
        archive
            .start_file(DATA, options.large_file(true))
            .map_err(io_error)?;
        Ok(Self {
            archive,
            spool: ZipWriter::new(spool),
            options,
            data: Sum::default(),
            files: Vec::new(),
            beside: Vec::new(),
        })
    }

    /// Where [`DATA`] goes on, and a member beside it.
    pub(super) fn beside(&mut self, name: &str) -> Result<(Data<'_>, Beside<'_>), ExportError> {
        let options = self.options.large_file(true);
        self.spool.start_file(name, options).map_err(io_error)?;
        let data = Summed {
            to: &mut self.archive,
            sum: &mut self.data,
        };
        let beside = Summed {
            to: &mut self.spool,
            sum: Sum::default(),
        };
        Ok((data, beside))
    }

    /// Notes a member that was written beside.
    pub(super) fn note(&mut self, name: String, records: u64, sum: Sum) {
        self.beside.push(sum.entry(name, Some(records)));
    }

    /// Where [`DATA`] goes on.
    pub(super) fn data(&mut self) -> Data<'_> {
        Summed {
            to: &mut self.archive,
            sum: &mut self.data,
        }
    }

    /// Ends [`DATA`], and takes over what was written beside it.
    pub(super) fn join(&mut self, records: u64) -> Result<(), ExportError> {
        let data = std::mem::take(&mut self.data);
        self.files.push(data.entry(DATA.to_owned(), Some(records)));
        self.files.append(&mut self.beside);
        let unnamed = self.spool.get_ref().map(File::try_clone).transpose()?;
        let unnamed = unnamed.ok_or_else(|| io::Error::other("the spool is closed"))?;
        let spool = std::mem::replace(&mut self.spool, ZipWriter::new(unnamed));
        let spool = spool.finish_into_readable().map_err(io_error)?;
        // As they are compressed.
        self.archive.merge_archive(spool).map_err(io_error)?;
        Ok(())
    }

    /// The members until now.
    pub(super) fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// Adds a small member.
    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let started = self.archive.start_file(name, self.options);
        started.map_err(io_error)?;
        let mut sum = Sum::default();
        Summed {
            to: &mut self.archive,
            sum: &mut sum,
        }
        .write_all(bytes)?;
        self.files.push(sum.entry(name.to_owned(), None));
        Ok(())
    }

    /// The zip, complete and on disk, its members, its size and digest.
    pub(super) fn finish(self) -> Result<(File, Vec<FileEntry>, u64, Digest), ExportError> {
        let Self { archive, files, .. } = self;
        let mut out = archive.finish().map_err(io_error)?;
        out.sync_all()?;
        out.rewind()?;
        let mut sum = Sum::default();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = out.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            sum.add(&buffer[..read]);
        }
        out.rewind()?;
        let size = sum.size;
        Ok((out, files, size, Digest(sum.hash.finalize().into())))
    }
}

pub(super) type Data<'a> = Summed<&'a mut ZipWriter<File>, &'a mut Sum>;
pub(super) type Beside<'a> = Summed<&'a mut ZipWriter<File>, Sum>;

/// What went into a member.
#[derive(Default)]
pub(super) struct Sum {
    size: u64,
    hash: Sha256,
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.hash.update(bytes);
    }

    fn entry(self, name: String, records: Option<u64>) -> FileEntry {
        FileEntry {
            name,
            records,
            size_bytes: self.size,
            sha256: Digest(self.hash.finalize().into()),
        }
    }
}

/// Writes, and keeps the sum of what was written.
pub(super) struct Summed<W, S> {
    to: W,
    pub(super) sum: S,
}

impl<W: Write, S: std::borrow::BorrowMut<Sum>> Write for Summed<W, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.sum.borrow_mut().add(&bytes[..written]);
        Ok(written)
    }

    /// Members are flushed when they end; in between it would only compress worse.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Zips know no zone; this is UTC, and no earlier than 1980.
fn modified(at: Timestamp) -> DateTime {
    let at = at.to_zoned(TimeZone::UTC);
    let part = |value: i8| value.unsigned_abs();
    let modified = DateTime::from_date_and_time(
        at.year().unsigned_abs(),
        part(at.month()),
        part(at.day()),
        part(at.hour()),
        part(at.minute()),
        part(at.second()),
    );
    modified.unwrap_or_default()
}

fn io_error(error: ZipError) -> ExportError {
    ExportError::Write(match error {
        ZipError::Io(error) => error,
        other => io::Error::other(other),
    })
}
