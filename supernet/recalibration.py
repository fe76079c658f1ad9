"""Batch-norm statistics of one network, taken anew from cached batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


@torch.no_grad()
def recalibrate(module: nn.Module, batches: Sequence[Tensor]) -> None:
    """Set every running mean and variance to the average over the batches, in place.

    Statistics of a super-network match none of its sub-networks, so each is recalibrated before
    it is evaluated. Every batch is normalised by its own statistics as in training, and
    counts the same; the variances are unbiased (torch's running variance). One batch of all
    images is exact. Several cost less memory, and leave out how far their means lie apart.

    Args:
        module: the network; dropout stays off, and every module's training mode is restored.
        batches: input images (N, C, H, W), normalised as in training.

    Raises:
        ValueError: no batches, or a batch with one value per channel.
    """
    if not batches:
        raise ValueError("recalibration needs at least one batch")
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    if not norms:
        return
    modes = [(part, part.training) for part in module.modules()]
    momenta = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        # None: the cumulative average, every batch counts the same
        norm.momentum = None
        norm.train()
    try:
        for images in batches:
            module(images)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for part, training in modes:
            part.training = training
