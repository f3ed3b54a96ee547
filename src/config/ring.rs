//! The keys that signed the trail: a ring, as keys are rotated and old entries still have to verify.

use std::ffi::OsString;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Config, ConfigError, parse_micros};
use crate::trail::keys::{Key, KeyRing};

/// Variables that may hold the only signing key, in the order in which they are looked at.
const KEY_VARIABLES: [&str; 2] = ["QWED_AUDIT_SECRET_KEY", "AUDIT_SECRET_KEY"];

/// Where a key is and when it was in use.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
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

impl Config {
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
                    .map(Zeroizing::new)
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

impl Config {
    /// The keys of services that sign requests for erasure; none where there are none.
    ///
    /// # Errors
    /// If one that is listed cannot be had.
    pub fn producers(
        &self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Vec<Key>, ConfigError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let mut keys: Vec<Key> = Vec::new();
        for key in &self.erasure.producers {
            let key = key.load(&set)?;
            if keys.iter().any(|other| other.id() == key.id()) {
                let problem = "has the same id as another".to_owned();
                return Err(ConfigError::Key {
                    id: key.id().to_owned(),
                    problem,
                });
            }
            keys.push(key);
        }
        Ok(keys)
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
                .map(|text| Zeroizing::new(text.into_bytes()))
                .map_err(|_| fail(format!("is in the variable {name}, which is not UTF-8")))?,
            (None, Some(path)) => {
                let mut secret = std::fs::read(path).map(Zeroizing::new).map_err(|error| {
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Environment, Loaded};
    use super::*;

    fn ring(text: &str, variables: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let file = Some((Path::new("trailkeeper.toml"), text));
        let loaded = Loaded::combine(file, &Environment::default(), Vec::new());
        let config = loaded.map_err(|error| error.to_string())?.config;
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
            (
                "id = \"a\"\nenvironment = \"K\"",
                "unknown key qwed.keys[0].environment",
            ),
        ] {
            let text = format!("[[qwed.keys]]\n{text}\n");
            let error = ring(&text, &[("K", "k")]).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
