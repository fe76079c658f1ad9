"""Images with label maps, as a data set and augmented by torchvision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import nas.vision  # noqa: F401  before torchvision

from torchvision import tv_tensors  # isort: skip
from torchvision.transforms import v2  # isort: skip
from torchvision.transforms.v2 import functional as F  # isort: skip

Image = npt.NDArray[np.uint8]
"""(H, W, 3)"""
Labels = npt.NDArray[np.uint8]
"""(H, W), `metrics.IGNORED` where unknown."""

KEPT = 1.25
"""What is kept in memory is so much larger than the network's input, for crops to come from."""


class Pairs(Protocol):
    """Images and label maps by number."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> tuple[Image, Labels]:
        """One pair of equal height and width.

        Raises:
            UserError: it is unreadable, or its label map has unknown values.
        """
        ...


@dataclass
class Maps:
    """Pairs squeezed to a square: items (3, R, R) uint8 and (R, R) uint8.

    Args:
        pairs: where they come from.
        resolution: R.
        in_memory: decode each pair once and keep it at `kept_size`.
        kept: those that were.
    """

    pairs: Pairs
    resolution: int
    in_memory: bool
    kept: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return _resized(*self.large(index), self.resolution)

    def large(self, index: int) -> tuple[Tensor, Tensor]:
        """A pair at `kept_size`, or where pairs are not kept at its own."""
        if index in self.kept:
            return self.kept[index]
        image, labels = self.pairs.read(index)
        pair = torch.from_numpy(image.copy()).permute(2, 0, 1), torch.from_numpy(labels.copy())
        if self.in_memory:
            pair = self.kept[index] = _resized(*pair, kept_size(self.resolution))
        return pair


@dataclass(frozen=True)
class Augmented:
    """The items of `Maps`, changed at random."""

    maps: Maps
    change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.change(*self.maps.large(index))


def kept_size(resolution: int) -> int:
    """Height and width of pairs that are kept."""
    return round(KEPT * resolution)


def _resized(image: Tensor, labels: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Bilinear, and the nearest label, so that no class appears between two."""
    both = [size, size]
    if list(image.shape[1:]) == both:
        return image, labels
    nearest = F.InterpolationMode.NEAREST
    return (
        F.resize(image, both, antialias=True),
        F.resize(labels[None], both, interpolation=nearest)[0],
    )


def augmentation(
    resolution: int, *, min_scale: float, flip: float, jitter: float
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Random crops, mirroring and colours; the label map goes along.

    Args:
        resolution: height and width of the result.
        min_scale: the smallest share of the area that a crop may have.
        flip: probability of mirroring.
        jitter: strength of changes of brightness, contrast and saturation.
    """
    steps: list[Any] = [
        v2.RandomResizedCrop([resolution] * 2, scale=(min_scale, 1.0), antialias=True),
        v2.RandomHorizontalFlip(flip),
    ]
    if jitter:
        steps.append(v2.ColorJitter(jitter, jitter, jitter))
    change = v2.Compose(steps)

    def augmented(image: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        pixels, classes = change(tv_tensors.Image(image), tv_tensors.Mask(labels))
        return pixels.as_subclass(Tensor), classes.as_subclass(Tensor)

    return augmented


@dataclass(frozen=True)
class Some:
    """Some pairs of others."""

    pairs: Pairs
    indices: Sequence[int]

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, index: int) -> tuple[Image, Labels]:
        """As in the whole."""
        return self.pairs.read(self.indices[index])
