"""Operations and whole networks as ``.tflite`` files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lut.tflite.lowering import lower
from lut.tflite.model import ModelBuilder, pack
from lut.tflite.operators.base import nhwc
from lut.tflite.weights import OperationWeights, random_weights, weight_shape
from search_spaces import Network, Operation, UserError
from search_spaces.space import INPUT

Weights = Mapping[str, OperationWeights]
"""Folded weights by operation name."""


@dataclass(frozen=True)
class Metadata:
    """What a file says about its use; stored as JSON under the metadata name ``network``.

    ``mean`` and ``std`` are per input channel, of pixels in [0, 1].
    """

    labels: Sequence[str] = ()
    mean: Sequence[float] = ()
    std: Sequence[float] = ()
    layout: str = "NHWC"
    resolution: int = 0
    extra: Mapping[str, Any] | None = None


def write_operation(operation: Operation, weights: OperationWeights | None = None) -> bytes:
    """One operation as a file; inputs in the operation's order, random weights where None."""
    builder = ModelBuilder(operation.name)
    inputs = [
        builder.tensor(f"input{i}", nhwc(shape)) for i, shape in enumerate(operation.input_shapes)
    ]
    weights = weights or random_weights(operation, np.random.default_rng(0))
    out = lower(builder, operation, inputs, weights)
    return pack(builder.model(inputs, [out]))


def network_model(
    network: Network, weights: Weights | None, metadata: Metadata | None = None
) -> Any:
    """`write_network` before packing, in the schema's object form."""
    builder = ModelBuilder(network.name)
    generator = np.random.default_rng(0)
    image = builder.tensor(INPUT, nhwc(network.input_shape))
    tensors = {INPUT: image}
    for operation in network.operations:
        own = random_weights(operation, generator) if weights is None else None
        if weights is not None and weight_shape(operation) is not None:
            if operation.name not in weights:
                raise UserError(f"no weights for the operation {operation.name!r}")
            own = weights[operation.name]
        inputs = [tensors[name] for name in operation.inputs]
        tensors[operation.name] = lower(builder, operation, inputs, own)
    outputs = [_output(builder, tensors[name], name) for name in network.outputs]
    metadata = metadata or Metadata()
    content = {"schema": 1, "network": network.name, **asdict(metadata)}
    content["resolution"] = metadata.resolution or network.resolution
    builder.metadata(content)
    return builder.model([image], outputs)


def _output(builder: ModelBuilder, tensor: int, name: str) -> int:
    """Vectors leave as (1, outputs), as torch's do; maps as they are."""
    _, height, width, channels = builder.shape(tensor)
    if height * width > 1:
        return tensor
    shape = (1, channels)
    target = builder.constant("shape", np.array(shape, dtype=np.int32))
    return builder.operator(
        "RESHAPE",
        [tensor, target],
        f"{name}/output",
        shape,
        "ReshapeOptions",
        newShape=list(shape),
    )


def write_network(
    network: Network, weights: Weights | None, metadata: Metadata | None = None
) -> bytes:
    """A whole network as a file: NHWC, float32, batch 1, normalisation folded.

    Args:
        network: the description.
        weights: folded weights by operation name; None writes random ones, for timing.
        metadata: labels, mean, standard deviation, layout, resolution.

    Returns:
        The bytes of a ``.tflite`` file. Its one input is (1, height, width, channels); a vector
        output is (1, outputs), a map (1, height, width, channels).

    Raises:
        UserError: weights are missing, or ai-edge-litert is.
    """
    return pack(network_model(network, weights, metadata))
