"""The weights of one operation as the lowering takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lut.tflite.model import Array
from search_spaces import Operation


@dataclass(frozen=True)
class OperationWeights:
    """The weights of one operation, normalisation folded in, in torch's layout.

    ``weight``: (outputs, inputs / groups, height, width) of a convolution, (outputs, inputs) of
    a linear layer, (channels,) the scale of a normalisation. ``bias``: (outputs,), or None.
    """

    weight: Array
    bias: Array | None = None


def weight_shape(operation: Operation) -> tuple[int, ...] | None:
    """The shape of the weight that an operation needs, None where it has none."""
    outputs, inputs = operation.output_shape[0], operation.input_shapes[0][0]
    if operation.type == "conv":
        return (outputs, inputs // operation.groups, *operation.kernel)
    if operation.type == "linear":
        return (outputs, inputs)
    return (outputs,) if operation.type in {"batch_norm", "layer_norm"} else None


def random_weights(operation: Operation, generator: np.random.Generator) -> OperationWeights | None:
    """Weights that keep activations near unit size, for files that are only timed."""
    shape = weight_shape(operation)
    if shape is None:
        return None
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
    weight = generator.standard_normal(shape, dtype=np.float32) * np.float32((2 / fan_in) ** 0.5)
    bias = generator.standard_normal(shape[0], dtype=np.float32) * np.float32(0.1)
    return OperationWeights(weight, bias)
