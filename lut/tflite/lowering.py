"""One operation of a description as TFLite operators, NHWC float32, numerically torch's."""

from __future__ import annotations

from collections.abc import Sequence

import lut.tflite.operators  # noqa: F401  (registers what lowers each operation)
from lut.tflite.model import ModelBuilder
from lut.tflite.operators.base import LOWERINGS, Lowering
from lut.tflite.weights import OperationWeights
from search_spaces import Operation


def lower(
    builder: ModelBuilder,
    operation: Operation,
    inputs: Sequence[int],
    weights: OperationWeights | None,
    name: str | None = None,
) -> int:
    """Append an operation that reads the tensors ``inputs`` and return its output tensor."""
    at = Lowering(builder, operation, weights, name or operation.name)
    return LOWERINGS[operation.type](at, inputs)
