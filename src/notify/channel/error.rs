//! Why a notice did not arrive, and whether another attempt may help.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::super::guard::Barred;

/// Why nothing can be sent at all: the channel's configuration, or this machine's.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The URL is none.
    #[error("its URL is none")]
    Url,
    /// The secret cannot be used.
    #[error("its secret cannot be used: {0}")]
    Secret(String),
    /// The authorities that vouch for the receiver cannot be had.
    #[error("ca_file {path:?}: {problem}")]
    Authorities {
        /// Where they should be.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// An address of mail is none.
    #[error("{0} is no address of mail")]
    Mailbox(&'static str),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

impl SetupError {
    pub(in crate::notify) fn tls(error: impl std::error::Error) -> Self {
        Self::Tls(chain(&error))
    }
}

/// Whether the same notice may arrive at another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prospect {
    /// It may.
    Later {
        /// How long the receiver asks to be left alone.
        after: Option<Duration>,
    },
    /// It will not, before somebody changes something.
    Never,
}

/// Why a notice did not arrive. Holds no secret, and of a URL no more than the host.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct SendError {
    /// In a line.
    pub reason: String,
    /// Whether to try again.
    pub kind: Prospect,
}

impl SendError {
    pub(in crate::notify) fn later(reason: impl Into<String>) -> Self {
        Self::later_after(reason, None)
    }

    pub(in crate::notify) fn later_after(
        reason: impl Into<String>,
        after: Option<Duration>,
    ) -> Self {
        Self {
            reason: reason.into(),
            kind: Prospect::Later { after },
        }
    }

    pub(in crate::notify) fn never(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            kind: Prospect::Never,
        }
    }

    /// With the name of the machine that was written to.
    pub(in crate::notify) fn of(mut self, host: &str) -> Self {
        self.reason = format!("{host}: {}", self.reason);
        self
    }

    /// Whether another attempt is of no use.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.kind == Prospect::Never
    }
}

/// An error with its causes, in a line. That an address is barred says all.
pub(in crate::notify) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(barred) = error.downcast_ref::<Barred>() {
            return barred.to_string();
        }
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if let Some(barred) = inner.and_then(|inner| inner.downcast_ref::<Barred>()) {
            return barred.to_string();
        }
        let told = error.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text
}
