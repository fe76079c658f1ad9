"""Classification data that fits in memory: decoded once, augmented a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nas.tasks.base import CALIBRATION_BATCH, Batch, check_classes
from nas.tasks.classification import Classification, normalised, normaliser
from nas.tasks.splits import even_batches, indices_hash, stratified_holdout
from supernet.share import WHOLE, Share


@dataclass
class TensorSplit:
    """Images (N, H, W, C) uint8 and labels (N,) int64, normalised batch by batch."""

    name: str
    images: Tensor
    labels: Tensor
    scale: Tensor
    shift: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int) -> Iterator[Batch]:
        """Every image once, in order."""
        for start in range(0, len(self), size):
            images = self.images[start : start + size].permute(0, 3, 1, 2)
            yield (
                normalised(images, self.scale, self.shift),
                self.labels[start : start + size],
            )


class InMemoryClassification(Classification):
    """A classification task over uint8 tensors.

    Memory is (N, H, W, C), so that every batch is channels-last without a copy, and a random
    crop of the padded image with a random flip is one copy.

    Args:
        name: of the task.
        train: images (N, H, W, C) uint8 and labels (N,).
        test: the same.
        labels: names of the classes.
        classes: outputs of the search space.
        seed: fixes hold-out, order and augmentation.
        holdout: share or number of training images.
        padding: pixels around the image before a random crop.
        flip: mirror half of the images.
    """

    def __init__(
        self,
        name: str,
        train: tuple[Tensor, Tensor],
        test: tuple[Tensor, Tensor],
        *,
        labels: Sequence[str],
        classes: int,
        seed: int,
        holdout: float,
        padding: int,
        flip: bool,
    ) -> None:
        check_classes(name, len(labels), classes)
        self.name = name
        self.labels = tuple(labels)
        self.classes = classes
        self.seed = seed
        self.padding = padding
        self.flip = flip
        images, targets = train
        self.input_channels = images.shape[3]
        self.resolution = images.shape[1]
        rest, chosen = stratified_holdout(targets.numpy(), holdout, seed, task=name)
        self.holdout_hash = indices_hash(chosen)
        pixels = images[torch.from_numpy(rest)]
        flat = pixels.flatten(0, 2).float() / 255
        mean, std = flat.mean(0), flat.std(0).clamp_min(1e-3)
        # three decimals, so that what is exported is what was trained with
        self.mean = tuple(round(v, 4) for v in mean.tolist())
        self.std = tuple(round(v, 4) for v in std.tolist())
        scale, shift = normaliser(torch.tensor(self.mean), torch.tensor(self.std))
        self._train = TensorSplit("train", pixels, targets[torch.from_numpy(rest)], scale, shift)
        self.train_images = len(rest)
        cut = torch.from_numpy(chosen)
        self.holdout = TensorSplit("holdout", images[cut], targets[cut], scale, shift)
        self.test = TensorSplit("test", test[0], test[1], scale, shift)
        self._padded: np.ndarray | None = None
        self._calibration: dict[tuple[int, int], list[Tensor]] = {}

    def train_batches(
        self, epoch: int, batch_size: int, *, start: int = 0, share: Share = WHOLE
    ) -> Iterator[Batch]:
        """Shuffled, cropped and flipped batches; a function of (seed, epoch, step)."""
        data = self._train
        order = np.random.default_rng([self.seed, epoch]).permutation(len(data))
        for step in range(start, len(data) // batch_size):
            index = torch.from_numpy(order[step * batch_size : (step + 1) * batch_size])
            source = np.random.default_rng([self.seed, epoch, step])
            images = self._augmented(index, source, share)
            yield normalised(images, data.scale, data.shift), data.labels[share.of(index)]

    def _augmented(self, index: Tensor, random: np.random.Generator, share: Share) -> Tensor:
        """The images of a part of a batch, whose random numbers are drawn for all of it."""
        size, pad, count = self.resolution, self.padding, len(index)
        if self._padded is None:
            # the border repeats the edge: for digits and photographs alike a plausible surround
            border = ((0, 0), (pad, pad), (pad, pad), (0, 0))
            self._padded = np.pad(self._train.images.numpy(), border, mode="edge")
        rows = share.of(random.integers(0, 2 * pad + 1, count).tolist())
        columns = share.of(random.integers(0, 2 * pad + 1, count).tolist())
        mirrored = share.of((random.random(count) < 0.5).tolist())
        index = share.of(index)
        out = np.empty((len(index), size, size, self.input_channels), dtype=np.uint8)
        # copying slices image by image is several times faster than one gather over pixels
        for i, image in enumerate(index.tolist()):
            row, column = rows[i], columns[i]
            crop = self._padded[image, row : row + size, column : column + size]
            out[i] = crop[:, ::-1] if self.flip and mirrored[i] else crop
        return torch.from_numpy(out).permute(0, 3, 1, 2)

    def calibration(self, images: int, batch_size: int = CALIBRATION_BATCH) -> list[Tensor]:
        """The first ``images`` of a fixed shuffle of the training images, in even batches."""
        key = (images, batch_size)
        if key not in self._calibration:
            order = np.random.default_rng([self.seed, 0xCA1]).permutation(self.train_images)
            data = self._train
            self._calibration[key] = [
                normalised(data.images[chunk].permute(0, 3, 1, 2), data.scale, data.shift)
                for chunk in map(torch.from_numpy, even_batches(order[:images], batch_size))
            ]
        return self._calibration[key]

    def describe(self) -> dict[str, Any]:
        """Counts of images and the hash of the hold-out's indices."""
        return {
            "task": self.name,
            "train_images": self.train_images,
            "holdout_images": len(self.holdout),
            "test_images": len(self.test),
            "holdout_hash": self.holdout_hash,
        }
