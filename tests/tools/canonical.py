"""CPython's word on canonical JSON: the reference that the Rust writer is compared with.

Reads documents from stdin, each a 4-byte little-endian length and that many bytes of UTF-8, and
writes for each, in order, the length and bytes of

    json.dumps(json.loads(document), sort_keys=True, default=str)

or, with no bytes after it, one of two lengths that no document has: REFUSED where json.loads raises
ValueError (bytes that are not UTF-8 too), TOO_DEEP where either raises RecursionError. How deep is
too deep is this interpreter's affair and differs between its releases.

Nothing is written before stdin ends, so a caller may send everything first and then read.
"""

import json
import struct
import sys

REFUSED = 0xFFFFFFFF
TOO_DEEP = 0xFFFFFFFE

LENGTH = struct.Struct("<I")


def canonical(document: bytes) -> bytes:
    # Decoded here, because json.loads given bytes would guess UTF-16 and UTF-32 as well.
    value = json.loads(document.decode("utf-8"))
    return json.dumps(value, sort_keys=True, default=str).encode("ascii")


def main() -> None:
    # Without this, integers of more than 4,300 digits are refused by some releases and not by others.
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)

    stream = sys.stdin.buffer.read()
    answers = []
    position = 0
    while position < len(stream):
        if position + LENGTH.size > len(stream):
            sys.exit("canonical.py: stdin ends inside a length")
        (size,) = LENGTH.unpack_from(stream, position)
        position += LENGTH.size
        if position + size > len(stream):
            sys.exit("canonical.py: stdin ends inside a document")
        document = stream[position : position + size]
        position += size
        try:
            text = canonical(document)
        except ValueError:
            answers.append(LENGTH.pack(REFUSED))
        except RecursionError:
            answers.append(LENGTH.pack(TOO_DEEP))
        else:
            answers.append(LENGTH.pack(len(text)))
            answers.append(text)
    sys.stdout.buffer.write(b"".join(answers))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
