//! The rule: what a key is at a given time. Pure.
//!
//! Age counts in microseconds of UTC from `created_at`; a day has 86,400 seconds, so neither daylight saving nor leap years
//! matter. A key of exactly the greatest age is not overdue; a microsecond later it is.

use jiff::Timestamp;

use super::{
    Policy,
    report::{KeyFinding, Status, counted},
};
use crate::qwed::api_keys::{ApiKey, Moment};

const DAY_MICROS: i64 = 86_400_000_000;
/// Clocks of servers differ by less. A key from farther in the future got a false `created_at`, with which it would stay young
/// for ever, so that its age counts as unknown.
const MAX_SKEW_MICROS: i64 = DAY_MICROS;

/// Whether QWED refuses the key as revoked or inactive, so that its age does not matter.
#[must_use]
pub fn is_inactive(key: &ApiKey) -> bool {
    !key.is_active || key.revoked_at != Moment::Missing
}

/// A policy at a time.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    policy: Policy,
    now_micros: i64,
    records_use: bool,
}

/// What `created_at` says of the age.
enum Age {
    Known { micros: i64, created_micros: i64 },
    Unknown(String),
}

impl Rule {
    /// The rule of `policy` as of `now`, for a table that lacks some columns.
    #[must_use]
    pub fn new(policy: Policy, now: Timestamp, missing_columns: &[&str]) -> Self {
        Self {
            policy,
            now_micros: now.as_microsecond(),
            records_use: !missing_columns.contains(&"last_used_at"),
        }
    }

    /// What an active key is.
    #[must_use]
    pub fn judge(&self, key: &ApiKey) -> KeyFinding {
        let age = self.age(key);
        let max_micros = days(self.policy.max_age_days);
        let expired = matches!(key.expires_at, Moment::Micros(at) if at <= self.now_micros);
        let status = match &age {
            Age::Known { micros, .. } if *micros > max_micros => Status::Overdue,
            _ if expired => Status::ExpiredButActive,
            Age::Unknown(_) => Status::NeverRotatedUnknownAge,
            Age::Known { micros, .. }
                if *micros >= max_micros - days(self.policy.due_soon_days) =>
            {
                Status::DueSoon
            }
            Age::Known { .. } => Status::Ok,
        };
        let (age_micros, due_at) = match &age {
            Age::Known {
                micros,
                created_micros,
            } => {
                let due = created_micros.saturating_add(max_micros);
                (Some(*micros), Timestamp::from_microsecond(due).ok())
            }
            Age::Unknown(_) => (None, None),
        };
        let created = key.created_at.micros();
        let last_used = key.last_used_at.micros();
        let is_dormant =
            |at: i64| self.now_micros.saturating_sub(at) > days(self.policy.dormant_days);
        KeyFinding {
            key_id: key.id,
            preview: key.preview.clone(),
            organization_id: key.organization_id,
            owner_id: key.user_id,
            created_at: key.created_at.timestamp(),
            last_used_at: key.last_used_at.timestamp(),
            expires_at: key.expires_at.timestamp(),
            age_days: age_micros.map(|micros| micros / DAY_MICROS),
            threshold_days: self.policy.max_age_days,
            due_at,
            status,
            never_used: self.records_use && key.last_used_at == Moment::Missing,
            dormant: last_used.is_some_and(is_dormant),
            expired,
            created_in_future: created.is_some_and(|created| created > self.now_micros),
            rotation_required: key.rotation_required,
            reason: self.reason(key, status, &age, expired),
            remedy: remedy(status, expired, due_at),
        }
    }

    fn age(&self, key: &ApiKey) -> Age {
        let created_micros = match key.created_at {
            // Beyond the calendar nothing can be told, and the flag's guard would not know the key again.
            Moment::Micros(micros) if key.created_at.timestamp().is_some() => micros,
            Moment::Missing => return Age::Unknown("created_at is missing".to_owned()),
            Moment::Micros(_) | Moment::Unreadable => {
                return Age::Unknown("created_at cannot be read as a time".to_owned());
            }
        };
        let micros = self.now_micros.saturating_sub(created_micros);
        if micros < -MAX_SKEW_MICROS {
            return Age::Unknown(format!(
                "created_at lies {} in the future, more than clocks differ",
                whole_days(micros.saturating_neg())
            ));
        }
        Age::Known {
            micros: micros.max(0),
            created_micros,
        }
    }

    fn reason(&self, key: &ApiKey, status: Status, age: &Age, expired: bool) -> String {
        let max_days = self.policy.max_age_days;
        let mut reason = match age {
            Age::Unknown(why) => format!("{why}, so that nothing tells the key's age"),
            Age::Known { micros, .. } => {
                let limit = days(max_days);
                match status {
                    Status::Overdue => format!(
                        "created {} ago, {} beyond the limit of {max_days} days",
                        whole_days(*micros),
                        whole_days(micros - limit)
                    ),
                    Status::DueSoon => format!(
                        "created {} ago, {} from the limit of {max_days} days",
                        whole_days(*micros),
                        whole_days(limit - micros)
                    ),
                    Status::Ok | Status::ExpiredButActive | Status::NeverRotatedUnknownAge => {
                        format!(
                            "created {} ago; the limit is {max_days} days",
                            whole_days(*micros)
                        )
                    }
                }
            }
        };
        if let (Age::Known { .. }, Moment::Micros(created)) = (age, key.created_at)
            && created > self.now_micros
        {
            reason +=
                "; created_at lies in the future, so clocks differ, and the key counts as new";
        }
        if expired {
            reason += &match key.expires_at.timestamp() {
                Some(at) => format!("; it expired on {}", date(at)),
                None => "; it has expired".to_owned(),
            };
            reason += ", QWED refuses it, and it is still marked active";
        } else if key.expires_at == Moment::Unreadable {
            reason += "; expires_at cannot be read as a time";
        }
        reason
    }
}

fn remedy(status: Status, expired: bool, due_at: Option<Timestamp>) -> String {
    match status {
        _ if expired => "revoke it, since nobody can use it any more".to_owned(),
        Status::Overdue => {
            "rotate it: make a new key, move its users over, then revoke this one".to_owned()
        }
        Status::ExpiredButActive => "revoke it".to_owned(),
        Status::NeverRotatedUnknownAge => {
            "rotate it: the new key has a time of creation that can be relied on".to_owned()
        }
        Status::DueSoon => due_at.map_or_else(
            || "plan its rotation".to_owned(),
            |at| format!("rotate it by {}", date(at)),
        ),
        Status::Ok => "nothing to do".to_owned(),
    }
}

fn days(days: u32) -> i64 {
    i64::from(days) * DAY_MICROS
}

fn whole_days(micros: i64) -> String {
    match micros.unsigned_abs() / DAY_MICROS.unsigned_abs() {
        0 => "less than a day".to_owned(),
        days => counted(days, "day"),
    }
}

fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests;
