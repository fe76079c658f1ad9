"""A TFLite flatbuffer under construction: tensors, constants and operators."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from search_spaces import UserError

Array = npt.NDArray[Any]

FILE_ID = b"TFL3"
SCHEMA_VERSION = 3
METADATA_NAME = "network"
"""The name of the metadata buffer that holds our JSON."""

_TYPES = {"float32": "FLOAT32", "int32": "INT32", "int8": "INT8", "uint8": "UINT8"}


def schema() -> Any:
    """The flatbuffer schema that ships with the runtime.

    Raises:
        UserError: ai-edge-litert is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError:
        raise UserError(
            "TFLite files need the package ai-edge-litert: pip install ai-edge-litert"
        ) from None
    return schema_py_generated


class ModelBuilder:
    """Collects one subgraph; shapes are TFLite's (batch, height, width, channels)."""

    def __init__(self, name: str) -> None:
        self.s = schema()
        self.name = name
        self._tensors: list[Any] = []
        self._shapes: list[tuple[int, ...]] = []
        self._operators: list[Any] = []
        self._codes: dict[int, int] = {}
        self._buffers = [self.s.BufferT()]  # the empty buffer of all computed tensors
        self._constants: dict[tuple[str, tuple[int, ...], bytes], int] = {}
        self._metadata: list[Any] = []

    def tensor(self, name: str, shape: Sequence[int], dtype: str = "float32") -> int:
        """A computed tensor."""
        return self._tensor(name, shape, dtype, 0)

    def constant(self, name: str, value: Array) -> int:
        """A constant tensor; small equal ones are stored once."""
        key = None
        if value.nbytes <= 64:
            key = (value.dtype.name, value.shape, value.tobytes())
            if key in self._constants:
                return self._constants[key]
        buffer = self.s.BufferT()
        buffer.data = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
        self._buffers.append(buffer)
        index = self._tensor(name, value.shape, value.dtype.name, len(self._buffers) - 1)
        if key is not None:
            self._constants[key] = index
        return index

    def _tensor(self, name: str, shape: Sequence[int], dtype: str, buffer: int) -> int:
        tensor = self.s.TensorT()
        tensor.name = name
        tensor.shape = [int(size) for size in shape]
        tensor.type = getattr(self.s.TensorType, _TYPES[dtype])
        tensor.buffer = buffer
        self._tensors.append(tensor)
        self._shapes.append(tuple(shape))
        return len(self._tensors) - 1

    def shape(self, tensor: int) -> tuple[int, ...]:
        """The shape of a tensor."""
        return self._shapes[tensor]

    def operator(
        self,
        code: str,
        inputs: Sequence[int],
        name: str,
        shape: Sequence[int],
        options: str | None = None,
        **fields: Any,
    ) -> int:
        """Append an operator (``CONV_2D``, …) with ``options`` (``Conv2DOptions``) and return
        its output tensor."""
        out = self.tensor(name, shape)
        operator = self.s.OperatorT()
        number = getattr(self.s.BuiltinOperator, code)
        operator.opcodeIndex = self._codes.setdefault(number, len(self._codes))
        operator.inputs = list(inputs)
        operator.outputs = [out]
        if options is not None:
            record = getattr(self.s, f"{options}T")()
            for field, value in fields.items():
                assert hasattr(record, field), (options, field)
                setattr(record, field, value)
            operator.builtinOptionsType = getattr(self.s.BuiltinOptions, options)
            operator.builtinOptions = record
        self._operators.append(operator)
        return out

    def metadata(self, content: Mapping[str, Any]) -> None:
        """Attach a JSON object under the name ``network``."""
        buffer = self.s.BufferT()
        buffer.data = np.frombuffer(json.dumps(content).encode(), dtype=np.uint8)
        self._buffers.append(buffer)
        record = self.s.MetadataT()
        record.name = METADATA_NAME
        record.buffer = len(self._buffers) - 1
        self._metadata.append(record)

    def model(self, inputs: Sequence[int], outputs: Sequence[int]) -> Any:
        """The finished model in the schema's object form (``ModelT``)."""
        graph = self.s.SubGraphT()
        graph.name = "main"
        graph.tensors = self._tensors
        graph.inputs = list(inputs)
        graph.outputs = list(outputs)
        graph.operators = self._operators
        model = self.s.ModelT()
        model.version = SCHEMA_VERSION
        model.description = self.name
        model.subgraphs = [graph]
        model.buffers = self._buffers
        model.metadata = self._metadata
        model.operatorCodes = [_code(self.s, number) for number in self._codes]
        return model


def _code(s: Any, number: int) -> Any:
    code = s.OperatorCodeT()
    code.builtinCode = number
    code.deprecatedBuiltinCode = min(number, 127)
    code.version = _VERSIONS.get(number, 1)
    return code


_VERSIONS: dict[int, int] = {}


def pack(model: Any) -> bytes:
    """The bytes of a ``.tflite`` file."""
    import flatbuffers

    size = sum(len(b.data) for b in model.buffers if b.data is not None)
    builder = flatbuffers.Builder(size + (1 << 14))
    builder.Finish(model.Pack(builder), file_identifier=FILE_ID)
    return bytes(builder.Output())


def unpack(content: bytes) -> Any:
    """The object form of a file.

    Raises:
        UserError: not a TFLite file.
    """
    if content[4:8] != FILE_ID:
        raise UserError("not a TFLite file: the file identifier TFL3 is missing")
    s = schema()
    return s.ModelT.InitFromObj(s.Model.GetRootAs(content, 0))


def read_metadata(content: bytes) -> dict[str, Any]:
    """The JSON that `ModelBuilder.metadata` attached; empty where there is none.

    Raises:
        UserError: not a TFLite file.
    """
    model = unpack(content)
    for record in model.metadata or []:
        name = record.name.decode() if isinstance(record.name, bytes) else record.name
        if name == METADATA_NAME:
            data = model.buffers[record.buffer].data
            result: dict[str, Any] = json.loads(bytes(bytearray(data)).decode())
            return result
    return {}
