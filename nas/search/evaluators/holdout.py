"""Scoring a network on the hold-out split at the speed of its forward pass."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from nas.search.evaluators import base
from nas.search.evaluators.base import CandidateFailed
from nas.tasks.base import Batch, Split, SplitScores, Task
from search_spaces import Network, SearchSpace

GROWTH = 4
"""A small network's batches are at most so many times those of the largest."""

CACHE_BYTES = 16 << 20
"""On a CPU a layer's inputs and outputs together take about this much."""

SMALLEST = 8
"""Images at once on a CPU, however large they are: weights are read once a batch."""


class Holdout:
    """The hold-out split on a device, prepared once where it fits into ``limit`` bytes."""

    def __init__(self, split: Split, device: torch.device, limit: int) -> None:
        self._split = split
        self._device = device
        self._cached: tuple[Tensor, Tensor] | None = None
        first = next(iter(split.batches(1)))
        if len(split) * sum(t.nbytes for t in first) <= limit:
            parts = [(x.to(device), y.to(device)) for x, y in split.batches(1024)]
            images, targets = zip(*parts, strict=True)
            self._cached = (
                torch.cat(images).contiguous(memory_format=torch.channels_last),
                torch.cat(targets),
            )

    def batches(self, size: int) -> Iterator[Batch]:
        """Every image once, in order."""
        if self._cached is None:
            for images, targets in self._split.batches(size):
                yield images.to(self._device), targets.to(self._device)
            return
        images, targets = self._cached
        for start in range(0, len(targets), size):
            yield images[start : start + size], targets[start : start + size]


class BatchSize:
    """How many images a network takes at once: a function of the network alone.

    On an accelerator small networks run in larger batches, up to `GROWTH` times ``largest``. On a
    CPU a batch whose activations stay in the cache is fastest, whatever the network.

    Args:
        space: its largest network takes ``largest`` images at once.
        largest: the most images at once for the largest network.
        device: where networks run.
    """

    def __init__(self, space: SearchSpace, largest: int, device: torch.device) -> None:
        self._largest = largest
        self._cpu = device.type == "cpu"
        self._peak = peak(space.describe(space.largest()))

    def of(self, network: Network) -> int:
        """Images at once."""
        own = max(1, peak(network))
        images = self._largest * max(1, min(GROWTH, self._peak // own))
        if self._cpu:
            fitting = CACHE_BYTES // (4 * own)
            images = min(images, max(SMALLEST, 1 << max(0, fitting.bit_length() - 1)))
        return images


def peak(network: Network) -> int:
    """The largest input and output of any operation, in elements of one image."""

    def size(shape: tuple[int, int, int]) -> int:
        return shape[0] * shape[1] * shape[2]

    return max(sum(map(size, o.input_shapes)) + size(o.output_shape) for o in network.operations)


def evaluation_of(found: SplitScores, seconds: float) -> base.Evaluation:
    """What a search records of a task's evaluation."""
    beside = None if found.beside is None else found.beside.to_dict()
    return base.Evaluation(found.score.value, found.loss, seconds, beside, found.interval)


def score(network: nn.Module, task: Task, holdout: Holdout, batch_size: int) -> SplitScores:
    """What a network reaches on the whole hold-out, in evaluation mode.

    Raises:
        CandidateFailed: one of them is not finite.
    """
    network.eval()
    meter = task.meter("holdout")
    with torch.inference_mode():
        for images, targets in holdout.batches(batch_size):
            meter.update(network(images), targets)
    found = meter.evaluation()
    value, loss = found.score.value, found.loss
    if not (math.isfinite(value) and math.isfinite(loss)):
        raise CandidateFailed(f"score {value}, loss {loss} on the hold-out")
    return found
