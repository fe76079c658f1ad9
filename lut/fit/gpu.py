"""What an operation asks of a phone's GPU: the features that a fitted GPU model prices.

The kernels are those of TFLite's GPU delegate: channels lie in vectors of four, what follows a
convolution elementwise is linked into it, and a 3×3 convolution of stride 1 with many channels on
a large map runs as Winograd's F(4×4, 3×3). A thread walks all taps of its output, so a
convolution on a small map takes as long as its taps, however few outputs it has. Every network
pays once for handing over its image and fetching its result.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from lut.fit.features import MEGA, Features
from search_spaces import Operation, Shape

IMAGE_CHANNELS = (1, 3)
"""The inputs of the convolution that reads the image, once a network."""


@dataclass(frozen=True)
class Gpu:
    """What the features need to know of a GPU's kernels.

    ``vector`` is how many channels lie together; ``winograd_channels`` (in and out) and
    ``winograd_tiles`` of 4×4 pixels are the least for Winograd's algorithm.
    """

    vector: int = 4
    winograd_channels: int = 64
    winograd_tiles: int = 32

    def round_up(self, channels: int) -> int:
        """Channels rounded up to whole vectors."""
        return -(-channels // self.vector) * self.vector

    def numbers(self, *shapes: Shape) -> float:
        """Millions of numbers that maps hold."""
        return sum(self.round_up(s[0]) * s[1] * s[2] for s in shapes) / MEGA


def gpu_features(operation: Operation, gpu: Gpu) -> Features:
    """The features of one operation: millions of multiply-accumulates or numbers, calls, networks.

    ``taps`` are thousands of input numbers of one output.
    """
    maps = gpu.numbers(*operation.input_shapes, operation.output_shape)
    kind = operation.type
    if kind == "conv" or kind == "linear":
        return _depthwise(operation, gpu, maps) if operation.depthwise else _dense(operation, gpu)
    if kind == "add" or kind == "multiply":
        # mostly linked into the operation before: half a call, a guess; no map of its own
        return {"calls": 0.5}
    if kind == "avg_pool" or kind == "max_pool":
        return {"calls": 1.0, "pool": maps}
    if kind == "global_avg_pool":
        return {"calls": 1.0, "traffic": gpu.numbers(operation.input_shapes[0])}
    return {"calls": 1.0, "traffic": maps}


def _depthwise(operation: Operation, gpu: Gpu, maps: float) -> Features:
    area = prod(operation.kernel)
    work = gpu.numbers(operation.output_shape) * area
    return {"calls": 1.0, "depthwise_calls": 1.0, "depthwise": work, "traffic": maps}


def _dense(operation: Operation, gpu: Gpu) -> Features:
    """A dense or grouped convolution or a linear layer."""
    inputs, outputs = operation.input_shapes[0], operation.output_shape
    area = prod(operation.kernel)
    pixels = outputs[1] * outputs[2]
    amounts: Features = {"calls": 1.0}
    if operation.type == "conv" and inputs[0] in IMAGE_CHANNELS:
        amounts["networks"] = 1.0
    maps = gpu.numbers(inputs, outputs)
    if operation.groups > 1:
        work = pixels * outputs[0] * (inputs[0] // operation.groups) * area / MEGA
        return amounts | {"grouped": work, "traffic": maps}
    amounts["weights"] = outputs[0] * inputs[0] * area / MEGA
    if pixels == 1:
        return amounts  # as long as its weights take to read
    work = gpu.numbers(outputs) * gpu.round_up(inputs[0]) * area
    name = "gemm" if area == 1 else "winograd" if _is_winograd(operation, gpu) else "conv"
    taps = gpu.round_up(inputs[0]) * area / 1e3
    if operation.activation in {"hard_swish", "hard_sigmoid"}:
        maps += gpu.numbers(outputs)
    return amounts | {name: work, "taps": taps, "traffic": maps}


def _is_winograd(operation: Operation, gpu: Gpu) -> bool:
    """Whether the delegate's rule picks Winograd's algorithm, with thresholds between its GPUs'."""
    channels, height, width = operation.output_shape
    return (
        operation.kernel == (3, 3)
        and operation.stride == (1, 1)
        and min(channels, operation.input_shapes[0][0]) >= gpu.winograd_channels
        and -(-height // 4) * -(-width // 4) >= gpu.winograd_tiles
    )
