"""Full-integer files: int8 activations and weights, int32 biases, after training.

The scheme is TFLite's (Jacob et al., CVPR 2018): activations asymmetric per tensor, weights
symmetric per filter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lut.tflite.model import Array, pack, unpack
from lut.tflite.rewriting import expand_hard_swish
from search_spaces import UserError

_LOWEST = float(np.finfo(np.float32).min) / 2
"""What lies below is the padding of a maximum, not a value."""

ANY_RANGE = (-4.0, 4.0)
"""The range of every tensor in a file that is only timed."""

_SAME_SCALE = {
    "CONCATENATION",
    "PAD",
    "PADV2",
    "SLICE",
    "RESHAPE",
    "TRANSPOSE",
    "AVERAGE_POOL_2D",
    "MAX_POOL_2D",
    "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR",
}
"""Operators that copy or average: TFLite wants their tensors on one scale."""

_VERSIONS = {
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 4,
    "ADD": 2,
    "MUL": 2,
    "MEAN": 2,
    "PAD": 2,
    "PADV2": 2,
    "SLICE": 2,
    "TRANSPOSE": 2,
    "CONCATENATION": 2,
    "AVERAGE_POOL_2D": 2,
    "MAX_POOL_2D": 2,
    "LOGISTIC": 2,
    "TANH": 2,
    "GELU": 2,
    "RELU": 2,
    "RELU6": 2,
    "RESIZE_BILINEAR": 2,
    "RESIZE_NEAREST_NEIGHBOR": 2,
    "ELU": 1,
    "RESHAPE": 1,
}
"""The operators with an int8 kernel, and the version from which on they have it."""

_WEIGHTED = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
"""The axis of the filters in the weights of an operator."""


@dataclass(frozen=True)
class Scale:
    """real = scale · (stored − zero)."""

    scale: float
    zero: int

    def store(self, value: Array) -> Array:
        """The int8 numbers that stand for real values."""
        stored = np.round(value / self.scale) + self.zero
        return np.clip(stored, -128, 127).astype(np.int8)

    def real(self, stored: Array) -> Array:
        """The real values that int8 numbers stand for."""
        return (stored.astype(np.float32) - self.zero) * np.float32(self.scale)


def scale_of(low: float, high: float) -> Scale:
    """The scale that reaches from ``low`` to ``high`` and has 0 exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max(high - low, 1e-6) / 255
    return Scale(scale, int(np.clip(round(-128 - low / scale), -128, 127)))


def calibrate(content: bytes, images: Iterable[Array]) -> dict[int, tuple[float, float]]:
    """The range of every tensor of a float32 file over some real inputs.

    Args:
        content: a file of `write_network`.
        images: inputs (1, height, width, channels), normalised as the network expects; some
            hundred are enough.

    Raises:
        UserError: no images, or images of another shape.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content,
        num_threads=1,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    (entry,) = interpreter.get_input_details()
    model = unpack(content)
    computed = _computed(model)
    ranges: dict[int, tuple[float, float]] = {}
    for image in images:
        if tuple(image.shape) != tuple(entry["shape"]):
            raise UserError(
                f"calibration image of shape {tuple(image.shape)}, "
                f"the network takes {tuple(int(s) for s in entry['shape'])}"
            )
        interpreter.set_tensor(entry["index"], image.astype(np.float32))
        interpreter.invoke()
        for index in computed:
            value = interpreter.get_tensor(index)
            value = value[value > _LOWEST]
            low, high = ranges.get(index, (0.0, 0.0))
            ranges[index] = (
                min(low, float(value.min(initial=0.0))),
                max(high, float(value.max(initial=0.0))),
            )
    if not ranges:
        raise UserError("int8 needs calibration images, and there are none")
    return ranges


def quantize(content: bytes, images: Iterable[Array] | None) -> bytes:
    """A float32 file as a full-integer one, its input and output int8 too.

    Args:
        content: a file of `write_network` or of single operations.
        images: for `calibrate`; None puts every tensor on the same range, for timing.

    Raises:
        UserError: as `calibrate`; an operator without an int8 kernel.
    """
    ranges = None if images is None else calibrate(content, images)
    model = unpack(content)
    _Quantizer(model, ranges).run()
    return pack(model)


def _computed(model: Any) -> list[int]:
    """The float tensors that are not constants."""
    return [
        index
        for index, tensor in enumerate(model.subgraphs[0].tensors)
        if tensor.buffer == 0 and tensor.type == 0
    ]


class _Quantizer:
    """Rewrites a model in place."""

    def __init__(self, model: Any, ranges: dict[int, tuple[float, float]] | None) -> None:
        from lut.tflite.model import schema

        self.s = schema()
        self.model = model
        self.swished = expand_hard_swish(model, ranges)
        self.graph = model.subgraphs[0]
        numbers = {
            getattr(self.s.BuiltinOperator, name): name
            for name in vars(self.s.BuiltinOperator)
            if name.isupper()
        }
        self.codes = [
            numbers[max(code.builtinCode, code.deprecatedBuiltinCode)]
            for code in model.operatorCodes
        ]
        for name in dict.fromkeys(self.codes):
            if name not in _VERSIONS:
                raise UserError(
                    f"int8: the operator {name} has no int8 kernel here; use float32, or a space "
                    "without it"
                )
        self.scales = self._scales(ranges)

    def code(self, operator: Any) -> str:
        name: str = self.codes[operator.opcodeIndex]
        return name

    def run(self) -> None:
        constants: dict[tuple[int, str], int] = {}
        for operator in self.graph.operators:
            self._constants(operator, constants)
        for index, scale in self.scales.items():
            tensor = self.graph.tensors[index]
            tensor.type = self.s.TensorType.INT8
            tensor.quantization = self._parameters([scale.scale], [scale.zero])
        for code, name in zip(self.model.operatorCodes, self.codes, strict=True):
            code.version = _VERSIONS[name]
        self._drop_float_constants()

    def _drop_float_constants(self) -> None:
        """Leave out the float constants, which nothing reads any more, and their buffers."""
        graph, buffers = self.graph, self.model.buffers
        kept = {int(i) for operator in graph.operators for i in operator.inputs}
        left = [i for i, tensor in enumerate(graph.tensors) if not tensor.buffer or i in kept]
        place = {old: new for new, old in enumerate(left)}
        graph.tensors = [graph.tensors[i] for i in left]
        for holder in (graph, *graph.operators):
            holder.inputs = [place[int(i)] for i in holder.inputs]
            holder.outputs = [place[int(i)] for i in holder.outputs]
        records = self.model.metadata or []
        used = {tensor.buffer for tensor in graph.tensors} | {r.buffer for r in records} | {0}
        moved = {old: new for new, old in enumerate(sorted(used))}
        self.model.buffers = [buffers[i] for i in sorted(used)]
        for reader in (*graph.tensors, *records):
            reader.buffer = moved[reader.buffer]

    def _scales(self, ranges: dict[int, tuple[float, float]] | None) -> dict[int, Scale]:
        """One scale for each computed tensor, equal where an operator demands it."""
        computed = _computed(self.model)
        leader = {index: index for index in computed}

        def find(index: int) -> int:
            while leader[index] != index:
                index = leader[index]
            return index

        for operator in self.graph.operators:
            if self.code(operator) in _SAME_SCALE:
                tied = [i for i in (*operator.inputs, *operator.outputs) if i in leader]
                for index in tied[1:]:
                    leader[find(index)] = find(tied[0])
        merged: dict[int, tuple[float, float]] = {}
        for index in computed:
            low, high = ANY_RANGE if ranges is None else ranges[index]
            if index in self.swished:
                low = max(low, -3.0)
            known = merged.get(find(index), (low, high))
            merged[find(index)] = (min(low, known[0]), max(high, known[1]))
        scales = {index: scale_of(*merged[find(index)]) for index in computed}
        for operator in self.graph.operators:
            if self.code(operator) == "LOGISTIC":  # fixed by TFLite
                scales[operator.outputs[0]] = Scale(1 / 256, -128)
            elif self.code(operator) == "TANH":
                scales[operator.outputs[0]] = Scale(1 / 128, 0)
        return scales

    def _constants(self, operator: Any, done: dict[tuple[int, str], int]) -> None:
        """Put the float constants that an operator reads on a scale."""
        code = self.code(operator)
        inputs = list(operator.inputs)
        for place, index in enumerate(inputs):
            tensor = self.graph.tensors[index]
            if index in self.scales or tensor.type != self.s.TensorType.FLOAT32:
                continue
            role = "bias" if code in _WEIGHTED and place == 2 else code
            value = self._value(tensor)
            if role == "bias":
                # its scale belongs to this operator, so every operator has its own
                weight = self.graph.tensors[inputs[1]].quantization
                scale = np.asarray(weight.scale) * self.scales[inputs[0]].scale
                stored = np.clip(np.round(value / scale), -(2**31) + 1, 2**31 - 1)
                inputs[place] = self._add(
                    tensor, stored.astype(np.int32), list(scale), [0] * len(scale)
                )
            elif (index, role) in done:
                inputs[place] = done[index, role]
            elif code in _WEIGHTED:
                axis = _WEIGHTED[code]
                others = tuple(i for i in range(value.ndim) if i != axis)
                scale = np.maximum(np.abs(value).max(axis=others), 1e-8) / 127
                shape = [-1 if i == axis else 1 for i in range(value.ndim)]
                stored = np.round(value / scale.reshape(shape)).astype(np.int8)
                done[index, role] = inputs[place] = self._add(
                    tensor, stored, list(scale), [0] * len(scale), axis
                )
            elif code == "PADV2":  # below everything: a maximum never takes it
                own = self.scales[inputs[0]]
                stored = np.full(value.shape, -128, dtype=np.int8)
                inputs[place] = self._add(tensor, stored, [own.scale], [own.zero])
            else:
                own = scale_of(float(value.min()), float(value.max()))
                done[index, role] = inputs[place] = self._add(
                    tensor, own.store(value), [own.scale], [own.zero]
                )
        operator.inputs = inputs

    def _value(self, tensor: Any) -> Array:
        data = np.asarray(self.model.buffers[tensor.buffer].data, dtype=np.uint8)
        return data.view(np.float32).reshape([int(s) for s in tensor.shape])

    def _add(
        self, like: Any, stored: Array, scale: list[float], zero: list[int], axis: int = 0
    ) -> int:
        """A new constant tensor."""
        buffer = self.s.BufferT()
        buffer.data = np.ascontiguousarray(stored).reshape(-1).view(np.uint8)
        self.model.buffers.append(buffer)
        tensor = self.s.TensorT()
        tensor.name, tensor.shape = like.name, like.shape
        kinds = self.s.TensorType
        tensor.type = kinds.INT8 if stored.dtype == np.int8 else kinds.INT32
        tensor.buffer = len(self.model.buffers) - 1
        tensor.quantization = self._parameters(scale, zero, axis)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _parameters(self, scale: list[float], zero: list[int], axis: int = 0) -> Any:
        parameters = self.s.QuantizationParametersT()
        parameters.scale = [float(s) for s in scale]
        parameters.zeroPoint = [int(z) for z in zero]
        parameters.quantizedDimension = axis
        return parameters
