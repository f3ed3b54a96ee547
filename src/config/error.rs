//! What can be wrong with a configuration, and where it stands.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// Where a value comes from. The order is that in which problems are listed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A file as a whole: one that holds a secret, or that cannot be read.
    Whole(PathBuf),
    /// A line of a file, counted from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// The defaults that are built in.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Whole(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong. Never holds a value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// The key, with dots between its parts; empty if the problem is with no single key.
    pub key: String,
    /// What.
    pub kind: ProblemKind,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProblemKind {
    /// A file cannot be read, for this reason.
    Unreadable(String),
    /// A file is no TOML.
    Syntax(String),
    /// There is no such key.
    UnknownKey {
        /// The key or variable that may have been meant.
        nearest: Option<String>,
    },
    /// A key that must be there is not.
    MissingKey,
    /// The value has another type or form.
    WrongType {
        /// What belongs there.
        expected: String,
        /// The type of what is there.
        found: &'static str,
    },
    /// The value has the right type and makes no sense all the same.
    Invalid(String),
}

impl fmt::Display for Problem {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, key, kind } = self;
        // A quoted key may hold a line break.
        let key = match key.contains(char::is_control) {
            true => key.escape_debug().to_string(),
            false => key.clone(),
        };
        if !matches!(kind, ProblemKind::Unreadable(_)) {
            write!(f, "{place}: ")?;
        }
        match kind {
            ProblemKind::Unreadable(reason) => {
                write!(f, "cannot read the configuration file {place}: {reason}")
            }
            ProblemKind::Syntax(problem) => write!(f, "no valid TOML: {problem}"),
            ProblemKind::UnknownKey { nearest: None } => write!(f, "unknown key {key}"),
            ProblemKind::UnknownKey {
                nearest: Some(name),
            } => write!(f, "unknown key {key}; did you mean {name}?"),
            ProblemKind::MissingKey => write!(f, "{key} is missing"),
            ProblemKind::WrongType { expected, found } => {
                write!(f, "{key}: expected {expected}, found {found}")
            }
            ProblemKind::Invalid(problem) if key.is_empty() => f.write_str(problem),
            ProblemKind::Invalid(problem) => write!(f, "{key} {problem}"),
        }
    }
}

/// A rule that the values of a section break: what `validate` finds, before anybody looked up where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The key, with dots between its parts.
    pub key: String,
    /// What is wrong with it: a sentence that begins with the key.
    pub problem: String,
}

impl Invalid {
    /// `key` and what is wrong with it.
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            problem: problem.into(),
        }
    }
}

/// Everything that is wrong, in the order of layers; at least one problem.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    /// One line: the first, and how many more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(first) = self.0.first() {
            write!(f, "{first}")?;
        }
        match self.0.len().saturating_sub(1) {
            0 => Ok(()),
            more => write!(f, " (and {more} more: see \"trailkeeper config check\")"),
        }
    }
}

/// What is wrong with the configuration, and where.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// Files, keys or values that are not what they should be.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// A signing key cannot be had or makes no sense.
    #[error("the key {id:?} of the configuration {problem}")]
    Key {
        /// Its name.
        id: String,
        /// What is wrong.
        problem: String,
    },
    /// A variable that holds no usable signing key.
    #[error("the variable {0} is not UTF-8; QWED could not have signed with it")]
    Variable(&'static str),
    /// No signing key at all.
    #[error(
        "no signing key: set QWED_AUDIT_SECRET_KEY to the key that QWED runs with, or list keys in a configuration \
         file (--config)"
    )]
    NoKey,
}
