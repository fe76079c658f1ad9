"""The layers of the super-network: the largest weights, used by many sub-networks at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.nodes import Conv, Elementwise
from search_spaces.nodes import Linear as LinearNode
from search_spaces.operation import ZERO_PRESERVING
from supernet.activations import ACTIVATIONS
from supernet.assignment import Statistics
from supernet.depthwise import conv2d
from supernet.functional import split_padding
from supernet.initialisation import Conv2d, Linear
from supernet.layout import apart, as_channels, as_positions, beside
from supernet.masks import Masks
from supernet.statistics import beside_batch_norm, group_batch_norm, kept_batch_norm


@dataclass
class Batch:
    """How the images of one forward pass belong to sub-networks.

    Tensors of the pass are (N, C, H, W), the groups one after another, or with ``beside``
    (n, G·C, H, W), the groups side by side (`layout`). ``kernels`` maps a kernel choice to one size
    per group: numbers, or with ``beside`` a tensor (G,).
    """

    groups: int
    masks: Masks
    statistics: Statistics
    beside: bool = False
    kernels: dict[str, Any] = field(default_factory=dict)


def side(batch: Batch | None) -> int:
    """How many groups lie side by side in a tensor of this pass."""
    return batch.groups if batch is not None and batch.beside else 1


def apply_mask(x: Tensor, mask: Tensor, batch: Batch) -> Tensor:
    """Zero the dropped channels of a tensor of this pass by a mask (G, C), in x's own type."""
    if batch.beside:
        return x * mask.flatten().to(x.dtype)[:, None, None]
    return x * per_image(mask, len(x)).to(x.dtype)[:, :, None, None]


def per_image(mask: Tensor, images: int) -> Tensor:
    """(G, C) → (N, C): every image has its group's row."""
    return mask if len(mask) == images else mask.repeat_interleave(images // len(mask), 0)


class MaskedNorm(nn.BatchNorm2d):
    """Batch normalisation, activation and mask of a batch of sub-networks."""

    def __init__(self, name: str, channels: int, eps: float, activation: str, masked: bool) -> None:
        super().__init__(channels, eps=eps)
        self.name = name
        self.masked = masked
        self.activate = ACTIVATIONS[activation]
        self.foldable = activation in ZERO_PRESERVING

    def run(self, x: Tensor, batch: Batch | None) -> Tensor:
        """A tensor of this pass → the same shape, normalised, active, masked."""
        if batch is None:
            return self.activate(super().forward(x))
        mask = batch.masks.of(self.name) if self.masked else None
        statistics = batch.statistics if self.training else "shared"
        if statistics == "own":
            fold = mask if self.foldable else None
            normalise = beside_batch_norm if batch.beside else group_batch_norm
            x, mean, variance = normalise(x, self.weight, self.bias, fold, self.eps, batch.groups)
            self._track(mean.mean(0), variance.mean(0))
            mask = None if fold is not None else mask
        elif statistics == "kept":
            images = apart(x, side(batch))
            kept = per_image(batch.masks.of(self.name), len(images))
            x, mean, variance = kept_batch_norm(images, self.weight, self.bias, kept, self.eps)
            x = beside(x, side(batch))
            self._track(mean, variance)
            mask = None if self.foldable else mask
        else:
            x = as_channels(super().forward(as_positions(x, side(batch))), side(batch))
        x = self.activate(x)
        return x if mask is None else apply_mask(x, mask, batch)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None
        momentum = self.momentum if self.momentum is not None else 0.1
        self.running_mean.lerp_(mean.detach(), momentum)
        self.running_var.lerp_(variance.detach(), momentum)


class SuperConv(nn.Module):
    """A convolution of the largest network; smaller kernels are the centre of its own."""

    def __init__(self, node: Conv, in_channels: int, masked: bool) -> None:
        super().__init__()
        self.node = node
        self.masked = masked
        # a depthwise layer follows its input; its width names only what it is tied to
        filters = in_channels if node.group_width == 1 else node.filters.maximum
        self.conv = Conv2d(
            in_channels,
            filters,
            node.kernel,
            node.stride,
            groups=in_channels // node.group_width if node.group_width else 1,
            dilation=node.dilation,
            bias=node.bias,
        )
        self.norm = (
            MaskedNorm(node.name, filters, node.norm_eps, node.activation, masked)
            if node.norm
            else None
        )
        self.activate = ACTIVATIONS[node.activation]
        self.rings: Tensor | None
        self.register_buffer("rings", rings(node.kernel) if node.kernel_choice else None, False)

    def forward(self, x: Tensor, batch: Batch | None) -> Tensor:
        """A tensor of this pass → its filters, zero where dropped and the graph needs it."""
        x = self._convolve(x, batch)
        if self.norm is not None:
            return self.norm.run(x, batch)
        x = self.activate(x)
        if self.masked and batch is not None:
            x = apply_mask(x, batch.masks.of(self.node.name), batch)
        return x

    def _convolve(self, x: Tensor, batch: Batch | None) -> Tensor:
        node, conv = self.node, self.conv
        if batch is None:
            return self._one(x, node.kernel)
        if not batch.beside:
            return self._runs(x, batch)
        if self.rings is not None or node.group_width == 1:
            x, padding = split_padding(x, node.padding)
            weight = self._kernels(batch).flatten(0, 1)
            bias = None if conv.bias is None else conv.bias.repeat(batch.groups)
            groups = batch.groups * conv.groups
            return conv2d(x, weight, bias, node.stride, padding, groups, node.dilation)
        if node.kernel == node.stride == (1, 1) and not any(node.padding) and conv.groups == 1:
            positions = as_positions(x, batch.groups)
            return as_channels(self._one(positions, node.kernel), batch.groups)
        return beside(self._one(apart(x, batch.groups), node.kernel), batch.groups)

    def _kernels(self, batch: Batch) -> Tensor:
        """Every group's weights (G, filters, C, K, L); outside of its kernel they are zero."""
        weight = self.conv.weight
        if self.rings is None:
            return weight.expand(batch.groups, *weight.shape)
        sizes = batch.kernels[self.node.kernel_choice]  # type: ignore[index]
        masked: Tensor = weight * (self.rings <= sizes[:, None, None, None, None])
        return masked

    def _runs(self, x: Tensor, batch: Batch) -> Tensor:
        """A call for each run of groups with one kernel size: the small ones cost less."""
        if self.node.kernel_choice is None:
            return self._one(x, self.node.kernel)
        runs = [
            (size, len(list(groups)) * len(x) // batch.groups)
            for size, groups in groupby(batch.kernels[self.node.kernel_choice])
        ]
        if len(runs) == 1:
            return self._one(x, (runs[0][0], runs[0][0]))
        parts = x.split([images for _, images in runs])  # type: ignore[no-untyped-call]
        return torch.cat(
            [self._one(part, (size, size)) for part, (size, _) in zip(parts, runs, strict=True)]
        )

    def _one(self, x: Tensor, kernel: tuple[int, int]) -> Tensor:
        weight = centre(self.conv.weight, kernel)
        around = self.node.padding_for(kernel)
        if kernel == (1, 1) and x.shape[2] == 1 and self._is_linear(around):
            rows = F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), self.conv.bias)
            return rows.permute(0, 3, 1, 2)
        x, padding = split_padding(x, around)
        node = self.node
        return conv2d(
            x, weight, self.conv.bias, node.stride, padding, self.conv.groups, node.dilation
        )

    def _is_linear(self, around: tuple[int, int, int, int]) -> bool:
        """True for a 1×1 convolution that is a matrix product over positions."""
        return not any(around) and self.conv.groups == 1 and self.node.stride == (1, 1)


class SuperLinear(nn.Module):
    """A fully connected layer of the largest network, on one position."""

    def __init__(self, node: LinearNode, in_channels: int, masked: bool) -> None:
        super().__init__()
        self.node = node
        self.masked = masked
        self.linear = Linear(in_channels, node.filters.maximum, bias=node.bias)
        self.activate = ACTIVATIONS[node.activation]

    def forward(self, x: Tensor, batch: Batch | None) -> Tensor:
        """A vector of this pass → the same with filters."""
        rows = as_positions(x, side(batch)).permute(0, 2, 3, 1)
        x = as_channels(self.activate(self.linear(rows)).permute(0, 3, 1, 2), side(batch))
        if self.masked and batch is not None:
            x = apply_mask(x, batch.masks.of(self.node.name), batch)
        return x


class SuperNorm(nn.Module):
    """A normalisation that follows no convolution."""

    def __init__(self, node: Elementwise, channels: int, masked: bool) -> None:
        super().__init__()
        self.node = node
        self.norm = MaskedNorm(node.name, channels, node.norm_eps, node.activation, masked)

    def forward(self, x: Tensor, batch: Batch | None) -> Tensor:
        """A tensor of this pass → the same shape."""
        return self.norm.run(x, batch)


def centre(weight: Tensor, kernel: tuple[int, int]) -> Tensor:
    """The centre of a super-kernel (filters, channels, K, K)."""
    if weight.shape[2:] == kernel:
        return weight
    top = (weight.shape[2] - kernel[0]) // 2
    left = (weight.shape[3] - kernel[1]) // 2
    return weight[:, :, top : top + kernel[0], left : left + kernel[1]]


def rings(kernel: tuple[int, int]) -> Tensor:
    """The smallest square kernel whose `centre` holds each position of a super-kernel (K, L)."""
    found = torch.zeros(kernel, dtype=torch.int64)
    for size in range(max(kernel), 0, -1):
        own = (min(size, kernel[0]), min(size, kernel[1]))
        centre(found[None, None], own).fill_(size)
    return found
