"""What an operation asks of a CPU core: the features that a fitted device model prices.

The kernels are those of XNNPACK and of ruy: a dense convolution is a matrix product computed in
tiles of ``rows`` pixels by ``columns`` filters, so pixels and filters are rounded up to whole
tiles, and every tile row streams all the weights through the core. A depthwise convolution works
on blocks of ``columns`` channels. Everything else moves bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from search_spaces import Operation, Shape

Features = dict[str, float]
"""Feature name to amount: millions of multiply-accumulates, megabytes, thousands of calls."""

MEGA = 1e6

FUSED = frozenset({"none", "relu", "relu6"})
"""Activations that the runtime folds into the operation before them."""

PASSES = {"hard_swish": 1, "hard_sigmoid": 1, "sigmoid": 2, "silu": 3, "relu": 1, "relu6": 1} | {
    "gelu": 3,
    "elu": 2,
    "tanh": 2,
}
"""Elementwise passes of an activation that stands alone; a sigmoid computes about two."""


LAYER_NORM_PASSES = 8
"""Operators that a layer normalisation becomes; a count, never fitted to a measurement."""


@dataclass(frozen=True)
class Core:
    """What the features need to know of a core, its runtime and their kernels.

    ``weight_caches`` and ``map_caches`` are sizes in bytes: a tensor larger than one is read from
    the level behind it. ``element`` is bytes per number.
    """

    rows: int = 6
    columns: int = 8
    weight_caches: tuple[int, ...] = (16_000, 128_000, 512_000)
    map_caches: tuple[int, ...] = (128_000, 512_000, 1_500_000)
    element: int = 4

    def round_up(self, channels: int) -> int:
        """Channels rounded up to whole tiles."""
        return -(-channels // self.columns) * self.columns


def beyond(size: float, cache: float) -> float:
    """The share of a tensor that a cache of this size cannot hold, smoothed: 0 … 1."""
    return 1.0 / (1.0 + (cache / max(size, 1.0)) ** 5)


def features(operation: Operation, core: Core) -> Features:
    """The features of one operation; ``traffic`` is bytes in and out of elementwise passes."""
    amounts: Features = {"calls": 1e-3}
    kind = operation.type
    if kind == "linear" or kind == "conv":
        if operation.depthwise:
            _depthwise(amounts, operation, core)
        else:
            _dense(amounts, operation, core)
    elif kind == "avg_pool" or kind == "max_pool":
        _pool(amounts, operation, core)
    elif kind == "global_avg_pool":
        size = _bytes(operation.input_shapes[0], core)
        _add(amounts, "global_pool", size / MEGA)
        _far(amounts, size, core)
    else:
        _elementwise(amounts, operation, core)
    if operation.activation not in FUSED and kind != "activation":
        _activation(amounts, operation, core)
    return amounts


def _dense(amounts: Features, operation: Operation, core: Core) -> None:
    """A dense or grouped convolution or a linear layer."""
    inputs, outputs = operation.input_shapes[0], operation.output_shape
    pixels = outputs[1] * outputs[2]
    area = prod(operation.kernel)
    taps = inputs[0] // operation.groups * area
    if operation.groups > 1:
        # no kernel of its own: run filter by filter, without tiles
        _add(amounts, "grouped", pixels * outputs[0] * taps / MEGA)
        _add(amounts, "grouped_taps", pixels * outputs[0] * area / MEGA)
        return
    filters = core.round_up(outputs[0])
    tile_rows = -(-pixels // core.rows)
    if pixels == 1:
        _add(amounts, "vector", filters * taps / MEGA)
    elif area == 1:
        _add(amounts, "gemm", tile_rows * core.rows * filters * taps / MEGA)
        _add(amounts, "tiles", tile_rows * filters // core.columns / MEGA)
    else:
        _add(amounts, "padded_read", _bytes(inputs, core) / MEGA)
        padded = -(-inputs[0] // 4) * 4 * area
        _add(amounts, "igemm", tile_rows * core.rows * filters * padded / MEGA)
        _add(amounts, "igemm_taps", tile_rows * filters // core.columns * area / MEGA)
    if inputs[0] <= 4:
        _add(amounts, "image_pixels", pixels / MEGA)
    weights = taps * outputs[0] * core.element
    _add(amounts, "weights", weights / MEGA)
    for cache in core.weight_caches:
        share = beyond(weights, cache)
        _add(amounts, f"stream{cache // 1000}k", tile_rows * weights * share / MEGA)
        _add(amounts, f"weights{cache // 1000}k", weights * share / MEGA)
    for shape, name in ((inputs, "read"), (outputs, "write")):
        size = _bytes(shape, core)
        _add(amounts, name, size / MEGA)
        _far(amounts, size, core)


def _depthwise(amounts: Features, operation: Operation, core: Core) -> None:
    """By kernel and stride; other kernels are scaled by their area from the nearest."""
    inputs, outputs = operation.input_shapes[0], operation.output_shape
    area = prod(operation.kernel)
    kernel = 3 if area <= 9 else 5
    stride = 1 if operation.stride == (1, 1) else 2
    work = outputs[1] * outputs[2] * core.round_up(outputs[0]) * area
    _add(amounts, f"depthwise{kernel}s{stride}", work / MEGA)
    _add(amounts, "depthwise_pixels", outputs[1] * outputs[2] / MEGA)
    size = _bytes(inputs, core) + _bytes(outputs, core)
    _add(amounts, "depthwise_maps", size / MEGA)
    if stride > 1:
        _add(amounts, "depthwise_strided", _bytes(inputs, core) / MEGA)
    _far(amounts, size, core)


def _pool(amounts: Features, operation: Operation, core: Core) -> None:
    inputs, outputs = operation.input_shapes[0], operation.output_shape
    _add(amounts, operation.type, prod(outputs) * prod(operation.kernel) / MEGA)
    _far(amounts, _bytes(inputs, core), core)
    if any(operation.padding):
        # padding is a copy of its own in front of a pool
        top, bottom, left, right = operation.padding
        padded = (inputs[0], inputs[1] + top + bottom, inputs[2] + left + right)
        _traffic(amounts, (inputs, padded), core)
        _add(amounts, "calls", 1e-3)


def _elementwise(amounts: Features, operation: Operation, core: Core) -> None:
    shapes = (*operation.input_shapes, operation.output_shape)
    kind = operation.type
    if kind == "activation":
        _activation(amounts, operation, core)
    elif kind == "batch_norm":
        _traffic(amounts, shapes, core)  # a multiplication, then an addition
        _traffic(amounts, shapes, core)
        _add(amounts, "norm", 2 * sum(_bytes(shape, core) for shape in shapes) / MEGA)
    elif kind == "layer_norm":
        # two reductions, a square, and four passes with a vector or a map of one channel
        for _ in range(LAYER_NORM_PASSES):
            _traffic(amounts, shapes, core)
        _add(amounts, "calls", (LAYER_NORM_PASSES - 1) * 1e-3)
    else:
        if kind == "slice":
            shapes = (operation.output_shape,) * 2
        _traffic(amounts, shapes, core)


def _activation(amounts: Features, operation: Operation, core: Core) -> None:
    size = _bytes(operation.output_shape, core)
    for _ in range(PASSES.get(operation.activation, 1)):
        _traffic(amounts, (operation.output_shape,) * 2, core)
        _add(amounts, "swish", size / MEGA)
    _add(amounts, "calls", 1e-3)


def _traffic(amounts: Features, shapes: tuple[Shape, ...], core: Core) -> None:
    size = sum(_bytes(shape, core) for shape in shapes)
    _add(amounts, "traffic", size / MEGA)
    _far(amounts, size, core)


def _far(amounts: Features, size: float, core: Core) -> None:
    """Bytes of feature maps that come from behind each cache."""
    for cache in core.map_caches:
        _add(amounts, f"far{cache // 1000}k", size * beyond(size, cache) / MEGA)


def _bytes(shape: Shape, core: Core) -> float:
    return float(prod(shape) * core.element)


def _add(amounts: Features, name: str, amount: float) -> None:
    amounts[name] = amounts.get(name, 0.0) + amount
