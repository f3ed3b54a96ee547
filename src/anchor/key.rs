//! The key that signs anchors, in a file of its own.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::AnchorError;
use crate::{
    checkpoint::note::{SecretKey, VerifierKey},
    state::{Dialect, Store, private_directory},
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

/// Reads the key; `None` if there is no such file.
///
/// # Errors
/// If it cannot be read, or holds no key.
pub fn load_key(path: &Path) -> Result<Option<SecretKey>, AnchorError> {
    let failed = |problem: String| AnchorError::Key {
        path: path.display().to_string(),
        problem,
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error.to_string())),
    };
    let key = text.trim().parse();
    key.map(Some)
        .map_err(|error: crate::checkpoint::note::KeyError| failed(error.to_string()))
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
    let failed = |problem: String| AnchorError::Key {
        path: path.display().to_string(),
        problem,
    };
    if !may_make {
        return Err(failed(
            "there is no such file; every worker needs the same key: copy it from the worker that signed anchors before, or \
             make the first one by trailkeeper keygen, and set anchors.key_file"
                .to_owned(),
        ));
    }
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut seed[..]).map_err(|error| failed(error.to_string()))?;
    let key = SecretKey::from_seed(name, &seed).map_err(|error| failed(error.to_string()))?;
    if let Some(directory) = path.parent() {
        private_directory(directory).map_err(|error| failed(error.to_string()))?;
    }
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    match file {
        Ok(mut file) => {
            let written = writeln!(file, "{}", *key.to_text()).and_then(|()| file.sync_all());
            written.map_err(|error| failed(error.to_string()))?;
            tracing::warn!(
                path = %path.display(),
                public_key = %key.verifier(),
                "made the key that signs anchors: keep a copy of it, and the public key where whoever may write here may not"
            );
            Ok(key)
        }
        // Another worker was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            load_key(path)?.ok_or_else(|| failed("is there and is not".to_owned()))
        }
        Err(error) => Err(failed(error.to_string())),
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
