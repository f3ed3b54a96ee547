"""Opens an export as anybody would and holds its parts against one another. Prints what is in it."""

import csv
import hashlib
import io
import json
import sys
import zipfile

csv.field_size_limit(sys.maxsize)
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None
names = archive.namelist()
assert len(names) == len(set(names)), names
manifest = json.loads(archive.read("manifest.json"))
assert [entry["name"] for entry in manifest["files"]] == [name for name in names if name != "manifest.json"]
for entry in manifest["files"]:
    content = archive.read(entry["name"])
    assert entry["size_bytes"] == len(content), entry
    assert entry["sha256"] == hashlib.sha256(content).hexdigest(), entry

data = json.loads(archive.read("data.json"))
assert data["subject"] == manifest["subject"]


def as_text(value):
    """What a cell of CSV holds for a value of JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        (text,) = value.values()
        return text
    return value if isinstance(value, str) else json.dumps(value)


FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")
total = 0
lists = {**data["tables"], **data["own"]}
for name, records in lists.items():
    file = f"csv/{name}.csv"
    text = archive.read(file).decode("utf-8")
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    head, rows = rows[0], rows[1:]
    assert len(rows) == len(records), name
    (entry,) = [entry for entry in manifest["files"] if entry["name"] == file]
    assert entry["records"] == len(records), name
    total += len(records)
    for row, record in zip(rows, records):
        assert head == list(record), (name, head, record)
        for cell, value in zip(row, record.values()):
            if not isinstance(value, (int, float)):
                assert not cell.startswith(FORMULAS), (name, cell)
            plain = cell[1:] if cell.startswith("'") else cell
            if isinstance(value, float):
                assert float(plain) == value, (name, cell, value)
            else:
                assert plain == as_text(value), (name, cell, value)
(entry,) = [entry for entry in manifest["files"] if entry["name"] == "data.json"]
assert entry["records"] == total
assert {name for name in names if name.startswith("csv/")} == {f"csv/{name}.csv" for name in lists}

everything = b"\n".join(archive.read(name) for name in names).decode("utf-8")
json.dump({"manifest": manifest, "data": data, "everything": everything}, sys.stdout)
