//! The worker as systemd runs it: told of readiness, life and end, under another user, with little that it may write.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use trailkeeper::demo;

use super::Scene;
use crate::support::{
    store::block_on,
    worker::{PATIENCE, Setting, Worker},
};

/// Whom systemd would run it as; any user without rights does.
const NOBODY: u32 = 65_534;

/// The next states that the worker tells, until `wanted` is among them.
#[track_caller]
fn hear(socket: &UnixDatagram, wanted: &str) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut heard = Vec::new();
    while Instant::now() < deadline {
        let mut buffer = [0; 4096];
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let text = String::from_utf8(buffer[..length].to_vec()).expect("UTF-8");
                heard.extend(text.lines().map(str::to_owned));
                if heard.iter().any(|state| state == wanted) {
                    return heard;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("cannot hear the worker: {error}"),
        }
    }
    panic!("{wanted} was not told, but {heard:?}");
}

#[test]
fn systemd_is_told_of_readiness_life_and_end() {
    block_on(async {
        let scene = Scene::on_sqlite().await;
        let path = scene.setting.directory.join("notify");
        let socket = UnixDatagram::bind(&path).expect("bind a socket");
        let timeout = Some(Duration::from_secs(1));
        socket.set_read_timeout(timeout).expect("set a timeout");
        let mut worker = Worker::spawn_with(&scene.setting, "worker", |command| {
            // Every 100 ms.
            command
                .env("NOTIFY_SOCKET", &path)
                .env("WATCHDOG_USEC", "300000");
        });
        let start = hear(&socket, "READY=1");
        assert!(!start.contains(&"STOPPING=1".to_owned()), "{start:?}");
        for _ in 0..3 {
            hear(&socket, "WATCHDOG=1");
        }
        worker.signal("TERM");
        let end = hear(&socket, "STOPPING=1");
        assert!(!end.contains(&"READY=1".to_owned()), "{end:?}");
        assert_eq!(worker.wait_end().code(), Some(0), "{}", worker.log());
    });
}

/// A watchdog that was asked of another process, as by a shell that systemd started, is none of the worker's.
#[test]
fn a_watchdog_for_somebody_else_is_left_alone() {
    block_on(async {
        let scene = Scene::on_sqlite().await;
        let path = scene.setting.directory.join("notify");
        let socket = UnixDatagram::bind(&path).expect("bind a socket");
        let timeout = Some(Duration::from_secs(1));
        socket.set_read_timeout(timeout).expect("set a timeout");
        let mut worker = Worker::spawn_with(&scene.setting, "worker", |command| {
            command
                .env("NOTIFY_SOCKET", &path)
                .env("WATCHDOG_USEC", "1000")
                .env("WATCHDOG_PID", "1");
        });
        hear(&socket, "READY=1");
        worker.wait_ready();
        worker.signal("TERM");
        assert_eq!(hear(&socket, "STOPPING=1"), ["STOPPING=1"]);
        worker.wait_end();
    });
}

/// A place where all is read-only but the data directory, and a user who may not do anything about it.
struct Place {
    root: TempDir,
    setting: Setting,
    is_root: bool,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("make a directory");
        let at = root.path();
        let is_root = fs::metadata(at).expect("look").uid() == 0;
        let sample = at.join("qwed.db");
        demo::make_sample(&sample, jiff::Timestamp::UNIX_EPOCH).expect("make the sample");
        for name in ["data", "work", "etc"] {
            fs::create_dir(at.join(name)).expect("make a directory");
        }
        let qwed_url = format!("sqlite:///{}", sample.display());
        let mut setting = Setting::new(&at.join("etc"), "", &qwed_url, demo::KEY);
        setting.data_dir = at.join("data");
        if is_root {
            // Where the tests are built may be closed to other users.
            let program = at.join("trailkeeper");
            if fs::hard_link(&setting.program, &program).is_err() {
                fs::copy(&setting.program, &program).expect("copy the program");
            }
            setting.program = program;
            chown(at.join("data"), Some(NOBODY), Some(NOBODY)).expect("give the data away");
        }
        Self {
            root,
            setting: setting.without_schedules(),
            is_root,
        }
    }

    /// From now on. The test itself writes below `etc`, which root may and nobody else needs to.
    fn lock(&self) {
        let at = self.root.path();
        for (path, mode) in [("work", 0o555), ("qwed.db", 0o444), ("", 0o555)] {
            let path = at.join(path);
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("lock");
        }
    }

    fn as_user(&self, command: &mut Command) {
        command.current_dir(self.root.path().join("work"));
        if self.is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
    }

    /// All files and directories but those of the data directory.
    fn files(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut open = vec![self.root.path().to_owned()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(&directory).expect("list") {
                let path = entry.expect("an entry").path();
                if path.is_dir() && path != self.setting.data_dir {
                    open.push(path.clone());
                }
                found.insert(path);
            }
        }
        found
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // So that it can be deleted.
        for path in ["", "work"] {
            let path = self.root.path().join(path);
            let _ = fs::set_permissions(path, Permissions::from_mode(0o755));
        }
    }
}

/// `ProtectSystem=strict` and `DynamicUser=yes` leave it no more.
#[test]
fn only_the_data_directory_is_written_to() {
    let place = Place::new();
    let (config, _) = place.setting.write("enqueue");
    place.lock();
    let mut worker = Worker::spawn_with(&place.setting, "worker", |command| {
        place.as_user(command);
    });
    worker.wait_ready();
    let before = place.files();
    let mut enqueue = Command::new(&place.setting.program);
    enqueue
        .args(["enqueue", "verify_trail", "--wait", "--config"])
        .arg(&config)
        .env_clear();
    place.as_user(&mut enqueue);
    let output = enqueue.output().expect("queue a job");
    assert!(output.status.success(), "{output:?}\n{}", worker.log());
    worker.signal("TERM");
    assert_eq!(worker.wait_end().code(), Some(0), "{}", worker.log());
    assert_eq!(place.files(), before);
    let state = place.setting.data_dir.join("trailkeeper.db");
    let owner = fs::metadata(&state).expect("a state database").uid();
    assert_eq!(owner == NOBODY, place.is_root);
}
