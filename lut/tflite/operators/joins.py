"""Sums, products, cuts, concatenations and reshapes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lut.tflite.operators.activations import activate
from lut.tflite.operators.base import Lowering, lowers


@lowers("add")
def _add(at: Lowering, inputs: Sequence[int]) -> int:
    return _met(at, inputs, "ADD", "sum", "AddOptions")


@lowers("multiply")
def _multiply(at: Lowering, inputs: Sequence[int]) -> int:
    return _met(at, inputs, "MUL", "product", "MulOptions")


def _met(at: Lowering, inputs: Sequence[int], operator: str, name: str, options: str) -> int:
    """Maps of equal shape, position by position, and the activation."""
    y = at.b.operator(
        operator, inputs, f"{at.name}/{name}", at.out, options, fusedActivationFunction=at.fused
    )
    return activate(at, y)


@lowers("slice")
def _slice(at: Lowering, inputs: Sequence[int]) -> int:
    begin = at.b.constant("begin", np.array([0, 0, 0, at.op.start], dtype=np.int32))
    size = at.b.constant("size", np.array(at.out, dtype=np.int32))
    return at.b.operator(
        "SLICE", [inputs[0], begin, size], f"{at.name}/out", at.out, "SliceOptions"
    )


@lowers("pad_channels")
def _pad_channels(at: Lowering, inputs: Sequence[int]) -> int:
    more = at.op.output_shape[0] - at.op.input_shapes[0][0]
    pads = np.array([[0, 0], [0, 0], [0, 0], [0, more]], dtype=np.int32)
    return at.b.operator(
        "PAD",
        [inputs[0], at.b.constant("paddings", pads)],
        f"{at.name}/out",
        at.out,
        "PadOptions",
    )


@lowers("concat")
def _concat(at: Lowering, inputs: Sequence[int]) -> int:
    return at.b.operator(
        "CONCATENATION", inputs, f"{at.name}/out", at.out, "ConcatenationOptions", axis=3
    )


@lowers("resize")
def _resize(at: Lowering, inputs: Sequence[int]) -> int:
    size = at.b.constant("size", np.array(at.out[1:3], dtype=np.int32))
    args = ([inputs[0], size], f"{at.name}/out", at.out)
    if at.op.mode == "bilinear":
        return at.b.operator(
            "RESIZE_BILINEAR", *args, "ResizeBilinearOptions", halfPixelCenters=True
        )
    return at.b.operator("RESIZE_NEAREST_NEIGHBOR", *args, "ResizeNearestNeighborOptions")


@lowers("flatten")
def _flatten(at: Lowering, inputs: Sequence[int]) -> int:
    b, x = at.b, inputs[0]
    channels, height, width = at.op.input_shapes[0]
    if height * width > 1 and channels > 1:  # torch flattens channel by channel
        order = b.constant("order", np.array([0, 3, 1, 2], dtype=np.int32))
        shape = (1, channels, height, width)
        x = b.operator("TRANSPOSE", [x, order], f"{at.name}/nchw", shape, "TransposeOptions")
    target = b.constant("shape", np.array(at.out, dtype=np.int32))
    return b.operator(
        "RESHAPE",
        [x, target],
        f"{at.name}/out",
        at.out,
        "ReshapeOptions",
        newShape=list(at.out),
    )


@lowers("channel_shuffle")
def _channel_shuffle(at: Lowering, inputs: Sequence[int]) -> int:
    b, x, groups = at.b, inputs[0], int(at.op.mode)
    _, height, width, channels = at.out
    each = channels // groups

    def reshape(y: int, shape: tuple[int, ...], name: str) -> int:
        target = b.constant("shape", np.array(shape, dtype=np.int32))
        args = ([y, target], f"{at.name}/{name}", shape)
        return b.operator("RESHAPE", *args, "ReshapeOptions", newShape=list(shape))

    # pixels in a row: a transposition of three axes is one that runtimes have
    x = reshape(x, (height * width, groups, each), "grouped")
    order = b.constant("order", np.array([0, 2, 1], dtype=np.int32))
    args = ([x, order], f"{at.name}/turned", (height * width, each, groups))
    return reshape(b.operator("TRANSPOSE", *args, "TransposeOptions"), at.out, "out")
