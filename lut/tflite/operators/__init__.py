"""TFLite operators by family; importing this package registers all of them."""

from lut.tflite.operators import activations, joins, layers, windows

__all__ = ["activations", "joins", "layers", "windows"]
