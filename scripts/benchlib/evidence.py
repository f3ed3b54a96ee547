"""What exports for auditors take: a process each, the time of its start included. Written into memory where that is a file system: how
fast a disk is, is not the program's doing, and an entry has 1.8 KB."""
import json
import os
import pathlib
import subprocess
import sys
import time

from .parts import ENVIRONMENT, TABLES, Postgres, run


def export(programs, directory, url, profile):
    """Runs the export; answers seconds, peak memory in bytes and the manifest."""
    memory = pathlib.Path("/dev/shm")
    out = (memory if memory.is_dir() else directory) / f"trailkeeper-bench-{os.getpid()}-{profile}.csv"
    environment = {**ENVIRONMENT, "TRAILKEEPER__DATA_DIR": str(directory / "none")}
    started = time.monotonic()
    command = [programs.trailkeeper, "export", "evidence", "--database", url, "--org", "1", "--profile", profile,
               "--from", "1970-01-01", "--out", str(out), "--format", "json"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    printed = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    seconds = time.monotonic() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"the export failed with {child.returncode}")
    out.unlink()
    out.with_name(out.name + ".json").unlink()
    return seconds, used.ru_maxrss * 1024, json.loads(printed)


def timed(command, environment, good):
    """Runs a command; answers seconds and peak memory in bytes."""
    started = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
    told = child.stderr.read().decode()
    _, status, used = os.wait4(child.pid, 0)
    seconds = time.monotonic() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in good:
        sys.exit(f"{command} ended with {child.returncode}:\n{told}")
    return seconds, used.ru_maxrss * 1024


def report(programs, directory, url, entries, row):
    """A SOC 2 report on the whole trail, and what of it is not the verification."""
    home = directory / "report"
    home.mkdir()
    run(programs.trailkeeper, "keygen", "--out", home / "anchor.key")
    environment = {**ENVIRONMENT, "TRAILKEEPER__DATA_DIR": str(home), "TRAILKEEPER__QWED__DATABASE_URL": url}
    config = home / "trailkeeper.toml"
    config.write_text("")
    run(programs.trailkeeper, "migrate", "--config", config, env=environment)
    verify = [programs.trailkeeper, "verify", "--config", config, "--org", "1", "--no-progress"]
    alone, _ = timed(verify, environment, [0])
    # Controls for which nothing was set up fail or are unknown; it is made all the same.
    made = [programs.trailkeeper, "report", "soc2", "--config", config, "--org", "1", "--no-progress",
            "--from", "2026-01-01", "--to", "2026-11-01"]
    seconds, memory = timed(made, environment, [0, 1, 4])
    row(f"SOC 2 report, PostgreSQL, {entries:,} entries and 100,000 security events",
        f"{seconds:.1f} s, {alone:.1f} s of it as verification takes alone", f"{seconds - alone:.1f} s", "10 s")
    row("Peak memory of it", "", f"{memory / 1e6:.0f} MB", "300 MB")


def measure(programs, directory, scale, row):
    entries = 1_000_000 // scale
    database = directory / "evidence.db"
    run(programs.generate, entries, "--orgs", 1, "--sqlite", database)
    server = Postgres(directory / "evidence", fsync=False)
    try:
        url = server.database("evidence")
        programs.copy_trail(server, entries, "evidence", organizations=1)
        for name, url in [("SQLite", f"sqlite:///{database}"), ("PostgreSQL", url)]:
            for profile in ["full", "qwed"]:
                seconds, memory, made = export(programs, directory, url, profile)
                assert made["rows"] == entries, made
                row(f"Export of evidence, profile {profile}, {name}, {entries:,} entries",
                    f"{seconds:.1f} s, {made['size_bytes'] / 1e6:,.0f} MB, at most {memory / 1e6:.0f} MB of memory",
                    f"{entries / seconds:,.0f} rows/s", "100,000 rows/s")
        server.psql("-c", TABLES, database="evidence")
        report(programs, directory, url, entries, row)
    finally:
        server.stop()
    database.unlink()
