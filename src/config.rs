//! The configuration file, and the keys and database that follow from it and the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use crate::trail::{
    keys::{Key, KeyRing},
    time::parse_utc,
};

/// The file that ships with the program: every key, commented, with its default.
pub const DEFAULT: &str = include_str!("../config/default.toml");

/// Variables that may hold the only signing key, in the order in which they are looked at.
const KEY_VARIABLES: [&str; 2] = ["QWED_AUDIT_SECRET_KEY", "AUDIT_SECRET_KEY"];

/// Everything that can be configured.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// QWED's side.
    #[serde(default)]
    pub qwed: Qwed,
}

/// QWED's database and keys.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Qwed {
    /// QWED's `DATABASE_URL`.
    pub database_url: Option<String>,
    /// The keys that signed the trail.
    #[serde(default)]
    pub keys: Vec<KeyConfig>,
}

/// Where a key is and when it was in use.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// Its name in reports.
    pub id: String,
    /// The variable that holds it.
    pub env: Option<String>,
    /// The file that holds it.
    pub file: Option<PathBuf>,
    /// Start of its use.
    pub not_before: Option<String>,
    /// End of its use.
    pub not_after: Option<String>,
}

/// What is wrong with the configuration, and where.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("in the configuration file {}: {problem}", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What and where.
        problem: String,
    },
    /// A key cannot be had or makes no sense.
    #[error("the key {id:?} of the configuration {problem}")]
    Key {
        /// Its name.
        id: String,
        /// What is wrong.
        problem: String,
    },
    /// A variable that holds no usable key.
    #[error("the variable {0} is not UTF-8; QWED could not have signed with it")]
    Variable(&'static str),
    /// No key at all.
    #[error(
        "no signing key: set QWED_AUDIT_SECRET_KEY to the key that QWED runs with, or list keys in a configuration \
         file (--config)"
    )]
    NoKey,
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, or has keys that do not exist.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::File {
            path: path.to_owned(),
            source,
        })?;
        toml::from_str(&text).map_err(|error| {
            let before = error
                .span()
                .and_then(|span| text.get(..span.start))
                .unwrap_or_default();
            let number = before.matches('\n').count();
            // Only what stands before the "=": the rest may be a password.
            let line = text.lines().nth(number).unwrap_or_default();
            let key = line.split('=').next().unwrap_or_default().trim();
            let message = error.message().replace('\n', ", ");
            let problem = format!("line {} ({key}): {message}", number + 1);
            ConfigError::Syntax {
                path: path.to_owned(),
                problem,
            }
        })
    }

    /// The keys that may have signed the trail: those of the configuration, and the one of QWED's variable unless
    /// the configuration lists that variable itself.
    ///
    /// # Errors
    /// If there is none, or one that is listed cannot be had.
    pub fn key_ring(
        &self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<KeyRing, ConfigError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let mut keys = Vec::new();
        let found = KEY_VARIABLES
            .into_iter()
            .find_map(|name| Some((name, set(name)?)));
        if let Some((name, secret)) = found {
            let is_listed = self
                .qwed
                .keys
                .iter()
                .any(|key| key.env.as_deref() == Some(name));
            if !is_listed {
                let secret = secret
                    .into_string()
                    .map_err(|_| ConfigError::Variable(name))?;
                keys.push(Key::new("default", secret.as_bytes()));
            }
        }
        for key in &self.qwed.keys {
            let key = key.load(&set)?;
            if keys.iter().any(|other: &Key| other.id() == key.id()) {
                let problem = "has the same id as another".to_owned();
                return Err(ConfigError::Key {
                    id: key.id().to_owned(),
                    problem,
                });
            }
            keys.push(key);
        }
        if keys.is_empty() {
            Err(ConfigError::NoKey)
        } else {
            Ok(KeyRing::new(keys))
        }
    }
}

impl KeyConfig {
    fn load(&self, set: &impl Fn(&str) -> Option<OsString>) -> Result<Key, ConfigError> {
        let fail = |problem: String| ConfigError::Key {
            id: self.id.clone(),
            problem,
        };
        let secret = match (&self.env, &self.file) {
            (Some(name), None) => set(name)
                .ok_or_else(|| fail(format!("is in the variable {name}, which is not set")))?
                .into_string()
                .map_err(|_| fail(format!("is in the variable {name}, which is not UTF-8")))?
                .into_bytes(),
            (None, Some(path)) => {
                let mut secret = std::fs::read(path).map_err(|error| {
                    fail(format!("cannot be read from {}: {error}", path.display()))
                })?;
                if secret.ends_with(b"\n") {
                    secret.pop();
                }
                if secret.ends_with(b"\r") {
                    secret.pop();
                }
                secret
            }
            _ => return Err(fail("needs either \"env\" or \"file\"".to_owned())),
        };
        if secret.is_empty() {
            return Err(fail("is empty".to_owned()));
        }
        let time = |text: &Option<String>, name: &str| match text {
            None => Ok(None),
            Some(text) => parse_micros(text)
                .map(Some)
                .ok_or_else(|| fail(format!("has a {name} {text:?} that is no date or time"))),
        };
        let not_before = time(&self.not_before, "not_before")?;
        let not_after = time(&self.not_after, "not_after")?;
        if let (Some(start), Some(end)) = (not_before, not_after)
            && start > end
        {
            return Err(fail("has a not_before after its not_after".to_owned()));
        }
        Ok(Key::new(self.id.as_str(), &secret).valid_between(not_before, not_after))
    }
}

/// A date or time, in UTC unless it has an offset, in microseconds since 1970.
#[must_use]
pub fn parse_micros(text: &str) -> Option<i64> {
    let civil = parse_utc(text.trim())?;
    let timestamp = jiff::tz::Offset::UTC.to_timestamp(civil).ok()?;
    Some(timestamp.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(text: &str, variables: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
        let variable = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let ring = config
            .key_ring(variable)
            .map_err(|error| error.to_string())?;
        Ok(ring.keys().iter().map(|key| key.id().to_owned()).collect())
    }

    #[test]
    fn the_default_file_is_valid_and_empty() {
        let config: Config = toml::from_str(DEFAULT).unwrap();
        assert!(config.qwed.keys.is_empty() && config.qwed.database_url.is_none());
        // What it shows in comments is valid as well.
        let shown: String = DEFAULT
            .lines()
            .filter(|line| !line.starts_with("keys ="))
            .map(|line| {
                line.strip_prefix("# ")
                    .filter(|l| l.contains(" = \"") || l.starts_with('['))
                    .unwrap_or(line)
            })
            .filter(|line| !line.starts_with('#'))
            .map(|line| format!("{line}\n"))
            .collect();
        let config: Config = toml::from_str(&shown).unwrap();
        assert_eq!(config.qwed.keys.len(), 2);
    }

    #[test]
    fn qweds_variable_comes_before_the_other() {
        let key = |name| ring("", &[("AUDIT_SECRET_KEY", "a"), (name, "b")]);
        assert_eq!(key("QWED_AUDIT_SECRET_KEY"), Ok(vec!["default".to_owned()]));
        assert!(
            ring("", &[("QWED_AUDIT_SECRET_KEY", "")])
                .unwrap_err()
                .contains("no signing key")
        );
    }

    #[test]
    fn a_ring_adds_to_the_variable_unless_it_lists_it() {
        let variables = [("QWED_AUDIT_SECRET_KEY", "now"), ("OLD", "then")];
        let old = "[[qwed.keys]]\nid = \"old\"\nenv = \"OLD\"\n";
        assert_eq!(ring(old, &variables).unwrap(), ["default", "old"]);
        let both = format!("{old}[[qwed.keys]]\nid = \"new\"\nenv = \"QWED_AUDIT_SECRET_KEY\"\n");
        assert_eq!(ring(&both, &variables).unwrap(), ["old", "new"]);
    }

    #[test]
    fn says_which_key_is_wrong_and_why() {
        for (text, part) in [
            ("id = \"a\"", "needs either"),
            ("id = \"a\"\nenv = \"NO\"", "which is not set"),
            ("id = \"a\"\nfile = \"/no/such/file\"", "cannot be read"),
            (
                "id = \"a\"\nenv = \"K\"\nnot_after = \"soon\"",
                "no date or time",
            ),
            (
                "id = \"a\"\nenv = \"K\"\nnot_before = \"2026-02-01\"\nnot_after = \"2026-01-01\"",
                "after its",
            ),
            ("id = \"a\"\nenvironment = \"K\"", "unknown field"),
        ] {
            let text = format!("[[qwed.keys]]\n{text}\n");
            let error = ring(&text, &[("K", "k")]).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
