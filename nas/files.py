"""JSON files, written whole or not at all, and the version that every file says."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from lut.files import replacing, write_text
from search_spaces import UserError

__all__ = ["read_json", "replacing", "version", "write_json", "write_text"]


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Replace a JSON file atomically."""
    write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UserError: the file is missing, truncated or no JSON object.
    """
    try:
        data = json.loads(path.read_text(), parse_constant=_finite, parse_float=_finite)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON, truncated? ({error})") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(data).__name__}")
    return data


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def version() -> str:
    """The installed version of this package, which every file says."""
    try:
        return metadata.version("netadapt")
    except metadata.PackageNotFoundError:
        return "unknown"
