"""The adapter: a user's data sets, loss and score as a `Task`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nas.tasks.base import CALIBRATION_BATCH, Batch, SplitScores
from nas.tasks.classification import normalised, normaliser
from nas.tasks.own.parts import Outputs, OwnTask, brief
from nas.tasks.own.reading import Source, read
from nas.tasks.own.scoring import MAIN, Figures, OwnMeter, as_float, called
from nas.tasks.score import Score
from nas.tasks.splits import even_batches, grouped_holdout, indices_hash, stratified_holdout
from search_spaces import UserError
from search_spaces.operation import Shape
from supernet.share import WHOLE, Share

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIXED_SEED = 0xF1D
"""Of items outside of training: data sets that draw are then read alike each time."""


@dataclass
class ItemSplit:
    """Items in a fixed order, not augmented."""

    name: str
    task: DatasetTask
    source: Source
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    def batches(self, size: int) -> Iterator[Batch]:
        """Every item once, in order."""
        chunks = [self.indices[i : i + size] for i in range(0, len(self), size)]
        yield from self.task.read(self.source, chunks)


class DatasetTask:
    """A user's parts as a task: splits, seeds, calibration, hold-out and checks.

    Args:
        name: as the recipe names it.
        parts: what the user's function returned.
        resolution: height and width of the network's input.
        channels: of it.
        outputs: shape (C, H, W) of every output of the space's networks.
        seed: fixes hold-out, order and augmentation.
        holdout: share or number of the training items.

    Raises:
        UserError: a part is not what was expected; the loss or score refuses the data.
    """

    def __init__(
        self,
        name: str,
        parts: OwnTask,
        *,
        resolution: int,
        channels: int,
        outputs: Sequence[Shape],
        seed: int,
        holdout: float,
    ) -> None:
        self.classes = outputs[0][0]
        parts.check(name, channels=channels, classes=self.classes)
        self.called = name
        self.name = parts.name or name
        self.parts = parts
        self.resolution = resolution
        self.input_channels = channels
        self.seed = seed
        self.labels = tuple(parts.labels) or tuple(str(i) for i in range(self.classes))
        self.mean = tuple(float(v) for v in parts.mean) or (0.0,) * channels
        self.std = tuple(float(v) for v in parts.std) or (1.0,) * channels
        self._scaling = normaliser(torch.tensor(self.mean), torch.tensor(self.std))
        shape = (channels, resolution, resolution)
        self._train = Source.opened(name, "train", parts.train, shape)
        self._plain = self._train
        if parts.plain is not None:
            self._plain = Source.opened(name, "plain", parts.plain, shape)
        tested = Source.opened(name, "test", parts.test, shape)
        rest, held = self._cut(holdout)
        self.train_images = len(rest)
        self._rest = rest
        self.holdout = ItemSplit("holdout", self, self._plain, held)
        self.test = ItemSplit("test", self, tested, np.arange(tested.length))
        self._calibration: dict[tuple[int, int], list[Tensor]] = {}
        self.unit, self.higher_is_better = parts.unit, parts.higher_is_better
        self.score_name = parts.score_name or "score"
        self._try(outputs)

    def _cut(self, holdout: float) -> tuple[np.ndarray, np.ndarray]:
        parts, count = self.parts, self._train.length
        if parts.groups is not None:
            return grouped_holdout(parts.groups, holdout, self.seed, task=self.called)
        if parts.stratify is None:
            classes = np.zeros(count, dtype=np.int64)
        else:
            try:
                values = [int(v) for v in parts.stratify]
            except (TypeError, ValueError):
                raise UserError(f"task {self.called}: stratify: classes are numbers") from None
            classes = np.unique(values, return_inverse=True)[1]
        return stratified_holdout(classes, holdout, self.seed, task=self.called)

    def _try(self, outputs: Sequence[Shape]) -> None:
        """Loss and score once on two training items, before any work, with random outputs."""
        keys = [[(int(i), FIXED_SEED) for i in self._rest[:2]]]
        _, targets = next(read(self._train, keys, augment=self.parts.augment))
        generator = torch.Generator().manual_seed(0)
        drawn = [torch.randn(len(targets), *s, generator=generator) for s in outputs]
        made = tuple((d.flatten(1) if d.shape[2:] == (1, 1) else d).requires_grad_() for d in drawn)
        network = made[0] if len(made) == 1 else made
        loss = self.loss(network, targets)
        if not loss.requires_grad:
            raise UserError(f"task {self.called}: loss has no gradient in the outputs")
        with torch.no_grad():
            figures = self._figures()
            figures.update(network, targets)
            first = next(iter(figures.values()))
        if not self.parts.score_name and first != MAIN:
            self.score_name = first

    def read(self, source: Source, chunks: Sequence[np.ndarray]) -> Iterator[Batch]:
        """Items as they are, as the network reads them."""
        keys = [[(int(i), FIXED_SEED + int(i)) for i in chunk] for chunk in chunks]
        for inputs, targets in read(source, keys, workers=self.parts.workers):
            yield self.prepared(inputs), targets

    def prepared(self, inputs: Tensor) -> Tensor:
        """Inputs (N, C, R, R) as the network reads them: uint8 is normalised."""
        if inputs.dtype == torch.uint8:
            inputs = normalised(inputs, *self._scaling)
        return inputs.contiguous(memory_format=torch.channels_last)

    def train_batches(
        self, epoch: int, batch_size: int, *, start: int = 0, share: Share = WHOLE
    ) -> Iterator[Batch]:
        """Shuffled, augmented batches; a function of (seed, epoch, step)."""
        generator = np.random.default_rng([self.seed, epoch])
        order = self._rest[generator.permutation(self.train_images)]
        seeds = generator.integers(2**31, size=self.train_images)
        pairs = list(zip(order.tolist(), seeds.tolist(), strict=True))
        batches = [
            share.of(pairs[step * batch_size : (step + 1) * batch_size])
            for step in range(start, self.train_images // batch_size)
        ]
        augment, workers = self.parts.augment, self.parts.workers
        for inputs, targets in read(self._train, batches, augment=augment, workers=workers):
            yield self.prepared(inputs), targets

    def calibration(self, images: int, batch_size: int = CALIBRATION_BATCH) -> list[Tensor]:
        """The first ``images`` of a fixed shuffle of the training items, in even batches."""
        key = (images, batch_size)
        if key not in self._calibration:
            order = np.random.default_rng([self.seed, 0xCA1]).permutation(self.train_images)
            chunks = even_batches(self._rest[order[:images]], batch_size)
            self._calibration[key] = [inputs for inputs, _ in self.read(self._plain, chunks)]
        return self._calibration[key]

    def loss(self, outputs: Outputs, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """The user's loss.

        Raises:
            UserError: it refuses the targets or returns no scalar; or smoothing is asked for.
        """
        if smoothing:
            raise UserError(
                f"label_smoothing = {smoothing}: the loss of task {self.called} is its own; "
                "smooth there"
            )
        where = f"task {self.called}: loss"
        found = called(where, self.parts.loss, as_float(outputs), targets)
        if not isinstance(found, Tensor) or found.dim() != 0 or not found.is_floating_point():
            raise UserError(f"{where} returned {brief(found)}, expected a scalar tensor: the mean")
        return found

    def meter(self, split: str) -> OwnMeter:
        """An empty meter."""
        score = Score(self.score_name, 0.0, self.unit, self.higher_is_better)
        return OwnMeter(split, self._figures(), self.loss, score, self.parts.beside)

    def _figures(self) -> Figures:
        return Figures(self.parts.score, f"task {self.called}: score")

    def output_prior(self) -> tuple[float, float] | None:
        """As the user says."""
        return self.parts.output_prior

    def references(self) -> Mapping[str, SplitScores]:
        """None."""
        return {}

    def pictures(self, images: Tensor, targets: Tensor, outputs: Outputs) -> Figure | None:
        """The user's figure, where there is one."""
        if self.parts.pictures is None:
            return None
        made = tuple(o.cpu() for o in (outputs if isinstance(outputs, tuple) else (outputs,)))
        shown = made[0] if len(made) == 1 else made
        where = f"task {self.called}: pictures"
        found: Figure = called(
            where, self.parts.pictures, images.cpu(), targets.cpu(), as_float(shown)
        )
        if not hasattr(found, "savefig"):
            raise UserError(f"{where} returned {brief(found)}, expected a matplotlib Figure")
        return found

    def skipped(self) -> Sequence[str]:
        """None: an item that cannot be read ends the run."""
        return ()

    def describe(self) -> dict[str, Any]:
        """Counts of items and the hash of the hold-out's indices."""
        return {
            "task": self.name,
            "train_images": self.train_images,
            "holdout_images": len(self.holdout),
            "test_images": len(self.test),
            "holdout_hash": indices_hash(self.holdout.indices),
        }
