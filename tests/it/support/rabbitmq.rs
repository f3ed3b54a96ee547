//! A private RabbitMQ node for one test: a directory, ports and processes of its own, its port mapper (epmd) among them.
//!
//! The node can be killed and started again on the same ports and data, as after a crash.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::process::{Process, command_that_dies_with_us, free_ports, pause};

const START_TIMEOUT: Duration = Duration::from_secs(120);
/// A free port is only known to have been free a moment ago, so another process may be faster.
const MAX_STARTS: u32 = 3;
/// Debian's `/usr/sbin/rabbitmq-server` insists on its own user and paths; these do not.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// Certificates for a node that speaks TLS and demands a certificate from its clients.
pub(crate) struct ServerTls<'a> {
    pub(crate) ca: &'a Path,
    pub(crate) certificate: &'a Path,
    pub(crate) key: &'a Path,
}

/// A running node, stopped and deleted when dropped.
pub(crate) struct RabbitMq {
    ports: Ports,
    // Dropped in this order: the processes have to be gone before the directory.
    node: Option<Process>,
    _port_mapper: Process,
    directory: TempDir,
}

struct Ports {
    amqp: u16,
    amqps: Option<u16>,
    port_mapper: u16,
    distribution: u16,
}

impl RabbitMq {
    /// Starts a node and returns once it accepts connections.
    ///
    /// # Panics
    ///
    /// When RabbitMQ is not installed, or does not come up within [`START_TIMEOUT`].
    pub(crate) fn start() -> Self {
        Self::start_with(None)
    }

    /// The same, speaking TLS on a port of its own besides.
    pub(crate) fn start_with(tls: Option<&ServerTls>) -> Self {
        assert!(
            Path::new(PROGRAMS).join("rabbitmq-server").is_file(),
            "RabbitMQ was not found in {PROGRAMS}: run scripts/setup"
        );
        for _ in 0..MAX_STARTS {
            if let Some(node) = Self::try_start(tls) {
                return node;
            }
        }
        panic!("RabbitMQ did not start {MAX_STARTS} times");
    }

    fn try_start(tls: Option<&ServerTls>) -> Option<Self> {
        let directory = tempfile::Builder::new()
            .prefix("trailkeeper-rabbitmq-")
            .tempdir()
            .expect("make a directory for RabbitMQ");
        let [amqp, amqps, port_mapper, distribution] = free_ports();
        let ports = Ports {
            amqp,
            amqps: tls.is_some().then_some(amqps),
            port_mapper,
            distribution,
        };
        let mut config = format!("listeners.tcp.local = 127.0.0.1:{amqp}\nloopback_users = none\n");
        if let Some(tls) = tls {
            config += &format!(
                "listeners.ssl.local = 127.0.0.1:{amqps}\nssl_options.cacertfile = {}\nssl_options.certfile = {}\n\
                 ssl_options.keyfile = {}\nssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n",
                tls.ca.display(),
                tls.certificate.display(),
                tls.key.display()
            );
        }
        fs::write(directory.path().join("rabbitmq.conf"), config).expect("write rabbitmq.conf");
        fs::write(directory.path().join("plugins"), "[].").expect("write the list of plugins");

        // Erlang would start one by itself that nobody stops.
        let mut epmd = command_that_dies_with_us("epmd");
        epmd.args(["-address", "127.0.0.1", "-port"])
            .arg(port_mapper.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let port_mapper = Process::start(epmd);
        let mut node = Self {
            ports,
            node: None,
            _port_mapper: port_mapper,
            directory,
        };
        node.launch().then_some(node)
    }

    /// Starts the node's process; whether it came up.
    fn launch(&mut self) -> bool {
        let log = File::create(self.directory.path().join("console.log")).expect("make a log");
        let mut command = command_that_dies_with_us(&format!("{PROGRAMS}/rabbitmq-server"));
        self.set_environment(&mut command);
        command
            // Makes the script become the node, instead of a parent that a kill would not reach through.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log);
        let process = Process::start(command);
        let deadline = Instant::now() + START_TIMEOUT;
        // Its listeners are the last thing that a node starts.
        let ports: Vec<u16> = [Some(self.ports.amqp), self.ports.amqps]
            .into_iter()
            .flatten()
            .collect();
        while !ports
            .iter()
            .all(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_ok())
        {
            if process.has_ended() || Instant::now() > deadline {
                process.stop(&["KILL"]);
                eprintln!("RabbitMQ did not start:\n{}", self.console());
                return false;
            }
            pause();
        }
        self.node = Some(process);
        true
    }

    fn console(&self) -> String {
        fs::read_to_string(self.directory.path().join("console.log")).unwrap_or_default()
    }

    /// The address, as it is configured.
    pub(crate) fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}", self.ports.amqp)
    }

    /// The address of the TLS listener.
    pub(crate) fn tls_url(&self) -> String {
        let port = self.ports.amqps.expect("started with TLS");
        format!("amqps://guest:guest@127.0.0.1:{port}")
    }

    /// Ends the node as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(node) = self.node.take() {
            node.stop(&["KILL"]);
        }
    }

    /// Starts the node again after [`Self::kill`], with its ports and data.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        assert!(self.launch(), "RabbitMQ did not start again");
    }

    /// Runs `rabbitmqctl` and returns what it prints.
    #[track_caller]
    pub(crate) fn ctl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(format!("{PROGRAMS}/rabbitmqctl"));
        self.set_environment(&mut command);
        let output = command
            .arg("--quiet")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("run rabbitmqctl");
        assert!(
            output.status.success(),
            "rabbitmqctl {arguments:?}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Closes every connection, as an operator would.
    pub(crate) fn close_connections(&self) {
        self.ctl(&["close_all_connections", "a test"]);
    }

    /// Deletes a queue, whatever is in it.
    pub(crate) fn delete_queue(&self, name: &str) {
        self.ctl(&["delete_queue", name]);
    }

    /// Raises or clears the memory alarm, which blocks publishers.
    pub(crate) fn set_memory_alarm(&self, on: bool) {
        let watermark = if on { "0.00000001" } else { "0.6" };
        self.ctl(&["set_vm_memory_high_watermark", watermark]);
    }

    fn set_environment(&self, command: &mut Command) {
        // What a developer has set for a node of their own is not for ours.
        for (name, _) in std::env::vars_os() {
            let name_bytes = name.as_encoded_bytes();
            if name_bytes.starts_with(b"RABBITMQ_") || name_bytes.starts_with(b"ERL_") {
                command.env_remove(name);
            }
        }
        let directory = self.directory.path();
        let in_directory = |name: &str| -> PathBuf { directory.join(name) };
        command
            .env("HOME", directory)
            .env(
                "RABBITMQ_NODENAME",
                format!("trailkeeper{}@localhost", self.ports.amqp),
            )
            .env("RABBITMQ_CONFIG_FILE", in_directory("rabbitmq"))
            .env("RABBITMQ_MNESIA_BASE", in_directory("mnesia"))
            .env("RABBITMQ_LOG_BASE", in_directory("log"))
            .env("RABBITMQ_PID_FILE", in_directory("pid"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", in_directory("plugins"))
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", self.ports.port_mapper.to_string())
            .env("RABBITMQ_DIST_PORT", self.ports.distribution.to_string())
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 2:2")
            .current_dir(directory);
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        // Nothing of it is kept, so there is nothing to shut down in order.
        self.kill();
    }
}
