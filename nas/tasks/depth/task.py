"""The depth task: data, loss and score of dense regression in metres."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nas.tasks.base import CALIBRATION_BATCH, Batch, SplitScores
from nas.tasks.classification import normalised, normaliser
from nas.tasks.depth.frames import Frames, Recording, Subset
from nas.tasks.depth.losses import LOSSES
from nas.tasks.depth.metrics import SCORES, DepthMeter, named_score
from nas.tasks.depth.splits import cut
from nas.tasks.depth.store import Broken, FrameStore
from nas.tasks.depth.transforms import Augmentation, Geometry
from nas.tasks.splits import TEST_SEED, even_batches, indices_hash
from search_spaces import UserError, unknown
from supernet.share import WHOLE, Share

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, which an encoder that was trained there expects."""


@dataclass(frozen=True)
class DepthSettings:
    """What the depth tasks have in common; the opening functions say what each one does."""

    loss: str
    score: str
    augmentation: Augmentation
    holdout_by: str
    test_share: float
    workers: int
    cache_gb: float
    corrupt_limit: int


@dataclass
class DepthSplit:
    """Frames in a fixed order, cropped from the centre."""

    name: str
    task: DepthTask
    store: FrameStore

    def __len__(self) -> int:
        return len(self.store)

    def batches(self, size: int) -> Iterator[Batch]:
        """Every usable frame once, in order."""
        for images, depths in self.store.batches(_chunks(np.arange(len(self)), size)):
            if len(images):
                yield self.task.prepared(*self.task.geometry.sample(images, depths))


class DepthTask:
    """Depth of every pixel; targets are (N, 1, R, R) metres, 0 where unknown.

    Args:
        name: of the task.
        recording: training and test frames.
        resolution: height and width of the network's input.
        channels: of the network's input; 3.
        classes: of its output; 1.
        seed: fixes hold-out, order and augmentation.
        holdout: share or number of the training frames.
        settings: the rest.

    Raises:
        UserError: settings, channels or data that do not fit.
    """

    labels = ("depth (m)",)
    input_channels = 3
    classes = 1
    mean, std = MEAN, STD

    def __init__(
        self,
        name: str,
        recording: Recording,
        *,
        resolution: int,
        channels: int,
        classes: int,
        seed: int,
        holdout: float,
        settings: DepthSettings,
    ) -> None:
        if (channels, classes) != (3, 1):
            raise UserError(
                f"task {name} has 3 channels and 1 output, the search space {channels} and "
                f"{classes}; is it a classification network's?"
            )
        if settings.loss not in LOSSES:
            raise unknown("loss", settings.loss, LOSSES)
        if settings.score not in SCORES:
            raise unknown("score", settings.score, SCORES)
        self.name = name
        self.resolution = resolution
        self.seed = seed
        self.settings = settings
        self.scale = recording.scale
        self.score_name, self.unit, self.higher_is_better = named_score(settings.score, self.scale)
        self.geometry = Geometry(resolution)
        self._loss = LOSSES[settings.loss]
        self._scaling = normaliser(torch.tensor(MEAN), torch.tensor(STD))
        self.broken = Broken(settings.corrupt_limit)
        train: Frames = recording.train
        test = recording.test
        if test is None:
            rest, chosen = cut(train, settings.test_share, TEST_SEED, task=f"{name} (test)")
            train, test = Subset(train, rest), Subset(train, chosen)
        rest, held = cut(train, holdout, seed, task=name, rule=settings.holdout_by)
        self.holdout_hash = indices_hash(held)
        self._train = self._store(Subset(train, rest))
        self.holdout = DepthSplit("holdout", self, self._store(Subset(train, held)))
        self.test = DepthSplit("test", self, self._store(test))
        self.train_images = len(self._train)
        len(self.holdout)  # what cannot be read is found now and not after a training
        self._calibration: dict[tuple[int, int], list[Tensor]] = {}

    def _store(self, frames: Frames) -> FrameStore:
        return FrameStore(
            frames,
            self.geometry,
            self.broken,
            workers=self.settings.workers,
            limit=self.settings.cache_gb * 2**30,
        )

    def prepared(self, pixels: Tensor, metres: Tensor) -> Batch:
        """Images (N, 3, R, R) in 0..255 as the network reads them, and their depths."""
        images = normalised(pixels, *self._scaling)
        return images.contiguous(memory_format=torch.channels_last), metres

    def train_batches(
        self, epoch: int, batch_size: int, *, start: int = 0, share: Share = WHOLE
    ) -> Iterator[Batch]:
        """Shuffled, augmented batches; a function of (seed, epoch, step)."""
        order = np.random.default_rng([self.seed, epoch]).permutation(self.train_images)
        whole = order[: self.train_images // batch_size * batch_size]
        chunks = _chunks(whole, batch_size)[start:]
        for step, (images, depths) in enumerate(self._train.batches(chunks, replace=True), start):
            source = np.random.default_rng([self.seed, epoch, step])
            change = self.settings.augmentation
            pixels, metres = change(self.geometry, images, depths, source)
            yield self.prepared(share.of(pixels), share.of(metres))

    def calibration(self, images: int, batch_size: int = CALIBRATION_BATCH) -> list[Tensor]:
        """The first ``images`` of a fixed shuffle of the training images, in even batches."""
        key = (images, batch_size)
        if key not in self._calibration:
            order = np.random.default_rng([self.seed, 0xCA1]).permutation(self.train_images)
            self._calibration[key] = [
                self.prepared(*self.geometry.sample(*batch))[0]
                for batch in self._train.batches(even_batches(order[:images], batch_size))
                if len(batch[0])
            ]
        return self._calibration[key]

    def loss(self, outputs: Tensor, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """The loss of a batch in metres (or its logarithm), over known pixels.

        Raises:
            UserError: smoothing, which only classes have.
        """
        if smoothing:
            raise UserError(f"label_smoothing = {smoothing}: task {self.name} has no labels")
        return self._loss(outputs.float(), targets)

    def meter(self, split: str) -> DepthMeter:
        """An empty meter."""
        return DepthMeter(split, self.settings.score, self._loss, self.scale)

    def skipped(self) -> Sequence[str]:
        """The frames that could not be used so far."""
        return sorted(self.broken.frames)

    def output_prior(self) -> tuple[float, float]:
        """Mean and standard deviation of depth in the first training images of a fixed shuffle."""
        order = np.random.default_rng([self.seed, 0xCA1]).permutation(self.train_images)
        values = torch.cat(
            [
                y[y > 0]
                for images, depths in self._train.batches(_chunks(order[:64], 16))
                if len(images)
                for y in [self.geometry.sample(images, depths)[1].double()]
            ]
        )
        return round(float(values.mean()), 3), round(float(values.std()), 3)

    def references(self) -> Mapping[str, SplitScores]:
        """What the mean depth maps of the training images reach on the test split.

        The arithmetic mean of every pixel, and the geometric one. Empty where the frames do not
        fit into memory.
        """
        if not self._train.in_memory:
            return {}
        sums = torch.zeros(3, 1, self.resolution, self.resolution, dtype=torch.float64)
        chunks = _chunks(np.arange(self.train_images), 64)
        for images, depths in self._train.batches(chunks):
            y = self.geometry.sample(images, depths)[1].double()
            known = y > 0
            logarithm = torch.where(known, y, 1).log()
            sums += torch.stack([known.double().sum(0), y.sum(0), logarithm.sum(0)])
        pixels = sums[0].clamp_min(1)
        maps = {
            "mean depth map": _filled(sums[1] / pixels, sums[0]),
            "geometric-mean depth map": _filled((sums[2] / pixels).exp(), sums[0]),
        }
        found = {}
        for name, constant in maps.items():
            meter = self.meter("test")
            for _, targets in self.test.batches(64):
                meter.update(constant.float().expand_as(targets), targets)
            found[name] = meter.evaluation()
        return found

    def pictures(self, images: Tensor, targets: Tensor, outputs: Tensor) -> Figure:
        """Input, truth, prediction and error of a few images, in metres with colour bars."""
        from nas.tasks.depth.pictures import comparison

        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
        return comparison((images.cpu() * std + mean).clamp(0, 1), targets.cpu(), outputs.cpu())

    def describe(self) -> dict[str, Any]:
        """Counts, what the metres are, and the hash of the hold-out's indices."""
        return {
            "task": self.name,
            "train_images": self.train_images,
            "holdout_images": len(self.holdout),
            "test_images": len(self.test.store.frames),
            "holdout_hash": self.holdout_hash,
            "holdout_by": self.settings.holdout_by,
            "metres": self.scale or "as recorded",
            "loss": self.settings.loss,
        }


def _chunks(indices: np.ndarray, size: int) -> list[np.ndarray]:
    return [indices[i : i + size] for i in range(0, len(indices), size)]


def _filled(values: Tensor, counts: Tensor) -> Tensor:
    """Pixels that no image knows take the mean of the others."""
    return torch.where(counts > 0, values, values[counts > 0].mean())
