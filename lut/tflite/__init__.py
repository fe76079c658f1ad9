"""TFLite files written directly with the flatbuffer schema: operations and whole networks."""

from lut.tflite.model import read_metadata
from lut.tflite.quantize import Scale, quantize
from lut.tflite.weights import OperationWeights
from lut.tflite.writer import Metadata, write_network, write_operation

__all__ = [
    "Metadata",
    "OperationWeights",
    "Scale",
    "quantize",
    "read_metadata",
    "write_network",
    "write_operation",
]
