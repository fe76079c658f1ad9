"""One call for every format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from lut.cost import Precision
from nas.export import coreml, executorch, onnx, pytorch, tflite
from nas.export.metadata import ImageMetadata
from search_spaces import Architecture, UserError, unknown
from supernet import CompactNetwork

Writer = Callable[[CompactNetwork, Path, ImageMetadata, Architecture | None], None]
Int8Writer = Callable[
    [CompactNetwork, Path, ImageMetadata, Architecture | None, Sequence[Tensor]], None
]


@dataclass(frozen=True)
class Format:
    """A kind of file: its ending and what writes it, also in int8 where that exists."""

    ending: str
    write: Writer
    write_int8: Int8Writer | None = None


FORMATS: dict[str, Format] = {
    "pytorch": Format(".safetensors", pytorch.write),
    "onnx": Format(".onnx", onnx.write),
    "tflite": Format(".tflite", tflite.write, tflite.write_int8),
    "executorch": Format(".pte", executorch.write, executorch.write_int8),
    "coreml": Format(".mlpackage", coreml.write),
}


def export(
    network: CompactNetwork,
    path: Path,
    *,
    format: str,
    metadata: ImageMetadata,
    architecture: Architecture | None = None,
    precision: Precision = "float32",
    images: Sequence[Tensor] = (),
) -> Path:
    """Write a network for deployment; every float32 format computes what torch computes.

    Args:
        network: with its trained weights; normalisation is that of evaluation mode.
        path: the file to write; without a suffix the format's own is added.
        format: one of `FORMATS`.
        metadata: goes into the file; its layout is set to the format's.
        architecture: goes into the file too, where it is known.
        precision: of weights and activations.
        images: batches (N, C, H, W) of normalised training images, from which int8 takes the
            ranges of the activations; some hundred are enough.

    Returns:
        The path of the file.

    Raises:
        UserError: unknown format or one without int8, int8 without images or of an operation
            that has no int8 kernel, metadata that does not fit the network, a missing package,
            or a folder in the way.
    """
    if format not in FORMATS:
        raise unknown("export format", format, FORMATS)
    chosen = FORMATS[format]
    metadata.check(network.network)
    if path.is_dir() and path.suffix != chosen.ending:
        example = path / ("network" + chosen.ending)
        raise UserError(f"{path}: is a folder; name a file, e.g. {example}")
    if not path.suffix:
        path = path.with_name(path.name + chosen.ending)
    if precision == "float32":
        chosen.write(network, path, metadata, architecture)
        return path
    if chosen.write_int8 is None:
        able = ", ".join(name for name, f in FORMATS.items() if f.write_int8 is not None)
        raise UserError(f"--format {format} has no int8; use {able}")
    if not images:
        raise UserError("int8 needs calibration images, and there are none")
    chosen.write_int8(network, path, metadata, architecture, images)
    return path
