"""Batch normalisation where every group of images has its own statistics.

The mask of ordered dropout is folded into scale and shift: a channel with both at zero leaves
zero behind any activation with f(0) = 0, at no cost.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from search_spaces import UserError


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
        out = torch.empty_like(x)
        mean = x.new_empty((groups, channels), dtype=weight.dtype)
        inverse = torch.empty_like(mean)
        for g, (part, result) in enumerate(zip(x.chunk(groups), out.chunk(groups), strict=True)):
            torch.ops.aten.native_batch_norm.out(
                part, scale[g], shift[g], None, None, True, 0.0, eps,
                out=result, save_mean=mean[g], save_invstd=inverse[g],
            )  # fmt: skip
        ctx.save_for_backward(x, scale, mean, inverse, mask)
        ctx.eps = eps
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(mean, inverse)
        return out, mean, inverse

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        if grad is None:
            return (None,) * 6
        x, scale, mean, inverse, mask = ctx.saved_tensors
        groups = len(mean)
        dx = torch.empty_like(x)
        dw, db = torch.empty_like(mean), torch.empty_like(mean)
        parts = zip(x.chunk(groups), grad.chunk(groups), dx.chunk(groups), strict=True)
        for g, (part, dy, result) in enumerate(parts):
            made = torch.ops.aten.native_batch_norm_backward(
                dy, part, scale[g], None, None, mean[g], inverse[g], True, ctx.eps,
                [True, True, True],
            )  # fmt: skip
            for target, value in zip((result, dw[g], db[g]), made, strict=True):
                target.copy_(value)
        if mask is not None:
            dw, db = dw * mask, db * mask
        return dx, dw.sum(0), db.sum(0), None, None, None


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
    values = x.shape[0] // groups * x.shape[2:].numel()
    if values < 2:
        raise UserError(
            f"batch statistics of one value per channel: {groups} groups in a batch of {len(x)} "
            f"at {x.shape[2]}x{x.shape[3]} positions; use fewer groups, a larger batch or "
            f"resolution, or shared statistics"
        )
    if not (x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)):
        # written into a result of any other strides, torch's normalisation is wrong
        x = x.contiguous()
    out, mean, inverse = _GroupBatchNorm.apply(x, weight, bias, mask, eps, groups)  # type: ignore[no-untyped-call]
    return out, mean, inverse.pow(-2) - eps


def kept_batch_norm(
    x: Tensor, weight: Tensor, bias: Tensor, kept: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise by statistics over only the images that keep the channel.

    Args:
        x: (N, C, H, W). weight: (C,). bias: (C,).
        kept: (N, C) of zeros and ones; a channel that no image keeps uses all of them.
        eps: added to the variance.

    Returns:
        The batch, zero where a channel is dropped, and mean and biased variance (C,).
    """
    share = kept + (kept.sum(0, keepdim=True) == 0).to(kept.dtype)
    share = share / share.sum(0, keepdim=True)
    mean = (x.mean((2, 3)) * share).sum(0)
    centred = x - mean[:, None, None]
    variance = (centred.square().mean((2, 3)) * share).sum(0)
    scale = (weight * (variance + eps).rsqrt()) * kept
    out = centred * scale[:, :, None, None] + (bias * kept)[:, :, None, None]
    return out, mean, variance
