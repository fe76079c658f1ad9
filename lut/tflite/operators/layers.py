"""Layers with weights: convolutions, linear layers, normalisations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lut.tflite.model import Array
from lut.tflite.operators.activations import activate, sixth
from lut.tflite.operators.base import Lowering, lowers
from lut.tflite.operators.windows import padded
from search_spaces import Operation

FAST_TAPS = 25
"""Taps of the largest depthwise kernel that XNNPACK has a fast kernel for (LiteRT 2.3): 7x7
through its general path took 5 to 15 times as long as the sum of its row groups."""


@lowers("conv")
def _conv(at: Lowering, inputs: Sequence[int]) -> int:
    b, op = at.b, at.op
    weight, bias = at.parameters()
    depthwise = op.groups == op.input_shapes[0][0] > 1
    plain = op.dilation == (1, 1)
    if depthwise and plain and op.kernel[0] * op.kernel[1] > FAST_TAPS:
        rows = _row_groups(op)
        if rows is not None:
            return _split_depthwise(at, inputs[0], weight, bias, rows)
    x, padding = padded(at, inputs[0])
    fused = at.fused
    gate = op.activation == "hard_sigmoid"
    if gate:  # relu6(conv + 3) / 6 without an operator for the 3
        bias, fused = bias + np.float32(3), b.s.ActivationFunctionType.RELU6
    common = {
        "padding": padding,
        "strideH": op.stride[0],
        "strideW": op.stride[1],
        "fusedActivationFunction": fused,
        "dilationHFactor": op.dilation[0],
        "dilationWFactor": op.dilation[1],
    }
    bias_tensor = b.constant(f"{at.name}/bias", bias)
    out = f"{at.name}/conv"
    if depthwise:
        # (outputs, 1, h, w) → (1, h, w, outputs)
        kernel = b.constant(f"{at.name}/weight", weight[:, 0].transpose(1, 2, 0)[None])
        multiplier = op.output_shape[0] // op.groups
        y = b.operator(
            "DEPTHWISE_CONV_2D",
            [x, kernel, bias_tensor],
            out,
            at.out,
            "DepthwiseConv2DOptions",
            depthMultiplier=multiplier,
            **common,
        )
    else:
        kernel = b.constant(f"{at.name}/weight", weight.transpose(0, 2, 3, 1))
        y = b.operator("CONV_2D", [x, kernel, bias_tensor], out, at.out, "Conv2DOptions", **common)
    return sixth(at, y) if gate else activate(at, y)


@lowers("linear")
def _linear(at: Lowering, inputs: Sequence[int]) -> int:
    b = at.b
    weight, bias = at.parameters()
    y = b.operator(
        "FULLY_CONNECTED",
        [
            inputs[0],
            b.constant(f"{at.name}/weight", weight),
            b.constant(f"{at.name}/bias", bias),
        ],
        f"{at.name}/linear",
        at.out,
        "FullyConnectedOptions",
        fusedActivationFunction=at.fused,
        keepNumDims=True,
    )
    return activate(at, y)


@lowers("batch_norm")
def _batch_norm(at: Lowering, inputs: Sequence[int]) -> int:
    b = at.b
    scale, shift = at.parameters()
    y = b.operator(
        "MUL",
        [inputs[0], b.constant(f"{at.name}/scale", scale)],
        f"{at.name}/scaled",
        at.out,
        "MulOptions",
    )
    y = b.operator(
        "ADD",
        [y, b.constant(f"{at.name}/shift", shift)],
        f"{at.name}/norm",
        at.out,
        "AddOptions",
        fusedActivationFunction=at.fused,
    )
    return activate(at, y)


def _split_depthwise(
    at: Lowering, x: int, weight: Array, bias: Array, groups: list[list[int]]
) -> int:
    """A large depthwise kernel as the sum of groups of its rows, see `FAST_TAPS`.

    A group takes every d-th row, so it is a convolution dilated by d with padding of its
    own that is never negative; XNNPACK folds the PAD operators into the convolutions.
    """
    b, op = at.b, at.op
    height, width = op.input_shapes[0][1:]
    out_height, out_width = op.output_shape[1:]
    top, _, left, _ = op.padding
    right = max((out_width - 1) * op.stride[1] + op.kernel[1] - left - width, 0)
    total = 0
    for i, rows in enumerate(groups):
        before = top - rows[0]
        behind = max((out_height - 1) * op.stride[0] + rows[-1] + 1 - top - height, 0)
        pads = np.array([[0, 0], [before, behind], [left, right], [0, 0]], dtype=np.int32)
        shape = [1, height + before + behind, width + left + right, op.groups]
        padded = x
        if pads.any():
            tensor = b.constant("paddings", pads)
            padded = b.operator("PAD", [x, tensor], f"{at.name}/pad{i}", shape, "PadOptions")
        part = weight[:, 0, rows].transpose(1, 2, 0)[None]
        share = bias if i == 0 else np.zeros_like(bias)
        y = b.operator(
            "DEPTHWISE_CONV_2D",
            [
                padded,
                b.constant(f"{at.name}/weight{i}", part),
                b.constant(f"{at.name}/bias{i}", share),
            ],
            f"{at.name}/part{i}",
            at.out,
            "DepthwiseConv2DOptions",
            depthMultiplier=1,
            padding=b.s.Padding.VALID,
            strideH=op.stride[0],
            strideW=op.stride[1],
            dilationHFactor=rows[1] - rows[0] if len(rows) > 1 else 1,
            dilationWFactor=1,
        )
        if i == 0:
            total = y
            continue
        last = i == len(groups) - 1
        total = b.operator(
            "ADD",
            [total, y],
            f"{at.name}/sum{i}",
            at.out,
            "AddOptions",
            fusedActivationFunction=at.fused if last else 0,
        )
    return activate(at, total)


def _row_groups(op: Operation) -> list[list[int]] | None:
    """The rows of a large depthwise kernel in interleaved groups of at most `FAST_TAPS` taps.

    None where it cannot be split so: padding that would turn negative, several filters a
    channel, rows that are too long.
    """
    height, width = op.kernel
    if op.output_shape[0] != op.groups or width > FAST_TAPS:
        return None
    count = -(-height // (FAST_TAPS // width))
    groups = [list(range(first, height, count)) for first in range(count)]
    return groups if count - 1 <= op.padding[0] else None


@lowers("layer_norm")
def _layer_norm(at: Lowering, inputs: Sequence[int]) -> int:
    b, x = at.b, inputs[0]
    gain, shift = at.parameters()
    over = [3] if at.op.mode == "channels" else [1, 2, 3]
    axes = b.constant("axes", np.array(over, dtype=np.int32))
    reduced = tuple(1 if axis in over else size for axis, size in enumerate(at.out))

    def mean(of: int, name: str) -> int:
        args = ([of, axes], f"{at.name}/{name}", reduced)
        return b.operator("MEAN", *args, "ReducerOptions", keepDims=True)

    def times(y: int, z: int, name: str) -> int:
        return b.operator("MUL", [y, z], f"{at.name}/{name}", at.out, "MulOptions")

    args = ([x, mean(x, "mean")], f"{at.name}/centred", at.out)
    centred = b.operator("SUB", *args, "SubOptions")
    variance = mean(times(centred, centred, "squares"), "variance")
    eps = b.constant("eps", np.array([at.op.norm_eps], dtype=np.float32))
    name = f"{at.name}/positive"
    variance = b.operator("ADD", [variance, eps], name, reduced, "AddOptions")
    inverse = b.operator("RSQRT", [variance], f"{at.name}/inverse", reduced)
    y = times(times(centred, inverse, "normal"), b.constant(f"{at.name}/gain", gain), "scaled")
    args = ([y, b.constant(f"{at.name}/shift", shift)], f"{at.name}/norm", at.out)
    return activate(at, b.operator("ADD", *args, "AddOptions", fusedActivationFunction=at.fused))
