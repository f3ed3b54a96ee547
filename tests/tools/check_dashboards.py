"""Holds dashboards to Grafana's own types: everything in a file has to be something that Grafana knows, and of its type.

The types are those that Grafana publishes (grafana-foundation-sdk, made of the schemas in Grafana's source). Reading a file into them
drops what they do not know, so what is written again has to have all that was read; and each value is compared with its type.

    check_dashboards.py FILE...
"""

import enum
import json
import sys
import types
import typing

from grafana_foundation_sdk.cog import encoder, plugins, runtime
from grafana_foundation_sdk.models import common, dashboard

def lost(read, written, path):
    """What of `read` is not in `written`, or is otherwise there."""
    if isinstance(read, dict) and isinstance(written, dict):
        for key, value in read.items():
            if key not in written:
                # Empty and absent are the same.
                if value not in (None, "", [], {}):
                    yield f"{path}.{key} is unknown"
            else:
                yield from lost(value, written[key], f"{path}.{key}")
    elif isinstance(read, list) and isinstance(written, list):
        if len(read) != len(written):
            yield f"{path} has {len(read)} items, and {len(written)} are known"
        for index, (one, other) in enumerate(zip(read, written)):
            yield from lost(one, other, f"{path}[{index}]")
    elif read != written:
        yield f"{path} is {read!r}, and is read as {written!r}"


def misfits(value, hint, path):
    """Where a value is not of its type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is typing.Any or hint is object:
        # Options of panels and queries are of classes of their own.
        if hasattr(value, "to_json"):
            yield from members(value, path)
    elif origin in (typing.Union, types.UnionType):
        others = [argument for argument in arguments if argument is not types.NoneType]
        if value is None and len(others) < len(arguments):
            return
        if len(others) == 1:
            yield from misfits(value, others[0], path)
        elif type(value) in others and hasattr(value, "to_json"):
            yield from members(value, path)
        elif all(list(misfits(value, argument, path)) for argument in arguments):
            yield f"{path} is {value!r}, and has to be one of {arguments}"
    elif origin is typing.Literal:
        if value not in arguments:
            yield f"{path} is {value!r}, and has to be one of {arguments}"
    elif origin is list:
        if not isinstance(value, list):
            yield f"{path} is {value!r}, and has to be a list"
        else:
            for index, item in enumerate(value):
                yield from misfits(item, arguments[0], f"{path}[{index}]")
    elif origin is dict:
        if not isinstance(value, dict):
            yield f"{path} is {value!r}, and has to be an object"
        else:
            for key, item in value.items():
                yield from misfits(item, arguments[1], f"{path}.{key}")
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        if value not in [member.value for member in hint]:
            yield f"{path} is {value!r}, and has to be one of {[member.value for member in hint]}"
    elif hint is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            yield f"{path} is {value!r}, and has to be a number"
    elif hint is int:
        if isinstance(value, bool) or not isinstance(value, int):
            yield f"{path} is {value!r}, and has to be a whole number"
    elif isinstance(hint, type):
        if getattr(hint, "_is_protocol", False) or hint.__name__ == "Dataquery":
            yield from members(value, path)
        elif isinstance(value, dict) and hasattr(hint, "from_json"):
            # The SDK reads some objects as they are.
            parsed = hint.from_json(value)
            yield from lost(value, plain(parsed), path)
            yield from members(parsed, path)
        elif not isinstance(value, hint):
            yield f"{path} is {value!r}, and has to be {hint.__name__}"
        elif hasattr(value, "to_json"):
            yield from members(value, path)


def plain(value):
    return json.loads(json.dumps(value, cls=encoder.JSONEncoder))


def members(value, path):
    module = sys.modules[type(value).__module__]
    scope = {**vars(module), "common": common, "dashboard": dashboard}
    for name, hint in typing.get_type_hints(type(value), scope).items():
        if hasattr(value, name):
            yield from misfits(getattr(value, name), hint, f"{path}.{name}")


def check(path):
    with open(path, encoding="utf-8") as file:
        read = json.load(file)
    parsed = dashboard.Dashboard.from_json(read)
    yield from lost(read, plain(parsed), "dashboard")
    yield from members(parsed, "dashboard")
    for panel in read["panels"]:
        kind = panel["type"]
        if kind != "row" and runtime.panelcfg_config(kind) is None:
            yield f"dashboard: there are no panels of the type {kind!r}"


def main():
    plugins.register_default_plugins()
    problems = [f"{path}: {problem}" for path in sys.argv[1:] for problem in check(path)]
    print("\n".join(problems))
    sys.exit(bool(problems))


main()
