"""Groups of images side by side: every group's channels are channels of their own.

A batch of G groups of n images is one tensor (n, G·C, H, W) in channels-last memory. Whatever keeps
channels apart (normalisation, activation, depthwise convolution, pooling, a mask) treats it as a
batch of n images with G times the channels: one call for all groups, each with its own statistics,
kernel and mask, and the same shapes at every step. Whatever mixes channels position by position (a
1×1 convolution) reads the same memory as (n, C, H, W·G), without a copy. Other convolutions get the
images one after another, (G·n, C, H, W), which is a copy.

With one group all of this is the identity, so a tensor whose groups lie one after another is
handled as one of a single group.
"""

from __future__ import annotations

from torch import Tensor


def beside(images: Tensor, groups: int) -> Tensor:
    """(G·n, C, H, W), group by group → (n, G·C, H, W)."""
    if groups == 1:
        return images
    count, channels, height, width = images.shape
    rows = images.reshape(groups, count // groups, channels, height, width).permute(1, 3, 4, 0, 2)
    return rows.reshape(-1, height, width, groups * channels).permute(0, 3, 1, 2)


def apart(x: Tensor, groups: int) -> Tensor:
    """(n, G·C, H, W) → (G·n, C, H, W), group by group."""
    if groups == 1:
        return x
    count, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(count, height, width, groups, channels // groups)
    images = rows.permute(3, 0, 1, 2, 4).reshape(-1, height, width, channels // groups)
    return images.permute(0, 3, 1, 2)


def as_positions(x: Tensor, groups: int) -> Tensor:
    """(n, G·C, H, W) → (n, C, H, W·G), the same memory where it is channels-last."""
    if groups == 1:
        return x
    count, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(count, height, width * groups, channels // groups)
    return rows.permute(0, 3, 1, 2)


def as_channels(x: Tensor, groups: int) -> Tensor:
    """(n, C, H, W·G) → (n, G·C, H, W), the same memory where it is channels-last."""
    if groups == 1:
        return x
    count, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(count, height, width // groups, groups * channels)
    return rows.permute(0, 3, 1, 2)
