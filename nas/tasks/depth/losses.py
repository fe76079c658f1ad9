"""Training losses of depth maps; a target of 0 is unknown and counts nowhere.

All take outputs and targets (N, 1, H, W) in metres and return the mean over known pixels. A batch
without any has loss 0 and gradient 0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]

SMALLEST = 1e-3
"""Metres; predictions below it count as it under a logarithm."""


def l1(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute error (FastDepth's choice)."""
    valid = targets > 0
    error = torch.where(valid, (outputs - targets).abs(), 0)
    return error.sum() / valid.sum().clamp_min(1)


def berhu(outputs: Tensor, targets: Tensor) -> Tensor:
    """Reversed Huber (Laina et al., 3DV 2016): L1 below a fifth of the largest error, L2 above."""
    valid = targets > 0
    error = torch.where(valid, (outputs - targets).abs(), 0)
    limit = (error.detach().max() / 5).clamp_min(1e-6)
    above = (error.square() + limit.square()) / (2 * limit)
    return torch.where(error <= limit, error, above).sum() / valid.sum().clamp_min(1)


def silog(outputs: Tensor, targets: Tensor) -> Tensor:
    """Scale-invariant logarithmic error (Eigen et al., NeurIPS 2014) with lambda 0.5, an image
    at a time; the mean over images that have known pixels.
    """
    valid = (targets > 0).flatten(1)
    known = torch.where(targets > 0, targets, 1).log()
    ratio = torch.where(targets > 0, outputs.clamp_min(SMALLEST).log() - known, 0).flatten(1)
    pixels = valid.sum(1).clamp_min(1)
    each = ratio.square().sum(1) / pixels - 0.5 * (ratio.sum(1) / pixels).square()
    return each.sum() / valid.any(1).sum().clamp_min(1)


LOSSES: dict[str, Loss] = {"l1": l1, "berhu": berhu, "silog": silog}
"""The losses by the name that recipes use."""
