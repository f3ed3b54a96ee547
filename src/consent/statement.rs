//! What somebody says about a consent, and what makes a statement acceptable.
//!
//! The fields follow ISO/IEC TS 27560 where it has them; `docs/consent.md` has the table.

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How far ahead of ours the clock of whoever asks may be.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);
/// Bytes of the fields, at most. The schema counts characters, so these are looked at again.
const MAX_TEXT_BYTES: usize = 2000;
const MAX_EVIDENCE_BYTES: usize = 8192;
const MAX_PURPOSES: usize = 50;
const MAX_PURPOSE_BYTES: usize = 800;

/// A statement about one data subject's consent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The caller's name for this record. The same name with the same content is the same record; with other content it is
    /// refused.
    #[schemars(length(min = 1, max = 200))]
    pub record_id: String,
    /// The organisation that the consent is given to.
    pub organization_id: i64,
    /// Who consents, as a user of QWED's. One of the three has to be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<i64>,
    /// Who consents, as an e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 320))]
    pub email: Option<String>,
    /// Who consents, as any other name that means somebody to the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub subject: Option<String>,
    /// What they say.
    pub status: Status,
    /// How they say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent_type: Option<ConsentType>,
    /// What for. A withdrawal without any is one of everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 200)))]
    pub purposes: Vec<String>,
    /// The notice that they were shown: its address or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2000))]
    pub privacy_notice: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub notice_version: Option<String>,
    /// Where it was said, such as a form's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub channel: Option<String>,
    /// What shows that it was said: text, an address or a hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub evidence: Option<String>,
    /// When it was said (RFC 3339); when it is recorded, where that is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub time: Option<String>,
}

/// What somebody says about a consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is given.
    Granted,
    /// It is taken back.
    Withdrawn,
}

impl Status {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// How a consent is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConsentType {
    /// By a statement that says so.
    Explicit,
    /// By an act from which it follows.
    Implied,
}

/// Who consents, as records are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A user of QWED's.
    User(i64),
    /// An e-mail address.
    Email(String),
    /// Any other name.
    Other(String),
}

impl Subject {
    /// The kind and the name, as they stand in the table. Addresses that differ in case alone are one: whoever withdraws by one
    /// spelling means the other, too.
    #[must_use]
    pub fn key(&self) -> (&'static str, String) {
        match self {
            Self::User(id) => ("user", id.to_string()),
            Self::Email(address) => ("email", address.trim().to_lowercase()),
            Self::Other(name) => ("subject", name.clone()),
        }
    }

    /// The user, if it is one.
    #[must_use]
    pub fn user(&self) -> Option<i64> {
        match self {
            Self::User(id) => Some(*id),
            _ => None,
        }
    }
}

/// Why a statement is not recorded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Rejection {
    /// It makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// It says that it will have been made.
    #[error("time is in the future")]
    InFuture,
    /// There is another record of its name.
    #[error("there is another record with this record_id")]
    OtherContent,
}

impl Rejection {
    /// As events name it.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::InFuture => "time_in_future",
            Self::OtherContent => "record_id_taken",
        }
    }
}

impl Statement {
    /// Who consents.
    ///
    /// # Errors
    /// If nobody is named, or several are.
    pub fn who(&self) -> Result<Subject, Rejection> {
        match (self.user_id, &self.email, &self.subject) {
            (Some(user), None, None) => Ok(Subject::User(user)),
            (None, Some(email), None) => Ok(Subject::Email(email.clone())),
            (None, None, Some(name)) => Ok(Subject::Other(name.clone())),
            _ => Err(invalid("give one of user_id, email and subject")),
        }
    }

    /// When it was said, if that is given.
    ///
    /// # Errors
    /// If what is given is no time.
    pub fn said_at(&self) -> Result<Option<Timestamp>, Rejection> {
        let time = self.time.as_ref().map(|time| time.parse());
        time.transpose()
            .map_err(|_| invalid("time is no time as in 2026-05-08T12:30:00Z"))
    }

    /// Whether it can be recorded now. What a caller can get wrong is told without repeating it: it may be personal.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, now: Timestamp) -> Result<(), Rejection> {
        let subject = self.who()?;
        if let Some(said_at) = self.said_at()?
            && said_at.duration_since(now) > TOLERANCE
        {
            return Err(Rejection::InFuture);
        }
        if matches!(&subject, Subject::Email(address) if !is_address(address)) {
            return Err(invalid("email is no e-mail address"));
        }
        if self.status == Status::Granted && self.purposes.is_empty() {
            return Err(invalid("a consent is for a purpose: give at least one"));
        }
        let is_long = |purpose: &String| purpose.len() > MAX_PURPOSE_BYTES;
        if self.purposes.len() > MAX_PURPOSES || self.purposes.iter().any(is_long) {
            return Err(invalid("there are too many purposes, or one is too long"));
        }
        let required = [
            Some(&self.record_id),
            self.email.as_ref(),
            self.subject.as_ref(),
        ];
        let optional = [&self.privacy_notice, &self.notice_version, &self.channel];
        let required = required.into_iter().flatten().chain(&self.purposes);
        for text in required.chain(optional.into_iter().flatten()) {
            if text.trim().is_empty() || text.chars().any(char::is_control) {
                return Err(invalid("a text is empty or has control characters"));
            }
            if text.len() > MAX_TEXT_BYTES {
                return Err(invalid("a text is too long"));
            }
        }
        let is_odd = |c: char| c.is_control() && !['\n', '\r', '\t'].contains(&c);
        if let Some(evidence) = &self.evidence
            && (evidence.len() > MAX_EVIDENCE_BYTES || evidence.contains(is_odd))
        {
            let problem =
                "evidence is too long or has control characters; give its address or hash";
            return Err(invalid(problem));
        }
        Ok(())
    }
}

/// Enough to tell an address from a name; whether it exists nobody can tell from its spelling.
fn is_address(text: &str) -> bool {
    let parts = text.trim().rsplit_once('@');
    parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
}

fn invalid(why: &str) -> Rejection {
    Rejection::Invalid(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> Statement {
        Statement {
            record_id: "r-1".to_owned(),
            organization_id: 1,
            user_id: None,
            email: Some("Ada@example.org".to_owned()),
            subject: None,
            status: Status::Granted,
            consent_type: Some(ConsentType::Explicit),
            purposes: vec!["newsletter".to_owned()],
            privacy_notice: None,
            notice_version: Some("2026-05".to_owned()),
            channel: None,
            evidence: Some("line one\nline two".to_owned()),
            time: Some("2026-05-08T12:30:00+02:00".to_owned()),
        }
    }

    fn judged(change: impl FnOnce(&mut Statement)) -> Option<&'static str> {
        let mut statement = statement();
        change(&mut statement);
        let now = "2026-05-08T10:30:00Z".parse().expect("a time");
        statement.check(now).err().map(|why| why.reason())
    }

    #[test]
    fn a_statement_has_one_subject_a_purpose_and_a_past_time() {
        assert_eq!(judged(|_| ()), None);
        let invalid = Some("invalid");
        assert_eq!(judged(|it| it.email = None), invalid);
        assert_eq!(judged(|it| it.user_id = Some(5)), invalid);
        assert_eq!(judged(|it| it.email = Some("ada".to_owned())), invalid);
        assert_eq!(judged(|it| it.purposes.clear()), invalid);
        assert_eq!(judged(|it| it.purposes = vec!["p".to_owned(); 51]), invalid);
        assert_eq!(judged(|it| it.record_id = "a\0b".to_owned()), invalid);
        assert_eq!(judged(|it| it.channel = Some(" ".to_owned())), invalid);
        assert_eq!(judged(|it| it.evidence = Some("e".repeat(8193))), invalid);
        assert_eq!(
            judged(|it| it.time = Some("2026-05-08".to_owned())),
            invalid
        );
        let at = |time: &str| {
            let time = Some(time.to_owned());
            judged(move |it| it.time = time)
        };
        assert_eq!(at("2026-05-08T10:35:00Z"), None);
        assert_eq!(at("2026-05-08T10:35:01Z"), Some("time_in_future"));
    }

    /// Whoever withdraws need not know what was granted.
    #[test]
    fn a_withdrawal_needs_no_purpose() {
        let everything = |it: &mut Statement| {
            it.status = Status::Withdrawn;
            it.purposes.clear();
        };
        assert_eq!(judged(everything), None);
    }

    #[test]
    fn addresses_that_differ_in_case_are_one() {
        let key = |address: &str| Subject::Email(address.to_owned()).key();
        assert_eq!(key("Ada@Example.org"), key("ada@example.ORG "));
    }
}
