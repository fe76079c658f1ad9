"""The look-up table of the official NetAdapt code: a pickle, read as data and nothing else."""

from __future__ import annotations

import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from lut.cost import DeviceInfo
from lut.table import Table
from search_spaces import Operation, UserError
from search_spaces.operation import OperationType

LAYERS = {"conv", "linear"}
"""What the official tool measures; it counts every other operation as nothing."""

MAX_BYTES = 256 * 1024 * 1024


class _PlainUnpickler(pickle.Unpickler):
    """Builds numbers, strings, tuples, lists, dicts and OrderedDicts; nothing else is found."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise UserError(f"it asks for {module}.{name}, a table holds plain numbers only")

    def persistent_load(self, pid: Any) -> Any:
        raise UserError("it refers to objects outside the file")


def import_netadapt(path: Path, device: DeviceInfo) -> Table:
    """Read the official table: layer → its properties and ``latency``, (cin, cout) → seconds.

    Everything but convolutions and linear layers is free, as in the official code; the table says
    so in its file. Layers of equal shape are one operation here; their latencies are averaged.
    The official tool times batches of 4 images by default and does not record it; the latencies
    are taken as they are.

    Args:
        path: the pickle. It is unpickled with every class refused but ``OrderedDict``.
        device: what the latencies belong to.

    Raises:
        UserError: not such a file, a pickle that holds or runs anything else, a layer that is
            not a convolution or linear, or a latency that is negative or not finite.
    """
    table = Table(device, source=f"imported from {path.name} (netadapt)")
    table.free = frozenset(get_args(OperationType)) - LAYERS
    table.conditions = {"tool": "official NetAdapt, PyTorch layers without norm or activation"}
    sums: dict[Operation, list[float]] = {}
    for layer, properties in _unpickled(path).items():
        where = f"{path}: layer {layer!r}"
        if not isinstance(properties, Mapping) or not isinstance(
            properties.get("latency"), Mapping
        ):
            raise UserError(f"{where} has no 'latency' of (cin, cout) → seconds")
        for widths, seconds in properties["latency"].items():
            value = _latency(seconds, f"{where}, widths {widths}")
            sums.setdefault(_operation(properties, widths, where), []).append(value)
    if not sums:
        raise UserError(f"{path} holds no latency")
    for operation, values in sums.items():
        table.add(operation, sum(values) / len(values), (max(values) - min(values)) / 2)
    return table


def _unpickled(path: Path) -> Mapping[Any, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is larger than a look-up table can be")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    try:
        result = _PlainUnpickler(io.BytesIO(data)).load()
    except UserError as error:
        raise UserError(f"{path} is refused: {error}") from None
    except Exception as error:  # a malformed pickle raises nearly anything
        reason = str(error) or type(error).__name__
        raise UserError(f"{path} is not a whole NetAdapt table: {reason}") from None
    if not isinstance(result, Mapping):
        raise UserError(f"{path} is not a NetAdapt table: it holds a {type(result).__name__}")
    return result


def _operation(properties: Mapping[str, Any], widths: Any, where: str) -> Operation:
    """The layer at these widths; equal operations compare equal."""
    try:
        kind = properties["layer_type_str"]
        cin, cout = (_count(width) for width in widths)
        kernel, stride = _pair(properties["kernel_size"]), _pair(properties["stride"])
        pad_y, pad_x = _pair(properties["padding"], least=0)
        depthwise, groups = properties["is_depthwise"], _count(properties["groups"])
        height, width = (_count(size) for size in properties["input_feature_map_size"][-2:])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{where} is malformed: {error!r}") from None
    if kind == "Linear":
        return Operation("layer", "linear", ("input",), ((cin, 1, 1),), (cout, 1, 1), bias=True)
    if kind != "Conv2d":
        raise UserError(f"{where} is a {kind!r}; only Conv2d and Linear can be imported")
    out = (
        (height + 2 * pad_y - kernel[0]) // stride[0] + 1,
        (width + 2 * pad_x - kernel[1]) // stride[1] + 1,
    )
    if min(out) < 1:
        raise UserError(f"{where}: the kernel is larger than the padded map")
    return Operation(
        "layer",
        "conv",
        ("input",),
        ((cin, height, width),),
        (cout, *out),
        kernel=kernel,
        stride=stride,
        padding=(pad_y, pad_y, pad_x, pad_x),
        groups=cin if depthwise else groups,
        norm=True,
    )


def _latency(seconds: Any, where: str) -> float:
    """Seconds as milliseconds."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise UserError(f"{where}: {seconds!r} is not a latency in seconds")
    if not (math.isfinite(seconds) and seconds >= 0):
        raise UserError(f"{where}: a latency is finite and not negative, this is {seconds}")
    return float(seconds) * 1000


def _count(value: Any, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{value!r} is not a whole number of at least {least}")
    return value


def _pair(value: Any, least: int = 1) -> tuple[int, int]:
    values = (value, value) if isinstance(value, int) else tuple(value)
    first, second = values
    return _count(first, least), _count(second, least)
