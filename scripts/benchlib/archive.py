"""What backups and restores take, on files: how fast a store is, is not the program's doing."""
import json
import os
import subprocess
import sys
import time

from .parts import ENVIRONMENT, Postgres, run


def program(programs, directory, database, *arguments):
    """Runs the program; answers seconds, seconds of CPU, peak memory in bytes and its document."""
    environment = {
        **ENVIRONMENT,
        "DATABASE_URL": f"sqlite:///{database}",
        "TRAILKEEPER__DATA_DIR": str(directory / "archive"),
        "TRAILKEEPER__OBJECTS__LOCK_MODE": "none",
    }
    started = time.monotonic()
    child = subprocess.Popen([programs.trailkeeper, *arguments, "--format", "json"], stdout=subprocess.PIPE, env=environment)
    printed = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{' '.join(arguments)} failed with {child.returncode}")
    return time.monotonic() - started, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, json.loads(printed)


def measure(programs, directory, scale, row):
    entries = 1_000_000 // scale
    database = directory / "archived.db"
    run(programs.generate, entries, "--sqlite", database)
    size = database.stat().st_size
    seconds, cpu, memory, made = program(programs, directory, database, "archive", "create")
    row(f"First backup, SQLite, {entries:,} entries in {size / 1e6:,.0f} MB, with zstd and AES-GCM",
        f"{seconds:.1f} s, {cpu:.1f} s of CPU", f"{size / 1e6 / cpu:.0f} MB/s per core", "40 MB/s per core")
    row("Peak memory of it", "", f"{memory / 1e6:.0f} MB", "300 MB")
    row("The archive against the database", f"{made['size_bytes'] / 1e6:,.0f} MB", f"{made['size_bytes'] / size:.0%}", "–")
    nothing, _, _, _ = program(programs, directory, database, "archive", "create")
    row("Backup of nothing new", "", f"{nothing:.2f} s", "–")
    verified, _, _, _ = program(programs, directory, database, "archive", "verify")
    row("Verification of the archive, all objects read", "", f"{verified:.1f} s", "–")
    server = Postgres(directory / "restored", fsync=True)
    try:
        url = server.database("restored")
        seconds, _, memory, restored = program(programs, directory, database, "archive", "restore", "--to", url)
        row(f"Restore into PostgreSQL, {restored['rows']:,} rows, indexes included", f"{seconds:.1f} s",
            f"{restored['rows'] / seconds:,.0f} rows/s", "30,000 rows/s")
        row("Peak memory of it", "", f"{memory / 1e6:.0f} MB", "–")
    finally:
        server.stop()
    target = directory / "restored.db"
    seconds, _, _, restored = program(programs, directory, database, "archive", "restore", "--to", f"sqlite:///{target}")
    row(f"Restore into SQLite, {restored['rows']:,} rows", f"{seconds:.1f} s", f"{restored['rows'] / seconds:,.0f} rows/s", "–")
    target.unlink()
    seconds, _, _, drilled = program(programs, directory, database, "archive", "drill")
    assert drilled["passed"], drilled
    row("Drill: restore into SQLite, verification, comparison with the live trail", f"{drilled['recovery_seconds']:.1f} s and "
        f"{drilled['check_seconds']:.1f} s", f"{seconds:.1f} s", "–")
    database.unlink()
