"""Files that show what an operation costs inside a network.

An operation timed alone, again and again, finds weights, input and output in the cache, and
pays for a call of the runtime. A probe puts it where a network would have it:

- every input is written just before by a producer that reads next to nothing itself;
- this is repeated, each time with weights of its own; one corner of every output is kept, so
  that nothing is left out as unused;
- the caches hold what a network leaves there. A device that can call a whole network before
  the file does so (`lut.references`). On one that cannot, a matrix-vector product in front of
  every copy streams as many bytes as the core's private cache has, where networks need more.

The base of an input shape is the same file without the operation, the corners taken of the
input. The cost of the operation is what its file needs beyond the bases of its inputs, over the
number of copies; what they have in common, the call of the runtime too, drops out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lut.cost import Precision
from lut.references import SHARES
from lut.tflite.lowering import lower
from lut.tflite.model import Array, ModelBuilder, pack
from lut.tflite.operators.base import nhwc
from lut.tflite.weights import random_weights
from search_spaces import Operation
from search_spaces.operation import Shape

METHOD: dict[Precision, int] = {"float32": 2, "int8": 3}
"""The version of probes and writer; costs measured by another one do not mix. 3: hard-swish in
int8 files is multiplications, which every delegate has."""

_COLUMNS = 512
"""Inputs of the streaming product; its outputs follow from the bytes to stream."""


@dataclass(frozen=True)
class Surroundings:
    """What a probe imitates; part of a table's conditions.

    ``stream_bytes`` are read before every copy, 0 for none; ``behind``: shares of the widths of
    the networks between whose calls the file is timed, none where the device calls files alone;
    ``loads``: how often a file is loaded anew and timed.
    """

    stream_bytes: int
    copies: int
    behind: tuple[float, ...] = ()
    loads: int = 1


def streaming(working_set: int, cache_bytes: int) -> Surroundings:
    """The surroundings on a device that calls every file alone.

    Args:
        working_set: bytes of a network's weights and its widest maps. Where that is more than
            the private cache, every operation finds its weights outside of it.
        cache_bytes: of the core's private cache, 0 where unknown.
    """
    cache = cache_bytes or 1 << 20
    if working_set > cache:
        return Surroundings(stream_bytes=cache, copies=4)
    return Surroundings(stream_bytes=0, copies=16)


def interleaved() -> Surroundings:
    """The surroundings on a device that calls a network before every turn of files.

    One of the copies finds the memory of its maps as cold as the first user of it in a network
    does, the others as later users do. Where a file lies in memory changes its latency by about
    2 %, more calls of it do not help; hence two loads.
    """
    return Surroundings(stream_bytes=0, copies=4, behind=SHARES, loads=2)


def probe(operation: Operation, around: Surroundings) -> bytes:
    """Several copies of an operation, each on inputs of its own, see the module."""
    return _file(operation.input_shapes, around, operation)


def base(shapes: tuple[Shape, ...], around: Surroundings) -> bytes:
    """What `probe` of an operation with these input shapes contains beside the operation."""
    return _file(shapes, around, None)


def _file(shapes: tuple[Shape, ...], around: Surroundings, operation: Operation | None) -> bytes:
    b = ModelBuilder("probe")
    rows = around.stream_bytes // (4 * _COLUMNS)
    vector = b.tensor("vector", (1, 1, 1, _COLUMNS))
    stream = b.constant("stream", _noise((rows, _COLUMNS))) if rows else 0
    bias = b.constant("bias", _noise((rows,))) if rows else 0
    sources = [
        (
            b.tensor(f"row{i}", (1, 1, 1, shape[0])),
            b.tensor(f"map{i}", (1, shape[1], shape[2], 1)),
        )
        for i, shape in enumerate(shapes)
    ]
    outputs = [_corner(b, vector, "corner")]
    generator = np.random.default_rng(0)
    before: int | None = None
    for copy in range(around.copies):
        if rows:
            streamed = b.operator(
                "FULLY_CONNECTED",
                [vector, stream, bias],
                f"streamed{copy}",
                (1, 1, 1, rows),
                "FullyConnectedOptions",
                keepNumDims=True,
            )
            outputs.append(_corner(b, streamed, f"corner{copy}"))
        inputs = []
        for i, (row, plane) in enumerate(sources):
            if before is not None:
                # one copy after the other: a runtime that splits the graph at an operation it
                # does not have would else run all producers first and keep all their maps
                row = b.operator("ADD", [row, before], f"row{i}.{copy}", b.shape(row), "AddOptions")
            made = b.operator(
                "ADD", [row, plane], f"input{i}.{copy}", nhwc(shapes[i]), "AddOptions"
            )
            inputs.append(made)
        if operation is not None:
            weights = random_weights(operation, generator)
            # as many corners as the bases of its inputs have
            inputs = [lower(b, operation, inputs, weights, f"copy{copy}"), *inputs[1:]]
        corners = [_corner(b, x, f"corner{copy}.{i}") for i, x in enumerate(inputs)]
        outputs += corners
        before = corners[0] if corners else None
    return pack(b.model([vector, *(t for pair in sources for t in pair)], outputs))


def _corner(b: ModelBuilder, x: int, name: str) -> int:
    begin = b.constant("begin", np.zeros(4, dtype=np.int32))
    size = b.constant("size", np.ones(4, dtype=np.int32))
    return b.operator("SLICE", [x, begin, size], name, (1, 1, 1, 1), "SliceOptions")


@lru_cache(maxsize=4)
def _noise(shape: tuple[int, ...]) -> Array:
    return np.random.default_rng(1).standard_normal(shape, dtype=np.float32) * np.float32(0.01)
