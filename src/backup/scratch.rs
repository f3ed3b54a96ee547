//! A database for a drill, which goes when the drill does. It holds personal data in the clear meanwhile.
//!
//! There is one at a time in each place, held by a lock; what a drill that was killed left is taken away by the next.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use super::BackupError;
use crate::{
    config::Config,
    private,
    qwed::{
        ReadError,
        postgres::{Session, connect_options},
        url::{DatabaseUrl, PostgresUrl},
    },
};

/// The database that is made on a PostgreSQL server has a name that begins with it.
const DATABASE: &str = "trailkeeper_drill_";
/// The lock that its server keeps, as `pg_locks` shows it.
const LOCK: i64 = 0x7472_6169_6c6b_6472;

/// The server that `backup.scratch_url` names; `None` where it names none.
///
/// # Errors
/// If it is no URL of a PostgreSQL server.
pub fn scratch_server(config: &Config) -> Result<Option<PostgresUrl>, BackupError> {
    let url = &config.backup.scratch_url;
    if url.is_empty() {
        return Ok(None);
    }
    match url.expose().parse() {
        Ok(DatabaseUrl::Sqlite(_)) => Err(BackupError::Refused(
            "backup.scratch_url has to be a PostgreSQL server's; leave it empty for a file in data_dir".to_owned(),
        )),
        Ok(DatabaseUrl::Postgres(url)) => Ok(Some(url)),
        Err(error) => Err(BackupError::Refused(format!("backup.scratch_url: {error}"))),
    }
}

/// A scratch database. Made, used and dropped on a thread that may wait.
pub(super) struct Scratch {
    /// Where it is.
    pub(super) url: DatabaseUrl,
    place: Place,
}

enum Place {
    File {
        path: PathBuf,
        _lock: File,
    },
    Server {
        session: Box<Session>,
        maintenance: PostgresUrl,
        name: String,
    },
    Gone,
}

impl Scratch {
    /// Makes one: on the server of this URL, named after the place that drills, or a file in the directory.
    pub(super) fn make(
        server: Option<&PostgresUrl>,
        directory: &Path,
        place: &str,
    ) -> Result<Self, BackupError> {
        match server {
            Some(url) => Self::on_server(url, format!("{DATABASE}{place}")),
            None => Self::in_directory(directory),
        }
    }

    fn in_directory(directory: &Path) -> Result<Self, BackupError> {
        let fail = |error: std::io::Error| {
            let directory = directory.display();
            BackupError::Refused(format!(
                "no scratch database can be made in {directory}: {error}"
            ))
        };
        private::create_directory(directory).map_err(fail)?;
        let lock = File::create(directory.join("drill.lock")).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy()),
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
        let path = directory.join("drill.db");
        remove(&path).map_err(fail)?;
        Ok(Self {
            url: DatabaseUrl::Sqlite(path.clone()),
            place: Place::File { path, _lock: lock },
        })
    }

    fn on_server(url: &PostgresUrl, name: String) -> Result<Self, BackupError> {
        let mut session = connect(url)?;
        let lock = format!("SELECT pg_try_advisory_lock({LOCK})");
        let locked: Vec<(bool,)> = session.rows(&lock)?;
        if !locked.first().is_some_and(|(locked,)| *locked) {
            return Err(busy());
        }
        session.execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))?;
        session.execute(&format!(
            "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"
        ))?;
        Ok(Self {
            url: DatabaseUrl::Postgres(PostgresUrl {
                database: Some(name.clone()),
                ..url.clone()
            }),
            place: Place::Server {
                session: Box::new(session),
                maintenance: url.clone(),
                name,
            },
        })
    }
}

impl Scratch {
    /// Destroys it.
    ///
    /// # Errors
    /// Why that is left to the operator, in words.
    pub(super) fn destroy(mut self) -> Result<(), String> {
        self.remove()
    }

    fn remove(&mut self) -> Result<(), String> {
        let removed = match std::mem::replace(&mut self.place, Place::Gone) {
            Place::Gone => Ok(()),
            Place::File { path, _lock } => remove(&path).map_err(|error| error.to_string()),
            Place::Server {
                mut session,
                maintenance,
                name,
            } => {
                let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                // The session was idle for as long as the drill took: somebody may have ended it.
                let dropped = session.execute(&drop).map_err(BackupError::from);
                let dropped = dropped.or_else(|_| Ok(connect(&maintenance)?.execute(&drop)?));
                dropped.map_err(|error: BackupError| error.to_string())
            }
        };
        removed.map_err(|problem| {
            format!(
                "the scratch database {} could not be destroyed, and holds personal data in the clear: remove it ({problem})",
                self.url
            )
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(problem) = self.remove() {
            tracing::error!("{problem}");
        }
    }
}

fn connect(url: &PostgresUrl) -> Result<Session, BackupError> {
    let location = DatabaseUrl::Postgres(url.clone()).to_string();
    let options = connect_options(url).map_err(|problem| ReadError::Postgres {
        location: location.clone(),
        problem,
    })?;
    Ok(Session::connect(&options, &location)?)
}

/// Takes away what a drill that was killed left in the directory. One that is under way is left alone.
pub fn sweep_scratch(directory: &Path) {
    if let Ok(lock) = File::open(directory.join("drill.lock"))
        && lock.try_lock().is_ok()
        && let Err(error) = remove(&directory.join("drill.db"))
    {
        tracing::error!(%error, directory = %directory.display(), "cannot remove what a drill left: it holds personal data");
    }
}

fn busy() -> BackupError {
    BackupError::Refused("another drill is under way in the same place".to_owned())
}

/// Takes a SQLite database away with all that SQLite makes beside it.
fn remove(path: &Path) -> std::io::Result<()> {
    for end in ["", "-journal", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        match fs::remove_file(name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
