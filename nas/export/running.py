"""Exported files as functions of images: what a file computes where it will run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lut.cost import Precision
from lut.devices.host import open_interpreter
from lut.tflite import Scale, read_metadata
from nas.export.metadata import METADATA_SCHEMA, ImageMetadata
from nas.tasks.base import Task
from search_spaces import UserError
from search_spaces.errors import in_a_line
from search_spaces.operation import Shape

ENDINGS = (".tflite",)
"""Of the files that `open_exported` runs."""


class ExportedFile:
    """A ``.tflite`` file in the LiteRT interpreter: one thread, XNNPACK, image by image.

    Args:
        path: a file of ``nas export``.

    Raises:
        UserError: missing, damaged, or without the metadata that says how images go in.
    """

    def __init__(self, path: Path) -> None:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None
        self.path = path
        self.bytes = len(content)
        try:
            stored = read_metadata(content)
            self._interpreter = open_interpreter(content)
            (self._input,) = self._interpreter.get_input_details()
        except (UserError, ValueError, TypeError, IndexError) as error:
            raise UserError(f"{path}: {error}") from None
        except Exception as error:
            # a cut flatbuffer fails wherever its reader happens to be
            raise UserError(f"{path}: a damaged TFLite file ({type(error).__name__})") from None
        if not stored:
            raise UserError(f"{path}: says nothing about its input; write it with nas export")
        extra = stored.get("extra") or {}
        self.architecture = extra.get("architecture")
        self.metadata = ImageMetadata.from_dict(
            {**stored, "schema": METADATA_SCHEMA, "task": extra.get("task", "")}
        )
        self._outputs = self._interpreter.get_output_details()

    @property
    def precision(self) -> Precision:
        """Of the input, and of everything else in our files."""
        return "int8" if self._input["dtype"] == np.int8 else "float32"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        _, height, width, channels = (int(size) for size in self._input["shape"])
        return channels, height, width

    def check(self, task: Task, input_shape: Shape) -> None:
        """Refuse a file of other inputs, labels or task.

        Args:
            task: whose images it is to be run on.
            input_shape: of the experiment's networks, (channels, height, width).

        Raises:
            UserError: they differ.
        """
        where, told = self.path, self.metadata
        if self.input_shape != input_shape:
            here, there = ("×".join(map(str, s)) for s in (input_shape, self.input_shape))
            raise UserError(
                f"{where}: takes images of {there} (channels, height, width), the experiment's "
                f"are {here}; use the recipe that the file was trained with"
            )
        if told.task and told.task != task.name:
            raise UserError(
                f"{where}: a network of task {told.task!r}, the experiment's is {task.name!r}"
            )
        if told.labels != tuple(task.labels):
            raise UserError(f"{where}: its classes have other names than those of the data")

    def for_images_of(self, task: Task) -> _Renormalised:
        """The file as a function of the task's images, which have the task's normalisation."""
        return _Renormalised(self, task)

    def __call__(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """(N, C, H, W), normalised as the file's metadata says → outputs as torch's."""
        rows = [self._one(image) for image in images.permute(0, 2, 3, 1).contiguous().numpy()]
        outputs = tuple(
            torch.from_numpy(np.concatenate(parts)) for parts in zip(*rows, strict=True)
        )
        outputs = tuple(o.permute(0, 3, 1, 2) if o.dim() == 4 else o for o in outputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def _one(self, image: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
        value = image[None]
        if self.precision == "int8":
            value = Scale(*self._input["quantization"]).store(value)
        try:
            self._interpreter.set_tensor(self._input["index"], value)
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise UserError(
                f"{self.path}: damaged, LiteRT cannot run it ({in_a_line(error)})"
            ) from error
        found = []
        for entry in self._outputs:
            output = self._interpreter.get_tensor(entry["index"])
            if entry["dtype"] == np.int8:
                scale = Scale(*entry["quantization"])
                output = scale.real(output)
                if output.ndim == 2:
                    # of equal classes, which 256 levels often have, an application takes the first
                    classes = output.shape[1]
                    output -= np.arange(classes, dtype=np.float32) * (scale.scale / 2 / classes)
            found.append(output)
        return found


class _Renormalised:
    """A file, given images with a task's mean and standard deviation in place of its own."""

    def __init__(self, file: ExportedFile, task: Task) -> None:
        self.file = file
        own = [torch.tensor(v).view(1, -1, 1, 1) for v in (file.metadata.mean, file.metadata.std)]
        given = [torch.tensor(tuple(v)).view(1, -1, 1, 1) for v in (task.mean, task.std)]
        self.same = all(torch.equal(a, b) for a, b in zip(own, given, strict=True))
        self.scale = given[1] / own[1]
        self.shift = (given[0] - own[0]) / own[1]

    def __call__(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.file(images if self.same else images * self.scale + self.shift)


def is_exported(path: Path) -> bool:
    """True for a file that `ExportedFile` reads, by its ending."""
    return path.suffix in ENDINGS
