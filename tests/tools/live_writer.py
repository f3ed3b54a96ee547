"""A live QWED writer: appends entries to an organisation's trail through QWED's own code.

    DATABASE_URL=... QWED_AUDIT_SECRET_KEY=... live_writer.py --org N --appends N [--pause-ms M]

Prints `ready` once the tables and the organisation are there, then appends, then prints one line of
JSON: {"appended": n, "failed": m, "errors": [the first five]}. An append that fails is counted and
the next one is tried, as the server would do it; the exit code stays 0.
"""

import argparse
import json
import random
import time

from qwed_new.core.audit_logger import AuditLogger, engine
from qwed_new.core.database import create_db_and_tables
from qwed_new.core.models import Organization, User
from sqlmodel import Session, select

MAX_ERRORS = 5
DOMAINS = ("MATH", "LOGIC", "SQL", "FACT", "CODE")
ADMISSIONS = ("ADMIT", "BLOCKED", None)
# Text that canonicalisation has to escape in each of its ways.
PHRASES = (
    "the total of the invoice",
    'a "quoted" path C:\\ledger\\2026',
    "café, naïve, 東京",
    "tab\there, newline\nthere, nul\u0000, del\u007f",
    "emoji 😀 and line separator \u2028",
)


def prepare(organization_id: int) -> list[int | None]:
    """Makes what is missing and returns the user ids that entries may carry."""
    create_db_and_tables()
    with Session(engine) as session:
        if session.get(Organization, organization_id) is None:
            name = f"org{organization_id}"
            session.add(
                Organization(id=organization_id, name=name, display_name=f"Organisation {organization_id}")
            )
            session.commit()
        users = session.exec(
            # QWED refuses requests of others.
            select(User.id).where(User.organization_id == organization_id, User.is_active).order_by(User.id)
        ).all()
    return [None, *users]


def varied_result(rnd: random.Random, number: int) -> dict:
    """A result as the routes make them, with the values that JSON writers disagree on."""
    return {
        "status": rnd.choice(("VERIFIED", "CORRECTED", "REJECTED")),
        "number": number,
        "message": rnd.choice(PHRASES),
        "floats": [rnd.random() * 10 ** rnd.randrange(-300, 300), 0.1, -0.0, 1e16, 1e-7, 5e-324],
        "integers": [rnd.getrandbits(200), -rnd.getrandbits(63), 0],
        "not numbers": [float("inf"), float("-inf"), float("nan")] if number % 7 == 0 else [],
        "flags": {"b": True, "a": False, "é": None, "A": [], "😀": {}, "\ue000": ""},
        "steps": [{"step": step, "note": rnd.choice(PHRASES) * step} for step in range(rnd.randrange(4))],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--org", type=int, required=True, metavar="N")
    parser.add_argument("--appends", type=int, required=True, metavar="N")
    parser.add_argument("--pause-ms", type=float, default=0, metavar="M")
    arguments = parser.parse_args()

    users = prepare(arguments.org)
    audit_logger = AuditLogger()
    rnd = random.Random(arguments.org)
    print("ready", flush=True)

    appended, failed, errors = 0, 0, []
    for number in range(arguments.appends):
        try:
            audit_logger.log_verification(
                organization_id=arguments.org,
                user_id=rnd.choice(users),
                # PostgreSQL stores no NUL in text; inside a result it is escaped and so survives.
                query=f"{number}: {rnd.choice(PHRASES)}".replace("\0", ""),
                result=varied_result(rnd, number),
                is_verified=rnd.random() < 0.9,
                domain=rnd.choice(DOMAINS),
                raw_llm_output=rnd.choice((None, "", "The model said: 東京")),
                admission=rnd.choice(ADMISSIONS),
            )
            appended += 1
        except Exception as error:  # noqa: BLE001 - whatever stops an append is what the test asks about
            failed += 1
            if len(errors) < MAX_ERRORS:
                errors.append(f"{type(error).__name__}: {error}")
        if arguments.pause_ms > 0:
            time.sleep(arguments.pause_ms / 1000)
    print(json.dumps({"appended": appended, "failed": failed, "errors": errors}), flush=True)


if __name__ == "__main__":
    main()
