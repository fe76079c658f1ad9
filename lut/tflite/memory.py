"""The memory that a network's maps need on a device, from its description alone.

It is what the runtime's memory planner comes to for the operators that the file has: every map
lives from the operator that writes it to the last one that reads it, input and outputs live to the
end, and maps that are not alive together share memory; a convolution copies its windows. Weights
come on top. A delegate such as XNNPACK plans for itself, without the copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lut.cost import Precision
from lut.tflite.lowering import lower
from lut.tflite.model import Array, ModelBuilder
from lut.tflite.operators.base import nhwc
from lut.tflite.weights import OperationWeights, weight_shape
from search_spaces import Network, Operation, UserError
from search_spaces.space import INPUT

ALIGNMENT = 64
"""Bytes at whose multiples the runtime lets a tensor begin."""

IN_PLACE = frozenset({"ADD", "MUL", "RESHAPE"})
"""Operators that write over an input of the same size which nothing reads later."""


class _Shapes(ModelBuilder):
    """A file under construction whose constants have no content."""

    def __init__(self, name: str, bytes_each: int) -> None:
        super().__init__(name)
        self.bytes_each = bytes_each

    def constant(self, name: str, value: Array) -> int:
        return self._tensor(name, value.shape, value.dtype.name, 1)

    def operator(
        self,
        code: str,
        inputs: Sequence[int],
        name: str,
        shape: Sequence[int],
        options: str | None = None,
        **fields: Any,
    ) -> int:
        if code != "HARD_SWISH" or self.bytes_each == 4:
            return super().operator(code, inputs, name, shape, options, **fields)
        # as `expand_hard_swish` writes it for int8
        (x,) = inputs
        gate = self.operator("ADD", [x], f"{name}/relu6", shape)
        product = self.operator("MUL", [x, gate], f"{name}/product", shape)
        return self.operator("MUL", [product], name, shape)

    def maps(self, output: Sequence[int]) -> list[_Map]:
        """Every computed tensor, with the operators between which it lives."""
        first = {0: 0}
        last: dict[int, int] = {}
        shared: dict[int, int] = {}
        names = {number: name for name, number in vars(self.s.BuiltinOperator).items()}
        codes = [names[number] for number in self._codes]
        for place, operator in enumerate(self._operators):
            for index in operator.inputs:
                last[index] = place
            first[operator.outputs[0]] = place
        end = len(self._operators)
        last.update(dict.fromkeys([0, *output], end))
        sizes = {i: self.bytes_each * int(np.prod(self.shape(i))) for i in first}
        for place, operator in enumerate(self._operators):
            out = operator.outputs[0]
            if codes[operator.opcodeIndex] in IN_PLACE:
                _share(operator, out, place, first, last, sizes, shared)
        own = [_Map(sizes[i], first[i], last.get(i, first[i])) for i in first if i not in shared]
        windows = [
            _Map(self.bytes_each * self._windows(operator), place, place)
            for place, operator in enumerate(self._operators)
            if codes[operator.opcodeIndex] == "CONV_2D"
        ]
        return [*own, *(m for m in windows if m.size)]

    def _windows(self, operator: Any) -> int:
        """Values of the windows that the runtime's own convolution copies out of its input."""
        options = operator.builtinOptions
        _, height, width, channels = self.shape(operator.inputs[1])
        if height == width == options.strideH == options.strideW == 1:
            return 0
        _, out_height, out_width, _ = self.shape(operator.outputs[0])
        return out_height * out_width * height * width * channels


def _share(
    operator: Any,
    out: int,
    place: int,
    first: dict[int, int],
    last: dict[int, int],
    sizes: dict[int, int],
    shared: dict[int, int],
) -> None:
    """Let an output live in the memory of an input that ends with its operator."""
    for index in operator.inputs:
        root = shared.get(index, index)
        if root in first and last[root] == place and sizes[root] == sizes[out] and root != 0:
            shared[out] = root
            last[root] = last.get(out, place)
            return


@dataclass(frozen=True)
class _Map:
    """One tensor: its bytes, and the first and last operator that need it."""

    size: int
    first: int
    last: int

    def meets(self, other: _Map) -> bool:
        return self.first <= other.last and other.first <= self.last


def peak_memory(network: Network, precision: Precision = "float32") -> int:
    """Bytes of the largest set of maps that a network holds at once, as the runtime places them.

    Args:
        network: the description.
        precision: of the maps: 4 bytes a value, or 1.

    Returns:
        The size of the memory that all of them share, input and outputs included, weights not.

    Raises:
        UserError: a layer is larger than any machine's memory.
    """
    builder = _Shapes(network.name, 1 if precision == "int8" else 4)
    tensors = {INPUT: builder.tensor(INPUT, nhwc(network.input_shape))}
    for operation in network.operations:
        inputs = [tensors[name] for name in operation.inputs]
        tensors[operation.name] = lower(builder, operation, inputs, _hollow(operation))
    outputs = [tensors[name] for name in network.outputs]
    return placed(builder.maps(outputs))


def _hollow(operation: Operation) -> OperationWeights | None:
    """Weights of the right shapes that take no memory."""
    shape = weight_shape(operation)
    if shape is None:
        return None
    zero = np.zeros((), dtype=np.float32)
    try:
        return OperationWeights(np.broadcast_to(zero, shape), np.broadcast_to(zero, shape[:1]))
    except ValueError:  # more values than an address can count
        raise UserError(f"{operation.name}: no machine holds weights of {list(shape)}") from None


def placed(maps: Sequence[_Map]) -> int:
    """Bytes of the arena: the largest first, each in the smallest gap that it fits into.

    Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020, the
    greedy placement by size that LiteRT has; its order among equals included.
    """
    end = max((m.last for m in maps), default=0)
    # what lives throughout is placed first
    order = sorted(maps, key=lambda m: (-(m.first == 0 and m.last == end), -m.size, m.first))
    taken: list[tuple[int, _Map]] = []
    top = 0
    for one in order:
        start, best, offset = 0, None, None
        for begin, other in sorted((t for t in taken if t[1].meets(one)), key=lambda t: t[0]):
            gap = begin - start
            if gap >= one.size and (best is None or gap < best):
                best, offset = gap, start
            start = max(start, -(-(begin + other.size) // ALIGNMENT) * ALIGNMENT)
        where = start if offset is None else offset
        taken.append((where, one))
        top = max(top, where + one.size)
    return top
