//! `DATABASE_URL` as SQLAlchemy reads it, which is what people paste.
//!
//! The grammar is that of SQLAlchemy's `make_url`: `dialect+driver://user:password@host:port/database?options`.
//! User and password are percent-decoded; a password may hold `/`, `#` and `?` as they are; the database of a
//! SQLite URL is a path, relative behind three slashes, absolute behind four.

use std::{fmt, path::PathBuf, str::FromStr};

use thiserror::Error;
use zeroize::Zeroizing;

use crate::config::Secret;

/// A database that QWED can be configured with.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file.
    Sqlite(PathBuf),
    /// A server.
    Postgres(PostgresUrl),
}

/// Where a PostgreSQL server is. What is absent is left to libpq's variables and defaults.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PostgresUrl {
    /// Role.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// Host name, address or directory of a socket.
    pub host: Option<String>,
    /// TCP port.
    pub port: Option<u16>,
    /// Database.
    pub database: Option<String>,
    /// Options behind `?`, decoded; one of them may be a password.
    pub options: Vec<(String, Secret)>,
}

/// Why a URL cannot be used. Never holds the URL itself, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{problem}; use sqlite:///relative/path.db, sqlite:////absolute/path.db or postgresql://user:password@host:5432/database"
)]
pub struct UrlError {
    problem: String,
}

fn problem(text: impl Into<String>) -> UrlError {
    UrlError {
        problem: text.into(),
    }
}

impl FromStr for DatabaseUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let url = url.trim();
        if url.is_empty() {
            return Err(problem("the database URL is empty"));
        }
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| problem("the database URL has no scheme (nothing before \"://\")"))?;
        let scheme = scheme.to_ascii_lowercase();
        match scheme.split('+').next().unwrap_or_default() {
            "sqlite" => sqlite(rest),
            "postgresql" | "postgres" => postgres(rest).map(Self::Postgres),
            _ => Err(problem(format!(
                "a database URL with the scheme {scheme:?} is not one of QWED's"
            ))),
        }
    }
}

fn sqlite(rest: &str) -> Result<DatabaseUrl, UrlError> {
    let Some(path) = rest.strip_prefix('/') else {
        return Err(problem(if rest.is_empty() {
            "the SQLite URL names a database in memory, which only QWED's own process can read"
        } else {
            "a SQLite URL has three slashes before a relative path and four before an absolute one"
        }));
    };
    let (path, options) = path.split_once('?').unwrap_or((path, ""));
    let path = path.strip_prefix("file:").unwrap_or(path);
    let in_memory = path.is_empty() || path == ":memory:" || options.contains("mode=memory");
    if in_memory {
        return Err(problem(
            "the SQLite URL names a database in memory, which only QWED's own process can read",
        ));
    }
    Ok(DatabaseUrl::Sqlite(PathBuf::from(path)))
}

fn postgres(rest: &str) -> Result<PostgresUrl, UrlError> {
    // As SQLAlchemy's pattern does: the password reaches to the last "@" before the host, whatever it holds.
    let (credentials, rest) = match rest.rsplit_once('@') {
        Some((credentials, rest)) if !credentials.starts_with('/') => (credentials, rest),
        _ => ("", rest),
    };
    let (user, password) = match credentials.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (credentials, None),
    };
    let (location, options) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = match location.split_once('/') {
        Some((authority, database)) => (authority, Some(database)),
        None => (location, None),
    };
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => {
            let (host, rest) = v6
                .split_once(']')
                .ok_or_else(|| problem("the IPv6 address in the database URL lacks its ']'"))?;
            (host, rest.strip_prefix(':'))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port.filter(|port| !port.is_empty()) {
        Some(port) => Some(port.parse().map_err(|_| {
            problem("the port in the database URL is not a number from 0 to 65535")
        })?),
        None => None,
    };
    let present = |text: &str| (!text.is_empty()).then(|| decode(text));
    let options = options
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), Secret::new(decode(value)))
        })
        .collect();
    Ok(PostgresUrl {
        user: present(user),
        password: password.map(|text| Secret::new(decode(text))),
        host: present(host),
        port,
        database: database.and_then(present),
        options,
    })
}

/// Decodes `%XX`; what is not a valid escape stays as it is, as in Python's `unquote`.
fn decode(text: &str) -> String {
    // A password, maybe.
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%').then(|| tail.get(..2)).flatten();
        let byte = escaped
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl fmt::Display for DatabaseUrl {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:///{}", path.display()),
            Self::Postgres(url) => {
                f.write_str("postgresql://")?;
                if let Some(user) = &url.user {
                    write!(f, "{user}@")?;
                }
                f.write_str(url.host.as_deref().unwrap_or_default())?;
                if let Some(port) = url.port {
                    write!(f, ":{port}")?;
                }
                write!(f, "/{}", url.database.as_deref().unwrap_or_default())
            }
        }
    }
}

impl fmt::Debug for PostgresUrl {
    /// Without the password, and without options, which may hold one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&DatabaseUrl::Postgres(self.clone()), f)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(url: &str) -> PathBuf {
        match url.parse() {
            Ok(DatabaseUrl::Sqlite(path)) => path,
            other => panic!("{url}: {other:?}"),
        }
    }

    fn server(url: &str) -> PostgresUrl {
        match url.parse() {
            Ok(DatabaseUrl::Postgres(server)) => server,
            other => panic!("{url}: {other:?}"),
        }
    }

    #[test]
    fn sqlite_paths_are_relative_or_absolute() {
        assert_eq!(path("sqlite:///./qwed.db"), PathBuf::from("./qwed.db"));
        assert_eq!(path("sqlite:///qwed.db"), PathBuf::from("qwed.db"));
        assert_eq!(
            path("sqlite:////var/lib/qwed.db"),
            PathBuf::from("/var/lib/qwed.db")
        );
        assert_eq!(
            path("sqlite+pysqlite:////a b.db?timeout=5"),
            PathBuf::from("/a b.db")
        );
        assert_eq!(path("sqlite+aiosqlite:///q.db"), PathBuf::from("q.db"));
        assert_eq!(
            path("sqlite:///file:/a.db?mode=ro&uri=true"),
            PathBuf::from("/a.db")
        );
    }

    #[test]
    fn every_driver_of_postgresql_is_the_same_server() {
        let expected = PostgresUrl {
            user: Some("qwed".into()),
            password: Some("p@ss/w#rd".into()),
            host: Some("db.example".into()),
            port: Some(5433),
            database: Some("qwed".into()),
            options: vec![],
        };
        for scheme in [
            "postgresql",
            "postgres",
            "postgresql+psycopg2",
            "postgresql+asyncpg",
            "postgresql+psycopg",
            "POSTGRESQL",
        ] {
            let url = format!("{scheme}://qwed:p%40ss%2Fw%23rd@db.example:5433/qwed");
            assert_eq!(server(&url), expected);
            let url = format!("{scheme}://qwed:p@ss/w#rd@db.example:5433/qwed");
            assert_eq!(server(&url), expected);
        }
    }

    #[test]
    fn what_is_absent_stays_absent() {
        assert_eq!(server("postgresql://"), PostgresUrl::default());
        let local = server("postgresql:///qwed?host=/run/postgresql&sslmode=disable");
        assert_eq!((local.host, local.database), (None, Some("qwed".into())));
        assert_eq!(local.options[0], ("host".into(), "/run/postgresql".into()));
        assert_eq!(server("postgres://[::1]:5432/q").host, Some("::1".into()));
    }

    #[test]
    fn says_what_is_wrong_and_never_the_password() {
        for (url, part) in [
            ("", "empty"),
            ("qwed.db", "no scheme"),
            ("mysql://u:secret@h/d", "\"mysql\""),
            ("sqlite://", "in memory"),
            ("sqlite:///:memory:", "in memory"),
            ("sqlite://qwed.db", "three slashes"),
            ("postgresql://u:secret@h:99999/d", "port"),
            ("postgresql://u:secret@[::1/d", "']'"),
        ] {
            let error = url.parse::<DatabaseUrl>().unwrap_err().to_string();
            assert!(error.contains(part), "{url}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let url: DatabaseUrl = "postgresql://u:secret@h/d".parse().unwrap();
        assert_eq!(
            format!("{url} {url:?}"),
            "postgresql://u@h/d postgresql://u@h/d"
        );
    }
}
