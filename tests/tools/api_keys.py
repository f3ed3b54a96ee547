"""API keys through the real QWED's own tables and models.

    DATABASE_URL=... QWED_AUDIT_SECRET_KEY=... api_keys.py make TIME...
    DATABASE_URL=... QWED_AUDIT_SECRET_KEY=... api_keys.py show

`make` makes the tables, an organisation, its owner and one key created at each TIME (ISO 8601, UTC).
`show` prints the keys as QWED reads them, one line of JSON: [[id, is_active, rotation_required], ...].
"""

import json
import sys
from datetime import datetime, timezone

from qwed_new.core.audit_logger import engine
from qwed_new.core.database import create_db_and_tables
from qwed_new.core.models import ApiKey, Organization, User
from sqlmodel import Session, select


def make(times: list[str]) -> None:
    create_db_and_tables()
    with Session(engine) as session:
        session.add(Organization(id=1, name="org1", display_name="Organisation 1"))
        session.commit()
        session.add(User(id=7, email="o@example.com", password_hash="x", organization_id=1, role="owner"))
        session.commit()
        for number, text in enumerate(times):
            created_at = datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
            session.add(
                ApiKey(
                    key_hash=f"{number:064x}",
                    key_preview=f"qwed_live_****{number:04}",
                    organization_id=1,
                    user_id=7,
                    created_at=created_at,
                )
            )
            session.commit()


def show() -> None:
    with Session(engine) as session:
        keys = session.exec(select(ApiKey).order_by(ApiKey.id)).all()
        print(json.dumps([[key.id, key.is_active, key.rotation_required] for key in keys]))


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2:])
    else:
        show()
