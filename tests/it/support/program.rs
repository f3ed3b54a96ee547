//! Runs the built program as an operator would, in an environment of which every variable is known.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// What signed the fixtures.
pub(crate) const FIXTURE_KEY: &str = "fixture-audit-key-0123456789abcdef-0123";

/// The program with no variables but those given.
pub(crate) struct Program(Command);

impl Program {
    /// Without a key.
    pub(crate) fn bare() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trailkeeper"));
        command.env_clear().stdin(Stdio::null());
        Self(command)
    }

    /// `verify` with the key of the fixtures.
    pub(crate) fn verify(database: &Path) -> Self {
        Self::bare()
            .env("QWED_AUDIT_SECRET_KEY", FIXTURE_KEY)
            // What a worker keeps on this machine is not for the program under test.
            .env("TRAILKEEPER__DATA_DIR", "/nonexistent/trailkeeper")
            .args(["verify", "--database", &url(database)])
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.0.arg(argument);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.0.args(arguments);
        self
    }

    pub(crate) fn directory(mut self, directory: &Path) -> Self {
        self.0.current_dir(directory);
        self
    }

    /// The command, for tests that wire it up themselves.
    pub(crate) fn into_command(self) -> Command {
        self.0
    }

    pub(crate) fn run(mut self) -> Run {
        let output = self.0.output().expect("start the program");
        Run::from(output)
    }

    /// Runs it with `--format json`; the document must be the only thing on standard output.
    pub(crate) fn json(self) -> (Run, Value) {
        let run = self.args(["--format", "json"]).run();
        let document = run.json();
        (run, document)
    }
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    /// `None` when a signal killed it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
        }
    }
}

impl Run {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "one document: {self:?}");
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON document ({error}): {self:?}"))
    }

    /// The exit code, and the one line that says why; nothing else was printed.
    #[track_caller]
    pub(crate) fn failure(&self) -> (Option<i32>, &str) {
        assert_eq!(self.stdout, "", "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        assert!(
            !self.stderr.to_lowercase().contains("backtrace"),
            "{self:?}"
        );
        let line = self.stderr.strip_suffix('\n').expect("a whole line");
        assert!(!line.contains('\n'), "one line: {self:?}");
        (self.code, line)
    }
}

/// The URL of a SQLite file by its absolute path.
pub(crate) fn url(path: &Path) -> String {
    format!("sqlite:///{}", path.display())
}

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A fixture's copy, in a directory of its own that goes with it.
pub(crate) struct Copy {
    pub(crate) path: PathBuf,
    pub(crate) directory: TempDir,
}

impl Copy {
    pub(crate) fn of(name: &str) -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let path = directory.path().join(name).with_extension("db");
        let fixture = fixtures().join(name).with_extension("db");
        // Not fs::copy, which would also copy that a checkout may be read-only.
        let content = std::fs::read(&fixture).expect("read the fixture");
        std::fs::write(&path, content).expect("copy the fixture");
        Self { path, directory }
    }
}
