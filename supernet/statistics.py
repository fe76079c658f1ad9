"""Batch normalisation where every group of images has its own statistics.

The mask of ordered dropout is folded into scale and shift: a channel with both at zero leaves
zero behind any activation with f(0) = 0, at no cost.

There are two ways to the same numbers. On a processor a call for every group is fastest, because
its part of the map stays in the cache; on an accelerator one call for all of them, side by side as
channels (`layout`).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from search_spaces import UserError

_backward = torch.ops.aten.native_batch_norm_backward.default


class _GroupBatchNorm(Function):
    """One fused normalisation per group; a group's slice is small enough to stay in the cache."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mask: Tensor | None,
        eps: float,
        groups: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        channels = weight.shape[0]
        scale = weight.expand(groups, channels) if mask is None else weight * mask
        shift = bias.expand(groups, channels) if mask is None else bias * mask
        normalise = _together if x.numel() <= _FEW_VALUES else _one_by_one
        out, mean, inverse = normalise(x, scale, shift, eps)
        ctx.save_for_backward(x, scale, mean, inverse, mask)
        ctx.eps = eps
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(mean, inverse)
        return out, mean, inverse

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        if grad is None:
            return (None,) * 6
        x, scale, mean, inverse, mask = ctx.saved_tensors
        gradients = _together_back if x.numel() <= _FEW_VALUES else _one_by_one_back
        dx, dw, db = gradients(grad, x, scale, mean, inverse, ctx.eps)
        if mask is not None:
            dw, db = dw * mask, db * mask
        return dx, dw.sum(0), db.sum(0), None, None, None


_FEW_VALUES = 400_000
"""Up to here two copies of a map cost less than calls for every group."""


def _one_by_one(
    x: Tensor, scale: Tensor, shift: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """A call for every group: the batch, the groups' means and inverse deviations (G, C)."""
    groups = len(scale)
    out = torch.empty_like(x)
    mean = x.new_empty(scale.shape, dtype=scale.dtype)
    inverse = torch.empty_like(mean)
    rows = zip(scale.unbind(), shift.unbind(), mean.unbind(), inverse.unbind(), strict=True)
    for part, result, (a, b, m, i) in zip(x.chunk(groups), out.chunk(groups), rows, strict=True):
        # torch's binding: half the time of the call by way of torch.ops
        torch.native_batch_norm(part, a, b, None, None, True, 0.0, eps, out=(result, m, i))
    return out, mean, inverse


def _one_by_one_back(
    grad: Tensor, x: Tensor, scale: Tensor, mean: Tensor, inverse: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of the batch and of the groups' scales and shifts (G, C)."""
    groups = len(scale)
    dx = torch.empty_like(x)
    dw: list[Tensor] = []
    db: list[Tensor] = []
    parts = zip(grad.chunk(groups), x.chunk(groups), dx.chunk(groups), strict=True)
    rows = zip(scale.unbind(), mean.unbind(), inverse.unbind(), strict=True)
    for (dy, part, result), (a, m, i) in zip(parts, rows, strict=True):
        # copied at once, so that the next group's result finds the same memory in the cache
        made = _backward(dy, part, a, None, None, m, i, True, eps, [True, True, True])
        result.copy_(made[0])
        dw.append(made[1])
        db.append(made[2])
    return dx, torch.stack(dw), torch.stack(db)


def _together(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """As `_one_by_one` in one call: the groups' images side by side as channels."""
    beside = _side_by_side(x, len(scale))
    out, mean, inverse = torch.native_batch_norm(
        beside, scale.reshape(-1), shift.reshape(-1), None, None, True, 0.0, eps
    )
    return _one_after_another(out, x), mean.view_as(scale), inverse.view_as(scale)


def _together_back(
    grad: Tensor, x: Tensor, scale: Tensor, mean: Tensor, inverse: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """As `_one_by_one_back` in one call."""
    groups = len(scale)
    dx, dw, db = _backward(
        _side_by_side(grad, groups), _side_by_side(x, groups), scale.reshape(-1), None, None,
        mean.view(-1), inverse.view(-1), True, eps, [True, True, True],
    )  # fmt: skip
    return _one_after_another(dx, x), dw.view_as(scale), db.view_as(scale)


def _side_by_side(x: Tensor, groups: int) -> Tensor:
    """(N, C, H, W) → (N/G·H·W, G·C): a row for every position of a group's images."""
    channels = x.shape[1]
    rows = x.permute(0, 2, 3, 1).reshape(groups, -1, channels)
    return rows.transpose(0, 1).reshape(-1, groups * channels)


def _one_after_another(rows: Tensor, like: Tensor) -> Tensor:
    """The rows of `_side_by_side` in the shape of ``like`` (N, C, H, W), channels last."""
    images, channels, height, width = like.shape
    grouped = rows.view(len(rows), -1, channels).transpose(0, 1).contiguous()
    return grouped.view(images, height, width, channels).permute(0, 3, 1, 2)


def group_batch_norm(
    x: Tensor, weight: Tensor, bias: Tensor, mask: Tensor | None, eps: float, groups: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise every group by its own statistics.

    Args:
        x: (N, C, H, W), the groups contiguous and equally large.
        weight: (C,). bias: (C,).
        mask: (G, C) of zeros and ones, or None.
        eps: added to the variance.
        groups: G.

    Returns:
        The batch (N, C, H, W), and the groups' means (G, C) and variances (G, C), biased.

    Raises:
        UserError: a group has one value per channel, so its variance says nothing.
    """
    _check_values(len(x) // groups, x, groups)
    if not (x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)):
        # written into a result of any other strides, torch's normalisation is wrong
        x = x.contiguous()
    out, mean, inverse = _GroupBatchNorm.apply(x, weight, bias, mask, eps, groups)  # type: ignore[no-untyped-call]
    return out, mean, inverse.pow(-2) - eps


def beside_batch_norm(
    x: Tensor, weight: Tensor, bias: Tensor, mask: Tensor | None, eps: float, groups: int
) -> tuple[Tensor, Tensor, Tensor]:
    """As `group_batch_norm`, for groups that lie side by side: a normalisation of G·C channels.

    Args:
        x: (n, G·C, H, W).
        weight: as there, like the others.
        bias: (C,).
        mask: (G, C) of zeros and ones, or None.
        eps: added to the variance.
        groups: G.
    """
    _check_values(len(x), x, groups)
    if mask is None:
        scale, shift = weight.repeat(groups), bias.repeat(groups)
    else:
        scale, shift = (weight * mask).flatten(), (bias * mask).flatten()
    # with momentum 1 the running statistics are those of the batch
    mean, variance = weight.new_zeros(scale.shape), weight.new_ones(scale.shape)
    out = F.batch_norm(x, mean, variance, scale, shift, True, 1.0, eps)
    values = len(x) * x.shape[2:].numel()
    return out, mean.view(groups, -1), variance.view(groups, -1) * ((values - 1) / values)


def _check_values(images: int, x: Tensor, groups: int) -> None:
    if images * x.shape[2:].numel() < 2:
        raise UserError(
            f"batch statistics of one value per channel: {groups} groups in a batch of "
            f"{images * groups} at {x.shape[2]}x{x.shape[3]} positions; use fewer groups, a larger "
            "batch or resolution, or shared statistics"
        )


def kept_batch_norm(
    x: Tensor, weight: Tensor, bias: Tensor, kept: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise by statistics over only the images that keep the channel.

    Args:
        x: (N, C, H, W). weight: (C,). bias: (C,).
        kept: (N, C) of zeros and ones; a channel that is kept at fewer than two positions in all
            uses every image.
        eps: added to the variance.

    Returns:
        The batch, zero where a channel is dropped, and mean and biased variance (C,).
    """
    given, x = x, x.to(weight.dtype)
    few = kept.sum(0, keepdim=True) * x.shape[2:].numel() < 2
    share = torch.where(few, torch.ones_like(kept), kept)
    share = share / share.sum(0, keepdim=True)
    mean = (x.mean((2, 3)) * share).sum(0)
    centred = x - mean[:, None, None]
    variance = (centred.square().mean((2, 3)) * share).sum(0)
    scale = (weight * (variance + eps).rsqrt()) * kept
    out = centred * scale[:, :, None, None] + (bias * kept)[:, :, None, None]
    return out.to(given.dtype), mean, variance
