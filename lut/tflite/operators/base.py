"""What every lowering is given, and where each finds its operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lut.tflite.model import Array, ModelBuilder
from lut.tflite.weights import OperationWeights, weight_shape
from search_spaces import Operation
from search_spaces.operation import Shape


def nhwc(shape: Shape) -> tuple[int, int, int, int]:
    """(channels, height, width) as TFLite's shape of one image."""
    return (1, shape[1], shape[2], shape[0])


class Lowering:
    """One operation on its way: where to write, what, and under which tensor names."""

    def __init__(
        self, b: ModelBuilder, op: Operation, weights: OperationWeights | None, name: str
    ) -> None:
        self.b, self.op, self.name = b, op, name
        self.weights = weights
        self.out = nhwc(op.output_shape)

    @property
    def fused(self) -> int:
        """The code of the activation inside the operator; what cannot be fused follows it."""
        codes = self.b.s.ActivationFunctionType
        return int({"relu": codes.RELU, "relu6": codes.RELU6}.get(self.op.activation, codes.NONE))

    def parameters(self) -> tuple[Array, Array]:
        """Weight and bias of the operation, the bias zeros where it has none."""
        assert self.weights is not None, f"{self.op.name} needs weights"
        weight = np.asarray(self.weights.weight, dtype=np.float32)
        assert weight.shape == weight_shape(self.op), (self.op.name, weight.shape)
        if self.weights.bias is None:
            return weight, np.zeros(self.op.output_shape[0], dtype=np.float32)
        return weight, np.asarray(self.weights.bias, dtype=np.float32)


Lowers = Callable[[Lowering, Sequence[int]], int]

LOWERINGS: dict[str, Lowers] = {}
"""Operation type → what appends it and returns its output tensor; `lowers` fills it."""


def lowers(kind: str) -> Callable[[Lowers], Lowers]:
    """Register a function as what lowers operations of this type."""

    def register(function: Lowers) -> Lowers:
        LOWERINGS[kind] = function
        return function

    return register
