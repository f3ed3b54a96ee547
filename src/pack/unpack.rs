//! Reading a zip that anybody may have made: nothing is extracted, names and sizes are looked at before content, and every byte of
//! the file has to belong to a member or to the directory of members.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use sha2::{Digest as _, Sha256};
use zip::{CompressionMethod, ZipArchive, read::ZipFile};

use super::{MAX_FILES, MAX_TOTAL_BYTES, MAX_WHOLE_BYTES, PackError, write};
use crate::objects::Digest;

/// The longest name of a file.
const MAX_NAME_BYTES: usize = 255;
/// A member's entry in the directory at the end, without its name.
const ENTRY_BYTES: u64 = 46;
/// Behind the name, the sizes of a large file.
const MAX_EXTRA_BYTES: u64 = 32;
/// The record that a zip ends with, where it has no comment.
const END_BYTES: usize = 22;
/// What stands in that record in place of numbers that do not fit into it.
const TOO_LARGE: u32 = u32::MAX;

/// Whether a pack may have a file of this name: parts of letters, digits and `-_.=+`, separated by `/`, none of which begins
/// with a dot. So no name leads out of the directory that it is extracted to.
pub(super) fn is_plain_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=+".contains(&byte);
    let is_part =
        |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(is_plain);
    name.len() <= MAX_NAME_BYTES && name.split('/').all(is_part)
}

/// A zip whose members can be read.
pub(super) struct Unpacked {
    zip: ZipArchive<File>,
    /// In their order.
    pub(super) names: Vec<String>,
}

impl Unpacked {
    /// Looks at all members. What is wrong with the zip is the inner error.
    ///
    /// # Errors
    /// If it is no zip, or cannot be read.
    pub(super) fn open(mut file: File) -> Result<Result<Self, String>, PackError> {
        let length = file.metadata()?.len();
        let end = last_record(&mut file, length)?;
        let mut zip =
            ZipArchive::new(file).map_err(|error| PackError::NotAPack(error.to_string()))?;
        Ok(examine(&mut zip, length, end).map(|names| Self { zip, names }))
    }

    /// A file that is small enough to be read whole.
    pub(super) fn whole(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let mut member = self.member(name)?;
        let size = member.size();
        if size > MAX_WHOLE_BYTES {
            return Err(format!("{name} has over {} MiB", MAX_WHOLE_BYTES >> 20));
        }
        let mut bytes = Vec::new();
        let read = (&mut member).take(size + 1).read_to_end(&mut bytes);
        read.map_err(|error| format!("{name} cannot be read: {error}"))?;
        if bytes.len() as u64 != size {
            return Err(format!("{name} has another length than the zip says"));
        }
        Ok(bytes)
    }

    /// The length and digest of a file.
    pub(super) fn digest(&mut self, name: &str) -> Result<(u64, Digest), String> {
        let mut member = self.member(name)?;
        let size = member.size();
        let mut bounded = (&mut member).take(size + 1);
        let (mut hash, mut read_bytes) = (Sha256::new(), 0);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = bounded.read(&mut buffer);
            let read = read.map_err(|error| format!("{name} cannot be read: {error}"))?;
            if read == 0 {
                return Ok((read_bytes, Digest(hash.finalize().into())));
            }
            hash.update(&buffer[..read]);
            read_bytes += read as u64;
        }
    }

    /// How many records CSV has, the header left out, and how many columns all of them have.
    pub(super) fn count_csv(&mut self, name: &str) -> Result<(u64, usize), String> {
        let member = self.member(name)?;
        let size = member.size();
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .has_headers(false)
            .from_reader(member.take(size));
        let mut record = csv::ByteRecord::new();
        let (mut records, mut columns) = (0_u64, 0);
        loop {
            let read = reader.read_byte_record(&mut record);
            if !read.map_err(|error| format!("{name} cannot be read: {error}"))? {
                break;
            }
            if records == 0 {
                columns = record.len();
            } else if record.len() != columns {
                return Err(format!(
                    "record {records} of {name} has {} fields, and the header {columns}",
                    record.len()
                ));
            }
            records += 1;
        }
        match records.checked_sub(1) {
            Some(rows) => Ok((rows, columns)),
            None => Err(format!("{name} has no header")),
        }
    }

    fn member(&mut self, name: &str) -> Result<ZipFile<'_, File>, String> {
        let member = self.zip.by_name(name);
        member.map_err(|error| format!("{name} cannot be read: {error}"))
    }
}

/// The last bytes of the file.
fn last_record(file: &mut File, length: u64) -> io::Result<[u8; END_BYTES]> {
    let mut end = [0; END_BYTES];
    if length >= END_BYTES as u64 {
        file.seek(SeekFrom::End(-(END_BYTES as i64)))?;
        file.read_exact(&mut end)?;
    }
    file.rewind()?;
    Ok(end)
}

/// How long the directory is by the last record, if that is where the zip ends; none in a zip with larger numbers.
fn directory_bytes(end: &[u8; END_BYTES], start: u64) -> Result<Option<u64>, String> {
    let number = |at: usize| u32::from_le_bytes([end[at], end[at + 1], end[at + 2], end[at + 3]]);
    let (bytes, at) = (number(12), number(16));
    if !end.starts_with(b"PK\x05\x06") || end[20..] != [0, 0] {
        return Err("it has something behind its end".to_owned());
    }
    if bytes == TOO_LARGE || at == TOO_LARGE {
        return Ok(None);
    }
    if u64::from(at) != start {
        return Err("its last record is of another zip".to_owned());
    }
    Ok(Some(bytes.into()))
}

fn examine(
    zip: &mut ZipArchive<File>,
    length: u64,
    last: [u8; END_BYTES],
) -> Result<Vec<String>, String> {
    if zip.len() > MAX_FILES {
        return Err(format!("it has over {MAX_FILES} files"));
    }
    if zip.offset() != 0 || !zip.comment().is_empty() {
        return Err("it has something before its first file or behind its last".to_owned());
    }
    // Also that no two members have one name or share bytes.
    zip.validate_header_consistency()
        .map_err(|error| error.to_string())?;
    let mut names = Vec::with_capacity(zip.len());
    let (mut end, mut total) = (0, 0_u64);
    for index in 0..zip.len() {
        let member = zip.by_index_raw(index).map_err(|error| error.to_string())?;
        let name = member.name_raw().to_vec();
        let name = String::from_utf8(name)
            .ok()
            .filter(|name| is_plain_name(name));
        let name = name.ok_or_else(|| {
            let shown = member.name_raw().escape_ascii().to_string();
            format!("no file of a pack is named {shown:.80}")
        })?;
        end = examine_member(&member, &name, end)?;
        total = total.saturating_add(member.size());
        if total > MAX_TOTAL_BYTES {
            return Err(format!("its files have over {} GiB", MAX_TOTAL_BYTES >> 30));
        }
        names.push(name);
    }
    if zip.central_directory_start() != end {
        return Err("it has bytes that belong to no file".to_owned());
    }
    let least: u64 = names.iter().map(|it| ENTRY_BYTES + it.len() as u64).sum();
    let most = least + MAX_EXTRA_BYTES * names.len() as u64;
    let directory = match directory_bytes(&last, end)? {
        Some(directory) if end + directory + END_BYTES as u64 == length => directory,
        Some(_) => return Err("it has bytes behind its directory".to_owned()),
        // The records of larger numbers are 76 bytes.
        None => length.saturating_sub(end + 76 + END_BYTES as u64),
    };
    if !(least..=most).contains(&directory) {
        return Err("its directory has more than its files".to_owned());
    }
    Ok(names)
}

/// Where the member ends, which has to begin where the one before ended.
fn examine_member(member: &ZipFile<'_, File>, name: &str, begins: u64) -> Result<u64, String> {
    let is_as_made = member.is_file()
        && !member.encrypted()
        && matches!(
            member.compression(),
            CompressionMethod::Deflated | CompressionMethod::Stored
        )
        && member.last_modified() == Some(write::time())
        && member
            .unix_mode()
            .is_some_and(|mode| mode & 0o7777 == write::MODE)
        && member.comment_raw().is_empty();
    if !is_as_made {
        return Err(format!("{name} is not stored as packs are"));
    }
    if member.header_start() != begins {
        return Err(format!(
            "there are bytes before {name} that belong to no file"
        ));
    }
    let start = member.data_start();
    let start = start.ok_or_else(|| format!("{name} has no content"))?;
    // Deflate makes at most 1032 of one.
    if member.size() / 1040 > member.compressed_size() {
        return Err(format!("{name} claims to be larger than it can be"));
    }
    Ok(start + member.compressed_size())
}

#[cfg(test)]
mod tests {
    use super::is_plain_name;

    #[test]
    fn no_name_leads_out() {
        for name in ["README.txt", "tables/a-b.csv", "proofs/-7.tlog-proof"] {
            assert!(is_plain_name(name), "{name}");
        }
        let long = "a".repeat(256);
        for name in [
            "", "/a", "a/", "a//b", "../a", "a/../b", "a/.b", "a\\b", "C:/a", "a b", "ä", "a\0",
            &long,
        ] {
            assert!(!is_plain_name(name), "{name}");
        }
    }
}
