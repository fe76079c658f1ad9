"""The two kinds of processors that fitted models price: their features, and how they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from lut.fit.features import Core, Features, features
from lut.fit.gpu import Gpu, gpu_features
from search_spaces import Operation

Processor = Core | Gpu


def amounts(operation: Operation, processor: Processor) -> Features:
    """What one operation asks of the processor, by feature."""
    if isinstance(processor, Gpu):
        return gpu_features(operation, processor)
    return features(operation, processor)


def stored(processor: Processor) -> dict[str, Any]:
    """The processor as plain JSON types; a CPU core has no ``kind``."""
    kind = {"kind": "gpu"} if isinstance(processor, Gpu) else {}
    return kind | asdict(processor)


def read_processor(data: Mapping[str, Any]) -> Processor:
    """The inverse of `stored`.

    Raises:
        KeyError, TypeError, ValueError: malformed.
    """
    fields = dict(data)
    kind = fields.pop("kind", "core")
    if kind == "gpu":
        return Gpu(**{name: int(value) for name, value in fields.items()})
    if kind != "core":
        raise ValueError(f"processor {kind!r}")
    for name in ("weight_caches", "map_caches"):
        fields[name] = tuple(int(size) for size in fields[name])
    return Core(**fields)
