"""Scores of depth maps, in metres: RMSE, MAE, AbsRel, log10 and the shares within 1.25^k.

Every figure is taken over the known pixels of an image, then averaged over images, as FastDepth's
evaluation does (a batch of one). Images without a known pixel are not counted.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nas.tasks.base import SplitScores
from nas.tasks.depth.losses import SMALLEST, Loss
from nas.tasks.score import Score, mean_interval
from search_spaces import UserError

SCORES: dict[str, tuple[str, str, bool]] = {
    "delta1": ("delta1", "fraction", True),
    "rmse": ("RMSE", "m", False),
}
"""What a search can go by: name, unit, whether higher is better."""

FIGURES = ("delta1", "delta2", "delta3", "rmse_m", "mae_m", "absrel", "log10")
"""The details of every evaluation; shares as fractions, errors in metres or relative."""


def figures(outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Each of `FIGURES` per image, (N,); NaN where an image has no known pixel.

    Args:
        outputs: (N, 1, H, W) metres.
        targets: the same, 0 where unknown.
    """
    valid = (targets > 0).flatten(1)
    pixels = valid.sum(1).double()
    y = torch.where(valid, targets.flatten(1), 1).double()
    x = torch.where(valid, outputs.flatten(1).double(), y)
    error = x - y
    positive = x.clamp_min(SMALLEST)
    ratio = torch.maximum(positive / y, y / positive)

    def mean(values: Tensor) -> Tensor:
        return torch.where(valid, values, 0).sum(1) / pixels

    return {
        # NaN is within no bound
        "delta1": mean((ratio < 1.25).double()),
        "delta2": mean((ratio < 1.25**2).double()),
        "delta3": mean((ratio < 1.25**3).double()),
        "rmse_m": mean(error.square()).sqrt(),
        "mae_m": mean(error.abs()),
        "absrel": mean(error.abs() / y),
        "log10": mean((positive.log10() - y.log10()).abs()),
    }


class DepthMeter:
    """Gathers `FIGURES` and the training loss batch by batch.

    Args:
        split: its name.
        score: ``delta1`` or ``rmse``.
        loss: of the training, per image.
        scale: stands behind the score's name where metres are not the sensor's own.
    """

    def __init__(self, split: str, score: str, loss: Loss, scale: str = "") -> None:
        self.split = split
        self.score = score
        self.loss = loss
        self.scale = scale
        self._sums = dict.fromkeys(FIGURES, 0.0)
        self._squares = dict.fromkeys(FIGURES, 0.0)
        self._loss = 0.0
        self._images = 0

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Count a batch: outputs and targets (N, 1, H, W) in metres."""
        outputs = outputs.float()
        known = (targets > 0).flatten(1).any(1)
        outputs, targets = outputs[known], targets[known]
        self._images += len(targets)
        for name, values in figures(outputs, targets).items():
            self._sums[name] += float(values.sum())
            self._squares[name] += float(values.square().sum())
        for i in range(len(targets)):
            self._loss += float(self.loss(outputs[i : i + 1], targets[i : i + 1]))

    def evaluation(self) -> SplitScores:
        if not self._images:
            raise UserError(f"the {self.split} split has no images with known depth")
        details = {name: total / self._images for name, total in self._sums.items()}
        scores = {
            key: Score(name, details[figure], unit, higher, self.split)
            for key, figure in (("delta1", "delta1"), ("rmse", "rmse_m"))
            for name, unit, higher in [named_score(key, self.scale)]
        }
        own = scores.pop(self.score)
        (other,) = scores.values()
        figure = "delta1" if self.score == "delta1" else "rmse_m"
        interval = mean_interval(self._sums[figure], self._squares[figure], self._images)
        return SplitScores(own, self._loss / self._images, self._images, details, other, interval)


def named_score(score: str, scale: str) -> tuple[str, str, bool]:
    """Name, unit and direction of a score, the name with what is to be said of its metres."""
    name, unit, higher = SCORES[score]
    return f"{name}, {scale}" if scale else name, unit, higher
