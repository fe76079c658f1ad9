"""What a training does with a batch, and between epochs: forward passes and scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from nas.tasks.base import SplitScores
from supernet.share import WHOLE, Share


@dataclass(frozen=True)
class Position:
    """Where a step stands: ``progress`` goes from 0 to 1 over the whole training.

    ``share`` is the part of the step's batch that the images are.
    """

    epoch: int
    step: int
    progress: float
    share: Share = WHOLE


Passes = Callable[[nn.Module, Tensor, Tensor, Position], Iterator[tuple[Tensor, Tensor, float]]]
"""The forward passes of one step: (module, images, targets, position) → outputs, their targets
and their weight in the loss. Each pass is differentiated before the next one starts."""

Probe = Callable[[nn.Module], Mapping[str, SplitScores]]
"""Scores on the hold-out by name; the first one decides which checkpoint is the best."""


def single_pass(
    module: nn.Module, images: Tensor, targets: Tensor, position: Position
) -> Iterator[tuple[Tensor, Tensor, float]]:
    """A plain forward pass."""
    yield module(images), targets, 1.0
