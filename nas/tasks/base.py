"""What a task is: data in splits, a loss and a score.

Its sides: classification, segmentation, depth, and the user's own.

A task is built for the input of one search space (channels, resolution, outputs) and says where
they do not fit the data. Images are (N, C, H, W) float32 tensors in channels-last memory,
normalised with ``mean`` and ``std``; targets are whatever the task's own loss reads.

Everything random is a function of (seed, epoch, step), so that a run can go on anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from nas.tasks.score import Interval, Score
from search_spaces import UserError
from supernet.share import WHOLE, Share

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Batch = tuple[Tensor, Tensor]
"""Images and targets."""

CALIBRATION_BATCH = 128
"""Images in one batch of the statistics: part of what decides a score, so the same everywhere."""


@dataclass(frozen=True)
class SplitScores:
    """What a network reaches on a split: its score, the mean loss and further figures.

    ``beside`` is a second figure that is worth a curve of its own. ``interval`` is the score's 95 %
    interval: between which values it may lie on other images like these; None where the task does
    not say.
    """

    score: Score
    loss: float
    images: int
    details: dict[str, float] = field(default_factory=dict)
    beside: Score | None = None
    interval: Interval | None = None


class Meter(Protocol):
    """Gathers outputs batch by batch."""

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Count one batch; what is kept does not grow with the number of batches."""
        ...

    def evaluation(self) -> SplitScores:
        """The score, loss and details of everything seen.

        Raises:
            UserError: nothing was counted.
        """
        ...


class Split(Protocol):
    """Images that are read again and again, in a fixed order, without augmentation."""

    name: str

    def __len__(self) -> int: ...

    def batches(self, size: int) -> Iterator[Batch]:
        """Every image once, in order; the last batch may be smaller."""
        ...


class Task(Protocol):
    """Data, loss and score of one problem.

    ``holdout`` is cut from the training images and is all that a search may see; ``test`` is
    kept for final results. ``labels`` names the outputs; of a map its channels, with their unit.
    Targets of a map of numbers are maps, 0 where unknown; of a map of classes they are integers.
    """

    name: str
    score_name: str
    unit: str
    higher_is_better: bool
    labels: Sequence[str]
    input_channels: int
    resolution: int
    classes: int
    mean: Sequence[float]
    std: Sequence[float]
    train_images: int
    holdout: Split
    test: Split

    def train_batches(
        self, epoch: int, batch_size: int, *, start: int = 0, share: Share = WHOLE
    ) -> Iterator[Batch]:
        """The shuffled, augmented batches of an epoch, from batch number ``start`` on.

        The last, incomplete batch is left out. A function of (seed, epoch, step) only; ``share``
        says which part of each batch is wanted, and which images that are depends on nothing
        else.
        """
        ...

    def calibration(self, images: int, batch_size: int = CALIBRATION_BATCH) -> Sequence[Tensor]:
        """Training images without augmentation, for batch statistics; cached, same each time.

        In batches of at most ``batch_size`` and as equal as can be: each counts the same.
        """
        ...

    def loss(self, outputs: Tensor, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """The mean training loss of a batch (mixed or smoothed targets included)."""
        ...

    def meter(self, split: str) -> Meter:
        """A new, empty meter."""
        ...

    def output_prior(self) -> tuple[float, float] | None:
        """Mean and standard deviation of a map's targets, for the output layer's first weights."""
        ...

    def references(self) -> Mapping[str, SplitScores]:
        """Test scores that need no network, by name, to hold results against; may be empty."""
        ...

    def pictures(self, images: Tensor, targets: Tensor, outputs: Tensor) -> Figure | None:
        """A few images with what a network makes of them; None where there is nothing to see."""
        ...

    def skipped(self) -> Sequence[str]:
        """The images that could not be read so far."""
        ...

    def describe(self) -> dict[str, Any]:
        """What identifies data and splits: counts and a hash of the hold-out's indices."""
        ...


def check_classes(task: str, found: int, expected: int) -> None:
    """Refuse data of another number of classes than the space's outputs.

    Raises:
        UserError: they differ.
    """
    if found != expected:
        raise UserError(
            f"task {task} has {found} classes, the search space {expected} outputs; "
            f"use --set space.settings.classes={found}"
        )
