"""Windows: padding as torch has it, and pooling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lut.tflite.model import Array
from lut.tflite.operators.base import Lowering, lowers, nhwc
from search_spaces import Operation


@lowers("max_pool")
def _max_pool(at: Lowering, inputs: Sequence[int]) -> int:
    lowest = float(np.finfo(np.float32).min)
    return _pool(at, "MAX_POOL_2D", *padded(at, inputs[0], lowest))


@lowers("avg_pool")
def _avg_pool(at: Lowering, inputs: Sequence[int]) -> int:
    counted = [_counted(at.op, axis) for axis in (0, 1)]
    area = at.op.kernel[0] * at.op.kernel[1]
    divisors = np.outer(*counted)
    if _same(at) and np.array_equal(divisors, np.outer(*(_inside(at.op, a) for a in (0, 1)))):
        return _pool(at, "AVERAGE_POOL_2D", inputs[0], int(at.b.s.Padding.SAME))
    y = _pool(at, "AVERAGE_POOL_2D", *padded(at, inputs[0]))
    if (divisors == area).all():
        return y
    # the zeros were counted: undo it at the border
    share = (area / divisors).astype(np.float32)[None, :, :, None]
    return at.b.operator(
        "MUL",
        [y, at.b.constant(f"{at.name}/share", share)],
        f"{at.name}/out",
        at.out,
        "MulOptions",
    )


@lowers("global_avg_pool")
def _global_avg_pool(at: Lowering, inputs: Sequence[int]) -> int:
    axes = at.b.constant("axes", np.array([1, 2], dtype=np.int32))
    return at.b.operator(
        "MEAN", [inputs[0], axes], f"{at.name}/out", at.out, "ReducerOptions", keepDims=True
    )


def _same(at: Lowering) -> bool:
    """True where TFLite's SAME padding is this operation's (bottom and right may be cut)."""
    op = at.op
    for axis in (0, 1):
        size, out = op.input_shapes[0][axis + 1], op.output_shape[axis + 1]
        if out != -(-size // op.stride[axis]):
            return False
        total = max((out - 1) * op.stride[axis] + op.extent[axis] - size, 0)
        if op.padding[2 * axis] != total // 2 or not _reaches(at, axis, total - total // 2):
            return False
    return True


def _reaches(at: Lowering, axis: int, after: int) -> bool:
    """True where the padding behind, as far as any window reads it, is ``after``."""
    op = at.op
    size, out = op.input_shapes[0][axis + 1], op.output_shape[axis + 1]
    read = (out - 1) * op.stride[axis] + op.extent[axis] - op.padding[2 * axis] - size
    return max(read, 0) == after


def _pads(at: Lowering) -> list[list[int]]:
    """Zeros before and behind each axis, as far as the windows read."""
    op = at.op
    rows = [[0, 0]]
    for axis in (0, 1):
        size, out = op.input_shapes[0][axis + 1], op.output_shape[axis + 1]
        before = op.padding[2 * axis]
        read = (out - 1) * op.stride[axis] + op.extent[axis] - before - size
        rows.append([before, max(read, 0)])
    return [*rows, [0, 0]]


def padded(at: Lowering, x: int, fill: float = 0.0) -> tuple[int, int]:
    """The input with explicit padding where SAME differs, and the padding that is left."""
    b, op = at.b, at.op
    rows = _pads(at)
    if not any(map(any, rows)):
        return x, int(b.s.Padding.VALID)
    if _same(at):
        return x, int(b.s.Padding.SAME)
    shape = [s + sum(row) for s, row in zip(nhwc(op.input_shapes[0]), rows, strict=True)]
    pads = b.constant("paddings", np.array(rows, dtype=np.int32))
    out = f"{at.name}/pad"
    if fill == 0.0:
        padded = b.operator("PAD", [x, pads], out, shape, "PadOptions")
    else:
        value = b.constant("fill", np.array([fill], dtype=np.float32))
        padded = b.operator("PADV2", [x, pads, value], out, shape, "PadV2Options")
    return padded, int(b.s.Padding.VALID)


def _pool(at: Lowering, code: str, x: int, padding: int) -> int:
    op = at.op
    return at.b.operator(
        code,
        [x],
        f"{at.name}/pool",
        at.out,
        "Pool2DOptions",
        padding=padding,
        strideH=op.stride[0],
        strideW=op.stride[1],
        filterHeight=op.kernel[0],
        filterWidth=op.kernel[1],
        fusedActivationFunction=at.fused,
    )


def _inside(op: Operation, axis: int) -> Array:
    """How many real pixels each window along an axis covers."""
    size, out = op.input_shapes[0][axis + 1], op.output_shape[axis + 1]
    starts = np.arange(out) * op.stride[axis] - op.padding[2 * axis]
    return np.minimum(starts + op.extent[axis], size) - np.maximum(starts, 0)


def _counted(op: Operation, axis: int) -> Array:
    """What torch's average pooling divides by along an axis."""
    if "count_padding" not in op.mode:
        return _inside(op, axis)
    size, out = op.input_shapes[0][axis + 1], op.output_shape[axis + 1]
    before, after = op.padding[2 * axis : 2 * axis + 2]
    starts = np.arange(out) * op.stride[axis] - before
    return np.minimum(starts + op.extent[axis], size + after) - starts
