"""Ways in which a file goes wrong."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import sqlite3
from collections.abc import Callable
from typing import Any

HUGE = "1e400"
"""Written as it stands: JSON and YAML read it as infinity."""

_TOKEN = "\u0000huge\u0000"

VALUES: tuple[Callable[[], Any], ...] = (
    lambda: None,
    lambda: True,
    lambda: 0,
    lambda: -1,
    lambda: 2.5,
    lambda: 10**18,
    lambda: -(10**400),
    lambda: float("nan"),
    lambda: _TOKEN,
    lambda: "",
    lambda: "ß \u202e <b>&amp;",
    lambda: "../../../etc/passwd",
    lambda: "x" * 3000,
    lambda: [],
    lambda: {},
    lambda: [[[[1]]]],
    lambda: {"a": {"b": None}},
)


def text(source: str, generator: random.Random, *, yaml: bool) -> bytes:
    """A JSON or YAML text with one to three values, keys or elements changed."""
    if generator.random() < 0.25:
        return blob(source.encode(), generator)
    import yaml as library

    data = library.safe_load(source) if yaml else json.loads(source)
    for _ in range(generator.choice((1, 1, 1, 2, 3))):
        data = _changed(data, generator)
    written = library.safe_dump(data) if yaml else json.dumps(data)
    token = json.dumps(_TOKEN)
    return written.replace(token, HUGE).replace('"\\0huge\\0"', HUGE).encode()


def _changed(data: Any, generator: random.Random) -> Any:
    """One place somewhere inside changed."""
    data = copy.deepcopy(data)
    places = list(_places(data))
    if not places:
        return generator.choice(VALUES)()
    node, key = generator.choice(places)
    kind = generator.choice(("value", "value", "delete", "rename", "nest", "copy"))
    if kind == "value":
        node[key] = generator.choice(VALUES)()
    elif kind == "delete":
        del node[key]
    elif kind == "nest":
        node[key] = [node[key]] if generator.random() < 0.5 else {"value": node[key]}
    elif kind == "rename" and isinstance(node, dict):
        node[str(key) + generator.choice(("x", " ", "é"))] = node.pop(key)
    else:
        other, place = generator.choice(places)
        node[key] = copy.deepcopy(other[place]) if place in _keys(other) else None
    return data


def _keys(node: Any) -> Any:
    return node if isinstance(node, dict) else range(len(node))


def _places(data: Any) -> Any:
    keys = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    for key in keys:
        yield data, key
        yield from _places(data[key])


def blob(source: bytes, generator: random.Random) -> bytes:
    """Bytes cut, flipped, doubled, zeroed or gone."""
    at = generator.randrange(len(source)) if source else 0
    length = generator.choice((1, 8, 100, 4096))
    kind = generator.choice(("cut", "flip", "insert", "remove", "double", "zero", "empty", "head"))
    if kind == "head":  # the first bytes say most about a binary file
        at = min(at, 64)
        kind = "flip"
    if kind == "cut":
        return source[:at]
    if kind == "flip":
        flipped = bytes(b ^ (1 << generator.randrange(8)) for b in source[at : at + length])
        return source[:at] + flipped + source[at + length :]
    if kind == "insert":
        return source[:at] + generator.randbytes(length) + source[at:]
    if kind == "remove":
        return source[:at] + source[at + length :]
    if kind == "double":
        return source + source
    if kind == "zero":
        return source[:at] + bytes(length) + source[at + length :]
    return b""


def rows(source: str, generator: random.Random) -> bytes:
    """A CSV with a cell, a line or its head changed."""
    lines = source.splitlines()
    if not lines or generator.random() < 0.25:
        return blob(source.encode(), generator)
    at = generator.choice((0, generator.randrange(len(lines))))
    cells = lines[at].split(",")
    place = generator.randrange(len(cells))
    kind = generator.choice(("value", "delete", "line", "more"))
    if kind == "value":
        cells[place] = generator.choice(("", "nan", "-1", HUGE, "x", "ß", "0", "1e-320"))
    elif kind == "delete":
        del cells[place]
    elif kind == "more":
        cells.append("7")
    lines[at : at + 1] = [] if kind == "line" else [",".join(cells)]
    return ("\n".join(lines) + "\n").encode()


def tensors(source: bytes, generator: random.Random) -> bytes:
    """A safetensors file with its bytes changed, or what its header says of the tensors."""
    if generator.random() < 0.5:
        return blob(source, generator)
    end = 8 + int.from_bytes(source[:8], "little")
    header = json.loads(source[8:end])
    told = header["__metadata__"]
    told["state"] = text(told["state"], generator, yaml=False).decode(errors="replace")
    written = json.dumps(header).encode()
    written += b" " * (-len(written) % 8)
    return len(written).to_bytes(8, "little") + written + source[end:]


def database(source: bytes, generator: random.Random) -> bytes:
    """An SQLite file with a value or a row changed."""
    if generator.random() < 0.35:
        return blob(source, generator)
    changed = sqlite3.connect(":memory:")
    # a write-ahead log cannot be in memory; the file's head says which kind it is
    changed.deserialize(source[:18] + b"\1\1" + source[20:])
    listed = changed.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    sizes = {name: _count(changed, name) for (name,) in listed}
    table = generator.choice([name for name, size in sizes.items() if size])
    columns = [row[1] for row in changed.execute(f"PRAGMA table_info({table})")]
    row = f"rowid = (SELECT rowid FROM {table} LIMIT 1 OFFSET {generator.randrange(sizes[table])})"
    column = generator.choice(columns)
    value = generator.choice((None, -1, 0, 7, 2.5, "", "x", "{}", "[1]", "nan", "RUNNING", b"\0"))
    kind = generator.choice(("value", "value", "value", "row", "table"))
    with contextlib.suppress(sqlite3.IntegrityError), changed:
        if kind == "value":
            changed.execute(f"UPDATE {table} SET {column} = ? WHERE {row}", (value,))
        elif kind == "row":
            changed.execute(f"DELETE FROM {table} WHERE {row}")
        else:
            changed.execute(f"DROP TABLE {table}")
    return bytes(changed.serialize())


def _count(opened: sqlite3.Connection, table: str) -> int:
    return int(opened.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
