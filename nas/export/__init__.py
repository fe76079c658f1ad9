"""Deployable files of a network: PyTorch, ONNX, TFLite, ExecuTorch, Core ML."""

from nas.export.files import FORMATS, export
from nas.export.metadata import ImageMetadata
from nas.export.pytorch import ExportedNetwork, load

__all__ = ["FORMATS", "ExportedNetwork", "ImageMetadata", "export", "load"]
