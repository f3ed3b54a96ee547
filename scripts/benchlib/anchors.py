"""What anchors cost, and what they save."""

import json
import sqlite3
import time

from .parts import ENVIRONMENT, run
from .trails import best, verify

def program(programs, directory, database, *arguments):
    """Runs the program on this database, with a state of its own; answers the seconds and what it printed."""
    environment = {
        **ENVIRONMENT,
        "DATABASE_URL": f"sqlite:///{database}",
        "TRAILKEEPER__DATA_DIR": str(directory / "anchors"),
    }
    start = time.monotonic()
    printed = run(programs.trailkeeper, *arguments, env=environment)
    return time.monotonic() - start, printed


def change(database, *statements):
    connection = sqlite3.connect(database)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def measure(programs, directory, scale, row):
    """On SQLite, where reading is fastest and anything added shows most."""
    entries, new = 5_000_000 // scale, 10_000
    database = directory / "anchored.db"
    run(programs.generate, entries + new, "--sqlite", database)
    change(database, f"CREATE TABLE later AS SELECT * FROM verificationlog WHERE id > {entries}",
           f"DELETE FROM verificationlog WHERE id > {entries}")
    without, _, _ = best(lambda: verify(programs, f"sqlite:///{database}", "--anchors", "none"))
    first, _ = program(programs, directory, database, "anchor", "create")
    row(f"First anchor, SQLite, {entries:,} entries", f"{first:.2f} s", f"{entries / first:,.0f} entries/s", "–")
    compared = min(program(programs, directory, database, "verify", "--no-progress")[0] for _ in range(3))
    row(f"Full verification compared with its anchor, SQLite, {entries:,} entries",
        f"{compared:.2f} s against {without:.2f} s without", f"{compared / without - 1:+.0%}", "+10 %")
    change(database, "INSERT INTO verificationlog SELECT * FROM later", "DROP TABLE later")
    again, _ = program(programs, directory, database, "anchor", "list")
    since, printed = program(programs, directory, database, "verify", "--no-progress", "--since-anchor", "--format", "json")
    found = json.loads(printed)
    assert found["entries"] == new and found["anchors"]["unread_entries"] == entries, found
    row(f"Verification of {new:,} new entries on {entries:,} anchored ones, SQLite", f"{since:.2f} s as a process", f"{since:.2f} s",
        "1 s")
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        ids = [connection.execute("SELECT id FROM verificationlog WHERE id >= ? AND organization_id = 1 LIMIT 1",
                                  (entries * part // 10,)).fetchone()[0] for part in range(1, 10)]
    proofs = [program(programs, directory, database, "anchor", "prove", str(entry))[0] for entry in ids]
    row(f"Inclusion proof of any entry among {entries:,}", f"longest of {len(ids)} as a process, {again * 1e3:.0f} ms of it start and opening",
        f"{max(proofs) * 1e3:.0f} ms", "50 ms")
    database.unlink()
