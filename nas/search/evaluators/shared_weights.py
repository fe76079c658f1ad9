"""Scores from the super-network's shared weights; nothing is trained."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import torch

from nas.optimizers.base import Candidate, Member
from nas.search.evaluators.base import Evaluation
from nas.search.evaluators.holdout import BatchSize, Holdout, evaluation_of, score
from nas.tasks.base import Task
from supernet import Supernet, extract, recalibrate


class SharedWeights:
    """Extract a candidate, recalibrate its batch norm on cached batches, score it on the hold-out.

    Images are prepared once and kept on the device; where they need more than ``cache_bytes``
    they are read from the task again for every candidate. Smaller networks run in larger batches.

    Args:
        supernet: the shared weights; never changed.
        task: data and score.
        recalibration_images: training images for the batch statistics.
        batch_size: the most images at once for the largest network.
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
            images.to(self.device) for images in task.calibration(recalibration_images)
        ]
        self.holdout = Holdout(task.holdout, self.device, cache_bytes)
        self.batch_sizes = BatchSize(supernet.space, batch_size, self.device)

    def evaluate(self, candidate: Candidate) -> Evaluation:
        """Score and loss on the whole hold-out split, after recalibration."""
        started = time.perf_counter()
        with torch.inference_mode():
            network = extract(self.supernet, candidate.architecture)
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            recalibrate(network, self._calibration)
        size = self.batch_sizes.of(network.network)
        found = score(network, self.task, self.holdout, size)
        return evaluation_of(found, time.perf_counter() - started)

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


def fingerprint(module: torch.nn.Module) -> str:
    """A hash of a module's weights and statistics."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
