"""What every classification task shares: cross-entropy and top-1 accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from nas.tasks.base import SplitScores
from nas.tasks.score import Score, share_interval
from search_spaces import UserError


class AccuracyMeter:
    """Top-1 and top-5 accuracy and mean cross-entropy (unsmoothed)."""

    def __init__(self, split: str) -> None:
        self.split = split
        self.images = 0
        self._top1 = 0
        self._top5 = 0
        self._loss = 0.0

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Count a batch: outputs (N, classes), targets (N,)."""
        outputs = outputs.float()
        self.images += len(targets)
        # the place of the true class among the outputs; ties count against it, as NaN does
        true = outputs.gather(1, targets[:, None])
        place = (~(outputs < true)).sum(1) - 1
        self._top1 += int((place == 0).sum())
        self._top5 += int((place < 5).sum())
        self._loss += float(functional.cross_entropy(outputs, targets, reduction="sum"))

    def evaluation(self) -> SplitScores:
        if not self.images:
            raise UserError(f"the {self.split} split has no images")
        score = Score("top-1 accuracy", 100 * self._top1 / self.images, "%", True, self.split)
        return SplitScores(
            score,
            self._loss / self.images,
            self.images,
            {"top5": 100 * self._top5 / self.images},
            interval=share_interval(self._top1, self.images),
        )


class Classification:
    """Loss and score of a classification task; the data belongs to the subclasses."""

    score_name = "top-1 accuracy"
    unit = "%"
    higher_is_better = True

    def loss(self, outputs: Tensor, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy; targets are classes (N,) or mixed probabilities (N, classes)."""
        return functional.cross_entropy(outputs.float(), targets, label_smoothing=smoothing)

    def meter(self, split: str) -> AccuracyMeter:
        """An empty accuracy meter."""
        return AccuracyMeter(split)

    def skipped(self) -> Sequence[str]:
        """None; what is read from files says more."""
        return ()

    def output_prior(self) -> None:
        """None; classes have no mean."""

    def references(self) -> Mapping[str, SplitScores]:
        """None."""
        return {}

    def pictures(self, images: Tensor, targets: Tensor, outputs: Tensor) -> None:
        """Nothing to see."""


def normaliser(mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and shift (1, C, 1, 1) that turn 0..255 into normalised values."""
    scale = 1 / (255 * std)
    return scale.view(1, -1, 1, 1), (-mean / std).view(1, -1, 1, 1)


def normalised(images: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """uint8 (N, C, H, W) as normalised float32."""
    return torch.addcmul(shift.to(images.device), images.float(), scale.to(images.device))
