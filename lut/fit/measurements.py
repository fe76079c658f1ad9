"""Files of measured blocks and networks, each entry resolved to its operations."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lut.fit.blocks import block_operations
from lut.fit.once_for_all import layer_operations
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


BLOCK_TABLE = "block-table"
"""The ``kind`` of a stored table of blocks."""

REFERENCE_COLUMNS = ("network", "width", "resolution", "latency_ms")


def read_measurements(path: Path) -> list[Measured]:
    """Read blocks or networks that were timed as a whole.

    A block table is nn-Meter's (JSON, key → ms), ProxylessNAS' or Once-for-All's (YAML, key →
    {count, mean, var}), or one that was imported from either. Networks come as a CSV with the
    columns ``network,width,resolution,latency_ms``, the network one of the references.

    Raises:
        UserError: none of these, an unknown key or network, or a latency that is negative, zero
            or not finite.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise UserError(f"cannot read {path}: {reason}") from None
    if path.suffix in {".yaml", ".yml"}:
        return _blocks(_parsed(text, path, yaml.safe_load), path)
    if text.lstrip()[:1] in {"{", "["}:
        return _blocks(_parsed(text, path, json.loads), path)
    return _references(text, path)


def latency_of(value: Any, where: str) -> float:
    """A latency that can be one.

    Raises:
        UserError: negative, zero, not finite or not a number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{where}: {value!r} is not a latency in ms")
    try:
        latency = float(value)
    except OverflowError:  # a whole number that no float can be
        latency = math.inf
    if not (math.isfinite(latency) and latency > 0):
        raise UserError(f"{where}: a latency is above 0 and finite, this is {latency}")
    return latency


def _parsed(text: str, path: Path, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        line = str(error).splitlines()[0]
        raise UserError(f"{path} is truncated or malformed: {line}") from None


def _blocks(data: Any, path: Path) -> list[Measured]:
    if isinstance(data, Mapping) and data.get("kind") == BLOCK_TABLE:
        data = data.get("blocks")
    if not isinstance(data, Mapping) or not data:
        raise UserError(
            f"{path} is not a table of blocks: it maps keys such as conv_56_24_24_… or "
            "expanded_conv-input:… to milliseconds"
        )
    # only the keys of Once-for-All's MobileNetV3 tell that the others have hard-swish too
    third = any("-hs:" in str(key) for key in data)
    result = []
    for key, value in data.items():
        where = f"{path}: {key}"
        if isinstance(value, Mapping):
            if "mean" not in value:
                raise UserError(f"{where}: an entry needs 'mean', in ms")
            value = value["mean"]
        try:
            operations = (
                layer_operations(str(key), mobilenet_v3=third)
                if "-input:" in str(key)
                else block_operations(str(key))
            )
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        result.append(Measured(str(key), operations, latency_of(value, where)))
    return result


def _references(text: str, path: Path) -> list[Measured]:
    reader = csv.DictReader(text.splitlines())
    missing = [c for c in REFERENCE_COLUMNS if c not in (reader.fieldnames or ())]
    if missing:
        raise UserError(
            f"{path} has no column {missing[0]!r}; measurements are a table of blocks or a "
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
