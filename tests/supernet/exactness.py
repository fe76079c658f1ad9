"""What "exact" means: masked super-network against extracted compact networks."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from search_spaces import Architecture
from supernet import Assignment, Supernet, extract
from supernet.extraction import shared_weights


def randomise(supernet: Supernet, seed: int = 0) -> Supernet:
    """Give every parameter and statistic a value that no default hides."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in supernet.state_dict().items():
        if not tensor.is_floating_point():
            continue
        noise = torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype)
        if "running_var" in name or name.endswith("norm.weight"):
            tensor.copy_(0.5 + noise)
        elif tensor.dim() > 1:
            fan_in = tensor[0].numel()
            tensor.copy_((noise - 0.5) * (12 / fan_in) ** 0.5)
        elif name.endswith("bias"):
            # positive: a network whose last ReLU is dead would agree with anything
            tensor.copy_(0.2 + 0.6 * noise)
        else:
            tensor.copy_((noise - 0.5) * 0.4)
    return supernet


def forward_error(supernet: Supernet, architectures: Sequence[Architecture], x: Tensor) -> float:
    """max|a − b| / max|b| in evaluation mode over one batch of all architectures."""
    supernet.eval()
    groups = tuple(architectures)
    with torch.no_grad():
        masked = supernet(x, Assignment(groups))
        parts = x.chunk(len(groups))
        compact = torch.cat(
            [extract(supernet, a)(part) for a, part in zip(groups, parts, strict=True)]
        )
    assert (compact != 0).double().mean() > 0.3, "outputs are dead: they would agree with anything"
    return float((masked - compact).abs().max() / compact.abs().max())


def gradient_error(
    supernet: Supernet, architectures: Sequence[Architecture], x: Tensor, target: Tensor
) -> float:
    """‖Δg‖ / ‖g‖ over all parameters, in the mode the super-network is in.

    The compact gradients are scattered by slicing a super-network whose parameters are their own
    indices, so the test does not trust the gradient of the extraction's slices.
    """
    groups = tuple(architectures)
    supernet.zero_grad()
    loss(supernet(x, Assignment(groups)), target).backward()
    indices = copy.deepcopy(supernet).double()
    offset = 0
    with torch.no_grad():
        for parameter in indices.parameters():
            parameter.copy_(torch.arange(offset, offset + parameter.numel()).view_as(parameter))
            offset += parameter.numel()
    total = torch.zeros(offset, dtype=x.dtype)
    parts = zip(groups, x.chunk(len(groups)), target.chunk(len(groups)), strict=True)
    for architecture, images, wanted in parts:
        compact = extract(supernet, architecture)
        loss(compact(images), wanted).backward()
        where = shared_weights(indices, compact.network)
        for name, parameter in compact.named_parameters():
            assert parameter.grad is not None
            index = where[name].flatten().long()
            total.index_add_(0, index, parameter.grad.flatten() / len(groups))
    masked = torch.cat(
        [
            (p.grad if p.grad is not None else torch.zeros_like(p)).flatten()
            for p in supernet.parameters()
        ]
    )
    return float((masked - total).norm() / total.norm())


def loss(outputs: Tensor, target: Tensor) -> Tensor:
    """Mean over the images, not linear in the outputs."""
    return ((outputs - target) ** 2).flatten(1).sum(1).mean()
