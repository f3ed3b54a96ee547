"""What QWED's own verification says of a trail, as JSON, and how long it took.

    DATABASE_URL=... QWED_AUDIT_SECRET_KEY=... qwed_verify.py [--org N]... [--entry ID]...
                                                              [--from TIME] [--to TIME] [--upgrade]

    {"organizations": [verify_audit_trail(N), ...], "log_entries": [verify_log_entry(ID), ...],
     "seconds": time spent in these calls, imports and connecting left out,
     "entries": how many entries they counted}

Each answer carries its `organization_id` or `log_id`. Where QWED raises instead of answering, the
answer is {"organization_id": N, "raises": "SecurityError: ..."} (or `log_id`) and counts no entry.
TIME is ISO 8601, UTC unless it says otherwise, and limits --org only.

QWED adds the columns that a database of an older release lacks when its server starts. That
changes the database, so here it happens only with --upgrade.
"""

import argparse
import json
import time
from datetime import datetime, timezone

from qwed_new.core.audit_logger import AuditLogger, SecurityError, engine
from qwed_new.core.database import create_db_and_tables
from sqlmodel import Session

# SecurityError is QWED's own; the others are what json.loads raises past it, for integers longer
# than CPython converts and for nesting deeper than its stack.
REFUSALS = (SecurityError, ValueError, RecursionError)


def instant(text: str) -> datetime:
    value = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return value if value.tzinfo else value.replace(tzinfo=timezone.utc)


def answer(subject: dict, ask) -> dict:
    try:
        return subject | ask()
    except REFUSALS as error:
        return subject | {"raises": f"{type(error).__name__}: {error}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--org", type=int, action="append", default=[], metavar="N")
    parser.add_argument("--entry", type=int, action="append", default=[], metavar="ID")
    parser.add_argument("--from", dest="start", type=instant, metavar="TIME")
    parser.add_argument("--to", dest="end", type=instant, metavar="TIME")
    parser.add_argument("--upgrade", action="store_true")
    arguments = parser.parse_args()
    if not arguments.org and not arguments.entry:
        parser.error("name at least one --org or --entry")

    if arguments.upgrade:
        create_db_and_tables()
    audit_logger = AuditLogger()
    with Session(engine) as session:
        session.connection()
        session.rollback()
        began = time.perf_counter()
        organizations = [
            answer(
                {"organization_id": organization_id},
                lambda: audit_logger.verify_audit_trail(organization_id, arguments.start, arguments.end),
            )
            for organization_id in arguments.org
        ]
        log_entries = [
            answer({"log_id": log_id}, lambda: audit_logger.verify_log_entry(log_id, session))
            for log_id in arguments.entry
        ]
        seconds = time.perf_counter() - began

    counted = sum(trail.get("total_entries", 0) for trail in organizations)
    counted += sum("timestamp" in entry for entry in log_entries)
    print(
        json.dumps(
            {
                "organizations": organizations,
                "log_entries": log_entries,
                "seconds": round(seconds, 6),
                "entries": counted,
            }
        )
    )


if __name__ == "__main__":
    main()
