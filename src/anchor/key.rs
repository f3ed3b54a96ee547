//! The key that signs anchors, in a file of its own.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::AnchorError;
use crate::{
    checkpoint::note::{SecretKey, VerifierKey},
    private,
    state::{Dialect, Store},
};

/// The key that signs, and all that may have signed.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Signs new anchors.
    pub signer: Arc<SecretKey>,
    /// The signer's public key first, then former ones.
    pub verifiers: Vec<VerifierKey>,
}

impl Keys {
    /// The key with the public keys of former ones, which are not read from anywhere else.
    #[must_use]
    pub fn new(signer: SecretKey, former: &[String]) -> Self {
        let former = former.iter().filter_map(|key| key.parse().ok());
        Self {
            verifiers: std::iter::once(signer.verifier()).chain(former).collect(),
            signer: Arc::new(signer),
        }
    }
}

/// Makes a key of random bytes.
///
/// # Errors
/// Why not, in words: no key can have this name, or the operating system has no random bytes.
pub fn generate_key(name: &str) -> Result<SecretKey, String> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut seed[..])
        .map_err(|error| format!("the system gives no random numbers: {error}"))?;
    SecretKey::from_seed(name, &seed).map_err(|error| error.to_string())
}

/// Reads the key; `None` if there is no such file.
///
/// # Errors
/// If it cannot be read, or holds no key.
pub fn load_key(path: &Path) -> Result<Option<SecretKey>, AnchorError> {
    let text = private::read_file(path).map_err(|error| failed(path, error))?;
    let key = text.map(|text| text.trim().parse::<SecretKey>());
    key.transpose().map_err(|error| failed(path, error))
}

/// Reads the key, or makes one where there is none. `may_make` says whether one may be made: never once anchors were
/// signed, since they could not be told from those of somebody who took the key away; nor where several workers may share
/// a database ([`may_make_key`]), each of which would make another.
///
/// # Errors
/// If it cannot be read or written, or must not be made.
pub fn load_or_make_key(path: &Path, name: &str, may_make: bool) -> Result<SecretKey, AnchorError> {
    if let Some(key) = load_key(path)? {
        return Ok(key);
    }
    if !may_make {
        return Err(failed(
            path,
            "there is no such file; every worker needs the same key: copy it from the worker that signed anchors before, or \
             make the first one by trailkeeper keygen, and set anchors.key_file",
        ));
    }
    let key = generate_key(name).map_err(|problem| failed(path, problem))?;
    let text = Zeroizing::new(format!("{}\n", *key.to_text()));
    match private::create_file(path, text.as_bytes()) {
        Ok(()) => tracing::warn!(
            path = %path.display(),
            public_key = %key.verifier(),
            "made the key that signs anchors: keep a copy of it, and the public key where whoever may write here may not"
        ),
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(path, error)),
    }
    load_key(path)?.ok_or_else(|| failed(path, "is there and is not"))
}

fn failed(path: &Path, problem: impl ToString) -> AnchorError {
    AnchorError::Key {
        path: path.display().to_string(),
        problem: problem.to_string(),
    }
}

/// The public keys that may have signed anchors: that of the key in this file, if there is one, and the former ones.
///
/// # Errors
/// If the file cannot be read.
pub fn public_keys(path: &Path, former: &[String]) -> Result<Vec<VerifierKey>, AnchorError> {
    let own = load_key(path)?.map(|key| key.verifier());
    let former = former.iter().filter_map(|key| key.parse().ok());
    Ok(own.into_iter().chain(former).collect())
}

/// Whether the first anchor, or the first backup, may make its own key: nothing was signed yet, and the database is a file of
/// one machine.
///
/// # Errors
/// If the database fails.
pub async fn may_make_key(store: &Store) -> Result<bool, AnchorError> {
    Ok(store.dialect() == Dialect::Sqlite
        && store.newest_anchor().await?.is_none()
        && store.newest_archive_manifest().await?.is_none())
}
