"""The parts that are measured, and those that they need: the program, PostgreSQL, RabbitMQ, worker processes."""
import glob
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ENVIRONMENT = {**os.environ, "QWED_AUDIT_SECRET_KEY": "k" * 40}
SCHEMA = """
CREATE TABLE organization (id INTEGER PRIMARY KEY, name VARCHAR NOT NULL);
INSERT INTO organization SELECT n, 'org' || n FROM generate_series(1, 3) AS n;
CREATE TABLE verificationlog (id INTEGER PRIMARY KEY, organization_id INTEGER NOT NULL, user_id INTEGER,
  query VARCHAR NOT NULL, result VARCHAR NOT NULL, is_verified BOOLEAN NOT NULL, domain VARCHAR NOT NULL,
  timestamp TIMESTAMP WITH TIME ZONE NOT NULL, entry_hash VARCHAR, hmac_signature VARCHAR, previous_hash VARCHAR,
  raw_llm_output VARCHAR, api_key_id INTEGER, verifier_version VARCHAR, admission VARCHAR);
CREATE INDEX ix_verificationlog_organization_id ON verificationlog (organization_id);
"""
# What of QWED's database is not the trail, as far as the HTTP interface and reports read it.
TABLES = """
ALTER TABLE organization ADD display_name VARCHAR, ADD tier VARCHAR, ADD is_active BOOLEAN NOT NULL DEFAULT true,
  ADD created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT '2026-01-01';
CREATE TABLE "user" (id INTEGER PRIMARY KEY, email VARCHAR NOT NULL, password_hash VARCHAR NOT NULL,
  organization_id INTEGER NOT NULL, role VARCHAR NOT NULL, permissions VARCHAR, is_active BOOLEAN NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL);
INSERT INTO "user" SELECT n, 'u' || n || '@example.org', 'x', 1, CASE n WHEN 1 THEN 'owner' ELSE 'member' END, NULL, true, '2026-01-01'
  FROM generate_series(1, 1000) AS n;
CREATE TABLE apikey (id INTEGER PRIMARY KEY, key_hash VARCHAR NOT NULL UNIQUE, key_preview VARCHAR NOT NULL,
  organization_id INTEGER NOT NULL, user_id INTEGER, name VARCHAR, is_active BOOLEAN NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL, last_used_at TIMESTAMP WITH TIME ZONE, revoked_at TIMESTAMP WITH TIME ZONE,
  expires_at TIMESTAMP WITH TIME ZONE, rotation_required BOOLEAN NOT NULL);
INSERT INTO apikey SELECT n, 'hash' || n, 'qwed_live_', 1, n, NULL, true, '2026-10-01', NULL, NULL, NULL, false
  FROM generate_series(2, 1000) AS n;
CREATE TABLE resourcequota (id INTEGER PRIMARY KEY, organization_id INTEGER NOT NULL UNIQUE, max_requests_per_day INTEGER NOT NULL,
  max_requests_per_minute INTEGER NOT NULL, max_concurrent_requests INTEGER NOT NULL, created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE NOT NULL);
INSERT INTO resourcequota VALUES (1, 1, 100000, 1000, 10, '2026-01-01', '2026-01-01');
CREATE TABLE securityevent (id INTEGER PRIMARY KEY, organization_id INTEGER NOT NULL, user_id INTEGER, event_type VARCHAR NOT NULL,
  query VARCHAR NOT NULL, reason VARCHAR NOT NULL, security_layer VARCHAR, severity VARCHAR NOT NULL,
  timestamp TIMESTAMP WITH TIME ZONE NOT NULL);
INSERT INTO securityevent SELECT n, 1, 1 + n % 1000, 'blocked', 'q', 'r', 'guard', 'high', '2026-01-01'::timestamptz + n * interval '3 minutes'
  FROM generate_series(1, 100000) AS n;
CREATE INDEX ix_securityevent_organization_id ON securityevent (organization_id);
ANALYZE;
"""


def run(*command, **options):
    """Runs a command that must succeed, and returns its standard output."""
    options.setdefault("env", ENVIRONMENT)
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr}")
    return done.stdout


def until(what, condition, seconds=120):
    """Waits until `condition` answers something true, and returns it."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            sys.exit(f"waited {seconds} s in vain: {what}")
        time.sleep(0.05)
    return answer


def free_ports(count):
    """Ports that were free a moment ago, all different."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def cpu_seconds(process):
    """What a process has used so far, its threads included."""
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Programs:
    """What is measured, built for release."""

    def __init__(self, build=True):
        metadata = json.loads(run("cargo", "metadata", "--format-version=1", "--no-deps", cwd=ROOT))
        target = pathlib.Path(metadata["target_directory"])
        if build:
            run("cargo", "build", "--release", "--locked", "--features", "probe", "--bins", "--examples", cwd=ROOT)
        self.trailkeeper = target / "release/trailkeeper"
        self.generate = target / "release/examples/generate_trail"
        self.feed = target / "release/examples/feed_jobs"
        self.python = target / "test-tools/venv/bin/python"

    def copy_trail(self, server, entries, database="postgres", organizations=3):
        """A valid trail in a database on PostgreSQL."""
        server.psql("-c", SCHEMA, database=database)
        generator = subprocess.Popen([self.generate, str(entries), "--orgs", str(organizations), "--copy"],
                                     stdout=subprocess.PIPE, env=ENVIRONMENT)
        server.psql("-c", "COPY verificationlog FROM STDIN", stdin=generator.stdout, database=database)
        if generator.wait() != 0:
            sys.exit("the generator of trails failed")
        server.psql("-c", "VACUUM ANALYZE verificationlog", database=database)


class Postgres:
    """A private server, owned by a user that PostgreSQL accepts."""

    def __init__(self, directory, fsync):
        programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]))
        self.bin = pathlib.Path(os.environ.get("TRAILKEEPER_PG_BINDIR") or programs[-1])
        self.directory = directory
        directory.mkdir()
        owner = []
        if os.getuid() == 0:
            name = "postgres" if "postgres" in [entry.pw_name for entry in pwd.getpwall()] else "nobody"
            user = pwd.getpwnam(name)
            os.chown(directory, user.pw_uid, user.pw_gid)
            owner = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        [port] = free_ports(1)
        data = directory / "data"
        run(*owner, self.bin / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8",
            "--locale=C.UTF-8", "--no-sync", cwd=directory)
        self.server = subprocess.Popen(
            [*owner, self.bin / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1",
             "-c", "unix_socket_directories=", "-c", f"fsync={'on' if fsync else 'off'}", "-c", "max_wal_size=8GB"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=directory)
        self.base = f"postgresql://postgres@127.0.0.1:{port}"
        self.url = f"{self.base}/postgres"
        is_ready = [self.bin / "pg_isready", "-q", "-d", self.url]
        until("PostgreSQL starts", lambda: subprocess.run(is_ready).returncode == 0, 30)

    def psql(self, *arguments, database="postgres", **options):
        url = f"{self.base}/{database}"
        return run(self.bin / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", url, *arguments, **options)

    def database(self, name):
        """Makes a database; answers its URL."""
        self.psql("-c", f"CREATE DATABASE {name}")
        return f"{self.base}/{name}"

    def stop(self):
        # At once, whoever is still connected.
        self.server.send_signal(signal.SIGINT)
        self.server.wait(60)
        shutil.rmtree(self.directory)


class RabbitMq:
    """A private node with a port mapper of its own."""

    PROGRAMS = "/usr/lib/rabbitmq/bin"

    def __init__(self, directory):
        directory.mkdir()
        amqp, mapper, distribution = free_ports(3)
        (directory / "rabbitmq.conf").write_text(f"listeners.tcp.local = 127.0.0.1:{amqp}\nloopback_users = none\n")
        (directory / "plugins").write_text("[].")
        environment = {name: value for name, value in os.environ.items() if not re.match("RABBITMQ_|ERL_", name)}
        environment.update({
            "HOME": str(directory), "RABBITMQ_NODENAME": f"trailkeeper{amqp}@localhost",
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq"), "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"), "RABBITMQ_PID_FILE": str(directory / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(mapper), "RABBITMQ_DIST_PORT": str(distribution),
            # Makes the script become the node, so that a signal reaches it.
            "RUNNING_UNDER_SYSTEMD": "true"})
        environment.pop("NOTIFY_SOCKET", None)
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        # Erlang would start one by itself that nobody stops.
        self.mapper = subprocess.Popen(["epmd", "-address", "127.0.0.1", "-port", str(mapper)], **quiet)
        self.node = subprocess.Popen([f"{self.PROGRAMS}/rabbitmq-server"], env=environment, cwd=directory, **quiet)
        self.url = f"amqp://guest:guest@127.0.0.1:{amqp}"

        def answers():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", amqp)) == 0
        until("RabbitMQ starts", answers)

    def stop(self):
        # Nothing of it is kept.
        for process in (self.node, self.mapper):
            process.kill()
            process.wait(60)


class State:
    """A state database, and how to ask it."""

    count = 0

    def __init__(self, programs, directory, server=None):
        State.count += 1
        name = f"state{State.count}"
        self.server, self.name = server, name
        self.file = directory / f"{name}.db"
        self.url = server.database(name) if server else f"sqlite://{self.file}"
        self.what = "PostgreSQL" if server else "SQLite"
        run(programs.trailkeeper, "migrate", "--config", worker_config(directory, name, self.url)[0])

    def ask(self, sql):
        """Rows, each a tuple of numbers or texts."""
        if not self.server:
            connection = sqlite3.connect(self.file, timeout=30)
            try:
                return connection.execute(sql).fetchall()
            finally:
                connection.close()
        output = self.server.psql("-At", "-F", "\t", "-c", f"SET search_path TO trailkeeper; {sql}", database=self.name)
        cells = (line.split("\t") for line in output.splitlines())
        return [tuple(int(cell) if re.fullmatch(r"-?\d+", cell) else cell for cell in row) for row in cells]

    def number(self, sql):
        return self.ask(sql)[0][0] or 0


def worker_config(directory, name, state_url, sections=None):
    """Writes a configuration without schedules; answers its path and where the worker will tell its metrics."""
    [port] = free_ports(1)
    schedules = directory / "no-schedules"
    schedules.mkdir(exist_ok=True)
    sections = {"qwed": {"database_url": f"sqlite:///{directory}/none.db"}, **(sections or {})}
    sections.setdefault("jobs", {})["dir"] = str(schedules)
    sections["state"] = {"url": state_url}
    sections["metrics"] = {"listen": f"127.0.0.1:{port}"}
    lines = [f"data_dir = {json.dumps(str(directory))}"]
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    path = directory / f"{name}.toml"
    path.write_text("\n".join(lines) + "\n")
    return path, f"http://127.0.0.1:{port}"


class Worker:
    """A worker process, ready."""

    count = 0
    running = []

    def __init__(self, programs, directory, state, **sections):
        Worker.count += 1
        name = f"worker{Worker.count}"
        config, self.address = worker_config(directory, name, state.url, sections)
        self.log = directory / f"{name}.log"
        environment = {"QWED_AUDIT_SECRET_KEY": ENVIRONMENT["QWED_AUDIT_SECRET_KEY"]}
        with self.log.open("w") as log:
            self.process = subprocess.Popen([programs.trailkeeper, "run", "--config", config], env=environment,
                                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        Worker.running.append(self)
        until(f"{name} is ready", self.is_ready)

    def get(self, path):
        try:
            with urllib.request.urlopen(self.address + path, timeout=10) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None

    def is_ready(self):
        if self.process.poll() is not None:
            sys.exit(f"the worker ended:\n{self.log.read_text()}")
        return self.get("/readyz") is not None

    def metrics(self):
        """Values by series, as Prometheus spells them."""
        lines = (self.get("/metrics") or "").splitlines()
        return {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines if line[:1] != "#")}

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)

    def stop(self):
        Worker.running.remove(self)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
