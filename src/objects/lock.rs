//! What protects objects from deletion.

use jiff::Timestamp;
use serde::Serialize;

use crate::config::LockMode;

/// What protects the objects of a vault, as far as its kind can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Protection {
    /// Each object is locked by itself, and the lock is read back.
    ObjectLock,
    /// The container or bucket has to have a policy of its own, which this program neither sets nor reads back.
    Policy {
        /// In a sentence.
        because: &'static str,
    },
    /// Nothing that would hold against whoever may write there.
    None {
        /// In a sentence.
        because: &'static str,
    },
}

impl Protection {
    pub(super) const FILES: Self = Self::None {
        because: "files are not write-once storage: they are created once, flushed to disk and made read-only, but whoever \
                  may write to the directory, and root, can replace or delete them",
    };
    pub(super) const AZURE: Self = Self::Policy {
        because: "the container's immutability policy protects objects, and it could not be read back: what was written was \
                  read and compared, whether it can be deleted was not seen; check that the container has a locked \
                  time-based retention policy",
    };
    pub(super) const GOOGLE: Self = Self::Policy {
        because: "the bucket's retention policy protects objects, and it could not be read back: what was written was read and \
                  compared, whether it can be deleted was not seen; check that the bucket has a locked retention policy",
    };
}

/// What protects one version of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum LockState {
    /// Locked, at least as strictly and as long as was asked for.
    Locked(Lock),
    /// Not locked as it should be: a finding.
    NotLocked {
        /// The lock that there is.
        found: Option<Lock>,
        /// In a sentence.
        why: String,
    },
    /// It cannot be known from here.
    Unknown {
        /// In a sentence.
        why: &'static str,
    },
    /// No lock is configured, and there is none.
    NotAsked,
}

impl LockState {
    /// Whether it is what the configuration wants.
    #[must_use]
    pub fn is_as_configured(&self) -> bool {
        !matches!(self, Self::NotLocked { .. })
    }
}

/// A lock as a store reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Lock {
    /// How strict it is; never [`LockMode::None`].
    pub mode: LockMode,
    /// Until when it holds.
    pub until: Timestamp,
}

/// A mode in the words of S3.
pub(super) fn word(mode: LockMode) -> &'static str {
    match mode {
        LockMode::Compliance => "COMPLIANCE",
        LockMode::Governance => "GOVERNANCE",
        LockMode::None => "none",
    }
}

/// What is wanted of a lock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) mode: LockMode,
    /// None if any time will do.
    pub(super) until: Option<Timestamp>,
}

impl Wanted {
    /// Judges what a store says: the values of `x-amz-object-lock-mode` and `x-amz-object-lock-retain-until-date`.
    /// Times are compared as times, since stores write them differently.
    pub(super) fn judge(self, mode: Option<&str>, until: Option<&str>) -> LockState {
        let not = |found, why: &str| LockState::NotLocked {
            found,
            why: why.to_owned(),
        };
        let (mode, until) = match (mode, until) {
            (None, None) if self.mode == LockMode::None => return LockState::NotAsked,
            (Some(mode), Some(until)) => (mode, until),
            _ => {
                let why = "the store reports no lock for it; either there is none, or this key may not read it \
                           (s3:GetObjectRetention)";
                return not(None, why);
            }
        };
        let mode = match mode {
            "COMPLIANCE" => LockMode::Compliance,
            "GOVERNANCE" => LockMode::Governance,
            _ => return not(None, "the store reports a lock of an unknown mode"),
        };
        let Ok(until) = until.parse() else {
            return not(None, "the store reports a lock whose end is no time");
        };
        let lock = Lock { mode, until };
        if self.mode == LockMode::Compliance && mode == LockMode::Governance {
            let why = "the lock's mode is GOVERNANCE, which who has the right to can lift, and COMPLIANCE is configured";
            return not(Some(lock), why);
        }
        match self.until {
            Some(wanted) if until < wanted => not(
                Some(lock),
                &format!("the lock ends at {until}, before {wanted}"),
            ),
            _ => LockState::Locked(lock),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_judged_by_mode_and_time() {
        let until: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        let compliance = Wanted {
            mode: LockMode::Compliance,
            until: Some(until),
        };
        let governance = Wanted {
            mode: LockMode::Governance,
            until: Some(until),
        };
        let none = Wanted {
            mode: LockMode::None,
            until: None,
        };
        let nine_digits = "2030-01-01T00:00:00.000000000Z";
        for (wanted, mode, time, is_locked) in [
            (compliance, Some("COMPLIANCE"), Some(nine_digits), true),
            (governance, Some("COMPLIANCE"), Some(nine_digits), true),
            (
                governance,
                Some("GOVERNANCE"),
                Some("2030-01-01T01:00:00+01:00"),
                true,
            ),
            (compliance, Some("GOVERNANCE"), Some(nine_digits), false),
            (
                compliance,
                Some("COMPLIANCE"),
                Some("2029-12-31T23:59:59Z"),
                false,
            ),
            (compliance, Some("COMPLIANCE"), Some("soon"), false),
            (compliance, Some("ON"), Some(nine_digits), false),
            (compliance, Some("COMPLIANCE"), None, false),
            (compliance, None, None, false),
            // A bucket may lock by default what was not asked for.
            (none, Some("GOVERNANCE"), Some(nine_digits), true),
        ] {
            let state = wanted.judge(mode, time);
            assert_eq!(
                matches!(state, LockState::Locked(_)),
                is_locked,
                "{state:?}"
            );
            assert_eq!(state.is_as_configured(), is_locked);
        }
        assert_eq!(none.judge(None, None), LockState::NotAsked);
    }
}
