//! Files and directories that are their owner's only: keys, and what may be personal.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Makes a directory, and those above it that are missing. One that is there stays as it is.
///
/// # Errors
/// If it cannot be made.
pub fn create_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a file with this content, and the directory for it. It is there whole, or not at all: whoever finds the
/// beginning of a key would take it for a broken one for ever.
///
/// # Errors
/// If it cannot be made; [`ErrorKind::AlreadyExists`] if there is one, which stays as it is.
pub fn create_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = directory(path);
    create_directory(directory)?;
    let draft = draft(path);
    let made = write(&draft, content).and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    made?;
    removed?;
    File::open(directory)?.sync_all()
}

/// A file without a name, to write and to read: nobody else can open it, and it is gone with whoever made it.
///
/// # Errors
/// If it cannot be made.
pub fn unnamed_file(directory: &Path) -> io::Result<File> {
    let path = draft(&directory.join("unnamed"));
    let file = open_new(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// A file that gets its name when it is complete. Dropped before, nothing is left of it.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    draft: PathBuf,
}

impl Draft {
    /// Begins a file, to write and to read, in a directory that there is.
    ///
    /// # Errors
    /// If it cannot be made; [`ErrorKind::AlreadyExists`] if there is one of this name.
    pub fn begin(path: &Path) -> io::Result<(Self, File)> {
        if fs::symlink_metadata(path).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let draft = draft(path);
        let file = open_new(&draft)?;
        let path = path.to_owned();
        Ok((Self { path, draft }, file))
    }

    /// Gives it its name. It was written to disk before.
    ///
    /// # Errors
    /// If it cannot be named; [`ErrorKind::AlreadyExists`] if meanwhile there is one of this name, which stays as it is.
    pub fn name(self) -> io::Result<()> {
        fs::hard_link(&self.draft, &self.path)?;
        File::open(directory(&self.path))?.sync_all()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.draft);
    }
}

/// The directory that a file is in.
#[must_use]
pub fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Reads a file of a few lines; `None` if there is none.
///
/// # Errors
/// If it cannot be read, or is no text.
pub fn read_file(path: &Path) -> io::Result<Option<Zeroizing<String>>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Another name in the same directory, which no other process uses.
fn draft(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", uuid::Uuid::now_v7()))
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = open_new(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn open_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create_new(true);
    options.mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_made_once_and_for_its_owner() {
        let directory = tempfile::tempdir().expect("make a directory");
        let path = directory.path().join("new/key");
        assert!(read_file(&path).expect("read").is_none());
        create_file(&path, b"first\n").expect("make it");
        let again = create_file(&path, b"second\n").expect_err("it is there");
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        let text = read_file(&path).expect("read").expect("a file");
        assert_eq!(text.as_str(), "first\n");
        let mode = |path: &Path| fs::metadata(path).expect("it").permissions().mode() & 0o777;
        let parent = path.parent().expect("a directory");
        assert_eq!((mode(&path), mode(parent)), (0o600, 0o700));
        assert_eq!(
            fs::read_dir(parent).expect("list").count(),
            1,
            "no draft is left"
        );
    }
}
