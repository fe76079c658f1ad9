"""What a reader of depth recordings gives: pairs of an image and a depth map, by number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""(H, W, 3)"""
Depth = npt.NDArray[np.float32]
"""(H, W) metres along the optical axis; 0 where unknown."""

FARTHEST = 100.0
"""Metres; what lies beyond is no measurement of a room but a wrong unit."""


class BrokenFrame(Exception):  # noqa: N818 - an outcome: the frame is skipped and counted
    """This frame cannot be used; the message says why."""


class Frames(Protocol):
    """Recorded pairs in a fixed order; reading one may happen in any process."""

    @property
    def scenes(self) -> Sequence[str]:
        """The place of every frame, '' where it is unknown."""
        ...

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """The frame as a user knows it, for messages."""
        ...

    def read(self, index: int) -> tuple[Image, Depth]:
        """Image and depth of one frame, of equal height and width.

        Raises:
            BrokenFrame: it is unreadable, incomplete or not what was declared.
        """
        ...


@dataclass(frozen=True)
class Recording:
    """Training and test frames of one data set.

    ``scale`` says where metres come from where they are not the sensor's own ("estimated scale");
    it is part of the score's name. ``test`` is None where it has to be cut from ``train``.
    """

    train: Frames
    test: Frames | None
    scale: str = ""


@dataclass(frozen=True)
class Subset:
    """Some frames of others."""

    frames: Frames
    indices: npt.NDArray[np.int64]

    @property
    def scenes(self) -> Sequence[str]:
        """Of the chosen frames."""
        return [self.frames.scenes[i] for i in self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def name(self, index: int) -> str:
        """As the frame is called in the whole."""
        return self.frames.name(int(self.indices[index]))

    def read(self, index: int) -> tuple[Image, Depth]:
        """As in the whole."""
        return self.frames.read(int(self.indices[index]))


def checked(image: npt.NDArray[np.generic], depth: npt.NDArray[np.generic]) -> tuple[Image, Depth]:
    """A pair that was read, its depth 0 wherever it is unknown.

    Raises:
        BrokenFrame: other shapes or types than an image's and a map's, no valid depth at all, or
            every value beyond `FARTHEST`.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise BrokenFrame(f"its image is {_shape(image)} {image.dtype}, not H×W×3 uint8")
    if depth.shape != image.shape[:2]:
        raise BrokenFrame(f"its depth is {_shape(depth)}, its image {_shape(image)}")
    metres = depth.astype(np.float32)
    valid = np.isfinite(metres) & (metres > 0)
    if not valid.any():
        raise BrokenFrame("its depth is 0 or NaN everywhere")
    near = valid & (metres <= FARTHEST)
    if not near.any():
        least = metres[valid].min()
        raise BrokenFrame(
            f"all its depth lies above {FARTHEST:g} m (nearest {least:.4g}); is it in another unit?"
        )
    return np.ascontiguousarray(image), np.where(near, metres, np.float32(0))


def _shape(array: npt.NDArray[np.generic]) -> str:
    return "×".join(str(n) for n in array.shape)
