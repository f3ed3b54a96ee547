//! Floor 2: how old QWED's API keys are, and the flag on those that are too old.
//!
//! [`check`] reads every key, judges it by [`rule`] and sets QWED's own `rotation_required` on the overdue ones: only ever
//! from false to true, so that running it again changes nothing. What it leaves out: it neither revokes nor makes keys, which
//! only QWED can, and it tells nobody; that is for its caller.
//!
//! A key that is too old is data, and so is a flag that could not be set. An error means "could not check".

mod listing;
pub mod report;
pub mod rule;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::{
    report::{Builder, Flagging, KeyReport, Status},
    rule::Rule,
};
use crate::qwed::{
    ReadError,
    api_keys::{Due, Flagger, KeyReader},
    url::DatabaseUrl,
};

/// Keys per flagging transaction: few, since on SQLite QWED waits for each.
const FLAG_ROWS: usize = 100;
/// A hundred years; beyond lies a mistake.
const MAX_DAYS: u32 = 36_525;

/// What is expected of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// The age in days that a key may reach and not pass.
    pub max_age_days: u32,
    /// A key is due soon when it has this many days left, or fewer.
    pub due_soon_days: u32,
    /// A key that was used, but not within so many days, is dormant.
    pub dormant_days: u32,
    /// How many active and how many inactive keys the report lists; its counts are exact all the same.
    pub max_listed: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_age_days: 90,
            due_soon_days: 14,
            dormant_days: 90,
            max_listed: 10_000,
        }
    }
}

impl Policy {
    /// Refuses a policy that cannot be meant.
    ///
    /// # Errors
    /// If a number is out of its range, or a key would be due soon from its first day.
    pub fn validate(&self) -> Result<(), KeysError> {
        let days = [
            ("max_age_days", self.max_age_days),
            ("dormant_days", self.dormant_days),
        ];
        for (name, days) in days {
            if !(1..=MAX_DAYS).contains(&days) {
                return Err(KeysError::Policy(format!(
                    "{name} is {days}, and has to be from 1 to {MAX_DAYS}"
                )));
            }
        }
        if self.due_soon_days >= self.max_age_days {
            return Err(KeysError::Policy(format!(
                "due_soon_days is {}, and has to be less than max_age_days, which is {}",
                self.due_soon_days, self.max_age_days
            )));
        }
        Ok(())
    }
}

/// Why the keys could not be checked.
#[derive(Debug, Error)]
pub enum KeysError {
    /// QWED's database could not be read, or has no keys.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The policy makes no sense.
    #[error("the policy for API keys makes no sense: {0}")]
    Policy(String),
    /// Somebody asked for an organisation that is not there.
    #[error("there is no organisation {0} in this database")]
    UnknownOrganization(i64),
}

/// Judges the keys of `organizations` (all where that is empty) as of `now`, and with `flag` sets `rotation_required` on the
/// overdue ones through that URL: the same database, perhaps with a role that may do so.
///
/// Blocking: on PostgreSQL it drives a runtime of its own, so an async caller runs it on `spawn_blocking`. Flags are set
/// while keys are read, in transactions of a hundred keys; what was set before an error stays set and is found set by
/// the next run.
///
/// # Errors
/// If the keys cannot be read, an organisation does not exist, or the policy makes no sense. That flagging failed is no error
/// but [`Flagging::problem`].
pub fn check(
    url: &DatabaseUrl,
    flag: Option<&DatabaseUrl>,
    policy: Policy,
    organizations: &[i64],
    now: Timestamp,
) -> Result<KeyReport, KeysError> {
    policy.validate()?;
    let mut reader = KeyReader::open(url, organizations)?;
    if !organizations.is_empty() {
        let known = reader.known_organizations(organizations)?;
        if let Some(&id) = organizations.iter().find(|id| !known.contains(id)) {
            return Err(KeysError::UnknownOrganization(id));
        }
    }
    let rule = Rule::new(policy, now, reader.missing_columns());
    let mut flags = Flags::new(flag);
    let mut report = Builder::new(policy, now, organizations);
    while let Some(keys) = reader.next_page()? {
        for batch in keys.chunks(FLAG_ROWS) {
            let mut findings = Vec::new();
            let mut due = Vec::new();
            for key in batch {
                if rule::is_inactive(key) {
                    report.inactive(key);
                    continue;
                }
                let finding = rule.judge(key);
                if let (Status::Overdue, Some(created_micros)) =
                    (finding.status, key.created_at.micros())
                {
                    let is_flagged = key.rotation_required == Some(true);
                    flags.count(is_flagged);
                    if !is_flagged {
                        due.push(Due {
                            id: key.id,
                            created_micros,
                        });
                    }
                }
                findings.push(finding);
            }
            let flagged = flags.set(&due, &reader);
            for mut finding in findings {
                if flagged.contains(&finding.key_id) {
                    finding.rotation_required = Some(true);
                }
                report.active(finding);
            }
        }
    }
    Ok(report.finish(reader.dialect(), reader.missing_columns(), flags.finish()))
}

/// Sets flags until that turns out to be impossible, and keeps the score.
struct Flags<'a> {
    url: Option<&'a DatabaseUrl>,
    /// Opened when there is something to set: a run that writes nothing needs no right to write.
    flagger: Option<Flagger>,
    score: Flagging,
}

impl<'a> Flags<'a> {
    fn new(url: Option<&'a DatabaseUrl>) -> Self {
        Self {
            url,
            flagger: None,
            score: Flagging {
                requested: url.is_some(),
                ..Flagging::default()
            },
        }
    }

    fn count(&mut self, is_flagged: bool) {
        if is_flagged {
            self.score.already_flagged += 1;
        } else {
            self.score.not_flagged += 1;
        }
    }

    /// Flags what can be flagged; answers which keys those were.
    fn set(&mut self, due: &[Due], reader: &KeyReader) -> Vec<i64> {
        let Some(url) = self.url else {
            return Vec::new();
        };
        // What failed once would fail for each of the next thousand batches too, perhaps after a timeout each.
        if due.is_empty() || self.score.problem.is_some() {
            return Vec::new();
        }
        let flagged = match &mut self.flagger {
            Some(flagger) => flagger.flag(due),
            None => Flagger::open(url, reader)
                .and_then(|flagger| self.flagger.insert(flagger).flag(due)),
        };
        match flagged {
            Ok(ids) => {
                self.score.flagged_now += ids.len() as u64;
                self.score.flagged_ids.extend(&ids);
                self.score.not_flagged -= ids.len() as u64;
                ids
            }
            Err(error) => {
                self.score.problem = Some(error.to_string());
                Vec::new()
            }
        }
    }

    fn finish(mut self) -> Flagging {
        let score = &mut self.score;
        if score.requested && score.problem.is_none() && score.not_flagged > 0 {
            score.problem = Some(format!(
                "{} changed between reading and flagging (revoked, or flagged by somebody else); the next run looks \
                 again",
                report::counted(score.not_flagged, "overdue key")
            ));
        }
        self.score
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_policy_is_sound() {
        Policy::default().validate().expect("sound");
        let read: Policy = serde_json::from_str(r#"{"max_age_days": 30}"#).expect("read");
        assert_eq!((read.max_age_days, read.due_soon_days), (30, 14));
    }

    #[test]
    fn a_policy_that_cannot_be_meant_is_refused() {
        let sound = Policy::default();
        for (policy, word) in [
            (
                Policy {
                    max_age_days: 0,
                    ..sound
                },
                "max_age_days",
            ),
            (
                Policy {
                    max_age_days: 36_526,
                    ..sound
                },
                "max_age_days",
            ),
            (
                Policy {
                    dormant_days: 0,
                    ..sound
                },
                "dormant_days",
            ),
            (
                Policy {
                    due_soon_days: 90,
                    ..sound
                },
                "due_soon_days",
            ),
        ] {
            let error = policy.validate().expect_err("refused").to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
