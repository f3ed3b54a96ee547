"""Checks a certificate of an erasure against tombstones and QWED's database, by docs/erasure.md alone.

check_tombstones.py CERTIFICATE TOMBSTONES QWED.db

The certificate's signature is what any tool for C2SP signed notes checks; it is not checked here.
"""

import base64
import hashlib
import json
import sqlite3
import struct
import sys

COLUMNS = [
    "organization_id", "user_id", "query", "result", "is_verified", "domain", "timestamp", "entry_hash", "previous_hash",
    "raw_llm_output", "api_key_id", "verifier_version", "admission", "hmac_signature",
]


def root(hashes):
    """RFC 6962, section 2.1."""
    if len(hashes) <= 1:
        return hashes[0] if hashes else hashlib.sha256(b"").digest()
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return hashlib.sha256(b"\1" + root(hashes[:split]) + root(hashes[split:])).digest()


def field(value):
    """A column: its type, its length, its value."""
    if value is None:
        kind, data = 0, b""
    elif isinstance(value, bool):
        kind, data = 1, bytes([value])
    elif isinstance(value, int):
        kind, data = 2, struct.pack(">q", value)
    elif isinstance(value, float):
        kind, data = 3, struct.pack(">d", value)
    else:
        kind, data = 4, value.encode()
    return bytes([kind]) + struct.pack(">Q", len(data)) + data


def digest(row):
    """What is left of an entry."""
    row = dict(row)
    row["is_verified"] = bool(row["is_verified"])
    row["timestamp"] = row["timestamp"].replace(" ", "T").removesuffix(".000000")
    return hashlib.sha256(b"".join(field(row.get(name)) for name in COLUMNS)).hexdigest()


def main():
    certificate, tombstones, database = sys.argv[1:]
    with open(certificate, encoding="utf-8") as file:
        text, _, _ = file.read().rpartition("\n\n")
    certificate = json.loads(text)
    with open(tombstones, "rb") as file:
        lines = file.read().splitlines()
    leaves = [hashlib.sha256(b"\0" + line).digest() for line in lines]
    assert base64.b64encode(root(leaves)).decode() == certificate["tombstones"]["root"], "other tombstones"
    assert len(lines) == certificate["tombstones"]["count"]
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    left = gone = 0
    for line in lines:
        number, manner, _, *rest = line.decode("ascii").split(" ")
        row = connection.execute("SELECT * FROM verificationlog WHERE id = ?", (number,)).fetchone()
        if manner == "anonymised":
            assert digest(row) == rest[0], f"entry {number} is not as it was left"
            left += 1
        else:
            assert row is None, f"entry {number} is there"
            gone += 1
    print(left, "left,", gone, "gone")


main()
