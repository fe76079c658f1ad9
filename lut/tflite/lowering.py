"""One operation of a description as TFLite operators, NHWC float32, numerically torch's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lut.tflite.model import Array, ModelBuilder
from search_spaces import Operation
from search_spaces.operation import Shape

FAST_TAPS = 25
"""Taps of the largest depthwise kernel that XNNPACK has a fast kernel for (LiteRT 2.3): 7x7
through its general path took 5 to 15 times as long as the sum of its row groups."""


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
    return (outputs,) if operation.type == "batch_norm" else None


def random_weights(operation: Operation, generator: np.random.Generator) -> OperationWeights | None:
    """Weights that keep activations near unit size, for files that are only timed."""
    shape = weight_shape(operation)
    if shape is None:
        return None
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
    weight = generator.standard_normal(shape, dtype=np.float32) * np.float32((2 / fan_in) ** 0.5)
    bias = generator.standard_normal(shape[0], dtype=np.float32) * np.float32(0.1)
    return OperationWeights(weight, bias)


def nhwc(shape: Shape) -> tuple[int, int, int, int]:
    """(channels, height, width) as TFLite's shape of one image."""
    return (1, shape[1], shape[2], shape[0])


def lower(
    builder: ModelBuilder,
    operation: Operation,
    inputs: Sequence[int],
    weights: OperationWeights | None,
    name: str | None = None,
) -> int:
    """Append an operation that reads the tensors ``inputs`` and return its output tensor."""
    return _Lowering(builder, operation, weights, name or operation.name).run(inputs)


class _Lowering:
    """The state of one `lower`: where to write, what, and under which tensor names."""

    def __init__(
        self, b: ModelBuilder, op: Operation, weights: OperationWeights | None, name: str
    ) -> None:
        self.b, self.op, self.name = b, op, name
        self.weights = weights
        self.out = nhwc(op.output_shape)

    def run(self, inputs: Sequence[int]) -> int:
        method: Callable[[Sequence[int]], int] = getattr(self, f"_{self.op.type}")
        return method(inputs)

    # activations -------------------------------------------------------------------------------

    @property
    def fused(self) -> int:
        """The code of the activation inside the operator; what cannot be fused follows it."""
        codes = self.b.s.ActivationFunctionType
        return int({"relu": codes.RELU, "relu6": codes.RELU6}.get(self.op.activation, codes.NONE))

    def activate(self, x: int) -> int:
        """Append the activation where it is not `fused`."""
        b, shape, kind = self.b, self.b.shape(x), self.op.activation
        if kind == "hard_swish":
            return b.operator("HARD_SWISH", [x], f"{self.name}/out", shape, "HardSwishOptions")
        if kind == "hard_sigmoid":
            return self._sixth(self._plus_three(x))
        if kind == "gelu":
            return b.operator("GELU", [x], f"{self.name}/out", shape, "GeluOptions")
        if kind in {"elu", "tanh"}:
            return b.operator(kind.upper(), [x], f"{self.name}/out", shape)
        if kind in {"sigmoid", "silu"}:
            gate = b.operator("LOGISTIC", [x], f"{self.name}/sigmoid", shape)
            if kind == "sigmoid":
                return gate
            return b.operator("MUL", [x, gate], f"{self.name}/out", shape, "MulOptions")
        return x

    def _plus_three(self, x: int) -> int:
        three = self.b.constant("three", np.array([3], dtype=np.float32))
        relu6 = self.b.s.ActivationFunctionType.RELU6
        shape = self.b.shape(x)
        return self.b.operator(
            "ADD",
            [x, three],
            f"{self.name}/relu6",
            shape,
            "AddOptions",
            fusedActivationFunction=relu6,
        )

    def _sixth(self, x: int) -> int:
        sixth = self.b.constant("sixth", np.array([1 / 6], dtype=np.float32))
        return self.b.operator("MUL", [x, sixth], f"{self.name}/out", self.b.shape(x), "MulOptions")

    def _activation(self, inputs: Sequence[int]) -> int:
        code = {"relu": "RELU", "relu6": "RELU6"}.get(self.op.activation)
        if code is not None:
            return self.b.operator(code, inputs, f"{self.name}/out", self.out)
        return self.activate(inputs[0])

    # layers with weights -----------------------------------------------------------------------

    def _parameters(self) -> tuple[Array, Array]:
        assert self.weights is not None, f"{self.op.name} needs weights"
        weight = np.asarray(self.weights.weight, dtype=np.float32)
        assert weight.shape == weight_shape(self.op), (self.op.name, weight.shape)
        if self.weights.bias is None:
            return weight, np.zeros(self.op.output_shape[0], dtype=np.float32)
        return weight, np.asarray(self.weights.bias, dtype=np.float32)

    def _conv(self, inputs: Sequence[int]) -> int:
        b, op = self.b, self.op
        weight, bias = self._parameters()
        depthwise = op.groups == op.input_shapes[0][0] > 1
        if depthwise and op.kernel[0] * op.kernel[1] > FAST_TAPS:
            rows = _row_groups(op)
            if rows is not None:
                return self._split_depthwise(inputs[0], weight, bias, rows)
        x, padding = self._padded(inputs[0])
        fused = self.fused
        gate = op.activation == "hard_sigmoid"
        if gate:  # relu6(conv + 3) / 6 without an operator for the 3
            bias, fused = bias + np.float32(3), b.s.ActivationFunctionType.RELU6
        common = {
            "padding": padding,
            "strideH": op.stride[0],
            "strideW": op.stride[1],
            "fusedActivationFunction": fused,
            "dilationHFactor": 1,
            "dilationWFactor": 1,
        }
        bias_tensor = b.constant(f"{self.name}/bias", bias)
        out = f"{self.name}/conv"
        if depthwise:
            # (outputs, 1, h, w) → (1, h, w, outputs)
            kernel = b.constant(f"{self.name}/weight", weight[:, 0].transpose(1, 2, 0)[None])
            multiplier = op.output_shape[0] // op.groups
            y = b.operator(
                "DEPTHWISE_CONV_2D",
                [x, kernel, bias_tensor],
                out,
                self.out,
                "DepthwiseConv2DOptions",
                depthMultiplier=multiplier,
                **common,
            )
        else:
            kernel = b.constant(f"{self.name}/weight", weight.transpose(0, 2, 3, 1))
            y = b.operator(
                "CONV_2D", [x, kernel, bias_tensor], out, self.out, "Conv2DOptions", **common
            )
        return self._sixth(y) if gate else self.activate(y)

    def _split_depthwise(self, x: int, weight: Array, bias: Array, groups: list[list[int]]) -> int:
        """A large depthwise kernel as the sum of groups of its rows, see `FAST_TAPS`.

        A group takes every d-th row, so it is a convolution dilated by d with padding of its
        own that is never negative; XNNPACK folds the PAD operators into the convolutions.
        """
        b, op = self.b, self.op
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
                padded = b.operator("PAD", [x, tensor], f"{self.name}/pad{i}", shape, "PadOptions")
            part = weight[:, 0, rows].transpose(1, 2, 0)[None]
            share = bias if i == 0 else np.zeros_like(bias)
            y = b.operator(
                "DEPTHWISE_CONV_2D",
                [
                    padded,
                    b.constant(f"{self.name}/weight{i}", part),
                    b.constant(f"{self.name}/bias{i}", share),
                ],
                f"{self.name}/part{i}",
                self.out,
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
                f"{self.name}/sum{i}",
                self.out,
                "AddOptions",
                fusedActivationFunction=self.fused if last else 0,
            )
        return self.activate(total)

    def _linear(self, inputs: Sequence[int]) -> int:
        b = self.b
        weight, bias = self._parameters()
        y = b.operator(
            "FULLY_CONNECTED",
            [
                inputs[0],
                b.constant(f"{self.name}/weight", weight),
                b.constant(f"{self.name}/bias", bias),
            ],
            f"{self.name}/linear",
            self.out,
            "FullyConnectedOptions",
            fusedActivationFunction=self.fused,
            keepNumDims=True,
        )
        return self.activate(y)

    def _batch_norm(self, inputs: Sequence[int]) -> int:
        b = self.b
        scale, shift = self._parameters()
        y = b.operator(
            "MUL",
            [inputs[0], b.constant(f"{self.name}/scale", scale)],
            f"{self.name}/scaled",
            self.out,
            "MulOptions",
        )
        y = b.operator(
            "ADD",
            [y, b.constant(f"{self.name}/shift", shift)],
            f"{self.name}/norm",
            self.out,
            "AddOptions",
            fusedActivationFunction=self.fused,
        )
        return self.activate(y)

    # windows -----------------------------------------------------------------------------------

    def _same(self) -> bool:
        """True where TFLite's SAME padding is this operation's (bottom and right may be cut)."""
        op = self.op
        for axis in (0, 1):
            size, out = op.input_shapes[0][axis + 1], op.output_shape[axis + 1]
            if out != -(-size // op.stride[axis]):
                return False
            total = max((out - 1) * op.stride[axis] + op.kernel[axis] - size, 0)
            if op.padding[2 * axis] != total // 2 or not self._reaches(axis, total - total // 2):
                return False
        return True

    def _reaches(self, axis: int, after: int) -> bool:
        """True where the padding behind, as far as any window reads it, is ``after``."""
        op = self.op
        size, out = op.input_shapes[0][axis + 1], op.output_shape[axis + 1]
        read = (out - 1) * op.stride[axis] + op.kernel[axis] - op.padding[2 * axis] - size
        return max(read, 0) == after

    def _pads(self) -> list[list[int]]:
        """Zeros before and behind each axis, as far as the windows read."""
        op = self.op
        rows = [[0, 0]]
        for axis in (0, 1):
            size, out = op.input_shapes[0][axis + 1], op.output_shape[axis + 1]
            before = op.padding[2 * axis]
            read = (out - 1) * op.stride[axis] + op.kernel[axis] - before - size
            rows.append([before, max(read, 0)])
        return [*rows, [0, 0]]

    def _padded(self, x: int, fill: float = 0.0) -> tuple[int, int]:
        """The input with explicit padding where SAME differs, and the padding that is left."""
        b, op = self.b, self.op
        rows = self._pads()
        if not any(map(any, rows)):
            return x, int(b.s.Padding.VALID)
        if self._same():
            return x, int(b.s.Padding.SAME)
        shape = [s + sum(row) for s, row in zip(nhwc(op.input_shapes[0]), rows, strict=True)]
        pads = b.constant("paddings", np.array(rows, dtype=np.int32))
        out = f"{self.name}/pad"
        if fill == 0.0:
            padded = b.operator("PAD", [x, pads], out, shape, "PadOptions")
        else:
            value = b.constant("fill", np.array([fill], dtype=np.float32))
            padded = b.operator("PADV2", [x, pads, value], out, shape, "PadV2Options")
        return padded, int(b.s.Padding.VALID)

    def _pool(self, code: str, x: int, padding: int) -> int:
        op = self.op
        return self.b.operator(
            code,
            [x],
            f"{self.name}/pool",
            self.out,
            "Pool2DOptions",
            padding=padding,
            strideH=op.stride[0],
            strideW=op.stride[1],
            filterHeight=op.kernel[0],
            filterWidth=op.kernel[1],
            fusedActivationFunction=self.fused,
        )

    def _max_pool(self, inputs: Sequence[int]) -> int:
        lowest = float(np.finfo(np.float32).min)
        return self._pool("MAX_POOL_2D", *self._padded(inputs[0], lowest))

    def _avg_pool(self, inputs: Sequence[int]) -> int:
        counted = [_counted(self.op, axis) for axis in (0, 1)]
        area = self.op.kernel[0] * self.op.kernel[1]
        divisors = np.outer(*counted)
        if self._same() and np.array_equal(
            divisors, np.outer(*(_inside(self.op, a) for a in (0, 1)))
        ):
            return self._pool("AVERAGE_POOL_2D", inputs[0], int(self.b.s.Padding.SAME))
        y = self._pool("AVERAGE_POOL_2D", *self._padded(inputs[0]))
        if (divisors == area).all():
            return y
        # the zeros were counted: undo it at the border
        share = (area / divisors).astype(np.float32)[None, :, :, None]
        return self.b.operator(
            "MUL",
            [y, self.b.constant(f"{self.name}/share", share)],
            f"{self.name}/out",
            self.out,
            "MulOptions",
        )

    def _global_avg_pool(self, inputs: Sequence[int]) -> int:
        axes = self.b.constant("axes", np.array([1, 2], dtype=np.int32))
        return self.b.operator(
            "MEAN", [inputs[0], axes], f"{self.name}/out", self.out, "ReducerOptions", keepDims=True
        )

    # joining and reshaping ---------------------------------------------------------------------

    def _add(self, inputs: Sequence[int]) -> int:
        y = self.b.operator(
            "ADD",
            inputs,
            f"{self.name}/sum",
            self.out,
            "AddOptions",
            fusedActivationFunction=self.fused,
        )
        return self.activate(y)

    def _multiply(self, inputs: Sequence[int]) -> int:
        y = self.b.operator(
            "MUL",
            inputs,
            f"{self.name}/product",
            self.out,
            "MulOptions",
            fusedActivationFunction=self.fused,
        )
        return self.activate(y)

    def _slice(self, inputs: Sequence[int]) -> int:
        begin = self.b.constant("begin", np.array([0, 0, 0, self.op.start], dtype=np.int32))
        size = self.b.constant("size", np.array(self.out, dtype=np.int32))
        return self.b.operator(
            "SLICE", [inputs[0], begin, size], f"{self.name}/out", self.out, "SliceOptions"
        )

    def _pad_channels(self, inputs: Sequence[int]) -> int:
        more = self.op.output_shape[0] - self.op.input_shapes[0][0]
        pads = np.array([[0, 0], [0, 0], [0, 0], [0, more]], dtype=np.int32)
        return self.b.operator(
            "PAD",
            [inputs[0], self.b.constant("paddings", pads)],
            f"{self.name}/out",
            self.out,
            "PadOptions",
        )

    def _concat(self, inputs: Sequence[int]) -> int:
        return self.b.operator(
            "CONCATENATION", inputs, f"{self.name}/out", self.out, "ConcatenationOptions", axis=3
        )

    def _resize(self, inputs: Sequence[int]) -> int:
        size = self.b.constant("size", np.array(self.out[1:3], dtype=np.int32))
        args = ([inputs[0], size], f"{self.name}/out", self.out)
        if self.op.mode == "bilinear":
            return self.b.operator(
                "RESIZE_BILINEAR", *args, "ResizeBilinearOptions", halfPixelCenters=True
            )
        return self.b.operator("RESIZE_NEAREST_NEIGHBOR", *args, "ResizeNearestNeighborOptions")

    def _flatten(self, inputs: Sequence[int]) -> int:
        b, x = self.b, inputs[0]
        channels, height, width = self.op.input_shapes[0]
        if height * width > 1 and channels > 1:  # torch flattens channel by channel
            order = b.constant("order", np.array([0, 3, 1, 2], dtype=np.int32))
            shape = (1, channels, height, width)
            x = b.operator("TRANSPOSE", [x, order], f"{self.name}/nchw", shape, "TransposeOptions")
        target = b.constant("shape", np.array(self.out, dtype=np.int32))
        return b.operator(
            "RESHAPE",
            [x, target],
            f"{self.name}/out",
            self.out,
            "ReshapeOptions",
            newShape=list(self.out),
        )


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


def _inside(op: Operation, axis: int) -> Array:
    """How many real pixels each window along an axis covers."""
    size, out = op.input_shapes[0][axis + 1], op.output_shape[axis + 1]
    starts = np.arange(out) * op.stride[axis] - op.padding[2 * axis]
    return np.minimum(starts + op.kernel[axis], size) - np.maximum(starts, 0)


def _counted(op: Operation, axis: int) -> Array:
    """What torch's average pooling divides by along an axis."""
    if "count_padding" not in op.mode:
        return _inside(op, axis)
    size, out = op.input_shapes[0][axis + 1], op.output_shape[axis + 1]
    before, after = op.padding[2 * axis : 2 * axis + 2]
    starts = np.arange(out) * op.stride[axis] - before
    return np.minimum(starts + op.kernel[axis], size + after) - starts
