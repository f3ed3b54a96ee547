//! A private ministack: an emulator of S3 that heeds `If-None-Match` and checksums, and looks at no signature.

use std::fs::File;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::process::{Process, command_that_dies_with_us, free_ports, pause};
use super::s3::Server;

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running server, stopped when dropped.
pub(crate) struct Ministack {
    pub(crate) server: Server,
    _process: Process,
    _directory: TempDir,
}

impl Ministack {
    /// Starts one and returns once it answers.
    ///
    /// # Panics
    /// When `scripts/setup` has not been run, or it does not come up within [`START_TIMEOUT`].
    pub(crate) fn start() -> Self {
        let python =
            Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("test-tools/venv/bin/python");
        assert!(
            python.is_file(),
            "there is no {}: run scripts/setup",
            python.display()
        );
        let directory = tempfile::Builder::new()
            .prefix("trailkeeper-ministack-")
            .tempdir()
            .expect("make a directory for ministack");
        let [port] = free_ports();
        let path = directory.path().join("log");
        let log = File::create(&path).expect("make a log");
        let mut command = command_that_dies_with_us(&python.display().to_string());
        command
            .args(["-m", "ministack"])
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("IOT_MTLS_ENABLED", "0")
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log);
        let process = Process::start(command);
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(
                !process.has_ended() && Instant::now() < deadline,
                "ministack did not start: {}",
                std::fs::read_to_string(&path).unwrap_or_default()
            );
            pause();
        }
        Self {
            server: Server {
                endpoint: format!("http://127.0.0.1:{port}"),
                access_key: "trailkeeper",
                secret_key: "hunter2",
            },
            _process: process,
            _directory: directory,
        }
    }
}
