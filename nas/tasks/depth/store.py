"""Frames at the base size: read once and kept where they fit into memory, else read each time."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nas.tasks.depth.frames import BrokenFrame, Depth, Frames, Image
from nas.tasks.depth.transforms import Geometry
from search_spaces import UserError


@dataclass
class Broken:
    """Frames that cannot be used: each is named once, and too many are an error."""

    limit: int
    frames: dict[str, str] = field(default_factory=dict)

    def count(self, found: Sequence[tuple[str, str]]) -> None:
        """Take note of (frame, reason).

        Raises:
            UserError: more than the limit.
        """
        for name, reason in found:
            if name not in self.frames:
                self.frames[name] = reason
                logging.getLogger("nas").warning("skipped a frame: %s: %s", name, reason)
        if len(self.frames) > self.limit:
            name, reason = list(self.frames.items())[-1]
            raise UserError(
                f"{len(self.frames)} frames cannot be used, the last {name}: {reason}; repair the "
                "data or raise task.settings.corrupt_limit"
            )


Item = tuple[Image, Depth, list[tuple[str, str]]] | tuple[None, None, list[tuple[str, str]]]

ATTEMPTS = 100
"""So many neighbours are tried in place of a frame that cannot be used."""


@dataclass
class _Reading(Dataset[Item]):
    """Reads and resizes frames."""

    frames: Frames
    geometry: Geometry
    replace: bool

    def __getitem__(self, index: Any) -> Item:
        broken: list[tuple[str, str]] = []
        for attempt in range(min(len(self.frames), ATTEMPTS) if self.replace else 1):
            at = (int(index) + attempt) % len(self.frames)
            try:
                return *self.geometry.to_base(*self.frames.read(at)), broken
            except BrokenFrame as error:
                broken.append((self.frames.name(at), str(error)))
        return None, None, broken


Joined = tuple[Tensor, Tensor, list[tuple[str, str]]]


def _joined(items: Sequence[Item]) -> Joined:
    broken = [one for item in items for one in item[2]]
    images = [item[0] for item in items if item[0] is not None]
    depths = [item[1] for item in items if item[1] is not None]
    if not images:
        return torch.empty(0, 1, 1, 3, dtype=torch.uint8), torch.empty(0, 1, 1), broken
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(depths)), broken


class FrameStore:
    """Frames of one split.

    Args:
        frames: where they come from.
        geometry: sizes.
        broken: counts those that cannot be used.
        workers: processes that read; 0 for none.
        limit: bytes up to which all are kept in memory.
    """

    def __init__(
        self, frames: Frames, geometry: Geometry, broken: Broken, *, workers: int, limit: float
    ) -> None:
        self.frames = frames
        self.geometry = geometry
        self.broken = broken
        self.workers = workers
        rows, columns = geometry.base
        self.in_memory = len(frames) * rows * columns * (3 + 4) <= limit
        self._kept: tuple[Tensor, Tensor] | None = None

    def kept(self) -> tuple[Tensor, Tensor]:
        """All usable frames: images (N, H, W, 3) uint8 and depths (N, H, W).

        Raises:
            UserError: none is usable, or too many are not.
        """
        if self._kept is None:
            every = np.arange(len(self.frames))
            parts = list(self._read(np.array_split(every, max(1, len(every) // 32)), False))
            images = [x for x, _ in parts if len(x)]
            if not images:
                name, reason = next(iter(self.broken.frames.items()))
                raise UserError(f"no frame can be used; the first is {name}: {reason}")
            self._kept = torch.cat(images), torch.cat([y for x, y in parts if len(x)])
        return self._kept

    def __len__(self) -> int:
        return len(self.kept()[0]) if self.in_memory else len(self.frames)

    def batches(
        self, indices: Sequence[np.ndarray], *, replace: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of the frames with these numbers below ``len``.

        Args:
            indices: the batches.
            replace: where frames are read each time, take the next usable one for one that is
                not, so that batches stay full; else they are left out.
        """
        if not self.in_memory:
            yield from self._read(indices, replace)
            return
        images, depths = self.kept()
        for index in indices:
            chosen = torch.from_numpy(index)
            yield images[chosen], depths[chosen]

    def _read(
        self, indices: Sequence[np.ndarray], replace: bool
    ) -> Iterator[tuple[Tensor, Tensor]]:
        loader: Any = DataLoader(
            _Reading(self.frames, self.geometry, replace),
            batch_sampler=[index.tolist() for index in indices],
            num_workers=min(self.workers, len(indices)),
            collate_fn=_joined,
        )
        for images, depths, broken in loader:
            self.broken.count(broken)
            if replace and not len(images):
                name, reason = broken[-1]
                raise UserError(f"no frame can be used; the last is {name}: {reason}")
            yield images, depths
