"""Batch-norm statistics of one network, taken anew from cached batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


@torch.no_grad()
def recalibrate(module: nn.Module, batches: Sequence[Tensor]) -> None:
    """Set every running mean and variance to the average over the batches, in place.

    Statistics of a super-network match none of its sub-networks, so each is recalibrated before
    it is evaluated (METHOD). The training mode is restored afterwards.

    Args:
        module: the network; dropout stays off.
        batches: input images (N, C, H, W), normalised as in training.

    Raises:
        ValueError: no batches.
    """
    if not batches:
        raise ValueError("recalibration needs at least one batch")
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    if not norms:
        return
    training = module.training
    momenta = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        # None: the cumulative average, every batch counts the same
        norm.momentum = None
        norm.train()
    for images in batches:
        module(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.train(training)
