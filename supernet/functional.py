"""Operations without weights, the same for the masked and for the compact network."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

Padding = tuple[int, int, int, int]
"""(top, bottom, left, right)"""


def split_padding(
    x: Tensor, padding: Padding, value: float = 0.0
) -> tuple[Tensor, tuple[int, int]]:
    """The symmetric part of the padding for torch's own argument; the rest is applied to x."""
    top, bottom, left, right = padding
    if top == bottom and left == right:
        return x, (top, left)
    return F.pad(x, (left, right, top, bottom), value=value), (0, 0)


def average_pool(
    x: Tensor,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding = (0, 0, 0, 0),
    *,
    ceil: bool = False,
    count_padding: bool = False,
) -> Tensor:
    """Average pooling; positions outside x are not counted unless ``count_padding``.

    Raises:
        ValueError: uneven padding that is not to be counted.
    """
    top, bottom, left, right = padding
    if (top, left) != (bottom, right) and not count_padding:
        raise ValueError(f"average pooling with uneven padding {padding}")
    x, pad = split_padding(x, padding)
    return F.avg_pool2d(x, kernel, stride, pad, ceil, count_padding)


def max_pool(
    x: Tensor,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding = (0, 0, 0, 0),
    *,
    ceil: bool = False,
) -> Tensor:
    """Maximum pooling."""
    x, pad = split_padding(x, padding, float("-inf"))
    return F.max_pool2d(x, kernel, stride, pad, ceil_mode=ceil)


def bypass_pool(x: Tensor, stride: int) -> Tensor:
    """x', the input of a unit over its stride (kernel = stride, ceil mode, padding not counted)."""
    return x if stride == 1 else F.avg_pool2d(x, stride, stride, 0, True, False)


def upsample(x: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Resize to (height, width); bilinear with half-pixel centres."""
    if mode == "nearest":
        return F.interpolate(x, size=size, mode="nearest")
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Channels (N, groups · k, H, W) by turns, one of every group after the other."""
    images, channels, height, width = x.shape
    parts = x.reshape(images, groups, channels // groups, height, width)
    return parts.transpose(1, 2).reshape(images, channels, height, width)


def fit_channels(x: Tensor, channels: int) -> Tensor:
    """Cut x to its first ``channels`` channels, or extend it with zero channels."""
    if x.shape[1] == channels:
        return x
    if x.shape[1] > channels:
        return x[:, :channels]
    return F.pad(x, (0, 0, 0, 0, 0, channels - x.shape[1]))
