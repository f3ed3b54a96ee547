"""Verification: in memory, on SQLite, on PostgreSQL, against QWED itself and a bare COPY."""
import json
import os
import re
import statistics
import subprocess
import sys
import time

from .parts import ENVIRONMENT, ROOT, Postgres, run

COLUMNS = ("id,organization_id,user_id,query,result,is_verified,domain,timestamp,entry_hash,hmac_signature,"
           "previous_hash,raw_llm_output,api_key_id,verifier_version,admission")


def verify(programs, url, *options):
    """Runs the program; returns seconds of wall time, peak memory in bytes and its report."""
    command = [programs.trailkeeper, "verify", "--database", url, "--format", "json", *options]
    started = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT)
    report = json.loads(child.stdout.read())
    _, status, usage = os.wait4(child.pid, 0)
    taken = time.monotonic() - started
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"verification of {url} did not end with 0")
    return taken, usage.ru_maxrss * 1024, report


def best(measure, times=3):
    """The shortest of some runs: what the machine's other work adds is not the program's."""
    return min((measure() for _ in range(times)), key=lambda found: found[0])


def in_memory():
    """Canonicalise + hash + HMAC against SHA-256 alone, from the divan benchmark's medians."""
    text = run("cargo", "bench", "--locked", "--features", "probe", "--bench", "check", cwd=ROOT)
    speeds = {}
    name = None
    for line in text.splitlines():
        if match := re.search(r"[├╰]─ (\w+)", line):
            name = match[1]
        elif name and (found := re.findall(r"([\d.]+) ([GM])B/s", line)):
            number, unit = found[2]
            speeds[name] = float(number) * (1000 if unit == "G" else 1)
            name = None
    return speeds["check"], speeds["sha256_alone"]


def measure(programs, directory, scale, row):
    """Everything about verification by one process."""
    if not programs.python.exists():
        sys.exit("the real QWED is not installed: run scripts/setup first")
    check, sha = in_memory()
    row("Canonicalise + hash + HMAC in memory, one core", f"{check:,.0f} MB/s against {sha:,.0f} MB/s SHA-256 alone",
        f"{check / sha:.0%}", "60 %")
    against_qwed(programs, directory, scale, row)
    on_postgres(programs, directory, scale, row)
    times = {}
    for entries in (1_000_000 // scale, 5_000_000 // scale):
        large = directory / "large.db"
        run(programs.generate, entries, "--sqlite", large)
        times[entries], memory, _ = best(lambda: verify(programs, f"sqlite:///{large}"))
        row(f"Peak memory, SQLite, {entries:,} entries",
            f"{times[entries]:.2f} s, {entries / times[entries]:,.0f} entries/s", f"{memory / 1e6:.0f} MB", "200 MB")
        large.unlink()
    few, many = times.values()
    row("Time for five times the entries, SQLite", f"{few:.2f} s, then {many:.2f} s", f"{many / few:.1f} times",
        "linear: 5 times")


def against_qwed(programs, directory, scale, row):
    small = directory / "small.db"
    entries = 200_000 // scale
    run(programs.generate, entries, "--sqlite", small)
    taken, _, report = best(lambda: verify(programs, f"sqlite:///{small}"))
    ours = report["entries"] / taken
    answer = json.loads(run(programs.python, ROOT / "tests/tools/qwed_verify.py", "--org", 1, "--org", 2, "--org", 3,
                            env={**ENVIRONMENT, "DATABASE_URL": f"sqlite:///{small}"}).splitlines()[-1])
    theirs = answer["entries"] / answer["seconds"]
    row(f"SQLite, {entries:,} entries, against QWED 8.0.0 on the same file",
        f"{ours:,.0f} entries/s against {theirs:,.0f}", f"{ours / theirs:.0f} times", "30 times, goal 50")
    small.unlink()


def on_postgres(programs, directory, scale, row):
    server = Postgres(directory / "postgres", fsync=False)
    try:
        entries = 1_000_000 // scale
        programs.copy_trail(server, entries)
        copy = f"COPY (SELECT {COLUMNS} FROM verificationlog ORDER BY id) TO STDOUT (FORMAT binary)"
        ratios, copies, verifications = [], [], []
        for _ in range(5):
            started = time.monotonic()
            subprocess.run([server.bin / "psql", "-q", server.url, "-c", copy], stdout=subprocess.DEVNULL, check=True)
            copies.append(time.monotonic() - started)
            verifications.append(verify(programs, server.url)[0])
            ratios.append(verifications[-1] / copies[-1])
        row(f"PostgreSQL, {entries:,} entries, against a bare binary COPY",
            f"{statistics.median(verifications):.2f} s against {statistics.median(copies):.2f} s",
            f"{statistics.median(ratios):.2f} times", "1.5 times, goal 1.2")
        _, memory, _ = verify(programs, server.url)
        row(f"Peak memory, PostgreSQL, {entries:,} entries", "", f"{memory / 1e6:.0f} MB", "200 MB")
    finally:
        server.stop()
