"""Convolution for training on a processor: small depthwise maps at the speed that they allow."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    groups: int,
    dilation: tuple[int, int] = (1, 1),
) -> Tensor:
    """``torch.nn.functional.conv2d``, with another weight gradient where torch's is slow.

    oneDNN, which torch calls on a processor, has no fast weight gradient for a depthwise
    convolution over a map that is smaller than its kernel (its conditions; seen with oneDNN 3.12
    and AVX2): it falls back to one matrix product per image and channel, 10 to 300 times
    slower than the arithmetic. Late layers at 32 to 96 px are all of that kind.

    Args:
        x: (N, C, H, W).
        weight: (filters, C / groups, K, L).
        bias: (filters,) or None.
        stride: vertical, horizontal.
        padding: zeros on either side, vertical and horizontal.
        groups: C for a depthwise convolution.
        dilation: steps between the taps, vertical and horizontal.

    Returns:
        (N, filters, H', W').
    """
    if dilation == (1, 1) and _slow_in_training(x, weight, stride, padding):
        out: Tensor = _SmallDepthwise.apply(x, weight, stride, padding)  # type: ignore[no-untyped-call]
        return out if bias is None else out + bias[:, None, None]
    return F.conv2d(x, weight, bias, stride, padding, dilation, groups)


def _slow_in_training(
    x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
) -> bool:
    """Whether oneDNN would fall back for the gradient of these weights, and that costs more."""
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if tracing or not isinstance(x, Tensor) or torch.compiler.is_compiling():
        return False  # others read the graph: they know conv2d
    if (
        x.device.type != "cpu"
        or len(weight) != x.shape[1]
        or weight.shape[1] != 1
        or not weight.requires_grad
        or not torch.is_grad_enabled()
        or torch.is_autocast_enabled("cpu")
    ):
        return False
    axes = list(zip(x.shape[2:], weight.shape[2:], stride, padding, strict=True))
    falls_back = any(size < kernel + (-around % step) for size, kernel, step, around in axes)
    taps = math.prod(min(kernel, 2 * size - 1) for size, kernel, _, _ in axes)
    return falls_back and len(x) * x.shape[1] >= _PRODUCTS_PER_TAP * taps


_PRODUCTS_PER_TAP = 24
"""So many of oneDNN's matrix products take the time in which torch is called for one tap."""


class _SmallDepthwise(torch.autograd.Function):
    """A depthwise convolution whose weight gradient is summed tap by tap."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
    ) -> Tensor:
        """As `F.conv2d` without a bias."""
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, None, stride, padding, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """The gradients of x, by torch, and of the weights."""
        x, weight = ctx.saved_tensors
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.ops.aten.convolution_backward(
                grad, x, weight, None, ctx.stride, ctx.padding, [1, 1], False, [0, 0],
                len(weight), [True, False, False],
            )[0]  # fmt: skip
        if ctx.needs_input_grad[1]:
            grad_weight = _tap_by_tap(x, grad, weight, ctx.stride, ctx.padding)
        return grad_x, grad_weight, None, None


def _tap_by_tap(
    x: Tensor, grad: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """The gradient of the weights (C, 1, K, L): each tap multiplies the map with itself, shifted.

    Taps that only ever meet the padding, most of them in a small map, cost nothing.
    """
    x, grad = x.permute(0, 2, 3, 1), grad.permute(0, 2, 3, 1)
    taps = grad.new_zeros(*weight.shape[2:], len(weight))
    vertical, horizontal = (
        [_meets(tap, x.shape[a], grad.shape[a], stride[a - 1], padding[a - 1]) for tap in range(k)]
        for a, k in zip((1, 2), weight.shape[2:], strict=True)
    )
    for i, rows in enumerate(vertical):
        for j, columns in enumerate(horizontal):
            if rows and columns:
                product = grad[:, rows[0], columns[0]] * x[:, rows[1], columns[1]]
                torch.sum(product, (0, 1, 2), out=taps[i, j])
    return taps.permute(2, 0, 1).unsqueeze(1)


def _meets(
    tap: int, size: int, out_size: int, stride: int, padding: int
) -> tuple[slice, slice] | None:
    """The output positions at which a tap lies within the input, and those input positions."""
    offset = tap - padding
    first = max(0, -(offset // stride))
    last = min(out_size, (size - 1 - offset) // stride + 1)
    if first >= last:
        return None
    start = first * stride + offset
    return slice(first, last), slice(start, start + (last - first - 1) * stride + 1, stride)
