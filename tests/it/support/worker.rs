//! Worker processes, as an operator runs them: started, watched over HTTP, killed.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Long enough for a machine that runs other tests as well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What workers of one test share.
pub(crate) struct Setting {
    /// For configurations and logs.
    pub(crate) directory: PathBuf,
    pub(crate) data_dir: PathBuf,
    pub(crate) program: PathBuf,
    pub(crate) state_url: String,
    pub(crate) qwed_url: String,
    pub(crate) key: String,
    /// Further lines of the configuration, by section.
    pub(crate) sections: Vec<(&'static str, String)>,
}

impl Setting {
    pub(crate) fn new(directory: &Path, state_url: &str, qwed_url: &str, key: &str) -> Self {
        Self {
            directory: directory.to_owned(),
            data_dir: directory.to_owned(),
            program: env!("CARGO_BIN_EXE_trailkeeper").into(),
            state_url: state_url.to_owned(),
            qwed_url: qwed_url.to_owned(),
            key: key.to_owned(),
            sections: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, section: &'static str, lines: impl Into<String>) -> Self {
        self.sections.push((section, lines.into()));
        self
    }

    /// No schedules: nothing happens but what the test asks for.
    pub(crate) fn without_schedules(self) -> Self {
        let empty = self.directory.join("no-schedules");
        std::fs::create_dir_all(&empty).expect("make a directory");
        let line = format!("dir = {:?}", empty.display().to_string());
        self.with("jobs", line)
    }

    /// Writes a configuration with an address of its own for metrics.
    pub(crate) fn write(&self, name: &str) -> (PathBuf, SocketAddr) {
        let address = free_address();
        let mut text = format!(
            "data_dir = {:?}\n[qwed]\ndatabase_url = {:?}\n[state]\nurl = {:?}\n[metrics]\nlisten = \"{address}\"\n",
            self.data_dir.display().to_string(),
            self.qwed_url,
            self.state_url,
        );
        let mut names: Vec<&str> = self.sections.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let _ = writeln!(text, "[{name}]");
            for (_, lines) in self.sections.iter().filter(|(other, _)| *other == name) {
                let _ = writeln!(text, "{lines}");
            }
        }
        let path = self.directory.join(format!("{name}.toml"));
        std::fs::write(&path, text).expect("write the configuration");
        (path, address)
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
}

/// A running worker, killed when dropped.
pub(crate) struct Worker {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Worker {
    /// Starts a worker and returns at once.
    pub(crate) fn spawn(setting: &Setting, name: &str) -> Self {
        Self::spawn_with(setting, name, |_| ())
    }

    /// The same, with what `adjust` adds to its environment.
    pub(crate) fn spawn_with(
        setting: &Setting,
        name: &str,
        adjust: impl FnOnce(&mut Command),
    ) -> Self {
        let (config, address) = setting.write(name);
        let log = setting.directory.join(format!("{name}.log"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("open a log");
        let mut command = Command::new(&setting.program);
        command
            .args(["run", "--config"])
            .arg(&config)
            .env_clear()
            .env("QWED_AUDIT_SECRET_KEY", &setting.key)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file);
        adjust(&mut command);
        let child = command.spawn().expect("start a worker");
        Self {
            child,
            address,
            log,
        }
    }

    /// Starts a worker and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(setting: &Setting, name: &str) -> Self {
        let mut worker = Self::spawn(setting, name);
        worker.wait_ready();
        worker
    }

    #[track_caller]
    pub(crate) fn wait_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.get("/readyz").is_none_or(|(status, _)| status != 200) {
            if let Some(status) = self.child.try_wait().expect("look at the worker") {
                panic!("the worker ended ({status}):\n{}", self.log());
            }
            assert!(
                Instant::now() < deadline,
                "the worker is not ready:\n{}",
                self.log()
            );
            pause(20);
        }
    }

    /// Where it tells its metrics.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it answers over HTTP.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }

    /// The value of a metric; `series` is spelled as Prometheus shows it.
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics")?;
        text.lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("look at the worker")
    }

    /// As a crash of the machine would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name])
            .arg(self.child.id().to_string())
            .status()
            .expect("run kill");
        assert!(sent.success());
    }

    #[track_caller]
    pub(crate) fn wait_end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.has_ended() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "the worker does not end:\n{}",
                self.log()
            );
            pause(20);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests wait for other processes, which tell nobody when they are done"
)]
pub(crate) fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        pause(25);
    }
}
