"""Scores of networks on a split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nas.tasks.base import Split, SplitScores, Task
from search_spaces import Architecture
from supernet import Supernet, extract, recalibrate


@torch.no_grad()
def evaluate(module: nn.Module, task: Task, split: Split, *, batch_size: int = 256) -> SplitScores:
    """The score of a network on a split, in evaluation mode; its mode is restored.

    Args:
        module: images (N, C, H, W) → outputs.
        task: whose meter counts.
        split: the task's ``holdout`` or ``test``.
        batch_size: images at once; changes nothing but speed and memory.
    """
    training = module.training
    device = next(module.parameters()).device
    module.eval()
    found = score_outputs(module, task, split, batch_size=batch_size, device=device)
    module.train(training)
    return found


@torch.no_grad()
def score_outputs(
    network: Callable[[Tensor], Any],
    task: Task,
    split: Split,
    *,
    batch_size: int = 256,
    device: torch.device | None = None,
) -> SplitScores:
    """The score of whatever turns images (N, C, H, W) into outputs, on a split."""
    meter = task.meter(split.name)
    for images, targets in split.batches(batch_size):
        if device is not None:
            images, targets = images.to(device), targets.to(device)
        meter.update(network(images), targets)
    return meter.evaluation()


def evaluate_subnetworks(
    supernet: Supernet,
    architectures: Mapping[str, Architecture],
    task: Task,
    calibration: Sequence[Tensor],
    *,
    batch_size: int = 256,
) -> dict[str, SplitScores]:
    """Scores of sub-networks on the hold-out, extracted and recalibrated one by one."""
    device = next(supernet.parameters()).device
    batches = [images.to(device) for images in calibration]
    scores = {}
    for name, architecture in architectures.items():
        network = extract(supernet, architecture).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        recalibrate(network, batches)
        scores[name] = evaluate(network, task, task.holdout, batch_size=batch_size)
    return scores
