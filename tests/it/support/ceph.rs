//! A private Ceph for one test: one monitor, one OSD that keeps everything in memory, and RADOS Gateway, which speaks S3
//! and enforces Object Lock. Its own directory, ports and processes.
//!
//! What it lacks against AWS: it ignores `If-None-Match` on PUT and the value of checksums, and drops the headers of a lock
//! when an upload in parts begins.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::process::{Process, command_that_dies_with_us, free_ports, pause};
use super::s3::Server;

const START_TIMEOUT: Duration = Duration::from_secs(120);
/// A free port is only known to have been free a moment ago, so another process may be faster.
const MAX_STARTS: u32 = 3;
const ACCESS_KEY: &str = "trailkeeper";
const SECRET_KEY: &str = "hunter2hunter2";

/// Running servers, stopped and deleted when dropped.
pub(crate) struct Ceph {
    pub(crate) server: Server,
    // Dropped in this order: an OSD that cannot reach its monitor any more hangs.
    _gateway: Process,
    _osd: Process,
    _monitor: Process,
    directory: TempDir,
}

impl Ceph {
    /// Starts everything and returns once the gateway answers.
    ///
    /// # Panics
    /// When Ceph is not installed, or does not come up within [`START_TIMEOUT`].
    pub(crate) fn start() -> Self {
        let started = Instant::now();
        for _ in 0..MAX_STARTS {
            if let Some(ceph) = Self::try_start() {
                eprintln!("Ceph was ready after {:?}", started.elapsed());
                return ceph;
            }
        }
        panic!("Ceph did not start {MAX_STARTS} times");
    }

    fn try_start() -> Option<Self> {
        let directory = tempfile::Builder::new()
            .prefix("trailkeeper-ceph-")
            .tempdir()
            .expect("make a directory for Ceph");
        let at = |name: &str| directory.path().join(name);
        for name in ["mon", "osd", "rgw", "run", "log"] {
            fs::create_dir(at(name)).expect("make a directory for a server");
        }
        let [monitor, monitor_v1, gateway] = free_ports();
        let addresses = format!("[v2:127.0.0.1:{monitor},v1:127.0.0.1:{monitor_v1}]");
        let fsid = uuid::Uuid::now_v7().to_string();
        let config = config(directory.path(), &fsid, &addresses, gateway);
        fs::write(at("ceph.conf"), config).expect("write ceph.conf");
        let tools = Tools(directory.path());
        tools.make_keys();
        let map = at("monmap").display().to_string();
        let keyring = at("keyring").display().to_string();
        tools.run(
            "monmaptool",
            &["--create", "--fsid", &fsid, "--addv", "a", &addresses, &map],
        );
        let make = ["--mkfs", "-i", "a", "--monmap", &map, "--keyring", &keyring];
        tools.run("ceph-mon", &make);

        let deadline = Instant::now() + START_TIMEOUT;
        let monitor = tools.start("ceph-mon", &["-f", "-i", "a"]);
        wait(deadline, &monitor, || {
            tools.asks("ceph", &["quorum_status"]).is_some()
        })?;
        let osd_id = uuid::Uuid::now_v7().to_string();
        tools.run("ceph", &["osd", "new", &osd_id]);
        tools.run("ceph-osd", &["-i", "0", "--mkfs", "--osd-uuid", &osd_id]);
        let osd = tools.start("ceph-osd", &["-f", "-i", "0"]);
        wait(deadline, &osd, || {
            let told = tools.asks("ceph", &["osd", "stat"]);
            told.is_some_and(|told| told.contains("1 up"))
        })?;
        let radosgw = tools.start("radosgw", &["-f", "-n", "client.rgw.a"]);
        wait(deadline, &radosgw, || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, gateway)).is_ok()
        })?;
        let user = ["user", "create", "--uid=worm", "--display-name=worm"];
        let access = format!("--access-key={ACCESS_KEY}");
        let secret = format!("--secret-key={SECRET_KEY}");
        tools.run("radosgw-admin", &[&user[..], &[&access, &secret]].concat());
        Some(Self {
            server: Server {
                endpoint: format!("http://127.0.0.1:{gateway}"),
                access_key: ACCESS_KEY,
                secret_key: SECRET_KEY,
            },
            _gateway: radosgw,
            _osd: osd,
            _monitor: monitor,
            directory,
        })
    }

    /// Kilobytes of memory that the servers use together.
    pub(crate) fn memory_kb(&self) -> u64 {
        let resident = |process: &Process| {
            let path = format!("/proc/{}/status", process.id());
            let status = fs::read_to_string(path).unwrap_or_default();
            let line = status.lines().find(|line| line.starts_with("VmRSS:"));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
                .unwrap_or(0)
        };
        debug_assert!(self.directory.path().is_dir());
        [&self._gateway, &self._osd, &self._monitor]
            .map(resident)
            .iter()
            .sum()
    }
}

/// Waits until it is ready; none if its process has ended, as it does when a port is taken.
fn wait(deadline: Instant, process: &Process, mut is_ready: impl FnMut() -> bool) -> Option<()> {
    while !is_ready() {
        if process.has_ended() || Instant::now() > deadline {
            return None;
        }
        pause();
    }
    Some(())
}

/// Ceph's programs, with the configuration in a directory.
struct Tools<'a>(&'a Path);

impl Tools<'_> {
    fn make_keys(&self) {
        let keyring = self.0.join("keyring").display().to_string();
        let all = ["--cap", "mon", "allow *"];
        for (index, (name, caps)) in [
            ("mon.", &all[..]),
            (
                "client.admin",
                &[
                    "--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *",
                ],
            ),
            (
                "client.rgw.a",
                &["--cap", "mon", "allow rw", "--cap", "osd", "allow rwx"],
            ),
            (
                "osd.0",
                &[
                    "--cap",
                    "mon",
                    "allow profile osd",
                    "--cap",
                    "osd",
                    "allow *",
                ],
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let mut arguments = vec![keyring.as_str(), "--gen-key", "-n", name];
            if index == 0 {
                arguments.insert(0, "--create-keyring");
            }
            arguments.extend(caps);
            self.run("ceph-authtool", &arguments);
        }
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        self.arrange(&mut command, arguments);
        command
    }

    fn arrange(&self, command: &mut Command, arguments: &[&str]) {
        command
            .args(arguments)
            .env("CEPH_CONF", self.0.join("ceph.conf"))
            .env_remove("CEPH_ARGS")
            .env_remove("CEPH_KEYRING")
            .current_dir(self.0)
            .stdin(Stdio::null());
    }

    #[track_caller]
    fn output(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program, arguments)
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}; scripts/setup installs it"))
    }

    #[track_caller]
    fn run(&self, program: &str, arguments: &[&str]) {
        let output = self.output(program, arguments);
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// What it prints, if it succeeds.
    fn asks(&self, program: &str, arguments: &[&str]) -> Option<String> {
        let output = self.output(program, &[&["--connect-timeout", "5"], arguments].concat());
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn start(&self, program: &str, arguments: &[&str]) -> Process {
        let path: PathBuf = self.0.join("log").join(format!("{program}.out"));
        let log = File::create(path).expect("make a log");
        let mut command = command_that_dies_with_us(program);
        self.arrange(&mut command, arguments);
        command
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log);
        Process::start(command)
    }
}

fn config(directory: &Path, fsid: &str, addresses: &str, gateway: u16) -> String {
    let d = directory.display();
    format!(
        "[global]
fsid = {fsid}
mon host = {addresses}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
keyring = {d}/keyring
run dir = {d}/run
admin socket = {d}/run/$name.asok
log file = {d}/log/$name.log
pid file = {d}/run/$name.pid
crash dir = {d}/run
# One of each, and no waiting for others.
paxos propose interval = 0.02
paxos min wait = 0.01
mon tick interval = 1
osd mon heartbeat interval = 1
auth allow insecure global id reclaim = false
osd pool default size = 1
osd pool default min size = 1
mon allow pool size one = true
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon max pg per osd = 1000
mon data avail warn = 1
mon data avail crit = 1
# Nothing is written to disk.
osd objectstore = memstore
memstore device bytes = 1073741824
osd op num shards = 1
rgw enable ops log = false
rgw dynamic resharding = false
rgw override bucket index max shards = 1
rgw enable quota threads = false
rgw enable usage log = false
rgw run sync thread = false
rgw thread pool size = 16
[mon.a]
mon data = {d}/mon
[osd.0]
osd data = {d}/osd
[client.rgw.a]
rgw data = {d}/rgw
rgw frontends = beast endpoint=127.0.0.1:{gateway}
"
    )
}
