"""Scores from the super-network's shared weights; nothing is trained."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from nas.optimizers.base import Candidate, Member
from nas.search.evaluators.base import CandidateFailed, Evaluation
from nas.tasks.base import Batch, Split, Task
from search_spaces import Network
from supernet import Supernet, extract, recalibrate

GROWTH = 4
"""A small network's batches are at most so many times those of the largest."""


class SharedWeights:
    """Extract a candidate, recalibrate its batch norm on cached batches, score it on the hold-out.

    Images are prepared once and kept on the device; where they need more than ``cache_bytes``
    they are read from the task again for every candidate. Smaller networks run in larger batches.

    Args:
        supernet: the shared weights; never changed.
        task: data and score.
        recalibration_images: training images for the batch statistics.
        batch_size: of the largest network.
        device: where to evaluate.
        weights: an identity of the weights (a hash), so that workers can tell theirs are equal.
        cache_bytes: limit of the prepared hold-out.
    """

    def __init__(
        self,
        supernet: Supernet,
        task: Task,
        *,
        recalibration_images: int = 512,
        batch_size: int = 256,
        device: torch.device | None = None,
        weights: str = "",
        cache_bytes: int = 2 << 30,
    ) -> None:
        self.score_name = task.score_name
        self.unit = task.unit
        self.higher_is_better = task.higher_is_better
        self.device = device or torch.device("cpu")
        self.supernet = supernet.to(self.device).eval()
        self.task = task
        self.recalibration_images = recalibration_images
        self.batch_size = batch_size
        self._weights = weights or fingerprint(supernet)
        self._calibration = [
            images.to(self.device) for images in task.calibration(recalibration_images, batch_size)
        ]
        self._holdout = Holdout(task.holdout, self.device, cache_bytes)
        space = supernet.space
        self._widest = peak(space.describe(space.largest()))

    def evaluate(self, candidate: Candidate) -> Evaluation:
        """Score and loss on the whole hold-out split, after recalibration."""
        started = time.perf_counter()
        with torch.inference_mode():
            network = extract(self.supernet, candidate.architecture)
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            recalibrate(network, self._calibration)
            network.eval()
            meter = self.task.meter("holdout")
            for images, targets in self._holdout.batches(self.images_at_once(network.network)):
                meter.update(network(images), targets)
        found = meter.evaluation()
        if not torch.isfinite(torch.tensor([found.score.value, found.loss])).all():
            raise CandidateFailed(f"score {found.score.value}, loss {found.loss}")
        return Evaluation(found.score.value, found.loss, time.perf_counter() - started)

    def images_at_once(self, network: Network) -> int:
        """The batch size of a network, a function of the network alone."""
        factor = min(GROWTH, self._widest // max(1, peak(network)))
        return self.batch_size * max(1, factor)

    def advance(self, winner: Member) -> None:
        """Nothing: the weights are shared."""

    def describe(self) -> dict[str, Any]:
        """Task, weights and what the statistics are taken from."""
        return {
            "name": "shared_weights",
            "task": self.task.describe(),
            "weights": self._weights,
            "recalibration_images": self.recalibration_images,
            "batch_size": self.batch_size,
        }


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


def peak(network: Network) -> int:
    """The largest input and output of any operation, in elements of one image."""

    def size(shape: tuple[int, int, int]) -> int:
        return shape[0] * shape[1] * shape[2]

    return max(sum(map(size, o.input_shapes)) + size(o.output_shape) for o in network.operations)


def fingerprint(module: torch.nn.Module) -> str:
    """A hash of a module's weights and statistics."""
    import hashlib

    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
