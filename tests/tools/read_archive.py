"""Reads an archive of files as docs/archive-format.md says, and compares it with the database that it is of.

    read_archive.py ARCHIVE PUBLIC_KEY KEK STATE QWED

ARCHIVE is the directory, PUBLIC_KEY what signed it (NAME+ID+KEY), KEK the key-encryption key in base64, STATE the worker's
SQLite database with the data keys, QWED the SQLite database that was archived. Prints {"manifests": N, "rows": N, "decrypted": N}.
"""

import base64
import hashlib
import io
import json
import math
import sqlite3
import sys
from pathlib import Path

import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def open_note(note, public_key):
    """The text of a signed note, if the key signed it."""
    name, _, key = public_key.split("+", 2)
    key = base64.b64decode(key)
    assert key[0] == 1, "an Ed25519 key"
    text, signatures = note.rsplit("\n\n", 1)
    text += "\n"
    for line in signatures.splitlines():
        dash, signer, signature = line.split(" ")
        assert dash == "\u2014"
        if signer == name:
            signature = base64.b64decode(signature)[4:]
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature, text.encode())
            return text
    raise ValueError("not signed by this key")


def read_manifests(archive, public_key):
    """All manifests, in order, each of which names the one before."""
    previous, manifests = None, []
    for path in sorted((archive / "manifests").iterdir()):
        note = path.read_bytes()
        digest = hashlib.sha256(note).hexdigest()
        number, named = path.name.removesuffix(".note").split("-")
        assert digest == named, path
        manifest = json.loads(open_note(note.decode(), public_key))
        assert manifest["format"] == "trailkeeper archive 1"
        assert manifest["number"] == int(number) == len(manifests) + 1
        assert manifest["previous_sha256"] == previous
        previous = digest
        manifests.append(manifest)
    return manifests


def data_keys(state, kek):
    """The data keys that are left, by id."""
    kek, keys = AESGCM(base64.b64decode(kek)), {}
    select = "SELECT id, subject, wrapped FROM data_key WHERE wrapped IS NOT NULL"
    for key_id, subject, wrapped in sqlite3.connect(state).execute(select):
        about = f"trailkeeper data key\n{key_id}\n{subject}".encode()
        keys[key_id] = AESGCM(kek.decrypt(wrapped[:12], wrapped[12:], about))
    return keys


def value(field):
    """What a field stands for; text that is no UTF-8 as bytes."""
    if isinstance(field, dict):
        ((kind, text),) = field.items()
        return float(text) if kind == "real" else base64.b64decode(text)
    return field


def lines(text):
    # Not splitlines(): text may hold other characters that end lines.
    return text.split(b"\n")[:-1]


def open_block(block, entry, organization, keys):
    """The lines of a block, whose rows are of this organisation."""
    sealed, ids = base64.b64decode(block["enc"]), f"{entry['first_id']}-{entry['last_id']}"
    about = f"trailkeeper block\n{entry['table']}\n{organization}\n{ids}\n{block['key']}".encode()
    frame = keys[block["key"]].decrypt(sealed[:12], sealed[12:], about)
    return iter(lines(zstandard.ZstdDecompressor().decompress(frame)))


def read_segment(archive, entry, keys, counts):
    """The rows of a segment, decrypted."""
    content = (archive / entry["name"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == entry["sha256"]
    content = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content)).read()
    blocks, opened, rows = [], {}, 0
    for line in map(json.loads, lines(content)):
        if "id" not in line:
            assert line["block"] == len(blocks)
            blocks.append(line)
            continue
        rows += 1
        organization = line["id"] if entry["table"] == "organization" else line.get("organization_id")
        if type(organization) is not int:
            organization = "none"
        hidden = {column: field["enc"] for column, field in line.items() if isinstance(field, dict) and "enc" in field}
        if hidden:
            (number,) = set(hidden.values())
            if number not in opened:
                opened[number] = organization, open_block(blocks[number], entry, organization, keys)
            of, fields = opened[number]
            assert of == organization
            fields = json.loads(next(fields))
            assert fields.pop("id") == line["id"] and fields.keys() == hidden.keys()
            line.update(fields)
            counts["decrypted"] += len(fields)
        yield {column: value(field) for column, field in line.items()}
    assert rows == entry["rows"]
    # Each block has rows, and no line is left.
    assert len(opened) == len(blocks) and not any(list(fields) for _, fields in opened.values())


def same(one, other):
    if isinstance(one, float) and isinstance(other, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return type(one) is type(other) and one == other


def main(archive, public_key, kek, state, qwed):
    archive, keys = Path(archive), data_keys(state, kek)
    manifests = read_manifests(archive, public_key)
    counts = {"manifests": len(manifests), "rows": 0, "decrypted": 0}
    source = sqlite3.connect(qwed)
    # Text that is no UTF-8 as bytes, as above.
    source.text_factory = lambda raw: raw.decode() if is_utf8(raw) else raw
    for schema in manifests[-1]["schema"]:
        table = schema["name"]
        of = manifests if table == "verificationlog" else manifests[-1:]
        found = {}
        for manifest in of:
            for entry in manifest["objects"]:
                if entry["kind"] == "segment" and entry["table"] == table:
                    for row in read_segment(archive, entry, keys, counts):
                        assert row["id"] not in found
                        found[row["id"]] = row
        columns = [column["name"] for column in schema["columns"]]
        rows = source.execute(f'SELECT * FROM "{table}"').fetchall()
        assert len(rows) == len(found), table
        for row in rows:
            row = dict(zip(columns, row))
            archived = found[row["id"]]
            for column in columns:
                assert same(row[column], archived[column]), (table, row["id"], column)
            counts["rows"] += 1
    print(json.dumps(counts))


def is_utf8(raw):
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


if __name__ == "__main__":
    main(*sys.argv[1:])
