"""One call for every format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nas.export import onnx, pytorch, tflite
from nas.export.metadata import ImageMetadata
from search_spaces import Architecture, UserError, unknown
from supernet import CompactNetwork

Writer = Callable[[CompactNetwork, Path, ImageMetadata, Architecture | None], None]

FORMATS: dict[str, tuple[str, Writer]] = {
    "pytorch": (".safetensors", pytorch.write),
    "onnx": (".onnx", onnx.write),
    "tflite": (".tflite", tflite.write),
}
"""Format → (ending of its files, what writes them)."""


def export(
    network: CompactNetwork,
    path: Path,
    *,
    format: str,
    metadata: ImageMetadata,
    architecture: Architecture | None = None,
) -> Path:
    """Write a network for deployment; every format computes what torch computes.

    Args:
        network: with its trained weights; normalisation is that of evaluation mode.
        path: the file to write; without a suffix the format's own is added.
        format: ``pytorch``, ``onnx`` or ``tflite``.
        metadata: goes into the file; its layout is set to the format's.
        architecture: goes into the file too, where it is known.

    Returns:
        The path of the file.

    Raises:
        UserError: unknown format, metadata that does not fit the network, a missing package, or
            a folder in the way.
    """
    if format not in FORMATS:
        raise unknown("export format", format, FORMATS)
    ending, write = FORMATS[format]
    metadata.check(network.network)
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file, e.g. {path / ('network' + ending)}")
    if not path.suffix:
        path = path.with_name(path.name + ending)
    write(network, path, metadata, architecture)
    return path
