"""A teacher's outputs as targets, of classes and of maps."""

from __future__ import annotations

import torch
from torch import Tensor

from search_spaces import UserError


def mixed(targets: Tensor, teacher: Tensor, share: float | Tensor) -> Tensor:
    """Targets of which a share is the teacher's.

    Args:
        targets: classes (N,) or of every pixel (N, H, W), a number that is none where unknown; or
            their probabilities (N, classes); or maps (N, C, H, W), 0 where unknown.
        teacher: the teacher's outputs for the same images: logits (N, classes, …), or maps.
        share: 0 to 1, of all images or of each (N,).

    Returns:
        Probabilities (N, classes, …), 0 where unknown; or maps that are unknown where the
        targets are.

    Raises:
        UserError: the network has several outputs.
    """
    if not isinstance(teacher, Tensor):
        raise UserError("distillation: a network of several outputs can be no teacher")
    if isinstance(share, Tensor):
        share = share.to(teacher.dtype).view(-1, *[1] * (teacher.dim() - 1))
    if not targets.is_floating_point():
        soft = teacher.softmax(1)
        classes = torch.arange(soft.shape[1], device=soft.device)
        hard = (targets.unsqueeze(1) == classes.view(-1, *[1] * (teacher.dim() - 2))).to(soft)
        return (1 - share) * hard + share * soft * hard.sum(1, keepdim=True)
    if teacher.dim() == 4:
        # a map is 0 where it is unknown, so a target that is known must not become 0
        known = targets > 0
        both = ((1 - share) * targets + share * teacher).clamp_min(torch.finfo(targets.dtype).tiny)
        return torch.where(known, both, targets)
    return (1 - share) * targets + share * teacher.softmax(1)
