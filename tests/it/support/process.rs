//! Server programs that tests start, and stop by their process ids.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, ExitStatus};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A child process, started and reaped by a thread that lives as long as the process: the kernel sends the death signal
/// when the *thread* that started a process ends.
pub(crate) struct Process {
    pid: u32,
    keeper: Option<JoinHandle<ExitStatus>>,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        let (sender, receiver) = mpsc::channel();
        let keeper = thread::spawn(move || {
            let mut child = command
                .spawn()
                .unwrap_or_else(|error| panic!("{command:?}: {error}; scripts/setup installs it"));
            sender.send(child.id()).expect("the starter is waiting");
            child.wait().expect("wait for the process")
        });
        Self {
            pid: receiver.recv().expect("the process was started"),
            keeper: Some(keeper),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.pid
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.keeper.as_ref().is_none_or(JoinHandle::is_finished)
    }

    pub(crate) fn stop(mut self, signals: &[&str]) {
        self.signal(signals);
    }

    fn signal(&mut self, signals: &[&str]) {
        for signal in signals {
            if self.has_ended() {
                break;
            }
            // std can only kill its own handle, which the keeper holds. The id is not reused before the keeper has
            // reaped the process.
            let _ = Command::new("sh")
                .args(["-c", "kill -s \"$0\" \"$1\" 2>&-", signal])
                .arg(self.pid.to_string())
                .status();
            let deadline = Instant::now() + STOP_TIMEOUT;
            while !self.has_ended() && Instant::now() < deadline {
                pause();
            }
        }
        // Not unwrapped: this runs in a destructor, where a second panic would abort.
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.keeper.is_some() {
            self.signal(&["TERM", "KILL"]);
        }
    }
}

/// On Linux the kernel stops the program when the test process dies, however that happens.
pub(crate) fn command_that_dies_with_us(program: &str) -> Command {
    let has_setpriv = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|d| d.join("setpriv").is_file()));
    if !has_setpriv {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Below the range that the system takes ports for outgoing connections from: while the node is down, clients that try
/// to reach it could otherwise be given its own port. All are taken before one is given up, so that they differ.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [TcpListener; N] = std::array::from_fn(|_| {
        let free = (0..1_000).find_map(|_| {
            TcpListener::bind((Ipv4Addr::LOCALHOST, fastrand::u16(15_000..32_000))).ok()
        });
        free.expect("find a free port")
    });
    listeners.map(|listener| listener.local_addr().expect("the port found").port())
}

#[expect(
    clippy::disallowed_methods,
    reason = "another program's state can only be polled"
)]
pub(crate) fn pause() {
    thread::sleep(Duration::from_millis(20));
}
