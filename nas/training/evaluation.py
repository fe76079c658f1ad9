"""Scores of networks on a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from nas.tasks.base import Evaluation, Split, Task
from search_spaces import Architecture
from supernet import Supernet, extract, recalibrate


@torch.no_grad()
def evaluate(module: nn.Module, task: Task, split: Split, *, batch_size: int = 256) -> Evaluation:
    """The score of a network on a split, in evaluation mode; its mode is restored.

    Args:
        module: images (N, C, H, W) → outputs.
        task: whose meter counts.
        split: the task's ``holdout`` or ``test``.
        batch_size: images at once; changes nothing but speed and memory.
    """
    training = module.training
    device = next(module.parameters()).device
    meter = task.meter(split.name)
    module.eval()
    for images, targets in split.batches(batch_size):
        meter.update(module(images.to(device)), targets.to(device))
    module.train(training)
    return meter.evaluation()


def evaluate_subnetworks(
    supernet: Supernet,
    architectures: Mapping[str, Architecture],
    task: Task,
    calibration: Sequence[Tensor],
    *,
    batch_size: int = 256,
) -> dict[str, Evaluation]:
    """Scores of sub-networks on the hold-out, extracted and recalibrated one by one."""
    device = next(supernet.parameters()).device
    batches = [images.to(device) for images in calibration]
    scores = {}
    for name, architecture in architectures.items():
        network = extract(supernet, architecture).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        recalibrate(network, batches)
        scores[name] = evaluate(network, task, task.holdout, batch_size=batch_size)
    return scores
