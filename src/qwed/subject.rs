//! Who a data subject is in QWED's database: a user of an organisation, named by id or by e-mail address.
//!
//! QWED compares addresses exactly, people do not: `Ada@example.org` and `ada@example.org` may be two users. So an address
//! is looked for without regard to case, the same on both kinds of database, and may name several; who asks has to name one
//! by id then. A user of another organisation is as unknown as one that there is not, so that nobody learns from an answer
//! who else there is. Columns that hold secrets are never selected.

use std::fmt;

use thiserror::Error;

use super::{
    ReadError,
    tables::{Cell, Part, Record, TableSchema, Tables},
    url::DatabaseUrl,
};

/// Longest e-mail address, in bytes (RFC 5321, 4.5.3.1.3, without the angle brackets).
pub const MAX_EMAIL_BYTES: usize = 254;

/// How a data subject is named.
#[derive(Clone, PartialEq, Eq)]
pub enum Wanted {
    /// By the user's id.
    User(i64),
    /// By an e-mail address, as [`parse_email`] answers it.
    Email(String),
}

impl fmt::Debug for Wanted {
    /// Without the address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "User({id})"),
            Self::Email(_) => f.write_str("Email(…)"),
        }
    }
}

/// A user, and what their rights depend on.
#[derive(Clone, PartialEq, Eq)]
pub struct Subject {
    /// Their organisation.
    pub organization_id: i64,
    /// The user.
    pub user_id: i64,
    /// As it is stored.
    pub email: Option<String>,
    /// QWED's word for what they may do: owner, admin, member or viewer.
    pub role: Option<String>,
    /// Whether the user may log in.
    pub is_active: bool,
    /// Whether the organisation is in use.
    pub organization_is_active: bool,
    /// Whether they are the organisation's only active owner.
    pub is_only_owner: bool,
}

impl fmt::Debug for Subject {
    /// Without the address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("organization_id", &self.organization_id)
            .field("user_id", &self.user_id)
            .field("role", &self.role)
            .field("is_active", &self.is_active)
            .field("organization_is_active", &self.organization_is_active)
            .field("is_only_owner", &self.is_only_owner)
            .finish_non_exhaustive()
    }
}

/// Whom a name found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// This user.
    One(Subject),
    /// Nobody of this organisation.
    Unknown,
    /// So many users of this organisation.
    Several(u64),
}

/// An organisation, as far as a request about it depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: i64,
    /// Whether it is in use. One that is not has its rights all the same.
    pub is_active: bool,
}

/// Why a text is no e-mail address. It never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EmailProblem {
    /// Nothing, or only white space.
    #[error("the e-mail address is empty")]
    Empty,
    /// Longer than any address.
    #[error("the e-mail address is longer than {MAX_EMAIL_BYTES} bytes")]
    TooLong,
    /// White space or control characters within.
    #[error("the e-mail address has white space or control characters in it")]
    Blank,
    /// None or several `@`, or nothing on a side of it.
    #[error("the e-mail address is not of the form name@domain")]
    Form,
}

/// The address that a text is, without white space around it. Only its form is looked at; whether mail reaches anybody is
/// another question.
///
/// # Errors
/// Why it is none.
pub fn parse_email(text: &str) -> Result<&str, EmailProblem> {
    let email = text.trim();
    if email.is_empty() {
        return Err(EmailProblem::Empty);
    }
    if email.len() > MAX_EMAIL_BYTES {
        return Err(EmailProblem::TooLong);
    }
    if email.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(EmailProblem::Blank);
    }
    match email.split_once('@') {
        Some((name, domain)) if !name.is_empty() && !domain.is_empty() && !domain.contains('@') => {
            Ok(email)
        }
        _ => Err(EmailProblem::Form),
    }
}

/// Looks for a user among those of an organisation. Blocking: on PostgreSQL it drives a runtime of its own.
///
/// # Errors
/// If the database cannot be read.
pub fn find(url: &DatabaseUrl, organization_id: i64, wanted: &Wanted) -> Result<Found, ReadError> {
    let mut tables = Tables::open(url, &["user", "organization"])?;
    let organization = one_organization(&mut tables, organization_id)?;
    let Some(schema) = narrowed(
        &tables,
        "user",
        &["organization_id", "email", "role", "is_active"],
    ) else {
        return Ok(Found::Unknown);
    };
    let columns = Columns::of(&schema);
    let part = Part::Organization(Some(organization_id));
    tables.begin(&schema, part, None)?;
    let (mut first, mut matches, mut owners) = (None, 0_u64, 0_u64);
    let folded = match wanted {
        Wanted::Email(email) => fold(email),
        Wanted::User(_) => String::new(),
    };
    loop {
        let page = tables.next_page()?;
        if page.is_empty() {
            break;
        }
        for record in page {
            let subject = columns.subject(&record, organization_id, organization);
            owners += u64::from(is_owner(&subject));
            let is_wanted = match wanted {
                Wanted::User(id) => *id == record.id,
                Wanted::Email(_) => {
                    let email = subject.email.as_deref();
                    email.is_some_and(|email| fold(email) == folded)
                }
            };
            if is_wanted {
                matches += 1;
                first.get_or_insert(subject);
            }
        }
    }
    Ok(match (first, matches) {
        (Some(subject), 1) => Found::One(Subject {
            is_only_owner: is_owner(&subject) && owners == 1,
            ..subject
        }),
        (Some(_), several) => Found::Several(several),
        (None, _) => Found::Unknown,
    })
}

/// Looks for an organisation. Blocking, as [`find`].
///
/// # Errors
/// If the database cannot be read.
pub fn organization(url: &DatabaseUrl, id: i64) -> Result<Option<Organization>, ReadError> {
    let mut tables = Tables::open(url, &["organization"])?;
    one_organization(&mut tables, id)
}

fn one_organization(tables: &mut Tables, id: i64) -> Result<Option<Organization>, ReadError> {
    let Some(schema) = narrowed(tables, "organization", &["is_active"]) else {
        return Ok(None);
    };
    // Ids behind the one before it: the first of them is it, or there is none.
    let Some(before) = id.checked_sub(1) else {
        return Ok(None);
    };
    tables.begin(&schema, Part::All, Some(before))?;
    let page = tables.next_page()?;
    let record = page.first().filter(|record| record.id == id);
    Ok(record.map(|record| Organization {
        id,
        is_active: record.cells.first().is_none_or(is_true),
    }))
}

/// The schema with only these of its columns, if there is the table.
fn narrowed(tables: &Tables, table: &str, columns: &[&str]) -> Option<TableSchema> {
    let schema = tables.schemas().iter().find(|it| it.name == table)?;
    let mut schema = schema.clone();
    schema
        .columns
        .retain(|column| columns.contains(&column.name.to_ascii_lowercase().as_str()));
    Some(schema)
}

/// Where what is needed stands in a row; what a release does not have is `None`.
struct Columns {
    email: Option<usize>,
    role: Option<usize>,
    is_active: Option<usize>,
}

impl Columns {
    fn of(schema: &TableSchema) -> Self {
        let place = |name: &str| {
            let mut columns = schema.columns.iter();
            columns.position(|column| column.name.eq_ignore_ascii_case(name))
        };
        Self {
            email: place("email"),
            role: place("role"),
            is_active: place("is_active"),
        }
    }

    fn subject(
        &self,
        record: &Record,
        organization_id: i64,
        organization: Option<Organization>,
    ) -> Subject {
        let cell = |place: Option<usize>| place.and_then(|place| record.cells.get(place));
        let text = |place| match cell(place) {
            Some(Cell::Text(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        };
        Subject {
            organization_id,
            user_id: record.id,
            email: text(self.email),
            role: text(self.role),
            is_active: cell(self.is_active).is_none_or(is_true),
            organization_is_active: organization.is_some_and(|it| it.is_active),
            is_only_owner: false,
        }
    }
}

fn is_owner(subject: &Subject) -> bool {
    let role = subject.role.as_deref();
    subject.is_active && role.is_some_and(|role| role.eq_ignore_ascii_case("owner"))
}

fn is_true(cell: &Cell) -> bool {
    match cell {
        Cell::Bool(truth) => *truth,
        Cell::Integer(number) => *number != 0,
        _ => false,
    }
}

/// Folded here and not by the databases: SQLite's `lower` knows ASCII only, PostgreSQL's depends on the locale.
fn fold(email: &str) -> String {
    email.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_by_its_form() {
        assert_eq!(parse_email(" Ada@example.org\n"), Ok("Ada@example.org"));
        assert_eq!(parse_email("ä+b@localhost"), Ok("ä+b@localhost"));
        let longest = format!("{}@example.org", "a".repeat(MAX_EMAIL_BYTES - 12));
        assert_eq!(parse_email(&longest), Ok(longest.as_str()));
        for (text, problem) in [
            ("", EmailProblem::Empty),
            (" \t", EmailProblem::Empty),
            ("ada", EmailProblem::Form),
            ("@example.org", EmailProblem::Form),
            ("ada@", EmailProblem::Form),
            ("a@b@c", EmailProblem::Form),
            ("a d@example.org", EmailProblem::Blank),
            ("ada\u{0}@example.org", EmailProblem::Blank),
            ("ada@exam\u{a0}ple.org", EmailProblem::Blank),
            (&format!("a{longest}"), EmailProblem::TooLong),
        ] {
            assert_eq!(parse_email(text), Err(problem), "{text:?}");
        }
    }

    #[test]
    fn nothing_shows_an_address() {
        let wanted = Wanted::Email("ada@example.org".to_owned());
        assert!(!format!("{wanted:?}").contains("ada"));
    }
}
