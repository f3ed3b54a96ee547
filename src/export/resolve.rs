//! From what was asked to whom it is about.

use serde::Serialize;
use serde_json::{Value, json};
use thiserror::Error;

use crate::qwed::{
    ReadError,
    subject::{self, EmailProblem, Found, Organization, Subject, Wanted},
    url::DatabaseUrl,
};

/// Whose data were asked for, within an organisation.
#[derive(Clone, PartialEq, Eq)]
pub enum Asked {
    /// A user's, by id.
    User(i64),
    /// A user's, by a text that should be an e-mail address.
    Email(String),
    /// All of the organisation's.
    Organization,
}

/// Whom an export is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A user.
    User(Subject),
    /// A whole organisation.
    Organization(Organization),
}

impl Target {
    /// The organisation.
    #[must_use]
    pub fn organization_id(&self) -> i64 {
        match self {
            Self::User(subject) => subject.organization_id,
            Self::Organization(organization) => organization.id,
        }
    }

    /// The user, unless it is about all.
    #[must_use]
    pub fn user_id(&self) -> Option<i64> {
        match self {
            Self::User(subject) => Some(subject.user_id),
            Self::Organization(_) => None,
        }
    }

    /// Whether the organisation is in use.
    #[must_use]
    pub fn organization_is_active(&self) -> bool {
        match self {
            Self::User(subject) => subject.organization_is_active,
            Self::Organization(organization) => organization.is_active,
        }
    }

    /// Whom it is about in ids, which logs and events may know.
    #[must_use]
    pub fn ids(&self) -> Value {
        json!({ "organization_id": self.organization_id(), "user_id": self.user_id() })
    }
}

/// Why nothing can be exported. It never repeats what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Error)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Rejection {
    /// There is no such organisation, or nobody in it of this id or address. Users of others are unknown as well.
    #[error("the organisation has no such user, or there is no such organisation")]
    UnknownSubject,
    /// The address stands for several users.
    #[error("{matches} users have this e-mail address, written differently; name one by id")]
    AmbiguousSubject {
        /// How many.
        matches: u64,
    },
    /// The text is no e-mail address.
    #[error("{problem}")]
    MalformedEmail {
        /// Why not.
        #[serde(skip)]
        problem: EmailProblem,
    },
}

/// Finds out whom it is about. Blocking: on PostgreSQL it drives a runtime of its own.
///
/// # Errors
/// If the database cannot be read.
pub fn resolve(
    url: &DatabaseUrl,
    organization_id: i64,
    asked: &Asked,
) -> Result<Result<Target, Rejection>, ReadError> {
    let wanted = match asked {
        Asked::Organization => {
            let found = subject::organization(url, organization_id)?;
            let target = found.map(Target::Organization);
            return Ok(target.ok_or(Rejection::UnknownSubject));
        }
        Asked::User(id) => Wanted::User(*id),
        Asked::Email(text) => match subject::parse_email(text) {
            Ok(email) => Wanted::Email(email.to_owned()),
            Err(problem) => return Ok(Err(Rejection::MalformedEmail { problem })),
        },
    };
    Ok(match subject::find(url, organization_id, &wanted)? {
        Found::One(subject) => Ok(Target::User(subject)),
        Found::Unknown => Err(Rejection::UnknownSubject),
        Found::Several(matches) => Err(Rejection::AmbiguousSubject { matches }),
    })
}
