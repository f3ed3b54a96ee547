//! Why an object could not be stored, read or judged.

use std::error::Error as StdError;
use std::sync::Arc;

use thiserror::Error;

use super::Digest;

/// Why the vault did not do what it was asked. That an object is not locked is no error but a [`super::LockState`].
#[derive(Debug, Error)]
pub enum VaultError {
    /// No answer.
    #[error(
        "cannot reach the object store {location} to {action}: {reason}; check objects.url and objects.endpoint, and that \
         this machine may connect there"
    )]
    Unreachable {
        /// Which store.
        location: Arc<str>,
        /// What was tried.
        action: String,
        /// Why not.
        reason: String,
    },
    /// An answer that no waiting changes.
    #[error("the object store {location} refused to {action}: {reason}; {remedy}")]
    Refused {
        /// Which store.
        location: Arc<str>,
        /// What was tried.
        action: String,
        /// The store's own words.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The store is out of order.
    #[error("the object store {location} failed to {action}: {reason}; it may work later")]
    Failed {
        /// Which store.
        location: Arc<str>,
        /// What was tried.
        action: String,
        /// The store's own words.
        reason: String,
    },
    /// There is no such object or version.
    #[error("there is no object {object} in {location}")]
    NotFound {
        /// Which store.
        location: Arc<str>,
        /// The name, and the version if one was asked for.
        object: String,
    },
    /// The name is taken by something else, which was left as it is.
    #[error(
        "{location} holds other content under {name} already: its sha256 is {found} and should be {wanted}; nothing was \
         overwritten: find out who wrote it, and keep it as evidence"
    )]
    Occupied {
        /// Which store.
        location: Arc<str>,
        /// The object's name.
        name: String,
        /// What was to be written.
        wanted: Digest,
        /// What is there.
        found: Digest,
    },
    /// More than is written or read at once.
    #[error("{object} in {location} has {size} bytes, and no object may have more than {max}")]
    TooLarge {
        /// Which store.
        location: Arc<str>,
        /// The object.
        object: String,
        /// Its size in bytes.
        size: u64,
        /// What is allowed, in bytes.
        max: u64,
    },
    /// A name that no object may have.
    #[error("{name:?} cannot name an object: {problem}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The configuration cannot be used.
    #[error("the object store {location} cannot be used: {problem}")]
    Settings {
        /// Which store.
        location: Arc<str>,
        /// What is wrong.
        problem: String,
    },
}

impl VaultError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Failed { .. })
    }
}

/// An error with its causes, each told once.
pub(super) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = error.source();
    }
    text
}

/// An error of the crate in our terms.
pub(super) fn explain(
    location: &Arc<str>,
    action: &str,
    object: &str,
    error: object_store::Error,
) -> VaultError {
    use object_store::Error;
    let location = Arc::clone(location);
    let action = action.to_owned();
    let reason = chain(&error);
    match error {
        Error::NotFound { .. } => VaultError::NotFound {
            location,
            object: object.to_owned(),
        },
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => VaultError::Refused {
            location,
            action,
            reason,
            remedy: "check the credentials under [objects], and what they may do there",
        },
        Error::AlreadyExists { .. } | Error::Precondition { .. } => VaultError::Refused {
            location,
            action,
            reason,
            remedy: "the name is taken: read what it holds",
        },
        Error::InvalidPath { .. }
        | Error::NotSupported { .. }
        | Error::NotImplemented { .. }
        | Error::UnknownConfigurationKey { .. } => VaultError::Settings {
            location,
            problem: reason,
        },
        _ => VaultError::Failed {
            location,
            action,
            reason,
        },
    }
}
