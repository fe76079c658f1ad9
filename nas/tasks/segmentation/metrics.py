"""Loss and scores of label maps; a target of `IGNORED` counts nowhere.

Outputs (N, classes, h, w) are resized bilinearly to the targets' size where they are smaller.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = 255
"""The class of a pixel that nobody knows."""


def fitted(outputs: Tensor, targets: Tensor) -> Tensor:
    """Outputs at the size of the targets."""
    size = targets.shape[-2:]
    if outputs.shape[-2:] == size:
        return outputs
    return functional.interpolate(outputs, size=size, mode="bilinear", align_corners=False)


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean over known pixels; 0 with gradient 0 where there is none.

    Args:
        outputs: logits (N, classes, h, w).
        targets: classes (N, H, W), or probabilities (N, classes, H, W), 0 where unknown (a
            teacher's).
    """
    logits = fitted(outputs, targets)
    if targets.is_floating_point():
        total = -(targets * logits.log_softmax(1)).sum()
        known = targets.sum()
    else:
        wanted = targets.long()
        total = functional.cross_entropy(logits, wanted, ignore_index=IGNORED, reduction="sum")
        known = (wanted != IGNORED).sum()
    return total / known.clamp_min(1)


class Confusion:
    """mIoU, pixel accuracy and the IoU of every class, in per cent, over all pixels of a split.

    Intersection over union is taken over the whole split, and its mean over the classes that
    occur in truth or prediction (Everingham et al., "The Pascal Visual Object Classes
    Challenge: A Retrospective", IJCV 2015, section 4.4).

    Args:
        labels: names of the classes.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        # a last column for outputs that are not finite: no class at all
        self.counts = torch.zeros(len(labels), len(labels) + 1, dtype=torch.int64)

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Count a batch: logits (N, classes, h, w) and classes (N, H, W)."""
        classes = len(self.labels)
        logits = fitted(outputs, targets)
        found = torch.where(logits.isfinite().all(1), logits.argmax(1), classes)
        wanted = targets.long()
        known = wanted != IGNORED
        pairs = wanted[known] * (classes + 1) + found[known]
        counted = torch.bincount(pairs, minlength=classes * (classes + 1))
        self.counts += counted.view(classes, classes + 1).cpu()

    def compute(self) -> dict[str, float]:
        """The figures; NaN where no pixel is known."""
        counts = self.counts.double()
        right = counts.diagonal()
        union = counts.sum(1) + counts.sum(0)[:-1] - right
        iou = 100 * right / union
        figures = {
            "mIoU": float(iou.nanmean()),
            "pixel accuracy": float(100 * right.sum() / counts.sum()),
        }
        return figures | {f"IoU {name}": float(v) for name, v in zip(self.labels, iou, strict=True)}
