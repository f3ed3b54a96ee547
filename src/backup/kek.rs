//! Where the key-encryption key comes from: the configuration, or a file of its own.

use std::io::ErrorKind;
use std::path::Path;

use zeroize::Zeroizing;

use super::{BackupError, envelope::Kek};
use crate::{
    config::Config,
    private,
    state::{Dialect, Store},
};

/// The key that wraps this database's data keys. The first is made where there is none and no data key either, if the
/// database is a file of one machine; `None` where nobody has decided which key it is, and none may be made.
///
/// # Errors
/// If it cannot be had, or the database fails.
pub async fn kek(config: &Config, store: &Store) -> Result<Option<Kek>, BackupError> {
    let is_first = store.data_keys_after("", 1).await?.is_empty();
    let may_make = is_first && store.dialect() == Dialect::Sqlite;
    let is_set = !config.backup.kek.is_empty();
    if is_first && !may_make && !is_set && read_kek(&config.kek_file())?.is_none() {
        return Ok(None);
    }
    load_or_make_kek(config, may_make).map(Some)
}

/// The key, or a new one where there is none. `may_make` says whether one may be made: never once there are data keys, which
/// a new one could not unwrap.
///
/// # Errors
/// If it cannot be read or written, is no key, or must not be made.
pub fn load_or_make_kek(config: &Config, may_make: bool) -> Result<Kek, BackupError> {
    let kek = &config.backup.kek;
    if !kek.is_empty() {
        return Kek::parse(kek.expose()).ok_or_else(|| BackupError::Kek {
            path: "backup.kek".to_owned(),
            problem: "it is not 32 bytes in base64".to_owned(),
        });
    }
    let path = config.kek_file();
    if let Some(kek) = read_kek(&path)? {
        return Ok(kek);
    }
    if !may_make {
        return Err(failed(
            &path,
            "there is no such file, though data keys were wrapped with the key in it; copy it from the worker that made \
             them, or set backup.kek_file",
        ));
    }
    make(&path)
}

/// Reads a key from a file; `None` if there is no such file.
///
/// # Errors
/// If it cannot be read, or holds no key.
pub fn read_kek(path: &Path) -> Result<Option<Kek>, BackupError> {
    let text = private::read_file(path).map_err(|error| failed(path, error))?;
    let Some(text) = text else { return Ok(None) };
    let kek = Kek::parse(&text);
    kek.map(Some)
        .ok_or_else(|| failed(path, "it does not hold 32 bytes in base64"))
}

fn make(path: &Path) -> Result<Kek, BackupError> {
    let text = Zeroizing::new(format!("{}\n", *Kek::generate()?));
    match private::create_file(path, text.as_bytes()) {
        Ok(()) => tracing::warn!(
            path = %path.display(),
            "made the key that wraps the archive's data keys: keep a copy of it, without it nobody can read personal data \
             in the archive"
        ),
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(path, error)),
    }
    read_kek(path)?.ok_or_else(|| failed(path, "is there and is not"))
}

fn failed(path: &Path, problem: impl ToString) -> BackupError {
    BackupError::Kek {
        path: path.display().to_string(),
        problem: problem.to_string(),
    }
}
