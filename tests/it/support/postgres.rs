//! A private PostgreSQL server for one test: a directory, a port and a process of its own.
//!
//! Every test process that needs a server starts one, so that tests share nothing and may do what
//! they like to it. That stays cheap because `initdb` runs once per machine: its result is kept as
//! a template among the build's artefacts, and a server starts from a copy.
//!
//! Durability is switched off. A test about crashes wants its own settings.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const START_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// A free port is only known to have been free a moment ago, so another process may be faster.
const MAX_PORTS_TRIED: u32 = 5;
/// How much of the server's log a failure shows.
const LOG_TAIL_LINES: usize = 30;
/// Part of the template's name: count it up whenever `initdb`'s arguments change.
const TEMPLATE_FORMAT: u32 = 1;

/// A running server, stopped and deleted when dropped.
pub(crate) struct Postgres {
    programs: Programs,
    port: u16,
    user: ServerUser,
    // Dropped in this order: the server has to be gone before its directory.
    server: Option<Server>,
    directory: TempDir,
}

impl Postgres {
    /// Starts a server and returns once it accepts connections.
    ///
    /// # Panics
    ///
    /// When PostgreSQL is not installed, or the server does not come up within [`START_TIMEOUT`].
    pub(crate) fn start() -> Self {
        let programs = Programs::find();
        let directory = tempfile::Builder::new()
            .prefix("trailkeeper-postgres-")
            .tempdir()
            .expect("make a directory for PostgreSQL");
        let user = ServerUser::choose(directory.path());
        let data = directory.path().join("data");
        copy(&template(&programs, &user), &data);

        for _ in 0..MAX_PORTS_TRIED {
            let port = free_port();
            if let Some(server) = Server::launch(&programs, &user, directory.path(), port) {
                return Self {
                    programs,
                    port,
                    user,
                    server: Some(server),
                    directory,
                };
            }
        }
        panic!(
            "PostgreSQL found each of {MAX_PORTS_TRIED} free ports taken when it came to use it"
        );
    }

    /// The address of one database, in the form that both QWED and trailkeeper read.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes an empty database.
    #[track_caller]
    pub(crate) fn create_database(&self, name: &str) {
        assert!(
            name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
            "{name:?} would need quoting"
        );
        self.psql("postgres", &format!("create database \"{name}\""));
    }

    /// Runs SQL (several statements and psql's own commands too) and returns what it prints: one
    /// line a row, columns separated by `|`, without headings and without the last line's end.
    ///
    /// # Panics
    ///
    /// At the first error, with what psql says of it.
    #[track_caller]
    pub(crate) fn psql(&self, database: &str, sql: &str) -> String {
        let mut command = self.programs.command("psql");
        command
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(["--set", "ON_ERROR_STOP=1", "--file", "-", "--dbname"])
            .arg(self.url(database));
        // From stdin, so that the length is not limited and each statement is its own transaction.
        let output = run_with_input(command, sql.as_bytes());
        assert!(
            output.status.success(),
            "psql: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout).expect("psql prints UTF-8");
        text.strip_suffix('\n').unwrap_or(&text).to_owned()
    }

    /// Stops the server, which ends its connections, and starts it again at the same address.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let server = Server::launch(&self.programs, &self.user, self.directory.path(), self.port);
        self.server = Some(server.expect("the port is still free"));
    }

    /// Stops the server, ending its connections. Later calls do nothing.
    pub(crate) fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The server's process.
struct Server {
    pid: u32,
    /// Started and reaped by a thread that lives as long as the process. The thread matters: the
    /// kernel sends the death signal when the *thread* that started a process ends, so a server
    /// started on a test's thread could not outlive it, in a `static` for instance.
    keeper: JoinHandle<ExitStatus>,
}

impl Server {
    /// Starts the server in `directory`; `None` when the port turned out to be taken.
    fn launch(programs: &Programs, user: &ServerUser, directory: &Path, port: u16) -> Option<Self> {
        let data = directory.join("data");
        let log_path = directory.join("server.log");
        let log = File::create(&log_path).expect("make the server's log");

        let mut command = programs.command_that_dies_with_us("postgres");
        command.arg("-D").arg(&data);
        command.arg("-p").arg(port.to_string());
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=100",
            "shared_buffers=128MB",
            "fsync=off",
            "full_page_writes=off",
            "timezone=UTC",
            "log_timezone=UTC",
        ] {
            command.args(["-c", setting]);
        }
        user.apply(&mut command, directory);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the server's log"))
            .stderr(log);

        let (sender, receiver) = mpsc::channel();
        let keeper = thread::spawn(move || {
            let mut child = command.spawn().expect("start postgres");
            sender.send(child.id()).expect("the starter is waiting");
            child.wait().expect("wait for postgres")
        });
        let pid = receiver.recv().expect("postgres was started");
        let server = Self { pid, keeper };

        // The server writes its state as the last line of this file. Asking the port instead could
        // be answered by another test's server, if that one was faster to take it.
        let state_path = data.join("postmaster.pid");
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let state = fs::read_to_string(&state_path).unwrap_or_default();
            if state.lines().nth(7).map(str::trim) == Some("ready") {
                return Some(server);
            }
            let ended = server.keeper.is_finished();
            if ended || Instant::now() > deadline {
                server.stop();
                let log = fs::read_to_string(&log_path).unwrap_or_default();
                if ended && log.contains("could not bind") {
                    return None;
                }
                let problem = if ended {
                    "ended at once"
                } else {
                    "is not ready yet"
                };
                panic!("PostgreSQL {problem}; its log ends:\n{}", tail(&log));
            }
            pause();
        }
    }

    fn stop(self) {
        // SIGINT is PostgreSQL's fast shutdown. A postmaster that is killed takes its children
        // with it, if a little later.
        for signal in ["INT", "KILL"] {
            if self.keeper.is_finished() {
                break;
            }
            // std can only kill. This is safe from reused process ids, since a process that has
            // ended keeps its id until the keeper has reaped it and finished.
            let _ = Command::new("sh")
                .args(["-c", "kill -s \"$0\" \"$1\" 2>&-", signal])
                .arg(self.pid.to_string())
                .status();
            let deadline = Instant::now() + STOP_TIMEOUT;
            while !self.keeper.is_finished() && Instant::now() < deadline {
                pause();
            }
        }
        // Not unwrapped: this runs in a destructor, where a second panic would abort.
        let _ = self.keeper.join();
    }
}

/// Where PostgreSQL's programs are.
struct Programs {
    directory: PathBuf,
}

impl Programs {
    fn find() -> Self {
        let directory = match std::env::var_os("TRAILKEEPER_PG_BINDIR") {
            Some(directory) => Some(PathBuf::from(directory)),
            None => Self::newest_of_debian().or_else(Self::named_by_pg_config),
        };
        let directory = directory.filter(|d| Self::complete(d)).unwrap_or_else(|| {
            panic!(
                "PostgreSQL's server programs (postgres, initdb) were not found: run scripts/setup, \
                 or set TRAILKEEPER_PG_BINDIR to the directory that holds them"
            )
        });
        Self { directory }
    }

    fn complete(directory: &Path) -> bool {
        ["postgres", "initdb"]
            .iter()
            .all(|program| directory.join(program).is_file())
    }

    /// Debian keeps the server programs of each major version apart and off the PATH.
    fn newest_of_debian() -> Option<PathBuf> {
        fs::read_dir("/usr/lib/postgresql")
            .ok()?
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let major: u32 = path.file_name()?.to_str()?.parse().ok()?;
                Some((major, path.join("bin")))
            })
            .filter(|(_, directory)| Self::complete(directory))
            .max()
            .map(|(_, directory)| directory)
    }

    fn named_by_pg_config() -> Option<PathBuf> {
        let output = Command::new("pg_config").arg("--bindir").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(PathBuf::from(text.trim_end()))
    }

    fn path(&self, program: &str) -> PathBuf {
        let path = self.directory.join(program);
        // The client may be installed elsewhere than the server.
        if path.is_file() {
            path
        } else {
            PathBuf::from(program)
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.path(program));
        Self::clean_environment(&mut command);
        command
    }

    /// On Linux the kernel stops the program when the test process dies, however that happens.
    /// Elsewhere a test that is killed leaves its server behind.
    fn command_that_dies_with_us(&self, program: &str) -> Command {
        if !on_path("setpriv") {
            return self.command(program);
        }
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "INT", "--"])
            .arg(self.path(program));
        Self::clean_environment(&mut command);
        command
    }

    /// What a developer sets for the servers they work with (PGHOST, PGOPTIONS, …) is not for ours.
    fn clean_environment(command: &mut Command) {
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"PG") {
                command.env_remove(name);
            }
        }
    }

    /// Such as `15.18`.
    fn version(&self) -> String {
        let output = succeed(self.command("postgres").arg("--version"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
        let version = text
            .split_whitespace()
            .nth(2)
            .expect("postgres names its version");
        version.to_owned()
    }
}

/// Whom the server runs as. PostgreSQL refuses to run as root, which is what containers run tests
/// as, so root hands over to a user without privileges.
struct ServerUser {
    /// User and group ids to change to; `None` to stay who we are.
    other: Option<(u32, u32)>,
    uid: u32,
}

impl ServerUser {
    /// Chooses the user and gives them `directory`, which we own.
    fn choose(directory: &Path) -> Self {
        let uid = fs::metadata(directory)
            .expect("look at the directory")
            .uid();
        if uid != 0 {
            return Self { other: None, uid };
        }
        let (uid, gid) = ["postgres", "nobody"]
            .iter()
            .find_map(|name| Some((id("-u", name)?, id("-g", name)?)))
            .expect("root needs a user postgres or nobody to run PostgreSQL as");
        let closed = directory.ancestors().skip(1).find(|ancestor| {
            fs::metadata(ancestor).is_ok_and(|m| m.permissions().mode() & 0o001 == 0)
        });
        if let Some(closed) = closed {
            panic!(
                "PostgreSQL runs as another user when the tests run as root, and that user cannot \
                 enter {}: set TMPDIR to a directory that everyone may enter",
                closed.display()
            );
        }
        chown(directory, Some(uid), Some(gid)).expect("give the directory away");
        Self {
            other: Some((uid, gid)),
            uid,
        }
    }

    fn apply(&self, command: &mut Command, directory: &Path) {
        if let Some((uid, gid)) = self.other {
            // std drops root's supplementary groups together with its user id.
            command.uid(uid).gid(gid);
        }
        // Where the test runs, the other user may not be allowed to be.
        command.current_dir(directory);
    }
}

/// One of a user's numbers, by `id`'s option for it.
fn id(option: &str, user: &str) -> Option<u32> {
    let output = Command::new("id").args([option, user]).output().ok()?;
    String::from_utf8(output.stdout)
        .ok()?
        .trim_end()
        .parse()
        .ok()
}

/// The freshly initialised data directory that servers start from, made by whichever process comes
/// first. It is complete once it has its name, and never changes after.
fn template(programs: &Programs, user: &ServerUser) -> PathBuf {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let name = format!(
        "postgres-{}-{}-{TEMPLATE_FORMAT}",
        programs.version(),
        user.uid
    );
    let finished = parent.join(&name);
    if finished.is_dir() {
        return finished;
    }

    fs::create_dir_all(parent).expect("make the directory for test artefacts");
    let lock = File::create(parent.join("postgres.lock")).expect("open the template's lock");
    lock.lock().expect("lock the template");
    if finished.is_dir() {
        return finished;
    }

    // Not made in its place: the server's user need not be allowed to enter the build's directory.
    let directory = tempfile::tempdir().expect("make a directory for initdb");
    let user = ServerUser::choose(directory.path());
    let data = directory.path().join("data");
    let mut initdb = programs.command("initdb");
    initdb
        .args([
            "--no-sync",
            "--no-instructions",
            "--auth=trust",
            "--username=postgres",
        ])
        .args(["--locale=C.UTF-8", "--encoding=UTF8", "--pgdata"])
        .arg(&data);
    user.apply(&mut initdb, directory.path());
    succeed(&mut initdb);

    // The rename is what makes it valid; an unfinished copy may be left by a process that was killed.
    let unfinished = parent.join(format!("{name}.unfinished"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).expect("remove an unfinished template");
    }
    copy(&data, &unfinished);
    fs::rename(&unfinished, &finished).expect("name the template");
    finished
}

/// Copies a directory with its owners and permissions, both of which PostgreSQL checks.
fn copy(from: &Path, to: &Path) {
    succeed(Command::new("cp").arg("-a").arg(from).arg(to));
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("find a free port");
    listener.local_addr().expect("the port found").port()
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|d| d.join(program).is_file()))
}

fn run_with_input(mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; scripts/setup installs it"));
    let mut stdin = child.stdin.take().expect("stdin is piped");
    thread::scope(|scope| {
        // Written beside the reading: a program that answers before it has read everything would
        // otherwise wait for us while we wait for it. It may also end before the input does.
        scope.spawn(move || {
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().expect("read the output")
    })
}

fn succeed(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}

#[expect(
    clippy::disallowed_methods,
    reason = "another program's state can only be polled"
)]
fn pause() {
    thread::sleep(Duration::from_millis(5));
}
