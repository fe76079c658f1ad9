"""A teacher's outputs as targets, of classes and of maps."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def mixed(targets: Tensor, teacher: Tensor, share: float | Tensor) -> Tensor:
    """Targets of which a share is the teacher's.

    Args:
        targets: classes (N,) or their probabilities (N, classes); or maps (N, C, H, W), 0 where
            unknown.
        teacher: the teacher's outputs for the same images: logits (N, classes), or maps.
        share: 0 to 1, of all images or of each (N,).

    Returns:
        Probabilities (N, classes), or maps that are unknown where the targets are.
    """
    if isinstance(share, Tensor):
        share = share.to(teacher.dtype).view(-1, *[1] * (teacher.dim() - 1))
    if teacher.dim() == 4:
        # a map is 0 where it is unknown, so a target that is known must not become 0
        known = targets > 0
        both = ((1 - share) * targets + share * teacher).clamp_min(torch.finfo(targets.dtype).tiny)
        return torch.where(known, both, targets)
    soft = teacher.softmax(1)
    if targets.dim() == 1:
        targets = functional.one_hot(targets, soft.shape[1]).to(soft.dtype)
    return (1 - share) * targets + share * soft
