"""Files of measured blocks and networks, each entry resolved to its operations."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lut.fit.blocks import block_operations
from search_spaces import Operation, UserError, space


@dataclass(frozen=True)
class Measured:
    """A block or a network that was timed as a whole; ``latency`` in ms.

    ``group`` names the family that is left out together in cross-validation; ``mobile`` those
    whose families are.
    """

    name: str
    operations: tuple[Operation, ...]
    latency: float
    group: str = ""
    mobile: bool = False


REFERENCE_COLUMNS = ("network", "width", "resolution", "latency_ms")


def read_measurements(path: Path) -> list[Measured]:
    """Read nn-Meter's block table (JSON, key → ms) or a CSV of reference networks.

    The CSV has the columns ``network,width,resolution,latency_ms``.

    Raises:
        UserError: neither of the two, an unknown key or network, or a latency that is negative,
            zero or not finite.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise UserError(f"cannot read {path}: {reason}") from None
    if text.lstrip()[:1] in {"{", "["}:
        return _blocks(text, path)
    return _references(text, path)


def latency_of(value: Any, where: str) -> float:
    """A latency that can be one.

    Raises:
        UserError: negative, zero, not finite or not a number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{where}: {value!r} is not a latency in ms")
    if not (math.isfinite(value) and value > 0):
        raise UserError(f"{where}: a latency is above 0 and finite, this is {value}")
    return float(value)


def _blocks(text: str, path: Path) -> list[Measured]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise UserError(f"{path} is truncated or not JSON: {error}") from None
    if not isinstance(data, Mapping) or not data:
        raise UserError(f"{path} is not a block table: it maps keys such as conv_56_24_24_… to ms")
    result = []
    for key, value in data.items():
        try:
            operations = block_operations(key)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        result.append(Measured(key, operations, latency_of(value, f"{path}: {key}")))
    return result


def _references(text: str, path: Path) -> list[Measured]:
    reader = csv.DictReader(text.splitlines())
    missing = [c for c in REFERENCE_COLUMNS if c not in (reader.fieldnames or ())]
    if missing:
        raise UserError(
            f"{path} has no column {missing[0]!r}; a file of measurements is nn-Meter's JSON or a "
            f"CSV with the columns {','.join(REFERENCE_COLUMNS)}"
        )
    result = []
    for line, row in enumerate(reader, 2):
        where = f"{path} line {line}"
        try:
            width, resolution = float(row["width"]), int(row["resolution"])
            latency = float(row["latency_ms"])
        except (TypeError, ValueError):
            raise UserError(f"{where}: width, resolution or latency_ms is not a number") from None
        network = space(row["network"], multiplier=width, resolution=resolution)
        description = network.describe(network.largest())
        name = f"{row['network']} {width:g} {resolution}"
        result.append(
            Measured(name, description.operations, latency_of(latency, where), row["network"])
        )
    return result
