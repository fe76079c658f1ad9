"""Operators that the fast int8 kernels lack, as operators that they have.

XNNPACK has hard-swish in float32 only. One that it lacks cuts the graph in two parts, and every
cut costs a call: nine of them made an int8 network of 0.1 ms three times as slow as in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lut.tflite.model import Array, schema

Ranges = dict[int, tuple[float, float]]


def expand_hard_swish(model: Any, ranges: Ranges | None) -> set[int]:
    """Every hard-swish as relu6(x + 3) · x / 6, in place.

    Args:
        model: the object form of a float32 file.
        ranges: of its tensors; gets those of the new ones.

    Returns:
        The tensors that nothing but a hard-swish reads: below −3 their values are alike.
    """
    return _Expansion(model, ranges).run()


class _Expansion:
    def __init__(self, model: Any, ranges: Ranges | None) -> None:
        self.s, self.model, self.ranges = schema(), model, ranges
        self.graph = model.subgraphs[0]
        self.constants: dict[float, int] = {}

    def run(self) -> set[int]:
        kind = self.s.BuiltinOperator.HARD_SWISH
        places = {i for i, code in enumerate(self.model.operatorCodes) if code.builtinCode == kind}
        if not places:
            return set()
        found, read, operators = set(), set(self.graph.outputs), []
        for operator in self.graph.operators:
            if operator.opcodeIndex not in places:
                read.update(operator.inputs)
                operators.append(operator)
                continue
            found.add(operator.inputs[0])
            operators += self._expanded(operator)
        self.graph.operators = operators
        # codes keep their places, which operators name
        for place in places:
            self.model.operatorCodes[place] = self._code("MUL")
        return found - read

    def _expanded(self, operator: Any) -> list[Any]:
        (x,), (out,) = operator.inputs, operator.outputs
        low, high = (0.0, 6.0) if self.ranges is None else self.ranges[out]
        gate = self._tensor(x, "relu6", (0.0, 6.0))
        product = self._tensor(x, "product", (6 * low, 6 * high))
        relu6 = self.s.ActivationFunctionType.RELU6
        return [
            self._operator("ADD", [x, self._constant("three", 3.0)], gate, relu6),
            self._operator("MUL", [x, gate], product),
            self._operator("MUL", [product, self._constant("sixth", 1 / 6)], out),
        ]

    def _operator(self, code: str, inputs: list[int], out: int, activation: int = 0) -> Any:
        operator = self.s.OperatorT()
        operator.opcodeIndex = self._place(code)
        operator.inputs, operator.outputs = inputs, [out]
        options = {"ADD": "AddOptions", "MUL": "MulOptions"}[code]
        operator.builtinOptionsType = getattr(self.s.BuiltinOptions, options)
        operator.builtinOptions = getattr(self.s, f"{options}T")()
        operator.builtinOptions.fusedActivationFunction = activation
        return operator

    def _place(self, code: str) -> int:
        number = getattr(self.s.BuiltinOperator, code)
        for place, known in enumerate(self.model.operatorCodes):
            if known.builtinCode == number:
                return place
        self.model.operatorCodes.append(self._code(code))
        return len(self.model.operatorCodes) - 1

    def _code(self, code: str) -> Any:
        record = self.s.OperatorCodeT()
        record.builtinCode = record.deprecatedBuiltinCode = getattr(self.s.BuiltinOperator, code)
        record.version = 1
        return record

    def _tensor(self, like: int, name: str, values: tuple[float, float]) -> int:
        source, tensor = self.graph.tensors[like], self.s.TensorT()
        known = source.name.decode() if isinstance(source.name, bytes) else source.name
        tensor.name, tensor.shape, tensor.type = f"{known}/{name}", source.shape, source.type
        tensor.buffer = 0
        self.graph.tensors.append(tensor)
        index = len(self.graph.tensors) - 1
        if self.ranges is not None:
            self.ranges[index] = values
        return index

    def _constant(self, name: str, value: float) -> int:
        if value not in self.constants:
            buffer, tensor = self.s.BufferT(), self.s.TensorT()
            content: Array = np.array([value], dtype=np.float32)
            buffer.data = content.view(np.uint8)
            self.model.buffers.append(buffer)
            tensor.name, tensor.shape = name, [1]
            tensor.type = self.s.TensorType.FLOAT32
            tensor.buffer = len(self.model.buffers) - 1
            self.graph.tensors.append(tensor)
            self.constants[value] = len(self.graph.tensors) - 1
        return self.constants[value]
