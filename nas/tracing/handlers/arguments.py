"""Arguments of ATen operations in the description's form."""

from __future__ import annotations

from typing import Any

from nas.tracing.reader import Value


def pair(value: Any, default: tuple[int, int] | None = None) -> tuple[int, int]:
    """(vertical, horizontal) of an argument that may be one number, a list of one or of two."""
    values = [value] if isinstance(value, int) else list(value)
    if not values and default is not None:
        return default
    return (values[0], values[-1])


def pads(value: Value, padding: Any) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of an operation's padding and what its input brings."""
    rows, columns = pair(padding)
    top, bottom, left, right = value.padding
    return (top + rows, bottom + rows, left + columns, right + columns)
